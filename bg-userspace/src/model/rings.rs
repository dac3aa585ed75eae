//! Which backends get no new flows: those that probes or operators say are down, as long as others are left.

use super::event::Down;
use super::health::{Health, speaks_for};
use super::policy::{NoBackend, Policy, Target};
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

    /// Of one ring: a service, a colour, a family.
    fn down_of(
        &self,
        policy: &Policy,
        overrides: &[Override],
        service: &str,
        colour: Colour,
        v6: bool,
    ) -> Vec<Down> {
        let addrs = policy.slices.get(colour.index()).map(Vec::as_slice).unwrap_or_default();
        let addrs: Vec<IpAddr> = addrs.iter().copied().filter(|addr| addr.is_ipv6() == v6).collect();
        let dead = |address: &IpAddr| {
            let target = Target::Backend(colour, *address);
            policy
                .probes
                .iter()
                .filter(|probe| speaks_for(probe, service))
                .any(|probe| self.target_up(probe, target, overrides) == Some(false))
                || overrides.iter().any(|it| it.colour == colour && it.backend == Some(*address) && !it.up)
        };
        let entry = |address: &IpAddr| Down { service: service.to_owned(), colour, address: *address };
        let found: Vec<_> = addrs.iter().filter(|address| dead(address)).map(entry).collect();
        if found.len() < addrs.len() || policy.no_backend == NoBackend::Refuse {
            return found;
        }
        // The last ones are never taken away silently: those that served last go on.
        let before = |entry: &Down| self.down.contains(entry);
        let kept: Vec<_> = found.iter().filter(|entry| before(entry)).cloned().collect();
        if kept.len() < found.len() { kept } else { Vec::new() }
    }
}
