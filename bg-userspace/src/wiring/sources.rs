//! The gateway's addresses that stand for clients towards backends.

use crate::config::{Config, SourceNat};
use crate::dataplane::{DeploymentSpec, SourceSpec};
use crate::net::{Address, Link, Survey};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// For whom which address stands towards `backend`, which `link` leads to.
pub(super) fn of(nat: SourceNat, backend: IpAddr, link: &Link, seen: &Survey) -> Option<SourceSpec> {
    let usable = |address: &&Address| {
        let local = matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let same_family = address.ip.is_ipv4() == backend.is_ipv4();
        address.ifindex == link.index && same_family && !address.ours && !local
    };
    let own = || seen.addresses.iter().filter(usable);
    let near = own().find(|address| address.subnet_has(backend));
    match nat {
        SourceNat::Never => None,
        SourceNat::Neighbours => {
            near.map(|Address { ip, prefix, .. }| SourceSpec { addr: *ip, prefix: *prefix })
        }
        SourceNat::Always => near.or(own().next()).map(|address| SourceSpec { addr: address.ip, prefix: 0 }),
    }
}

/// The interfaces that lead to backends with a source.
pub(super) fn links(deployments: &[DeploymentSpec]) -> BTreeSet<u32> {
    let services = deployments.iter().flat_map(|deployment| &deployment.services);
    let backends = services.flat_map(|service| service.backends.iter().flatten());
    backends.filter(|backend| backend.source.is_some()).map(|backend| backend.ifindex).collect()
}

/// What cannot be had of what is configured, in words.
pub(super) fn missing(config: &Config, deployments: &[DeploymentSpec]) -> Vec<String> {
    let mut notes = Vec::new();
    for (wanted, planned) in config.deployments.iter().zip(deployments) {
        for service in wanted.services.iter().filter(|service| service.source_nat != SourceNat::Never) {
            let Some(plan) = planned.services.iter().find(|plan| plan.name == service.name.to_string())
            else {
                continue;
            };
            let backends = plan.backends.iter().flatten();
            notes.extend(backends.filter(|backend| backend.source.is_none()).map(|backend| {
                format!(
                    "{}.{}: no address of the gateway can stand for clients of {}: on the interface that leads there \
                     it has none{}",
                    wanted.name,
                    service.name,
                    backend.addr,
                    if service.source_nat == SourceNat::Always { "" } else { " in that subnet" }
                )
            }));
        }
    }
    notes
}
