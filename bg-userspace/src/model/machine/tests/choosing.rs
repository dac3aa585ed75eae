//! Canaries and previews: what begins them, what refuses them, and what ends them.

use super::rules::passive;
use super::world::*;
use crate::model::event::Event;
use crate::model::order::{Done, Force, RollbackOrder, SwitchOrder, Verb};
use crate::model::policy::{DrainLimit, FateChoice, Policy, Target};
use crate::prefix::Prefix;
use bg_common::word::Fate;
use bg_common::{Aim, Colour, Word};

fn canary(share: u16) -> Verb {
    Verb::Canary { share, force: Force::Nothing }
}

fn office() -> Prefix {
    "203.0.113.0/24".parse().unwrap()
}

fn lead(to: Option<Aim>) -> Verb {
    Verb::Preview { prefix: office(), to }
}

#[test]
fn a_canary_is_set_raised_and_ended_and_the_word_says_so() {
    let mut world = World::new(policy());
    assert_eq!(world.say(canary(50)).unwrap(), "5 % of new flows go to green");
    assert_eq!((world.fields().canary, world.live(), world.fields().draining), (50, BLUE, false));
    assert_eq!(world.view().canary, 50);
    assert_eq!(world.plan().canary, 50);
    assert_eq!(world.say(canary(50)).unwrap(), "5 % of new flows go to green already");
    assert_eq!(world.say(canary(1000)).unwrap(), "100 % of new flows go to green");
    assert_eq!(world.say(canary(0)).unwrap(), "the canary is over: all new flows go to blue");
    assert_eq!(world.say(canary(0)).unwrap(), "there is no canary");
    assert_eq!(world.fields().canary, 0);
    assert_eq!(world.told(), ["started", "canary", "canary", "canary"]);
    let refusal = world.order(canary(1001)).unwrap_err();
    assert_eq!(refusal.code, "bad-share");
}

#[test]
fn each_gate_that_is_shut_refuses_a_canary_and_nothing_refuses_less_of_one() {
    type Prepare = fn(&mut World);
    let rows: [(&str, Policy, Prepare, bool); 7] = [
        ("health", probed(), |world| world.sick(GREEN), true),
        ("health", probed(), |_| {}, true),
        ("frozen", policy(), |world| drop(world.say(Verb::Freeze)), true),
        ("passive", passive(), World::passive_complaint, true),
        ("watch", Policy { bake: Some(seconds(60)), ..policy() }, |world| drop(world.go(GREEN)), true),
        ("drain", Policy { fate: FateChoice::Reset, ..policy() }, |world| drop(world.go(GREEN)), false),
        ("drain", Policy { leaves: true, ..policy() }, |world| drop(world.go(GREEN)), false),
    ];
    for (gate, policy, prepare, forcible) in rows {
        let mut world = World::new(policy.clone());
        prepare(&mut world);
        let before = world.kernel["shop"];
        let refusal = world.order(canary(50)).unwrap_err();
        assert_eq!(refusal.code, format!("gate-{gate}"), "{refusal}");
        assert!(!refusal.mend.is_empty());
        assert_eq!(world.kernel["shop"], before, "{gate}");
        let forced = world.order(Verb::Canary { share: 50, force: force(&[gate]) });
        assert_eq!(forced.is_ok(), forcible && gate != "drain", "{gate}: {forced:?}");
        if forcible {
            world.say(canary(20)).unwrap();
            world.say(canary(0)).unwrap();
        }
    }
}

#[test]
fn every_way_of_changing_who_is_live_ends_a_canary() {
    let waits = SwitchOrder { confirm_within: Some(seconds(30)), ..SwitchOrder::default() };
    for order in [SwitchOrder::default(), waits] {
        let mut world = World::new(policy());
        world.say(canary(50)).unwrap();
        world.switch(order).unwrap();
        assert_eq!((world.live(), world.fields().canary), (GREEN, 0));
    }
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.say(canary(50)).unwrap();
    world.order(Verb::Rollback(RollbackOrder::default())).unwrap();
    assert_eq!((world.live(), world.fields().canary), (BLUE, 0));
}

#[test]
fn what_the_programs_take_back_has_no_canary() {
    let mut world = World::new(policy());
    world.confirmed_switch(30);
    world.order(Verb::Canary { share: 50, force: force(&["watch"]) }).unwrap();
    assert_eq!(world.fields().canary, 50);
    world.pass(seconds(31));
    assert_eq!((world.live(), world.fields().canary), (BLUE, 0));
}

#[test]
fn a_canary_whose_side_fails_ends_by_itself_and_freezes() {
    let mut world = World::new(probed());
    world.healthy(&Colour::BOTH);
    world.say(canary(50)).unwrap();
    world.told();
    world.sick(GREEN);
    assert_eq!(world.fields().canary, 0);
    assert_eq!(world.told(), ["canary", "frozen"]);
    let record = world.last("canary");
    assert!(record.reason.as_deref().is_some_and(|why| why.contains("green is not healthy")), "{record:?}");
    world.healthy(&[GREEN]);
    assert_eq!(world.order(canary(50)).unwrap_err().code, "gate-frozen");
}

#[test]
fn a_canary_whose_flows_fail_ends_by_itself_although_probes_are_well() {
    let mut world = World::new(passive());
    world.say(canary(50)).unwrap();
    world.passive_complaint();
    assert_eq!(world.fields().canary, 0);
    assert!(world.view().frozen.is_some());
}

#[test]
fn a_canary_is_not_ended_towards_what_is_no_better_or_against_an_order() {
    let mut world = World::new(probed());
    world.healthy(&Colour::BOTH);
    world.say(canary(50)).unwrap();
    world.sick(BLUE);
    world.sick(GREEN);
    assert_eq!(world.fields().canary, 50, "blue is no better");
    world.healthy(&[BLUE]);
    assert_eq!(world.fields().canary, 0, "blue is well again");

    let mut world = World::new(probed());
    world.healthy(&[BLUE]);
    world.sick(GREEN);
    world.order(Verb::Canary { share: 50, force: force(&["health"]) }).unwrap();
    world.pass(seconds(60));
    assert_eq!(world.fields().canary, 50, "somebody wants it all the same");
    world.restart();
    world.healthy(&[BLUE]);
    world.sick(GREEN);
    assert_eq!(world.fields().canary, 50, "and after a restart");
}

#[test]
fn an_answer_of_the_canary_through_the_vip_says_nothing_about_live() {
    let mut world = World::new(Policy {
        probes: vec![crate::model::policy::ProbePolicy { vip: true, ..probe("web") }],
        ..policy()
    });
    world.healthy(&Colour::BOTH);
    world.vip(Some(BLUE));
    world.say(canary(50)).unwrap();
    world.vip(Some(GREEN));
    assert_eq!(world.view().vip.0, Some(true));
    world.say(canary(0)).unwrap();
    for _ in 0..3 {
        world.probed("web", Target::Vip, fine(Some(GREEN)));
    }
    assert_eq!(world.view().vip.0, Some(false));
}

#[test]
fn a_drain_is_not_ended_under_a_canary_that_leads_there() {
    let limit = DrainLimit { after: seconds(60), fate: FateChoice::Reset };
    let mut world = World::new(Policy { drain_limit: Some(limit), ..policy() });
    world.go(GREEN).unwrap();
    world.say(canary(50)).unwrap();
    assert_eq!(world.order(Verb::DrainEnd { fate: FateChoice::Reset }).unwrap_err().code, "canary");
    world.pass(seconds(120));
    assert_eq!(world.fields().fate, Fate::Keep, "new flows of blue would be reset");
    world.say(canary(0)).unwrap();
    world.pass(seconds(1));
    assert_eq!(world.fields().fate, Fate::Reset);
}

#[test]
fn a_drill_waits_for_the_end_of_a_canary() {
    let mut world = World::new(policy());
    world.go(GREEN).unwrap();
    world.say(canary(50)).unwrap();
    let refusal = world.order(Verb::Drill { hold: seconds(5), force: Force::All }).unwrap_err();
    assert_eq!(refusal.code, "gate-canary");
}

#[test]
fn a_canary_outlives_the_daemon_and_not_a_boot() {
    let mut world = World::new(policy());
    world.say(canary(50)).unwrap();
    world.restart();
    assert_eq!((world.fields().canary, world.last("started").reason.clone()), (50, None));
    world.reboot();
    assert_eq!(world.fields().canary, 0);
}

#[test]
fn a_canary_of_somebody_else_is_drift_and_stays() {
    let mut world = World::new(policy());
    world.write_word(|fields| fields.canary = 300);
    assert_eq!(world.fields().canary, 300);
    assert!(world.told().contains(&"drift".to_owned()));
    assert_eq!(world.view().canary, 300);
}

#[test]
fn an_order_about_the_canary_settles_what_somebody_else_made_of_it_and_not_who_is_live() {
    let mut world = World::new(policy());
    world.write_word(|fields| fields.canary = 300);
    assert!(world.view().drifted.is_some());
    assert_eq!(world.say(canary(300)).unwrap(), "30 % of new flows go to green already");
    assert!(world.view().drifted.is_none(), "it is taken as it is");
    assert_eq!(world.told(), ["started", "drift", "canary"]);
    world.write_word(|fields| fields.canary = 100);
    world.say(canary(50)).unwrap();
    assert!(world.view().drifted.is_none(), "it is as it was wanted");
    world.write_word(|fields| fields.live = GREEN);
    world.say(canary(20)).unwrap();
    assert!(world.view().drifted.is_some(), "nobody has said that green shall be live");
}

/// The daemon is started while the journal cannot be read.
fn blind(world: &mut World) -> Event {
    let memories = world.memories().into_iter().collect();
    world.journal.clear();
    world.durable = 0;
    world.restart();
    Event::Remembered { boot: "boot-1".to_owned(), memories, doubt: None }
}

#[test]
fn preview_rules_that_are_remembered_late_are_led_again_unless_others_were_ordered_since() {
    let mut world = World::new(Policy { bake: Some(seconds(600)), ..policy() });
    world.say(lead(Some(Aim::Other))).unwrap();
    world.go(GREEN).unwrap();
    let remembered = blind(&mut world);
    assert!(world.view().previews.is_empty());
    world.feed(remembered);
    assert_eq!(world.view().previews, [(office(), Aim::Other, false)]);
    assert_eq!(world.previews["shop"], [(office(), Aim::Other)]);
    assert_eq!(world.memories()["shop"].previews, [(office(), Aim::Other)]);
    assert!(world.fields().preview);
    assert!(world.view().bake_left.is_some(), "the word is as it was, but for the rules");

    let remembered = blind(&mut world);
    let prefix = "198.51.100.0/24".parse().unwrap();
    world.say(Verb::Preview { prefix, to: Some(Aim::Green) }).unwrap();
    world.feed(remembered);
    assert_eq!(world.view().previews, [(prefix, Aim::Green, false)]);
}

#[test]
fn that_a_canary_was_forced_is_remembered_late() {
    let mut world = World::new(probed());
    world.healthy(&[BLUE]);
    world.sick(GREEN);
    world.order(Verb::Canary { share: 50, force: force(&["health"]) }).unwrap();
    let remembered = blind(&mut world);
    world.feed(remembered);
    world.healthy(&[BLUE]);
    world.sick(GREEN);
    assert_eq!(world.fields().canary, 50);
}

#[test]
fn preview_rules_of_a_deployment_that_was_away_are_led_again() {
    let mut world = World::new(policy());
    world.say(lead(Some(Aim::Other))).unwrap();
    world.kernel.remove("shop");
    world.reread();
    assert!(!world.previews.contains_key("shop"));
    let word = world.machine.memories["shop"].after_reboot();
    world.kernel.insert("shop".to_owned(), word);
    world.reread();
    assert_eq!(world.previews["shop"], [(office(), Aim::Other)]);
    assert!(world.fields().preview);
}

#[test]
fn an_order_about_previews_that_is_refused_by_the_word_is_undone() {
    let mut world = World::new(policy());
    world.broken = true;
    world.order(lead(Some(Aim::Other))).unwrap_err();
    assert!(world.view().previews.is_empty() && world.previews["shop"].is_empty());
    world.broken = false;
    world.pass(seconds(60));
    assert!(!world.fields().preview, "whoever was refused is not served later");
    world.say(lead(Some(Aim::Other))).unwrap();
    world.broken = true;
    world.order(lead(None)).unwrap_err();
    assert_eq!(world.previews["shop"], [(office(), Aim::Other)]);
    world.broken = false;
    world.pass(seconds(60));
    assert!(world.fields().preview);
}

#[test]
fn the_rules_of_all_deployments_fit_into_one_table() {
    let rule = |n: u32| (format!("10.{}.{}.0/24", n / 256, n % 256).parse().unwrap(), Aim::Other);
    // Each deployment with rules has two entries more, and one is left for the office.
    let many = Policy { previews: (0..16_384 - 5).map(rule).collect(), ..policy() };
    let word = Word::initial(BLUE);
    let mut world = World::with(&[("shop", word, policy()), ("mail", word, many)]);
    world.say(lead(Some(Aim::Other))).unwrap();
    let prefix = "198.51.100.0/24".parse().unwrap();
    let refusal = world.order(Verb::Preview { prefix, to: Some(Aim::Green) }).unwrap_err();
    assert_eq!(refusal.code, "too-many-previews");
    assert!(refusal.what.contains("16384 of the 16384"), "{refusal}");
    world.say(lead(Some(Aim::Green))).unwrap();
    world.say(lead(None)).unwrap();
}

#[test]
fn a_preview_rule_is_led_before_the_word_says_so_and_forgotten_with_it() {
    let mut world = World::new(policy());
    assert_eq!(
        world.say(lead(Some(Aim::Other))).unwrap(),
        "clients of 203.0.113.0/24 see the colour that is not live"
    );
    assert!(world.fields().preview);
    assert_eq!(world.previews["shop"], [(office(), Aim::Other)]);
    let generation = world.fields().generation;
    assert_eq!(world.say(lead(Some(Aim::Green))).unwrap(), "clients of 203.0.113.0/24 see green");
    assert_eq!(world.previews["shop"], [(office(), Aim::Green)]);
    assert_eq!(world.fields().generation, generation, "the word said so before");
    world.say(lead(None)).unwrap();
    assert!(!world.fields().preview && world.previews["shop"].is_empty());
    assert_eq!(world.told(), ["started", "preview", "preview", "preview"]);
}

#[test]
fn preview_rules_outlive_the_daemon_a_switch_and_a_boot() {
    let mut world = World::new(policy());
    world.say(lead(Some(Aim::Other))).unwrap();
    world.go(GREEN).unwrap();
    assert!(world.fields().preview);
    for again in [World::restart, World::reboot] {
        again(&mut world);
        assert!(world.fields().preview);
        assert_eq!(world.view().previews, [(office(), Aim::Other, false)]);
        assert_eq!(world.previews["shop"], [(office(), Aim::Other)]);
    }
}

#[test]
fn rules_of_the_configuration_set_the_word_by_themselves_and_go_before_orders() {
    let mut world = World::new(policy());
    world.say(lead(Some(Aim::Other))).unwrap();
    world.configure(|policy| policy.previews = vec![(office(), Aim::Blue)]);
    assert_eq!(world.view().previews, [(office(), Aim::Blue, true)]);
    assert!(world.fields().preview && world.previews["shop"].is_empty());
    let refusal = world.order(lead(None)).unwrap_err();
    assert_eq!(refusal.code, "preview-configured");
    assert!(refusal.mend.contains("[deployment.shop.preview]"), "{refusal}");
    world.configure(|policy| policy.previews.clear());
    assert!(!world.fields().preview);
    world.configure(|policy| policy.previews = vec![(office(), Aim::Blue)]);
    assert!(world.fields().preview);
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let mut world = World::new(policy());
    let everybody = |to| Verb::Preview { prefix: "::/3".parse().unwrap(), to };
    for (verb, code, mend) in [
        (lead(None), "unknown-preview", "list"),
        (lead(Some(Aim::Live)), "bad-preview", "rm"),
        (everybody(Some(Aim::Other)), "bad-preview", "2000::/3"),
        (everybody(None), "unknown-preview", "list"),
    ] {
        let refusal = world.order(verb).unwrap_err();
        assert_eq!(refusal.code, code);
        assert!(refusal.mend.contains(mend), "{refusal}");
    }
    for host in 0..256 {
        let prefix = format!("198.51.{}.0/24", host).parse().unwrap();
        world.say(Verb::Preview { prefix, to: Some(Aim::Green) }).unwrap();
    }
    let Err(refusal) = world.order(lead(Some(Aim::Green))) else { panic!("there is no end") };
    assert_eq!(refusal.code, "too-many-previews");
    assert!(matches!(
        world.order(Verb::Canary { share: 1, force: Force::Nothing }),
        Ok(Done::Changed { .. })
    ));
}

#[test]
fn machines_without_weight_have_no_say_and_do_not_keep_a_ring() {
    let [first, second] = [1, 2].map(|number| address(BLUE, number));
    let mut world = World::new(Policy { drained: vec![first], ..probed() });
    world.probe_as_often(&probe("web"), Target::Backend(BLUE, second), true);
    assert_eq!(world.view().slices[0].healthy, Some(true), "the one that serves is up");
    world.probe_as_often(&probe("web"), Target::Backend(BLUE, second), false);
    assert_eq!(world.view().slices[0].healthy, Some(false));
    assert!(
        world.down.get("shop").is_none_or(Vec::is_empty),
        "the last one that could serve stays on its ring"
    );
}
