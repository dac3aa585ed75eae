//! A drill: to the standby and back under the gates of a switch, measured both ways. The word itself goes
//! back if the daemon dies meanwhile.

use super::Moment;
use super::change::{Go, Why};
use super::deployment::{Deployment, Step};
use super::gates::{Asked, overridden, refusal};
use super::order::{Actor, Done, Drilled, Force, OrderId, Switched};
use super::record::{Cause, What};
use crate::refusal::Refusal;
use bg_common::Colour;
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
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    There,
    Hold(Moment),
    Back,
}

impl Drill {
    pub(super) fn timer(&self) -> Option<Moment> {
        match self.phase {
            Phase::Hold(until) => Some(until),
            Phase::There | Phase::Back => None,
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
            failed: None,
            held_since: now,
        }
    }

    /// Whether it is on its way to the standby.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.phase == Phase::There && self.there.is_none()
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
        let confirm = Some(hold + SAFETY);
        let cause = Cause::Drill;
        let asked = Asked { to: home.other(), cause, plan: None, agreed: true, confirm, under_way: false };
        let gates = self.gates(now, step.journal, &asked);
        if let Some(refusal) = refusal(&gates, &force, &self.place()) {
            let shut = gates.iter().filter(|gate| !gate.open).map(|gate| gate.name.clone()).collect();
            let what = What::Refused { order: "drill".to_owned(), gates: shut, why: refusal.what.clone() };
            self.tell(step, &actor, reason.as_deref(), what);
            match id {
                Some(id) => step.answer(id, Err(refusal)),
                None => self.drill_due = Some(Moment(now.0 + AGAIN)),
            }
            return;
        }
        let overridden = overridden(&gates, &force);
        let (phase, there, failed) = (Phase::There, None, None);
        self.drill = Some(Drill { id, actor, reason, home, hold, phase, there, failed, held_since: now });
        let go = Go { confirm, force, overridden, agreed: true, ..self.by_itself(cause, home.other(), now) };
        self.go(step, Why::Drill, go);
    }

    /// One way was gone and proved.
    pub(super) fn drill_went(&mut self, step: &mut Step<'_>, switched: Switched) {
        let now = step.now.moment;
        let Some(drill) = &mut self.drill else { return };
        match drill.phase {
            Phase::There => {
                let vip = switched.proof.vip == Some(false);
                let why = switched.proof.vip_detail.clone().unwrap_or_default();
                drill.phase = Phase::Hold(Moment(now.0 + drill.hold));
                drill.held_since = now;
                drill.there = Some(switched);
                if vip {
                    self.drill_failed(step, format!("nobody is served through the VIP: {why}"));
                }
            }
            Phase::Back => self.end_drill(step, Some(switched)),
            Phase::Hold(_) => {}
        }
    }

    /// Something speaks against going on: back at once.
    pub(super) fn drill_failed(&mut self, step: &mut Step<'_>, why: String) {
        let now = step.now.moment;
        let Some(drill) = &mut self.drill else { return };
        drill.failed.get_or_insert(why);
        if drill.phase == Phase::Back {
            return;
        }
        let home = drill.home;
        if self.live(now) == home {
            return self.end_drill(step, None);
        }
        self.drill_back(step);
    }

    /// A way was refused, or could not be gone.
    pub(super) fn drill_refused(&mut self, step: &mut Step<'_>, refusal: Refusal) {
        let now = step.now.moment;
        let Some(drill) = &mut self.drill else { return };
        if drill.there.is_none() {
            let id = drill.id.take();
            self.drill = None;
            self.watch = None;
            match id {
                Some(id) => step.answer(id, Err(refusal)),
                None => self.drill_due = Some(Moment(now.0 + AGAIN)),
            }
            return;
        }
        drill.failed.get_or_insert(refusal.what);
        self.end_drill(step, None);
    }

    /// Time has passed.
    pub(super) fn drill_timer(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        if let Some(Drill { phase: Phase::Hold(until), .. }) = self.drill
            && now >= until
            && self.change.is_none()
        {
            self.drill_back(step);
        }
        if self.drill.is_none() && self.drill_due.is_some_and(|due| now >= due) {
            self.drill_due = None;
            if let Some(schedule) = self.policy.drill {
                let said = (Actor::default(), Some("scheduled".to_owned()));
                self.begin_drill(step, None, said, (schedule.hold, Force::Nothing));
            }
        }
    }

    fn drill_back(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let Some(drill) = &mut self.drill else { return };
        drill.phase = Phase::Back;
        let home = drill.home;
        self.watch = None;
        // A proof of the way there that is still being gathered is complete enough.
        if let Some(proving) = self.proving.take() {
            let proof = proving.switched.proof.clone();
            if let Some(drill) = &mut self.drill {
                drill.there.get_or_insert(proving.switched);
            }
            self.note(step, What::Proved { proof });
        }
        if self.change.is_none() {
            let go = self.by_itself(Cause::Drill, home, now);
            self.go(step, Why::Drill, go);
        }
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
            Moment(step.now.moment.0 + left.max(AGAIN.min(schedule.every)))
        });
    }
}
