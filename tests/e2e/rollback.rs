//! Switches that are taken back: ten ways in which a new version fails, each with clients on it, and how
//! many of their requests that may cost at most.

use crate::lab::{Lab, Way, assert_unharmed, await_new};
use crate::watched::{
    BAKE, CLIENTS, PROBE, RATE, assert_whole, await_health, await_status, clients, history, lab, light,
    moves, refused, status, told,
};
use bg_common::Colour;
use bg_tests::daemon::Settings;
use bg_tests::servers::{Fault, Whom};
use bg_tests::topology::CLIENT;
use bg_tests::traffic::{Tally, Traffic};
use bg_tests::wait;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

/// Detection takes under a second where nothing else runs; beyond this it is of no use.
const IN_TIME: Duration = Duration::from_secs(8);

/// What a fault may cost.
#[derive(Clone, Copy, Debug)]
enum Cost {
    /// Nothing: probes see it first, or answers are late and good.
    Nothing,
    /// A request of each client, which waits for it while the switch is taken back.
    OneEach,
    /// All that clients ask while green is live.
    WhileLive,
}

impl Cost {
    fn most(self, clients: u32, rate: f64, live: Duration) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::OneEach => clients.into(),
            Self::WhileLive => (f64::from(clients) * (1.0 + rate * live.as_secs_f64())).ceil() as u64,
        }
    }
}

/// Switches to green, breaks it once clients are on it, and sees the switch taken back with a reason that
/// contains `says`.
fn assert_taken_back(lab: &Lab, traffic: Traffic, says: &str, cost: Cost, break_it: impl FnOnce(&Lab)) {
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 5);
    assert_eq!(traffic.record().look(Tally::failed), 0, "before the fault");
    break_it(lab);
    assert_went_back(lab, traffic, Instant::now(), says, cost);
}

/// Green is live and failing since `since`: it is left in time, frozen, recorded, and new clients are well.
fn assert_went_back(lab: &Lab, traffic: Traffic, since: Instant, says: &str, cost: Cost) {
    await_status(lab, "blue is live again", |status| status["live"] == "blue");
    let live = since.elapsed();
    assert!(live < IN_TIME, "after {live:?}");
    await_new(&traffic, Colour::Blue, 20);
    let tally = traffic.stop().unwrap();
    let most = cost.most(CLIENTS, RATE, live);
    assert!(tally.failed() <= most, "{} > {most}: {:#?}", tally.failed(), tally.examples);
    assert_recorded(lab, says);
    refused(lab, &["switch"], "gate-frozen", &["bgctl unfreeze"]);
}

fn assert_recorded(lab: &Lab, says: &str) {
    assert_eq!(moves(lab), ["switch green", "auto-rollback blue"], "{}", told(lab));
    let back = history(lab, "switched").pop().unwrap();
    assert!(back["reason"].as_str().is_some_and(|why| why.contains(says)), "{says:?}: {back:#}");
    let kinds = history(lab, "about,switched,frozen");
    let kinds: Vec<_> = kinds.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["about", "switched", "about", "switched", "frozen"], "{}", told(lab));
    assert_whole(lab);
    let status = status(lab);
    assert_eq!(status["frozen"]["automatic"], true, "{status:#}");
    assert_eq!(status["slices"]["green"]["role"], "staging", "{status:#}");
    assert_eq!(status["rollback"]["possible"], false, "{status:#}");
}

fn breaks(fault: Fault, whom: Whom) -> impl FnOnce(&Lab) {
    move |lab| lab.servers.fail(Colour::Green, fault, whom)
}

fn probed() -> (Lab, Traffic) {
    let lab = lab(BAKE, PROBE);
    let traffic = light(&lab);
    (lab, traffic)
}

#[test]
fn a_version_that_refuses_connections_is_taken_back() {
    let (lab, traffic) = probed();
    let fault = breaks(Fault::Refuse, Whom::Everyone);
    assert_taken_back(&lab, traffic, "refused", Cost::WhileLive, fault);
}

#[test]
fn a_version_that_accepts_and_never_answers_is_taken_back() {
    let (lab, traffic) = probed();
    assert_taken_back(&lab, traffic, "within 300ms", Cost::OneEach, breaks(Fault::Hang, Whom::Everyone));
}

#[test]
fn a_version_that_answers_with_errors_is_taken_back() {
    let (lab, traffic) = probed();
    assert_taken_back(&lab, traffic, "500", Cost::WhileLive, breaks(Fault::Status, Whom::Everyone));
}

#[test]
fn a_version_that_has_become_slow_is_taken_back_and_fails_nobody() {
    let (lab, traffic) = probed();
    assert_taken_back(&lab, traffic, "within 300ms", Cost::Nothing, breaks(Fault::Slow, Whom::Everyone));
}

#[test]
fn a_version_whose_health_comes_and_goes_is_taken_back_before_clients_notice() {
    let (lab, traffic) = probed();
    assert_taken_back(&lab, traffic, "flap", Cost::Nothing, breaks(Fault::Flap, Whom::Probes));
}

#[test]
fn a_version_whose_kernel_answers_and_whose_program_does_not_is_taken_back() {
    let (lab, traffic) = probed();
    assert_taken_back(&lab, traffic, "within 300ms", Cost::OneEach, breaks(Fault::HalfOpen, Whom::Everyone));
}

#[test]
fn a_version_that_answers_the_gateway_and_not_through_the_vip_is_taken_back() {
    let (lab, traffic) = probed();
    for machine in lab.topology.slice(Colour::Green) {
        // The gateway is its neighbour; the way to everybody else is gone.
        for family in ["-4", "-6"] {
            machine.namespace.output("ip", [family, "route", "del", "default"]).unwrap();
        }
    }
    // No probe of the machine sees that.
    assert_eq!(status(&lab)["slices"]["green"]["healthy"], true);
    let ordered = Instant::now();
    lab.daemon.json(&["switch", "--to", "green"]).unwrap();
    assert_went_back(&lab, traffic, ordered, "through the VIP", Cost::OneEach);
}

/// Real traffic speaks after this many handshakes; the newest second is not judged yet.
const PASSIVE: &str = "
[deployment.shop.passive]
window = \"5s\"
least = 8
";

#[test]
fn a_version_that_answers_probes_and_resets_clients_is_taken_back() {
    let lab = lab(BAKE, &[PROBE, PASSIVE].concat());
    let traffic = light(&lab);
    let fault = breaks(Fault::Reset, Whom::Clients);
    assert_taken_back(&lab, traffic, "real flows", Cost::WhileLive, fault);
}

#[test]
fn a_version_that_answers_probes_and_not_clients_is_taken_back() {
    const MANY: u32 = 16;
    let lab = lab(BAKE, &[PROBE, PASSIVE].concat());
    let traffic = clients(&lab, MANY, 1.0);
    lab.daemon.switch(Colour::Green).unwrap();
    for machine in lab.topology.slice(Colour::Green) {
        let rules = CLIENT.map(|client| {
            let family = if client.is_ipv4() { "ip" } else { "ip6" };
            format!("{family} saddr {client} drop\n")
        });
        let rules = format!(
            "table inet bgt {{\nchain in {{\ntype filter hook input priority 0\n{}}}\n}}\n",
            rules.concat()
        );
        machine.namespace.nft(&rules).unwrap();
    }
    await_status(&lab, "blue is live again", |status| status["live"] == "blue");
    await_new(&traffic, Colour::Blue, 10);
    let tally = traffic.stop().unwrap();
    // Each client waits for one answer that never comes.
    assert!(tally.failed() <= MANY.into(), "{} {:#?}", tally.failed(), tally.examples);
    assert!(tally.failed() > 0, "nobody has noticed, so this shows nothing");
    assert_recorded(&lab, "real flows");
}

#[test]
fn nobody_is_sent_from_a_side_that_fails_to_one_that_has_failed() {
    let (lab, traffic) = probed();
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 5);
    lab.servers.fail(Colour::Blue, Fault::Refuse, Whom::Everyone);
    await_health(&lab, Colour::Blue, false);
    await_new(&traffic, Colour::Green, 20);
    assert_eq!(traffic.record().look(Tally::failed), 0, "a standby that fails is nobody's trouble");
    lab.servers.fail(Colour::Green, Fault::Status, Whom::Probes);
    await_health(&lab, Colour::Green, false);
    let told = || history(&lab, "not-switched").pop();
    let stays: Value = wait::until_some("why it stays is recorded", wait::PATIENCE, told).unwrap();
    assert_eq!((&stays["cause"], &stays["to"]), (&"auto-rollback".into(), &"blue".into()), "{stays:#}");
    let why = stays["why"].as_str().unwrap();
    assert!(why.contains("blue is not healthy") && why.contains("refused"), "{why}");
    await_new(&traffic, Colour::Green, 20);
    // Once there is a better side, it is taken.
    lab.servers.heal(Colour::Blue);
    await_status(&lab, "blue is live again", |status| status["live"] == "blue");
    await_new(&traffic, Colour::Blue, 20);
    assert_unharmed(&traffic.stop().unwrap());
    assert_recorded(&lab, "");
}

#[test]
fn a_switch_that_nobody_confirms_goes_back_although_the_daemon_is_dead() {
    let mut lab = lab(BAKE, PROBE);
    let traffic = lab.load();
    let answer = lab.daemon.json(&["switch", "--confirm-within", "3s"]).unwrap();
    assert_eq!((&answer["to"], &answer["confirm_within_s"]), (&"green".into(), &3.into()), "{answer}");
    lab.daemon.kill();
    await_new(&traffic, Colour::Green, 20);
    // Nobody is there to do it, and no order is given.
    await_new(&traffic, Colour::Blue, 20);
    assert_eq!(lab.daemon.json(&["--offline", "status"]).unwrap()["deployments"][0]["live"], "blue");
    lab.daemon.launch().unwrap();
    let status = await_status(&lab, "it is frozen", |status| status["frozen"]["automatic"] == true);
    assert_eq!(status["live"], "blue", "{status:#}");
    assert_eq!(status["confirm_left_s"], Value::Null, "{status:#}");
    refused(&lab, &["confirm"], "too-late", &["gone back already"]);
    refused(&lab, &["switch"], "gate-frozen", &["not confirmed"]);
    assert_eq!(moves(&lab), ["switch green", "unconfirmed blue"], "{}", told(&lab));
    assert_whole(&lab);
    await_new(&traffic, Colour::Blue, 20);
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_switch_to_a_version_that_is_well_stays() {
    let lab = lab("bake = \"2s\"", PROBE);
    let traffic = lab.load();
    lab.daemon.json(&["switch", "--confirm-within", "30s"]).unwrap();
    let watched = |status: &Value| status["bake_left_s"] == Value::Null;
    await_status(&lab, "the bake time is over", watched);
    let confirmed = lab.daemon.json(&["confirm"]).unwrap();
    assert_eq!(confirmed["deployment"], "shop", "{confirmed}");
    await_new(&traffic, Colour::Green, 20);
    assert_eq!(moves(&lab), ["switch green"], "{}", told(&lab));
    let status = status(&lab);
    assert_eq!((&status["frozen"], &status["confirm_left_s"]), (&Value::Null, &Value::Null), "{status:#}");
    assert_eq!(status["rollback"]["possible"], true, "{status:#}");
    let kinds: Vec<_> = history(&lab, "baked,confirmed").iter().map(|it| it["kind"].clone()).collect();
    assert_eq!(kinds, ["baked", "confirmed"]);
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_daemon_that_dies_while_it_writes_down_what_the_kernel_did_leaves_one_that_knows() {
    // The first exchange is the switch, the second what the programs did at its deadline.
    for (point, turn) in [("before-exchange", 2), ("after-exchange", 2)] {
        let settings =
            Settings { deployment: BAKE.to_owned(), tables: PROBE.to_owned(), ..Way::Redirect.settings() };
        let mut lab = Lab::scripted(&settings);
        let mut dying = lab.daemon.spawn_as("bgd-chaos", Some(&format!("{point}:{turn}"))).unwrap();
        let answers = || lab.daemon.bgctl(&["status"]).unwrap().code == Some(0);
        wait::until("it answers", wait::PATIENCE, answers).unwrap();
        for colour in Colour::BOTH {
            await_health(&lab, colour, true);
        }
        let traffic = light(&lab);
        lab.daemon.json(&["switch", "--confirm-within", "3s"]).unwrap();
        let ended = dying.wait(wait::PATIENCE).unwrap();
        assert_eq!(ended.signal(), Some(9), "{ended}: {}", dying.output());
        await_new(&traffic, Colour::Blue, 5);
        lab.daemon.launch().unwrap();
        let status = await_status(&lab, "it is frozen", |status| status["frozen"]["automatic"] == true);
        assert_eq!((&status["live"], &status["bake_left_s"]), (&"blue".into(), &Value::Null), "{status:#}");
        assert_eq!(moves(&lab), ["switch green", "unconfirmed blue"], "{point}: {}", told(&lab));
        assert_whole(&lab);
        assert_unharmed(&traffic.stop().unwrap());
    }
}
