//! What each order asks for.

use super::change::{Go, Make, Why};
use super::deployment::{Deployment, Step};
use super::gates::{Asked, overridden, refusal};
use super::order::{Actor, Done, Order, OrderId, RollbackOrder, SwitchOrder, Verb};
use super::plan::Plan;
use super::record::{Cause, Freeze, Override, What};
use super::{Moment, policy::FateChoice};
use crate::refusal::Refusal;
use bg_common::Colour;
use bg_common::word::Fate;
use std::net::IpAddr;
use std::time::Duration;

/// New flows are held for no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Who orders, and how the answer finds its way.
struct Said {
    id: OrderId,
    actor: Actor,
    reason: Option<String>,
}

impl Said {
    fn why(self) -> Why {
        let Self { id, actor, reason } = self;
        Why::Order { id, actor, reason }
    }
}

impl Deployment {
    /// Carries out an order, or begins to.
    pub(super) fn order(&mut self, step: &mut Step<'_>, id: OrderId, order: Order) {
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
            Verb::Drill { hold, force } => {
                self.begin_drill(step, Some(id), (said.actor, said.reason), (hold, force));
            }
        }
    }

    fn refuse(&self, step: &mut Step<'_>, said: &Said, verb: &str, refusal: Refusal) {
        let gates = vec![refusal.code.trim_start_matches("gate-").to_owned()];
        let what = What::Refused { order: verb.to_owned(), gates, why: refusal.what.clone() };
        self.tell(step, &said.actor, said.reason.as_deref(), what);
        step.answer(said.id, Err(refusal));
    }

    fn no(&self, step: &mut Step<'_>, said: &Said, verb: &str, (code, what, mend): (&str, String, String)) {
        let refusal = Refusal::new(code, what, self.place(), mend);
        self.refuse(step, said, verb, refusal);
    }

    fn order_switch(&mut self, step: &mut Step<'_>, said: Said, order: SwitchOrder) {
        let now = step.now.moment;
        let SwitchOrder { to, plan, force, confirm_within, bake, fate, agreed } = order;
        let live = self.live(now);
        let target = to.unwrap_or(live.other());
        if target == live && plan.is_none() && self.change.is_none() {
            let switched = self.as_it_is(target);
            return step.answer(said.id, Ok(Done::Switched(switched)));
        }
        let confirm = confirm_within.or(self.policy.confirm_within).filter(|it| !it.is_zero());
        let bake = bake.or(self.policy.bake).filter(|it| !it.is_zero());
        let asked = Asked { to: target, cause: Cause::Switch, plan, agreed, confirm, under_way: false };
        let gates = self.gates(now, step.journal, &asked);
        if let Some(refusal) = refusal(&gates, &force, &self.place()) {
            return self.refuse(step, &said, "switch", refusal);
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
        if self.drill.is_some() && self.change.is_none() {
            // A drill is ended by going home, which is where a rollback would lead.
            self.drill_failed(step, "an operator took it back".to_owned());
            let what = "the drill is over, and its way back under way".to_owned();
            return self.answer_changed(step, said.id, what);
        }
        let to = self.live(now).other();
        let (cause, under_way) = (Cause::Rollback, false);
        let asked = Asked { to, cause, plan: None, agreed: true, confirm: None, under_way };
        let gates = self.gates(now, step.journal, &asked);
        if let Some(refusal) = refusal(&gates, &force, &self.place()) {
            return self.refuse(step, &said, "rollback", refusal);
        }
        let overridden = overridden(&gates, &force);
        let fate = fate.unwrap_or(self.policy.fate);
        let go = Go { fate, force, overridden, named: false, ..self.by_itself(cause, to, now) };
        self.go(step, said.why(), go);
    }

    fn order_confirm(&mut self, step: &mut Step<'_>, said: Said) {
        let waits = self.word.unpack().is_ok_and(|fields| fields.revert_at_deadline) && self.drill.is_none();
        let passed = self.word.effective(step.tick()) != self.word;
        if waits && !passed {
            return self.order_alter(step, said, Make::Confirm);
        }
        let name = &self.name;
        let late = self.last.as_ref().is_some_and(|(last, _)| last.confirm_within_s.is_none())
            && self.frozen.as_ref().is_some_and(|freeze| freeze.automatic);
        let no = if passed || late {
            let what = "it comes too late: the switch has gone back already".to_owned();
            (
                "too-late",
                what,
                format!(
                    "bgctl status {name}; to switch again: bgctl unfreeze {name}, then bgctl switch {name}"
                ),
            )
        } else {
            (
                "nothing-to-confirm",
                "no switch waits for its confirmation".to_owned(),
                format!("bgctl status {name}"),
            )
        };
        self.no(step, &said, "confirm", no);
    }

    fn order_stage(
        &mut self,
        step: &mut Step<'_>,
        said: Said,
        (colour, version): (Option<Colour>, Option<String>),
        (give_up_rollback, hotfix): (bool, bool),
    ) {
        let name = self.name.clone();
        let live = self.live(step.now.moment);
        let colour = colour.unwrap_or(live.other());
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
        let watched = self.watch.is_some() && colour != live;
        if watched && !give_up_rollback {
            let what = format!("the switch away from {} is still being watched", self.named(colour));
            let mend = format!("bgctl confirm {name} or wait; to give the way back up: --give-up-rollback");
            return self.no(step, &said, "stage", ("gives-up-rollback", what, mend));
        }
        if watched {
            // There is nothing left to go back to.
            self.watch = self.watch.take().filter(|watch| watch.confirm_until.is_some());
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

    fn order_pause(&mut self, step: &mut Step<'_>, said: Said, time: Duration) {
        if time.is_zero() || time > LONGEST_PAUSE {
            let what = format!("new flows cannot be held for {} s", time.as_secs_f32());
            let mend = format!("choose up to {} s: bgctl pause --for 20s", LONGEST_PAUSE.as_secs());
            return self.no(step, &said, "pause", ("bad-pause", what, mend));
        }
        if self.word.unpack().is_ok_and(|fields| fields.revert_at_deadline) {
            let what = "a switch waits for its confirmation, which needs the word's only deadline".to_owned();
            let mend = format!("bgctl confirm {0}, or bgctl rollback {0}, then pause", self.name);
            return self.no(step, &said, "pause", ("deadline-in-use", what, mend));
        }
        self.order_alter(step, said, Make::Pause(time));
    }

    /// A change of the word that leaves live who is live.
    fn order_alter(&mut self, step: &mut Step<'_>, said: Said, make: Make) {
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

    fn order_extend(&mut self, step: &mut Step<'_>, said: Said, by: Duration) {
        let Some(drain) = self.drain.as_mut().filter(|_| self.word.fate() == Fate::Keep) else {
            return self.no_drain(step, &said);
        };
        drain.until = Some(Moment(step.now.moment.0 + by));
        self.tell(step, &said.actor, said.reason.as_deref(), What::DrainExtended { seconds: by.as_secs() });
        let fate = self.policy.drain_limit.map_or(FateChoice::Reset, |limit| limit.fate);
        let fate = super::made::fate_name(fate);
        let what = format!("the drain ends in {} s; what is left then gets its fate: {fate}", by.as_secs());
        self.answer_changed(step, said.id, what);
    }

    fn order_end_drain(&mut self, step: &mut Step<'_>, said: Said, fate: FateChoice) {
        if self.drain.is_none() {
            return self.no_drain(step, &said);
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

    fn order_override(
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
        let what = What::Override { colour, backend, state: name.to_owned() };
        self.tell(step, &said.actor, said.reason.as_deref(), what);
        let whom = backend.map_or_else(|| colour.to_string(), |address| format!("{colour} {address}"));
        let sentence = match state {
            None => format!("{whom} is what probes say"),
            Some(_) => format!("{whom} is {name}, whatever probes say"),
        };
        self.answer_changed(step, said.id, sentence);
        self.judge(step);
        self.look(step);
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
            bake_s: self.policy.bake.map(|it| it.as_secs()),
            confirm_within_s: confirm.map(|it| it.as_secs()),
            probes: self.health.verdicts(&self.policy, &self.overrides, now),
            passive: Colour::BOTH.map(|colour| self.health.passive(&self.policy, colour, now)),
            gates,
        }
    }
}
