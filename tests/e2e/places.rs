//! Where slices may be: each place serves over a switch, by each way that leads there, and under load.

use crate::lab::{Lab, Way, assert_unharmed, await_new};
use bg_common::Colour;
use bg_tests::daemon::Settings;
use bg_tests::topology::{Plan, UPLINK, WAN, Zones};

fn serves_over_a_switch(lab: &Lab) {
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 50);
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 50);
    lab.daemon.json(&["rollback"]).unwrap();
    await_new(&traffic, Colour::Blue, 20);
    assert_unharmed(&traffic.stop().unwrap());
}

fn settings(way: Way, source_nat: &'static str) -> Settings {
    Settings { source_nat, ..way.settings() }
}

#[test]
fn virtual_machines_behind_taps() {
    for (way, machines) in [(Way::Redirect, 2), (Way::Stack, 1), (Way::Xdp, 1)] {
        if way.is_possible() {
            serves_over_a_switch(&Lab::row(way, machines, Zones::Tap));
        }
    }
}

#[test]
fn machines_elsewhere_with_xdp_on_both_wires() {
    for way in [Way::Xdp, Way::Stack, Way::Redirect] {
        if way.is_possible() {
            let uplinks = vec![UPLINK.to_owned(), WAN.to_owned()];
            let plan = Plan { zones: Zones::Remote, machines: 2, ..Plan::default() };
            serves_over_a_switch(&Lab::of(&plan, &Settings { uplinks, ..way.settings() }));
        }
    }
}

#[test]
fn replaced_clients_under_load() {
    for (way, zones) in [(Way::Redirect, Zones::Veth), (Way::Stack, Zones::Bridge), (Way::Xdp, Zones::Tap)] {
        if way.is_possible() {
            let plan = Plan { zones, machines: 2, ..Plan::default() };
            serves_over_a_switch(&Lab::of(&plan, &settings(way, "always")));
        }
    }
}

#[test]
fn replaced_clients_pass_a_firewall_that_tracks_connections() {
    for way in [Way::Redirect, Way::Stack, Way::Xdp] {
        if !way.is_possible() {
            continue;
        }
        let lab = Lab::of(&Plan::default(), &settings(way, "always"));
        let rules = format!(
            "table inet strict {{\nchain forward {{\ntype filter hook forward priority 0; policy drop\n\
             ct state invalid counter drop\nct state established,related accept\n\
             iifname \"{UPLINK}\" ct state new accept\nip6 nexthdr icmpv6 accept\n}}\n}}\n"
        );
        lab.topology.gateway.nft(&rules).unwrap();
        serves_over_a_switch(&lab);
        let rules =
            lab.topology.gateway.output("nft", ["list", "chain", "inet", "strict", "forward"]).unwrap();
        assert!(rules.contains("ct state invalid counter packets 0 "), "{way:?}: {rules}");
    }
}
