//! Drills: there and back, measured; and home whatever happens.

use super::world::*;
use crate::model::order::{Done, Drilled, Force, OrderId, RollbackOrder, SwitchOrder, Verb};
use crate::model::policy::{DrillSchedule, NoBackend, Policy, ProbePolicy};
use bg_common::Colour;

/// Blue is live, green its standby.
fn ready(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.healthy(&[BLUE, GREEN]);
    for to in [GREEN, BLUE] {
        let order = SwitchOrder { to: Some(to), force: Force::All, ..SwitchOrder::default() };
        world.give(Verb::Switch(order));
        world.vip(Some(to));
        world.pass(seconds(70));
    }
    world.told();
    world
}

fn drill(world: &mut World, hold: u64) -> OrderId {
    world.give(Verb::Drill { hold: seconds(hold), force: Force::Nothing })
}

fn drilled(world: &World, id: OrderId) -> Drilled {
    match &world.answers[&id] {
        Ok(Done::Drilled(drilled)) => (**drilled).clone(),
        other => panic!("a drill was answered by {other:?}"),
    }
}

/// Home, without a trace of the drill.
fn assert_home(world: &World) {
    assert_eq!((world.live(), world.fields().deadline, world.fields().revert_at_deadline), (BLUE, 0, false));
    let shop = world.shop();
    assert!(shop.watch.is_none() && shop.drill.is_none() && shop.change.is_none());
    assert_eq!(shop.rollback.as_ref().map(|it| it.colour), Some(GREEN), "the way back is what it was");
    assert!(shop.frozen.is_none());
}

#[test]
fn a_drill_goes_to_the_standby_and_back_and_measures_both_ways() {
    let mut world = ready(probed());
    let id = drill(&mut world, 30);
    assert_eq!(world.live(), GREEN);
    assert!(world.fields().revert_at_deadline, "if the daemon dies, the programs go home");
    assert_eq!(world.view().under_way.as_deref(), Some("a drill"));
    assert_eq!(world.view().confirm_left, None);
    world.pass(seconds(29));
    assert!(!world.answers.contains_key(&id));
    world.pass(seconds(1));
    let drilled = drilled(&world, id);
    assert!(drilled.passed, "{drilled:?}");
    assert_eq!(drilled.there.map(|it| (it.from, it.to)), Some((BLUE, GREEN)));
    assert_eq!(drilled.back.map(|it| (it.from, it.to)), Some((GREEN, BLUE)));
    assert_eq!(drilled.held_ms, 30_000);
    assert_home(&world);
    let told = world.told();
    let wanted = ["about drill", "switched drill", "proved", "about drill", "switched drill", "drilled"];
    assert_eq!(told[..6], wanted, "{told:?}");
}

#[test]
fn a_drill_needs_a_standby() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    let refusal = world.order(Verb::Drill { hold: seconds(1), force: Force::Nothing }).unwrap_err();
    assert_eq!(refusal.code, "gate-standby");
    world.give(Verb::Drill { hold: seconds(1), force: force(&["standby"]) });
    assert_eq!(world.live(), GREEN);
}

#[test]
fn a_drill_waits_for_its_proof_through_the_vip() {
    let vip = ProbePolicy { vip: true, ..probe("web") };
    let mut world = ready(Policy { probes: vec![vip], ..policy() });
    let id = drill(&mut world, 30);
    world.vip(Some(GREEN));
    world.pass(seconds(2));
    world.pass(seconds(30));
    assert_eq!(world.live(), BLUE);
    assert!(!world.answers.contains_key(&id), "it waits for the proof of the way back, too");
    world.vip(Some(BLUE));
    world.pass(seconds(2));
    let drilled = drilled(&world, id);
    assert!(drilled.passed, "{drilled:?}");
    assert_eq!(drilled.there.unwrap().proof.vip, Some(true));
    assert_eq!(drilled.back.unwrap().proof.vip, Some(true));
    assert_home(&world);
}

#[test]
fn a_drill_that_fails_goes_home_at_once_and_says_so() {
    type Spoil = fn(&mut World);
    let rows: [(&str, Spoil, &str); 3] = [
        ("probes", |world| world.sick(GREEN), "green is not healthy"),
        ("the VIP", |world| world.vip(None), "through the VIP"),
        (
            "an operator",
            |world| drop(world.say(Verb::Rollback(RollbackOrder::default()))),
            "an operator took it back",
        ),
    ];
    let vip = ProbePolicy { vip: true, ..probe("web") };
    for (name, spoil, why) in rows {
        let mut world = ready(Policy { probes: vec![vip.clone()], ..policy() });
        let id = drill(&mut world, 3000);
        world.pass(seconds(3));
        spoil(&mut world);
        assert_eq!(world.live(), BLUE, "{name}");
        world.pass(seconds(3));
        let drilled = drilled(&world, id);
        assert!(!drilled.passed && drilled.why.as_deref().is_some_and(|it| it.contains(why)), "{drilled:?}");
        assert!(drilled.there.is_some() && drilled.back.is_some(), "{name}: both ways are measured");
        assert_home(&world);
    }
}

#[test]
fn a_drill_is_not_proved_by_a_bad_answer_through_the_vip() {
    let vip = ProbePolicy { vip: true, ..probe("web") };
    let mut world = ready(Policy { probes: vec![vip], ..policy() });
    let id = drill(&mut world, 3000);
    world.probed("web", crate::model::policy::Target::Vip, bad());
    world.pass(seconds(5));
    assert!(drilled(&world, id).why.unwrap().contains("nobody is served through the VIP"));
    assert_home(&world);
}

#[test]
fn the_way_home_does_not_hang_on_a_broken_disk_and_is_tried_until_it_is_gone() {
    for disk in [Disk::Fails, Disk::Hangs] {
        let mut world = ready(probed());
        let id = drill(&mut world, 30);
        world.disk = disk;
        world.broken = true;
        world.pass(seconds(40));
        assert_eq!(world.live(), GREEN);
        assert!(!world.answers.contains_key(&id));
        world.broken = false;
        world.pass(seconds(10));
        assert!(!drilled(&world, id).passed, "{disk:?}");
        assert_home(&world);
    }
}

#[test]
fn the_programs_lead_a_drill_home_if_nobody_else_does() {
    let mut world = ready(probed());
    let id = drill(&mut world, 30);
    world.now = world.now.after(seconds(95));
    world.feed(crate::model::Event::Timer);
    world.pass(seconds(5));
    let drilled = drilled(&world, id);
    assert!(drilled.why.unwrap().contains("the data plane did"));
    assert_home(&world);
    assert!(world.told().contains(&"switched drill".to_owned()));
}

#[test]
fn a_daemon_that_is_started_anew_in_a_drill_leads_it_home() {
    let mut world = ready(probed());
    drill(&mut world, 30);
    world.pass(seconds(3));
    world.told();
    world.restart();
    world.pass(seconds(3));
    assert_home(&world);
    let told = world.told();
    assert_eq!(told, ["started", "about drill", "switched drill", "drilled", "proved"][..told.len()]);
    let crate::model::record::What::Drilled { drilled } = &world.last("drilled").what else { panic!() };
    assert!(drilled.why.as_ref().unwrap().contains("started anew"));
}

#[test]
fn a_drill_that_went_home_while_the_daemon_was_away_is_no_unconfirmed_switch() {
    let mut world = ready(probed());
    drill(&mut world, 30);
    world.now = world.now.after(seconds(300));
    world.told();
    world.restart();
    assert_home(&world);
    assert_eq!(world.told(), ["started", "switched drill", "drilled"]);
}

#[test]
fn a_machine_that_is_booted_in_a_drill_is_home() {
    let mut world = ready(probed());
    drill(&mut world, 30);
    world.told();
    world.reboot();
    assert_home(&world);
    assert_eq!(world.told(), ["drilled", "started"]);
}

#[test]
fn a_drill_stays_where_it_is_if_home_has_failed_and_that_freezes() {
    let mut world = ready(probed());
    let id = drill(&mut world, 30);
    world.sick(BLUE);
    world.pass(seconds(31));
    assert_eq!(world.live(), GREEN);
    assert_eq!((world.fields().deadline, world.fields().revert_at_deadline), (0, false));
    let drilled = drilled(&world, id);
    assert!(drilled.why.unwrap().contains("blue is not healthy"));
    assert!(world.view().frozen.unwrap().why.contains("did not go home"));
    assert_eq!(world.view().rollback.target.unwrap().colour, BLUE);
    world.pass(seconds(300));
    assert_eq!(world.live(), GREEN);
}

#[test]
fn an_operator_may_insist_on_going_home() {
    let mut world = ready(probed());
    drill(&mut world, 30);
    world.sick(BLUE);
    assert_eq!(code(world.say(Verb::Rollback(RollbackOrder::default()))), "gate-health");
    let back = RollbackOrder { force: force(&["health"]), fate: None };
    world.say(Verb::Rollback(back)).unwrap();
    assert_home(&world);
}

#[test]
fn whoever_else_switches_ends_a_drill() {
    for live in Colour::BOTH {
        let mut world = ready(probed());
        let id = drill(&mut world, 30);
        world.write_word(|it| (it.live, it.revert_at_deadline, it.deadline) = (live, false, 0));
        let ended = world.answers.contains_key(&id);
        assert_eq!(ended, live == BLUE, "{live}");
        world.pass(seconds(60));
        assert_eq!(world.live(), BLUE, "{live}: by the stranger, or at the end of the drill");
        assert!(world.shop().drill.is_none());
    }

    let mut world = ready(Policy { gating_hooks: true, ..probed() });
    world.hooks = Hooks::Hang;
    let id = drill(&mut world, 30);
    world.write_word(|it| it.live = GREEN);
    assert!(drilled(&world, id).why.unwrap().contains("somebody else made green live"));
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    world.pass(seconds(100));
    assert_eq!(world.live(), GREEN, "what somebody else did stands");
}

#[test]
fn a_drill_that_is_not_let_begin_is_refused_and_leaves_nothing() {
    for hooks in [Hooks::Disagree, Hooks::Hang] {
        let mut world = ready(Policy { gating_hooks: true, ..probed() });
        world.hooks = hooks;
        let id = drill(&mut world, 30);
        world.pass(seconds(900));
        assert_eq!(code(world.answers[&id].clone()), "gate-hooks");
        assert_home(&world);
    }
    let mut world = ready(probed());
    world.broken = true;
    let id = drill(&mut world, 30);
    assert_eq!(code(world.answers[&id].clone()), "table");
    assert_home(&world);
}

#[test]
fn a_drill_is_refused_while_a_switch_is_watched_whatever_is_forced() {
    let mut world = World::new(policy());
    world.confirmed_switch(300);
    let drill = Verb::Drill { hold: seconds(1), force: Force::All };
    assert_eq!(code(world.order(drill)), "gate-watch");
    assert_eq!(world.live(), GREEN);
}

#[test]
fn drills_run_by_schedule_and_wait_where_they_may_not() {
    let schedule = DrillSchedule { every: seconds(86_400), hold: seconds(30) };
    let mut world = ready(Policy { drill: Some(schedule), ..probed() });
    world.pass(world.view().drill_in.unwrap() - seconds(1));
    world.say(Verb::Freeze).unwrap();
    world.told();
    world.pass(seconds(2));
    assert_eq!(world.told(), ["refused"]);
    assert!(world.view().drill_in.unwrap() > seconds(590), "it is tried again later, not at once");
    world.say(Verb::Unfreeze).unwrap();
    world.pass(seconds(601));
    assert_eq!(world.live(), GREEN);
    world.pass(seconds(31));
    assert_home(&world);
    let left = world.view().drill_in.unwrap();
    assert!(left > seconds(86_300), "{left:?}");
    world.restart();
    let after = world.view().drill_in.unwrap();
    assert!(after > left - seconds(10) && after <= left, "a restart does not begin the time anew: {after:?}");
}

#[test]
fn a_rollback_ends_a_drill_that_still_waits_for_its_hooks_at_home() {
    let mut world = ready(Policy { gating_hooks: true, ..probed() });
    world.hooks = Hooks::Hang;
    let id = drill(&mut world, 30);
    let live = world.live();
    let said = world.say(Verb::Rollback(RollbackOrder::default())).unwrap();
    assert!(said.contains("over before it has begun"), "{said}");
    assert_eq!(code(world.answers[&id].clone()), "overtaken");
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    assert_eq!((world.live(), world.view().under_way), (live, None));
}

#[test]
fn a_fail_over_overtakes_a_drill_that_still_waits_for_its_hooks() {
    let mut world = ready(Policy { gating_hooks: true, no_backend: NoBackend::FailOver, ..probed() });
    world.hooks = Hooks::Hang;
    let id = drill(&mut world, 30);
    let home = world.live();
    world.sick(home);
    assert_eq!(world.live(), home.other());
    assert_eq!(code(world.answers[&id].clone()), "overtaken");
}
