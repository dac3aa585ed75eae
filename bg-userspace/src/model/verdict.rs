//! Whether a slice is healthy, and why: by what operators say, by flapping, and by the quorum of each probe.

use super::Moment;
use super::check::Check;
use super::health::{Health, of, targets};
use super::plan::ProbeVerdict;
use super::policy::{Policy, ProbePolicy, Target};
use super::record::{Override, TargetName};
use bg_common::Colour;
use std::fmt;

/// What decides about a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason<'h> {
    Operator { up: bool },
    NobodyToAsk { probe: &'h str },
    Share { probe: &'h str, up: u64, total: u64, last: Option<&'h str> },
    NoProbe,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { up } => write!(f, "an operator has put it {}", if *up { "up" } else { "down" }),
            Self::NobodyToAsk { probe } => write!(f, "probe {probe} has nobody to ask"),
            Self::Share { probe, up, total, last: None } => write!(f, "probe {probe}: {up} of {total} up"),
            Self::Share { probe, up, total, last: Some(why) } => {
                write!(f, "probe {probe}: {up} of {total} up: {why}")
            }
            Self::NoProbe => f.write_str("no probe asks it"),
        }
    }
}

impl Health {
    /// What is said of a slice that was `before`.
    pub(super) fn verdict<'h>(
        &'h self,
        policy: &'h Policy,
        overrides: &[Override],
        colour: Colour,
        before: Option<bool>,
        now: Moment,
    ) -> (Option<bool>, Reason<'h>) {
        let whole = overrides.iter().find(|one| one.colour == colour && one.backend.is_none());
        if let Some(Override { up, .. }) = whole {
            return (Some(*up), Reason::Operator { up: *up });
        }
        let (mut healthy, mut unknown) = (None, None);
        for probe in &policy.probes {
            let (of_probe, why) = self.share(policy, overrides, probe, (colour, before), now);
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
            (None, None) => (None, Reason::NoProbe),
        }
    }

    /// What one probe says of a slice, by quorum.
    fn share<'h>(
        &'h self,
        policy: &'h Policy,
        overrides: &[Override],
        probe: &'h ProbePolicy,
        (colour, before): (Colour, Option<bool>),
        now: Moment,
    ) -> (Option<bool>, Reason<'h>) {
        let (mut total, mut up, mut unknown, mut last) = (0_u64, 0, 0, None);
        // Who gets no new flows has no say.
        let drained = |target: Target| match target {
            Target::Backend(_, address) => policy.drained.contains(&address),
            Target::Slice(_) | Target::Vip => false,
        };
        for target in targets(probe, policy).filter(|it| of(*it) == Some(colour) && !drained(*it)) {
            total += 1;
            match self.target_up(probe, target, overrides) {
                // One whose answers change too often cannot be relied on.
                Some(true) if self.flaps(policy, probe, target, overrides, now) => {
                    last = Some("it flaps");
                }
                Some(true) => up += 1,
                Some(false) => last = self.check(probe, target).and_then(Check::why).or(last),
                None => unknown += 1,
            }
        }
        let name = probe.name.as_str();
        if total == 0 {
            return (Some(false), Reason::NobodyToAsk { probe: name });
        }
        let reaches = |count: u64, percent: u8| count * 100 >= total * u64::from(percent);
        let verdict = if reaches(up, policy.quorum.up) {
            Some(true)
        } else if !reaches(up + unknown, policy.quorum.down) {
            Some(false)
        } else if unknown > 0 {
            None
        } else {
            Some(before.or(self.remembered(colour)).unwrap_or(false))
        };
        (verdict, Reason::Share { probe: name, up, total, last })
    }

    /// Whether a target is up, by what operators and answers say.
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
        self.check(probe, target).and_then(Check::up).or(probe.start_up.then_some(true))
    }

    /// Whether the answers of a target change too often; what an operator has decided does not.
    fn flaps(
        &self,
        policy: &Policy,
        probe: &ProbePolicy,
        target: Target,
        overrides: &[Override],
        now: Moment,
    ) -> bool {
        let decided = |one: &Override| {
            one.backend.is_some_and(|address| target == Target::Backend(one.colour, address))
        };
        !overrides.iter().any(decided)
            && self.check(probe, target).is_some_and(|check| check.flaps(policy.flap, now))
    }

    /// What each probe says of each target, for people.
    #[must_use]
    pub(super) fn verdicts(&self, policy: &Policy, overrides: &[Override], now: Moment) -> Vec<ProbeVerdict> {
        let mut verdicts = Vec::new();
        for probe in &policy.probes {
            for target in targets(probe, policy) {
                let check = self.check(probe, target);
                let TargetName { colour, address, .. } = target.into();
                // Of a machine what was said of it goes before what was said of its whole slice.
                let said = |backend: Option<std::net::IpAddr>| {
                    overrides.iter().find(|it| Some(it.colour) == colour && it.backend == backend)
                };
                let overruled = said(address).or_else(|| said(None));
                verdicts.push(ProbeVerdict {
                    probe: probe.name.clone(),
                    colour,
                    address,
                    up: overruled.map(|it| it.up).or_else(|| self.target_up(probe, target, overrides)),
                    why: check.and_then(Check::why).map(str::to_owned),
                    since_s: check.and_then(Check::since).map(|since| now.since(since).as_secs()),
                    overridden: overruled.is_some(),
                });
            }
        }
        verdicts
    }
}
