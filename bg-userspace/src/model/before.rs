//! What comes before a word is exchanged: hooks agree, and the journal has what is about to happen.

use super::Moment;
use super::change::{Change, Go, Make, Stage};
use super::deployment::{Deployment, Step, tick};
use super::event::{Agreement, Effect, Phase};
use super::gates::{Asked, overridden, refusal};
use super::record::{Cause, What};
use crate::refusal::Refusal;
use std::time::Duration;

/// Hooks have so long to answer. Each has a shorter limit of its own; this is for the case that whoever asks
/// them is gone.
pub const HOOKS_WITHIN: Duration = Duration::from_secs(900);

/// The journal has so long to say that an order's record is durable.
const JOURNAL_WITHIN: Duration = Duration::from_secs(5);

/// And so long where traffic is at stake.
const URGENT_WITHIN: Duration = Duration::from_millis(500);

impl Deployment {
    pub(super) fn ask_hooks(&mut self, step: &mut Step<'_>) {
        let Some(change) = &mut self.change else { return };
        change.stage = Stage::Asking(step.now.moment.after(HOOKS_WITHIN));
        let (token, (actor, reason)) = (change.token, change.why.said());
        let Some(about) = self.change.as_ref().and_then(about) else { return };
        let record = self.record(step.now, &actor, reason.as_deref(), about);
        let (deployment, phase) = (self.name.clone(), Phase::Before);
        step.effects.push(Effect::Ask { deployment, token, phase, record });
    }

    /// Hooks have answered before a switch. Those that are not asked do not disagree.
    pub(super) fn agreed(&mut self, step: &mut Step<'_>, token: u64, agreements: &[Agreement]) {
        let Some(Change { make: Make::Go(go), .. }) = self.change.as_mut().filter(|it| it.is_asking(token))
        else {
            return;
        };
        let against: Vec<_> = agreements.iter().filter(|it| !it.ok).collect();
        if !against.is_empty() && !go.force.overrides("hooks") {
            let said = |it: &&Agreement| format!("hook {} disagrees: {}", it.hook, it.output.trim());
            let what = against.iter().map(said).collect::<Vec<_>>().join("; ");
            let mend = "do what the hook asks for, or switch with --force=hooks";
            let refusal = Refusal::new("gate-hooks", what, self.place(), mend);
            return self.give_up(step, refusal);
        }
        if !against.is_empty() {
            override_gate(go, "hooks");
        }
        self.write_about_if_still_there(step);
    }

    /// Hooks take their time: somebody else may have changed the word meanwhile.
    fn write_about_if_still_there(&mut self, step: &mut Step<'_>) {
        if self.change.as_ref().is_some_and(|change| change.expected == self.word) {
            self.write_about(step);
        } else {
            self.overtaken(step);
        }
    }

    /// Lets the journal have what is about to happen: exactly the exchange that will be made.
    pub(super) fn write_about(&mut self, step: &mut Step<'_>) {
        let token = step.token();
        if !self.renew(step) {
            return;
        }
        let Some(change) = &mut self.change else { return };
        let Make::Go(go) = &change.make else { return };
        let within = if go.is_gated() { JOURNAL_WITHIN } else { URGENT_WITHIN };
        (change.token, change.stage) = (token, Stage::Recording(step.now.moment.after(within)));
        let (actor, reason) = change.why.said();
        let Some(about) = about(change) else { return };
        let record = self.record(step.now, &actor, reason.as_deref(), about);
        let (deployment, memory) = (self.name.clone(), Box::new(self.memory(step.boot)));
        step.effects.push(Effect::Journal { deployment, token, record, memory });
    }

    /// The journal has it, or not.
    pub(super) fn journalled(&mut self, step: &mut Step<'_>, token: u64, result: Result<(), Refusal>) {
        let Some(change) =
            self.change.as_mut().filter(|it| it.token == token && matches!(it.stage, Stage::Recording(_)))
        else {
            return;
        };
        let Make::Go(go) = &mut change.make else { return };
        match result {
            Err(refusal) if go.is_gated() && !go.force.overrides("journal") => self.give_up(step, refusal),
            Err(_) if go.is_gated() => {
                override_gate(go, "journal");
                self.exchange_if_still_good(step);
            }
            _ => self.exchange_if_still_good(step),
        }
    }

    /// Time has passed: perhaps hooks or the journal have had theirs.
    pub(super) fn change_timer(&mut self, step: &mut Step<'_>) {
        let Some(Change { token, stage, .. }) = self.change else { return };
        match stage {
            Stage::Asking(until) if step.now.moment >= until => {
                if let Some(Change { make: Make::Go(go), .. }) = &mut self.change
                    && go.force.overrides("hooks")
                {
                    override_gate(go, "hooks");
                    return self.write_about_if_still_there(step);
                }
                let what = "the hooks that must agree have not answered";
                let mend = "see what they do, or switch with --force=hooks";
                let refusal = Refusal::new("gate-hooks", what, self.place(), mend);
                self.give_up(step, refusal);
            }
            Stage::Recording(until) if step.now.moment >= until => {
                let what = "the journal does not say whether it has written";
                let mend = "look at the disk that it is on; to switch without it: --force=journal";
                self.journalled(step, token, Err(Refusal::new("gate-journal", what, self.place(), mend)));
            }
            Stage::Asking(_) | Stage::Recording(_) | Stage::Exchanging => {}
        }
    }

    /// Hooks and disks take their time: what was asked before may not hold any more.
    fn exchange_if_still_good(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let Some(Change { make: Make::Go(go), expected, new, .. }) = &self.change else { return };
        if *expected != self.word {
            return self.overtaken(step);
        }
        if new.effective(tick(now)) != *new && new.deadline() != expected.deadline() {
            let what = "the journal took so long that the time to confirm the switch is over";
            let mend = "look at the disk that it is on, or give more time to confirm";
            let refusal = Refusal::new("gate-journal", what, self.place(), mend);
            return self.give_up(step, refusal);
        }
        let refusal = if go.is_gated() { self.no_more(step, &go.clone()) } else { self.no_better(go, now) };
        match refusal {
            Some(refusal) => self.give_up(step, refusal),
            None => self.exchange(step),
        }
    }

    /// Asks the gates of a change that is under way again.
    fn no_more(&mut self, step: &Step<'_>, go: &Go) -> Option<Refusal> {
        let Go { to, cause, plan, agreed, confirm, .. } = *go;
        let asked = Asked { to, cause, plan, agreed, confirm, under_way: true };
        let gates = self.gates(step.now.moment, step.journal, &asked);
        if let Some(Change { make: Make::Go(go), .. }) = &mut self.change {
            overridden(&gates, &go.force.clone()).iter().for_each(|gate| override_gate(go, gate));
        }
        refusal(&gates, &go.force, &self.place())
    }

    /// What the daemon does by itself never leads to a side that is known to fail; a drill goes home to one
    /// only if the standby fails, too.
    fn no_better(&self, go: &Go, now: Moment) -> Option<Refusal> {
        let why = match go.cause {
            Cause::AutoRollback => self.unfit_to_take_over(go.to, now),
            Cause::FailOver => (!self.wants_fail_over(now))
                .then(|| format!("there is no more reason for {} to take over", self.named(go.to))),
            Cause::Drill => self.keeps_drill_from_home(go.to, now),
            Cause::Switch | Cause::Rollback | Cause::Unconfirmed => None,
        }?;
        Some(Refusal::new("gate-health", why, self.place(), format!("bgctl health {}", self.name)))
    }
}

/// Notes that a gate is overridden, once.
fn override_gate(go: &mut Go, gate: &str) {
    if !go.overridden.iter().any(|known| known == gate) {
        go.overridden.push(gate.to_owned());
    }
}

/// What is about to be, if it changes who is live.
fn about(change: &Change) -> Option<What> {
    let Make::Go(Go { cause, to, overridden, .. }) = &change.make else { return None };
    let (cause, to, overridden) = (*cause, *to, overridden.clone());
    let (expected, new) = (change.expected.bits(), change.new.bits());
    Some(What::About { cause, from: change.expected.live(), to, expected, new, overridden })
}
