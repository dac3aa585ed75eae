//! What bg says no to: each refusal says what, where and how to mend it, and changes nothing.

use crate::lab::{Lab, Way};
use bg_common::Colour;
use bg_common::names::FLOWS;
use bg_tests::client::request;
use bg_tests::daemon::{DEPLOYMENT, Daemon, Settings, binary, frontends, service};
use bg_tests::foreign::{Program, pin_map};
use bg_tests::process::Process;
use bg_tests::topology::{Plan, Topology, UPLINK};
use bg_tests::wait;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// A daemon that must not start: it ends with 1 and names these things.
fn assert_refused(mut process: Process, names: &[&str]) {
    let status = process.wait(wait::PATIENCE).unwrap();
    let output = process.output();
    assert_eq!(status.code(), Some(1), "{output}");
    for name in names.iter().chain(&["mend:"]) {
        assert!(output.contains(name), "{name:?} is missing in: {output}");
    }
    assert!(!output.contains("panicked"), "{output}");
}

#[test]
fn a_foreign_xdp_program_is_named_and_left_alone() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let foreign = Program::attach(&topology.gateway, UPLINK).unwrap();
    let attached = || {
        let links = topology.gateway.output("ip", ["-j", "-d", "link", "show", UPLINK]).unwrap();
        serde_json::from_str::<Value>(&links).unwrap()[0]["xdp"].clone()
    };
    let before = attached();
    assert_ne!(before, Value::Null, "the foreign program is attached");
    let daemon = Daemon::prepare(&topology, &Settings::hooked("xdp", "auto")).unwrap();
    let id = before["prog"]["id"].to_string();
    assert_refused(daemon.spawn().unwrap(), &[UPLINK, &id]);
    assert_eq!(attached(), before);
    drop(foreign);
    assert_eq!(attached(), Value::Null, "nobody else is attached");
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let settings = Settings { uplinks: vec!["uplink9".to_owned()], ..Settings::default() };
    let daemon = Daemon::prepare(&topology, &settings).unwrap();
    assert_refused(daemon.spawn().unwrap(), &["uplink9"]);
}

#[test]
fn xdp_and_redirect_together_are_refused() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let daemon = Daemon::prepare(&topology, &Settings::hooked("xdp", "redirect")).unwrap();
    assert_refused(daemon.spawn().unwrap(), &["redirect", "XDP", UPLINK]);
}

#[test]
fn pins_that_are_not_ours_are_refused_and_stay() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let settings = Settings::hooked("tc", "auto");

    // One table of ours with values of another size.
    let mut daemon = Daemon::start(&topology, &settings).unwrap();
    daemon.terminate().unwrap();
    let table = tables_of(&daemon).join(FLOWS);
    fs::remove_file(&table).unwrap();
    pin_map(&table, 3).unwrap();
    assert_refused(daemon.spawn().unwrap(), &[FLOWS, daemon.instance()]);
    assert!(table.exists());
    let layout = tables_of(&daemon).strip_prefix(daemon.pins()).unwrap().to_owned();
    drop(daemon);

    // Somebody else's map where ours would be.
    let daemon = Daemon::prepare(&topology, &settings).unwrap();
    let place = daemon.pins().join(layout);
    fs::create_dir_all(&place).unwrap();
    pin_map(&place.join("theirs"), 8).unwrap();
    assert_refused(daemon.spawn().unwrap(), &[&place.to_string_lossy()]);
    assert!(place.join("theirs").exists());
    drop(daemon);

    // The directory of another layout.
    let daemon = Daemon::prepare(&topology, &settings).unwrap();
    let other = daemon.pins().join("v9999");
    fs::create_dir_all(&other).unwrap();
    pin_map(&other.join(FLOWS), 8).unwrap();
    assert_refused(daemon.spawn().unwrap(), &["v9999", daemon.instance()]);
    assert!(other.join(FLOWS).exists());
}

/// Where the tables are pinned.
fn tables_of(daemon: &Daemon) -> PathBuf {
    let mut places = vec![daemon.pins()];
    while let Some(place) = places.pop() {
        if place.join(FLOWS).exists() {
            return place;
        }
        let inner = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path());
        places.extend(inner.filter(|path| path.is_dir()));
    }
    panic!("no tables below {}", daemon.pins().display());
}

/// Runs a command as a user without any capability.
const AS_NOBODY: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];

#[test]
fn each_missing_capability_is_named() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let daemon = Daemon::prepare(&topology, &Settings::default()).unwrap();
    let mut command = topology.gateway.command("setpriv");
    command.args(AS_NOBODY).arg(binary("bgd").unwrap()).arg("--config").arg(daemon.config());
    let log = daemon.config().with_file_name("nobody.log");
    assert_refused(
        Process::start(command, &log).unwrap(),
        &["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "root"],
    );
}

#[test]
fn a_stranger_may_not_use_the_socket() {
    let lab = Lab::new(Way::Redirect);
    let bgctl = binary("bgctl").unwrap();
    let socket = lab.daemon.socket();
    let order =
        [bgctl.as_os_str(), "--socket".as_ref(), socket.as_os_str(), "switch".as_ref(), DEPLOYMENT.as_ref()];
    let mut command = lab.topology.gateway.command("setpriv");
    let outcome = command.args(AS_NOBODY).args(order).output().unwrap();
    let complaint = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(3), "{complaint}");
    assert!(complaint.contains("sudo"), "{complaint}");
    assert_eq!(lab.daemon.live().unwrap(), Colour::Blue);
    assert!(request(&lab.topology.client, frontends(service::WEB)[0]).is_ok());
}

#[test]
fn a_bad_configuration_is_refused_with_its_line() {
    let topology = Topology::new(&Plan::default()).unwrap();
    for (more, names) in [
        ("atach = \"tc\"", vec!["atach", "bg.toml"]),
        ("flows = \"many\"", vec!["flows", "bg.toml"]),
        ("[deployment.other]\nblue = [\"10.1.1.2\"]\ngreen = [\"10.1.1.2\"]", vec!["10.1.1.2", "bg.toml"]),
    ] {
        let settings = Settings { more: more.to_owned(), ..Settings::default() };
        let daemon = Daemon::prepare(&topology, &settings).unwrap();
        assert_refused(daemon.spawn().unwrap(), &names);
        let check = daemon.bgctl(&["config", "check"]).unwrap();
        assert_eq!(check.code, Some(1), "{check:?}");
        for name in names {
            assert!(check.stderr.contains(name) || check.stdout.contains(name), "{name}: {check:?}");
        }
    }
}

#[test]
fn an_order_that_makes_no_sense_is_refused_and_changes_nothing() {
    let lab = Lab::new(Way::Redirect);
    let before = lab.daemon.json(&["status"]).unwrap()["deployments"].clone();
    for (order, code, names) in [
        (&["switch", "shoop"][..], 1, &["shoop", DEPLOYMENT][..]),
        (&["rollback", "shoop"], 1, &["shoop", DEPLOYMENT]),
        (&["rollback"], 1, &[DEPLOYMENT]),
        (&["flows", "shoop"], 1, &["shoop"]),
        (&["switch", "--to", "red"], 2, &["red", "blue"]),
        (&["switch", DEPLOYMENT, "green"], 2, &["green"]),
        (&["swich"], 2, &["switch"]),
        (&[], 2, &["Usage"]),
        (&["--socket", "/run/bg/nobody.sock", "status"], 3, &["/run/bg/nobody.sock"]),
        (&["--offline", "switch", "shoop"], 1, &["shoop", DEPLOYMENT]),
        (&["--offline", "--instance", "nobody", "switch"], 1, &["nobody"]),
    ] {
        let outcome = lab.daemon.bgctl(order).unwrap();
        assert_eq!(outcome.code, Some(code), "{order:?}: {outcome:?}");
        for name in names {
            assert!(outcome.stderr.contains(name), "{order:?}: {name:?} is missing in {outcome:?}");
        }
        assert_eq!(outcome.stdout, "", "{order:?}");
    }
    assert_eq!(lab.daemon.json(&["status"]).unwrap()["deployments"], before);

    let same = lab.daemon.switch(Colour::Blue).unwrap();
    assert_eq!(same["already"], true, "{same}");
    let green = lab.daemon.switch(Colour::Green).unwrap();
    assert_eq!(green["already"], false, "{green}");
    assert_eq!(request(&lab.topology.client, frontends(service::WEB)[0]).unwrap().colour, Colour::Green);
}

#[test]
fn a_refusal_for_programs_is_json_with_the_four_parts() {
    let lab = Lab::new(Way::Redirect);
    let outcome = lab.daemon.bgctl(&["--json", "switch", "shoop"]).unwrap();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let refusal: Value = serde_json::from_str(&outcome.stderr).unwrap();
    for part in ["code", "what", "at", "mend"] {
        assert!(refusal[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {refusal}");
    }
    assert_eq!(refusal["code"], "unknown-deployment");
    assert!(request(&lab.topology.client, frontends(service::WEB)[0]).is_ok());
}

#[test]
fn the_doctor_names_what_is_wrong_and_the_command() {
    let lab = Lab::new(Way::Redirect);
    let well = lab.daemon.bgctl(&["doctor"]).unwrap();
    assert_eq!(well.code, Some(0), "{well:?}");
    lab.topology.gateway.sysctl("net/ipv4/ip_forward", "0").unwrap();
    let ill = lab.daemon.bgctl(&["doctor"]).unwrap();
    assert_eq!(ill.code, Some(4), "{ill:?}");
    assert!(ill.stdout.contains("sysctl -w net.ipv4.ip_forward=1"), "{ill:?}");
    lab.topology.gateway.sysctl("net/ipv4/ip_forward", "1").unwrap();
    assert!(request(&lab.topology.client, frontends(service::WEB)[0]).is_ok());
}
