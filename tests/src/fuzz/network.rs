//! What is configured while packets are compared, and a gateway for the programs' questions about routes.

use super::machine::Sizes;
use crate::model::{Backend, Frontend, Routes, Service, Tables, WHOLE, Word};
use crate::netns::Namespace;
use crate::run;
use anyhow::Result;
use bg_common::{Aim, Colour, Fate, Via};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The interface that backends hang on: any, because nothing is sent.
const LINK: u32 = 1;

/// Bytes of the longest packet to a client.
const MTU: usize = 1500;

/// A backend's number that no table has an entry for.
const NOWHERE: u32 = 900;
/// A service's number beyond the table.
const NO_SERVICE: u32 = bg_common::names::MAX_SERVICES;

/// An address of network 10.`net`.0.0/24 or fd00:`net`::/64.
pub(super) fn ip(v6: bool, net: u8, host: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into()).into()
    } else {
        Ipv4Addr::new(10, net, 0, host).into()
    }
}

/// A network namespace whose routes are those of [`routes`].
pub(super) struct Gateway {
    pub(super) namespace: Namespace,
}

impl Gateway {
    pub(super) fn new() -> Result<Self> {
        let namespace = Namespace::new(&format!("{}-fuzz", run::unique()))?;
        // Without link-local addresses, so that there are no routes but these.
        namespace.ip(&format!(
            "link add up0 type veth peer name far0\n\
             link set up0 addrgenmode none mtu {MTU}\nlink set far0 addrgenmode none\n\
             link set up0 up\nlink set far0 up\n\
             addr add 10.9.0.1/24 dev up0\naddr add fd00:9::1/64 dev up0 nodad\n"
        ))?;
        namespace.sysctl("net/ipv4/ip_forward", "1")?;
        namespace.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        Ok(Self { namespace })
    }
}

/// What the gateway routes.
pub(super) fn routes() -> Routes {
    let (v4, v6) = (ip(false, 9, 0), ip(true, 9, 0));
    // An IPv4 network's first address is a host's like any, since Linux 5.14.
    let not_hosts = vec![ip(false, 9, 1), ip(false, 9, 255), v6, ip(true, 9, 1)];
    Routes { networks: vec![(v4, 24), (v6, 64)], not_hosts, mtu: MTU }
}

/// One service: its deployment, protocol, ports, how many backends it has in blue and green, how they are
/// reached.
struct Plan {
    deployment: u32,
    proto: u8,
    port: u16,
    backend_port: u16,
    backends: [u8; 2],
    via: Via,
}

const fn plan(deployment: u32, proto: u8, ports: (u16, u16), backends: [u8; 2], via: Via) -> Plan {
    Plan { deployment, proto, port: ports.0, backend_port: ports.1, backends, via }
}

/// The service that has no backends, and says so.
const REFUSING: u32 = 4;
/// The service that keeps a client's flows together, and the one whose canary does.
const BY_CLIENT: [u32; 2] = [3, 5];
/// Services whose flows do not stay at a switch.
const ON_SWITCH: [(u32, Fate); 3] = [(1, Fate::Move), (3, Fate::Reset), (7, Fate::Reset)];
/// Services whose clients are replaced.
const WITH_SOURCE: [u32; 4] = [0, 3, 5, 6];
/// Virtual addresses that do not follow the live colour, of these services.
const PREVIEW_VIPS: [(u8, Aim); 3] = [(15, Aim::Other), (16, Aim::Blue), (17, Aim::Green)];
const PREVIEWED: [u32; 3] = [0, 1, 6];
/// Clients that are led elsewhere: deployment, number of the first, and how many bits its network leaves out.
const PREVIEWS: [(u32, u8, u32, Aim); 4] =
    [(0, 8, 0, Aim::Other), (1, 8, 3, Aim::Blue), (1, 9, 0, Aim::Green), (2, 0, 3, Aim::Other)];

const PLANS: [Plan; 10] = [
    plan(0, TCP, (80, 8080), [1, 1], Via::Stack),
    plan(0, UDP, (53, 53), [2, 1], Via::Stack),
    plan(0, TCP, (81, 81), [0, 0], Via::Stack),
    plan(1, TCP, (90, 9090), [3, 2], Via::Peer),
    plan(1, TCP, (82, 82), [0, 0], Via::Stack),
    plan(1, UDP, (91, 9191), [2, 3], Via::Neighbour),
    plan(2, TCP, (443, 443), [5, 4], Via::Neighbour),
    plan(2, UDP, (443, 8443), [1, 1], Via::Peer),
    // One slice alone.
    plan(2, TCP, (83, 83), [1, 0], Via::Stack),
    // All of an address.
    plan(1, WHOLE.1, (WHOLE.0, WHOLE.0), [2, 2], Via::Neighbour),
];

/// The address that one service owns as a whole, beside those that services share.
pub(super) const OWNED: u8 = 12;

/// Deployments.
pub(super) const DEPLOYMENTS: u32 = 3;

/// Tables with nothing pinned; with or without a service that owns an address.
pub(super) fn tables(sizes: Sizes, owned: bool) -> Tables {
    let mut tables = empty(sizes);
    for deployment in 0..DEPLOYMENTS {
        tables.words.insert(deployment, Word(0));
    }
    for (id, plan) in (0..).zip(&PLANS).filter(|(_, plan)| owned || plan.proto != WHOLE.1) {
        let rings = rings(&mut tables, id, plan);
        let service = Service {
            deployment: plan.deployment,
            refuses: id == REFUSING,
            by_client: id == BY_CLIENT[0],
            canary_by_client: id == BY_CLIENT[1],
            rings,
        };
        tables.services.insert(id, service);
        for v6 in [false, true] {
            // Two virtual addresses: their conversations share the clients' ports.
            let vips: &[u8] = if plan.proto == WHOLE.1 { &[OWNED] } else { &[10, 11] };
            for vip in vips.iter().copied() {
                frontend(&mut tables, id, (ip(v6, 0, vip), plan.port, plan.proto), Aim::Live);
            }
            for (vip, aim) in PREVIEW_VIPS.into_iter().filter(|_| PREVIEWED.contains(&id)) {
                frontend(&mut tables, id, (ip(v6, 0, vip), plan.port, plan.proto), aim);
            }
        }
    }
    add_edges(&mut tables);
    for v6 in [false, true] {
        tables.vips.extend([ip(v6, 0, 10), ip(v6, 0, 11)]);
        tables.vips.extend(PREVIEW_VIPS.map(|(vip, _)| ip(v6, 0, vip)));
        for (deployment, client, left_out, aim) in PREVIEWS {
            let network = (deployment, ip(v6, 9, client), if v6 { 128 } else { 32 } - left_out);
            tables.previews.insert(network, aim);
        }
        // What a table names, and does not exist.
        let service = PLANS.len() as u32;
        let rings = [Colour::Blue, Colour::Green].map(|colour| ((colour, v6), vec![NOWHERE]));
        let broken = tables.services.entry(service).or_default();
        broken.rings.extend(rings);
        frontend(&mut tables, service, (ip(v6, 0, 10), 99, TCP), Aim::Live);
        frontend(&mut tables, NO_SERVICE, (ip(v6, 0, 10), 98, UDP), Aim::Live);
    }
    tables
}

/// An address, port and protocol.
type At = (IpAddr, u16, u8);

/// Virtual endpoints and the backends behind them whose words lie on the edges of a checksum: zero, all ones, the
/// same, one that carries.
pub(super) fn edges() -> Vec<(At, At)> {
    let v4 = |high: u16, low: u16| IpAddr::from(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let v6 = |word: u16| IpAddr::from(Ipv6Addr::new(0xfd00, word, word, 0, 0, 0, word, 1));
    let ends = [
        ((v4(0, 1), 0), (v4(0xffff, 0xfffe), 0xffff)),
        ((v4(0xffff, 0xfffd), 0xffff), (v4(0, 2), 0)),
        ((v4(0x0a00, 13), 80), (v4(0x0a00, 13), 80)),
        ((v6(0), 0), (v6(0xffff), 0xffff)),
        ((v6(0xfffe), 0xffff), (v6(1), 0)),
        ((v4(0x0a00, 14), 80), (v4(0x0a01, 200), 80)),
    ];
    let both = |((vip, port), (ip, backend_port)): ((IpAddr, u16), (IpAddr, u16))| {
        [TCP, UDP].map(|proto| ((vip, port, proto), (ip, backend_port, proto)))
    };
    ends.into_iter().flat_map(both).collect()
}

/// The first of the services of [`edges`].
pub(super) const FIRST_EDGE: u32 = 100;

fn add_edges(tables: &mut Tables) {
    for (id, (vip, (ip, port, proto))) in (FIRST_EDGE..).zip(edges()) {
        let via = if id % 4 < 2 { Via::Stack } else { Via::Neighbour };
        let (service, deployment, colour, on_switch) = (id, 0, Colour::Blue, Fate::Keep);
        let backend = Backend {
            ip,
            port,
            proto,
            service,
            deployment,
            colour,
            via,
            ifindex: LINK,
            down: None,
            on_switch,
        };
        tables.backends.insert(id, backend);
        tables.backends_by_addr.insert((ip, port, proto), id);
        // All clients get an address on the edges.
        tables.sources.insert(id, (vip.0, 0));
        let rings = [((colour, ip.is_ipv6()), vec![id])].into();
        tables.services.insert(id, Service { deployment, rings, ..Service::default() });
        frontend(tables, id, vip, Aim::Live);
    }
}

/// Tables with nothing in them.
pub(super) fn empty(sizes: Sizes) -> Tables {
    let [established, half_open, fragment_room, nat_room] = sizes.room();
    Tables { room: [established, half_open], fragment_room, nat_room, ..Tables::default() }
}

fn frontend(tables: &mut Tables, service: u32, at: (IpAddr, u16, u8), aim: Aim) {
    let id = tables.frontend_addrs.len() as u32;
    tables.frontend_addrs.insert(id, at);
    tables.frontends.insert(at, Frontend { service, id, aim });
}

/// The address that clients of a backend get, and the bits of its network: all of them, those of their network but
/// whoever has the address, or a few of these.
fn source(v6: bool, nth: u8) -> (IpAddr, u32) {
    let all = if v6 { 128 } else { 32 };
    match nth % 3 {
        0 => (ip(v6, 9, 1), if v6 { 64 } else { 24 }),
        1 => (ip(v6, 1, 1), 0),
        _ => (ip(v6, 9, 8), all - 1),
    }
}

/// Adds a service's backends, and returns its rings.
fn rings(tables: &mut Tables, service: u32, plan: &Plan) -> HashMap<(Colour, bool), Vec<u32>> {
    let mut rings: HashMap<_, Vec<u32>> = HashMap::new();
    for (colour, count) in Colour::BOTH.into_iter().zip(plan.backends) {
        for (v6, nth) in [false, true].into_iter().flat_map(|v6| (0..count).map(move |nth| (v6, nth))) {
            // Some of their machines have another service, too.
            let net = 1 + colour as u8;
            let backend = Backend {
                ip: ip(v6, net, 2 + nth),
                port: plan.backend_port,
                proto: plan.proto,
                service,
                deployment: plan.deployment,
                colour,
                via: plan.via,
                ifindex: LINK,
                down: None,
                on_switch: ON_SWITCH
                    .into_iter()
                    .find(|(id, _)| *id == service)
                    .map_or(Fate::Keep, |(_, fate)| fate),
            };
            let id = 10 + tables.backends.len() as u32;
            if WITH_SOURCE.contains(&service) {
                tables.sources.insert(id, source(v6, nth));
            }
            tables.backends.insert(id, backend);
            tables.backends_by_addr.insert((backend.ip, backend.port, backend.proto), id);
            let ring = rings.entry((colour, v6)).or_default();
            // The first has a double share.
            ring.extend(if nth == 0 { vec![id, id] } else { vec![id] });
        }
    }
    rings
}
