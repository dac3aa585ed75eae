//! The network that the packet cases are played in, as table entries.
//!
//! One deployment with ten services. Everything exists for both families; what is IPv6 has ids that
//! are higher by [`V6`].

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a wrong fixture shall end the test that uses it"
)]

use bg_common::bucket::{Bucket, Slot, choices, place};
use bg_common::names::ENDPOINT_BUCKETS;
use bg_common::{
    Addr, Aim, Backend, Began, Colour, Endpoint, Fate, Flow, FlowKey, Frontend, PinnedFlows, Port, Proto,
    Ring, Service, Settings, SliceId, Tick, Via,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Added to frontend and backend ids of IPv6.
pub const V6: u32 = 40;

/// TCP, port 80 → 8080, one backend in each slice, and a second VIP.
pub const WEB: u32 = 0;
/// UDP, port 53 → 53.
pub const DNS: u32 = 1;
/// TCP, port 81, without any backend.
pub const NONE: u32 = 2;
/// TCP, port 90 → 90, three backends in blue and one in green.
pub const POOL: u32 = 3;
/// TCP, port 82, without any backend, and it says so.
pub const CLOSED: u32 = 4;
/// TCP, port 83 → 83: one backend in each slice, and three in blue that are down.
pub const SICK: u32 = 5;
/// UDP, port 54 → 54, the same.
pub const SICK_DNS: u32 = 6;

/// Every port and protocol of the third VIP, one backend in each slice.
pub const WHOLE: u32 = 7;
/// TCP, port 84 → 84, three backends in blue and one in green, all flows of a client on one; so with the canary.
pub const STICKY: u32 = 8;
/// UDP, port 55 → 55, one backend in each slice, whose flows move at a switch.
pub const SWIFT: u32 = 9;

/// Backend of [`WEB`] in blue.
pub const WEB_BLUE: u32 = 0;
/// Backend of [`WEB`] in green.
pub const WEB_GREEN: u32 = 1;
/// Backend of [`DNS`] in blue.
pub const DNS_BLUE: u32 = 2;
/// Backend of [`DNS`] in green.
pub const DNS_GREEN: u32 = 3;
/// The first of three backends of [`POOL`] in blue.
pub const POOL_BLUE: u32 = 4;
/// Backend of [`POOL`] in green.
pub const POOL_GREEN: u32 = 7;
/// Number of backends of [`POOL`] in blue.
pub const POOL_SIZE: u32 = 3;
/// Backend of [`SICK`] in blue that serves. The next is that in green, the next three are down: flows pinned to
/// them stay, are reset, move.
pub const SICK_BLUE: u32 = 10;
/// Backend of [`SICK_DNS`] in blue that serves, and so on.
pub const SICK_DNS_BLUE: u32 = 20;
/// Backend of [`WHOLE`] in blue. The next is that in green.
pub const WHOLE_BLUE: u32 = 30;
/// Backend of [`WHOLE`] in green.
pub const WHOLE_GREEN: u32 = WHOLE_BLUE + GREEN;
/// The first of three backends of [`STICKY`] in blue.
pub const STICKY_BLUE: u32 = 32;
/// Backend of [`STICKY`] in green.
pub const STICKY_GREEN: u32 = 35;
/// Backend of [`SWIFT`] in blue.
pub const SWIFT_BLUE: u32 = 36;
/// Backend of [`SWIFT`] in green.
pub const SWIFT_GREEN: u32 = 37;
/// VIPs of [`WEB`] that do not follow the live colour, and where they lead.
pub const PREVIEW_VIPS: [(u8, Aim); 3] = [(4, Aim::Other), (5, Aim::Blue), (6, Aim::Green)];
/// What to add to the frontend id of [`WEB`] for the first of them.
pub const PREVIEW_FRONTEND: u32 = 11;
/// What to add to the backend that serves for that in green.
pub const GREEN: u32 = 1;
/// What to add to it for one that is down.
pub const DOWN: [(u32, PinnedFlows); 3] =
    [(2, PinnedFlows::Keep), (3, PinnedFlows::Reset), (4, PinnedFlows::Move)];

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// What ids of this family are higher by.
    #[must_use]
    pub const fn offset(self) -> u32 {
        match self {
            Self::V4 => 0,
            Self::V6 => V6,
        }
    }

    fn ip(self, net: u8, host: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, net, 0, host).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into()).into(),
        }
    }

    /// The client of every case.
    #[must_use]
    pub fn client(self) -> SocketAddr {
        SocketAddr::new(self.ip(9, 7), 40_000)
    }

    /// A client of the office, whom a preview rule leads to the other colour; from host 128 on there is another rule,
    /// to green.
    #[must_use]
    pub fn office(self, host: u8) -> SocketAddr {
        SocketAddr::new(self.ip(8, host), 40_000)
    }

    /// A VIP; there are two, and those of [`PREVIEW_VIPS`].
    #[must_use]
    pub fn vip(self, number: u8, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(0, 9 + number), port)
    }

    /// Where a backend listens.
    #[must_use]
    pub fn backend(self, id: u32) -> SocketAddr {
        let (net, host, port) = match id {
            WEB_BLUE => (1, 2, 8080),
            WEB_GREEN => (2, 2, 8080),
            DNS_BLUE => (1, 3, 53),
            DNS_GREEN => (2, 3, 53),
            POOL_GREEN => (2, 4, 90),
            SICK_BLUE..SICK_DNS_BLUE => (3, (id - SICK_BLUE) as u8 + 2, 83),
            WHOLE_BLUE => (1, 9, 0),
            WHOLE_GREEN => (2, 9, 0),
            STICKY_BLUE..=STICKY_GREEN => (4, (id - STICKY_BLUE) as u8 + 2, 84),
            SWIFT_BLUE..=SWIFT_GREEN => (4, (id - SWIFT_BLUE) as u8 + 12, 55),
            SICK_DNS_BLUE.. => (3, (id - SICK_DNS_BLUE) as u8 + 22, 54),
            pool => (1, 4 + (pool - POOL_BLUE) as u8, 90),
        };
        SocketAddr::new(self.ip(net, host), port)
    }
}

/// The endpoint of a socket address.
#[must_use]
pub fn endpoint(at: SocketAddr, proto: Proto) -> Endpoint {
    if proto == Proto::ANY {
        return Endpoint::whole(at.ip().into());
    }
    Endpoint::new(at.ip().into(), at.port().into(), proto)
}

/// Contents of the tables, ready to be written.
#[derive(Debug, Default)]
pub struct World {
    /// Service id → service; the deployment of all is 0.
    pub services: Vec<Service>,
    /// Frontends and where they listen.
    pub frontends: Vec<(Endpoint, Frontend)>,
    /// Ring positions from 0 on.
    pub ring: Vec<u32>,
    /// Backend ids and backends.
    pub backends: Vec<(u32, Backend)>,
    /// Preview rules: a prefix, its length, and where they lead.
    pub previews: Vec<(Addr, u8, Aim)>,
    /// What holds for all packets.
    pub settings: Settings,
}

impl World {
    /// The world of the packet cases; every backend is reached `via`.
    #[must_use]
    pub fn new(via: Via, ifindex: u32) -> Self {
        let mut world = Self::default();
        let services = [
            (Proto::TCP, vec![WEB_BLUE], vec![WEB_GREEN]),
            (Proto::UDP, vec![DNS_BLUE], vec![DNS_GREEN]),
            (Proto::TCP, vec![], vec![]),
            (Proto::TCP, (POOL_BLUE..POOL_BLUE + POOL_SIZE).collect(), vec![POOL_GREEN]),
            (Proto::TCP, vec![], vec![]),
            (Proto::TCP, vec![SICK_BLUE], vec![SICK_BLUE + GREEN]),
            (Proto::UDP, vec![SICK_DNS_BLUE], vec![SICK_DNS_BLUE + GREEN]),
            (Proto::ANY, vec![WHOLE_BLUE], vec![WHOLE_GREEN]),
            (Proto::TCP, (STICKY_BLUE..STICKY_GREEN).collect(), vec![STICKY_GREEN]),
            (Proto::UDP, vec![SWIFT_BLUE], vec![SWIFT_GREEN]),
        ];
        for (id, (proto, blue, green)) in services.into_iter().enumerate() {
            let id = id as u32;
            let flags = match id {
                CLOSED => Service::REFUSE,
                STICKY => Service::BY_CLIENT | Service::CANARY_BY_CLIENT,
                _ => 0,
            };
            let mut service = Service { flags, ..Service::default() };
            let fate = if id == SWIFT { Fate::Move } else { Fate::Keep };
            for (colour, backends) in [(Colour::Blue, &blue), (Colour::Green, &green)] {
                for family in Family::BOTH {
                    let base = world.ring.len() as u32;
                    for backend in backends {
                        let at = endpoint(family.backend(*backend), proto);
                        let slice = SliceId::new(0, colour);
                        let number = backend + family.offset();
                        let backend = Backend::new(at, id, slice, via, ifindex).leaving(fate);
                        world.backends.push((number, backend));
                        world.ring.push(number);
                    }
                    let slot = Service::slot(colour, family == Family::V6);
                    service.rings[slot] = Ring::new(base, backends.len() as u32);
                }
            }
            world.services.push(service);
        }
        for (service, first, proto) in [(SICK, SICK_BLUE, Proto::TCP), (SICK_DNS, SICK_DNS_BLUE, Proto::UDP)]
        {
            for family in Family::BOTH {
                for (nth, pinned) in DOWN {
                    let at = endpoint(family.backend(first + nth), proto);
                    let slice = SliceId::new(0, Colour::Blue);
                    let backend = Backend::new(at, service, slice, via, ifindex).down(pinned);
                    world.backends.push((first + nth + family.offset(), backend));
                }
            }
        }
        for family in Family::BOTH {
            let at = |number, port, proto| endpoint(family.vip(number, port), proto);
            for (service, id, at) in [
                (WEB, 0, at(1, 80, Proto::TCP)),
                (WEB, 1, at(2, 80, Proto::TCP)),
                (DNS, 2, at(1, 53, Proto::UDP)),
                (NONE, 3, at(1, 81, Proto::TCP)),
                (POOL, 4, at(1, 90, Proto::TCP)),
                (CLOSED, 5, at(1, 82, Proto::TCP)),
                (SICK, 6, at(1, 83, Proto::TCP)),
                (SICK_DNS, 7, at(1, 54, Proto::UDP)),
                (WHOLE, 8, at(3, 0, Proto::ANY)),
                (STICKY, 9, at(1, 84, Proto::TCP)),
                (SWIFT, 10, at(1, 55, Proto::UDP)),
            ] {
                world.frontends.push((at, Frontend::live(service, id + family.offset() as u16)));
            }
            for (id, (vip, aim)) in (PREVIEW_FRONTEND..).zip(PREVIEW_VIPS) {
                let frontend = Frontend::aimed(WEB, (id + family.offset()) as u16, aim);
                world.frontends.push((at(vip, 80, Proto::TCP), frontend));
            }
            let bits = if family == Family::V4 { 32 } else { 128 };
            for (host, len, aim) in [(0, bits - 8, Aim::Other), (128, bits - 7, Aim::Green)] {
                world.previews.push((family.office(host).ip().into(), len, aim));
            }
            for number in [1, 2, 4, 5, 6] {
                let at = Endpoint::whole(family.vip(number, 0).ip().into());
                world.frontends.push((at, Frontend::vip()));
            }
        }
        world.settings = Settings::default().with_whole_addresses(true);
        world
    }

    /// The same without [`WHOLE`]: no program looks for a whole address.
    #[must_use]
    pub fn of_ports(via: Via, ifindex: u32) -> Self {
        let mut world = Self::new(via, ifindex);
        world.frontends.retain(|(_, frontend)| frontend.is_vip() || frontend.service != WHOLE);
        world.backends.retain(|(_, backend)| !backend.is_whole());
        world.settings = Settings::default();
        world
    }
}

/// Puts an endpoint into a table that nothing reads yet.
pub fn put<V: Copy>(
    at: Endpoint,
    value: V,
    mut read: impl FnMut(u32) -> Bucket<V>,
    write: impl FnOnce(u32, Bucket<V>),
) {
    let candidates = choices(&at, ENDPOINT_BUCKETS).map(|index| (index, read(index)));
    let place = place(&at, candidates).expect("there is room for the endpoints of a test");
    write(place.index, place.with(Slot { at, value }));
}

/// In which table a pin is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum In {
    /// FLOWS.
    Established,
    /// HALF_OPEN.
    HalfOpen,
}

/// A pin in a table, as a case states it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PinRow {
    /// Which table.
    pub table: In,
    /// Whose it is.
    pub key: FlowKey,
    /// Backend id.
    pub backend: u32,
    /// Frontend id.
    pub frontend: u32,
    /// State bits.
    pub state: u8,
    /// Seconds since its last packet, or since it began.
    pub age: u32,
    /// Seconds since the flow began. Before: as [`PinRow::age`] where nothing is said. After: whatever it is.
    pub begun: Option<u32>,
}

impl PinRow {
    /// The pin of the client's flow to a service.
    #[must_use]
    pub fn new(table: In, family: Family, proto: Proto, service: u32, backend: u32) -> Self {
        let client = family.client();
        let key = FlowKey::new(client.ip().into(), Port::from(client.port()), proto, service);
        let frontend = if service == WEB { 0 } else { service + 1 };
        let backend = backend + family.offset();
        Self { table, key, backend, frontend: frontend + family.offset(), state: 0, age: 0, begun: None }
    }

    /// The pin of the client's flow from one port to another of [`WHOLE`]; both are 0 for a protocol without ports.
    #[must_use]
    pub fn whole(table: In, family: Family, proto: Proto, from: u16, to: u16, backend: u32) -> Self {
        let key = FlowKey::whole(family.client().ip().into(), from.into(), proto, WHOLE, to.into());
        Self { key, ..Self::new(table, family, proto, WHOLE, backend) }
    }

    /// With these state bits.
    #[must_use]
    pub const fn state(self, state: u8) -> Self {
        Self { state, ..self }
    }

    /// With this age in seconds.
    #[must_use]
    pub const fn age(self, age: u32) -> Self {
        Self { age, ..self }
    }

    /// Of a flow that began so many seconds ago.
    #[must_use]
    pub const fn begun(self, seconds: u32) -> Self {
        Self { begun: Some(seconds), ..self }
    }

    /// Of the client at this address.
    #[must_use]
    pub fn of(self, client: SocketAddr) -> Self {
        let key =
            FlowKey::new(client.ip().into(), client.port().into(), self.key.proto(), self.key.service());
        Self { key, ..self }
    }

    /// Through the nth of [`PREVIEW_VIPS`].
    #[must_use]
    pub const fn preview_vip(self, nth: u32) -> Self {
        Self { frontend: self.frontend + PREVIEW_FRONTEND + nth, ..self }
    }

    /// Through the second VIP.
    #[must_use]
    pub const fn second_vip(self) -> Self {
        Self { frontend: self.frontend + 1, ..self }
    }

    /// The table entry.
    #[must_use]
    pub fn write(&self, now: Tick) -> Flow {
        let ago = |seconds: u32| Tick(now.0 - Tick::in_seconds(seconds.into()));
        let Self { backend, frontend, state, age, begun, .. } = *self;
        let began = Began::at(ago(begun.unwrap_or(age)));
        Flow::new(backend, frontend, ago(age)).with_state(state).with_began(began)
    }

    /// Reads a table entry.
    #[must_use]
    pub fn read(table: In, key: FlowKey, flow: Flow, now: Tick) -> Self {
        let Flow { backend, frontend, seen, .. } = flow;
        let seconds = |ticks: u32| (u64::from(ticks) * Tick::NANOS / 1_000_000_000) as u32;
        let (age, begun) = (seconds(now.since(seen)), Some(seconds(flow.began().ticks_until(now))));
        Self { table, key, backend, frontend, state: flow.state(), age, begun }
    }
}
