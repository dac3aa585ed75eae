//! What follows a switch: confirmation, bake time, fail-over and proof.

use super::world::*;
use crate::model::Moment;
use crate::model::event::{Event, OwnFlows};
use crate::model::order::{Force, SwitchOrder, Verb};
use crate::model::policy::{Level, NoBackend, Policy, ProbePolicy, Target};
use bg_common::Colour;
use std::time::Duration;

fn baking() -> World {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.told();
    world
}

fn vip() -> ProbePolicy {
    ProbePolicy { vip: true, ..probe("web") }
}

#[test]
fn a_switch_that_nobody_confirms_goes_back_by_the_programs_and_freezes() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    let left = world.view().confirm_left.unwrap();
    assert!(left > seconds(29) && left < seconds(31), "{left:?}");
    world.pass(seconds(29));
    assert_eq!(world.live(), GREEN);
    world.told();
    world.pass(seconds(2));
    assert_eq!(world.kernel["shop"], word(|it| (it.draining, it.generation) = (true, 2)));
    assert_eq!(world.told(), ["switched unconfirmed", "frozen", "proved"]);
    assert_eq!(world.view().rollback.target, None);
    let refusal = world.say(Verb::Confirm).unwrap_err();
    assert_eq!(refusal.code, "too-late");
    assert!(refusal.mend.contains("bgctl unfreeze shop"), "{refusal}");
    assert_eq!(world.live(), BLUE);
    assert_eq!(code(world.go(GREEN)), "gate-frozen");
}

#[test]
fn a_confirmed_switch_stays() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.say(Verb::Confirm).unwrap();
    assert_eq!((world.fields().revert_at_deadline, world.fields().deadline), (false, 0));
    assert_eq!(world.view().confirm_left, None);
    world.pass(seconds(100));
    assert_eq!(world.live(), GREEN);
    assert!(world.view().frozen.is_none() && world.shop().watch.is_none());
    assert_eq!(code(world.say(Verb::Confirm)), "nothing-to-confirm");
    assert_eq!(world.rollback().unwrap().to, BLUE);
}

#[test]
fn a_confirmation_that_comes_past_the_deadline_is_refused_whoever_is_first() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    // The engine was busy: the order is the first that the machine hears past the deadline.
    world.now = world.now.after(seconds(31));
    assert_eq!(code(world.say(Verb::Confirm)), "too-late");
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.is_some());
}

#[test]
fn orders_past_a_deadline_wait_until_it_is_written_down_and_are_refused_if_it_cannot_be() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.now = world.now.after(seconds(31));
    let refusal = world.switch(SwitchOrder::default()).unwrap_err();
    assert_eq!(refusal.code, "gate-frozen", "the switch was taken back, and that froze it");

    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.now = world.now.after(seconds(31));
    world.broken = true;
    assert_eq!(code(world.say(Verb::Confirm)), "table");
    world.broken = false;
    world.pass(seconds(5));
    assert_eq!(world.kernel["shop"].generation(), 2, "it is written down as soon as that can be");
}

#[test]
fn a_confirmed_switch_is_baked_all_the_same() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.confirmed_switch(30);
    world.pass(seconds(10));
    let said = world.say(Verb::Confirm).unwrap();
    assert!(
        said.contains("it is watched for 49 s more") || said.contains("it is watched for 50 s more"),
        "{said}"
    );
    world.sick(GREEN);
    assert_eq!(world.live(), BLUE);
}

#[test]
fn a_switch_that_bakes_well_is_left_alone_after() {
    let mut world = baking();
    world.pass(seconds(59));
    assert!(world.view().bake_left.is_some());
    world.pass(seconds(1));
    assert!(world.told().contains(&"baked".to_owned()));
    assert!(world.shop().watch.is_none());
    world.sick(GREEN);
    assert_eq!(world.live(), GREEN, "without fail-over, nobody goes back by himself");
}

#[test]
fn whoever_has_seen_enough_confirms_and_ends_the_bake_time() {
    let mut world = baking();
    let said = world.say(Verb::Confirm).unwrap();
    assert!(said.contains("watched no more"), "{said}");
    assert!(world.shop().watch.is_none());
    world.sick(GREEN);
    assert_eq!(world.live(), GREEN);
    world.restart();
    assert!(world.shop().watch.is_none());
}

#[test]
fn a_side_that_fails_while_it_bakes_is_taken_back_and_that_freezes() {
    let mut world = baking();
    world.sick(GREEN);
    assert_eq!(world.live(), BLUE);
    assert_eq!(world.told(), ["about auto-rollback", "switched auto-rollback", "frozen", "proved"]);
    let view = world.view();
    assert!(view.frozen.as_ref().is_some_and(|it| it.automatic && it.why.contains("green is not healthy")));
    assert_eq!((view.rollback.target, view.bake_left), (None, None));
    assert_eq!(code(world.go(GREEN)), "gate-frozen");
    world.healthy(&[GREEN]);
    world.pass(seconds(600));
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.is_some(), "only a person thaws it");
}

#[test]
fn an_automatic_way_back_does_not_hang_on_a_broken_disk() {
    for disk in [Disk::Fails, Disk::Hangs] {
        let mut world = baking();
        world.disk = disk;
        world.sick(GREEN);
        world.pass(Duration::from_millis(500));
        assert_eq!(world.live(), BLUE, "{disk:?}");
    }
}

#[test]
fn nothing_goes_back_to_a_side_that_is_no_better_and_that_is_said_once() {
    let mut world = baking();
    world.sick(BLUE);
    world.sick(GREEN);
    world.sick(GREEN);
    assert_eq!(world.live(), GREEN);
    assert_eq!(world.told(), ["not-switched auto-rollback"]);
    world.healthy(&[BLUE]);
    assert_eq!(world.live(), BLUE, "as soon as blue is better, it is the way back");
}

#[test]
fn a_bake_time_ends_even_if_both_sides_fail() {
    let mut world = baking();
    world.sick(BLUE);
    world.sick(GREEN);
    world.told();
    world.pass(seconds(61));
    assert!(world.shop().watch.is_none());
    assert!(world.told().contains(&"not-switched auto-rollback".to_owned()));
    world.healthy(&[BLUE]);
    assert_eq!(world.live(), GREEN, "what was promised for the bake time ends with it");
}

#[test]
fn a_way_back_that_cannot_be_gone_is_tried_again_after_a_while() {
    let mut world = baking();
    world.broken = true;
    world.sick(GREEN);
    let tried = |world: &mut World| world.told().iter().filter(|kind| *kind == "about auto-rollback").count();
    assert_eq!(tried(&mut world), 1);
    world.pass(seconds(4));
    world.sick(GREEN);
    assert_eq!(tried(&mut world), 0);
    world.pass(seconds(2));
    assert_eq!(tried(&mut world), 1);
    world.broken = false;
    world.pass(seconds(5));
    assert_eq!(world.live(), BLUE);
}

#[test]
fn a_way_back_that_gets_worse_while_it_is_recorded_is_not_gone() {
    let mut world = baking();
    world.disk = Disk::Hangs;
    world.sick(GREEN);
    world.sick(BLUE);
    world.pass(seconds(1));
    assert_eq!(world.live(), GREEN);
    assert!(world.told().contains(&"not-switched auto-rollback".to_owned()));
}

#[test]
fn hooks_that_watch_take_a_switch_back() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), watching_hooks: true, ..policy() });
    world.hooks = Hooks::Hang;
    world.go(GREEN).unwrap();
    world.pass(seconds(5));
    assert_eq!(world.questions.len(), 1);
    world.pass(seconds(20));
    assert_eq!(world.questions.len(), 1, "they are not asked again before they have answered");
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    world.pass(seconds(5));
    assert_eq!(world.live(), GREEN);
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Disagree);
    assert_eq!(world.live(), GREEN, "once may be the hook's own trouble");
    world.pass(seconds(5));
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Disagree);
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.unwrap().why.contains("migration 7 is missing"));
}

#[test]
fn a_hook_that_disagreed_when_nothing_could_be_done_is_heard_later() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), watching_hooks: true, ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.sick(BLUE);
    world.hooks = Hooks::Disagree;
    world.pass(seconds(6));
    world.pass(seconds(6));
    assert_eq!(world.live(), GREEN);
    world.healthy(&[BLUE]);
    assert_eq!(world.live(), BLUE);
}

#[test]
fn probes_through_the_vip_take_a_switch_back() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), probes: vec![vip()], ..policy() });
    world.healthy(&[BLUE, GREEN]);
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    assert_eq!(world.asked_probes, 1, "they are asked at once");
    assert!(!world.answers.contains_key(&id), "the answer waits for them");
    world.vip(Some(GREEN));
    let proof = world.shop().proving.as_ref().unwrap().switched.proof.clone();
    assert_eq!(proof.vip, Some(true));
    world.vip(Some(BLUE));
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.unwrap().why.contains("through the VIP"));
}

#[test]
fn an_answer_through_the_vip_from_before_the_switch_counts_for_nothing() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), probes: vec![vip()], ..policy() });
    world.healthy(&[BLUE, GREEN]);
    let began = world.now;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    for _ in 0..5 {
        let (deployment, probe) = ("shop".to_owned(), "web".to_owned());
        world.feed(Event::Probed {
            deployment,
            probe,
            target: Target::Vip,
            began,
            own: Default::default(),
            finding: fine(Some(BLUE)),
        });
    }
    assert_eq!(world.live(), GREEN);
    world.pass(seconds(2));
    let switched = world.answers[&id].clone().unwrap();
    assert!(format!("{switched:?}").contains("vip: None"), "{switched:?}");

    // The same after the programs went back.
    let mut world = World::new(Policy { probes: vec![vip()], ..policy() });
    world.healthy(&[BLUE, GREEN]);
    world.give(Verb::Switch(SwitchOrder { confirm_within: Some(seconds(10)), ..SwitchOrder::default() }));
    world.pass(seconds(9));
    let began = world.now;
    world.pass(seconds(5));
    for _ in 0..5 {
        let (deployment, probe) = ("shop".to_owned(), "web".to_owned());
        world.feed(Event::Probed {
            deployment,
            probe,
            target: Target::Vip,
            began,
            own: Default::default(),
            finding: fine(Some(GREEN)),
        });
    }
    let verdicts = world.shop().health_view(world.now).probes;
    let vip = verdicts.iter().find(|it| it.colour.is_none()).unwrap();
    assert_eq!((vip.up, &vip.why), (None, &None));
}

#[test]
fn real_traffic_that_is_refused_takes_a_switch_back() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..super::rules::passive() });
    world.count(|_| {});
    world.go(GREEN).unwrap();
    world.passive_complaint();
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.unwrap().why.contains("refused"));
}

#[test]
fn counters_of_before_a_restart_speak_against_nobody() {
    let mut world = World::new(Policy { bake: Some(seconds(600)), ..super::rules::passive() });
    world.count(|[_, green]| (green.handshakes, green.flows, green.refused) = (500, 500, 500));
    world.forced(GREEN, &["passive"]).unwrap();
    world.restart();
    world.count(|_| {});
    world.count(|_| {});
    world.count(|[_, green]| {
        green.handshakes += 100;
        green.flows += 100;
        green.handshakes_answered += 100;
    });
    world.count(|_| {});
    assert_eq!(world.live(), GREEN);
    let passive = world.shop().health_view(world.now).passive[GREEN.index()].unwrap();
    assert_eq!((passive.handshakes, passive.good), (100, Some(true)));
}

#[test]
fn a_rollback_ends_the_watch_and_takes_the_deadline_along() {
    let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.confirmed_switch(30);
    world.rollback().unwrap();
    assert_eq!((world.live(), world.fields().deadline, world.fields().revert_at_deadline), (BLUE, 0, false));
    assert!(world.shop().watch.is_none());
    world.pass(seconds(100));
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.is_none());
}

#[test]
fn a_switch_away_from_one_that_is_watched_takes_over() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    assert_eq!(code(world.go(BLUE)), "gate-watch");
    world.forced(BLUE, &["watch"]).unwrap();
    assert_eq!((world.live(), world.fields().deadline), (BLUE, 0));
    assert_eq!(world.view().rollback.target.unwrap().colour, GREEN, "green was live before");
    world.pass(seconds(100));
    assert_eq!(world.live(), BLUE);
    assert!(world.view().frozen.is_none());
}

#[test]
fn a_deadline_that_passes_while_another_switch_is_prepared_is_what_counts() {
    for (named, wanted) in [(true, None), (false, Some("changed-meanwhile"))] {
        let mut world = World::new(Policy { gating_hooks: true, ..policy() });
        world.confirmed_switch(30);
        world.hooks = Hooks::Hang;
        let to = named.then_some(BLUE);
        let order = SwitchOrder { to, force: Force::All, ..SwitchOrder::default() };
        let id = world.give(Verb::Switch(order));
        world.pass(seconds(40));
        assert_eq!(world.answers[&id].clone().err().map(|it| it.code).as_deref(), wanted);
        assert_eq!((world.live(), world.kernel["shop"].generation()), (BLUE, 2));
        assert!(world.view().frozen.is_some());
    }
}

#[test]
fn a_slice_is_not_staged_over_while_the_programs_may_go_back_to_it() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    assert_eq!(code(world.say(stage(BLUE, "v3", true, false))), "waits-for-confirmation");
    world.say(Verb::Confirm).unwrap();
    world.say(stage(BLUE, "v3", true, false)).unwrap();
}

#[test]
fn giving_up_the_way_back_of_a_bake_ends_it() {
    let mut world = baking();
    assert_eq!(code(world.stage(BLUE, "v3")), "gives-up-rollback");
    world.say(stage(BLUE, "v3", true, false)).unwrap();
    world.sick(GREEN);
    assert_eq!(world.live(), GREEN, "blue is not what was live before");
}

fn failing_over() -> World {
    let mut world = World::new(Policy { no_backend: NoBackend::FailOver, ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.told();
    world
}

#[test]
fn the_standby_takes_over_when_live_fails_and_that_freezes() {
    let mut world = failing_over();
    world.sick(GREEN);
    assert_eq!(world.live(), BLUE);
    assert_eq!(world.told()[..3], ["about fail-over", "switched fail-over", "frozen"]);
    world.sick(BLUE);
    world.healthy(&[GREEN]);
    world.pass(seconds(600));
    assert_eq!(world.live(), BLUE, "there is no automatic way back");
    assert_eq!(world.view().rollback.target.unwrap().colour, GREEN, "for people there is");
    world.rollback().unwrap();
}

#[test]
fn nothing_fails_over_to_a_side_that_is_no_standby_or_not_known_to_be_healthy() {
    type Spoil = fn(&mut World);
    let rows: [(&str, Spoil); 5] = [
        ("standby fails, too", |world| world.sick(BLUE)),
        ("standby was given up", |world| drop(world.say(stage(BLUE, "v3", true, false)))),
        ("frozen", |world| drop(world.say(Verb::Freeze))),
        ("policy", |world| world.configure(|policy| policy.no_backend = NoBackend::Stay)),
        ("nothing is known", World::restart),
    ];
    for (name, spoil) in rows {
        let mut world = failing_over();
        spoil(&mut world);
        world.sick(GREEN);
        assert_eq!(world.live(), GREEN, "{name}");
    }
    let mut never = World::new(Policy { no_backend: NoBackend::FailOver, ..probed() });
    never.healthy(&[BLUE, GREEN]);
    never.sick(BLUE);
    assert_eq!(never.live(), BLUE, "what was never live is no standby");
}

#[test]
fn a_switch_is_proved_by_the_first_new_flow_and_the_last_old_one() {
    let mut world = World::new(policy());
    world.sweep([812, 0]);
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    assert_eq!(world.machine.counting(), Some(Duration::from_millis(10)));
    let flipped = u64::try_from(world.now.0.as_nanos()).unwrap();
    world.traffic[GREEN.index()].first_new_ns = flipped + 8_000;
    world.traffic[BLUE.index()].last_new_ns = flipped - 2_000;
    world.feed(Event::Counted(vec![("shop".to_owned(), world.traffic)]));
    let Ok(crate::model::order::Done::Switched(switched)) = world.answers[&id].clone() else { panic!() };
    assert_eq!((switched.proof.first_new_us, switched.proof.last_old_us), (Some(8), Some(-2)));
    assert_eq!(switched.staying, Some(812));
    assert_eq!(world.told().last().unwrap(), "proved");
    assert_eq!(world.machine.counting(), None);
}

#[test]
fn a_first_flow_that_is_a_probe_of_bgs_own_is_no_client() {
    let vip = ProbePolicy { vip: true, rise: 1, ..probe("web") };
    let mut world = World::new(Policy { probes: vec![vip], ..policy() });
    world.healthy(&[BLUE, GREEN]);
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    let began = Moment(world.now.0 + Duration::from_millis(1));
    world.now = Moment(began.0 + Duration::from_millis(5));
    let nanos = |moment: Moment| u64::try_from(moment.0.as_nanos()).unwrap();
    let flow = nanos(began) + 1_000_000;
    (world.traffic[GREEN.index()].first_new_ns, world.traffic[GREEN.index()].last_new_ns) = (flow, flow);
    world.feed(Event::Counted(vec![("shop".to_owned(), world.traffic)]));
    let made = OwnFlows { flows: 1, handshakes: 1, answered: 1, refused: 0 };
    world.feed(Event::Probed {
        deployment: "shop".to_owned(),
        probe: "web".to_owned(),
        target: Target::Vip,
        began,
        own: [OwnFlows::default(), made],
        finding: fine(Some(GREEN)),
    });
    let Ok(crate::model::order::Done::Switched(switched)) = world.answers[&id].clone() else { panic!() };
    let proof = switched.proof;
    assert_eq!(
        (proof.first_new_us, proof.first_new_is_probe, proof.last_old_is_probe),
        (Some(2000), true, false)
    );
}

#[test]
fn an_answer_waits_for_proof_no_longer_than_a_moment() {
    let mut world = World::new(policy());
    world.sweep([812, 0]);
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.pass(Duration::from_millis(249));
    assert!(!world.answers.contains_key(&id));
    world.pass(Duration::from_millis(1));
    assert!(world.answers[&id].is_ok());
    assert_eq!(world.machine.counting(), Some(Duration::from_millis(250)), "proof is still welcome");
    world.pass(seconds(60));
    assert_eq!(world.told().last().unwrap(), "proved");
}

#[test]
fn one_probe_of_two_decides_for_its_service_only() {
    let mut web = probe("web");
    web.service = Some("web".to_owned());
    let mut world = World::new(Policy { probes: vec![web], ..policy() });
    world.healthy(&[BLUE, GREEN]);
    let target = Target::Backend(GREEN, address(GREEN, 1));
    world.probe_as_often(&probe("web"), target, false);
    let down = world.down["shop"].clone();
    assert_eq!(down.len(), 1);
    assert_eq!((down[0].service.as_str(), down[0].address), ("web", address(GREEN, 1)));
    assert_eq!(world.view().slices[GREEN.index()].healthy, Some(false), "half is less than the quorum");
}

#[test]
fn the_last_backend_of_a_ring_stays_unless_it_shall_be_refused() {
    for (policy, left) in [(NoBackend::Stay, 2), (NoBackend::FailOver, 2), (NoBackend::Refuse, 4)] {
        let mut world = World::new(Policy { no_backend: policy, ..probed() });
        world.healthy(&[BLUE, GREEN]);
        world.sick(BLUE);
        assert_eq!(world.down["shop"].len(), left, "{policy:?}: two services and two machines");
        world.healthy(&[BLUE]);
        assert_eq!(world.down["shop"], []);
    }
}

#[test]
fn a_ring_of_each_family_keeps_one() {
    let slices = Colour::BOTH.map(|colour| vec![address(colour, 1), address(colour, 200)]);
    let mut world = World::new(Policy { slices, ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.sick(BLUE);
    assert_eq!(world.down.get("shop"), None, "each is the last of its family");
}

#[test]
fn a_probe_that_is_removed_while_it_is_down_speaks_no_more() {
    let mut slice = probe("cluster");
    slice.level = Level::Slice;
    let mut world = World::new(Policy { probes: vec![probe("web"), slice], ..policy() });
    world.healthy(&[BLUE, GREEN]);
    let target = Target::Backend(GREEN, address(GREEN, 1));
    world.probe_as_often(&probe("web"), target, false);
    assert_eq!(code(world.go(GREEN)), "gate-health");
    assert_eq!(world.down["shop"].len(), 2);
    world.configure(|policy| drop(policy.probes.remove(0)));
    assert_eq!(world.down["shop"], []);
    world.go(GREEN).unwrap();
    world.configure(|policy| policy.probes.clear());
    assert_eq!(world.view().slices.map(|slice| slice.healthy), [None, None]);
}

#[test]
fn a_probe_that_is_added_changes_no_verdict_before_it_has_answered() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    world.configure(|policy| policy.probes.push(probe("api")));
    assert_eq!(world.view().slices.map(|slice| slice.healthy), [Some(true), Some(true)]);
    assert_eq!(world.down.get("shop"), None);
}

#[test]
fn a_target_may_count_as_up_before_it_was_asked() {
    let web = ProbePolicy { start_up: true, ..probe("web") };
    let mut world = World::new(Policy { probes: vec![web.clone()], ..policy() });
    assert_eq!(world.view().slices.map(|slice| slice.healthy), [Some(true), Some(true)]);
    let target = Target::Backend(GREEN, address(GREEN, 1));
    for _ in 0..2 {
        world.probed("web", target, bad());
    }
    assert_eq!(world.view().slices[GREEN.index()].healthy, Some(true), "two failures are not three");
    world.probed("web", target, bad());
    assert_eq!(world.view().slices[GREEN.index()].healthy, Some(false));
    world.restart();
    assert_eq!(world.down["shop"].len(), 2, "what was down when the daemon ended is not up by that");
}

#[test]
fn a_probe_that_has_nobody_to_ask_speaks_for_nobody() {
    let mut world = World::new(Policy { slices: [vec![address(BLUE, 1)], Vec::new()], ..probed() });
    world.healthy(&[BLUE]);
    assert_eq!(code(world.go(GREEN)), "gate-health");
}
