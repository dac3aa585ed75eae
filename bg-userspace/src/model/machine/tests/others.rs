//! Others who write words, and exchanges that do not succeed.

use super::world::*;
use crate::model::event::Event;
use crate::model::order::{RollbackOrder, SwitchOrder, Verb};
use crate::model::policy::Policy;
use bg_common::Word;
use bg_common::word::Fate;

#[test]
fn a_switch_by_somebody_else_is_followed_and_recorded() {
    let mut world = World::new(policy());
    world.stage(GREEN, "v2").unwrap();
    world.told();
    world.write_word(|it| (it.live, it.draining) = (GREEN, true));
    assert_eq!(world.told(), ["drift"]);
    assert_eq!(world.last("drift").actor.who, crate::model::order::Who::Unknown);
    assert_eq!(world.view().rollback.target.unwrap().colour, BLUE);
    for _ in 0..2 {
        world.pass(seconds(2));
        world.sweep([0, 0]);
    }
    assert!(!world.kernel["shop"].draining(), "the drain that somebody else began is ended");
    assert_eq!(world.rollback().unwrap().to, BLUE);
}

#[test]
fn a_watch_ends_when_somebody_else_switches() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.confirmed_switch(30);
    world.write_word(|it| {
        (it.live, it.draining, it.revert_at_deadline, it.deadline) = (BLUE, true, false, 0);
    });
    assert!(world.shop().watch.is_none());
    world.sick(BLUE);
    world.pass(seconds(100));
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.is_none(), "it was no act of ours");
}

#[test]
fn bits_that_somebody_else_changes_leave_a_watch_what_it_is() {
    let watched = || {
        let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
        world.healthy(&[BLUE, GREEN]);
        world.confirmed_switch(30);
        world
    };
    let mut world = watched();
    world.write_word(|it| it.paused = true);
    assert!(world.view().confirm_left.is_some() && world.view().bake_left.is_some());
    world.write_word(|it| it.fate = Fate::Reset);
    assert!(world.view().confirm_left.is_some() && world.view().bake_left.is_some());

    world.write_word(|it| it.deadline += 1000);
    assert!(world.view().confirm_left.unwrap() > seconds(100), "there is more time now");
    world.pass(seconds(61));
    assert!(world.shop().watch.is_some(), "the bake time is over, the confirmation is still awaited");
    world.pass(seconds(200));
    assert_eq!((world.live(), world.view().frozen.is_some()), (BLUE, true));

    let mut world = watched();
    world.write_word(|it| (it.revert_at_deadline, it.deadline) = (false, 0));
    assert_eq!(world.view().confirm_left, None, "somebody else has confirmed it");
    assert!(world.view().bake_left.is_some());
    world.sick(GREEN);
    assert_eq!(world.live(), BLUE);

    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.write_word(|it| (it.revert_at_deadline, it.deadline) = (false, 0));
    assert!(world.shop().watch.is_none());
    world.pass(seconds(60));
    assert_eq!(world.live(), GREEN);
}

#[test]
fn a_switch_by_somebody_else_that_nobody_confirms_goes_back_and_freezes() {
    let mut world = World::new(policy());
    let deadline = super::super::super::deployment::tick(world.now).0 + 100;
    world.write_word(|it| {
        (it.live, it.draining, it.revert_at_deadline, it.deadline) = (GREEN, true, true, deadline);
    });
    assert!(world.view().confirm_left.is_some());
    assert_eq!(code(world.go(BLUE)), "gate-watch");
    world.pass(seconds(20));
    assert_eq!((world.live(), world.kernel["shop"].generation()), (BLUE, 2));
    assert!(world.view().frozen.is_some());
    assert_eq!(world.view().rollback.target, None);

    world.say(Verb::Unfreeze).unwrap();
    let deadline = super::super::super::deployment::tick(world.now).0 + 100;
    world.write_word(|it| (it.live, it.revert_at_deadline, it.deadline) = (GREEN, true, deadline));
    world.say(Verb::Confirm).unwrap();
    world.pass(seconds(20));
    assert_eq!(world.live(), GREEN);
}

#[test]
fn an_exchange_lost_to_a_harmless_change_is_recorded_anew_and_made() {
    let mut world = World::new(policy());
    world.foreign.push_back(word(|it| (it.draining, it.generation) = (true, 5)));
    let switched = world.switch(SwitchOrder::default()).unwrap();
    assert_eq!((switched.from, switched.to, switched.generation), (BLUE, GREEN, 6));
    assert_eq!(world.told()[..5], ["started", "about switch", "drift", "about switch", "switched switch"]);
}

#[test]
fn an_exchange_lost_to_another_switch_is_judged_by_what_was_meant() {
    let green = word(|it| (it.live, it.draining, it.generation) = (GREEN, true, 1));
    let mut world = World::new(policy());
    world.foreign.push_back(green);
    assert!(world.go(GREEN).unwrap().already, "green was asked for, and is live");

    let mut world = World::new(policy());
    world.foreign.push_back(green);
    assert_eq!(code(world.switch(SwitchOrder::default())), "changed-meanwhile");
    assert_eq!(world.kernel["shop"], green, "the other's change stands");

    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.foreign.push_back(word(|it| (it.draining, it.generation) = (true, 2)));
    assert!(world.rollback().unwrap().already, "somebody else has rolled back");
}

#[test]
fn an_order_that_waits_for_hooks_is_judged_anew_when_somebody_else_switches() {
    for (to, wanted) in [(Some(GREEN), None), (None, Some("changed-meanwhile"))] {
        let mut world = World::new(Policy { gating_hooks: true, ..policy() });
        world.hooks = Hooks::Hang;
        let id = world.give(Verb::Switch(SwitchOrder { to, ..SwitchOrder::default() }));
        world.write_word(|it| it.live = GREEN);
        let question = world.questions.pop().unwrap();
        world.reply(question, Hooks::Agree);
        assert_eq!(world.answers[&id].clone().err().map(|it| it.code).as_deref(), wanted);
        assert_eq!((world.live(), world.kernel["shop"].generation()), (GREEN, 1));
        assert!(world.questions.is_empty(), "hooks are asked once");
    }
}

#[test]
fn hooks_are_asked_once_however_often_an_exchange_is_lost() {
    let mut world = World::new(Policy { gating_hooks: true, ..policy() });
    world.hooks = Hooks::Hang;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.foreign = (1..4).map(|generation| word(|it| it.generation = generation)).collect();
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    assert!(world.answers[&id].is_ok() && world.questions.is_empty());
    assert_eq!((world.live(), world.kernel["shop"].generation()), (GREEN, 4));
    let abouts = world.told().iter().filter(|kind| *kind == "about switch").count();
    assert_eq!(abouts, 4, "and each try is recorded before it is made");
}

#[test]
fn a_word_that_never_holds_still_is_refused_in_the_end() {
    let contended = |verb: Verb| {
        let mut world = World::new(policy());
        world.foreign = (1..100).map(|generation| word(|it| it.generation = generation)).collect();
        let refusal = world.order(verb).unwrap_err();
        assert!(world.foreign.len() >= 90, "it was tried a few times");
        refusal.code
    };
    assert_eq!(contended(Verb::Switch(SwitchOrder::default())), "contended");
    assert_eq!(contended(Verb::Pause { time: seconds(5) }), "contended");
}

#[test]
fn changes_of_other_bits_are_judged_by_the_word_that_is_there() {
    let deadline = u32::try_from(seconds(2000).as_nanos() >> 27).unwrap();
    let pending = word(|it| {
        (it.live, it.draining, it.revert_at_deadline) = (GREEN, true, true);
        (it.deadline, it.generation) = (deadline, 7);
    });
    let mut world = World::new(policy());
    world.foreign.push_back(pending);
    assert_eq!(code(world.say(Verb::Pause { time: seconds(5) })), "deadline-in-use");
    assert_eq!(world.kernel["shop"], pending);

    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.foreign.push_back(word(|it| (it.live, it.generation) = (GREEN, 2)));
    assert_eq!(code(world.say(Verb::Confirm)), "nothing-to-confirm");

    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.foreign.push_back(word(|it| (it.live, it.generation) = (GREEN, 2)));
    let end = Verb::DrainEnd { fate: crate::model::policy::FateChoice::Reset };
    assert_eq!(code(world.say(end)), "no-drain");
}

#[test]
fn an_exchange_that_cannot_be_tried_is_refused_and_changes_nothing() {
    let mut world = World::new(policy());
    world.broken = true;
    for verb in [Verb::Switch(SwitchOrder::default()), Verb::Pause { time: seconds(5) }] {
        assert_eq!(code(world.order(verb)), "table");
    }
    assert_eq!(world.kernel["shop"], Word::initial(BLUE));
    assert!(world.shop().change.is_none());
    assert_eq!(world.told().last().unwrap(), "not-switched switch");
}

#[test]
fn a_word_without_sense_is_reported_once_and_never_touched() {
    let nonsense = Word::from_bits(0b11 << 4 | 1 << 6 | 9000 << 32);
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.told();
    world.kernel.insert("shop".to_owned(), nonsense);
    for _ in 0..3 {
        world.reread();
    }
    assert_eq!(world.told(), ["drift", "proved", "broken-word"]);
    assert!(world.shop().watch.is_none());
    for verb in [
        Verb::Switch(SwitchOrder { force: crate::model::order::Force::All, ..SwitchOrder::default() }),
        Verb::Rollback(RollbackOrder::default()),
        Verb::Pause { time: seconds(5) },
        Verb::DrainEnd { fate: crate::model::policy::FateChoice::Reset },
    ] {
        assert!(world.order(verb).is_err());
    }
    world.sick(GREEN);
    world.pass(seconds(600));
    world.sweep([0, 0]);
    assert_eq!(world.kernel["shop"], nonsense);
    assert!(!world.told().iter().any(|kind| kind.starts_with("broken") || kind.starts_with("about")));

    world.restart();
    assert_eq!(world.kernel["shop"], nonsense);
    assert!(world.told().contains(&"broken-word".to_owned()));
    world.kernel.insert("shop".to_owned(), Word::initial(BLUE));
    world.reread();
    world.forced(GREEN, &["health"]).unwrap();
}

#[test]
fn a_machine_that_begins_with_nonsense_says_so() {
    let nonsense = Word::from_bits(1001 << 8 | 77 << 18);
    let mut world = World::with(&[("shop", nonsense, policy())]);
    assert_eq!(world.told(), ["broken-word", "started"]);
    assert_eq!(code(world.switch(SwitchOrder::default())), "gate-word");
    assert_eq!(world.view().rollback.target, None);
}

#[test]
fn a_drain_counts_anew_after_somebody_else_has_touched_the_word() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.pass(seconds(3));
    world.sweep([0, 0]);
    // There and back again, and nobody saw it.
    world.write_word(|it| it.canary = 1);
    world.sweep([0, 0]);
    assert!(world.kernel["shop"].draining());
    world.pass(seconds(2));
    world.sweep([0, 0]);
    assert!(!world.kernel["shop"].draining());
}

#[test]
fn two_deployments_do_not_get_in_each_others_way() {
    let mut world =
        World::with(&[("shop", Word::initial(BLUE), policy()), ("api", Word::initial(GREEN), policy())]);
    world.go(GREEN).unwrap();
    assert_eq!((world.kernel["shop"].live(), world.kernel["api"]), (GREEN, Word::initial(GREEN)));
    world.kernel.remove("api");
    world.reread();
    assert!(world.machine.deployment("api").is_none());
    assert_eq!(world.rollback().unwrap().to, BLUE);
    world.feed(Event::Timer);
}
