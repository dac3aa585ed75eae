//! A changed configuration takes effect without harm, and a wrong one not at all.

use crate::lab::{Lab, Way, assert_unharmed, await_new};
use bg_common::Colour;
use bg_tests::client::{dial, request};
use bg_tests::daemon::{Daemon, frontends, service};
use bg_tests::topology::{Plan, VIPS};
use bg_tests::wait;
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Write};

/// Changes the daemon's file and has it read.
fn reload(lab: &mut Lab, change: impl FnOnce(String) -> String) {
    let path = lab.daemon.config();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, change(text)).unwrap();
    lab.daemon.process().unwrap().signal(Signal::SIGHUP).unwrap();
}

#[test]
fn a_service_moves_to_another_port_and_open_connections_to_others_notice_nothing() {
    const ELSEWHERE: u16 = 8_088;
    let mut lab = Lab::new(Way::Redirect);
    let [lines, _] = frontends(service::LINES);
    let mut open = dial(&lab.topology.client, lines, 0).unwrap();
    for (from, to) in [(service::WEB, ELSEWHERE), (ELSEWHERE, service::WEB)] {
        let port = |number| format!("\nport = {number}\n");
        reload(&mut lab, |text| text.replace(&port(from), &port(to)));
        let moved = || {
            frontends(to).iter().all(|at| request(&lab.topology.client, *at).is_ok())
                && frontends(from).iter().all(|at| request(&lab.topology.client, *at).is_err())
        };
        wait::until("the service is at its new port and no longer at its old one", wait::PATIENCE, moved)
            .unwrap();
        open.write_all(b"still there?\n").unwrap();
        let mut answer = String::new();
        BufReader::new(&mut open).read_line(&mut answer).unwrap();
        assert!(answer.contains("blue"), "{answer:?}");
    }
}

#[test]
fn a_broken_file_is_complained_about_and_changes_nothing() {
    let mut lab = Lab::new(Way::Redirect);
    let traffic = lab.load();
    let before = lab.daemon.json(&["status"]).unwrap()["deployments"].clone();
    reload(&mut lab, |text| text.replace("backend_port", "backend_prot"));
    let told = || lab.daemon.log().contains("the configuration stays as it is");
    wait::until("bgd says that it keeps its configuration", wait::PATIENCE, told).unwrap();
    let log = lab.daemon.log();
    assert!(log.contains("backend_prot") && log.contains("backend_port"), "{log}");
    let after = lab.daemon.json(&["status"]).unwrap()["deployments"].clone();
    assert_eq!(before[0]["services"], after[0]["services"]);
    await_new(&traffic, Colour::Blue, 50);
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn the_path_changes_under_load_and_no_packet_meets_a_program_too_few() {
    let mut lab = Lab::new(Way::Redirect);
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 50);
    for (from, to) in [("redirect", "stack"), ("stack", "redirect")] {
        reload(&mut lab, |text| text.replace(&format!("path = \"{from}\""), &format!("path = \"{to}\"")));
        let changed = || lab.daemon.json(&["status"]).unwrap()["path"] == to;
        wait::until("the path is another", wait::PATIENCE, changed).unwrap();
        assert_eq!(lab.daemon.json(&["--offline", "status"]).unwrap()["path"], to);
        await_new(&traffic, Colour::Blue, 100);
    }
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_vip_of_another_instance_is_refused_and_goes_on_being_served() {
    let lab = Lab::new(Way::Redirect);
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 20);
    let second = Daemon::prepare(&lab.topology, &Way::Redirect.settings()).unwrap();
    let mut process = second.spawn().unwrap();
    let status = process.wait(wait::PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1), "{}", process.output());
    assert!(process.output().contains("another instance"), "{}", process.output());
    assert!(process.output().contains(&VIPS[0].to_string()), "{}", process.output());
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 50);
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_gateway_comes_up_without_its_standby_but_not_without_its_live_slice() {
    for (slice, starts) in [(Colour::Green, true), (Colour::Blue, false)] {
        let mut lab = Lab::idle(&Plan::default(), &Way::Redirect.settings());
        for machine in lab.topology.slice(slice) {
            lab.topology.gateway.ip(&format!("link set {} down", machine.link)).unwrap();
        }
        let launched = lab.daemon.launch();
        assert_eq!(launched.is_ok(), starts, "{slice} is away: {launched:?}");
        if starts {
            assert!(request(&lab.topology.client, frontends(service::WEB)[0]).is_ok());
        } else {
            assert!(format!("{:?}", launched.unwrap_err()).contains("ip route get"));
            lab.forget_capture();
        }
    }
}
