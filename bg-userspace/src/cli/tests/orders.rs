//! The verbs, against a daemon by script: what is sent, what is printed, and how it ends.

use super::desk::{BLUE, Desk, GREEN, busy, idle, plan, shut, switched};
use crate::api::protocol::{Deployment, Drilled, Freeze, Proof, Switched};
use crate::model::order::{Done, Force, Order, RollbackOrder, SwitchOrder, Verb};
use crate::model::policy::FateChoice;
use crate::refusal::Refusal;
use bg_common::Aim;
use serde_json::json;
use std::time::Duration;

fn changed(what: &str) -> Result<Done, Refusal> {
    Ok(Done::Changed { deployment: "shop".to_owned(), generation: 9, what: what.to_owned() })
}

fn done() -> Result<Done, Refusal> {
    Ok(Done::Switched(switched()))
}

fn not_agreed() -> Result<Done, Refusal> {
    let mend = "look at `bgctl plan shop`, then switch with --yes";
    Err(Refusal::new("gate-confirmation", "a person has to agree", "deployment shop", mend))
}

/// A switch of which nothing is known but that it was made.
fn plain() -> Switched {
    let (confirm_within_s, bake_s, proof) = (None, None, Proof::default());
    let (from_version, to_version, staying) = (None, None, None);
    Switched { from_version, to_version, staying, confirm_within_s, bake_s, proof, ..switched() }
}

const SWITCHED: &str = "\
shop: blue (1.3) → green (1.4)  generation 8  (661 ns; 812 flows stay on blue)
proof  green got its first new flow 812.0 µs after the switch
       blue got its last new flow 1.2 ms before the switch
       the VIP answers, and from green: status 200
next   green is watched for 5m, and the switch taken back if it fails
       it goes back in 2m unless: bgctl confirm shop
";

#[tokio::test]
async fn a_switch_says_what_it_did_what_is_proved_and_what_comes_next() {
    let bad = Proof {
        first_new_us: None,
        last_old_us: Some(40),
        vip: Some(false),
        vip_detail: Some("status 502\x1b[2J".to_owned()),
        took_ms: 3,
        last_old_is_probe: true,
        ..Proof::default()
    };
    let rows = [
        (switched(), SWITCHED),
        (plain(), "shop: blue → green  generation 8  (661 ns; flows stay on blue)\n"),
        (
            Switched { staying: Some(0), ..plain() },
            "shop: blue → green  generation 8  (661 ns; no flow was open on blue)\n",
        ),
        (
            Switched { already: true, took_ns: 0, ..switched() },
            "shop: green (1.4) is live already  generation 8\n",
        ),
        (
            Switched { staying: Some(1), proof: bad, ..plain() },
            "shop: blue → green  generation 8  (661 ns; 1 flow stays on blue)\n\
             proof  blue got a new flow 40.0 µs AFTER the switch (a probe of bg's own)\n\
             \x20      the VIP does NOT answer as it should: status 502\\u{1b}[2J\n",
        ),
    ];
    for (switched, expected) in rows {
        Desk::answering([Ok(Done::Switched(switched))]).prints("switch", expected).await;
    }
}

#[tokio::test]
async fn what_is_typed_is_what_is_ordered() {
    let minutes = |number: u64| Some(Duration::from_secs(60 * number));
    let switch = |order| Verb::Switch(order);
    let gates = |names: &[&str]| Force::Gates(names.iter().map(|name| (*name).to_owned()).collect());
    let none = SwitchOrder::default;
    let preview = |prefix: &str, to| Verb::Preview { prefix: prefix.parse().unwrap(), to };
    let rows = [
        ("switch shop", switch(none())),
        ("switch shop --to green -y", switch(SwitchOrder { to: Some(GREEN), agreed: true, ..none() })),
        ("switch --plan 7.3f2a", switch(SwitchOrder { plan: "7.3f2a".parse().ok(), ..none() })),
        ("switch --force", switch(SwitchOrder { force: Force::All, ..none() })),
        ("switch --force shop", switch(SwitchOrder { force: Force::All, ..none() })),
        (
            "switch --force=health,frozen",
            switch(SwitchOrder { force: gates(&["health", "frozen"]), ..none() }),
        ),
        (
            "switch --confirm-within 2m --bake 0s --fate reset",
            switch(SwitchOrder {
                confirm_within: minutes(2),
                bake: minutes(0),
                fate: Some(FateChoice::Reset),
                ..none()
            }),
        ),
        ("rollback", Verb::Rollback(RollbackOrder::default())),
        ("canary shop 50 --force=health", Verb::Canary { share: 50, force: gates(&["health"]) }),
        ("canary 0", Verb::Canary { share: 0, force: Force::Nothing }),
        ("canary 0.5%", Verb::Canary { share: 5, force: Force::Nothing }),
        ("canary shop 100%", Verb::Canary { share: 1000, force: Force::Nothing }),
        ("preview shop add 203.0.113.0/24", preview("203.0.113.0/24", Some(Aim::Other))),
        ("preview add 2001:db8::/32 --to green", preview("2001:db8::/32", Some(Aim::Green))),
        ("preview shop rm 203.0.113.7", preview("203.0.113.7/32", None)),
        (
            "rollback --force=health --fate move",
            Verb::Rollback(RollbackOrder { force: gates(&["health"]), fate: Some(FateChoice::Move) }),
        ),
    ];
    for (line, verb) in rows {
        let word = line.split(' ').next().unwrap();
        let answer = if ["canary", "preview"].contains(&word) { changed("it is so") } else { done() };
        let mut desk = Desk::answering([answer]);
        desk.user = Some("alice");
        let ran = desk.run(&format!("{line} --reason 'too slow'")).await;
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
        let Order { deployment, verb: ordered, actor, reason } = desk.ordered();
        assert_eq!(ordered, verb, "{line}");
        assert_eq!(deployment.as_deref(), line.contains("shop").then_some("shop"), "{line}");
        assert_eq!(reason.as_deref(), Some("too slow"));
        assert_eq!(actor.uid, Some(nix::unistd::geteuid().as_raw()));
        assert_eq!(actor.pid, i32::try_from(std::process::id()).ok());
        assert_eq!(actor.client.as_deref(), Some(concat!("bgctl/", env!("CARGO_PKG_VERSION"), " (alice)")));
        let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().map(|user| user.name);
        assert_eq!(actor.user, me);
    }
}

#[tokio::test]
async fn changes_are_sent_as_typed_and_told_in_the_daemons_words() {
    let seconds = Duration::from_secs;
    let stage = |give_up_rollback, hotfix, colour| Verb::Stage {
        colour,
        version: Some("1.5".to_owned()),
        give_up_rollback,
        hotfix,
    };
    let over = |state, backend| Verb::Override { colour: GREEN, backend, state };
    let address = Some([10, 2, 0, 2].into());
    let rows = [
        ("confirm shop", Verb::Confirm),
        ("stage shop --version 1.5", stage(false, false, None)),
        ("stage shop --version 1.5 --colour blue --give-up-rollback", stage(true, false, Some(BLUE))),
        ("stage shop --version 1.5 --hotfix", stage(false, true, None)),
        ("freeze shop --reason sale", Verb::Freeze),
        ("unfreeze shop", Verb::Unfreeze),
        ("pause shop --for 1500ms", Verb::Pause { time: Duration::from_millis(1500) }),
        ("resume shop", Verb::Resume),
        ("drain extend shop --by 10m", Verb::DrainExtend { by: seconds(600) }),
        ("drain end shop", Verb::DrainEnd { fate: FateChoice::Reset }),
        ("drain end shop --fate move", Verb::DrainEnd { fate: FateChoice::Move }),
        ("health down shop --colour green", over(Some(false), None)),
        ("health up shop --colour green --backend 10.2.0.2", over(Some(true), address)),
        ("health auto shop --colour green --backend 10.2.0.2", over(None, address)),
    ];
    for (line, verb) in rows {
        let desk = Desk::answering([changed("it is so")]);
        desk.prints(line, "shop: it is so  generation 9\n").await;
        let order = desk.ordered();
        assert_eq!((order.verb, order.deployment.as_deref()), (verb, Some("shop")), "{line}");
        let expected = json!({"deployment": "shop", "generation": 9, "what": "it is so"});
        assert_eq!(desk.json(line).await, (0, expected), "{line}");
    }
}

#[tokio::test]
async fn refused_orders_end_with_1_and_say_why_in_both_forms() {
    let lines = [
        "switch",
        "rollback",
        "confirm",
        "stage --version 1",
        "freeze --reason x",
        "unfreeze",
        "pause --for 1s",
        "resume",
        "drain end",
        "drain extend --by 1m",
        "health up --colour blue",
        "drill --hold 0s",
    ];
    let refusal = Refusal::new("gate-health", "green is not healthy", "deployment shop", "bgctl health shop");
    for line in lines {
        let desk = Desk::answering([Err(refusal.clone())]);
        let told = "bgctl: green is not healthy\n  where: deployment shop\n  mend:  bgctl health shop\n";
        desk.ends(line, 1, "", told).await;
        let json = format!("{}\n", serde_json::to_string(&refusal).unwrap());
        desk.ends(&format!("{line} --json"), 1, "", &json).await;
    }
}

#[tokio::test]
async fn where_a_person_has_to_agree_the_one_at_the_terminal_is_asked() {
    let question = "\nSwitch shop: blue → green? [y/N] ";
    for (typed, agrees) in [("y\n", true), ("YES\n", true), ("\n", false), ("n\n", false), ("", false)] {
        let mut desk = Desk::answering([not_agreed(), done()]);
        desk.person = Some(typed);
        let mut plan = plan();
        plan.gates.push(shut("confirmation", "a person has to agree", "--yes"));
        desk.script.lines().plan = Some(plan);
        let ran = desk.run("switch shop --reason x").await;
        let (shown, rest) = ran.out.split_once(question).unwrap_or_else(|| panic!("{typed:?}: {}", ran.out));
        assert!(shown.starts_with("shop: blue (1.3) → green (1.4)  plan 7.3f2a\n"), "{shown}");
        let orders = desk.script.lines().orders.clone();
        if agrees {
            assert_eq!((ran.code, rest), (0, SWITCHED), "{typed:?}: {}", ran.err);
            let expected =
                SwitchOrder { agreed: true, plan: "7.3f2a".parse().ok(), ..SwitchOrder::default() };
            assert_eq!(orders[1].verb, Verb::Switch(expected), "what was shown is what is ordered");
            assert_eq!(orders[1].reason.as_deref(), Some("x"));
        } else {
            assert_eq!((ran.code, rest, orders.len()), (1, "", 1), "{typed:?}: {}", ran.err);
            assert!(ran.err.contains("nobody agreed") && ran.err.contains("--yes"), "{}", ran.err);
        }
    }
}

#[tokio::test]
async fn nobody_is_asked_who_cannot_answer_or_whose_answer_would_change_nothing() {
    let rows = [
        // (a person is there, what is typed, another gate is shut, orders)
        (false, "switch", false, 1),
        (true, "switch --json", false, 1),
        (true, "switch", true, 1),
        (true, "switch --yes", false, 1),
    ];
    for (there, line, other, orders) in rows {
        let mut desk = Desk::answering([not_agreed()]);
        desk.person = there.then_some("y\n");
        let mut plan = plan();
        plan.gates.push(shut("confirmation", "a person has to agree", "--yes"));
        if other {
            plan.gates.push(shut("health", "green is down", "bgctl health"));
        }
        desk.script.lines().plan = Some(plan);
        let ran = desk.run(line).await;
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}");
        assert!(
            ran.err.contains("a person has to agree") && ran.err.contains("--yes"),
            "{line}: {}",
            ran.err
        );
        assert_eq!(desk.script.lines().orders.len(), orders, "{line}");
    }

    // A gate that the order overrides is not in the way.
    let mut desk = Desk::answering([not_agreed(), done()]);
    desk.person = Some("y\n");
    let mut plan = plan();
    plan.gates
        .extend([shut("health", "green is down", "-"), shut("confirmation", "a person has to agree", "-")]);
    desk.script.lines().plan = Some(plan);
    assert_eq!(desk.run("switch --force=health").await.code, 0);
}

#[tokio::test]
async fn waiting_ends_when_the_old_colour_is_empty() {
    let desk = Desk::answering([done()]);
    desk.script.lines().statuses = [vec![busy()], vec![busy()], vec![idle()]].into();
    desk.prints("switch --wait", &format!("{SWITCHED}shop: no flow is left on blue\n")).await;
    assert_eq!(desk.script.lines().statuses.len(), 1, "it looked until nothing drained");

    desk.script.lines().statuses = [vec![busy()], vec![idle()]].into();
    let (code, told) = desk.json("switch --wait").await;
    assert_eq!((code, &told["generation"]), (0, &json!(8)));

    desk.script.lines().statuses = [vec![idle()]].into();
    assert_eq!(desk.run("rollback --wait --wait-for 1h").await.code, 0);
}

#[tokio::test]
async fn whoever_waits_hears_that_the_switch_was_taken_back_and_why() {
    let frozen = Freeze { why: "green failed: 0 of 3 up".to_owned(), since: 0, automatic: true };
    for (frozen, why) in [(Some(frozen), ": green failed: 0 of 3 up"), (None, "")] {
        let desk = Desk::answering([done()]);
        let back = Deployment { live: BLUE, generation: 9, frozen, ..busy() };
        desk.script.lines().statuses = [vec![busy()], vec![back]].into();
        let told = format!(
            "bgctl: the switch to green was taken back{why}\n  \
             where: deployment shop, blue live, generation 9\n  \
             mend:  bgctl history shop tells who did it and why\n"
        );
        desk.ends("switch --wait", 1, SWITCHED, &told).await;
    }
}

#[tokio::test]
async fn waiting_ends_with_5_when_its_time_is_over() {
    let desk = Desk::answering([done()]);
    desk.script.lines().statuses = [vec![busy()]].into();
    let told = "bgctl: 640 flows are left on blue after 0s\n  where: deployment shop, green live\n  \
                mend:  wait longer, see `bgctl flows shop --colour blue`, or: bgctl drain end shop\n";
    desk.ends("switch --wait --wait-for 20ms", 5, SWITCHED, told).await;
    let ran = desk.run("switch --wait --wait-for 0s --json").await;
    let refusal: Refusal = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.code, refusal.code.as_str()), (5, "still-draining"));
}

#[tokio::test]
async fn whoever_looks_on_sees_what_is_waited_for() {
    let mut desk = Desk::answering([done()]);
    desk.person = Some("");
    desk.script.lines().statuses = [vec![busy()], vec![idle()]].into();
    let ran = desk.run("switch --wait").await;
    let line = "\r\x1b[Kshop: waiting for 640 flows on blue, the oldest 2h 3m old  0s\r\x1b[K";
    assert_eq!((ran.code, ran.err.as_str()), (0, line));
}

#[tokio::test]
async fn a_deployment_that_goes_away_is_not_waited_for() {
    let desk = Desk::answering([done()]);
    desk.script.lines().statuses = [vec![busy()], vec![]].into();
    let ran = desk.run("switch --wait").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("shop is gone"), "{}", ran.err);
}

#[tokio::test]
async fn a_drill_tells_both_ways_and_how_it_ended() {
    let there = Switched { staying: Some(3), ..plain() };
    let back = Switched { from: GREEN, to: BLUE, generation: 9, staying: Some(1), ..plain() };
    let ways = "shop: blue → green  generation 8  (661 ns; 3 flows stay on blue)\n\
                shop: green → blue  generation 9  (661 ns; 1 flow stays on green)\n";
    let drilled = |passed, why: Option<&str>| Drilled {
        passed,
        why: why.map(str::to_owned),
        there: Some(there.clone()),
        back: Some(back.clone()),
        held_ms: 30_004,
    };
    let rows = [
        (drilled(true, None), 0, "the drill went well: the standby was live for 30.0s\n"),
        (
            drilled(false, Some("the VIP answered from blue")),
            1,
            "the drill FAILED: the VIP answered from blue (the standby was live for 30.0s)\n",
        ),
    ];
    for (drilled, code, end) in rows {
        let desk = Desk::answering([Ok(Done::Drilled(Box::new(drilled.clone())))]);
        desk.ends("drill shop --hold 2s --force=passive", code, &format!("{ways}{end}"), "").await;
        let force = Force::Gates(vec!["passive".to_owned()]);
        assert_eq!(desk.ordered().verb, Verb::Drill { hold: Duration::from_secs(2), force });
        assert_eq!(desk.json("drill").await, (code, serde_json::to_value(&drilled).unwrap()));
    }
}

#[tokio::test]
async fn what_needs_the_daemon_says_so_offline() {
    let desk = Desk::new();
    let lines = [
        "plan",
        "stage --version 1",
        "freeze --reason x",
        "unfreeze",
        "drain",
        "drain end",
        "health",
        "health up --colour blue",
        "drill",
        "events",
        "drift",
        "switch --wait",
        "rollback --wait",
    ];
    for line in lines {
        let ran = desk.run(&format!("{line} --offline --json")).await;
        let refusal: Refusal = serde_json::from_str(&ran.err).unwrap();
        assert_eq!((ran.code, refusal.code.as_str()), (1, "needs-daemon"), "{line}");
        assert!(refusal.mend.contains("systemctl start bgd"), "{line}");
    }
}

#[tokio::test]
async fn a_rollback_that_ends_a_drill_says_so() {
    let what = "the drill is over, and its way back under way".to_owned();
    let changed = Done::Changed { deployment: "shop".to_owned(), generation: 7, what };
    let desk = Desk::answering([Ok(changed)]);
    let run = desk.run("rollback").await;
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(run.out, "shop: the drill is over, and its way back under way  generation 7\n");
}
