//! History and events: what is asked for, what is shown, and how it goes on.

use super::desk::{BLUE, Desk, GREEN, NOW, entry, operator, switched};
use crate::api::archive::{Archive, NoArchive};
use crate::api::protocol::{Entry, History, HistoryQuery, Kinds, Record, Remembered, Then, Verified, What};
use crate::model::order::{Actor, Drilled, Proof, Who};
use crate::model::record::{Cause, TargetName};
use serde_json::json;

fn bg() -> Actor {
    Actor::default()
}

/// One record of each kind, and what is said of it.
fn every_kind() -> Vec<(Entry, &'static str)> {
    let switched = || switched();
    let proof = Proof { first_new_us: Some(812), ..Proof::default() };
    let of =
        TargetName { of: "backend".to_owned(), colour: Some(GREEN), address: Some([10, 2, 0, 2].into()) };
    let stranger = Actor { who: Who::Unknown, ..Actor::default() };
    let nameless = Actor { user: None, client: None, ..operator() };
    let direct = Actor { client: Some("curl/8".to_owned()), ..operator() };
    let text = |text: &str| text.to_owned();
    let drilled = |passed, why: Option<&str>| Drilled {
        passed,
        why: why.map(text),
        there: None,
        back: None,
        held_ms: 30_000,
    };
    let rows = vec![
        (
            bg(),
            None,
            What::Started { found: text("as-remembered"), word: 1 },
            "the daemon took over, green is live: all is as it was",
        ),
        (
            operator(),
            Some("release 7"),
            What::About {
                cause: Cause::Switch,
                from: BLUE,
                to: GREEN,
                expected: 0,
                new: 1,
                overridden: vec![text("health")],
            },
            "about to switch blue → green, over health — alice as root: \"release 7\"",
        ),
        (
            operator(),
            Some("release 7\nforged"),
            What::Switched { cause: Cause::Switch, switched: switched(), overridden: Vec::new() },
            "blue (1.3) → green (1.4), generation 8, in 661 ns, 812 flows stayed — alice as root: \"release 7\\nforged\"",
        ),
        (
            bg(),
            None,
            What::Switched { cause: Cause::AutoRollback, switched: switched(), overridden: Vec::new() },
            "blue (1.3) → green (1.4), taken back because it failed while it was watched, generation 8, in 661 ns, 812 flows stayed",
        ),
        (
            nameless,
            None,
            What::NotSwitched { cause: Cause::Rollback, to: BLUE, why: text("contended") },
            "not switched to blue by rollback: contended — user 0",
        ),
        (
            direct,
            None,
            What::Refused { order: text("switch"), gates: vec![text("frozen")], why: text("sale") },
            "switch refused by frozen: sale — root",
        ),
        (bg(), None, What::Baked { seconds: 300 }, "green stayed healthy while it was watched, for 5m"),
        (operator(), None, What::Confirmed, "the switch was confirmed — alice as root"),
        (
            bg(),
            None,
            What::Proved { proof },
            "proved: green got its first new flow 812.0 µs after the switch",
        ),
        (bg(), None, What::Proved { proof: Proof::default() }, "nothing is proved about the switch"),
        (bg(), None, What::Drained { colour: BLUE }, "drained: no flow is left on blue"),
        (
            bg(),
            None,
            What::DrainEnded { colour: BLUE, fate: text("reset"), left: Some(1) },
            "the drain of blue was ended: 1 flow left, fate reset",
        ),
        (
            operator(),
            None,
            What::DrainExtended { seconds: 600 },
            "the drain was extended, to 10m from then — alice as root",
        ),
        (
            operator(),
            None,
            What::Staged { colour: BLUE, version: Some(text("1.5")), gave_up_rollback: true, hotfix: false },
            "1.5 staged on blue, giving up the rollback — alice as root",
        ),
        (operator(), Some("sale"), What::Frozen { why: text("sale") }, "frozen: sale — alice as root"),
        (operator(), None, What::Unfrozen, "unfrozen — alice as root"),
        (operator(), None, What::Paused { seconds: 20 }, "new flows held for 20s — alice as root"),
        (bg(), None, What::Resumed { by_deadline: true }, "new flows go on: the pause is over"),
        (
            operator(),
            None,
            What::Canary { colour: GREEN, share: 50, was: 0, overridden: vec![text("health")] },
            "a canary leads 5 % of new flows to green, 0 % before, over health — alice as root",
        ),
        (
            bg(),
            None,
            What::Canary { colour: GREEN, share: 0, was: 55, overridden: Vec::new() },
            "the canary of 5.5 % is over",
        ),
        (
            operator(),
            None,
            What::Preview {
                change: text("added"),
                prefix: "203.0.113.0/24".parse().ok(),
                to: Some(bg_common::Aim::Other),
            },
            "preview added: clients of 203.0.113.0/24 are led to other — alice as root",
        ),
        (
            operator(),
            None,
            What::Preview { change: text("removed"), prefix: "2001:db8::/32".parse().ok(), to: None },
            "preview removed: clients of 2001:db8::/32 see what all others do — alice as root",
        ),
        (
            bg(),
            None,
            What::Preview { change: text("begun"), prefix: None, to: None },
            "the use of preview rules has begun",
        ),
        (
            bg(),
            None,
            What::Probe { probe: text("web"), target: of, up: false, why: Some(text("refused")) },
            "green 10.2.0.2 is DOWN, says web: refused",
        ),
        (
            bg(),
            None,
            What::Slice { colour: GREEN, healthy: false, why: text("0 of 3 up") },
            "green is UNHEALTHY: 0 of 3 up",
        ),
        (
            operator(),
            None,
            What::Override { colour: GREEN, backend: None, state: text("down") },
            "green is down by order — alice as root",
        ),
        (
            stranger,
            None,
            What::Drift { seen: 7 << 18, actual: 9 << 18, actual_live: BLUE },
            "somebody else changed the word: blue is live, generation 7 → 9 — somebody unknown",
        ),
        (
            bg(),
            None,
            What::BrokenWord { word: 0x30, why: text("bits 4-5 hold no fate") },
            "the word 0x0000000000000030 makes no sense: bits 4-5 hold no fate",
        ),
        (
            bg(),
            None,
            What::Drilled { drilled: Box::new(drilled(true, None)) },
            "a drill went well: the standby was live for 30.0s",
        ),
        (
            bg(),
            None,
            What::Drilled { drilled: Box::new(drilled(false, Some("late"))) },
            "a drill FAILED: late (the standby was live for 30.0s)",
        ),
        (
            bg(),
            None,
            What::Hook {
                hook: text("smoke"),
                phase: text("before"),
                ok: false,
                output: text("no"),
                millis: 1_500,
            },
            "hook smoke (before) did NOT agree after 1.5s: no",
        ),
        (
            bg(),
            None,
            What::JournalGap { lost: 3, since: 7, why: text("there is no space left") },
            "GAP: 3 entries are missing: there is no space left",
        ),
        (
            bg(),
            None,
            What::JournalRebuilt { why: text("it was corrupt"), aside: Some(text("/x.old")) },
            "the journal begins anew: it was corrupt; the old one is /x.old",
        ),
    ];
    let entry = |(index, (actor, reason, what, said))| {
        let (seq, ago): (u64, i64) = (index, 60 * (40 - i64::try_from(index).unwrap()));
        (entry(seq + 1, ago, actor, reason, what), said)
    };
    (0..).zip(rows).map(entry).collect()
}

#[tokio::test]
async fn history_tells_every_kind_of_record_in_a_sentence() {
    let desk = Desk::new();
    let (entries, said): (Vec<_>, Vec<_>) = every_kind().into_iter().unzip();
    let kinds: std::collections::BTreeSet<_> = entries.iter().map(Entry::kind).collect();
    let known = crate::notify::spec::KINDS.iter().copied().collect();
    assert_eq!(kinds, known, "a sample of every kind");
    desk.script.lines().history.entries = entries.clone();
    let out = desk.run("history").await.out;
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("TIME                 DEPLOYMENT  WHAT"));
    for (line, said) in lines.by_ref().zip(&said) {
        assert_eq!(line.split_once("  shop        ").map(|(_, what)| what), Some(*said), "{out}");
    }
    assert!(out.contains("2026-11-24 09:20:00  shop        the daemon took over"), "{out}");

    let (code, history) = desk.json("history").await;
    let history: History = serde_json::from_value(history).unwrap();
    assert_eq!((code, history), (0, History { entries, more: false }), "it reads back as it was written");
}

#[tokio::test]
async fn history_asks_for_what_is_typed_in_local_time() {
    let now = u64::try_from(NOW).unwrap();
    let none = || HistoryQuery { limit: Some(50), ..HistoryQuery::default() };
    let kind = |names: &[&str]| Kinds(names.iter().map(|name| (*name).to_owned()).collect());
    let rows = [
        ("history", none()),
        (
            "history shop --limit 3",
            HistoryQuery { deployment: Some("shop".to_owned()), limit: Some(3), ..none() },
        ),
        ("history --since '2h ago'", HistoryQuery { since: Some(now - 7200), ..none() }),
        (
            "history --since 03:12 --until '2026-11-24 04:12'",
            HistoryQuery { since: Some(now - 24_480), until: Some(now - 20_880), ..none() },
        ),
        (
            "history --kind switched,drained --kind frozen",
            HistoryQuery { kind: kind(&["switched", "drained", "frozen"]), ..none() },
        ),
    ];
    for (line, expected) in rows {
        let desk = Desk::new();
        // Of a name that nobody knows that is no answer.
        let ends = if expected.deployment.is_some() { (1, "") } else { (0, "nothing happened\n") };
        let ran = desk.run(line).await;
        assert_eq!((ran.code, ran.out.as_str()), ends, "{line}");
        assert_eq!(desk.script.lines().asked.first(), Some(&expected), "{line}");
        let ran = desk.run(&format!("{line} --offline")).await;
        assert_eq!((ran.code, ran.out.as_str()), ends, "{line}");
        let asked = desk.script.lines().asked.clone();
        let same = asked.iter().filter(|query| **query == expected).count();
        assert_eq!(same, 2, "the journal's file is asked the same: {asked:?}");
    }
    let ran = Desk::new().run("history --since 90y").await;
    assert!(ran.code == 1 && ran.err.contains("beyond any journal"), "{}", ran.err);
}

#[tokio::test]
async fn a_long_history_is_cut_at_its_old_end() {
    let desk = Desk::new();
    let entries =
        (1..=5).map(|seq| entry(seq, 100 - i64::try_from(seq).unwrap(), bg(), None, What::Unfrozen));
    desk.script.lines().history.entries = entries.collect();
    let out = desk.run("history --limit 2").await.out;
    assert_eq!(out.matches("unfrozen").count(), 2);
    assert!(out.ends_with("… the newest 2; older ones: --limit N, or --until TIME\n"), "{out}");
}

#[tokio::test]
async fn the_past_is_shown_as_it_was() {
    let at = entry(7, 48, operator(), None, What::Unfrozen);
    let record = Record { deployment: "api".to_owned(), live: BLUE, ..at.record.clone() };
    let now = u64::try_from(NOW).unwrap();
    let other = Then { live_since: now - 60, or_longer: false, entry: Entry { record, ..at.clone() } };
    let shop = Then { live_since: now - 86_400, or_longer: true, entry: at };
    let remembered = Remembered { time: 1, deployments: vec![other, shop] };
    for offline in ["", " --offline"] {
        let desk = Desk::new();
        desk.script.lines().remembered = Some(remembered.clone());
        let expected = "\
DEPLOYMENT  LIVE   GENERATION  BLUE         GREEN     LIVE SINCE
api         blue            8  1.3 standby  1.4 live  09:59
shop        green           8  1.3 standby  1.4 live  2026-11-23 10:00, or longer
";
        desk.prints(&format!("history --at 03:12{offline}"), expected).await;
        let (_, told) = desk.json(&format!("history shop --at 03:12{offline}")).await;
        assert_eq!(told["deployments"].as_array().unwrap().len(), 1);
        assert_eq!(told["deployments"][0]["live"], "green");
    }
}

#[tokio::test]
async fn whether_the_journal_is_whole_decides_the_exit_code() {
    let whole = Verified {
        whole: true,
        entries: 1_204,
        first_seq: Some(1),
        last_seq: Some(1_204),
        head: Some("9f86d0".to_owned()),
        broken_seq: None,
        why: None,
    };
    let broken = Verified {
        whole: false,
        broken_seq: Some(77),
        why: Some("its digest does not fit".to_owned()),
        ..whole.clone()
    };
    let rows = [
        (whole, 0, "the journal is whole: 1204 entries, 1 to 1204\ndigest of the last one: 9f86d0\n"),
        (broken, 1, "the journal is NOT whole at entry 77: its digest does not fit\n"),
    ];
    for (verified, code, expected) in rows {
        for offline in ["", " --offline"] {
            let desk = Desk::new();
            desk.script.lines().verified = Some(verified.clone());
            desk.ends(&format!("history --verify{offline}"), code, expected, "").await;
            let json = desk.json(&format!("history --verify{offline}")).await;
            assert_eq!(json, (code, serde_json::to_value(&verified).unwrap()));
        }
    }
}

#[tokio::test]
async fn events_begin_with_the_newest_of_the_past() {
    let desk = Desk::new();
    let entries =
        (1..=12).map(|seq| entry(seq, 100 - i64::try_from(seq).unwrap(), bg(), None, What::Unfrozen));
    desk.script.lines().history.entries = entries.collect();
    let out = desk.run("events").await.out;
    assert_eq!(out.lines().count(), 10);
    assert!(out.starts_with("2026-11-24 09:58:23  shop  unfrozen\n"), "{out}");
    let out = desk.run("events --limit 2 --json").await.out;
    let seqs: Vec<_> =
        out.lines().map(|line| serde_json::from_str::<Entry>(line).unwrap().seq.unwrap()).collect();
    assert_eq!(seqs, [11, 12]);
    desk.prints("events api", "").await;
}

#[tokio::test]
async fn events_are_followed_as_they_happen_without_gap_or_repetition() {
    let desk = Desk::new();
    desk.script.lines().history.entries = vec![entry(7, 48, operator(), Some("late"), What::Confirmed)];
    let script = desk.script.clone();
    let tell = tokio::spawn(async move {
        until(|| script.followers() == 1).await;
        let line = |seq, what| serde_json::to_string(&entry(seq, 0, bg(), None, what)).unwrap();
        script.tell(&line(7, What::Confirmed));
        script.tell(&line(8, What::Drained { colour: BLUE }));
        script.tell(r#"{"kind":"lagged","lost":3}"#);
        script.tell(&line(12, What::Unfrozen));
        let foreign = json!({"seq": 13, "deployment": "shop", "kind": "newer\u{7}", "at": "x"});
        script.tell(&foreign.to_string());
        script.lines().feed = None;
    });
    let expected = "\
2026-11-24 09:59:12  shop  the switch was confirmed — alice as root: \"late\"
2026-11-24 10:00:00  shop  drained: no flow is left on blue
… 3 events came too fast: `bgctl history` has them
2026-11-24 10:00:00  shop  unfrozen
{\"at\":\"x\",\"deployment\":\"shop\",\"kind\":\"newer\\u0007\",\"seq\":13}
";
    let ran = desk.run("events --follow").await;
    assert_eq!((ran.code, ran.out.as_str()), (3, expected), "{}", ran.err);
    assert!(ran.err.starts_with("bgctl: the daemon has ended"), "{}", ran.err);
    tell.await.unwrap();
}

#[tokio::test]
async fn only_the_events_that_are_wanted_are_followed() {
    let desk = Desk::new();
    let script = desk.script.clone();
    let tell = tokio::spawn(async move {
        until(|| script.followers() == 1).await;
        for (seq, deployment, what) in
            [(1, "api", What::Unfrozen), (2, "shop", What::Confirmed), (3, "shop", What::Unfrozen)]
        {
            let mut entry = entry(seq, 0, bg(), None, what);
            entry.record.deployment = deployment.to_owned();
            script.tell(&serde_json::to_string(&entry).unwrap());
        }
        script.lines().feed = None;
    });
    let expected = "2026-11-24 10:00:00  shop  unfrozen\n";
    let ran = desk.run("events shop --follow --kind unfrozen,drained").await;
    assert_eq!((ran.code, ran.out.as_str()), (3, expected), "{}", ran.err);
    tell.await.unwrap();
}

#[test]
fn kinds_that_do_not_exist_are_usage_errors() {
    use clap::Parser;
    for line in [
        "history --kind swichted",
        "events --kind nothing",
        "history --at 25:00",
        "history --verify --limit 3",
    ] {
        let error = super::Cli::try_parse_from(["bgctl"].into_iter().chain(line.split(' '))).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

/// Waits until `so`, within reason.
async fn until(so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("it never came to that");
}

#[tokio::test]
async fn a_journal_that_is_not_there_is_said_to_be_missing() {
    let refusal = NoArchive.verify().await.unwrap_err();
    assert_eq!(refusal.code, "no-journal");
}

#[tokio::test]
async fn the_history_of_what_nobody_knows_is_refused() {
    let desk = Desk::new();
    let ran = desk.run("history shpo").await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("nothing about a deployment \"shpo\""), "{}", ran.err);
}
