//! The daemon ends, anywhere, and is started again; and so is the whole machine.

use super::world::*;
use crate::model::order::{RollbackOrder, SwitchOrder, Verb};
use crate::model::policy::{DrainLimit, FateChoice, NoBackend, Policy};
use crate::model::record::{Memory, What};
use crate::model::{Event, Moment};
use bg_common::Word;
use std::time::Duration;

/// Where `Started` says a daemon has found itself.
fn found(world: &World) -> String {
    let What::Started { found, .. } = &world.last("started").what else { panic!() };
    found.clone()
}

/// An order whose daemon dies when it has done so many effects of it.
fn killed(world: &mut World, verb: Verb, after: u32) {
    world.fuse = Some(after);
    world.give(verb);
    assert!(world.dead, "it was to die after {after} effects");
    world.told();
    world.restart();
}

#[test]
fn a_switch_that_is_killed_between_any_two_effects_ends_in_a_stated_state() {
    let switch = Verb::Switch(SwitchOrder { confirm_within: Some(seconds(60)), ..SwitchOrder::default() });
    // Effects: the journal, then the exchange, then what tells of it.
    let rows: [(u32, _, &str, &[&str]); 4] = [
        (0, BLUE, "as-remembered", &["started"]),
        (1, BLUE, "exchange-not-made", &["not-switched switch", "started"]),
        (2, GREEN, "exchange-completed", &["switched switch", "started"]),
        (3, GREEN, "as-remembered", &["started"]),
    ];
    for (after, live, wanted, told) in rows {
        let mut world = World::new(Policy { bake: Some(seconds(30)), ..policy() });
        world.stage(GREEN, "v2").unwrap();
        killed(&mut world, switch.clone(), after);
        assert_eq!((world.live(), found(&world).as_str()), (live, wanted), "after {after} effects");
        assert_eq!(world.told(), told, "after {after} effects");
        let view = world.view();
        assert_eq!(view.rollback.target.map(|it| it.colour), (live == GREEN).then_some(BLUE));
        assert_eq!(view.bake_left.is_some(), live == GREEN, "after {after} effects");
        assert_eq!(view.confirm_left.is_some(), live == GREEN);
        assert_eq!(view.slices[1].version.as_deref(), Some("v2"));
        world.pass(seconds(100));
        assert_eq!(world.live(), BLUE, "nobody has confirmed it");
        assert_eq!(world.view().frozen.is_some(), live == GREEN);
    }
}

#[test]
fn a_rollback_that_was_made_and_never_told_leaves_no_way_back() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    killed(&mut world, Verb::Rollback(RollbackOrder::default()), 2);
    assert_eq!((world.live(), found(&world).as_str()), (BLUE, "exchange-completed"));
    assert_eq!(world.view().rollback.target, None);
    assert_eq!(world.told()[0], "switched rollback");
}

#[test]
fn an_automatic_move_that_was_made_and_never_told_freezes() {
    for (policy, cause) in [
        (Policy { bake: Some(seconds(60)), ..probed() }, "auto-rollback"),
        (Policy { no_backend: NoBackend::FailOver, ..probed() }, "fail-over"),
    ] {
        for after in 1..=4 {
            let mut world = World::new(policy.clone());
            world.healthy(&[BLUE, GREEN]);
            world.go(GREEN).unwrap();
            let slices = world.configured[0].policy.slices.clone();
            let web = probe("web");
            for address in &slices[1][..1] {
                world.probe_as_often(&web, crate::model::policy::Target::Backend(GREEN, *address), false);
            }
            // Half of green is down, which is less than the quorum: what follows is under way.
            assert_eq!(world.live(), BLUE);
            let mut world = World::new(policy.clone());
            world.healthy(&[BLUE, GREEN]);
            world.go(GREEN).unwrap();
            let target = crate::model::policy::Target::Backend(GREEN, slices[1][0]);
            for _ in 0..2 {
                world.probed("web", target, bad());
            }
            // Serve, two records of verdicts, and then the change: the journal, the exchange, what is told.
            world.fuse = Some(3 + after);
            world.probed("web", target, bad());
            assert!(world.dead);
            let exchanged = world.live() == BLUE;
            assert_eq!(exchanged, after > 1, "{cause} {after}");
            world.restart();
            assert_eq!(world.view().frozen.is_some(), exchanged, "{cause} {after}");
            assert_eq!(
                world.view().rollback.target.map(|it| it.colour),
                match (cause, exchanged) {
                    ("auto-rollback", true) => None,
                    ("fail-over", true) => Some(GREEN),
                    _ => Some(BLUE),
                }
            );
        }
    }
}

#[test]
fn what_the_programs_did_while_the_daemon_was_away_is_written_down() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.told();
    world.now = world.now.after(seconds(60));
    world.restart();
    assert_eq!((world.live(), found(&world).as_str()), (BLUE, "went-back-while-away"));
    assert_eq!(world.told(), ["started", "switched unconfirmed", "frozen"]);
    assert_eq!(world.kernel["shop"].generation(), 2);
    assert_eq!(world.view().rollback.target, None);
}

#[test]
fn what_the_programs_did_is_told_even_if_only_the_word_was_written() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.told();
    world.now = world.now.after(seconds(31));
    world.fuse = Some(1);
    world.feed(Event::Timer);
    assert!(world.dead);
    assert_eq!(world.kernel["shop"].generation(), 2, "the word is settled, and nobody was told");
    world.restart();
    assert_eq!(world.told(), ["switched unconfirmed", "frozen", "started"]);
    assert!(world.view().frozen.is_some());
    assert_eq!(world.view().rollback.target, None);
}

#[test]
fn a_pause_and_a_confirmation_that_end_at_once_are_told_whole_or_not_at_all() {
    for after in 1..5 {
        let mut world = World::new(policy());
        world.confirmed_switch(30);
        world.write_word(|it| (it.paused, it.resume_at_deadline) = (true, true));
        world.now = world.now.after(seconds(31));
        world.fuse = Some(after);
        world.feed(Event::Timer);
        world.restart();
        assert!(world.kinds().contains(&"switched unconfirmed".to_owned()), "after {after} effects");
        let view = world.view();
        assert!(view.frozen.is_some() && view.rollback.target.is_none(), "after {after} effects");
        assert!(world.shop().watch.is_none(), "after {after} effects");
    }
}

#[test]
fn what_somebody_else_did_while_the_daemon_was_away_is_drift() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..policy() });
    world.go(GREEN).unwrap();
    world.told();
    world.kernel.insert("shop".to_owned(), word(|it| (it.draining, it.generation) = (true, 2)));
    world.restart();
    assert_eq!(world.told(), ["drift", "started"]);
    assert_eq!(found(&world), "changed-while-away");
    assert!(world.shop().watch.is_none());
    assert_eq!(world.view().rollback.target.unwrap().colour, GREEN, "green was live before that");
}

#[test]
fn a_drain_that_ended_and_was_not_told_ends_no_bake_time() {
    let mut world = World::new(Policy { bake: Some(seconds(600)), ..policy() });
    world.go(GREEN).unwrap();
    world.pass(seconds(3));
    world.sweep([0, 0]);
    world.fuse = Some(1);
    world.sweep([0, 0]);
    assert!(world.dead && !world.kernel["shop"].draining());
    world.restart();
    assert!(world.view().bake_left.is_some());
}

#[test]
fn a_deadline_that_passed_without_a_daemon_is_told_with_its_time() {
    let mut world = World::new(policy());
    let confirm_within = Some(seconds(60));
    world.switch(SwitchOrder { confirm_within, ..SwitchOrder::default() }).unwrap();
    world.now = Moment(world.now.0 + seconds(360));
    world.restart();
    assert_eq!(world.live(), BLUE);
    let late = world.last("switched unconfirmed").late_ms.unwrap();
    assert!((299_000..=300_000).contains(&late), "{late}");
    let (_, at) = world.view().last.unwrap();
    assert!((299..=300).contains(&(world.clock().unix - at)), "{at}");

    // In time it is told at once.
    let mut world = World::new(policy());
    world.switch(SwitchOrder { confirm_within, ..SwitchOrder::default() }).unwrap();
    world.pass(seconds(61));
    assert_eq!(world.last("switched unconfirmed").late_ms, None);
}

#[test]
fn the_bake_time_of_an_order_outlives_a_crash_anywhere_in_it() {
    let mut baked = 0;
    for after in 0..4 {
        let mut world = World::new(Policy { bake: Some(seconds(30)), ..policy() });
        let order = SwitchOrder { bake: Some(seconds(600)), ..SwitchOrder::default() };
        killed(&mut world, Verb::Switch(order), after);
        let left = world.view().bake_left;
        if world.live() == GREEN {
            assert!(left.is_some_and(|left| left > seconds(500)), "{after}: {left:?}");
            baked += 1;
        } else {
            assert_eq!(left, None, "{after}");
        }
    }
    assert_eq!(baked, 2, "once before the exchange was told, and once after");
}

#[test]
fn what_the_journal_remembers_late_counts_where_nothing_was_decided_since() {
    let mut world = World::new(Policy { bake: Some(seconds(600)), ..policy() });
    world.stage(GREEN, "1.4").unwrap();
    world.go(GREEN).unwrap();
    world.say(Verb::Freeze).unwrap();
    let (before, memories) = (world.view(), world.memories());
    let remembered = |world: &World| Event::Remembered {
        boot: "boot-1".to_owned(),
        memories: memories.clone().into_iter().collect(),
        doubt: world.doubt.clone(),
    };
    let blind = |world: &mut World| {
        world.journal.clear();
        world.durable = 0;
        world.must_be_frozen.clear();
        world.restart();
        assert_eq!((world.view().frozen, world.view().slices[1].version.clone()), (None, None));
    };

    blind(&mut world);
    world.feed(remembered(&world));
    let view = world.view();
    assert_eq!(
        (&view.frozen, &view.slices, &view.rollback),
        (&before.frozen, &before.slices, &before.rollback)
    );
    assert!(view.bake_left.is_some() && view.doubt.is_none(), "{view:?}");

    blind(&mut world);
    world.say(stage(BLUE, "1.5", true, false)).unwrap();
    world.feed(remembered(&world));
    let view = world.view();
    assert_eq!((view.slices[0].version.as_deref(), view.slices[1].version.clone()), (Some("1.5"), None));
    assert_eq!(view.frozen, before.frozen, "what is frozen stays so");
}

#[test]
fn roles_and_versions_of_a_journal_that_was_changed_are_marked() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    assert_eq!(world.view().doubt, None);
    world.doubt = Some("entry 7 is missing".to_owned());
    world.restart();
    assert_eq!(world.view().doubt.as_deref(), Some("entry 7 is missing"));
    assert!(world.rollback().is_ok(), "the kernel's word is the truth, and who needs a way back has one");
}

#[test]
fn tables_that_were_made_anew_are_as_after_a_boot() {
    let mut world = World::new(policy());
    world.confirmed_switch(3000);
    world.told();
    let anew = world.memories()["shop"].after_reboot();
    world.kernel.insert("shop".to_owned(), anew);
    world.restart();
    assert_eq!((world.live(), found(&world).as_str()), (BLUE, "came-back"));
    assert_eq!(world.told(), ["switched unconfirmed", "frozen", "started"]);
}

#[test]
fn what_was_ended_while_the_daemon_was_away_is_not_taken_for_tables_made_anew() {
    type End = fn(Word) -> Word;
    let canary = Verb::Canary { share: 50, force: crate::model::order::Force::Nothing };
    let rows: [(Verb, End); 2] = [
        (canary, |word| word.with_canary(0).unwrap()),
        (Verb::Pause { time: seconds(600) }, |word| word.resumed().unwrap()),
    ];
    for (verb, end) in rows {
        let mut world = World::new(policy());
        world.order(verb.clone()).unwrap();
        let ended = end(world.kernel["shop"]);
        world.kernel.insert("shop".to_owned(), ended);
        world.restart();
        assert_eq!(found(&world), "changed-while-away", "{verb:?}");
    }
}

#[test]
fn a_pending_switch_that_somebody_else_overtook_is_said_not_to_be_made() {
    let mut world = World::new(policy());
    world.fuse = Some(1);
    world.give(Verb::Switch(SwitchOrder::default()));
    world.kernel.insert("shop".to_owned(), word(|it| it.generation = 5));
    world.told();
    world.restart();
    assert_eq!(world.told(), ["drift", "not-switched switch", "started"]);
    assert_eq!(world.live(), BLUE);
}

#[test]
fn freeze_roles_watch_and_way_back_are_known_again() {
    let mut world = World::new(Policy { bake: Some(seconds(600)), ..policy() });
    world.stage(GREEN, "v2").unwrap();
    world.go(GREEN).unwrap();
    world.say(Verb::Freeze).unwrap();
    let before = world.view();
    world.restart();
    let after = world.view();
    assert_eq!(found(&world), "as-remembered");
    assert_eq!((after.slices, after.rollback.target), (before.slices, before.rollback.target));
    assert_eq!((after.frozen, after.bake_left), (before.frozen, before.bake_left));
}

#[test]
fn a_bake_time_that_ended_while_nobody_looked_goes_on_for_a_moment() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.now = world.now.after(seconds(300));
    world.restart();
    assert_eq!(world.view().bake_left, Some(seconds(30)));
    world.healthy(&[BLUE]);
    world.sick(GREEN);
    assert_eq!(world.live(), BLUE);
}

#[test]
fn a_start_with_nothing_known_of_health_changes_neither_rings_nor_live() {
    for no_backend in [NoBackend::Stay, NoBackend::FailOver, NoBackend::Refuse] {
        let mut world = World::new(Policy { bake: Some(seconds(600)), no_backend, ..probed() });
        world.healthy(&[BLUE, GREEN]);
        world.go(GREEN).unwrap();
        world.sick(BLUE);
        let target = crate::model::policy::Target::Backend(GREEN, address(GREEN, 1));
        world.probe_as_often(&probe("web"), target, false);
        assert_eq!(world.live(), GREEN);
        let (word, down, served) = (world.kernel["shop"], world.down.clone(), world.served);
        assert!(!down["shop"].is_empty());
        world.restart();
        world.pass(seconds(20));
        assert_eq!(
            (world.kernel["shop"], &world.down, world.served),
            (word, &down, served),
            "{no_backend:?}"
        );
        assert_eq!(
            world.view().slices.map(|it| it.healthy),
            [None, None],
            "what was remembered is no verdict"
        );
    }
}

#[test]
fn a_slice_between_the_quorums_stays_what_it_was_after_a_restart() {
    let slices = [BLUE, GREEN].map(|colour| (1..=3).map(|number| address(colour, number)).collect());
    let mut world = World::new(Policy { no_backend: NoBackend::FailOver, slices, ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    let one = crate::model::policy::Target::Backend(GREEN, address(GREEN, 1));
    world.probe_as_often(&probe("web"), one, false);
    assert_eq!(world.view().slices[1].healthy, Some(true), "two of three are no reason to call it failed");
    world.restart();
    assert_eq!(world.view().slices[1].healthy, None);
    world.healthy(&[BLUE]);
    for number in [2, 3] {
        let target = crate::model::policy::Target::Backend(GREEN, address(GREEN, number));
        world.probe_as_often(&probe("web"), target, true);
    }
    world.probe_as_often(&probe("web"), one, false);
    assert_eq!((world.live(), world.view().slices[1].healthy), (GREEN, Some(true)));
}

#[test]
fn the_deadline_of_a_drain_is_kept_and_not_given_to_another() {
    let limit = DrainLimit { after: seconds(600), fate: FateChoice::Reset };
    let mut world = World::new(Policy { drain_limit: Some(limit), ..policy() });
    world.go(GREEN).unwrap();
    world.pass(seconds(100));
    world.restart();
    assert_eq!(world.view().drain.unwrap().left, Some(seconds(500)));

    world.kernel.insert("shop".to_owned(), word(|it| (it.draining, it.generation) = (true, 2)));
    world.restart();
    assert_eq!(world.view().drain.unwrap().left, Some(seconds(600)), "this drain is another one");
}

#[test]
fn without_a_journal_the_word_says_what_there_is_to_say() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.durable = 0;
    world.restart();
    assert_eq!(found(&world), "new");
    assert_eq!(world.rollback().unwrap().to, BLUE);

    let mut world = World::new(policy());
    world.durable = 0;
    world.restart();
    assert_eq!(code(world.rollback()), "gate-rollback-target", "generation 0 was never switched");
}

#[test]
fn what_was_found_is_remembered_if_the_daemon_dies_at_once_again() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.durable = 0;
    world.restart();
    let started: Vec<&Memory> = world.journal.iter().map(|entry| &entry.memory).collect();
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].rollback.as_ref().map(|it| it.colour), Some(BLUE));
}

#[test]
fn after_a_reboot_the_journal_says_who_is_live() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..policy() });
    world.stage(GREEN, "v2").unwrap();
    world.go(GREEN).unwrap();
    world.say(Verb::Freeze).unwrap();
    world.told();
    world.reboot();
    assert_eq!((world.live(), found(&world).as_str()), (GREEN, "after-reboot"));
    assert_eq!(world.kernel["shop"], word(|it| (it.live, it.generation) = (GREEN, 2)));
    let view = world.view();
    assert_eq!(view.rollback.target.unwrap().colour, BLUE);
    assert_eq!(view.slices[1].version.as_deref(), Some("v2"));
    assert!(view.frozen.is_some());
    assert_eq!((view.drain, view.bake_left), (None, None));
    assert_eq!(world.told(), ["started"]);
    world.say(Verb::Unfreeze).unwrap();
    assert_eq!(world.rollback().unwrap().to, BLUE);
}

#[test]
fn a_switch_that_was_not_confirmed_before_a_reboot_has_gone_back() {
    let mut world = World::new(policy());
    world.confirmed_switch(3000);
    world.told();
    world.reboot();
    assert_eq!(world.live(), BLUE);
    assert_eq!(world.told(), ["switched unconfirmed", "frozen", "started"]);
    assert_eq!(world.view().rollback.target, None);
    world.restart();
    assert_eq!(found(&world), "as-remembered");
    assert!(world.view().frozen.is_some());

    // The same if a stranger made that switch.
    let mut world = World::new(policy());
    world.write_word(|it| (it.live, it.revert_at_deadline, it.deadline) = (GREEN, true, 99_999));
    world.reboot();
    assert_eq!((world.live(), world.view().frozen.is_some()), (BLUE, true));
}

#[test]
fn a_move_away_from_trouble_is_not_undone_by_a_reboot() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.fuse = Some(1);
    world.give(Verb::Rollback(RollbackOrder::default()));
    assert!(world.dead);
    world.told();
    world.reboot();
    assert_eq!(world.live(), BLUE);
    assert_eq!(world.told(), ["switched rollback", "started"]);
    assert_eq!(world.view().rollback.target, None);

    let mut world = World::new(policy());
    world.fuse = Some(1);
    world.give(Verb::Switch(SwitchOrder::default()));
    world.told();
    world.reboot();
    assert_eq!(world.live(), BLUE, "a switch whose record ends here was not told to anybody");
    assert_eq!(world.told(), ["not-switched switch", "started"]);
}

#[test]
fn a_reboot_forgets_no_side_that_was_live_whatever_the_word_was() {
    for word in [Word::from_bits(0b11 << 4 | 1), Word::from_bits(u64::MAX), Word::initial(GREEN)] {
        let memory = Memory { word: word.bits(), ..Memory::default() };
        assert_eq!(memory.after_reboot().live(), GREEN, "{word:?}");
        assert!(memory.after_reboot().unpack().is_ok());
    }
}

#[test]
fn a_journal_that_took_too_long_does_not_leave_a_switch_that_is_over_at_once() {
    let mut world = World::new(policy());
    world.disk = Disk::Hangs;
    let order = SwitchOrder { confirm_within: Some(seconds(2)), ..SwitchOrder::default() };
    let id = world.give(Verb::Switch(order));
    world.pass(seconds(3));
    let (index, token) = world.waiting().next().unwrap();
    world.acknowledge(index, token);
    assert_eq!(code(world.answers[&id].clone()), "gate-journal");
    assert_eq!((world.live(), world.kernel["shop"].generation()), (BLUE, 0));
}

#[test]
fn memories_of_before_these_fields_are_read() {
    let old = r#"{"word":1,"pending":{"cause":"switch","expected":1,"new":2},"boot":"b"}"#;
    let memory: Memory = serde_json::from_str(old).unwrap();
    let pending = memory.pending.clone().unwrap();
    assert_eq!((pending.bake, pending.overridden.len()), (None, 0));
    let again: Memory = serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
    assert_eq!(again, memory);
    assert_eq!(Moment::default().0, Duration::ZERO);
}
