//! What is known of the slices of one deployment: by probes, by what operators say, by real traffic.

use super::check::Check;
use super::event::{Down, OwnFlows};
use super::passive::{Window, complaint};
use super::plan::PassiveVerdict;
use super::policy::{Finding, Level, Policy, ProbePolicy, Target};
use super::record::Override;
use super::{Moment, record::TargetName};
use bg_common::{Colour, Traffic};
use std::collections::BTreeMap;

/// All that speaks for or against the slices.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Health {
    /// What the answers of each probe have made of each target.
    checks: BTreeMap<String, BTreeMap<Target, Check>>,
    pub(super) slices: [Option<bool>; 2],
    /// Verdicts of before a restart: neither healthy nor failing enough, a slice stays what it was.
    pub(super) remembered_slices: [Option<bool>; 2],
    windows: [Window; 2],
    counters: [Traffic; 2],
    /// Backends without new flows, as last told to the data plane.
    pub(super) down: Vec<Down>,
    /// Those of before a restart that no probe has found up since.
    pub(super) remembered: Vec<Down>,
}

/// A change of a verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// A probe's target is up, or down.
    Target {
        /// The probe.
        probe: String,
        /// Its target.
        target: TargetName,
        /// Which.
        up: bool,
        /// Why it is down.
        why: Option<String>,
    },
    /// A slice is healthy, or not.
    Slice {
        /// Which.
        colour: Colour,
        /// Whether.
        healthy: bool,
        /// What decided.
        why: String,
    },
}

impl Health {
    /// Takes over what a configuration says: checks of probes and targets that are gone are forgotten.
    pub(super) fn configure(&mut self, policy: &Policy) {
        self.checks.retain(|name, checks| {
            let Some(probe) = policy.probes.iter().find(|probe| probe.name == *name) else { return false };
            checks.retain(|target, _| targets(probe, policy).any(|known| known == *target));
            true
        });
        if policy.probes.is_empty() {
            self.slices = [None, None];
        }
    }

    /// Backends that were down when the daemon was stopped stay down until their probes say otherwise.
    pub(super) fn remember(&mut self, down: Vec<Down>, slices: [Option<bool>; 2]) {
        self.remembered.clone_from(&down);
        (self.down, self.remembered_slices) = (down, slices);
    }

    /// Verdicts that a restart has to know: those of this run, or else of the one before.
    pub(super) fn verdicts_to_remember(&self) -> [Option<bool>; 2] {
        let ([blue, green], [old_blue, old_green]) = (self.slices, self.remembered_slices);
        [blue.or(old_blue), green.or(old_green)]
    }

    /// Takes an answer of a probe. `live` is who is live now, for answers through the VIP.
    pub(super) fn probed(
        &mut self,
        policy: &Policy,
        (name, target): (&str, Target),
        finding: &Finding,
        live: Colour,
        now: Moment,
    ) -> Vec<Change> {
        let Some(probe) = policy.probes.iter().find(|probe| probe.name == name) else { return Vec::new() };
        if !targets(probe, policy).any(|known| known == target) {
            return Vec::new();
        }
        let why = match finding {
            Finding::Bad { why, .. } => Some(why.clone()),
            Finding::Good { answered: Some(colour) } if target == Target::Vip && *colour != live => {
                Some(format!("{colour} answered through the VIP, and {live} is live"))
            }
            Finding::Good { .. } => None,
        };
        let check = self.checks.entry(name.to_owned()).or_default().entry(target).or_default();
        if !check.answer(why, probe, now) {
            return Vec::new();
        }
        let up = check.up() == Some(true);
        let why = check.why().map(str::to_owned);
        vec![Change::Target { probe: name.to_owned(), target: target.into(), up, why }]
    }

    /// Judges both slices anew; what has changed.
    pub(super) fn judge(&mut self, policy: &Policy, overrides: &[Override], now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        for colour in Colour::BOTH {
            let before = self.slices.get(colour.index()).copied().flatten();
            let (after, reason) = self.verdict(policy, overrides, colour, before, now);
            if let Some(healthy) = after.filter(|_| after != before) {
                changes.push(Change::Slice { colour, healthy, why: reason.to_string() });
            }
            if let Some(slot) = self.slices.get_mut(colour.index()) {
                *slot = after;
            }
        }
        changes
    }

    /// Whether a slice was healthy when the daemon was stopped, if anything said so.
    pub(super) fn remembered(&self, colour: Colour) -> Option<bool> {
        self.remembered_slices.get(colour.index()).copied().flatten()
    }

    /// Whether a slice is healthy, if anything says so.
    #[must_use]
    pub(super) fn slice(&self, colour: Colour) -> Option<bool> {
        self.slices.get(colour.index()).copied().flatten()
    }

    /// Why a slice is what it is.
    #[must_use]
    pub(super) fn why(&self, policy: &Policy, overrides: &[Override], colour: Colour, now: Moment) -> String {
        self.verdict(policy, overrides, colour, self.slice(colour), now).1.to_string()
    }

    /// What is known of a target by a probe.
    pub(super) fn check(&self, probe: &ProbePolicy, target: Target) -> Option<&Check> {
        self.checks.get(&probe.name)?.get(&target)
    }

    /// What is wrong through the VIP, as soon as one probe finds it down.
    #[must_use]
    pub(super) fn vip_complaint(&self, policy: &Policy) -> Option<String> {
        policy.probes.iter().filter(|probe| probe.vip).find_map(|probe| {
            let check = self.check(probe, Target::Vip).filter(|check| check.up() == Some(false))?;
            let why = check.why().unwrap_or("it was down");
            Some(format!("probe {} through the VIP: {why}", probe.name))
        })
    }

    /// What probes through the VIP say: bad as soon as one is down, good once all are up. With what is wrong.
    #[must_use]
    pub(super) fn vip(&self, policy: &Policy) -> (Option<bool>, Option<String>) {
        if let Some(complaint) = self.vip_complaint(policy) {
            return (Some(false), Some(complaint));
        }
        let mut asked = policy.probes.iter().filter(|probe| probe.vip).peekable();
        let up = |probe: &ProbePolicy| self.check(probe, Target::Vip).and_then(Check::up) == Some(true);
        ((asked.peek().is_some() && asked.all(up)).then_some(true), None)
    }

    /// What the last answers through the VIP were since it was forgotten: bad at the first failure, good once
    /// every such probe was answered well.
    #[must_use]
    pub(super) fn vip_so_far(&self, policy: &Policy) -> (Option<bool>, Option<String>) {
        let asked = policy.probes.iter().filter(|probe| probe.vip);
        let checks: Vec<_> = asked.map(|probe| self.check(probe, Target::Vip)).collect();
        let last = |check: &Option<&Check>| check.and_then(Check::last);
        if let Some(bad) = checks.iter().find(|check| last(check) == Some(false)) {
            return (Some(false), bad.and_then(Check::why).map(str::to_owned));
        }
        let all = checks.iter().all(|check| last(check) == Some(true));
        ((all && !checks.is_empty()).then_some(true), None)
    }

    /// Live has changed: what was said through the VIP speaks of another colour.
    pub(super) fn forget_vip(&mut self) {
        for checks in self.checks.values_mut() {
            checks.remove(&Target::Vip);
        }
    }

    /// Takes the data plane's counters.
    pub(super) fn counted(&mut self, policy: &Policy, traffic: &[Traffic; 2], now: Moment) {
        self.counters = *traffic;
        if let Some(limits) = &policy.passive {
            for (window, traffic) in self.windows.iter_mut().zip(traffic) {
                window.read(traffic, limits.window, now);
            }
        }
    }

    /// A probe through the VIP has made these flows of `[blue, green]`.
    pub(super) fn made(&mut self, own: [OwnFlows; 2], began: Moment, now: Moment) {
        for (window, own) in self.windows.iter_mut().zip(own) {
            window.made(own, began, now);
        }
    }

    /// Whether a flow of a slice at this moment may have been a probe's.
    pub(super) fn is_own(&self, colour: Colour, at: Moment) -> bool {
        self.windows.get(colour.index()).is_some_and(|window| window.is_own(at))
    }

    /// The counters as last read.
    #[must_use]
    pub(super) const fn counters(&self) -> &[Traffic; 2] {
        &self.counters
    }

    /// What real flows say of a slice.
    #[must_use]
    pub(super) fn passive(&self, policy: &Policy, colour: Colour, now: Moment) -> Option<PassiveVerdict> {
        self.windows.get(colour.index())?.verdict(policy.passive.as_ref()?, now)
    }

    /// What real flows have against a slice.
    #[must_use]
    pub(super) fn complaint(&self, policy: &Policy, colour: Colour, now: Moment) -> Option<String> {
        self.passive(policy, colour, now)
            .filter(|verdict| verdict.good == Some(false))
            .map(|it| complaint(&it))
    }

    /// What real flows have said of a slice before does not count any more.
    pub(super) fn restart_passive(&mut self, colour: Colour) {
        if let Some(window) = self.windows.get_mut(colour.index()) {
            window.restart();
        }
    }
}

/// Whom a probe asks.
pub(super) fn targets<'p>(probe: &'p ProbePolicy, policy: &'p Policy) -> impl Iterator<Item = Target> + 'p {
    let slices = Colour::BOTH.into_iter().zip(&policy.slices);
    let backends = slices.filter(|_| probe.level == Level::Backend).flat_map(|(colour, addresses)| {
        addresses.iter().map(move |address| Target::Backend(colour, *address))
    });
    let slices = Colour::BOTH.into_iter().filter(|_| probe.level == Level::Slice).map(Target::Slice);
    backends.chain(slices).chain(probe.vip.then_some(Target::Vip))
}

/// The slice that a target belongs to.
pub(super) const fn of(target: Target) -> Option<Colour> {
    match target {
        Target::Backend(colour, _) | Target::Slice(colour) => Some(colour),
        Target::Vip => None,
    }
}

/// Whether a probe decides about the backends of a service.
pub(super) fn speaks_for(probe: &ProbePolicy, service: &str) -> bool {
    probe.level == Level::Backend && probe.service.as_deref().is_none_or(|own| own == service)
}
