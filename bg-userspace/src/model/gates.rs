//! The conditions of a switch. Each has a name, says what it found, and how to mend it.

mod canary;

use super::Moment;
use super::deployment::{Deployment, tick};
use super::made::fate_name;
use super::order::Force;
use super::plan::{Gate, PlanId};
use super::policy::Policy;
use super::record::{Cause, Role};
use crate::refusal::Refusal;
use bg_common::{Colour, Word};
use std::time::Duration;

/// What the gates are asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) to: Colour,
    pub(super) cause: Cause,
    pub(super) plan: Option<PlanId>,
    pub(super) agreed: bool,
    pub(super) confirm: Option<Duration>,
    /// The change that asks is under way itself.
    pub(super) under_way: bool,
}

impl Gate {
    fn open(name: &str, what: impl Into<String>) -> Self {
        Self { name: name.to_owned(), open: true, forcible: false, what: what.into(), mend: String::new() }
    }

    fn shut(name: &str, forcible: bool, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name: name.to_owned(), open: false, forcible, what: what.into(), mend: mend.into() }
    }
}

impl Deployment {
    /// Every gate, in the order of asking.
    pub(super) fn gates(&self, now: Moment, journal: Option<&Refusal>, asked: &Asked) -> Vec<Gate> {
        let mut gates = vec![self.word_gate(now), self.busy_gate(asked)];
        let switch = matches!(asked.cause, Cause::Switch | Cause::Drill);
        if switch {
            gates.push(self.live_gate(now, asked.to));
            gates.push(self.watch_gate(now, asked.cause));
            gates.push(self.frozen_gate());
            gates.push(self.pause_gate(asked));
        }
        if asked.cause == Cause::Drill {
            gates.push(self.canary_gate(now));
        }
        if asked.cause == Cause::Switch {
            gates.push(self.ask_gate(asked));
        }
        match asked.cause {
            Cause::Rollback => gates.push(self.target_gate(now)),
            Cause::Drill => gates.push(self.standby_gate(now, asked.to)),
            Cause::Switch | Cause::AutoRollback | Cause::Unconfirmed | Cause::FailOver => {}
        }
        gates.push(self.health_gate(now, asked));
        if switch {
            gates.push(self.passive_gate(now, asked));
            gates.push(self.journal_gate(journal, asked.cause));
            gates.push(self.hooks_gate());
        }
        if let Some(plan) = asked.plan {
            let ours = self.plan_id(&gates, asked.to);
            let holds = self.is_material_still(plan.generation)
                && plan.digest.is_none_or(|it| Some(it) == ours.digest);
            gates.push(if holds {
                Gate::open("plan", format!("plan {plan} still holds"))
            } else {
                let what = format!("plan {plan} does not hold any more: this would be plan {ours}");
                Gate::shut("plan", false, what, format!("bgctl plan {}", self.name))
            });
        }
        gates
    }

    /// Whether nothing that a plan says has been changed since this generation. A drain that ends or a pause is told
    /// by the word, too, and changes no plan; whatever else it rests on is in its digest.
    pub(super) fn is_material_still(&self, generation: u16) -> bool {
        let newest = Word::generations(generation, self.word.generation());
        newest <= Word::generations(self.material, self.word.generation())
    }

    /// The name of a plan that rests on these gates.
    pub(super) fn plan_id(&self, gates: &[Gate], to: Colour) -> PlanId {
        // FNV-1a, folded: short enough to be typed, and it only has to tell a change from none.
        const BASIS: u32 = 0x811c_9dc5;
        const PRIME: u32 = 0x0100_0193;
        let mut digest = BASIS;
        let mut mix = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0xff]) {
                digest = (digest ^ u32::from(*byte)).wrapping_mul(PRIME);
            }
        };
        mix(to.as_str().as_bytes());
        // What the switch would be like, as long as its order says nothing else.
        let Policy { fate, bake, confirm_within, .. } = &self.policy;
        mix(fate_name(*fate).as_bytes());
        for time in [bake, confirm_within] {
            mix(&time.map_or(u128::MAX, |time| time.as_nanos()).to_le_bytes());
        }
        for slice in &self.slices {
            mix(&slice.identity.to_le_bytes());
            mix(slice.version.as_deref().unwrap_or_default().as_bytes());
        }
        // Whether a person agrees is what the order itself says, and a plan does not judge itself.
        for gate in
            gates.iter().filter(|gate| !matches!(gate.name.as_str(), "confirmation" | "plan" | "in-progress"))
        {
            mix(gate.name.as_bytes());
            mix(&[u8::from(gate.open)]);
        }
        let digest = Some((digest >> 16) as u16 ^ digest as u16);
        PlanId { generation: self.word.generation(), digest }
    }

    fn word_gate(&self, now: Moment) -> Gate {
        match self.word.effective(tick(now)).unpack() {
            Ok(_) => Gate::open("word", format!("generation {}", self.word.generation())),
            Err(why) => {
                let refusal = self.broken_word(why);
                Gate::shut("word", false, refusal.what, refusal.mend)
            }
        }
    }

    fn busy_gate(&self, asked: &Asked) -> Gate {
        let (name, deployment) = ("in-progress", &self.name);
        if self.drill.is_some() && !asked.under_way && asked.cause != Cause::Rollback {
            let mend = format!("wait for its end, or: bgctl rollback {deployment}");
            return Gate::shut(name, false, "a drill is under way", mend);
        }
        match &self.change {
            Some(change) if asked.cause == Cause::Rollback && change.gives_way() => {
                Gate::open(name, "what still waits for hooks or the journal gives way")
            }
            Some(_) if !asked.under_way => {
                let mend = format!("wait for its end: bgctl status {deployment}");
                Gate::shut(name, false, "another order is being carried out", mend)
            }
            _ => Gate::open(name, "nothing else is under way"),
        }
    }

    fn live_gate(&self, now: Moment, to: Colour) -> Gate {
        if self.live(now) == to {
            let mend = format!("to switch to the other side: --to {}", to.other());
            Gate::shut("already-live", false, format!("{} is live already", self.named(to)), mend)
        } else {
            Gate::open("already-live", format!("{} is not live", self.named(to)))
        }
    }

    /// A drill would end with the word of before, and with it the way back of the switch that is being watched.
    fn watch_gate(&self, now: Moment, cause: Cause) -> Gate {
        let name = &self.name;
        match &self.watch {
            Some(watch) if self.drill.is_none() && cause == Cause::Drill => {
                let what = format!("the switch to {} is still being watched", self.named(watch.to));
                Gate::shut(
                    "watch",
                    false,
                    what,
                    format!("bgctl confirm {name}, or wait: bgctl status {name}"),
                )
            }
            None if self.waits_for_confirmation() => {
                let what = format!("the switch to {} waits for its confirmation", self.named(self.live(now)));
                let mend = format!("bgctl confirm {name}, or bgctl rollback {name}");
                Gate::shut("watch", cause == Cause::Switch, what, mend)
            }
            Some(watch) if self.drill.is_none() => {
                let left = watch.left(now).as_secs();
                let what =
                    format!("the switch to {} is still being watched, for {left} s", self.named(watch.to));
                let mend = format!(
                    "bgctl confirm {name}, or bgctl rollback {name}; to switch all the same: --force=watch"
                );
                Gate::shut("watch", true, what, mend)
            }
            Some(_) | None => Gate::open("watch", "no switch is being watched"),
        }
    }

    fn frozen_gate(&self) -> Gate {
        match &self.frozen {
            Some(freeze) => {
                let mend = format!("find out why, then: bgctl unfreeze {}", self.name);
                Gate::shut("frozen", true, format!("it is frozen: {}", freeze.why), mend)
            }
            None => Gate::open("frozen", "it is not frozen"),
        }
    }

    fn pause_gate(&self, asked: &Asked) -> Gate {
        let held = self.word.unpack().is_ok_and(|fields| fields.resume_at_deadline);
        if held && asked.confirm.is_some() {
            let (who, instead) = if asked.cause == Cause::Drill {
                ("a drill", "wait")
            } else {
                ("a switch that waits for its confirmation", "switch without --confirm-within")
            };
            let what = format!("new flows are held until a deadline, and {who} needs the word's only one");
            let mend = format!("bgctl resume {}, or {instead}", self.name);
            return Gate::shut("pause", false, what, mend);
        }
        Gate::open(
            "pause",
            if self.word.is_paused() { "new flows are held, and stay so" } else { "new flows are not held" },
        )
    }

    fn ask_gate(&self, asked: &Asked) -> Gate {
        match (self.policy.ask, asked.agreed) {
            (false, _) => Gate::open("confirmation", "nobody has to agree"),
            (true, true) => Gate::open("confirmation", "a person has agreed"),
            (true, false) => {
                let mend = format!("look at `bgctl plan {}`, then switch with --yes", self.name);
                Gate::shut("confirmation", true, "a person has to agree", mend)
            }
        }
    }

    fn target_gate(&self, now: Moment) -> Gate {
        match self.rollback_blocked(now) {
            None => Gate::open("rollback-target", "what was live before is still there"),
            Some((what, mend)) => Gate::shut("rollback-target", false, what, mend),
        }
    }

    /// Why there is nothing to go back to, if there is nothing; and what to do instead.
    pub(super) fn rollback_blocked(&self, now: Moment) -> Option<(String, String)> {
        let name = &self.name;
        let other = self.live(now).other();
        let forward = format!("bgctl switch {name} --to {other}");
        let Some(target) = &self.rollback else {
            let what = match &self.last {
                Some((last, _)) if !last.already && last.to == self.live(now) => {
                    format!(
                        "{} was taken back to, and what was live before it is not a version to go back to",
                        self.named(last.to)
                    )
                }
                _ => format!("{name} was never switched, so there is nothing to go back to"),
            };
            return Some((what, forward));
        };
        if !self.holds(target) {
            let was = target.version.clone().map(|it| format!(" ({it})")).unwrap_or_default();
            let what = format!(
                "{} held what was live before{was}, and {} was staged over it",
                target.colour,
                self.named(target.colour)
            );
            return Some((what, forward));
        }
        if target.colour == self.live(now) && self.drill.is_none() {
            return Some((format!("{} is live again", self.named(target.colour)), forward));
        }
        None
    }

    fn standby_gate(&self, now: Moment, to: Colour) -> Gate {
        match self.role(to, now) {
            Role::Standby => Gate::open("standby", format!("{} is the standby", self.named(to))),
            role @ (Role::Live | Role::Staging) => {
                let what = format!("{} is {}, and a drill goes to a standby", self.named(to), role.as_str());
                Gate::shut("standby", true, what, format!("switch to it first: bgctl switch {}", self.name))
            }
        }
    }

    fn health_gate(&self, now: Moment, asked: &Asked) -> Gate {
        let Asked { to, cause, .. } = *asked;
        let why = self.health.why(&self.policy, &self.overrides, to, now);
        let named = self.named(to);
        let mend = format!("bgctl health {0}; {1}", self.name, all_the_same(cause, &self.name, "health"));
        match self.health.slice(to) {
            Some(true) => Gate::open("health", format!("{named} is healthy: {why}")),
            Some(false) => Gate::shut("health", true, format!("{named} is not healthy: {why}"), mend),
            None if self.policy.probes.is_empty() => {
                Gate::open("health", format!("{named}: no probe asks it"))
            }
            // Whoever wants to get away from what is live does not wait for the next answers.
            None if cause == Cause::Rollback => {
                Gate::open("health", format!("nothing is known of {named} yet: {why}"))
            }
            None => Gate::shut("health", true, format!("nothing is known of {named} yet: {why}"), mend),
        }
    }

    fn passive_gate(&self, now: Moment, asked: &Asked) -> Gate {
        let to = asked.to;
        match self.health.complaint(&self.policy, to, now) {
            Some(complaint) => {
                let anyway = all_the_same(asked.cause, &self.name, "passive");
                let mend = format!("find out why: bgctl health {}; {anyway}", self.name);
                Gate::shut(
                    "passive",
                    true,
                    format!("real flows speak against {}: {complaint}", self.named(to)),
                    mend,
                )
            }
            None => Gate::open("passive", "no real flow speaks against it"),
        }
    }

    fn hooks_gate(&self) -> Gate {
        Gate::open(
            "hooks",
            if self.policy.gating_hooks { "hooks will be asked" } else { "no hook has to agree" },
        )
    }

    fn journal_gate(&self, journal: Option<&Refusal>, cause: Cause) -> Gate {
        match journal {
            None => Gate::open("journal", "the journal writes"),
            Some(refusal) => {
                let anyway = all_the_same(cause, &self.name, "journal");
                let mend = format!("{}; {anyway}, without a record", refusal.mend);
                Gate::shut("journal", true, refusal.what.clone(), mend)
            }
        }
    }
}

/// The gates that can be overridden.
const FORCIBLE: [&str; 8] =
    ["confirmation", "frozen", "health", "hooks", "journal", "passive", "standby", "watch"];

/// The refusal of an order that wants to override what is no gate.
pub(super) fn unknown_gate(force: &Force, at: &str) -> Option<Refusal> {
    let Force::Gates(names) = force else { return None };
    let unknown = names.iter().find(|name| !FORCIBLE.contains(&name.as_str()))?;
    let what = format!("{unknown:?} is no gate that can be overridden");
    let mend = format!("name one of these: {}", FORCIBLE.join(", "));
    Some(Refusal::new("unknown-gate", what, at, mend))
}

/// The refusal of gates that are shut and not overridden, if there is one.
pub(super) fn refusal(gates: &[Gate], force: &Force, at: &str) -> Option<Refusal> {
    let against: Vec<_> =
        gates.iter().filter(|gate| !(gate.open || gate.forcible && force.overrides(&gate.name))).collect();
    let first = against.first()?;
    let code = format!("gate-{}", first.name);
    if against.len() == 1 {
        return Some(Refusal::new(&code, &first.what, at, &first.mend));
    }
    // A line for each gate, and what mends it on the same line of the mends.
    let lines = |part: fn(&Gate) -> &str| {
        let lines = against.iter().map(|gate| format!("{}: {}", gate.name, part(gate)));
        lines.collect::<Vec<_>>().join("\n")
    };
    let mut mend = lines(|gate| &gate.mend);
    if against.iter().all(|gate| gate.forcible) {
        let names = against.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>().join(",");
        mend.push_str(&format!("\nall of them: --force={names}"));
    }
    Some(Refusal::new(&code, lines(|gate| &gate.what), at, mend))
}

/// The names of the gates that an order does not pass.
pub(super) fn against(gates: &[Gate], force: &Force) -> Vec<String> {
    let shut = gates.iter().filter(|gate| !(gate.open || gate.forcible && force.overrides(&gate.name)));
    shut.map(|gate| gate.name.clone()).collect()
}

/// How an order goes on in spite of a gate.
fn all_the_same(cause: Cause, deployment: &str, gate: &str) -> String {
    let (doing, verb) = match cause {
        Cause::Rollback => ("to go back", "rollback"),
        Cause::Drill => ("to drill", "drill"),
        Cause::Switch | Cause::AutoRollback | Cause::Unconfirmed | Cause::FailOver => ("to switch", "switch"),
    };
    format!("{doing} all the same: bgctl {verb} {deployment} --force={gate}")
}

/// Names of the gates that an order overrides.
pub(super) fn overridden(gates: &[Gate], force: &Force) -> Vec<String> {
    let names = gates.iter().filter(|gate| !gate.open && gate.forcible && force.overrides(&gate.name));
    names.map(|gate| gate.name.clone()).collect()
}
