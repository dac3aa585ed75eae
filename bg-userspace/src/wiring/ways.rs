//! The way from the gateway to each backend.

use crate::config::Config;
use crate::net::{Link, RouteTo, Survey};
use crate::refusal::Refusal;
use bg_common::Colour;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The ways to all backends.
#[derive(Default)]
pub(super) struct Ways<'a> {
    links: BTreeMap<IpAddr, &'a Link>,
    /// Those that a router leads to.
    routed: BTreeSet<IpAddr>,
    /// One for each backend without a way.
    pub(super) unreachable: BTreeMap<IpAddr, Refusal>,
}

impl<'a> Ways<'a> {
    /// The interface that leads to `backend`.
    pub(super) fn link(&self, backend: IpAddr) -> Option<&'a Link> {
        self.links.get(&backend).copied()
    }

    /// Backends that a router behind an uplink leads to: remote machines, or a slice that is down and leaves
    /// its packets to the default route.
    pub(super) fn over_uplinks(&self, uplinks: &[&'a Link]) -> Vec<(IpAddr, &'a Link)> {
        let routed = self.links.iter().filter(|(address, _)| self.routed.contains(address));
        routed.filter(|(_, link)| uplinks.contains(link)).map(|(address, link)| (*address, *link)).collect()
    }

    /// Each interface that leads to a backend, once, in the order of their indices.
    pub(super) fn zones(&self) -> Vec<&'a Link> {
        let mut zones: Vec<&Link> = self.links.values().copied().collect();
        zones.sort_by_key(|link| link.index);
        zones.dedup();
        zones
    }
}

/// Finds the way to each address of each slice.
pub(super) fn find<'a>(config: &Config, seen: &'a Survey) -> Result<Ways<'a>, Refusal> {
    let mut ways = Ways::default();
    for deployment in &config.deployments {
        for (colour, slice) in Colour::BOTH.iter().zip(&deployment.slices) {
            for backend in slice {
                let at = format!("deployment `{}`, slice `{colour}`, address {backend}", deployment.name);
                match way(*backend, &at, seen)? {
                    Ok(link) => {
                        ways.links.insert(*backend, link);
                        if let Some(RouteTo::Out(route)) = seen.routes.get(backend)
                            && route.gateway.is_some()
                        {
                            ways.routed.insert(*backend);
                        }
                    }
                    Err(unreachable) => {
                        ways.unreachable.insert(*backend, unreachable);
                    }
                }
            }
        }
    }
    Ok(ways)
}

/// The interface that leads to a backend. The outer error is for good, the inner one may pass.
fn way<'a>(backend: IpAddr, at: &str, seen: &'a Survey) -> Result<Result<&'a Link, Refusal>, Refusal> {
    let unreachable = |why: &str| {
        Refusal::new(
            "backend-unreachable",
            format_args!("there is no way to backend {backend}: {why}"),
            at,
            format_args!("add a route or start the slice, then check: ip route get {backend}"),
        )
    };
    let route = match seen.routes.get(&backend) {
        Some(RouteTo::Out(route)) => route,
        Some(RouteTo::Local) => {
            return Err(Refusal::new(
                "backend-local",
                format_args!(
                    "backend {backend} is an address of the gateway itself, which is not supported yet"
                ),
                at,
                "give the slice an address of its own behind an interface: a network namespace, a \
                 container or a machine",
            ));
        }
        Some(RouteTo::Nowhere(why)) => return Ok(Err(unreachable(why))),
        None => return Ok(Err(unreachable("nobody has asked for it"))),
    };
    let Some(link) = seen.link(route.ifindex) else {
        return Ok(Err(unreachable("its interface has just gone")));
    };
    if link.ethernet {
        return Ok(Ok(link));
    }
    Err(Refusal::new(
        "not-ethernet",
        format_args!("backend {backend} is behind `{}`, which carries no Ethernet frames", link.name),
        at,
        format_args!("reach it over an Ethernet-like interface (see `ip route get {backend}` and `ip link`)"),
    ))
}
