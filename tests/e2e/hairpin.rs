//! Clients that the backend would answer past the gateway: slices that ask for what they serve themselves or a
//! neighbour serves, and machines in one network with a slice.

use crate::lab::{Lab, Way};
use bg_common::Colour;
use bg_tests::client::{self, dial, get, request};
use bg_tests::daemon::{Settings, frontends, service};
use bg_tests::netns::Namespace;
use bg_tests::servers::Stamp;
use bg_tests::topology::{Machine, Plan, Zones};
use bg_tests::wait;
use serde_json::Value;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

const WAYS: [Way; 3] = [Way::Xdp, Way::Stack, Way::Redirect];

fn lab(way: Way, machines: u8, zones: Zones, source_nat: &'static str) -> Option<Lab> {
    let plan = Plan { machines, zones, ..Plan::default() };
    way.is_possible().then(|| Lab::of(&plan, &Settings { source_nat, ..way.settings() }))
}

fn blue(lab: &Lab) -> Vec<Machine> {
    lab.topology.slice(Colour::Blue).cloned().collect()
}

/// A datagram with its answer.
fn ask(namespace: &Namespace, target: SocketAddr) -> std::io::Result<Stamp> {
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = namespace.run(|| UdpSocket::bind((any, 0)))?;
    socket.set_read_timeout(Some(wait::PATIENCE))?;
    socket.connect(target)?;
    socket.send(b"who?")?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer)?;
    let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned();
    text.split(' ').next().unwrap_or_default().parse().map_err(std::io::Error::other)
}

#[test]
fn a_machine_of_a_slice_reaches_itself_and_its_neighbours_through_the_vip() {
    for way in WAYS {
        for (machines, zones) in [(1, Zones::Veth), (2, Zones::Bridge)] {
            let Some(lab) = lab(way, machines, zones, "neighbours") else { continue };
            let machine = &blue(&lab)[0].namespace;
            if zones == Zones::Bridge {
                // The gateway is between neighbours, whether or not they may meet.
                for machine in &lab.topology.machines {
                    lab.topology
                        .gateway
                        .ip(&format!("link set {} type bridge_slave isolated on", machine.port))
                        .unwrap();
                }
            }
            for target in frontends(service::WEB) {
                // As often as it takes to meet each machine, the asking one included.
                let mut met = std::collections::BTreeSet::new();
                wait::until("each machine answers", wait::PATIENCE, || {
                    let stamp =
                        request(machine, target).unwrap_or_else(|why| panic!("{way:?} {target}: {why}"));
                    assert_eq!(stamp.colour, Colour::Blue);
                    met.insert(stamp.machine);
                    met.len() == usize::from(machines)
                })
                .unwrap();
            }
            for target in frontends(service::DATAGRAMS) {
                let stamp = ask(machine, target).unwrap_or_else(|why| panic!("{way:?} {target}: {why}"));
                assert_eq!(stamp.colour, Colour::Blue);
            }
            // An open connection stays, over the other colour's time.
            let mut kept = frontends(service::WEB).map(|target| dial(machine, target, 0).unwrap());
            for stream in &mut kept {
                assert_eq!(get(stream, false).unwrap().colour, Colour::Blue);
            }
            lab.daemon.switch(Colour::Green).unwrap();
            for target in frontends(service::WEB) {
                assert_eq!(request(machine, target).unwrap().colour, Colour::Green, "{way:?}");
            }
            for stream in &mut kept {
                assert_eq!(get(stream, false).unwrap().colour, Colour::Blue, "{way:?}");
            }
            assert_eq!(lab.counted("own-address"), 0);
        }
    }
}

#[test]
fn clients_from_elsewhere_keep_their_address_unless_all_are_to_lose_it() {
    for way in WAYS {
        for (nat, kept) in [("neighbours", true), ("always", false)] {
            let Some(lab) = lab(way, 1, Zones::Veth, nat) else { continue };
            for target in frontends(service::WEB) {
                let mut stream = dial(&lab.topology.client, target, 0).unwrap();
                assert_eq!(get(&mut stream, false).unwrap().colour, Colour::Blue, "{way:?} {nat}");
                let local = bare(&stream.local_addr().unwrap().to_string());
                let seen = peers(&blue(&lab)[0]);
                assert_eq!(seen.contains(&local), kept, "{way:?} {nat}: {local} in {seen}");
                lab.daemon.switch(Colour::Green).unwrap();
                assert_eq!(request(&lab.topology.client, target).unwrap().colour, Colour::Green);
                assert_eq!(get(&mut stream, true).unwrap().colour, Colour::Blue, "{way:?} {nat}");
                client::await_end(&mut stream).unwrap();
                lab.daemon.json(&["rollback"]).unwrap();
            }
        }
    }
}

/// Whom a machine has connections with.
fn peers(machine: &Machine) -> String {
    bare(&machine.namespace.output("ss", ["-Htn", "state", "established"]).unwrap())
}

/// Endpoints written alike, whatever kind of socket they are of.
fn bare(text: &str) -> String {
    text.replace("::ffff:", "").replace(['[', ']'], "")
}

#[test]
fn a_fate_is_told_to_both_sides_of_a_replaced_client() {
    for way in WAYS {
        let Some(lab) = lab(way, 1, Zones::Veth, "neighbours") else { continue };
        let machine = &blue(&lab)[0];
        let mut kept = frontends(service::WEB).map(|target| dial(&machine.namespace, target, 0).unwrap());
        for stream in &mut kept {
            assert_eq!(get(stream, false).unwrap().colour, Colour::Blue);
        }
        lab.daemon.json(&["switch", "--fate", "reset"]).unwrap();
        for stream in &mut kept {
            let ended = get(stream, false).unwrap_err();
            assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset, "{way:?}: {ended}");
        }
        for target in frontends(service::WEB) {
            assert_eq!(request(&machine.namespace, target).unwrap().colour, Colour::Green, "{way:?}");
        }
    }
}

#[test]
fn without_the_option_a_machine_does_not_reach_itself_and_it_is_counted() {
    let Some(lab) = lab(Way::Redirect, 1, Zones::Veth, "never") else { return };
    let machine = &blue(&lab)[0].namespace;
    let [target, _] = frontends(service::DATAGRAMS);
    machine.run(|| UdpSocket::bind((IpAddr::from([0; 4]), 0)).unwrap().send_to(b"who?", target).unwrap());
    wait::until("it is counted", wait::PATIENCE, || lab.counted("own-address") == 1).unwrap();
}

#[test]
fn status_names_the_programs_that_replace_clients() {
    let Some(lab) = lab(Way::Redirect, 1, Zones::Veth, "neighbours") else { return };
    let status: Value = lab.daemon.json(&["status"]).unwrap();
    let of = |interface: &str| {
        let all = status["attachments"].as_array().unwrap();
        let here = all.iter().filter(|it| it["interface"] == interface);
        here.map(|it| it["program"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(of("blue1").contains(&"bg_nat_egress".to_owned()), "{status}");
    assert!(!of("uplink").contains(&"bg_nat_egress".to_owned()), "{status}");
}
