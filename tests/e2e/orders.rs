//! Orders and the gates in front of them: what is refused and why, what is overridden, what ends by itself.

use crate::lab::{assert_unharmed, await_new};
use crate::watched::{
    BAKE, PROBE, assert_whole, await_health, await_status, clients, history, lab, light, moves, refused,
    status, told,
};
use bg_common::Colour;
use bg_tests::client::{dial, request};
use bg_tests::daemon::{frontends, service};
use bg_tests::servers::{Fault, Whom};
use bg_tests::traffic::{Failure, Kind, Load, TIMEOUT, Tally};
use bg_tests::wait;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[test]
fn a_switch_to_a_side_that_is_not_healthy_is_refused_unless_it_is_forced() {
    let lab = lab("", PROBE);
    let traffic = light(&lab);
    lab.servers.fail(Colour::Green, Fault::Status, Whom::Probes);
    await_health(&lab, Colour::Green, false);
    refused(&lab, &["switch"], "gate-health", &["500", "--force=health", "bgctl health shop"]);
    refused(&lab, &["switch", "--force=passive"], "gate-health", &[]);
    assert_eq!(lab.daemon.live().unwrap(), Colour::Blue);
    let plan = lab.daemon.bgctl(&["plan"]).unwrap();
    assert_eq!(plan.code, Some(1), "{plan:?}");
    assert!(plan.stdout.contains("health"), "{plan:?}");
    let why = "green is the lesser evil";
    let answer = lab.daemon.json(&["switch", "--force=health", "--reason", why]).unwrap();
    assert_eq!(answer["to"], "green", "{answer}");
    await_new(&traffic, Colour::Green, 20);
    let switched = history(&lab, "switched").pop().unwrap();
    assert_eq!(switched["overridden"], serde_json::json!(["health"]), "{switched:#}");
    assert_eq!(switched["reason"], why, "{switched:#}");
    let refusals = history(&lab, "refused");
    assert_eq!(refusals.len(), 2, "{refusals:#?}");
    assert_eq!(refusals[0]["gates"], serde_json::json!(["health"]), "{refusals:#?}");
    assert_whole(&lab);
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_plan_is_carried_out_as_long_as_it_holds() {
    let lab = lab("", PROBE);
    let plan = |lab: &_| {
        let plan = lab_json(lab, &["plan"]);
        plan["plan"].as_str().unwrap().to_owned()
    };
    let old = plan(&lab);
    lab.daemon.json(&["stage", "--version", "1.4"]).unwrap();
    refused(&lab, &["switch", "--plan", &old], "gate-plan", &["does not hold", "bgctl plan"]);
    assert_eq!(lab.daemon.live().unwrap(), Colour::Blue);
    let new = plan(&lab);
    assert_ne!(old, new);
    let answer = lab.daemon.json(&["switch", "--plan", &new]).unwrap();
    assert_eq!((&answer["to"], &answer["to_version"]), (&"green".into(), &"1.4".into()), "{answer}");
    refused(&lab, &["switch", "--plan", &new], "gate-plan", &[]);
    let [v4, v6] = frontends(service::WEB);
    for target in [v4, v6] {
        assert_eq!(request(&lab.topology.client, target).unwrap().colour, Colour::Green);
    }
}

fn lab_json(lab: &crate::lab::Lab, args: &[&str]) -> Value {
    // A plan that a gate would refuse has exit code 1, and is a plan all the same.
    let outcome = lab.daemon.bgctl(&[&["--json"], args].concat()).unwrap();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|why| panic!("{why}: {outcome:?}"))
}

#[test]
fn streams_that_outlast_the_drain_limit_are_reset_and_no_others() {
    let lab = lab("drain_limit = \"2s\"\ndrain_fate = \"reset\"", "");
    let targets = frontends(service::LINES).to_vec();
    let streams = Load { kind: Kind::Stream, targets, clients: 4, rate: 20.0, life: None };
    let traffic = lab.start(vec![streams]);
    let open = |colour: Colour| move |tally: &Tally| tally.open_of(Kind::Stream)[colour.index()];
    let all = |colour| traffic.record().look(open(colour)) == 4;
    wait::until("the streams are open", wait::PATIENCE, || all(Colour::Blue)).unwrap();
    let ordered = Instant::now();
    lab.daemon.switch(Colour::Green).unwrap();
    wait::until("they have been opened again", wait::PATIENCE, || all(Colour::Green)).unwrap();
    assert!(ordered.elapsed() >= Duration::from_secs(2), "{:?}", ordered.elapsed());
    let ended = || history(&lab, "drain-ended").pop();
    let ended = wait::until_some("the end is recorded", wait::PATIENCE, ended).unwrap();
    assert_eq!((&ended["colour"], &ended["fate"]), (&"blue".into(), &"reset".into()), "{ended:#}");
    let tally = traffic.stop().unwrap();
    assert_eq!(tally.failed_by(Failure::Reset), 4, "{:#?}", tally.examples);
    assert_eq!(tally.failed(), 4, "{:#?}", tally.examples);
}

#[test]
fn a_pause_holds_new_connections_and_ends_although_the_daemon_is_dead() {
    const HELD: Duration = Duration::from_secs(3);
    let mut lab = lab("", "");
    let traffic = clients(&lab, 2, 20.0);
    let mut open = dial(&lab.topology.client, frontends(service::LINES)[0], 0).unwrap();
    let ordered = Instant::now();
    lab.daemon.json(&["pause", "--for", "3s"]).unwrap();
    lab.daemon.kill();
    let count = |tally: &Tally| tally.connections.len();
    // What was on its way when the pause began ends; then there is nothing new.
    let before = traffic.record().look(count);
    let mut echo = || {
        open.write_all(b"still there?\n").unwrap();
        let mut answer = [0; 64];
        let length = open.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).contains("blue"));
    };
    while ordered.elapsed() < HELD - Duration::from_millis(500) {
        echo();
        let held = traffic.record().look(count);
        assert!(held <= before + 2, "{} new connections in a pause", held - before);
    }
    let goes_on = || traffic.record().look(count) > before + 20;
    wait::until("new connections go on", TIMEOUT, goes_on).unwrap();
    assert!(ordered.elapsed() >= HELD - Duration::from_millis(200), "{:?}", ordered.elapsed());
    lab.daemon.launch().unwrap();
    let status = await_status(&lab, "nothing is held", |status| status["paused"] == false);
    assert_eq!(status["live"], "blue", "{status:#}");
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_drill_goes_there_and_back_and_says_so() {
    let lab = lab("", PROBE);
    let traffic = lab.load();
    refused(&lab, &["drill", "--hold", "1s"], "gate-standby", &["bgctl switch shop"]);
    lab.daemon.switch(Colour::Green).unwrap();
    let drilled = lab.daemon.json(&["drill", "--hold", "1s"]).unwrap();
    assert_eq!(drilled["passed"], true, "{drilled:#}");
    assert!(drilled["held_ms"].as_u64().unwrap() >= 1000, "{drilled:#}");
    assert_eq!(lab.daemon.live().unwrap(), Colour::Green);
    await_new(&traffic, Colour::Green, 20);
    assert_eq!(moves(&lab), ["switch green", "drill blue", "drill green"], "{}", told(&lab));
    assert_eq!(history(&lab, "drilled").len(), 1);
    let status = status(&lab);
    assert_eq!(status["frozen"], Value::Null, "{status:#}");
    assert_eq!(status["rollback"]["possible"], true, "{status:#}");
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_reload_that_misses_the_deployment_is_refused_and_changes_nothing() {
    let mut lab = lab("", PROBE);
    let traffic = light(&lab);
    let before = status(&lab);
    let path = lab.daemon.config();
    let text = fs::read_to_string(&path).unwrap();
    let (gateway, _) = text.split_once("[deployment.shop]").unwrap();
    let other = text.replace("deployment.shop", "deployment.shoq");
    for wrong in [gateway.to_owned(), other] {
        fs::write(&path, &wrong).unwrap();
        let complaints = |log: String| log.matches("the configuration stays as it is").count();
        let told = complaints(lab.daemon.log());
        lab.daemon.process().unwrap().signal(Signal::SIGHUP).unwrap();
        let more = || complaints(lab.daemon.log()) > told;
        wait::until("bgd says that it keeps its configuration", wait::PATIENCE, more).unwrap();
    }
    let log = lab.daemon.log();
    assert!(log.contains("remove = true") && log.contains("shop"), "{log}");
    let after = status(&lab);
    for key in ["live", "generation", "services"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    await_new(&traffic, Colour::Blue, 20);
    assert_unharmed(&traffic.stop().unwrap());
}

/// A script in the directory of the daemon's configuration, and the table of a hook that runs it.
fn hook(directory: &Path, script: &str, timeout: &str) -> (PathBuf, String) {
    let path = directory.join("may-switch");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let table = format!(
        "[deployment.shop.hook.gate]\non = [\"before\"]\ncommand = [{path:?}]\ntimeout = {timeout:?}\n"
    );
    (path, table)
}

#[test]
fn a_hook_that_disagrees_or_hangs_refuses_a_switch_with_its_own_words() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, table) = hook(scratch.path(), "echo the moon is not full; exit 1", "1s");
    let lab = lab("", &table);
    refused(&lab, &["switch"], "gate-hooks", &["the moon is not full"]);
    let said = history(&lab, "hook").pop().unwrap();
    assert_eq!((&said["ok"], &said["phase"]), (&false.into(), &"before".into()), "{said:#}");
    assert!(said["output"].as_str().unwrap().contains("the moon is not full"), "{said:#}");

    fs::write(&path, "#!/bin/sh\necho thinking\nexec sleep 60\n").unwrap();
    let asked = Instant::now();
    refused(&lab, &["switch"], "gate-hooks", &["1s"]);
    assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert_eq!(lab.daemon.live().unwrap(), Colour::Blue);

    // It hears what is about to happen.
    fs::write(&path, "#!/bin/sh\ngrep -q '\"kind\":\"about\"'\n").unwrap();
    lab.daemon.switch(Colour::Green).unwrap();
    assert_eq!(moves(&lab), ["switch green"]);
    // What saves traffic asks nobody.
    fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
    lab.daemon.json(&["rollback"]).unwrap();
    assert_eq!(request(&lab.topology.client, frontends(service::WEB)[0]).unwrap().colour, Colour::Blue);
    assert_whole(&lab);
}

#[test]
fn live_moves_to_a_healthy_standby_once_and_is_frozen() {
    let lab = lab("no_backend = \"failover\"", PROBE);
    let traffic = light(&lab);
    // Before anything was live there, the other side is no standby.
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 5);
    lab.servers.fail(Colour::Green, Fault::Status, Whom::Probes);
    await_status(&lab, "blue has taken over", |status| status["live"] == "blue");
    await_new(&traffic, Colour::Blue, 20);
    let status = await_status(&lab, "it is frozen", |status| status["frozen"]["automatic"] == true);
    assert_eq!(moves(&lab), ["switch green", "fail-over blue"], "{}", told(&lab));
    // It never acts twice, whatever happens next.
    lab.servers.heal(Colour::Green);
    await_health(&lab, Colour::Green, true);
    lab.servers.fail(Colour::Blue, Fault::Status, Whom::Probes);
    await_health(&lab, Colour::Blue, false);
    await_new(&traffic, Colour::Blue, 20);
    assert_eq!(moves(&lab), ["switch green", "fail-over blue"], "{status:#}");
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn nobody_is_rolled_back_to_a_version_that_was_staged_over() {
    let lab = lab(BAKE, PROBE);
    let traffic = light(&lab);
    lab.daemon.json(&["stage", "--version", "1.4"]).unwrap();
    lab.daemon.json(&["switch", "--bake", "0s"]).unwrap();
    refused(&lab, &["stage", "--version", "1.5"], "gives-up-rollback", &["--give-up-rollback"]);
    assert_eq!(status(&lab)["rollback"]["possible"], true);
    lab.daemon.json(&["stage", "--version", "1.5", "--give-up-rollback"]).unwrap();
    let after = status(&lab);
    assert_eq!(after["rollback"]["possible"], false, "{after:#}");
    assert_eq!(after["slices"]["blue"]["role"], "staging", "{after:#}");
    refused(&lab, &["rollback"], "gate-rollback-target", &["staged over it", "bgctl switch shop --to blue"]);
    refused(&lab, &["rollback", "--force"], "gate-rollback-target", &[]);
    assert_eq!(lab.daemon.live().unwrap(), Colour::Green);
    let staged = history(&lab, "staged").pop().unwrap();
    assert_eq!(staged["gave_up_rollback"], true, "{staged:#}");
    await_new(&traffic, Colour::Green, 20);
    assert_unharmed(&traffic.stop().unwrap());
}
