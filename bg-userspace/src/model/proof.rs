//! What the data plane and the probes say about a switch that was made.

use super::Moment;
use super::deployment::{Deployment, Step};
use super::health::Health;
use super::order::{Done, OrderId, Switched};
use super::record::What;
use bg_common::{Colour, Traffic};
use std::time::Duration;

/// An order waits so long for probes through the VIP.
const VIP_WITHIN: Duration = Duration::from_secs(2);

/// And so long for the first new flow, if there were flows before.
const FLOW_WITHIN: Duration = Duration::from_millis(250);

/// Later proof is not waited for.
const GIVE_UP: Duration = Duration::from_secs(60);

/// A proof that is being gathered.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Proving {
    /// The order that waits for it.
    id: Option<OrderId>,
    for_drill: bool,
    pub(super) switched: Switched,
    flipped: Moment,
    began: Moment,
    answer_by: Moment,
    give_up: Moment,
    waits_for_vip: bool,
}

impl Proving {
    pub(super) fn timer(&self) -> Moment {
        if self.is_waited_for() { self.answer_by } else { self.give_up }
    }

    /// Whether somebody waits for it.
    pub(super) const fn is_waited_for(&self) -> bool {
        self.id.is_some() || self.for_drill
    }

    /// Reads what the counters say about the switch.
    fn read(&mut self, traffic: &[Traffic; 2], health: &Health) {
        let of = |colour: Colour| traffic.get(colour.index()).copied().unwrap_or_default();
        let flipped = u64::try_from(self.flipped.0.as_nanos()).unwrap_or(u64::MAX);
        let (new, old) = (of(self.switched.to), of(self.switched.from));
        let (to, from) = (self.switched.to, self.switched.from);
        let is_own = |colour, ns| health.is_own(colour, Moment(Duration::from_nanos(ns)));
        let proof = &mut self.switched.proof;
        if proof.first_new_us.is_none() && new.first_new_ns >= flipped {
            proof.first_new_us = Some((new.first_new_ns - flipped) / 1000);
        }
        if old.last_new_ns != 0 {
            let difference = i128::from(old.last_new_ns) - i128::from(flipped);
            proof.last_old_us = i64::try_from(difference / 1000).ok();
            proof.last_old_is_probe = is_own(from, old.last_new_ns);
        }
        if proof.first_new_us.is_some() {
            proof.first_new_is_probe = is_own(to, new.first_new_ns);
        }
    }
}

impl Deployment {
    /// Begins to gather proof of a switch.
    pub(super) fn prove(
        &mut self,
        step: &mut Step<'_>,
        (id, for_drill): (Option<OrderId>, bool),
        switched: Switched,
        (began, flipped): (Moment, Moment),
    ) {
        self.conclude(step);
        let now = step.now.moment;
        let waits_for_vip = self.policy.probes.iter().any(|probe| probe.vip);
        let within = match (waits_for_vip, switched.staying) {
            (true, _) => VIP_WITHIN,
            (false, Some(1..)) => FLOW_WITHIN,
            (false, _) => Duration::ZERO,
        };
        let (answer_by, give_up) = (now.after(within), now.after(GIVE_UP));
        self.proving =
            Some(Proving { id, for_drill, switched, flipped, began, answer_by, give_up, waits_for_vip });
        self.proof_timer(step);
    }

    /// Takes notice of what probes and counters say by now.
    pub(super) fn proof_timer(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let (vip, detail) = self.health.vip_so_far(&self.policy);
        let traffic = *self.health.counters();
        let Some(proving) = &mut self.proving else { return };
        proving.read(&traffic, &self.health);
        let proof = &mut proving.switched.proof;
        if proving.waits_for_vip && proof.vip != Some(true) && vip.is_some() {
            (proof.vip, proof.vip_detail) = (vip, detail);
        }
        let vip_known = !proving.waits_for_vip || proof.vip.is_some();
        let complete = vip_known && proof.first_new_us.is_some();
        if proving.is_waited_for() && (complete || now >= proving.answer_by) {
            let took = now.since(proving.began).as_millis();
            proving.switched.proof.took_ms = u64::try_from(took).unwrap_or(u64::MAX);
            let (id, for_drill) = (proving.id.take(), std::mem::take(&mut proving.for_drill));
            let switched = proving.switched.clone();
            if let Some(id) = id {
                step.answer(id, Ok(Done::Switched(switched.clone())));
            }
            if for_drill {
                self.drill_went(step, switched);
            }
        }
        let over = self.proving.as_ref().is_some_and(|proving| complete || now >= proving.give_up);
        if over {
            self.conclude(step);
        }
    }

    /// Ends the gathering with what is known.
    pub(super) fn conclude(&mut self, step: &mut Step<'_>) {
        let Some(Proving { id, for_drill, switched, .. }) = self.proving.take() else { return };
        self.note(step, What::Proved { proof: switched.proof.clone() });
        if let Some((last, _)) = self.last.as_mut().filter(|(last, _)| last.generation == switched.generation)
        {
            last.proof = switched.proof.clone();
        }
        if let Some(id) = id {
            step.answer(id, Ok(Done::Switched(switched.clone())));
        }
        if for_drill {
            self.drill_went(step, switched);
        }
    }
}
