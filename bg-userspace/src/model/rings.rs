//! Which backends get no new flows: those that probes or operators say are down, as long as others are left.

use super::check::Check;
use super::event::Down;
use super::health::{Health, speaks_for};
use super::policy::{NoBackend, Policy, ProbePolicy, Target};
use super::record::Override;
use bg_common::Colour;
use std::net::IpAddr;

impl Health {
    /// The backends that get no new flows, if that has changed since it was last told.
    pub(super) fn serve(
        &mut self,
        policy: &Policy,
        services: &[String],
        overrides: &[Override],
    ) -> Option<Vec<Down>> {
        let mut remembered = std::mem::take(&mut self.remembered);
        remembered.retain(|entry| !self.is_known_up(policy, overrides, entry));
        self.remembered = remembered;
        let mut down = Vec::new();
        for (service, colour) in services.iter().flat_map(|it| Colour::BOTH.map(|colour| (it, colour))) {
            for v6 in [false, true] {
                down.extend(self.down_of(policy, overrides, service, colour, v6));
            }
        }
        down.sort_unstable();
        (down != self.down).then(|| {
            self.down.clone_from(&down);
            down
        })
    }

    /// As last told.
    #[must_use]
    pub(super) fn down(&self) -> &[Down] {
        &self.down
    }

    /// Whether everybody who speaks for a backend has found it up, or nobody does.
    fn is_known_up(&self, policy: &Policy, overrides: &[Override], entry: &Down) -> bool {
        let Down { service, colour, address } = entry;
        let target = Target::Backend(*colour, *address);
        let overridden = overrides.iter().any(|it| it.colour == *colour && it.backend == Some(*address));
        let up = |probe: &ProbePolicy| self.check(probe, target).and_then(Check::up) == Some(true);
        overridden || policy.probes.iter().filter(|probe| speaks_for(probe, service)).all(up)
    }

    /// Of one ring: a service, a colour, a family.
    fn down_of(
        &self,
        policy: &Policy,
        overrides: &[Override],
        service: &str,
        colour: Colour,
        v6: bool,
    ) -> Vec<Down> {
        let slice = policy.slices.get(colour.index()).map(Vec::as_slice).unwrap_or_default();
        let ring = slice
            .iter()
            .copied()
            .filter(|address| address.is_ipv6() == v6 && !policy.drained.contains(address));
        let same = |entry: &Down, address: IpAddr| {
            entry.address == address && entry.colour == colour && entry.service == service
        };
        let dead = |address: &IpAddr| {
            let target = Target::Backend(colour, *address);
            let mut probes = policy.probes.iter().filter(|probe| speaks_for(probe, service));
            probes.any(|probe| self.target_up(probe, target, overrides) == Some(false))
                || overrides.iter().any(|it| it.colour == colour && it.backend == Some(*address) && !it.up)
                || self.remembered.iter().any(|entry| same(entry, *address))
        };
        let found: Vec<_> = ring.clone().filter(dead).collect();
        let entry = |address: &IpAddr| Down { service: service.to_owned(), colour, address: *address };
        if found.len() < ring.count() || policy.no_backend == NoBackend::Refuse {
            return found.iter().map(entry).collect();
        }
        // The last ones are never taken away silently: those that served last go on.
        let before = |address: &&IpAddr| self.down.iter().any(|entry| same(entry, **address));
        let kept: Vec<_> = found.iter().filter(before).map(entry).collect();
        if kept.len() < found.len() { kept } else { Vec::new() }
    }
}
