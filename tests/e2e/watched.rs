//! A lab whose slices are probed and can be made to fail, and what its daemon and its journal say.

use crate::lab::{Lab, Way};
use bg_common::Colour;
use bg_tests::daemon::{Outcome, Settings, frontends, service};
use bg_tests::traffic::{Kind, Load, Tally, Traffic};
use bg_tests::wait;
use serde_json::Value;

/// Bad answers in a row are believed after about a second.
pub(crate) const PROBE: &str = "
[deployment.shop.probe.page]
kind = \"http\"
service = \"web\"
path = \"/health\"
interval = \"300ms\"
timeout = \"300ms\"
jitter = 0
rise = 1
fall = 3
";

/// Switches are watched for longer than any scenario takes.
pub(crate) const BAKE: &str = "bake = \"30s\"";

/// Clients of the light load, and requests of each per second.
pub(crate) const CLIENTS: u32 = 4;
pub(crate) const RATE: f64 = 10.0;

/// A lab that runs and has these lines in the deployment, and these tables; both slices are healthy if probed.
pub(crate) fn lab(deployment: &str, tables: &str) -> Lab {
    let settings =
        Settings { deployment: deployment.to_owned(), tables: tables.to_owned(), ..Way::Redirect.settings() };
    let mut lab = Lab::scripted(&settings);
    lab.daemon.launch().unwrap();
    if tables.contains(".probe.") {
        for colour in Colour::BOTH {
            await_health(&lab, colour, true);
        }
    }
    lab
}

/// How the deployment stands.
pub(crate) fn status(lab: &Lab) -> Value {
    lab.daemon.json(&["status"]).unwrap()["deployments"][0].clone()
}

/// Waits until the status is as `wanted`.
pub(crate) fn await_status(lab: &Lab, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = || Some(status(lab)).filter(&wanted);
    wait::until_some(what, wait::PATIENCE, look).unwrap_or_else(|why| {
        panic!("{why:#}: {:#}\n{}", status(lab), told(lab));
    })
}

pub(crate) fn await_health(lab: &Lab, colour: Colour, healthy: bool) {
    let what = format!("{colour} is healthy: {healthy}");
    await_status(lab, &what, |status| status["slices"][colour.as_str()]["healthy"] == healthy);
}

/// Clients that ask on a connection of their own each time; returns when blue has answered some.
pub(crate) fn light(lab: &Lab) -> Traffic {
    clients(lab, CLIENTS, RATE)
}

pub(crate) fn clients(lab: &Lab, clients: u32, rate: f64) -> Traffic {
    let targets = frontends(service::WEB).to_vec();
    let traffic = lab.start(vec![Load { kind: Kind::Short, targets, clients, rate, life: None }]);
    let answered = |tally: &Tally| tally.answered[Colour::Blue.index()];
    wait::until("blue answers", wait::PATIENCE, || traffic.record().look(answered) > 10).unwrap();
    traffic
}

/// The journal's entries of these kinds, the oldest first.
pub(crate) fn history(lab: &Lab, kinds: &str) -> Vec<Value> {
    let mut args = vec!["history", "--limit", "10000"];
    if !kinds.is_empty() {
        args.extend(["--kind", kinds]);
    }
    lab.daemon.json(&args).unwrap()["entries"].as_array().unwrap().clone()
}

/// Who was live by which cause, in the journal's order, as in `switch green`.
pub(crate) fn moves(lab: &Lab) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = history(lab, "switched");
    entries.iter().map(|entry| format!("{} {}", word(&entry["cause"]), word(&entry["live"]))).collect()
}

/// The journal for people, for a test that fails.
pub(crate) fn told(lab: &Lab) -> String {
    lab.daemon.bgctl(&["history"]).map(|told| told.stdout).unwrap_or_default()
}

pub(crate) fn assert_whole(lab: &Lab) {
    let verified = lab.daemon.json(&["history", "--verify"]).unwrap();
    assert_eq!(verified["whole"], true, "{verified}");
}

/// An order that has to be refused with this code, and whose refusal contains these words.
pub(crate) fn refused(lab: &Lab, order: &[&str], code: &str, words: &[&str]) {
    let Outcome { code: exit, stdout, stderr } = lab.daemon.bgctl(&[&["--json"], order].concat()).unwrap();
    assert_eq!(exit, Some(1), "{order:?}: {stdout}{stderr}");
    let refusal: Value = serde_json::from_str(&stderr).unwrap_or_else(|why| panic!("{why}: {stderr}"));
    assert_eq!(refusal["code"], code, "{order:?}: {refusal:#}");
    for word in words {
        assert!(stderr.contains(word), "{order:?}: {word:?} is missing in {refusal:#}");
    }
}
