//! Traffic of other kinds and from other places: bulk, datagrams, garbage, firewalls, slices themselves.

use crate::lab::{Lab, Way, assert_unharmed, await_new, ways};
use bg_common::Colour;
use bg_tests::capture::Capture;
use bg_tests::client::request;
use bg_tests::daemon::{Daemon, frontends, service};
use bg_tests::netns::Namespace;
use bg_tests::packet::{self, flag};
use bg_tests::process::Process;
use bg_tests::run::Scratch;
use bg_tests::servers::port;
use bg_tests::topology::{
    CLIENT, CLIENT_LINK, CLIENT_MAC, MACHINE_LINK, Machine, Plan, Topology, UPLINK, UPLINK_MAC, VIPS,
};
use bg_tests::traffic::{Kind, Load, Tally};
use bg_tests::wait;
use bg_tests::wire::Socket;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

ways!(established_datagram_flows_stay_and_new_ones_move);

fn established_datagram_flows_stay_and_new_ones_move(lab: Lab) {
    let load = |clients| Load {
        kind: Kind::Datagram,
        targets: frontends(service::DATAGRAMS).to_vec(),
        clients,
        rate: 50.0,
        life: None,
    };
    let answered = |tally: &Tally| tally.answered;
    let old = lab.start(vec![load(4)]);
    wait::until("blue answers", wait::PATIENCE, || old.record().look(answered)[0] > 40).unwrap();
    lab.daemon.switch(Colour::Green).unwrap();
    let new = lab.start(vec![load(4)]);
    let before = old.record().look(answered)[0];
    wait::until("both go on", wait::PATIENCE, || {
        old.record().look(answered)[0] > before + 40 && new.record().look(answered)[1] > 40
    })
    .unwrap();
    for (traffic, colour) in [(old, Colour::Blue), (new, Colour::Green)] {
        let tally = traffic.stop().unwrap();
        assert_unharmed(&tally);
        assert_eq!(tally.answered[colour.other().index()], 0, "{colour}");
    }
}

/// What the links of client, gateway and machines leave to somebody else, each on top of the row before.
const OFFLOADS: [&[&str]; 5] = [
    // Frames of many segments, with half a checksum.
    &["tx", "on", "tso", "on", "gso", "on", "gro", "off"],
    // Put together again on the way.
    &["gro", "on"],
    // Cut by the sender's kernel just before the link,
    &["tso", "off"],
    // or by TCP itself, still without checksums,
    &["gso", "off"],
    // and with them.
    &["tx", "off"],
];

#[test]
fn bulk_passes_both_ways_whatever_is_offloaded() {
    for way in [Way::Redirect, Way::Stack] {
        let topology = Topology::new(&Plan { offload: true, ..Plan::default() }).unwrap();
        let files = Scratch::new().unwrap();
        let _servers: Vec<_> = topology.machines.iter().map(|machine| iperf(machine, files.path())).collect();
        let _daemon = Daemon::start(&topology, &way.settings()).unwrap();
        for offloads in OFFLOADS {
            let offload = |namespace: &Namespace, link| {
                namespace.output("ethtool", [&["-K", link], offloads].concat()).unwrap();
            };
            offload(&topology.client, CLIENT_LINK);
            offload(&topology.gateway, UPLINK);
            topology.machines.iter().for_each(|machine| offload(&machine.namespace, MACHINE_LINK));
            // Packets without a final checksum must carry the sum of their pseudo-header.
            let capture = Capture::start(&[(&topology.client, CLIENT_LINK)]).unwrap();
            for vip in VIPS {
                for direction in [&["-R"][..], &[]] {
                    assert_bulk(&topology, &vip.to_string(), direction);
                }
            }
            let seen = capture.stop().unwrap();
            assert!(seen.good > 0, "{way:?}, {offloads:?}");
            assert_eq!(seen.bad, 0, "{way:?}, {offloads:?}: {:#?}", seen.examples);
        }
    }
}

fn iperf(machine: &Machine, files: &Path) -> Process {
    let mut command = machine.namespace.command("iperf3");
    command.args(["-s", "-p", &port::BULK.to_string()]);
    let process = Process::start(command, &files.join(format!("iperf-{}", machine.port))).unwrap();
    let listens = || machine.namespace.run(|| TcpStream::connect(("::1", port::BULK)).is_ok());
    wait::until("iperf3 listens", wait::PATIENCE, listens).unwrap();
    process
}

fn assert_bulk(topology: &Topology, vip: &str, direction: &[&str]) {
    const BYTES: u64 = 64 << 20;
    let (bytes, port) = (BYTES.to_string(), service::BULK.to_string());
    let args = ["-J", "-c", vip, "-p", &port, "-n", &bytes, "--connect-timeout", "5000"];
    let report =
        topology.client.output("timeout", [&["20", "iperf3"][..], &args, direction].concat()).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let received = report["end"]["sum_received"]["bytes"].as_u64().unwrap_or_default();
    // The receiver reports when the sender is done, and does not wait for what is on its way.
    assert!(received > BYTES / 2, "{vip} {direction:?}: {received} bytes, {}", report["error"]);
}

ways!(garbage_on_the_wire_disturbs_nobody);

fn garbage_on_the_wire_disturbs_nobody(lab: Lab) {
    // A SYN on a connection that exists starts a new one, so a wrong port must not be one in use.
    lab.topology.client.sysctl("net/ipv4/ip_local_reserved_ports", "30927,63695").unwrap();
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 20);
    let wire = Socket::open(&lab.topology.client, CLIENT_LINK).unwrap();
    // A few at a time: a flood would push out good frames, and that is not what is asked here.
    for burst in garbage().chunks(32) {
        for frame in burst {
            wire.send(frame).unwrap();
        }
        await_new(&traffic, Colour::Blue, 1);
    }
    await_new(&traffic, Colour::Blue, 50);
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 50);
    assert_unharmed(&traffic.stop().unwrap());
    let counters = lab.daemon.json(&["counters"]).unwrap();
    let truncated =
        counters["reasons"].as_array().unwrap().iter().find(|reason| reason["name"] == "truncated");
    assert!(truncated.unwrap()["count"].as_u64().unwrap() > 0, "{counters}");
    lab.forget_capture();
}

/// Frames that end before, within and after every header, and frames with one wrong byte in each place.
fn garbage() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (family, target) in frontends(service::WEB).into_iter().enumerate() {
        let from = SocketAddr::new(CLIENT[family], 1_999);
        for frame in [
            packet::tcp(from, target, flag::SYN, b"payload"),
            packet::udp(from, SocketAddr::new(target.ip(), service::DATAGRAMS), b"payload"),
        ] {
            let frame = [&UPLINK_MAC[..], &CLIENT_MAC, &frame[12..]].concat();
            all.extend((14..frame.len()).map(|end| frame[..end].to_vec()));
            for at in 12..frame.len() {
                all.extend(
                    [1, 0x7f, 0xff].map(|wrong| packet::patched(frame.clone(), at, &[frame[at] ^ wrong])),
                );
            }
        }
    }
    all
}

ways!(a_firewall_that_tracks_connections_lets_everything_pass);

fn a_firewall_that_tracks_connections_lets_everything_pass(lab: Lab) {
    lab.topology
        .gateway
        .nft(&format!(
            "table inet strict {{\nchain forward {{\ntype filter hook forward priority 0; policy drop\n\
             ct state invalid counter drop\nct state established,related accept\n\
             iifname \"{UPLINK}\" ct state new accept\nip6 nexthdr icmpv6 accept\n}}\n}}\n"
        ))
        .unwrap();
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 50);
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 50);
    assert_unharmed(&traffic.stop().unwrap());
    let rules = lab.topology.gateway.output("nft", ["list", "chain", "inet", "strict", "forward"]).unwrap();
    assert!(rules.contains("ct state invalid counter packets 0 "), "{rules}");
}

ways!(a_machine_of_a_slice_reaches_the_live_one_through_the_vip);

fn a_machine_of_a_slice_reaches_the_live_one_through_the_vip(lab: Lab) {
    for live in Colour::BOTH {
        lab.daemon.switch(live).unwrap();
        let other = lab.topology.slice(live.other()).next().unwrap();
        for target in frontends(service::WEB) {
            let stamp = request(&other.namespace, target).unwrap_or_else(|why| panic!("{target}: {why}"));
            assert_eq!(stamp.colour, live, "{target}");
        }
    }
}

ways!(who_knows_a_machine_reaches_it_directly);

fn who_knows_a_machine_reaches_it_directly(lab: Lab) {
    for machine in &lab.topology.machines {
        for addr in machine.addrs {
            let stamp = request(&lab.topology.client, SocketAddr::new(addr, port::WEB)).unwrap();
            assert_eq!(stamp.colour, machine.colour);
        }
    }
}
