//! A drill: to the standby and back under the gates of a switch, measured both ways. The word itself goes
//! back if the daemon dies meanwhile.

use super::Moment;
use super::change::{Change, Go, Make, Why};
use super::deployment::{Deployment, Step};
use super::gates::{Asked, against, overridden, refusal};
use super::order::{Actor, Done, Drilled, Force, OrderId, Switched};
use super::record::{Cause, RollbackTarget, SliceMemory, What};
use crate::refusal::Refusal;
use bg_common::{Colour, Fate};
use std::time::Duration;

/// Past the end of the hold, the data plane goes back by itself after so long.
const SAFETY: Duration = Duration::from_secs(60);

/// A drill that could not begin is tried again after so long.
const AGAIN: Duration = Duration::from_secs(600);

/// A drill.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Drill {
    id: Option<OrderId>,
    actor: Actor,
    reason: Option<String>,
    home: Colour,
    hold: Duration,
    phase: Phase,
    there: Option<Switched>,
    failed: Option<String>,
    held_since: Moment,
    /// An operator wants it home, whatever is known of home.
    pub(super) insists: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// On the way to the standby, or waiting for the proof of it.
    There,
    /// The standby is live until then.
    Hold(Moment),
    /// On the way home.
    Back,
    /// Home, and waiting for the proof of it.
    Home,
}

impl Drill {
    pub(super) fn timer(&self, now: Moment) -> Option<Moment> {
        match self.phase {
            Phase::Hold(until) => Some(until),
            Phase::Back => Some(now),
            Phase::There | Phase::Home => None,
        }
    }

    /// A drill that somebody else began, and that is only to be led home.
    pub(super) fn abandoned(home: Colour, now: Moment) -> Self {
        Self {
            id: None,
            actor: Actor::default(),
            reason: None,
            home,
            hold: Duration::ZERO,
            phase: Phase::Hold(now),
            there: None,
            failed: Some("the daemon was started anew while it was under way".to_owned()),
            held_since: now,
            insists: false,
        }
    }
}

impl Deployment {
    /// Begins a drill, by order or by itself.
    pub(super) fn begin_drill(
        &mut self,
        step: &mut Step<'_>,
        id: Option<OrderId>,
        (actor, reason): (Actor, Option<String>),
        (hold, force): (Duration, Force),
    ) {
        let now = step.now.moment;
        let home = self.live(now);
        let confirm = Some(hold.saturating_add(SAFETY));
        let cause = Cause::Drill;
        let asked = Asked { to: home.other(), cause, plan: None, agreed: true, confirm, under_way: false };
        let gates = self.gates(now, step.journal, &asked);
        if let Some(refusal) = refusal(&gates, &force, &self.place()) {
            let (order, why) = ("drill".to_owned(), refusal.what.replace('\n', "; "));
            let what = What::Refused { order, gates: against(&gates, &force), why };
            self.tell(step, &actor, reason.as_deref(), what);
            match id {
                Some(id) => step.answer(id, Err(refusal)),
                None => self.drill_due = Some(now.after(AGAIN)),
            }
            return;
        }
        let overridden = overridden(&gates, &force);
        let (phase, there, failed, insists) = (Phase::There, None, None, false);
        self.drill =
            Some(Drill { id, actor, reason, home, hold, phase, there, failed, held_since: now, insists });
        let fate = Fate::Keep;
        let go =
            Go { confirm, force, overridden, agreed: true, fate, ..self.by_itself(cause, home.other(), now) };
        self.go(step, Why::Drill, go);
    }

    /// Whether the standby is live for a drill, or about to be led home.
    pub(super) fn drill_holds(&self) -> bool {
        self.drill.as_ref().is_some_and(|drill| matches!(drill.phase, Phase::There | Phase::Hold(_)))
    }

    /// One way was gone and proved.
    pub(super) fn drill_went(&mut self, step: &mut Step<'_>, switched: Switched) {
        let now = step.now.moment;
        let Some(drill) = &mut self.drill else { return };
        match drill.phase {
            Phase::There => {
                let vip = switched.proof.vip == Some(false);
                let why = switched.proof.vip_detail.clone().unwrap_or_default();
                drill.phase = Phase::Hold(now.after(drill.hold));
                drill.held_since = now;
                drill.there = Some(switched);
                if vip {
                    self.drill_failed(step, format!("nobody is served through the VIP: {why}"));
                }
            }
            Phase::Home => self.end_drill(step, Some(switched)),
            Phase::Hold(_) | Phase::Back => {}
        }
    }

    /// Something speaks against going on: back at once.
    pub(super) fn drill_failed(&mut self, step: &mut Step<'_>, why: String) {
        let Some(drill) = &mut self.drill else { return };
        drill.failed.get_or_insert(why);
        if matches!(drill.phase, Phase::There | Phase::Hold(_)) {
            self.drill_back(step);
        }
    }

    /// An operator ends a drill: it goes home, which is where a rollback would lead.
    pub(super) fn drill_ordered_back(&mut self, step: &mut Step<'_>) {
        if let Some(drill) = &mut self.drill {
            drill.insists = true;
        }
        self.drill_failed(step, "an operator took it back".to_owned());
    }

    /// Nobody can lead it on or back any more: it ends where it is.
    pub(super) fn abort_drill(&mut self, step: &mut Step<'_>, why: String) {
        let Some(drill) = &mut self.drill else { return };
        drill.failed.get_or_insert(why);
        if let Some(Change { make: Make::Go(go), why: Why::Drill, .. }) = &self.change {
            let (cause, to, why) = (go.cause, go.to, "the drill is over".to_owned());
            self.change = None;
            self.note(step, What::NotSwitched { cause, to, why });
        }
        if self.change.as_ref().is_some_and(|change| change.why == Why::Drill) {
            self.change = None;
        }
        self.end_drill(step, None);
    }

    /// A way was refused, or could not be gone.
    pub(super) fn drill_refused(&mut self, step: &mut Step<'_>, refusal: Refusal, again: Moment) {
        let Some(drill) = &mut self.drill else { return };
        if drill.phase != Phase::There {
            // It is on its way home, and has to get there. If nothing else helps, the word goes home by itself.
            drill.failed.get_or_insert(refusal.what);
            self.hold_off = Some(again);
            return;
        }
        let id = drill.id.take();
        self.drill = None;
        match id {
            Some(id) => step.answer(id, Err(refusal)),
            None => self.drill_due = Some(step.now.moment.after(AGAIN)),
        }
    }

    /// Time has passed.
    pub(super) fn drill_timer(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        match self.drill.as_ref().map(|drill| drill.phase) {
            Some(Phase::Hold(until)) if now >= until && self.is_ready(now) => self.drill_back(step),
            Some(Phase::Back) => self.drill_home(step),
            Some(Phase::There | Phase::Hold(_) | Phase::Home) => {}
            None if self.drill_due.is_some_and(|due| now >= due) && self.is_ready(now) => {
                self.drill_due = None;
                if let Some(schedule) = self.policy.drill {
                    let said = (Actor::default(), Some("scheduled".to_owned()));
                    self.begin_drill(step, None, said, (schedule.hold, Force::Nothing));
                }
            }
            None => {}
        }
    }

    /// The time at the standby is over.
    fn drill_back(&mut self, step: &mut Step<'_>) {
        let Some(drill) = &mut self.drill else { return };
        drill.phase = Phase::Back;
        // A proof of the way there that is still being gathered is complete enough.
        if let Some(proving) = self.proving.take() {
            let proof = proving.switched.proof.clone();
            if let Some(drill) = &mut self.drill {
                drill.there.get_or_insert(proving.switched);
            }
            self.note(step, What::Proved { proof });
        }
        self.drill_home(step);
    }

    /// Goes home, unless that is known to fail and the standby is not.
    fn drill_home(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let Some(Drill { home, .. }) = self.drill else { return };
        if !self.is_ready(now) {
            return;
        }
        if self.live(now) == home {
            return self.end_drill(step, None);
        }
        if self.keeps_drill_from_home(home, now).is_some() {
            return self.alter(step, Why::Drill, Make::Confirm);
        }
        // Nobody's connection is reset for a drill.
        let go = Go { fate: Fate::Keep, ..self.by_itself(Cause::Drill, home, now) };
        self.go(step, Why::Drill, go);
    }

    /// Why a drill stays at the standby instead of going home, if it does.
    pub(super) fn keeps_drill_from_home(&self, home: Colour, now: Moment) -> Option<String> {
        let insists = self.drill.as_ref().is_some_and(|drill| drill.insists);
        let standby_fails = self.unfit_to_take_over(home.other(), now).is_some();
        self.unfit_to_take_over(home, now).filter(|_| !insists && !standby_fails)
    }

    /// Home is live, and only the proof of it is missing.
    pub(super) fn drill_is_home(&mut self) {
        if let Some(drill) = &mut self.drill {
            drill.phase = Phase::Home;
        }
    }

    /// Home has failed while the standby was live, so the standby stays.
    pub(super) fn drill_stays(&mut self, step: &mut Step<'_>) {
        let Some(drill) = &mut self.drill else { return };
        let home = drill.home;
        let why = self.unfit_to_take_over(home, step.now.moment);
        let why = why.unwrap_or_else(|| format!("{} was not healthy", self.named(home)));
        let why = format!("a drill did not go home, because {why}");
        if let Some(drill) = &mut self.drill {
            drill.failed.get_or_insert(why.clone());
        }
        let SliceMemory { version, identity } = self.slice(home).clone();
        self.rollback = Some(RollbackTarget { colour: home, identity, version, since: step.now.unix });
        self.watch = None;
        self.freeze(step, &why);
        self.note(step, What::Confirmed);
        self.end_drill(step, None);
        self.tell_frozen(step);
    }

    pub(super) fn end_drill(&mut self, step: &mut Step<'_>, back: Option<Switched>) {
        let Some(drill) = self.drill.take() else { return };
        let Drill { id, actor, reason, there, mut failed, held_since, home, .. } = drill;
        if back.is_none() {
            failed.get_or_insert_with(|| format!("the way back to {home} was not measured"));
        }
        let held_ms = u64::try_from(step.now.moment.since(held_since).as_millis()).unwrap_or(u64::MAX);
        let drilled = Box::new(Drilled { passed: failed.is_none(), why: failed, there, back, held_ms });
        self.watch = None;
        self.drilled = Some(step.now.unix);
        self.schedule_drill(step);
        self.tell(step, &actor, reason.as_deref(), What::Drilled { drilled: drilled.clone() });
        if let Some(id) = id {
            step.answer(id, Ok(Done::Drilled(drilled)));
        }
    }

    /// When the next scheduled drill is due, by the monotonic clock from here on.
    pub(super) fn schedule_drill(&mut self, step: &Step<'_>) {
        self.drill_due = self.policy.drill.map(|schedule| {
            let past = self.drilled.map_or(0, |unix| step.now.unix.saturating_sub(unix));
            let left = schedule.every.saturating_sub(Duration::from_secs(past));
            step.now.moment.after(left.max(AGAIN.min(schedule.every)))
        });
    }
}
