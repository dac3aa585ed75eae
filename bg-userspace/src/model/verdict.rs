//! Whether a slice is healthy, and why: by what operators say, by flapping, and by the quorum of each probe.

use super::Moment;
use super::check::Check;
use super::health::{Health, of, targets};
use super::plan::ProbeVerdict;
use super::policy::{Policy, ProbePolicy, Target};
use super::record::{Override, TargetName};
use bg_common::Colour;

impl Health {
    pub(super) fn verdict(
        &self,
        policy: &Policy,
        overrides: &[Override],
        colour: Colour,
        before: Option<bool>,
        now: Moment,
    ) -> (Option<bool>, String) {
        let whole = overrides.iter().find(|one| one.colour == colour && one.backend.is_none());
        if let Some(Override { up, .. }) = whole {
            return (Some(*up), format!("an operator has put it {}", if *up { "up" } else { "down" }));
        }
        if let Some(probe) = self.flapping(policy, colour, now) {
            return (Some(false), format!("probe {probe} flaps"));
        }
        let mut healthy = None;
        let mut unknown = None;
        for probe in &policy.probes {
            let (of_probe, why) = self.share(policy, overrides, probe, colour, before);
            match of_probe {
                Some(false) => return (Some(false), why),
                Some(true) => healthy = Some(why),
                None => unknown = Some(why),
            }
        }
        match (unknown, healthy) {
            // What is not known yet changes no verdict.
            (Some(why), _) => (before, why),
            (None, Some(why)) => (Some(true), why),
            (None, None) => (None, "no probe asks it".to_owned()),
        }
    }

    /// What one probe says of a slice, by quorum.
    fn share(
        &self,
        policy: &Policy,
        overrides: &[Override],
        probe: &ProbePolicy,
        colour: Colour,
        before: Option<bool>,
    ) -> (Option<bool>, String) {
        let (mut total, mut up, mut unknown, mut last) = (0_u64, 0, 0, None);
        for target in targets(probe, policy).into_iter().filter(|target| of(*target) == Some(colour)) {
            total += 1;
            match self.target_says(probe, target, overrides) {
                Some(true) => up += 1,
                Some(false) => {
                    let check = self.checks.get(&(probe.name.clone(), target));
                    last = check.and_then(Check::why).map(str::to_owned).or(last);
                }
                None => unknown += 1,
            }
        }
        if total == 0 {
            return (Some(false), format!("probe {} has nobody to ask", probe.name));
        }
        let reaches = |count: u64, percent: u8| count * 100 >= total * u64::from(percent);
        let why = last.map(|why| format!(": {why}")).unwrap_or_default();
        let why = format!("probe {}: {up} of {total} up{why}", probe.name);
        let verdict = if reaches(up, policy.quorum.up) {
            Some(true)
        } else if !reaches(up + unknown, policy.quorum.down) {
            Some(false)
        } else if unknown > 0 {
            None
        } else {
            Some(before.unwrap_or(false))
        };
        (verdict, why)
    }

    /// Whether a target is up, for a verdict about its slice: what was only remembered says nothing.
    fn target_says(&self, probe: &ProbePolicy, target: Target, overrides: &[Override]) -> Option<bool> {
        let up = self.target_up(probe, target, overrides);
        let overridden = up != self.target_up(probe, target, &[]);
        let check = self.checks.get(&(probe.name.clone(), target));
        let remembered = check.is_some_and(|check| !check.was_asked());
        up.filter(|_| overridden || !remembered)
    }

    /// Whether a target is up, for its place in the rings.
    pub(super) fn target_up(
        &self,
        probe: &ProbePolicy,
        target: Target,
        overrides: &[Override],
    ) -> Option<bool> {
        if let Target::Backend(colour, address) = target
            && let Some(one) =
                overrides.iter().find(|one| one.colour == colour && one.backend == Some(address))
        {
            return Some(one.up);
        }
        let check = self.checks.get(&(probe.name.clone(), target));
        check.and_then(Check::up).or(probe.start_up.then_some(true))
    }

    /// The probe of a slice whose answers change too often.
    fn flapping(&self, policy: &Policy, colour: Colour, now: Moment) -> Option<&str> {
        self.checks
            .iter()
            .find(|((_, target), check)| of(*target) == Some(colour) && check.flaps(policy.flap, now))
            .map(|((probe, _), _)| probe.as_str())
    }

    /// What each probe says of each target, for people.
    #[must_use]
    pub(super) fn verdicts(&self, policy: &Policy, overrides: &[Override], now: Moment) -> Vec<ProbeVerdict> {
        let mut verdicts = Vec::new();
        for probe in &policy.probes {
            for target in targets(probe, policy) {
                let check = self.checks.get(&(probe.name.clone(), target));
                let TargetName { colour, address, .. } = target.into();
                let overridden = |it: &Override| {
                    Some(it.colour) == colour && (it.backend.is_none() || it.backend == address)
                };
                verdicts.push(ProbeVerdict {
                    probe: probe.name.clone(),
                    colour,
                    address,
                    up: self.target_up(probe, target, overrides),
                    why: check.and_then(Check::why).map(str::to_owned),
                    since_s: check.and_then(Check::since).map(|since| now.since(since).as_secs()),
                    overridden: overrides.iter().any(overridden),
                });
            }
        }
        verdicts
    }
}
