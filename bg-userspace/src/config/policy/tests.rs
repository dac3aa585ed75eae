//! Rows of one valid deployment with keys that are right, and with one that is wrong.

use crate::config::DEFAULT_PROBE_ADDRESSES;
use crate::config::tests::{broken_in, check_in, deployment};
use crate::model::policy::{
    DeadFlows, DrainLimit, DrillSchedule, FateChoice, Flap, NoBackend, Passive, Policy, Quorum,
};
use std::time::Duration;

/// The rows put keys and tables in the place of the lines in capitals.
const GOOD: &str = r#"[deployment.shop]
blue = ["10.1.0.2"]
green = ["10.2.0.2"]
# KEYS
[deployment.shop.service.web]
vips = ["192.0.2.10"]
port = 80
# TABLES
"#;

const KEYS: &str = "# KEYS";

const TABLES: &str = "# TABLES";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `GOOD` with a probe.
fn probed() -> String {
    GOOD.replace(TABLES, "[deployment.shop.probe.p]\nkind = \"tcp\"\n# TABLES")
}

#[test]
fn nothing_is_promised_or_watched_by_default() {
    let policy = deployment(GOOD, KEYS, "").policy;
    let slices = [vec!["10.1.0.2".parse().unwrap()], vec!["10.2.0.2".parse().unwrap()]];
    let probe_addresses = DEFAULT_PROBE_ADDRESSES.to_vec();
    assert_eq!(policy, Policy { slices, probe_addresses, ..Policy::default() });
}

#[test]
fn what_is_configured_arrives() {
    let none = || {
        let (slices, probe_addresses) = (deployment(GOOD, KEYS, "").slices, DEFAULT_PROBE_ADDRESSES.to_vec());
        Policy { slices, probe_addresses, ..Policy::default() }
    };
    let probes = || deployment(&probed(), KEYS, "").policy.probes;
    let drain = |seconds, fate| Some(DrainLimit { after: self::seconds(seconds), fate });
    let rows = [
        ("ask = true", Policy { ask: true, ..none() }),
        ("bake = \"5m\"", Policy { bake: Some(seconds(300)), ..none() }),
        ("bake = \"24h\"", Policy { bake: Some(seconds(86_400)), ..none() }),
        ("bake = \"0s\"", none()),
        ("bake = \"0\"", none()),
        ("confirm_within = \"2s\"", Policy { confirm_within: Some(seconds(2)), ..none() }),
        ("fate = \"reset\"", Policy { fate: FateChoice::Reset, ..none() }),
        ("fate = \"move\"", Policy { fate: FateChoice::Move, ..none() }),
        ("drain_limit = \"10m\"", Policy { drain_limit: drain(600, FateChoice::Reset), ..none() }),
        (
            "drain_limit = \"1s\"\ndrain_fate = \"move\"",
            Policy { drain_limit: drain(1, FateChoice::Move), ..none() },
        ),
        ("no_backend = \"failover\"", Policy { no_backend: NoBackend::FailOver, ..none() }),
        ("no_backend = \"refuse\"", Policy { no_backend: NoBackend::Refuse, ..none() }),
        ("dead_flows = \"reset\"", Policy { dead_flows: DeadFlows::Reset, ..none() }),
        ("dead_flows = \"move\"", Policy { dead_flows: DeadFlows::Move, ..none() }),
        ("quorum = 60\nquorum_down = 60", Policy { quorum: Quorum { up: 60, down: 60 }, ..none() }),
        // The default would be higher than the quorum.
        ("quorum = 40", Policy { quorum: Quorum { up: 40, down: 40 }, ..none() }),
        ("quorum_down = 1", Policy { quorum: Quorum { up: 100, down: 1 }, ..none() }),
        ("flap_changes = 2", Policy { flap: Flap { changes: 2, ..Flap::default() }, ..none() }),
        (
            "flap_within = \"1h\"",
            Policy { flap: Flap { within: seconds(3600), ..Flap::default() }, ..none() },
        ),
        ("standby_for = \"24h\"", Policy { standby_for: Some(seconds(86_400)), ..none() }),
    ];
    for (keys, policy) in rows {
        let policy = Policy { probes: probes(), ..policy };
        assert_eq!(deployment(&probed(), KEYS, keys).policy, policy, "{keys}");
    }
    let passive = Passive { window: seconds(30), least: 20, unanswered: 20, refused: 20, resets: 50 };
    let drill = DrillSchedule { every: seconds(7 * 86_400), hold: seconds(30) };
    let rows = [
        ("passive]", Policy { passive: Some(passive), ..none() }),
        (
            "passive]\nwindow = \"1m\"\nleast = 1\nunanswered = 0\nrefused = 100\nresets = 1",
            Policy {
                passive: Some(Passive {
                    window: seconds(60),
                    least: 1,
                    unanswered: 0,
                    refused: 100,
                    resets: 1,
                }),
                ..none()
            },
        ),
        ("drill]\nevery = \"7d\"", Policy { drill: Some(drill), ..none() }),
        (
            "drill]\nevery = \"7d\"\nhold = \"1h\"",
            Policy { drill: Some(DrillSchedule { hold: seconds(3600), ..drill }), ..none() },
        ),
    ];
    for (table, policy) in rows {
        let policy = Policy { probes: probes(), ..policy };
        assert_eq!(
            deployment(&probed(), TABLES, &format!("[deployment.shop.{table}")).policy,
            policy,
            "{table}"
        );
    }
}

#[test]
fn each_mistake_is_named_with_its_place_and_its_mend() {
    let rows = [
        ("bake = \"25h\"", "bake", "\"25h\"", "out of range", "1s to 24h"),
        ("bake = \"10ms\"", "bake", "\"10ms\"", "out of range", "\"0s\" for none"),
        ("bake = \"soon\"", "bake", "\"soon\"", "not a time", "\"5m\""),
        ("bake = 300", "bake", "300", "a whole number", "bake = \"5m\""),
        ("confirm_within = \"1s\"", "confirm_within", "\"1s\"", "out of range", "2s to 24h"),
        ("confirm_within = \"0s\"", "confirm_within", "\"0s\"", "out of range", "2s to 24h"),
        ("confirm_within = \"25h\"", "confirm_within", "\"25h\"", "out of range", "2s to 24h"),
        ("ask = \"yes\"", "ask", "\"yes\"", "true or false is wanted", "ask = false"),
        ("fate = \"drop\"", "fate", "\"drop\"", "none of the choices", "\"keep\", \"reset\", \"move\""),
        ("drain_limit = \"0s\"", "drain_limit", "\"0s\"", "out of range", "1s to 30days"),
        ("drain_limit = \"31days\"", "drain_limit", "\"31days\"", "out of range", "1s to 30days"),
        (
            "drain_fate = \"reset\"",
            "drain_fate",
            "\"reset\"",
            "without a `drain_limit`",
            "drain_limit = \"10m\"",
        ),
        (
            "drain_limit = \"1m\"\ndrain_fate = \"keep\"",
            "drain_fate",
            "\"keep\"",
            "that keeps flows is no limit",
            "\"reset\" or \"move\"",
        ),
        (
            "drain_limit = \"1m\"\ndrain_fate = \"rest\"",
            "drain_fate",
            "\"rest\"",
            "none of the choices",
            "did you mean \"reset\"?",
        ),
        (
            "drain_limit = 10\ndrain_fate = \"move\"",
            "drain_limit",
            "10",
            "a whole number",
            "drain_limit = \"10m\"",
        ),
        ("no_backend = \"fail-over\"", "no_backend", "\"fail-over\"", "none of the choices", "\"failover\"?"),
        (
            "dead_flows = \"drop\"",
            "dead_flows",
            "\"drop\"",
            "none of the choices",
            "\"keep\", \"reset\", \"move\"",
        ),
        ("quorum = 0", "quorum", "0", "0 is out of range", "1 to 100"),
        ("quorum = 101", "quorum", "101", "101 is out of range", "1 to 100"),
        ("quorum = \"50%\"", "quorum", "\"50%\"", "a text", "quorum = 100"),
        ("quorum_down = 0", "quorum_down", "0", "0 is out of range", "1 to 100"),
        (
            "quorum = 60\nquorum_down = 61",
            "quorum_down",
            "61",
            "`quorum_down` is 61, higher than the quorum of 60",
            "at most 60",
        ),
        ("flap_changes = 1", "flap_changes", "1", "1 is out of range", "2 to 1000"),
        ("flap_within = \"25h\"", "flap_within", "\"25h\"", "out of range", "1s to 24h"),
        ("standby_for = \"10s\"", "standby_for", "\"10s\"", "out of range", "1m to 365days"),
        ("bakes = \"5m\"", "bakes", "bakes", "not a key", "`bake`"),
        ("every = \"7d\"", "every", "every", "not a key", "move it to [deployment.NAME.drill]"),
        ("timeout = \"7d\"", "timeout", "timeout", "not a key", "[deployment.NAME.hook.NAME]"),
        ("passive = true", "passive", "passive", "is true or false", "[deployment.shop.passive]"),
        ("probe = \"tcp\"", "probe", "probe", "one table for each name", "[deployment.shop.probe.NAME]"),
    ];
    for (keys, key, there, what, mend) in rows {
        // The last row would be a second `probe`.
        let good = if key == "probe" { GOOD.to_owned() } else { probed() };
        check_in(&good, (KEYS, keys), (&format!("deployment.shop.{key}"), there), what, mend);
    }
    let rows = [
        ("passive]\nwindow = \"0s\"", "passive.window", "\"0s\"", "out of range", "1s to 1h"),
        ("passive]\nleast = 0", "passive.least", "0", "0 is out of range", "1 to 1000000"),
        ("passive]\nunanswered = -1", "passive.unanswered", "-1", "-1 is out of range", "0 to 100"),
        ("passive]\nrefused = 101", "passive.refused", "101", "101 is out of range", "0 to 100"),
        ("passive]\nresets = 101", "passive.resets", "101", "101 is out of range", "0 to 100"),
        ("passive]\nreset = 1", "passive.reset", "reset", "not a key", "`resets`"),
        ("drill]\nhold = \"30s\"", "drill", "drill", "`every` is missing", "every = \"7d\""),
        ("drill]\nevery = \"1m\"", "drill.every", "\"1m\"", "out of range", "10m to 365days"),
        ("drill]\nevery = \"7d\"\nhold = \"2h\"", "drill.hold", "\"2h\"", "out of range", "1s to 1h"),
        (
            "drill]\nevery = \"10m\"\nhold = \"10m\"",
            "drill.hold",
            "\"10m\"",
            "a drill would last until the next one",
            "shorter",
        ),
    ];
    for (table, key, there, what, mend) in rows {
        let table = format!("[deployment.shop.{table}");
        check_in(&probed(), (TABLES, &table), (&format!("deployment.shop.{key}"), there), what, mend);
    }
}

/// With nothing that could find fault, what waits for a fault is a mistake.
#[test]
fn what_nothing_could_ever_trigger_is_refused() {
    let key = "deployment.shop";
    let at = |name: &str| format!("{key}.{name}");
    let bake = "a switch would be watched for 5m, but nothing could find the new side failing";
    let fail_over = "live would never fail over";
    let mend = "add a [deployment.shop.probe.NAME]";
    check_in(GOOD, (KEYS, "bake = \"5m\""), (&at("bake"), "\"5m\""), bake, mend);
    check_in(GOOD, (KEYS, "no_backend = \"failover\""), (&at("no_backend"), "\"failover\""), fail_over, mend);
    let drill = "[deployment.shop.drill]\nevery = \"7d\"";
    check_in(
        GOOD,
        (TABLES, drill),
        (&at("drill.every"), "\"7d\""),
        "nothing tells whether the standby",
        mend,
    );
    assert_eq!(broken_in(GOOD, KEYS, "bake = \"5m\"\nno_backend = \"failover\"").len(), 2);

    let hook = |on: &str| format!("[deployment.shop.hook.h]\non = [\"{on}\"]\nurl = \"http://a/\"");
    let passive = "[deployment.shop.passive]".to_owned();
    let probe = "[deployment.shop.probe.p]\nkind = \"tcp\"".to_owned();
    let [watch, before, other] = ["watch", "before", "switched"].map(hook);
    // Which of them is enough for what: `bake`, `no_backend`, `drill`.
    let rows = [
        (&probe, [true, true, true]),
        (&passive, [true, true, false]),
        (&watch, [true, false, false]),
        (&before, [false, false, true]),
        (&other, [false, false, false]),
    ];
    for (witness, enough) in rows {
        let good = GOOD.replace(TABLES, &format!("{witness}\n{TABLES}"));
        let keys = [
            (KEYS, "bake = \"5m\"", "bake", "\"5m\"", bake),
            (KEYS, "no_backend = \"failover\"", "no_backend", "\"failover\"", fail_over),
            (TABLES, drill, "drill.every", "\"7d\"", "nothing tells"),
        ];
        for ((from, to, key, there, what), enough) in keys.into_iter().zip(enough) {
            if enough {
                deployment(&good, from, to);
            } else {
                check_in(&good, (from, to), (&at(key), there), what, mend);
            }
        }
    }
    // A witness with a mistake is one: the mistake is told, and nothing else.
    let typo = GOOD.replace(TABLES, "[deployment.shop.probe.p]\nkind = \"tpc\"");
    check_in(
        &typo,
        (KEYS, "bake = \"5m\""),
        (&at("probe.p.kind"), "\"tpc\""),
        "none of the choices",
        "\"tcp\"",
    );
    let typo = GOOD.replace(TABLES, "[deployment.shop.hook.h]\non = \"watch\"\nurl = \"http://a/\"");
    check_in(&typo, (KEYS, "bake = \"5m\""), (&at("hook.h.on"), "\"watch\""), "is a text", "on = [");
}
