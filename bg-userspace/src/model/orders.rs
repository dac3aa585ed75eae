//! What each order asks for, and those that change who is live.

use super::change::{Change, Go, Make, Why};
use super::deployment::{Deployment, Step};
use super::gates::{Asked, against, overridden, refusal, unknown_gate};
use super::order::{Actor, Done, Force, Order, OrderId, RollbackOrder, SwitchOrder, Verb};
use super::plan::Plan;
use super::record::{Cause, Freeze, What};
use crate::refusal::Refusal;
use bg_common::Colour;
use std::time::Duration;

/// A switch waits no longer for its confirmation, is watched no longer, and a drill holds no longer than this.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Who orders, and how the answer finds its way.
pub(super) struct Said {
    pub(super) id: OrderId,
    pub(super) actor: Actor,
    pub(super) reason: Option<String>,
}

impl Said {
    pub(super) fn why(self) -> Why {
        let Self { id, actor, reason } = self;
        Why::Order { id, actor, reason }
    }
}

impl Deployment {
    /// An order waits while it is being written down what the programs did: what it may do hangs on that.
    pub(super) fn order(&mut self, step: &mut Step<'_>, id: OrderId, order: Order) {
        if self.change.is_none() && self.is_lapsed(step.now.moment) {
            self.hold_off = None;
            self.settle(step);
        }
        let settles = self.change.as_ref().is_some_and(|change| change.make == Make::Settle);
        if settles {
            self.queued.push((id, order));
        } else {
            self.carry_out(step, id, order);
        }
    }

    pub(super) fn carry_out_queued(&mut self, step: &mut Step<'_>) {
        let mut waiting = std::mem::take(&mut self.queued).into_iter();
        while !self.change.as_ref().is_some_and(Change::is_exchanging)
            && let Some((id, order)) = waiting.next()
        {
            self.carry_out(step, id, order);
        }
        self.queued = waiting.collect();
    }

    /// Carries out an order, or begins to.
    fn carry_out(&mut self, step: &mut Step<'_>, id: OrderId, order: Order) {
        let Order { deployment: _, verb, actor, reason } = order;
        let said = Said { id, actor, reason };
        match verb {
            Verb::Switch(order) => self.order_switch(step, said, order),
            Verb::Rollback(order) => self.order_rollback(step, said, order),
            Verb::Plan { to } => {
                let plan = self.plan(step, to);
                step.answer(id, Ok(Done::Plan(Box::new(plan))));
            }
            Verb::Confirm => self.order_confirm(step, said),
            Verb::Stage { colour, version, give_up_rollback, hotfix } => {
                self.order_stage(step, said, (colour, version), (give_up_rollback, hotfix));
            }
            Verb::Freeze => {
                let why = said.reason.clone().unwrap_or_else(|| "by order".to_owned());
                self.frozen = Some(Freeze { why: why.clone(), since: step.now.unix, automatic: false });
                self.tell(step, &said.actor, said.reason.as_deref(), What::Frozen { why });
                self.answer_changed(step, id, "frozen: switches are refused until it is unfrozen".to_owned());
            }
            Verb::Unfreeze => {
                let was = self.frozen.take();
                if was.is_some() {
                    self.tell(step, &said.actor, said.reason.as_deref(), What::Unfrozen);
                }
                let what = if was.is_some() { "switches are allowed again" } else { "it was not frozen" };
                self.answer_changed(step, id, what.to_owned());
            }
            Verb::Pause { time } => self.order_pause(step, said, time),
            Verb::Resume => {
                if self.word.is_paused() {
                    self.order_alter(step, said, Make::Resume);
                } else {
                    self.answer_changed(step, id, "new flows were not held".to_owned());
                }
            }
            Verb::DrainExtend { by } => self.order_extend(step, said, by),
            Verb::DrainEnd { fate } => self.order_end_drain(step, said, fate),
            Verb::Override { colour, backend, state } => {
                self.order_override(step, said, colour, backend, state)
            }
            Verb::Canary { share, force } => self.order_canary(step, said, share, force),
            Verb::Preview { prefix, to } => self.order_preview(step, said, prefix, to),
            Verb::Drill { hold, force } => {
                if let Some(refusal) = self.bad_input(&force, &[("a drill can hold", hold)]) {
                    return self.refuse(step, &said, "drill", refusal);
                }
                self.begin_drill(step, Some(id), (said.actor, said.reason), (hold, force));
            }
        }
    }

    /// The refusal of what no order can mean.
    pub(super) fn bad_input(&self, force: &Force, times: &[(&str, Duration)]) -> Option<Refusal> {
        let long = |(whose, time): &(&str, Duration)| {
            let what = format!("{whose} for at most {} s, and not {} s", LONGEST.as_secs(), time.as_secs());
            Refusal::new("bad-time", what, self.place(), "choose a shorter time, such as 10m")
        };
        let too_long = times.iter().find(|(_, time)| *time > LONGEST).map(long);
        too_long.or_else(|| unknown_gate(force, &self.place()))
    }

    pub(super) fn refuse(&self, step: &mut Step<'_>, said: &Said, verb: &str, refusal: Refusal) {
        let gates = vec![refusal.code.trim_start_matches("gate-").to_owned()];
        self.refuse_by(step, said, (verb, gates), refusal);
    }

    fn refuse_by(
        &self,
        step: &mut Step<'_>,
        said: &Said,
        (verb, gates): (&str, Vec<String>),
        refusal: Refusal,
    ) {
        let why = refusal.what.replace('\n', "; ");
        let what = What::Refused { order: verb.to_owned(), gates, why };
        self.tell(step, &said.actor, said.reason.as_deref(), what);
        step.answer(said.id, Err(refusal));
    }

    pub(super) fn no(
        &self,
        step: &mut Step<'_>,
        said: &Said,
        verb: &str,
        (code, what, mend): (&str, String, String),
    ) {
        let refusal = Refusal::new(code, what, self.place(), mend);
        self.refuse(step, said, verb, refusal);
    }

    fn order_switch(&mut self, step: &mut Step<'_>, said: Said, order: SwitchOrder) {
        let now = step.now.moment;
        let SwitchOrder { to, plan, force, confirm_within, bake, fate, agreed } = order;
        let live = self.live(now);
        let times =
            [("a switch can wait for its confirmation", confirm_within), ("a switch can be watched", bake)];
        let times = times.map(|(whose, time)| (whose, time.unwrap_or_default()));
        if let Some(refusal) = self.bad_input(&force, &times) {
            return self.refuse(step, &said, "switch", refusal);
        }
        let target = to.unwrap_or(live.other());
        if target == live && plan.is_none() && self.change.is_none() {
            if self.drifted.take().is_some() {
                // Whoever orders what somebody else has done takes it as it is.
                let (cause, why) = (Cause::Switch, format!("{} is live already", self.named(target)));
                let what = What::NotSwitched { cause, to: target, why };
                self.tell(step, &said.actor, said.reason.as_deref(), what);
            }
            let switched = self.as_it_is(target);
            return step.answer(said.id, Ok(Done::Switched(switched)));
        }
        let confirm = confirm_within.or(self.policy.confirm_within).filter(|it| !it.is_zero());
        let bake = bake.or(self.policy.bake).filter(|it| !it.is_zero());
        let asked = Asked { to: target, cause: Cause::Switch, plan, agreed, confirm, under_way: false };
        let gates = self.gates(now, step.journal, &asked);
        if let Some(refusal) = refusal(&gates, &force, &self.place()) {
            return self.refuse_by(step, &said, ("switch", against(&gates, &force)), refusal);
        }
        let overridden = overridden(&gates, &force);
        let go = Go {
            fate: fate.unwrap_or(self.policy.fate),
            confirm,
            bake,
            named: to.is_some(),
            plan,
            force,
            agreed,
            overridden,
            ..self.by_itself(Cause::Switch, target, now)
        };
        self.go(step, said.why(), go);
    }

    fn order_rollback(&mut self, step: &mut Step<'_>, said: Said, order: RollbackOrder) {
        let now = step.now.moment;
        let RollbackOrder { force, fate } = order;
        if let Some(refusal) = self.bad_input(&force, &[]) {
            return self.refuse(step, &said, "rollback", refusal);
        }
        if self.drill.is_some() && self.change.as_ref().is_none_or(Change::gives_way) {
            return self.order_drill_back(step, said, &force);
        }
        let to = self.live(now).other();
        let (cause, under_way) = (Cause::Rollback, false);
        let asked = Asked { to, cause, plan: None, agreed: true, confirm: None, under_way };
        let gates = self.gates(now, step.journal, &asked);
        if let Some(refusal) = refusal(&gates, &force, &self.place()) {
            return self.refuse_by(step, &said, ("rollback", against(&gates, &force)), refusal);
        }
        let overridden = overridden(&gates, &force);
        let fate = fate.unwrap_or(self.policy.fate);
        let go = Go { fate, force, overridden, named: false, ..self.by_itself(cause, to, now) };
        self.make_way(step, &format!("a rollback to {}", self.named(to)));
        self.go(step, said.why(), go);
    }

    /// A drill is ended by going home, which is where a rollback would lead.
    fn order_drill_back(&mut self, step: &mut Step<'_>, said: Said, force: &Force) {
        let now = step.now.moment;
        let live = self.live(now);
        if self.change.is_some() {
            // It has not left home yet.
            self.make_way(step, "the order to end the drill");
            let what = format!("the drill is over before it has begun: {} is live still", self.named(live));
            return self.answer_changed(step, said.id, what);
        }
        let home = live.other();
        if let Some(why) = self.unfit_to_take_over(home, now).filter(|_| self.drill_holds())
            && !force.overrides("health")
        {
            let mend = format!(
                "bgctl health {0}; to go back all the same: bgctl rollback {0} --force=health",
                self.name
            );
            return self.no(step, &said, "rollback", ("gate-health", why, mend));
        }
        let id = said.id;
        self.drill_ordered_back(step);
        let what = "the drill is over, and its way back under way".to_owned();
        self.answer_changed(step, id, what);
    }

    fn order_confirm(&mut self, step: &mut Step<'_>, said: Said) {
        if self.waits_for_confirmation() {
            return self.order_alter(step, said, Make::Confirm);
        }
        if self.drill.is_none() && self.change.is_none() && self.watch.take().is_some() {
            // Whoever has seen enough ends the bake time.
            self.tell(step, &said.actor, said.reason.as_deref(), What::Confirmed);
            let what =
                format!("confirmed: {} stays live, and is watched no more", self.named(self.word.live()));
            return self.answer_changed(step, said.id, what);
        }
        let name = &self.name;
        // What was taken back is no rollback target, unlike what failed over.
        let late = self.frozen.as_ref().is_some_and(|freeze| freeze.automatic) && self.rollback.is_none();
        let no = if late {
            let mend = format!(
                "bgctl status {name}; to switch again: bgctl unfreeze {name}, then bgctl switch {name}"
            );
            ("too-late", "it comes too late: the switch has gone back already".to_owned(), mend)
        } else {
            let what = "no switch waits for its confirmation".to_owned();
            ("nothing-to-confirm", what, format!("bgctl status {name}"))
        };
        self.no(step, &said, "confirm", no);
    }

    /// What a switch would do.
    fn plan(&self, step: &Step<'_>, to: Option<Colour>) -> Plan {
        let now = step.now.moment;
        let from = self.live(now);
        let to = to.unwrap_or(from.other());
        let confirm = self.policy.confirm_within;
        let (cause, under_way) = (Cause::Switch, false);
        let asked = Asked { to, cause, plan: None, agreed: false, confirm, under_way };
        let gates = self.gates(now, step.journal, &asked);
        Plan {
            deployment: self.name.clone(),
            plan: self.plan_id(&gates, to),
            from,
            to,
            slices: self.identities(now),
            staying: self.staying(from),
            oldest_s: self.oldest(from).map(|age| age.as_secs()),
            fate: super::made::fate_name(self.policy.fate).to_owned(),
            canary: self.canary(now),
            bake_s: self.policy.bake.map(|it| it.as_secs()),
            confirm_within_s: confirm.map(|it| it.as_secs()),
            probes: self.health.verdicts(&self.policy, &self.overrides, now),
            passive: Colour::BOTH.map(|colour| self.health.passive(&self.policy, colour, now)),
            gates,
        }
    }
}
