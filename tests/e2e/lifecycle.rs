//! The daemon comes and goes; the data plane stays until it is taken down on purpose.

use crate::lab::{Lab, Way, assert_unharmed, await_new, ways};
use bg_common::Colour;
use bg_tests::client::{dial, request};
use bg_tests::daemon::{frontends, service};
use bg_tests::servers::port;
use bg_tests::topology::{GATEWAY, Plan, UPLINK, VIPS};
use bg_tests::wait;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

ways!(no_request_fails_whatever_becomes_of_the_daemon);

fn no_request_fails_whatever_becomes_of_the_daemon(mut lab: Lab) {
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 50);
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 50);

    lab.daemon.kill();
    await_new(&traffic, Colour::Green, 50);
    lab.daemon.launch().unwrap();
    assert_eq!(lab.daemon.live().unwrap(), Colour::Green, "kill -9 and a restart keep the word");
    await_new(&traffic, Colour::Green, 50);

    lab.daemon.terminate().unwrap();
    await_new(&traffic, Colour::Green, 50);
    lab.daemon.launch().unwrap();
    assert_eq!(lab.daemon.live().unwrap(), Colour::Green, "SIGTERM and a restart keep the word");
    lab.daemon.switch(Colour::Blue).unwrap();
    await_new(&traffic, Colour::Blue, 50);
    assert_unharmed(&traffic.stop().unwrap());
}

ways!(a_switch_without_a_daemon_is_kept_by_the_next_one);

fn a_switch_without_a_daemon_is_kept_by_the_next_one(mut lab: Lab) {
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 50);
    lab.daemon.kill();
    let refused = lab.daemon.bgctl(&["switch"]).unwrap();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("--offline"), "{refused:?}");

    let answer = lab.daemon.json(&["--offline", "switch", "--to", "green"]).unwrap();
    assert_eq!((&answer["from"], &answer["to"]), (&"blue".into(), &"green".into()), "{answer}");
    await_new(&traffic, Colour::Green, 50);
    let status = lab.daemon.json(&["--offline", "status"]).unwrap();
    assert_eq!(status["daemon"], false);
    assert_eq!(status["deployments"][0]["live"], "green");

    lab.daemon.launch().unwrap();
    assert_eq!(lab.daemon.live().unwrap(), Colour::Green);
    await_new(&traffic, Colour::Green, 50);

    lab.daemon.terminate().unwrap();
    lab.daemon.json(&["--offline", "rollback"]).unwrap();
    await_new(&traffic, Colour::Blue, 50);
    assert_unharmed(&traffic.stop().unwrap());
}

ways!(detach_leaves_nothing_behind);

fn detach_leaves_nothing_behind(mut lab: Lab) {
    assert_detached(&mut lab, &["detach"]);
    // And the same once more on what a dead daemon has left.
    lab.daemon.launch().unwrap();
    lab.daemon.kill();
    assert_detached(&mut lab, &["--offline", "detach"]);
}

fn assert_detached(lab: &mut Lab, order: &[&str]) {
    let [v4, v6] = frontends(service::WEB);
    for target in [v4, v6] {
        assert_eq!(request(&lab.topology.client, target).unwrap().colour, Colour::Blue);
    }
    assert!(!lab.attached().is_empty());
    let detached = lab.daemon.bgctl(order).unwrap();
    assert_eq!(detached.code, Some(0), "{detached:?}");
    if let Some(process) = lab.daemon.process() {
        assert!(
            process.wait(wait::PATIENCE).unwrap().success(),
            "detach ends the daemon: {}",
            process.output()
        );
    }
    assert!(!lab.daemon.pins().exists(), "pins are left");
    assert!(!lab.daemon.socket().exists(), "the socket is left");
    assert_eq!(lab.attached(), "");
    let addrs = lab.topology.gateway.output("ip", ["addr", "show"]).unwrap();
    for vip in VIPS {
        assert!(!addrs.contains(&format!("{vip}/")), "{vip} is left on the gateway: {addrs}");
    }
    let qdiscs = lab.topology.gateway.output("tc", ["qdisc", "show"]).unwrap();
    assert!(!qdiscs.contains("clsact"), "{qdiscs}");
    // The machines themselves are still there for those who know them.
    for (machine, gateway) in lab.topology.machines[0].addrs.into_iter().zip(GATEWAY) {
        let direct = request(&lab.topology.client, SocketAddr::new(machine, port::WEB));
        assert_eq!(direct.unwrap().colour, Colour::Blue);
        assert!(dial(&lab.topology.client, SocketAddr::new(gateway, service::WEB), 0).is_err());
    }
}

ways!(an_uplink_that_comes_back_is_attached_again);

fn an_uplink_that_comes_back_is_attached_again(lab: Lab) {
    let [v4, v6] = frontends(service::WEB);
    assert!(request(&lab.topology.client, v4).is_ok());
    lab.topology.gateway.ip(&format!("link del {UPLINK}\n")).unwrap();
    lab.topology.link_uplink().unwrap();
    for target in [v4, v6] {
        let answered = || dial_answers(&lab, target);
        wait::until(&format!("{target} answers again"), wait::PATIENCE, answered).unwrap_or_else(|why| {
            panic!("{why:#}; {}", lab.daemon.json(&["status"]).unwrap());
        });
    }
    lab.daemon.switch(Colour::Green).unwrap();
    assert_eq!(request(&lab.topology.client, v6).unwrap().colour, Colour::Green);
}

ways!(a_zone_link_that_comes_back_is_attached_again);

fn a_zone_link_that_comes_back_is_attached_again(lab: Lab) {
    let green = lab.topology.slice(Colour::Green).next().unwrap();
    lab.topology.gateway.ip(&format!("link del {}\n", green.port)).unwrap();
    lab.topology.relink(green).unwrap();
    lab.daemon.switch(Colour::Green).unwrap();
    for target in frontends(service::WEB) {
        let answered = || dial_answers(&lab, target);
        wait::until(&format!("{target} answers again"), wait::PATIENCE, answered).unwrap_or_else(|why| {
            panic!("{why:#}; {}", lab.daemon.json(&["status"]).unwrap());
        });
    }
}

/// Whether a request is answered right now, without waiting for one that is not.
fn dial_answers(lab: &Lab, target: SocketAddr) -> bool {
    lab.topology.client.output("curl", ["-sf", "-m", "0.3", &format!("http://{target}/")]).is_ok()
}

#[test]
fn the_socket_is_for_its_owner_only() {
    let lab = Lab::new(Way::Redirect);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&lab.daemon.socket()), 0o600);
    assert_eq!(mode(lab.daemon.socket().parent().unwrap()), 0o750);
    assert_eq!(mode(&lab.daemon.pins()), 0o700);
}

#[test]
fn a_second_daemon_is_refused_and_harms_nobody() {
    let lab = Lab::new(Way::Redirect);
    let traffic = lab.load();
    let mut second = lab.daemon.spawn().unwrap();
    let status = second.wait(wait::PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1), "{}", second.output());
    assert!(second.output().contains("already"), "{}", second.output());
    assert!(second.output().contains(lab.daemon.instance()), "{}", second.output());
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 50);
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn vips_are_announced_on_the_wire() {
    use bg_tests::capture::Content;
    let mut lab = Lab::idle(&Plan::default(), &Way::Redirect.settings());
    let [std::net::IpAddr::V4(v4), std::net::IpAddr::V6(v6)] = VIPS else { unreachable!() };
    let by_arp = |content: &Content| *content == Content::Arp { addr: v4, target: v4 };
    let by_nd = |content: &Content| *content == Content::Advertisement { target: v6 };
    // Nobody has asked yet: whoever is told, is told without asking.
    assert!(!lab.capture().any(|packet| by_arp(&packet.content) || by_nd(&packet.content)));
    lab.daemon.launch().unwrap();
    let announced = || {
        lab.capture().any(|packet| by_arp(&packet.content))
            && lab.capture().any(|packet| by_nd(&packet.content))
    };
    wait::until("gratuitous ARP and an unsolicited advertisement", wait::PATIENCE, announced).unwrap();
    // The capture wants something to verify.
    assert!(request(&lab.topology.client, frontends(service::WEB)[0]).is_ok());
}
