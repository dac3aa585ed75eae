//! Decides how a gateway is wired: which interfaces are hooked and where, the path of rewritten packets,
//! and the way to each backend. Data in, data out: what the configuration wants and what a survey of
//! the network saw make a plan or a refusal. Nothing here asks the kernel or changes it.

mod hooks;
mod sources;
mod uplinks;
mod ways;

#[cfg(test)]
mod tests;

pub(crate) use hooks::XDP_MTU;

use crate::config::{Config, Deployment, Gateway, Part, Service, SourceNat};
use crate::dataplane::{AttachPlan, AttachSpec, BackendSpec, DeploymentSpec, Hook, Path, ServiceSpec, Side};
use crate::model::policy::NoBackend;
use crate::net::{Link, LinkKind, PeerEnd, Survey, VipHome, tap};
use crate::refusal::Refusal;
use bg_common::{Via, Word};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// How a gateway is wired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wiring {
    /// The interfaces to attach to.
    pub attach: AttachPlan,
    /// Kernel index of the one among them that is bgd's own, if there is one: it is the client there.
    pub own_link: Option<u32>,
    /// What the tables shall hold.
    pub deployments: Vec<DeploymentSpec>,
    /// Where each VIP belongs; empty if bg does not own them.
    pub vip_homes: Vec<VipHome>,
    /// Backends to which there is no way for the time being. Packets for them go to the kernel,
    /// which answers that they are unreachable.
    pub unreachable: Vec<Refusal>,
    /// Why it is wired like this, for the log and for `bgctl doctor`.
    pub notes: Vec<String>,
}

/// What a backend without a route means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// A mistake: a new gateway is not started with it.
    Refuse,
    /// A slice that is down: a gateway that has worked goes on without it.
    Note,
}

/// Wires a gateway.
///
/// # Errors
///
/// When an uplink is missing, an interface or a backend cannot be used, or the configured path
/// cannot be had with the configured hook.
pub fn plan(config: &Config, seen: &Survey, unreachable: Unreachable) -> Result<Wiring, Refusal> {
    let gateway = &config.gateway;
    let mut notes = Vec::new();
    let uplinks = uplinks::choose(gateway, seen, unreachable, &mut notes)?;
    let ways = ways::find(config, seen)?;
    // A standby that is down must not keep a gateway from coming up.
    let first =
        config.deployments.iter().filter_map(|wanted| wanted.slices.get(wanted.initial.index())).flatten();
    if let (Unreachable::Refuse, Some(refusal)) =
        (unreachable, first.filter_map(|at| ways.unreachable.get(at)).next())
    {
        return Err(refusal.clone());
    }
    for (address, link) in ways.over_uplinks(&uplinks) {
        notes.push(format!(
            "{address} is reached over uplink {} by a router: is that the way to the slice, or only the default route?",
            link.name
        ));
    }
    let zones = ways.zones();
    let own = own_link(&gateway.instance, seen);
    if let Some(link) = own.filter(|link| uplinks.contains(link) || zones.contains(link)) {
        return Err(Refusal::new(
            "own-interface",
            format_args!("{} is bgd's own interface, for probes: it leads to nobody else", link.name),
            "key `uplinks` in [gateway], and the addresses of slices",
            format_args!("name other uplinks; for a slice, see `ip route show dev {}`", link.name),
        ));
    }

    let mut links = Vec::new();
    for link in &uplinks {
        let side = if zones.contains(link) { Side::Both } else { Side::Uplink };
        let hook = hooks::choose(gateway.attach, link, &mut notes);
        links.push(AttachSpec { ifindex: link.index, name: link.name.clone(), side, hook });
        if side == Side::Both {
            notes.push(format!("{} leads to clients and to slices: it is hooked for both", link.name));
        }
    }
    for link in zones.iter().filter(|link| !uplinks.contains(link)) {
        let (ifindex, name) = (link.index, link.name.clone());
        links.push(AttachSpec { ifindex, name, side: Side::Zone, hook: Hook::Tc });
    }
    for link in uplinks.iter().chain(zones.iter().filter(|link| !uplinks.contains(link))) {
        if !link.up {
            notes.push(format!("{} is down: ip link set {} up", link.name, link.name));
        }
    }
    let path = hooks::path(gateway.path, &links, &uplinks, &zones, &mut notes)?;
    if let Some(link) = own {
        // By tc whatever the uplinks have: what bgd sends comes from no wire. It is no home for VIPs, and
        // its MTU is nothing that a client depends on.
        let (ifindex, name) = (link.index, link.name.clone());
        links.push(AttachSpec { ifindex, name, side: Side::Uplink, hook: Hook::Tc });
        notes.push(format!("{} is bgd's own: probes through VIPs come in over it", link.name));
    }

    let backend = |addr: SocketAddr, nat: SourceNat| {
        let link = ways.link(addr.ip());
        let source = link.and_then(|link| sources::of(nat, addr.ip(), link, seen));
        let via = link.map_or(Via::Stack, |link| via(path, link, uplinks.contains(&link)));
        // The short way leads past the place where the source is replaced.
        let via = if via == Via::Peer && source.is_some() { Via::Neighbour } else { via };
        BackendSpec { source, ..BackendSpec::serving(addr, via, link.map_or(0, |link| link.index)) }
    };
    let deployments: Vec<_> = config.deployments.iter().map(|wanted| deployment(wanted, backend)).collect();
    notes.extend(sources::missing(config, &deployments));
    let vip_homes = if gateway.own_vips { vip_homes(&config.vips(), &uplinks, seen) } else { Vec::new() };
    let cgroup = local_clients(gateway, seen, &mut notes);
    let attach = AttachPlan { sources: sources::links(&deployments), cgroup, ..AttachPlan::new(path, links) };
    Ok(Wiring {
        attach,
        own_link: own.map(|link| link.index),
        deployments,
        vip_homes,
        unreachable: ways.unreachable.into_values().collect(),
        notes,
    })
}

/// The interface that bgd of this instance has made for itself, if it has.
fn own_link<'a>(instance: &str, seen: &'a Survey) -> Option<&'a Link> {
    seen.link_named(&tap::name(instance)).filter(|link| link.kind == LinkKind::Tun)
}

/// The control group whose processes are clients.
fn local_clients(gateway: &Gateway, seen: &Survey, notes: &mut Vec<String>) -> Option<PathBuf> {
    if !gateway.local_clients {
        return None;
    }
    let group = gateway.cgroup.clone().or_else(|| seen.cgroup.clone());
    if group.is_none() {
        notes.push(
            "the gateway's own processes do not reach the VIPs: no cgroup2 file system is mounted".to_owned(),
        );
    }
    group
}

/// How packets reach a backend over `link`.
fn via(path: Path, link: &Link, is_uplink: bool) -> Via {
    match path {
        Path::Stack => Via::Stack,
        // The stack behind the peer takes any packet that it is handed; a bridge there would look
        // for the gateway's MAC address. A packet never goes back into the veth it came from.
        Path::Redirect if link.kind == LinkKind::Veth(PeerEnd::Elsewhere) && !is_uplink => Via::Peer,
        Path::Redirect => Via::Neighbour,
    }
}

fn deployment(wanted: &Deployment, backend: impl Fn(SocketAddr, SourceNat) -> BackendSpec) -> DeploymentSpec {
    let refuse = wanted.policy.no_backend == NoBackend::Refuse;
    let service = |service: &Service| {
        let backend = |addr: SocketAddr| {
            let weight = wanted.weights.get(&addr.ip()).copied().unwrap_or(BackendSpec::WEIGHT);
            BackendSpec { weight, ..backend(addr, service.source_nat) }
        };
        let spec = |Part { name, frontends, previews, backends }| ServiceSpec {
            name,
            protocol: service.protocol,
            frontends,
            backends: backends.map(|slice: Vec<_>| slice.into_iter().map(&backend).collect()),
            refuse,
            previews,
            by_client: service.by_client,
            canary_by_client: wanted.canary_by_client,
            on_switch: service.on_switch,
        };
        wanted.parts(service).into_iter().map(spec).collect::<Vec<_>>()
    };
    DeploymentSpec {
        name: wanted.name.to_string(),
        initial: Word::initial(wanted.initial),
        services: wanted.services.iter().flat_map(service).collect(),
        previews: wanted.policy.previews.clone(),
    }
}

/// Each VIP belongs to the uplink whose subnet it is in, else to the first.
fn vip_homes(vips: &[IpAddr], uplinks: &[&Link], seen: &Survey) -> Vec<VipHome> {
    let in_subnet = |link: &&&Link, vip: IpAddr| {
        let mut addresses =
            seen.addresses.iter().filter(|address| address.ifindex == link.index && !address.ours);
        addresses.any(|address| address.subnet_has(vip))
    };
    let home = |vip: &IpAddr| {
        let link = uplinks.iter().find(|link| in_subnet(link, *vip)).or(uplinks.first())?;
        Some(VipHome { vip: *vip, ifindex: link.index })
    };
    vips.iter().filter_map(home).collect()
}
