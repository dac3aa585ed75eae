//! The harness measured against plain kernel routing and nftables, where the truth is known.

use bg_common::Colour;
use bg_tests::capture::{Capture, Content, sum_of};
use bg_tests::daemon::service;
use bg_tests::servers::{Servers, port};
use bg_tests::topology::{
    CLIENT, CLIENT_LINK, CLIENT_MAC, GATEWAY, MACHINE_LINK, Plan, Topology, UPLINK, UPLINK_MAC, VIPS, Zones,
};
use bg_tests::traffic::{Kind, Load, Traffic};
use bg_tests::wait;
use bg_tests::wire::Socket;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Every kind of traffic through an nftables DNAT map whose colour changes under way.
#[test]
fn traffic_through_nftables_is_seen_as_it_is() {
    let topology = Topology::new(&Plan { zones: Zones::Bridge, ..Plan::default() }).unwrap();
    let _servers = Servers::start(&topology).unwrap();
    let capture = Capture::start(&points(&topology)).unwrap();
    topology.gateway.ip(&VIPS.map(|vip| format!("addr add {vip} dev {UPLINK}\n")).concat()).unwrap();
    topology.gateway.nft(&dnat(&topology, Colour::Blue)).unwrap();
    let targets = |port| VIPS.map(|vip| SocketAddr::new(vip, port)).to_vec();
    let load = |kind, port| Load { kind, targets: targets(port), clients: 4, rate: 50.0, life: None };
    let traffic = Traffic::start(
        &topology.client,
        vec![
            load(Kind::Short, service::WEB),
            load(Kind::Kept, service::WEB),
            load(Kind::Stream, service::LINES),
            load(Kind::Datagram, service::DATAGRAMS),
        ],
    )
    .unwrap();
    let answered = |colour: Colour| traffic.record().look(|tally| tally.answered[colour.index()]);
    wait::until("blue answers", wait::PATIENCE, || answered(Colour::Blue) > 200).unwrap();
    topology.gateway.nft(&dnat(&topology, Colour::Green)).unwrap();
    wait::until("green answers", wait::PATIENCE, || answered(Colour::Green) > 100).unwrap();
    let tally = traffic.stop().unwrap();
    assert_eq!(tally.failed(), 0, "{:?}", tally.examples);
    assert_eq!(tally.open_of(Kind::Kept), [0, 0]);
    let kept = tally.connections.iter().filter(|connection| connection.kind != Kind::Short);
    assert_eq!(kept.filter(|connection| connection.stamp.colour == Colour::Blue).count(), 12);
    let seen = capture.stop().unwrap();
    seen.verify().unwrap();
    assert!(seen.good > 1000, "{}", seen.good);
}

fn points(topology: &Topology) -> Vec<(&bg_tests::netns::Namespace, &str)> {
    let machines = topology.machines.iter().map(|machine| (&machine.namespace, MACHINE_LINK));
    machines.chain([(&topology.client, CLIENT_LINK)]).collect()
}

fn dnat(topology: &Topology, colour: Colour) -> String {
    let machine = topology.slice(colour).next().unwrap();
    let [v4, v6] = machine.addrs;
    let mut rules = String::new();
    for (family, vip, addr) in [("ip", VIPS[0], v4.to_string()), ("ip6", VIPS[1], format!("[{v6}]"))] {
        for (protocol, from, to) in [
            ("tcp", service::WEB, port::WEB),
            ("tcp", service::LINES, port::LINES),
            ("udp", service::DATAGRAMS, port::DATAGRAMS),
        ] {
            rules += &format!("{family} daddr {vip} {protocol} dport {from} dnat {family} to {addr}:{to}\n");
        }
    }
    format!(
        "table inet bgt\ndelete table inet bgt\ntable inet bgt {{\n\
         chain pre {{\ntype nat hook prerouting priority dstnat\n{rules}}}\n}}\n"
    )
}

/// A frame with one wrong bit fails the capture that saw it.
#[test]
fn a_bad_checksum_on_the_wire_fails_the_capture() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let socket = Socket::open(&topology.client, CLIENT_LINK).unwrap();
    for (corrupt, passes) in [(false, true), (true, false)] {
        let capture = Capture::start(&[(&topology.gateway, UPLINK)]).unwrap();
        socket.send(&echo_request(corrupt)).unwrap();
        let arrived = || capture.any(|packet| matches!(packet.content, Content::Ip { protocol: 1, .. }));
        wait::until("the frame arrives", wait::PATIENCE, arrived).unwrap();
        assert_eq!(capture.stop().unwrap().verify().is_ok(), passes);
    }
}

/// An ICMP echo request whose checksum is right unless `corrupt`.
fn echo_request(corrupt: bool) -> Vec<u8> {
    let [IpAddr::V4(src), _] = CLIENT else { unreachable!() };
    let [IpAddr::V4(dst), _] = GATEWAY else { unreachable!() };
    let mut ip = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0];
    ip.extend(src.octets());
    ip.extend(dst.octets());
    let sum = !sum_of(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut icmp = vec![8, 0, 0, 0, 0, 7, 0, 1];
    let sum = !sum_of(&[&icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    icmp[7] ^= u8::from(corrupt) << 3;
    [&UPLINK_MAC[..], &CLIENT_MAC, &[0x08, 0x00], &ip, &icmp].concat()
}

/// A moved connection is not taken for a working one: the machine's answers change under a stream.
#[test]
fn an_answer_from_another_machine_is_a_failure() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let _servers = Servers::start(&topology).unwrap();
    topology.gateway.nft(&stateless(&topology, Colour::Blue)).unwrap();
    topology.gateway.ip(&format!("addr add {} dev {UPLINK}\n", VIPS[0])).unwrap();
    let load = Load {
        kind: Kind::Datagram,
        targets: vec![SocketAddr::new(VIPS[0], port::DATAGRAMS)],
        clients: 1,
        rate: 100.0,
        life: Some(Duration::from_secs(3600)),
    };
    let traffic = Traffic::start(&topology.client, vec![load]).unwrap();
    wait::until("blue answers", wait::PATIENCE, || traffic.record().look(|tally| tally.answered[0] > 0))
        .unwrap();
    topology.gateway.nft(&stateless(&topology, Colour::Green)).unwrap();
    let moved = |tally: &bg_tests::traffic::Tally| tally.failed_by(bg_tests::traffic::Failure::Moved) > 0;
    wait::until("the move is noticed", wait::PATIENCE, || traffic.record().look(moved)).unwrap();
}

/// Rewrites datagrams one by one, with no memory of connections.
fn stateless(topology: &Topology, colour: Colour) -> String {
    let machine = topology.slice(colour).next().unwrap();
    let (vip, addr) = (VIPS[0], machine.addrs[0]);
    format!(
        "table ip bgt\ndelete table ip bgt\ntable ip bgt {{\n\
         chain pre {{\ntype filter hook prerouting priority raw\nip daddr {vip} notrack ip daddr set {addr}\n}}\n\
         chain post {{\ntype filter hook postrouting priority 0\nip saddr {addr} ip saddr set {vip}\n}}\n}}\n"
    )
}
