//! What comes before a word is exchanged: hooks agree, and the journal has what is about to happen.

use super::Moment;
use super::change::{Change, Go, Make, Stage, Why};
use super::deployment::{Deployment, Step};
use super::event::{Agreement, Effect, Phase};
use super::gates::{Asked, refusal};
use super::record::{Cause, What};
use crate::refusal::Refusal;
use std::time::Duration;

/// The journal has so long to say that an order's record is durable.
const JOURNAL_WITHIN: Duration = Duration::from_secs(5);

/// And so long where traffic is at stake.
const URGENT_WITHIN: Duration = Duration::from_millis(500);

impl Deployment {
    pub(super) fn ask_hooks(&mut self, step: &mut Step<'_>, phase: Phase) {
        let Some(change) = &self.change else { return };
        let (token, what) = (change.token, self.about(change));
        let (actor, reason) = change.why.said();
        let record = self.record(step.now, &actor, reason.as_deref(), what);
        step.effects.push(Effect::Ask { deployment: self.name.clone(), token, phase, record });
    }

    /// Hooks have answered before a switch.
    pub(super) fn agreed(&mut self, step: &mut Step<'_>, token: u64, agreements: &[Agreement]) {
        let Some(change) = self.change.as_mut().filter(|it| it.token == token && it.stage == Stage::Asking)
        else {
            return;
        };
        let Make::Go(go) = &mut change.make else { return };
        let against: Vec<_> = agreements.iter().filter(|it| !it.ok).collect();
        if !against.is_empty() && !go.force.overrides("hooks") {
            let said = |it: &&Agreement| format!("hook {} disagrees: {}", it.hook, it.output.trim());
            let what = against.iter().map(said).collect::<Vec<_>>().join("; ");
            let mend = "do what the hook asks for, or switch with --force=hooks";
            let refusal = Refusal::new("gate-hooks", what, self.place(), mend);
            return self.give_up(step, refusal);
        }
        go.overridden.extend(against.first().map(|_| "hooks".to_owned()));
        self.write_about(step);
    }

    /// Lets the journal have what is about to happen.
    pub(super) fn write_about(&mut self, step: &mut Step<'_>) {
        let Some(change) = &mut self.change else { return };
        let Make::Go(go) = &change.make else { return };
        let within = if go.is_urgent() { URGENT_WITHIN } else { JOURNAL_WITHIN };
        change.stage = Stage::Recording(Moment(step.now.moment.0 + within));
        let change = change.clone();
        let (actor, reason) = change.why.said();
        let record = self.record(step.now, &actor, reason.as_deref(), self.about(&change));
        let (deployment, token) = (self.name.clone(), change.token);
        let memory = Box::new(self.memory(step.boot));
        step.effects.push(Effect::Journal { deployment, token, record, memory });
    }

    fn about(&self, change: &Change) -> What {
        let (cause, to, overridden) = match &change.make {
            Make::Go(go) => (go.cause, go.to, go.overridden.clone()),
            Make::Confirm | Make::Pause(_) | Make::Resume | Make::Fate(_) | Make::Drained | Make::Settle => {
                (Cause::Switch, change.new.live(), Vec::new())
            }
        };
        let (expected, new) = (change.expected.bits(), change.new.bits());
        What::About { cause, from: change.expected.live(), to, expected, new, overridden }
    }

    /// The journal has it, or not.
    pub(super) fn journalled(&mut self, step: &mut Step<'_>, token: u64, result: Result<(), Refusal>) {
        let Some(change) = &self.change else { return };
        let Make::Go(go) = &change.make else { return };
        if change.token != token || !matches!(change.stage, Stage::Recording(_)) {
            return;
        }
        match result {
            Err(refusal) if !go.is_urgent() && !go.force.overrides("journal") => self.give_up(step, refusal),
            _ => self.exchange_if_still_good(step),
        }
    }

    /// Time has passed.
    pub(super) fn change_timer(&mut self, step: &mut Step<'_>) {
        let Some(Change { token, stage: Stage::Recording(until), .. }) = self.change else { return };
        if step.now.moment >= until {
            let what = "the journal does not say whether it has written";
            let mend = "look at the disk that it is on; to switch without it: --force=journal";
            self.journalled(step, token, Err(Refusal::new("gate-journal", what, self.place(), mend)));
        }
    }

    /// Hooks and disks take their time: what was asked before may not hold any more.
    fn exchange_if_still_good(&mut self, step: &mut Step<'_>) {
        let Some(change) = &self.change else { return };
        let Make::Go(go) = &change.make else { return };
        if !matches!(go.cause, Cause::Switch | Cause::Drill)
            || change.why == Why::Drill && !self.drill_is_there(go)
        {
            return self.exchange(step);
        }
        let asked = Asked {
            to: go.to,
            cause: go.cause,
            plan: go.plan,
            agreed: go.agreed,
            confirm: go.confirm,
            under_way: true,
        };
        let gates = self.gates(step.now.moment, step.journal, &asked);
        match refusal(&gates, &go.force, &self.place()) {
            Some(refusal) => self.give_up(step, refusal),
            None => self.exchange(step),
        }
    }

    fn drill_is_there(&self, go: &Go) -> bool {
        go.cause == Cause::Drill && self.drill.as_ref().is_some_and(super::drill::Drill::is_on_its_way)
    }
}
