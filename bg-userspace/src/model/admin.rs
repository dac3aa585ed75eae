//! Orders that leave live who is live: staging, pauses, drains, and what operators say of health.

use super::change::Make;
use super::deployment::{Deployment, Step};
use super::orders::Said;
use super::policy::FateChoice;
use super::record::{Override, What};
use crate::refusal::Refusal;
use bg_common::Colour;
use bg_common::word::Fate;
use std::net::IpAddr;
use std::time::Duration;

/// New flows are held for no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// No drain lasts longer than this.
const LONGEST_DRAIN: Duration = Duration::from_secs(30 * 86_400);

impl Deployment {
    pub(super) fn order_stage(
        &mut self,
        step: &mut Step<'_>,
        said: Said,
        (colour, version): (Option<Colour>, Option<String>),
        (give_up_rollback, hotfix): (bool, bool),
    ) {
        let name = self.name.clone();
        let live = self.live(step.now.moment);
        let colour = colour.unwrap_or(if hotfix { live } else { live.other() });
        if !self.is_idle() {
            let mend = format!("wait for its end: bgctl status {name}");
            let what = "another order is being carried out".to_owned();
            return self.no(step, &said, "stage", ("gate-in-progress", what, mend));
        }
        if colour == live && !hotfix {
            let what =
                format!("{} is live: staging over it would change what clients get", self.named(colour));
            let mend = format!(
                "stage the other side (--colour {}), or say that live was mended in place: --hotfix",
                live.other()
            );
            return self.no(step, &said, "stage", ("stage-live", what, mend));
        }
        let target =
            self.rollback.as_ref().is_some_and(|target| target.colour == colour && self.holds(target));
        if target && colour != live && !give_up_rollback {
            let what = format!("{} is the rollback target, and the only one", self.named(colour));
            let mend = format!("to give it up: bgctl stage {name} --version … --give-up-rollback");
            return self.no(step, &said, "stage", ("gives-up-rollback", what, mend));
        }
        if colour != live && self.waits_for_confirmation() {
            let what = format!("the switch away from {} may go back to it by itself", self.named(colour));
            let mend = format!("bgctl confirm {name}, then stage");
            return self.no(step, &said, "stage", ("waits-for-confirmation", what, mend));
        }
        let watched = self.watch.is_some() && colour != live;
        if watched && !give_up_rollback {
            let what = format!("the switch away from {} is still being watched", self.named(colour));
            let mend = format!("bgctl confirm {name} or wait; to give the way back up: --give-up-rollback");
            return self.no(step, &said, "stage", ("gives-up-rollback", what, mend));
        }
        if watched {
            // There is nothing left to go back to.
            self.watch = None;
        }
        let slice = self.slice_mut(colour);
        slice.version.clone_from(&version);
        if colour != live {
            slice.identity += 1;
        }
        self.health.restart_passive(colour);
        let gave_up_rollback = target && colour != live;
        let what = What::Staged { colour, version, gave_up_rollback, hotfix: colour == live };
        self.tell(step, &said.actor, said.reason.as_deref(), what);
        let sentence = if colour == live {
            format!("{} is live, mended in place", self.named(colour))
        } else {
            format!("{} is staging", self.named(colour))
        };
        self.answer_changed(step, said.id, sentence);
    }

    pub(super) fn order_pause(&mut self, step: &mut Step<'_>, said: Said, time: Duration) {
        if time.is_zero() || time > LONGEST_PAUSE {
            let what = format!("new flows cannot be held for {} s", time.as_secs_f32());
            let mend = format!("choose up to {} s: bgctl pause --for 20s", LONGEST_PAUSE.as_secs());
            return self.no(step, &said, "pause", ("bad-pause", what, mend));
        }
        if self.word.unpack().is_ok_and(|fields| fields.revert_at_deadline) {
            let refusal = self.deadline_in_use();
            return self.refuse(step, &said, "pause", refusal);
        }
        self.order_alter(step, said, Make::Pause(time));
    }

    /// The refusal for a second use of the word's only deadline.
    pub(super) fn deadline_in_use(&self) -> Refusal {
        let who =
            if self.drill.is_some() { "a drill is under way" } else { "a switch waits for its confirmation" };
        let what = format!("{who}, which needs the word's only deadline");
        let mend = format!("bgctl confirm {0}, or bgctl rollback {0}, then pause", self.name);
        Refusal::new("deadline-in-use", what, self.place(), mend)
    }

    /// A change of the word that leaves live who is live.
    pub(super) fn order_alter(&mut self, step: &mut Step<'_>, said: Said, make: Make) {
        if self.change.is_some() {
            let mend = format!("wait for its end: bgctl status {}", self.name);
            let what = "another order is being carried out".to_owned();
            return self.no(step, &said, "order", ("gate-in-progress", what, mend));
        }
        self.alter(step, said.why(), make);
    }

    fn no_drain(&self, step: &mut Step<'_>, said: &Said) {
        let no = ("no-drain", "nothing drains".to_owned(), format!("bgctl status {}", self.name));
        self.no(step, said, "drain", no);
    }

    pub(super) fn order_extend(&mut self, step: &mut Step<'_>, said: Said, by: Duration) {
        if by > LONGEST_DRAIN {
            let what = format!("a drain cannot last {} s more", by.as_secs());
            let mend = format!("choose up to {} s", LONGEST_DRAIN.as_secs());
            return self.no(step, &said, "drain", ("bad-time", what, mend));
        }
        let Some(drain) = self.drain.as_mut().filter(|_| self.word.fate() == Fate::Keep) else {
            return self.no_drain(step, &said);
        };
        drain.until = Some(step.now.moment.after(by));
        self.tell(step, &said.actor, said.reason.as_deref(), What::DrainExtended { seconds: by.as_secs() });
        let fate = self.policy.drain_limit.map_or(FateChoice::Reset, |limit| limit.fate);
        let fate = super::made::fate_name(fate);
        let what = format!("the drain ends in {} s; what is left then gets its fate: {fate}", by.as_secs());
        self.answer_changed(step, said.id, what);
    }

    pub(super) fn order_end_drain(&mut self, step: &mut Step<'_>, said: Said, fate: FateChoice) {
        if self.drain.is_none() {
            return self.no_drain(step, &said);
        }
        if self.word.canary() > 0 {
            let what = format!("the canary leads new flows to {}", self.named(self.word.live().other()));
            let mend = format!("bgctl canary {} 0, then end the drain", self.name);
            return self.no(step, &said, "drain", ("canary", what, mend));
        }
        if fate == FateChoice::Keep {
            let what = "flows that are kept do not end".to_owned();
            return self.no(
                step,
                &said,
                "drain",
                ("bad-fate", what, "--fate reset, or --fate move".to_owned()),
            );
        }
        self.order_alter(step, said, Make::Fate(fate));
    }

    pub(super) fn order_override(
        &mut self,
        step: &mut Step<'_>,
        said: Said,
        colour: Colour,
        backend: Option<IpAddr>,
        state: Option<bool>,
    ) {
        let addrs = self.policy.slices.get(colour.index()).map(Vec::as_slice).unwrap_or_default();
        if let Some(address) = backend.filter(|address| !addrs.contains(address)) {
            let known = addrs.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{address} is no machine of {colour}");
            return self.no(
                step,
                &said,
                "health",
                ("unknown-backend", what, format!("name one of: {known}")),
            );
        }
        self.overrides.retain(|one| (one.colour, one.backend) != (colour, backend));
        if let Some(up) = state {
            self.overrides.push(Override { colour, backend, up });
        }
        let name = match state {
            Some(true) => "up",
            Some(false) => "down",
            None => "auto",
        };
        let whom = backend.map_or_else(|| colour.to_string(), |address| format!("{colour} {address}"));
        let sentence = match state {
            None => format!("{whom} is what probes say"),
            Some(_) => format!("{whom} is {name}, whatever probes say"),
        };
        self.judge(step);
        // After what follows from it, so that a restart knows the backends that are down.
        let what = What::Override { colour, backend, state: name.to_owned() };
        self.tell(step, &said.actor, said.reason.as_deref(), what);
        self.answer_changed(step, said.id, sentence);
    }
}
