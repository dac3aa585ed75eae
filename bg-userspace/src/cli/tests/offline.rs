//! Orders without a daemon: changes of the word that the kernel itself obeys.

use super::desk::{Desk, GREEN, entry, operator};
use super::{Pinned, flow};
use crate::api::protocol::{Record, Role, What};
use crate::dataplane::fake::Fake;
use crate::model::record::Cause;
use crate::notify::notice;
use crate::refusal::Refusal;
use bg_common::word::{Fate, Fields};
use bg_common::{Colour, Tick, Word};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::time::Duration;

const BLUE: Colour = Colour::Blue;

/// A machine without a daemon, whose word is this.
fn pinned(word: Word) -> (Desk, Fake) {
    let fake = Fake::with_words(&[("shop", word)]);
    fake.state().flows = vec![flow(1, BLUE), flow(2, BLUE), flow(3, GREEN)];
    let mut desk = Desk::new();
    desk.kernel = Pinned(Some(fake.clone()));
    (desk, fake)
}

fn fields(fake: &Fake) -> Fields {
    fake.state().words["shop"].unpack().unwrap()
}

fn first() -> Word {
    Word::initial(BLUE)
}

/// The tick so many seconds from here.
fn in_seconds(seconds: u64) -> u32 {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    Tick::from_nanos(u64::try_from(now.as_nanos()).unwrap()).0 + Tick::in_seconds(seconds)
}

/// A switch to green that waits for its confirmation for so long.
fn unconfirmed(seconds: u64) -> Word {
    first().switched(GREEN, Fate::Keep, Some(in_seconds(seconds))).unwrap()
}

const NO_GATE: &str = "bgctl: without the daemon no gate was asked, and nothing watches what follows\n";
const NO_GATE_EITHER: &str = "bgctl: without the daemon no gate was asked\n";

#[tokio::test]
async fn a_switch_says_that_no_gate_was_asked() {
    let (desk, fake) = pinned(first());
    let line = "shop: blue → green  generation 1  (3 ns; 2 flows stay on blue)\n";
    desk.ends("switch --offline", 0, line, NO_GATE).await;
    desk.ends("switch --offline --to green", 0, "shop: green is live already  generation 1\n", "").await;
    let line = "shop: green → blue  generation 2  (3 ns; 1 flow stays on green)\n";
    desk.ends("rollback --offline shop --fate reset", 0, line, NO_GATE).await;
    let Fields { live, draining, fate, generation, .. } = fields(&fake);
    assert_eq!((live, draining, fate, generation), (BLUE, true, Fate::Reset, 2));
    let (code, told) = desk.json("switch --offline --plan 2.3f2a").await;
    assert_eq!((code, &told["to"], &told["staying"]), (0, &json!("green"), &json!(2)));
}

#[tokio::test]
async fn a_switch_that_waits_for_its_confirmation_is_kept_by_the_kernel_alone() {
    let (desk, fake) = pinned(first());
    let told = "shop: blue → green  generation 1  (3 ns; 2 flows stay on blue)\n\
                next  it goes back in 2m unless: bgctl --offline confirm shop\n";
    desk.ends("switch --offline --confirm-within 2m", 0, told, NO_GATE).await;
    let Fields { revert_at_deadline, deadline, .. } = fields(&fake);
    assert!(revert_at_deadline && deadline.abs_diff(in_seconds(120)) < 80, "{deadline} ticks");
    let (_, status) = desk.json("status --offline").await;
    let left = status["deployments"][0]["confirm_left_s"].as_u64().unwrap();
    assert!((110..=120).contains(&left), "{left}");

    desk.ends("confirm --offline shop", 0, "shop: the switch stays  generation 2\n", NO_GATE_EITHER).await;
    let Fields { live, revert_at_deadline, deadline, .. } = fields(&fake);
    assert_eq!((live, revert_at_deadline, deadline), (GREEN, false, 0));
    let ran = desk.run("confirm --offline --json").await;
    let refusal: Refusal = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.code, refusal.code.as_str()), (1, "nothing-to-confirm"));
}

#[tokio::test]
async fn new_flows_are_held_and_let_go_on() {
    let (desk, fake) = pinned(first());
    desk.ends(
        "pause --offline --for 20s",
        0,
        "shop: new flows are held for 20s  generation 1\n",
        NO_GATE_EITHER,
    )
    .await;
    let Fields { paused, resume_at_deadline, deadline, live, .. } = fields(&fake);
    assert!(paused && resume_at_deadline && deadline.abs_diff(in_seconds(20)) < 80);
    assert_eq!(live, BLUE);
    let out = desk.run("status --offline").await.out;
    assert!(out.contains("paused") && out.contains("at once: bgctl --offline resume shop"), "{out}");

    // Whoever holds new flows lets them go on, also after a switch.
    assert_eq!(desk.run("switch --offline").await.code, 0);
    assert!(fields(&fake).paused && fields(&fake).resume_at_deadline);
    desk.ends("resume --offline", 0, "shop: new flows go on  generation 3\n", NO_GATE_EITHER).await;
    assert!(!fields(&fake).paused);
    desk.ends("resume --offline", 0, "shop: new flows were not held  generation 3\n", "").await;
}

#[tokio::test]
async fn the_one_deadline_of_a_word_is_not_taken_away() {
    let paused = first().paused(Some(in_seconds(20))).unwrap();
    for (word, line) in
        [(unconfirmed(60), "pause --offline --for 5s"), (paused, "switch --offline --confirm-within 1m")]
    {
        let (desk, fake) = pinned(word);
        let ran = desk.run(&format!("{line} --json")).await;
        let refusal: Refusal = serde_json::from_str(&ran.err).unwrap();
        assert_eq!((ran.code, refusal.code.as_str()), (1, "one-deadline"), "{line}");
        assert_eq!(fake.state().words["shop"], word, "{line}");
    }
    let (desk, fake) = pinned(unconfirmed(60));
    assert_eq!(desk.run("rollback --offline").await.code, 0);
    let Fields { live, revert_at_deadline, deadline, .. } = fields(&fake);
    assert_eq!((live, revert_at_deadline, deadline), (BLUE, false, 0), "it does not go back once more");
}

#[tokio::test]
async fn past_its_deadline_a_word_is_what_the_programs_make_of_it() {
    // Nobody has confirmed: blue is live again, whatever the word says outright.
    let late = first().switched(GREEN, Fate::Keep, Some(1)).unwrap();
    let (desk, fake) = pinned(late);
    let (_, status) = desk.json("status --offline").await;
    let shop = &status["deployments"][0];
    assert_eq!((&shop["live"], &shop["draining"]), (&json!("blue"), &json!(true)));
    assert_eq!((&shop["drain"]["open"], &shop["confirm_left_s"]), (&json!(1), &json!(null)));
    assert_eq!(desk.run("confirm --offline").await.code, 1, "it comes too late");
    let (_, told) = desk.json("switch --offline").await;
    assert_eq!(
        (&told["from"], &told["to"], &told["generation"]),
        (&json!("blue"), &json!("green"), &json!(2))
    );
    assert_eq!((fields(&fake).live, fields(&fake).deadline), (GREEN, 0));
}

#[tokio::test]
async fn what_makes_no_sense_offline_is_refused_and_changes_nothing() {
    let broken = Word::from_bits(0b11 << 4);
    let rows = [
        (first(), "rollback", "nothing-to-roll-back"),
        (first(), "switch --plan 3.3f2a", "gate-plan"),
        (first(), "switch --bake 5m", "needs-daemon"),
        (first(), "switch shpo", "unknown-deployment"),
        (first(), "confirm shpo", "unknown-deployment"),
        (first(), "pause --for 2h", "bad-request"),
        (broken, "switch", "broken-word"),
        (broken, "confirm", "broken-word"),
    ];
    for (word, line, code) in rows {
        let (desk, fake) = pinned(word);
        let ran = desk.run(&format!("{line} --offline --json")).await;
        let refusal: Refusal =
            serde_json::from_str(&ran.err).unwrap_or_else(|_| panic!("{line}: {}", ran.out));
        assert_eq!((ran.code, refusal.code.as_str()), (1, code), "{line}");
        assert_eq!(fake.state().words["shop"], word, "{line}");
    }
}

#[tokio::test]
async fn what_was_done_without_the_daemon_is_written_down_all_the_same() {
    let (mut desk, _) = pinned(first());
    desk.user = Some("alice");
    desk.script.lines().history.entries = vec![entry(7, 48, operator(), None, What::Unfrozen)];
    let line = "shop: blue (1.3) → green (1.4)  generation 1  (3 ns; 2 flows stay on blue)\n";
    desk.ends("switch --offline --reason 'at night'", 0, line, NO_GATE).await;
    for line in ["pause --offline --for 5s", "resume --offline", "rollback --offline --reason back"] {
        assert_eq!(desk.run(line).await.code, 0, "{line}");
    }
    let written = std::mem::take(&mut desk.script.lines().written);
    let kinds: Vec<_> = written.iter().map(|entry| notice::kind(&entry.record.what)).collect();
    assert_eq!(kinds, ["switched", "paused", "resumed", "switched"]);
    let Record { live, generation, slices, actor, reason, what, .. } = &written[0].record;
    assert_eq!((*live, *generation, reason.as_deref()), (GREEN, 1, Some("at night")));
    let roles = slices.each_ref().map(|slice| (slice.role, slice.version.as_deref()));
    assert_eq!(roles, [(Role::Standby, Some("1.3")), (Role::Live, Some("1.4"))]);
    assert!(
        actor.client.as_deref().is_some_and(|client| client.ends_with(" --offline (alice)")),
        "{actor:?}"
    );
    assert!(matches!(what, What::Switched { cause: Cause::Switch, .. }));
    assert!(matches!(written[3].record.what, What::Switched { cause: Cause::Rollback, .. }));
    assert!(written.iter().all(|entry| entry.memory.is_none()), "what the daemon remembers is its own");
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_nothing() {
    let (mut desk, fake) = pinned(first());
    desk.full_disk = true;
    let line = "shop: blue → green  generation 1  (3 ns; 2 flows stay on blue)\n";
    let told = "bgctl: it is done, but the journal does not know: the disk is full\n  where: /var/lib/bg\n  mend:  free some\n";
    desk.ends("switch --offline", 0, line, &format!("{NO_GATE}{told}")).await;
    assert_eq!(fields(&fake).live, GREEN);
}
