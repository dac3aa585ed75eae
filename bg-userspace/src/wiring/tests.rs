//! Rows of networks and configurations, and how the gateway between them is to be wired.

use super::*;
use crate::config;
use crate::net::{Address, Route, RouteTo};
use bg_common::Colour;

const DEVICE: LinkKind = LinkKind::Device;
const ZONE: LinkKind = LinkKind::Veth(PeerEnd::Elsewhere);

/// A network: a wired eth0 with the default route, a veth into each slice, and clients' VIPs on eth0's
/// subnet. Rows change what they are about.
struct Network {
    gateway: &'static str,
    service: &'static str,
    survey: Survey,
    unreachable: Unreachable,
}

fn link(index: u32, name: &str, kind: LinkKind) -> Link {
    let ethernet = kind != LinkKind::Loopback;
    Link { index, name: name.to_owned(), kind, ethernet, mtu: 1500, mac: Some([2; 6]), up: true, xdp: None }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(ifindex: u32, text: &str, prefix: u8) -> Address {
    Address { ifindex, ip: ip(text), prefix, ours: false }
}

fn network() -> Network {
    let mut survey = Survey {
        links: vec![
            link(1, "lo", LinkKind::Loopback),
            link(2, "eth0", DEVICE),
            link(3, "eth1", DEVICE),
            link(4, "to-blue", ZONE),
            link(5, "to-green", ZONE),
        ],
        addresses: vec![
            address(2, "192.0.2.1", 24),
            address(2, "2001:db8::1", 64),
            address(3, "198.51.100.1", 24),
        ],
        default_uplinks: vec![2],
        routes: Default::default(),
        cgroup: Some("/sys/fs/cgroup".into()),
    };
    for (backend, ifindex) in [("10.1.0.2", 4), ("fd00:1::2", 4), ("10.2.0.2", 5), ("fd00:2::2", 5)] {
        survey.routes.insert(ip(backend), out(ifindex));
    }
    Network { gateway: "attach = \"tc\"", service: "", survey, unreachable: Unreachable::Refuse }
}

fn out(ifindex: u32) -> RouteTo {
    RouteTo::Out(Route { ifindex, gateway: None, source: None })
}

impl Network {
    fn gateway(mut self, keys: &'static str) -> Self {
        self.gateway = keys;
        self
    }

    fn link(mut self, name: &str, change: impl Fn(&mut Link)) -> Self {
        change(self.survey.links.iter_mut().find(|link| link.name == name).unwrap());
        self
    }

    fn kind(self, name: &str, kind: LinkKind) -> Self {
        self.link(name, |link| link.kind = kind.clone())
    }

    fn mtu(self, name: &str, mtu: u32) -> Self {
        self.link(name, |link| link.mtu = mtu)
    }

    /// Adds the interface that bgd of the default instance makes for itself.
    fn own_link(mut self, kind: LinkKind) -> Self {
        self.survey.links.push(link(9, "bgp-default", kind));
        self
    }

    fn uplinks(mut self, default_uplinks: &[u32]) -> Self {
        self.survey.default_uplinks = default_uplinks.to_vec();
        self
    }

    fn route(mut self, backend: &str, to: RouteTo) -> Self {
        self.survey.routes.insert(ip(backend), to);
        self
    }

    fn note_unreachable(mut self) -> Self {
        self.unreachable = Unreachable::Note;
        self
    }

    fn plan(&self) -> Result<Wiring, Refusal> {
        let text = format!(
            r#"
            [gateway]
            {}
            [deployment.shop]
            initial = "blue"
            blue = ["10.1.0.2", "fd00:1::2"]
            green = ["10.2.0.2", "fd00:2::2"]
            [deployment.shop.service.web]
            vips = ["192.0.2.10", "198.51.100.10", "203.0.113.10", "2001:db8::10"]
            port = 80
            backend_port = 8080
            {}
            "#,
            self.gateway, self.service
        );
        let config = config::parse(&text, "bg.toml").unwrap_or_else(|why| panic!("{why}"));
        plan(&config, &self.survey, self.unreachable)
    }
}

/// `name side hook` of every interface, and the path.
fn shape(wiring: &Wiring) -> String {
    let links = wiring.attach.links.iter().map(|spec| {
        let side = format!("{:?}", spec.side).to_lowercase();
        let hook = format!("{:?}", spec.hook).to_lowercase();
        format!("{} {side} {hook}", spec.name)
    });
    format!("{}: {:?}", links.collect::<Vec<_>>().join(", "), wiring.attach.path)
}

/// The way to blue's and to green's first backend.
fn vias(wiring: &Wiring) -> [Via; 2] {
    let [blue, green] = &wiring.deployments[0].services[0].backends;
    [blue[0].via, green[0].via]
}

const ZONES: &str = "to-blue zone tc, to-green zone tc";

#[test]
fn interfaces_are_hooked_by_what_they_are_and_what_is_configured() {
    let rows = [
        ("a device takes XDP", network().gateway(""), "eth0 uplink xdp", "Stack"),
        ("tc when configured", network(), "eth0 uplink tc", "Redirect"),
        (
            "generic XDP when configured",
            network().gateway("attach = \"xdp-generic\""),
            "eth0 uplink xdpgeneric",
            "Stack",
        ),
        ("a veth takes tc", network().gateway("").kind("eth0", ZONE), "eth0 uplink tc", "Redirect"),
        (
            "a bridge takes tc",
            network().gateway("").kind("eth0", LinkKind::Bridge),
            "eth0 uplink tc",
            "Redirect",
        ),
        (
            "a veth takes XDP when configured",
            network().gateway("attach = \"xdp\"").kind("eth0", ZONE),
            "eth0 uplink xdp",
            "Stack",
        ),
        ("jumbo frames do not fit XDP", network().gateway("").mtu("eth0", 9001), "eth0 uplink tc", "Stack"),
        ("the largest MTU that does", network().gateway("").mtu("eth0", 3498), "eth0 uplink xdp", "Stack"),
        (
            "both default routes count",
            network().gateway("").uplinks(&[3, 2]),
            "eth1 uplink xdp, eth0 uplink xdp",
            "Stack",
        ),
        (
            "named uplinks win over default routes, each once",
            network().gateway("uplinks = [\"eth1\"]\nattach = \"tc\""),
            "eth1 uplink tc",
            "Redirect",
        ),
        (
            "one XDP uplink among several decides on the path",
            network().gateway("").uplinks(&[2, 3]).kind("eth0", LinkKind::Bridge),
            "eth0 uplink tc, eth1 uplink xdp",
            "Stack",
        ),
    ];
    for (what, network, uplinks, path) in rows {
        let wiring = network.plan().unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(shape(&wiring), format!("{uplinks}, {ZONES}: {path}"), "{what}");
    }
}

#[test]
fn local_processes_are_clients_where_they_can_be() {
    let rows = [
        ("of all control groups", network(), Some("/sys/fs/cgroup")),
        (
            "of a named one",
            network().gateway("attach = \"tc\"\ncgroup = \"/sys/fs/cgroup/web\""),
            Some("/sys/fs/cgroup/web"),
        ),
        ("not at all", network().gateway("attach = \"tc\"\nlocal_clients = false"), None),
    ];
    for (what, network, want) in rows {
        assert_eq!(network.plan().unwrap().attach.cgroup, want.map(PathBuf::from), "{what}");
    }
    let mut bare = network();
    bare.survey.cgroup = None;
    let wiring = bare.plan().unwrap();
    assert_eq!(wiring.attach.cgroup, None);
    assert!(wiring.notes.iter().any(|note| note.contains("no cgroup2 file system")), "{:?}", wiring.notes);
}

#[test]
fn an_address_of_the_gateway_stands_for_clients_as_configured() {
    let source = |addr: &str, prefix| Some(crate::dataplane::SourceSpec { addr: ip(addr), prefix });
    let neighbours = "source_nat = \"neighbours\"";
    let always = "source_nat = \"always\"";
    let near = || address(4, "10.1.0.1", 24);
    let far = || address(4, "10.77.0.1", 24);
    let vip = || Address { ours: true, ..address(4, "10.1.0.9", 32) };
    let rows = [
        ("not configured", "", vec![near()], None),
        ("in its subnet", neighbours, vec![far(), near()], source("10.1.0.1", 24)),
        ("in none", neighbours, vec![far()], None),
        ("a VIP is nobody's", neighbours, vec![vip()], None),
        ("for all", always, vec![far(), near()], source("10.1.0.1", 0)),
        ("for all, from another subnet", always, vec![far()], source("10.77.0.1", 0)),
        ("on another interface", always, vec![address(5, "10.2.0.1", 24)], None),
    ];
    for (what, service, addresses, want) in rows {
        let mut network = Network { service, ..network() };
        network.survey.addresses.extend(addresses);
        let wiring = network.plan().unwrap();
        let blue = &wiring.deployments[0].services[0].backends[0][0];
        assert_eq!(blue.source, want, "{what}");
        // Past the programs that replace it there is no short way.
        assert_eq!(blue.via, if want.is_some() { Via::Neighbour } else { Via::Peer }, "{what}");
        assert_eq!(wiring.attach.sources.contains(&4), want.is_some(), "{what}");
        let told = wiring.notes.iter().any(|note| note.contains("can stand for clients of 10.1.0.2"));
        assert_eq!(told, want.is_none() && !service.is_empty(), "{what}: {:?}", wiring.notes);
    }
}

#[test]
fn the_path_is_one_that_no_packet_is_too_big_for() {
    let rows = [
        ("equal MTUs", network(), Path::Redirect),
        ("wide zones", network().mtu("to-blue", 9000), Path::Redirect),
        ("one narrow zone", network().mtu("to-green", 1400), Path::Stack),
        (
            "narrower than the widest uplink",
            network().gateway("uplinks = [\"eth0\", \"eth1\"]\nattach = \"tc\"").mtu("eth1", 9000),
            Path::Stack,
        ),
        (
            "a narrow zone, but redirect is configured",
            network().gateway("attach = \"tc\"\npath = \"redirect\"").mtu("to-green", 1400),
            Path::Redirect,
        ),
        ("stack is configured", network().gateway("attach = \"tc\"\npath = \"stack\""), Path::Stack),
    ];
    for (what, network, want) in rows {
        let wiring = network.plan().unwrap();
        assert_eq!(wiring.attach.path, want, "{what}: {:#?}", wiring.notes);
    }
}

#[test]
fn every_decision_leaves_a_note_that_names_the_interface() {
    let rows = [
        (network().gateway(""), "eth0 is hooked by XDP, because it is a device with a driver"),
        (network().gateway(""), "the path is stack, because XDP on eth0"),
        (network().gateway(""), "uplinks by default route: eth0"),
        (
            network().mtu("to-green", 1400),
            "the path is stack, because to-green (MTU 1400) is narrower than eth0",
        ),
        (network().gateway("").mtu("eth0", 9001), "eth0 is hooked by tc, because its MTU"),
        (network().link("to-blue", |link| link.up = false), "to-blue is down: ip link set to-blue up"),
        (network().route("10.2.0.2", out(2)), "eth0 leads to clients and to slices"),
    ];
    for (network, want) in rows {
        let notes = network.plan().unwrap().notes;
        assert!(notes.iter().any(|note| note.starts_with(want)), "no {want:?} in {notes:#?}");
    }
}

#[test]
fn backends_are_reached_the_shortest_way_that_works() {
    let port = LinkKind::Veth(PeerEnd::ElsewherePort);
    let unknown = LinkKind::Veth(PeerEnd::ElsewhereUnknown);
    let here = LinkKind::Veth(PeerEnd::Here);
    let behind_a_router = RouteTo::Out(Route { ifindex: 4, gateway: Some(ip("10.1.0.1")), source: None });
    let rows = [
        ("a veth into a namespace", network(), Via::Peer),
        ("a router in the namespace", network().route("10.1.0.2", behind_a_router), Via::Peer),
        ("a bridge in the other namespace", network().kind("to-blue", port), Via::Neighbour),
        ("a namespace closed to us", network().kind("to-blue", unknown), Via::Neighbour),
        ("a veth pair in this namespace", network().kind("to-blue", here), Via::Neighbour),
        ("a bridge", network().kind("to-blue", LinkKind::Bridge), Via::Neighbour),
        ("a tap", network().kind("to-blue", LinkKind::Tun), Via::Neighbour),
        ("a device", network().kind("to-blue", DEVICE), Via::Neighbour),
        (
            "a veth that clients come by as well",
            network().kind("eth0", ZONE).route("10.1.0.2", out(2)),
            Via::Neighbour,
        ),
        ("the stack", network().gateway("attach = \"tc\"\npath = \"stack\""), Via::Stack),
        ("XDP", network().gateway(""), Via::Stack),
    ];
    for (what, network, want) in rows {
        let [blue, _green] = vias(&network.plan().unwrap());
        assert_eq!(blue, want, "{what}");
    }
}

#[test]
fn an_interface_that_leads_both_ways_is_hooked_once_for_both() {
    let one_armed = network().route("10.2.0.2", out(2)).route("fd00:2::2", out(2));
    let wiring = one_armed.plan().unwrap();
    assert_eq!(shape(&wiring), "eth0 both tc, to-blue zone tc: Redirect");
    let by_xdp = one_armed.gateway("").plan().unwrap();
    assert_eq!(shape(&by_xdp), "eth0 both xdp, to-blue zone tc: Stack");
}

#[test]
fn bgds_own_interface_is_hooked_like_an_uplink_and_changes_nothing_else() {
    let rows = [
        ("tc", network(), "eth0 uplink tc, to-blue zone tc, to-green zone tc"),
        ("XDP", network().gateway(""), "eth0 uplink xdp, to-blue zone tc, to-green zone tc"),
        (
            "one arm",
            network().route("10.2.0.2", out(2)).route("fd00:2::2", out(2)),
            "eth0 both tc, to-blue zone tc",
        ),
        ("narrow zones", network().mtu("to-blue", 1400), "eth0 uplink tc, to-blue zone tc, to-green zone tc"),
        ("wide ones", network().mtu("eth0", 1400), "eth0 uplink tc, to-blue zone tc, to-green zone tc"),
    ];
    for (what, network, others) in rows {
        let before = network.plan().unwrap();
        assert_eq!((before.own_link, shape(&before)), (None, format!("{others}: {:?}", before.attach.path)));
        let after = network.own_link(LinkKind::Tun).plan().unwrap();
        let want = format!("{others}, bgp-default uplink tc: {:?}", before.attach.path);
        assert_eq!((after.own_link, shape(&after)), (Some(9), want), "{what}");
        assert_eq!(after.vip_homes, before.vip_homes, "{what}");
        assert_eq!(after.deployments, before.deployments, "{what}");
    }
}

#[test]
fn an_interface_of_another_instance_or_another_kind_is_none_of_bgds() {
    let other = network().own_link(LinkKind::Tun).gateway("attach = \"tc\"\ninstance = \"other\"");
    let veth = network().own_link(ZONE);
    for network in [other, veth] {
        assert_eq!(shape(&network.plan().unwrap()), format!("eth0 uplink tc, {ZONES}: Redirect"));
    }
}

#[test]
fn the_tables_get_every_frontend_and_backend_with_its_interface() {
    let wiring = network().plan().unwrap();
    let [deployment] = wiring.deployments.as_slice() else { panic!("one deployment is configured") };
    assert_eq!((deployment.name.as_str(), deployment.initial), ("shop", Word::initial(Colour::Blue)));
    let [service] = deployment.services.as_slice() else { panic!("one service is configured") };
    let frontends: Vec<_> = service.frontends.iter().map(SocketAddr::to_string).collect();
    assert_eq!(frontends, ["192.0.2.10:80", "198.51.100.10:80", "203.0.113.10:80", "[2001:db8::10]:80"]);
    let backends = service.backends.clone().map(|colour| {
        colour.iter().map(|backend| format!("{} {}", backend.addr, backend.ifindex)).collect::<Vec<_>>()
    });
    assert_eq!(
        backends,
        [["10.1.0.2:8080 4", "[fd00:1::2]:8080 4"], ["10.2.0.2:8080 5", "[fd00:2::2]:8080 5"]]
    );
}

#[test]
fn a_vip_lives_on_the_uplink_of_its_subnet_or_on_the_first() {
    let homes = |keys| {
        let homes = network().gateway(keys).plan().unwrap().vip_homes;
        homes.iter().map(|home| format!("{} {}", home.vip, home.ifindex)).collect::<Vec<_>>()
    };
    assert_eq!(
        homes("uplinks = [\"eth0\", \"eth1\"]"),
        ["192.0.2.10 2", "198.51.100.10 3", "203.0.113.10 2", "2001:db8::10 2"]
    );
    assert_eq!(homes("own_vips = false"), [""; 0]);
}

#[test]
fn what_cannot_work_is_refused_with_place_and_remedy() {
    let tun = |name| network().kind(name, LinkKind::Tun).link(name, |link| link.ethernet = false);
    let rows = [
        ("no default route", network().uplinks(&[]), "no-uplink", "key `uplinks`", "uplinks = [\"eth0\"]"),
        (
            "a misspelt uplink",
            network().gateway("uplinks = [\"eth7\"]"),
            "unknown-interface",
            "key `uplinks`",
            "eth0, eth1, to-blue, to-green",
        ),
        (
            "the loopback as uplink",
            network().gateway("uplinks = [\"lo\"]"),
            "not-ethernet",
            "key `uplinks`",
            "use one of: eth0",
        ),
        ("a tunnel as uplink", tun("eth0"), "not-ethernet", "key `uplinks`", "use one of: eth1"),
        (
            "a slice behind a tunnel",
            tun("to-green"),
            "not-ethernet",
            "deployment `shop`, slice `green`, address 10.2.0.2",
            "ip route get 10.2.0.2",
        ),
        (
            "a slice on the gateway itself",
            network().route("10.1.0.2", RouteTo::Local),
            "backend-local",
            "deployment `shop`, slice `blue`, address 10.1.0.2",
            "an address of its own",
        ),
        (
            "a slice without a route",
            network().route("fd00:1::2", RouteTo::Nowhere("Network is unreachable".to_owned())),
            "backend-unreachable",
            "deployment `shop`, slice `blue`, address fd00:1::2",
            "ip route get fd00:1::2",
        ),
        (
            "bgd's own interface as uplink",
            network().own_link(LinkKind::Tun).gateway("uplinks = [\"eth0\", \"bgp-default\"]"),
            "own-interface",
            "key `uplinks`",
            "name other uplinks",
        ),
        (
            "a slice behind bgd's own interface",
            network().own_link(LinkKind::Tun).route("10.2.0.2", out(9)),
            "own-interface",
            "key `uplinks` in [gateway], and the addresses of slices",
            "ip route show dev bgp-default",
        ),
        (
            "redirect with XDP",
            network().gateway("attach = \"xdp\"\npath = \"redirect\""),
            "path-needs-tc",
            "keys `path` and `attach`",
            "attach = \"tc\"",
        ),
        (
            "redirect with a device that takes XDP by itself",
            network().gateway("path = \"redirect\""),
            "path-needs-tc",
            "keys `path` and `attach`",
            "attach = \"tc\"",
        ),
    ];
    for (what, network, code, at, mend) in rows {
        let Err(refusal) = network.plan() else { panic!("{what} is not refused") };
        assert_eq!(refusal.code, code, "{what}");
        assert!(refusal.at.starts_with(at), "{what}: {refusal}");
        assert!(refusal.mend.contains(mend), "{what}: {refusal}");
    }
}

#[test]
fn a_gateway_that_has_worked_goes_on_without_a_slice_that_is_down() {
    let gone = || RouteTo::Nowhere("Network is unreachable".to_owned());
    let network = network().route("10.2.0.2", gone()).route("fd00:2::2", gone()).note_unreachable();
    let wiring = network.plan().unwrap();
    assert_eq!(vias(&wiring), [Via::Peer, Via::Stack]);
    assert_eq!(shape(&wiring), "eth0 uplink tc, to-blue zone tc: Redirect");
    let named: Vec<_> = wiring.unreachable.iter().map(|refusal| refusal.at.as_str()).collect();
    assert_eq!(
        named,
        [
            "deployment `shop`, slice `green`, address 10.2.0.2",
            "deployment `shop`, slice `green`, address fd00:2::2"
        ]
    );
}
