//! What orders do, and what refuses them.

use super::world::*;
use crate::model::Order;
use crate::model::event::{Configured, Event};
use crate::model::order::{Actor, Done, Force, OrderId, RollbackOrder, SwitchOrder, Verb};
use crate::model::plan::PlanId;
use crate::model::policy::{DrainLimit, FateChoice, Flap, NoBackend, Passive, Policy, Target};
use crate::model::record::{Role, What};
use bg_common::Word;
use bg_common::word::Fate;
use std::time::Duration;

#[test]
fn a_switch_makes_the_other_colour_live_and_begins_a_drain() {
    let mut world = World::new(policy());
    let switched = world.switch(SwitchOrder::default()).unwrap();
    assert_eq!((switched.from, switched.to, switched.generation, switched.already), (BLUE, GREEN, 1, false));
    assert_eq!(switched.took_ns, 600);
    assert_eq!(world.kernel["shop"], word(|it| (it.live, it.draining, it.generation) = (GREEN, true, 1)));
    assert_eq!(world.told(), ["started", "about switch", "switched switch", "proved"][..3]);
}

#[test]
fn a_switch_to_the_live_colour_changes_nothing_and_says_so() {
    let mut world = World::new(policy());
    let switched = world.go(BLUE).unwrap();
    assert!(switched.already);
    assert_eq!((switched.from, switched.to, switched.generation), (BLUE, BLUE, 0));
    assert_eq!(world.kernel["shop"], Word::initial(BLUE));
    assert_eq!(world.told(), ["started"]);
}

#[test]
fn names_that_are_wrong_or_missing_list_what_there_is() {
    let two =
        || World::with(&[("api", Word::initial(BLUE), policy()), ("shop", Word::initial(BLUE), policy())]);
    let none = || World::with(&[]);
    type Row = (fn() -> World, Option<&'static str>, &'static str, &'static str, &'static str);
    let rows: [Row; 5] = [
        (two, None, "which-deployment", "api, shop", "bgctl switch NAME"),
        (two, Some("shpo"), "unknown-deployment", "api, shop", "did you mean shop?"),
        (two, Some("something"), "unknown-deployment", "api, shop", "bgctl status"),
        (two, Some("green"), "unknown-deployment", "api, shop", "--to green"),
        (none, None, "no-deployment", "tables", "configuration"),
    ];
    for (world, name, code, at, mend) in rows {
        let mut world = world();
        let id = OrderId(99);
        world.open_orders.insert(id);
        let (deployment, verb) = (name.map(str::to_owned), Verb::Freeze);
        let order = Order { deployment, verb, actor: Actor::default(), reason: None };
        world.feed(Event::Order { id, order });
        let refusal = world.answers[&id].clone().unwrap_err();
        assert_eq!(refusal.code, code);
        assert!(refusal.at.contains(at) && refusal.mend.contains(mend), "{refusal}");
    }
}

#[test]
fn each_gate_that_is_shut_refuses_names_its_command_and_changes_nothing() {
    type Prepare = fn(&mut World);
    let rows: [(&str, Policy, Prepare, &str); 9] = [
        ("health", probed(), |world| world.sick(GREEN), "bgctl health shop"),
        ("health", probed(), |_| {}, "bgctl health shop"),
        ("frozen", policy(), |world| drop(world.say(Verb::Freeze)), "bgctl unfreeze shop"),
        ("confirmation", Policy { ask: true, ..policy() }, |_| {}, "--yes"),
        ("journal", policy(), |world| world.journal_fails(), "--force=journal"),
        (
            "watch",
            Policy { bake: Some(seconds(60)), ..policy() },
            |world| drop(world.go(BLUE.other())),
            "bgctl confirm",
        ),
        ("passive", passive(), World::passive_complaint, "--force=passive"),
        (
            "pause",
            Policy { confirm_within: Some(seconds(30)), ..policy() },
            |world| drop(world.say(Verb::Pause { time: seconds(20) })),
            "bgctl resume shop",
        ),
        (
            "hooks",
            Policy { gating_hooks: true, ..policy() },
            |world| world.hooks = Hooks::Disagree,
            "--force=hooks",
        ),
    ];
    for (gate, policy, prepare, mend) in rows {
        let mut world = World::new(policy);
        prepare(&mut world);
        let to = world.live().other();
        let (word, before) = (world.kernel["shop"], world.shop().clone());
        let refusal = world.go(to).unwrap_err();
        assert_eq!(refusal.code, format!("gate-{gate}"), "{refusal}");
        assert!(refusal.mend.contains(mend), "{refusal}");
        assert_eq!(world.kernel["shop"], word, "{gate}");
        let after = world.shop();
        assert_eq!(
            (&after.rollback, &after.watch, &after.slices),
            (&before.rollback, &before.watch, &before.slices)
        );
        assert!(after.change.is_none(), "{gate}");
    }
}

#[test]
fn force_names_each_gate_that_it_overrides_and_no_other() {
    let mut world = World::new(Policy { ask: true, gating_hooks: true, ..probed() });
    world.hooks = Hooks::Disagree;
    world.say(Verb::Freeze).unwrap();
    assert_eq!(code(world.forced(GREEN, &["health", "frozen"])), "gate-confirmation");
    assert_eq!(code(world.forced(GREEN, &["health", "frozen", "confirmation"])), "gate-hooks");
    world.forced(GREEN, &["health", "frozen", "confirmation", "hooks", "journal"]).unwrap();
    let What::Switched { overridden, .. } = &world.last("switched switch").what else {
        panic!();
    };
    assert_eq!(*overridden, ["frozen", "confirmation", "health", "hooks"]);
}

#[test]
fn what_cannot_be_overridden_stays_shut_and_what_is_no_gate_is_refused() {
    let mut world = World::new(policy());
    let force = Force::All;
    let plan = Some("7.0000".parse().unwrap());
    let order = SwitchOrder { plan, force, ..SwitchOrder::default() };
    assert_eq!(code(world.switch(order)), "gate-plan");
    let refusal = world.forced(GREEN, &["helth"]).unwrap_err();
    assert_eq!(refusal.code, "unknown-gate");
    assert!(refusal.mend.contains("health"), "{refusal}");
    let back = RollbackOrder { force: super::world::force(&["plan"]), fate: None };
    assert_eq!(code(world.order(Verb::Rollback(back))), "unknown-gate");
}

#[test]
fn times_without_end_are_refused() {
    let mut world = World::new(policy());
    let long = Some(Duration::MAX);
    let switch =
        |confirm_within, bake| Verb::Switch(SwitchOrder { confirm_within, bake, ..SwitchOrder::default() });
    let drill = Verb::Drill { hold: Duration::MAX, force: Force::All };
    for (verb, wanted) in [
        (switch(long, None), "bad-time"),
        (switch(None, long), "bad-time"),
        (drill, "bad-time"),
        (Verb::Pause { time: Duration::MAX }, "bad-pause"),
        (Verb::Pause { time: Duration::ZERO }, "bad-pause"),
        (Verb::DrainExtend { by: Duration::MAX }, "bad-time"),
    ] {
        assert_eq!(code(world.order(verb)), wanted);
    }
    assert_eq!(world.kernel["shop"], Word::initial(BLUE));
}

#[test]
fn a_second_order_is_refused_while_hooks_are_asked() {
    let mut world = World::new(Policy { gating_hooks: true, ..policy() });
    world.hooks = Hooks::Hang;
    let first = world.give(Verb::Switch(SwitchOrder::default()));
    let rows = [
        Verb::Switch(SwitchOrder::default()),
        Verb::Drill { hold: seconds(1), force: Force::All },
        Verb::Pause { time: seconds(1) },
        stage(GREEN, "v2", true, true),
    ];
    for verb in rows {
        let refusal = world.order(verb).unwrap_err();
        assert_eq!(refusal.code, "gate-in-progress", "{refusal}");
    }
    let rollback = world.order(Verb::Rollback(RollbackOrder::default()));
    assert_eq!(code(rollback), "gate-rollback-target", "for one that leads nowhere nothing is given up");
    assert_eq!(world.view().under_way.as_deref(), Some("a change to green"));
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    assert!(world.answers[&first].is_ok());
    assert_eq!(world.live(), GREEN);
}

/// Green is live, blue is the standby, and a switch back to blue waits for its hooks.
fn waiting_for_hooks(policy: Policy) -> (World, OrderId) {
    let mut world = World::new(Policy { gating_hooks: true, ..policy });
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.hooks = Hooks::Hang;
    let id = world.give(Verb::Switch(SwitchOrder { force: force(&["watch"]), ..SwitchOrder::default() }));
    assert!(!world.answers.contains_key(&id));
    world.told();
    (world, id)
}

#[test]
fn a_rollback_overtakes_a_switch_that_waits_for_its_hooks() {
    let (mut world, id) = waiting_for_hooks(policy());
    assert_eq!(world.rollback().unwrap().to, BLUE);
    let refusal = world.answers[&id].clone().unwrap_err();
    assert_eq!(refusal.code, "overtaken");
    assert!(refusal.what.contains("a rollback to blue"), "{refusal}");
    assert_eq!(world.told()[..3], ["not-switched switch", "about rollback", "switched rollback"]);

    let late = world.questions.pop().unwrap();
    world.reply(late, Hooks::Agree);
    assert_eq!((world.live(), world.told()), (BLUE, Vec::<String>::new()), "late hooks are not heard");
}

#[test]
fn a_rollback_overtakes_a_switch_that_waits_for_the_disk() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.disk = Disk::Hangs;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    let rollback = world.give(Verb::Rollback(RollbackOrder::default()));
    assert_eq!(code(world.answers[&id].clone()), "overtaken");
    let (index, token) = world.waiting().next().unwrap();
    world.acknowledge(index, token);
    assert_eq!(world.live(), GREEN, "what was given up is not made because it is written");
    world.pass(seconds(1));
    assert_eq!((world.live(), world.answers[&rollback].is_ok()), (BLUE, true));
}

#[test]
fn a_rollback_that_is_refused_leaves_what_waits() {
    let (mut world, id) = waiting_for_hooks(probed());
    world.sick(BLUE);
    assert_eq!(code(world.rollback()), "gate-health");
    assert!(!world.answers.contains_key(&id));
    world.healthy(&[BLUE]);
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    assert_eq!((world.live(), world.answers[&id].is_ok()), (BLUE, true));
}

#[test]
fn what_bg_does_by_itself_overtakes_a_switch_that_waits_for_its_hooks() {
    let failover = Policy { no_backend: NoBackend::FailOver, ..probed() };
    for (policy, cause) in
        [(Policy { bake: Some(seconds(60)), ..probed() }, "auto-rollback"), (failover, "fail-over")]
    {
        let (mut world, id) = waiting_for_hooks(policy);
        world.sick(GREEN);
        assert_eq!(world.live(), BLUE, "{cause}");
        let refusal = world.answers[&id].clone().unwrap_err();
        assert_eq!(refusal.code, "overtaken", "{cause}");
        let told = world.told();
        let wanted =
            ["not-switched switch".to_owned(), format!("about {cause}"), format!("switched {cause}")];
        assert_eq!(told[..3], wanted);
    }
    // Where it leads to what is no better, the switch goes on waiting.
    let (mut world, id) = waiting_for_hooks(Policy { bake: Some(seconds(60)), ..probed() });
    world.sick(BLUE);
    world.sick(GREEN);
    assert_eq!((world.live(), world.answers.contains_key(&id)), (GREEN, false));
}

#[test]
fn hooks_that_nobody_has_to_ask_agree_and_those_that_never_answer_do_not() {
    let mut world = World::new(Policy { gating_hooks: true, ..policy() });
    world.hooks = Hooks::Nobody;
    assert_eq!(world.go(GREEN).unwrap().to, GREEN);

    world.hooks = Hooks::Hang;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.pass(seconds(899));
    assert!(!world.answers.contains_key(&id));
    world.pass(seconds(1));
    assert_eq!(code(world.answers[&id].clone()), "gate-hooks");
    let late = world.questions.pop().unwrap();
    world.reply(late, Hooks::Agree);
    assert_eq!(world.live(), GREEN, "an answer that comes too late starts nothing");
}

#[test]
fn gates_are_asked_again_after_hooks_and_journal_took_their_time() {
    let mut world = World::new(Policy { gating_hooks: true, ..probed() });
    world.healthy(&[BLUE, GREEN]);
    world.hooks = Hooks::Hang;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.sick(GREEN);
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    assert_eq!(code(world.answers[&id].clone()), "gate-health");
    assert_eq!(world.live(), BLUE);

    let mut world = World::new(policy());
    world.disk = Disk::Hangs;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.say(Verb::Freeze).unwrap();
    let (index, token) = world.waiting().next().unwrap();
    world.acknowledge(index, token);
    assert_eq!(code(world.answers[&id].clone()), "gate-frozen");
    assert_eq!(world.told().last().unwrap(), "not-switched switch");
}

#[test]
fn a_switch_waits_for_the_journal_and_is_refused_without_it() {
    let mut world = World::new(policy());
    world.disk = Disk::Hangs;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.pass(Duration::from_millis(4999));
    assert_eq!((world.live(), world.answers.contains_key(&id)), (BLUE, false));
    world.pass(Duration::from_millis(1));
    assert_eq!(code(world.answers[&id].clone()), "gate-journal");
    let (index, token) = world.waiting().next().unwrap();
    world.acknowledge(index, token);
    assert_eq!(world.live(), BLUE, "what is durable too late is not made any more");

    world.disk = Disk::Fails;
    assert_eq!(code(world.go(GREEN)), "journal-full");
    assert_eq!(world.live(), BLUE);
}

#[test]
fn a_journal_that_fails_can_be_done_without_by_force() {
    let mut world = World::new(policy());
    world.disk = Disk::Fails;
    world.forced(GREEN, &["journal"]).unwrap();
    assert_eq!(world.live(), GREEN);
    let What::Switched { overridden, .. } = &world.last("switched switch").what else {
        panic!();
    };
    assert_eq!(*overridden, ["journal"]);
}

#[test]
fn a_rollback_does_not_hang_on_a_broken_disk() {
    for (disk, within) in [(Disk::Fails, 0), (Disk::Hangs, 500)] {
        let mut world = World::new(policy());
        world.go(GREEN).unwrap();
        world.disk = disk;
        let id = world.give(Verb::Rollback(RollbackOrder::default()));
        world.pass(Duration::from_millis(within));
        assert!(world.answers[&id].is_ok(), "{disk:?}");
        assert_eq!(world.live(), BLUE);
    }
}

#[test]
fn a_plan_changes_nothing_and_names_every_gate() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    let before = world.machine.clone();
    let plan = world.plan();
    assert!(plan.is_clear(), "{:?}", plan.gates);
    assert_eq!((plan.from, plan.to, plan.plan.generation), (BLUE, GREEN, 0));
    let gates: Vec<_> = plan.gates.iter().map(|gate| gate.name.as_str()).collect();
    let wanted = [
        "word",
        "in-progress",
        "already-live",
        "watch",
        "frozen",
        "pause",
        "confirmation",
        "health",
        "passive",
        "journal",
        "hooks",
    ];
    assert_eq!(gates, wanted);
    assert_eq!(world.machine, before);
}

#[test]
fn a_switch_by_a_plan_is_exactly_that_or_refused() {
    let world = || {
        let mut world = World::new(Policy { bake: Some(seconds(60)), ..probed() });
        world.healthy(&[BLUE, GREEN]);
        world
    };
    let by = |plan| Verb::Switch(SwitchOrder { plan: Some(plan), ..SwitchOrder::default() });
    let mut good = world();
    let plan = good.plan().plan;
    assert!(good.order(by(plan)).is_ok());
    assert_eq!(good.live(), GREEN);

    type Spoil = fn(&mut World);
    let rows: [(&str, Spoil); 6] = [
        ("another version", |world| drop(world.stage(GREEN, "v9"))),
        ("a gate was shut", |world| drop(world.say(Verb::Freeze))),
        ("health", |world| world.sick(GREEN)),
        ("the word", |world| world.write_word(|it| it.canary = 5)),
        ("another fate", |world| world.configure(|policy| policy.fate = FateChoice::Reset)),
        ("another bake time", |world| world.configure(|policy| policy.bake = None)),
    ];
    for (name, spoil) in rows {
        let mut world = world();
        let plan = world.plan().plan;
        spoil(&mut world);
        let word = world.kernel["shop"];
        let refusal = world.order(by(plan)).unwrap_err();
        assert!(refusal.what.contains("does not hold any more"), "{name}: {refusal}");
        assert_eq!(world.kernel["shop"], word, "{name}");
    }

    let mut short = world();
    let generation = |generation| PlanId { generation, digest: None };
    assert_eq!(code(short.order(by(generation(1)))), "gate-plan");
    assert!(short.order(by(generation(0))).is_ok(), "without a digest only the generation has to hold");
}

#[test]
fn each_gate_that_refuses_has_a_line_and_a_mend_for_what_was_ordered() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.sick(BLUE);
    let refusal = world.rollback().unwrap_err();
    assert!(
        refusal.mend.contains("to go back all the same: bgctl rollback shop --force=health"),
        "{refusal}"
    );
    world.say(Verb::Freeze).unwrap();
    let refusal = world.go(BLUE).unwrap_err();
    let names = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&refusal.what), ["frozen", "health"], "{refusal}");
    assert_eq!(names(&refusal.mend), ["frozen", "health", "all of them"], "{refusal}");
    assert!(refusal.mend.ends_with("--force=frozen,health"), "{refusal}");
    let What::Refused { gates, why, .. } = &world.last("refused").what else { panic!() };
    assert_eq!(
        (gates.as_slice(), why.contains('\n')),
        (["frozen", "health"].map(str::to_owned).as_slice(), false)
    );
    assert!(world.forced(BLUE, &["frozen", "health"]).is_ok());
}

#[test]
fn an_order_for_what_somebody_else_has_made_live_takes_it_as_it_is() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.write_word(|fields| fields.live = BLUE);
    assert!(world.view().drifted.is_some());
    world.told();
    assert!(world.go(BLUE).unwrap().already);
    assert_eq!((world.view().drifted, world.told()), (None, vec!["not-switched switch".to_owned()]));
    assert!(world.go(BLUE).unwrap().already);
    assert_eq!(world.told(), Vec::<String>::new(), "only what there was to settle is told");
}

#[test]
fn machines_of_a_slice_that_is_down_by_order_are_down_by_order() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    let over = |backend, state| Verb::Override { colour: GREEN, backend, state };
    world.say(over(None, Some(false))).unwrap();
    let verdicts = |world: &World| -> Vec<_> {
        let probes = world.shop().health_view(world.now).probes.into_iter();
        probes.filter(|it| it.colour == Some(GREEN)).map(|it| (it.up, it.overridden)).collect()
    };
    assert_eq!(verdicts(&world), [(Some(false), true), (Some(false), true)]);
    world.say(over(Some(address(GREEN, 1)), Some(true))).unwrap();
    assert_eq!(verdicts(&world), [(Some(true), true), (Some(false), true)]);
    world.say(over(None, None)).unwrap();
    assert_eq!(verdicts(&world), [(Some(true), true), (Some(true), false)]);
}

#[test]
fn a_plan_outlives_what_does_not_matter_to_it() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    let plan = world.plan().plan;
    let bare = PlanId { digest: None, ..plan };
    for _ in 0..2 {
        world.pass(seconds(2));
        world.sweep([0, 0]);
    }
    assert!(!world.fields().draining);
    world.say(Verb::Pause { time: seconds(5) }).unwrap();
    world.say(Verb::Resume).unwrap();
    assert_ne!(world.plan().plan.generation, plan.generation);
    world.restart();
    for plan in [plan, bare] {
        let asked = world.machine.clone();
        assert_eq!(
            world.switch(SwitchOrder { plan: Some(plan), ..SwitchOrder::default() }).unwrap().to,
            BLUE
        );
        // Live has changed, and with it everything.
        let refusal = world.switch(SwitchOrder { plan: Some(plan), ..SwitchOrder::default() }).unwrap_err();
        assert_eq!(refusal.code, "gate-plan");
        world.go(GREEN).unwrap();
        world.machine = asked;
        world.kernel.insert("shop".to_owned(), world.shop().word());
    }
    world.write_word(|fields| fields.paused = true);
    let refusal = world.switch(SwitchOrder { plan: Some(bare), ..SwitchOrder::default() }).unwrap_err();
    assert_eq!(refusal.code, "gate-plan", "what somebody else does to the word is not known to be nothing");
}

#[test]
fn a_plan_does_not_hold_any_more_when_somebody_is_faster() {
    let mut world = World::new(policy());
    let plan = Some(world.plan().plan);
    world.foreign.push_back(word(|it| (it.canary, it.generation) = (5, 1)));
    let refusal = world.switch(SwitchOrder { plan, ..SwitchOrder::default() }).unwrap_err();
    assert_eq!(refusal.code, "gate-plan");
    assert_eq!(world.live(), BLUE);
}

#[test]
fn a_rollback_goes_to_who_was_live_by_identity() {
    let mut world = World::new(policy());
    world.stage(GREEN, "v2").unwrap();
    world.go(GREEN).unwrap();
    assert_eq!(roles(&world), [Role::Standby, Role::Live]);
    assert_eq!(world.view().rollback.target.unwrap().identity, 0);
    let back = world.rollback().unwrap();
    assert_eq!((back.from, back.to, back.generation), (GREEN, BLUE, 2));
    assert_eq!(back.from_version.as_deref(), Some("v2"));
    assert_eq!(roles(&world), [Role::Live, Role::Staging], "what was taken back is no way back");
    let refusal = world.rollback().unwrap_err();
    assert_eq!(refusal.code, "gate-rollback-target");
    assert!(refusal.mend.contains("bgctl switch shop --to green"), "{refusal}");
}

#[test]
fn what_was_never_switched_cannot_be_rolled_back() {
    let mut world = World::new(policy());
    let refusal = world.rollback().unwrap_err();
    assert_eq!(refusal.code, "gate-rollback-target");
    assert!(refusal.what.contains("never switched") && refusal.mend.contains("--to green"), "{refusal}");
    assert_eq!(world.view().rollback.blocked.unwrap().0, refusal.what);
}

#[test]
fn staging_over_the_only_way_back_has_to_be_wanted() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    let before = world.shop().clone();
    let refusal = world.stage(BLUE, "v3").unwrap_err();
    assert_eq!(refusal.code, "gives-up-rollback");
    assert_eq!(world.shop().slices, before.slices);
    assert!(world.view().rollback.target.is_some());

    world.say(stage(BLUE, "v3", true, false)).unwrap();
    assert_eq!(roles(&world), [Role::Staging, Role::Live]);
    let refusal = world.rollback().unwrap_err();
    assert_eq!(refusal.code, "gate-rollback-target");
    assert!(refusal.what.contains("(v3) was staged over it"), "{refusal}");
    world.stage(BLUE, "v4").unwrap();
    world.go(BLUE).unwrap();
    assert_eq!(world.view().rollback.target.unwrap().colour, GREEN);
}

#[test]
fn a_hotfix_of_live_keeps_the_way_back() {
    let mut world = World::new(policy());
    world.stage(GREEN, "v2").unwrap();
    world.go(GREEN).unwrap();
    assert_eq!(code(world.stage(GREEN, "v2.1")), "stage-live");
    let said = world.say(stage(GREEN, "v2.1", false, true)).unwrap();
    assert_eq!(said, "green (v2.1) is live, mended in place");
    let back = world.rollback().unwrap();
    assert_eq!((back.to, back.from_version.as_deref()), (BLUE, Some("v2.1")));
}

#[test]
fn a_rollback_to_a_side_that_fails_is_refused_and_to_one_nobody_knows_it_is_not() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    world.go(GREEN).unwrap();
    world.sick(BLUE);
    assert_eq!(code(world.rollback()), "gate-health");
    assert!(world.view().rollback.blocked.unwrap().1.contains("--force=health"));
    world.restart();
    assert_eq!(world.view().rollback.blocked, None);
    assert_eq!(world.rollback().unwrap().to, BLUE, "nothing has been asked yet");
}

#[test]
fn a_freeze_refuses_switches_but_no_way_back() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.say(Verb::Freeze).unwrap();
    assert_eq!(code(world.go(BLUE)), "gate-frozen");
    assert_eq!(code(world.order(Verb::Drill { hold: seconds(1), force: Force::Nothing })), "gate-frozen");
    world.rollback().unwrap();
    assert!(world.view().frozen.is_some());
    assert_eq!(world.say(Verb::Unfreeze).unwrap(), "switches are allowed again");
    assert_eq!(world.say(Verb::Unfreeze).unwrap(), "it was not frozen");
    world.go(GREEN).unwrap();
}

#[test]
fn a_pause_ends_by_the_programs_and_its_end_is_written_down() {
    let mut world = World::new(policy());
    world.say(Verb::Pause { time: seconds(20) }).unwrap();
    assert!(world.fields().paused && world.fields().resume_at_deadline);
    assert!(world.view().paused_for.unwrap() > seconds(19));
    world.pass(seconds(21));
    assert!(!world.fields().paused);
    assert_eq!(world.told().last().unwrap(), "resumed");
    assert_eq!(world.say(Verb::Resume).unwrap(), "new flows were not held");
    world.say(Verb::Pause { time: seconds(20) }).unwrap();
    assert_eq!(world.say(Verb::Resume).unwrap(), "new flows go on");
    assert!(!world.fields().paused && world.fields().deadline == 0);
}

#[test]
fn a_pause_outlasts_a_switch_and_a_rollback() {
    let mut world = World::new(policy());
    world.say(Verb::Pause { time: seconds(20) }).unwrap();
    let deadline = world.fields().deadline;
    world.go(GREEN).unwrap();
    assert!(world.fields().paused && world.fields().resume_at_deadline);
    assert_eq!(world.fields().deadline, deadline);
    world.rollback().unwrap();
    assert_eq!((world.fields().paused, world.fields().deadline), (true, deadline));
    world.pass(seconds(21));
    assert_eq!((world.live(), world.fields().paused), (BLUE, false));
    assert!(world.view().frozen.is_none(), "the end of a pause is no alarm");
}

#[test]
fn a_pause_that_ends_while_a_switch_is_prepared_is_over_with_it() {
    let mut world = World::new(Policy { gating_hooks: true, ..policy() });
    world.say(Verb::Pause { time: seconds(2) }).unwrap();
    world.hooks = Hooks::Hang;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.pass(seconds(5));
    let question = world.questions.pop().unwrap();
    world.reply(question, Hooks::Agree);
    assert!(world.answers[&id].is_ok());
    assert_eq!((world.live(), world.fields().paused, world.fields().deadline), (GREEN, false, 0));
    assert!(world.told().contains(&"resumed".to_owned()));
}

#[test]
fn the_only_deadline_is_not_given_away_twice() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    assert_eq!(code(world.say(Verb::Pause { time: seconds(5) })), "deadline-in-use");
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.say(Verb::Pause { time: seconds(5) }).unwrap();
    assert_eq!(code(world.order(Verb::Drill { hold: seconds(1), force: Force::All })), "gate-pause");
}

#[test]
fn a_drain_ends_after_two_empty_sweeps_and_two_seconds() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    let rows = [
        // (seconds later, open flows of [blue, green], still draining)
        (0, [0, 5], true),
        (1, [0, 5], true),
        (1, [1, 5], true),
        (1, [0, 5], true),
        (1, [1, 5], true),
        (1, [0, 5], true),
        (1, [0, 5], false),
    ];
    for (later, open, draining) in rows {
        world.pass(seconds(later));
        world.sweep(open);
        assert_eq!(world.kernel["shop"].draining(), draining, "{later} {open:?}");
    }
    assert_eq!(world.told().last().unwrap(), "drained");
}

#[test]
fn a_sweep_from_before_the_switch_ends_no_drain() {
    let mut world = World::new(policy());
    let began = world.now;
    world.pass(seconds(1));
    world.go(GREEN).unwrap();
    world.pass(seconds(10));
    for _ in 0..5 {
        world.feed(Event::Swept { began, open: vec![("shop".to_owned(), Default::default())] });
    }
    assert!(world.kernel["shop"].draining());
}

#[test]
fn a_drain_has_a_deadline_that_can_be_moved() {
    let limit = DrainLimit { after: seconds(60), fate: FateChoice::Move };
    let mut world = World::new(Policy { drain_limit: Some(limit), ..policy() });
    assert_eq!(code(world.say(Verb::DrainExtend { by: seconds(5) })), "no-drain");
    world.go(GREEN).unwrap();
    world.sweep([7, 0]);
    assert_eq!(world.view().drain.unwrap().left, Some(seconds(60)));
    assert_eq!(world.view().drain.unwrap().fate_then, Some("move"));
    world.pass(seconds(50));
    world.say(Verb::DrainExtend { by: seconds(100) }).unwrap();
    world.pass(seconds(99));
    assert_eq!(world.fields().fate, Fate::Keep);
    world.pass(seconds(1));
    assert_eq!(world.fields().fate, Fate::Move);
    assert_eq!(world.told().last().unwrap(), "drain-ended");
    assert_eq!(code(world.say(Verb::DrainExtend { by: seconds(5) })), "no-drain");
}

#[test]
fn a_drain_can_be_ended_by_order() {
    let mut world = World::new(policy());
    assert_eq!(code(world.say(Verb::DrainEnd { fate: FateChoice::Reset })), "no-drain");
    world.go(GREEN).unwrap();
    assert_eq!(code(world.say(Verb::DrainEnd { fate: FateChoice::Keep })), "bad-fate");
    world.say(Verb::DrainEnd { fate: FateChoice::Reset }).unwrap();
    assert_eq!(world.fields().fate, Fate::Reset);
}

#[test]
fn a_rollback_during_a_drain_drains_the_other_side_anew() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.pass(seconds(3));
    world.sweep([0, 9]);
    world.rollback().unwrap();
    for open in [[9, 3], [9, 3], [9, 0]] {
        world.pass(seconds(3));
        world.sweep(open);
        assert!(world.kernel["shop"].draining(), "green had flows left: {open:?}");
    }
    world.pass(seconds(1));
    world.sweep([9, 0]);
    assert_eq!(world.kernel["shop"], word(|it| it.generation = 3));
}

#[test]
fn an_order_says_which_fate_flows_of_the_old_side_have() {
    let mut world = World::new(Policy { fate: FateChoice::Move, ..policy() });
    world.go(GREEN).unwrap();
    assert_eq!(world.fields().fate, Fate::Move);
    let back = RollbackOrder { fate: Some(FateChoice::Reset), ..RollbackOrder::default() };
    assert!(world.order(Verb::Rollback(back)).is_ok());
    assert_eq!(world.fields().fate, Fate::Reset);
}

#[test]
fn what_an_operator_says_of_health_goes_before_probes() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    let put = |backend, state| Verb::Override { colour: GREEN, backend, state };
    assert_eq!(code(world.say(put(Some(address(BLUE, 1)), Some(false)))), "unknown-backend");
    assert_eq!(world.say(put(None, Some(false))).unwrap(), "green is down, whatever probes say");
    assert_eq!(code(world.go(GREEN)), "gate-health");
    world.say(put(None, None)).unwrap();
    world.sick(GREEN);
    world.say(put(None, Some(true))).unwrap();
    world.go(GREEN).unwrap();

    world.say(put(Some(address(GREEN, 1)), Some(false))).unwrap();
    assert_eq!(world.down["shop"].len(), 2, "it is taken off the rings of both services: {:?}", world.down);
    world.restart();
    assert_eq!(world.view().overrides.len(), 2, "after a restart it is still so");
}

#[test]
fn flapping_is_not_healthy_and_forgiven_after_a_while() {
    let flap = Flap { changes: 4, within: seconds(60) };
    let mut world = World::new(Policy { flap, ..probed() });
    world.healthy(&[BLUE, GREEN]);
    let target = Target::Backend(GREEN, address(GREEN, 1));
    for _ in 0..2 {
        world.probed("web", target, bad());
        world.probed("web", target, fine(None));
    }
    let refusal = world.go(GREEN).unwrap_err();
    assert_eq!(refusal.code, "gate-health");
    assert!(refusal.what.contains("flaps"), "{refusal}");
    world.pass(seconds(61));
    world.probed("web", target, fine(None));
    world.go(GREEN).unwrap();
}

#[test]
fn a_deployment_that_goes_away_leaves_no_order_without_an_answer() {
    let mut world = World::new(Policy { gating_hooks: true, ..policy() });
    world.hooks = Hooks::Hang;
    let id = world.give(Verb::Switch(SwitchOrder::default()));
    world.kernel.clear();
    world.reread();
    assert_eq!(code(world.answers[&id].clone()), "unknown-deployment");
    assert_eq!(world.machine.next_timer(world.now), None);
}

#[test]
fn words_that_come_before_the_configuration_change_no_ring() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE, GREEN]);
    let target = Target::Backend(GREEN, address(GREEN, 1));
    world.probe_as_often(&probe("web"), target, false);
    let down = world.down.clone();
    assert_eq!(down["shop"].len(), 2);

    let memories = world.memories().into_iter().collect();
    world.machine = super::super::Machine::default();
    world.feed(Event::Remembered { boot: "boot-1".to_owned(), memories, doubt: None });
    let served = world.served;
    world.reread();
    world.feed(Event::Configured(world.configured.clone()));
    assert_eq!((world.served, &world.down), (served, &down));
    world.probe_as_often(&probe("web"), target, true);
    assert_eq!(world.down["shop"], []);
}

#[test]
fn a_deployment_of_nobody_can_be_switched() {
    let mut world = World::with(&[("shop", Word::initial(BLUE), policy())]);
    world.configured = Vec::<Configured>::new();
    world.restart();
    world.configured = vec![Configured { name: "shop".to_owned(), policy: policy(), services: Vec::new() }];
    assert!(matches!(world.order(Verb::Switch(SwitchOrder::default())), Ok(Done::Switched(_))));
}

fn roles(world: &World) -> [Role; 2] {
    world.view().slices.map(|slice| slice.role)
}

/// Real traffic is watched: ten handshakes are enough to tell, and a fifth may be refused.
pub(super) fn passive() -> Policy {
    let passive = Passive { window: seconds(10), least: 10, unanswered: 20, refused: 20, resets: 20 };
    Policy { passive: Some(passive), ..policy() }
}

impl World {
    /// A switch to green that has to be confirmed within so many seconds.
    pub(super) fn confirmed_switch(&mut self, within: u64) {
        let order = SwitchOrder { confirm_within: Some(seconds(within)), ..SwitchOrder::default() };
        self.switch(order).unwrap();
    }

    fn journal_fails(&mut self) {
        let refusal =
            crate::refusal::Refusal::new("journal-full", "no space left", "/var/lib/bg", "make room");
        self.feed(Event::JournalState(Some(refusal)));
    }

    /// Clients that come to green are refused.
    pub(super) fn passive_complaint(&mut self) {
        for _ in 0..4 {
            self.count(|[_, green]| {
                green.handshakes += 20;
                green.flows += 20;
                green.refused += 20;
            });
        }
    }
}
