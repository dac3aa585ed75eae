//! The machine against a kernel that is a map: histories by hand and at random.

use super::*;
use crate::model::order::Answer;
use bg_common::Colour;
use bg_common::word::Fields;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const BLUE: Colour = Colour::Blue;
const GREEN: Colour = Colour::Green;

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn word(live: Colour, draining: bool, generation: u16) -> Word {
    let fields = Fields { live, draining, generation, ..Word::initial(live).unpack().unwrap() };
    fields.pack().unwrap()
}

/// A machine and the kernel that it believes to talk to.
struct World {
    machine: Machine,
    kernel: BTreeMap<String, Word>,
    /// What somebody else writes just before the next exchanges.
    foreign: VecDeque<Word>,
    records: Vec<Record>,
    orders: u64,
}

impl World {
    fn new(words: &[(&str, Word)]) -> Self {
        let kernel = words.iter().map(|(name, word)| ((*name).to_owned(), *word)).collect();
        let (machine, foreign, records) = (Machine::default(), VecDeque::new(), Vec::new());
        let mut world = Self { machine, kernel, foreign, records, orders: 0 };
        world.reread(0);
        world
    }

    fn reread(&mut self, now: u64) {
        let words = self.kernel.iter().map(|(name, word)| (name.clone(), *word)).collect();
        self.handle(Event::Words(words), now);
    }

    fn order(&mut self, order: Order, now: u64) -> Answer {
        self.orders += 1;
        let id = OrderId(self.orders);
        let mut answers = self.handle(Event::Order { id, order }, now);
        assert_eq!(answers.len(), 1, "an order is answered once");
        let (answered, answer) = answers.remove(0);
        assert_eq!(answered, id);
        answer
    }

    fn switch(&mut self, to: Option<Colour>, now: u64) -> Answer {
        self.order(Order::Switch { deployment: None, to }, now)
    }

    fn sweep(&mut self, open: [u64; 2], now: u64) {
        let open = self.kernel.keys().map(|name| (name.clone(), open)).collect();
        let answers = self.handle(Event::Swept { began: at(now), open }, now);
        assert_eq!(answers, []);
    }

    /// Handles `event` and carries out what follows; the answers that were given.
    fn handle(&mut self, event: Event, now: u64) -> Vec<(OrderId, Answer)> {
        let mut answers = Vec::new();
        let mut effects: VecDeque<_> = self.machine.handle(event, at(now)).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Answer { id, answer } => answers.push((id, answer)),
                Effect::Record(record) => self.records.push(record),
                Effect::Exchange { deployment, expected, new } => {
                    let slot = self.kernel.get_mut(&deployment).unwrap();
                    if let Some(foreign) = self.foreign.pop_front() {
                        *slot = foreign;
                    }
                    let actual = *slot;
                    let outcome = if actual == expected {
                        *slot = new;
                        Outcome::Done { took: Duration::from_nanos(7) }
                    } else {
                        Outcome::Lost { actual }
                    };
                    effects.extend(self.machine.handle(Event::Exchanged { deployment, outcome }, at(now)));
                }
            }
        }
        answers
    }

    fn shop(&self) -> Word {
        self.kernel["shop"]
    }
}

fn shop(live: Colour) -> World {
    World::new(&[("shop", Word::initial(live))])
}

#[test]
fn a_switch_makes_the_other_colour_live_and_begins_a_drain() {
    let mut world = shop(BLUE);
    world.sweep([812, 0], 0);
    let switched = world.switch(None, 1).unwrap();
    let expected = Switched {
        deployment: "shop".to_owned(),
        from: BLUE,
        to: GREEN,
        generation: 1,
        took: Duration::from_nanos(7),
        already: false,
        staying: Some(812),
    };
    assert_eq!(switched, expected);
    assert_eq!(world.shop(), word(GREEN, true, 1));
    assert_eq!(world.records, [Record::Switched(expected)]);
}

#[test]
fn a_switch_to_the_live_colour_changes_nothing_and_says_so() {
    let mut world = shop(GREEN);
    let switched = world.switch(Some(GREEN), 0).unwrap();
    assert!(switched.already);
    assert_eq!((switched.from, switched.to, switched.generation), (GREEN, GREEN, 0));
    assert_eq!(world.shop(), Word::initial(GREEN));
    assert_eq!(world.records, []);
}

#[test]
fn a_rollback_goes_back_to_who_was_live_before() {
    let mut world = shop(BLUE);
    world.switch(Some(GREEN), 0).unwrap();
    let back = world.order(Order::Rollback { deployment: Some("shop".to_owned()) }, 1).unwrap();
    assert_eq!((back.from, back.to, back.generation), (GREEN, BLUE, 2));
}

#[test]
fn what_was_never_switched_cannot_be_rolled_back() {
    let refusal = shop(BLUE).order(Order::Rollback { deployment: None }, 0).unwrap_err();
    assert_eq!(refusal.code, "nothing-to-roll-back");
    assert_eq!(refusal.mend, "bgctl switch shop --to green");
}

#[test]
fn names_that_are_wrong_or_missing_list_what_there_is() {
    let two = [("api", Word::initial(BLUE)), ("shop", Word::initial(BLUE))];
    let rows: [(&[_], Option<&str>, &str, &str, &str); 4] = [
        (&two, None, "which-deployment", "api, shop", "bgctl switch NAME"),
        (&two, Some("shpo"), "unknown-deployment", "api, shop", "did you mean shop?"),
        (&two, Some("something"), "unknown-deployment", "api, shop", "bgctl status"),
        (&[], None, "no-deployment", "tables", "configuration"),
    ];
    for (words, name, code, at, mend) in rows {
        let deployment = name.map(str::to_owned);
        let refusal = World::new(words).order(Order::Switch { deployment, to: None }, 0).unwrap_err();
        assert_eq!(refusal.code, code);
        assert!(refusal.at.contains(at) && refusal.mend.contains(mend), "{refusal}");
    }
}

#[test]
fn a_drain_ends_after_two_empty_sweeps_that_began_after_the_switch() {
    let mut world = shop(BLUE);
    world.switch(None, 10).unwrap();
    let rows = [
        // (when, open flows of [blue, green], still draining)
        (9, [0, 5], true),
        (11, [1, 5], true),
        (12, [0, 5], true),
        (13, [1, 5], true),
        (14, [0, 5], true),
        (15, [0, 5], false),
    ];
    for (now, open, draining) in rows {
        world.sweep(open, now);
        assert_eq!(world.shop().draining(), draining, "after the sweep at {now}");
    }
    assert_eq!(world.shop(), word(GREEN, false, 2));
    let drained = Record::Drained { deployment: "shop".to_owned(), colour: BLUE, generation: 2 };
    assert_eq!(world.records.last(), Some(&drained));
}

#[test]
fn a_drain_never_ends_within_two_seconds_of_the_switch() {
    let mut world = shop(BLUE);
    world.switch(None, 10).unwrap();
    for _ in 0..5 {
        world.sweep([0, 0], 11);
        assert!(world.shop().draining());
    }
    world.sweep([0, 0], 12);
    assert!(!world.shop().draining());
}

#[test]
fn a_rollback_during_a_drain_drains_the_other_side_anew() {
    let mut world = shop(BLUE);
    world.switch(None, 10).unwrap();
    world.sweep([0, 9], 13);
    world.order(Order::Rollback { deployment: None }, 14).unwrap();
    world.sweep([9, 3], 20);
    world.sweep([9, 3], 21);
    assert!(world.shop().draining(), "green has flows left");
    world.sweep([9, 0], 22);
    world.sweep([9, 0], 23);
    assert_eq!(world.shop(), word(BLUE, false, 3));
}

#[test]
fn an_exchange_lost_to_a_harmless_change_is_tried_again() {
    let mut world = shop(BLUE);
    world.foreign = [word(BLUE, true, 5)].into();
    let switched = world.switch(None, 0).unwrap();
    assert_eq!((switched.from, switched.to, switched.generation), (BLUE, GREEN, 6));
    let drift = Record::Drift {
        deployment: "shop".to_owned(),
        seen: word(BLUE, false, 0),
        actual: word(BLUE, true, 5),
    };
    assert_eq!(world.records.first(), Some(&drift));
}

#[test]
fn an_exchange_lost_to_another_switch_is_judged_by_what_was_meant() {
    let mut world = shop(BLUE);
    world.foreign = [word(GREEN, true, 1)].into();
    assert!(world.switch(Some(GREEN), 0).unwrap().already, "green was asked for, and is live");

    let mut world = shop(BLUE);
    world.foreign = [word(GREEN, true, 1)].into();
    assert_eq!(world.switch(None, 0).unwrap_err().code, "changed-meanwhile");
    assert_eq!(world.shop(), word(GREEN, true, 1), "the other's change stands");
}

#[test]
fn a_word_that_never_holds_still_is_refused_in_the_end() {
    let mut world = shop(BLUE);
    world.foreign = (1..100).map(|generation| word(BLUE, false, generation)).collect();
    assert_eq!(world.switch(None, 0).unwrap_err().code, "contended");
}

#[test]
fn a_word_of_another_version_is_not_touched() {
    let nonsense = Word::from_bits(0b11 << 4);
    let mut world = World::new(&[("shop", nonsense)]);
    assert_eq!(world.switch(None, 0).unwrap_err().code, "broken-word");
    assert_eq!(world.shop(), nonsense);
}

#[test]
fn a_change_by_somebody_else_is_followed_and_recorded() {
    let mut world = shop(BLUE);
    world.kernel.insert("shop".to_owned(), word(GREEN, true, 1));
    world.reread(5);
    assert!(matches!(&world.records[..], [Record::Drift { actual, .. }] if *actual == word(GREEN, true, 1)));
    world.sweep([0, 0], 8);
    world.sweep([0, 0], 9);
    assert_eq!(world.shop(), word(GREEN, false, 2), "the drain that somebody else began is ended");
}

#[test]
fn an_exchange_that_cannot_be_tried_is_refused_and_changes_nothing() {
    let mut machine = Machine::default();
    machine.handle(Event::Words(vec![("shop".to_owned(), Word::initial(BLUE))]), at(0));
    machine
        .handle(Event::Order { id: OrderId(1), order: Order::Switch { deployment: None, to: None } }, at(0));
    let refusal = Refusal::new("table", "gone", "DEPLOYMENTS", "start bgd");
    let outcome = Outcome::Failed(refusal.clone());
    let effects = machine.handle(Event::Exchanged { deployment: "shop".to_owned(), outcome }, at(0));
    assert_eq!(effects, [Effect::Answer { id: OrderId(1), answer: Err(refusal) }]);
}

#[test]
fn orders_for_a_deployment_that_goes_away_are_refused() {
    let mut machine = Machine::default();
    machine.handle(Event::Words(vec![("shop".to_owned(), Word::initial(BLUE))]), at(0));
    for id in [1, 2] {
        machine.handle(
            Event::Order { id: OrderId(id), order: Order::Switch { deployment: None, to: None } },
            at(0),
        );
    }
    let effects = machine.handle(Event::Words(Vec::new()), at(0));
    let refused: Vec<_> =
        effects.iter().map(|effect| matches!(effect, Effect::Answer { answer: Err(_), .. })).collect();
    assert_eq!(refused, [true, true]);
}

/// One step of a random history of two deployments.
#[derive(Clone, Debug)]
enum Step {
    Order(bool, Option<Colour>),
    Rollback(bool),
    Foreign(bool, Colour, bool),
    Reread,
    Sweep([u64; 2]),
    /// Carries out the oldest exchange that is asked for.
    Execute,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let colour = prop_oneof![Just(BLUE), Just(GREEN)];
    prop_oneof![
        3 => (any::<bool>(), prop::option::of(colour.clone())).prop_map(|(which, to)| Step::Order(which, to)),
        1 => any::<bool>().prop_map(Step::Rollback),
        1 => (any::<bool>(), colour, any::<bool>()).prop_map(|(w, live, drains)| Step::Foreign(w, live, drains)),
        1 => Just(Step::Reread),
        3 => (0..3u64, 0..3u64).prop_map(|(blue, green)| Step::Sweep([blue, green])),
        6 => Just(Step::Execute),
        2 => (0..4u64).prop_map(Step::Pass),
    ]
}

fn name(which: bool) -> String {
    if which { "api" } else { "shop" }.to_owned()
}

proptest! {
    #[test]
    fn no_history_breaks_the_rules(steps in prop::collection::vec(step(), 0..80)) {
        let mut machine = Machine::default();
        let mut kernel: BTreeMap<String, Word> = [true, false].map(|w| (name(w), Word::initial(BLUE))).into();
        let (mut asked, mut open_orders) = (VecDeque::new(), BTreeSet::new());
        let (mut now, mut ids, mut counted) = (0, 0, [1, 1]);
        machine.handle(Event::Words(kernel.clone().into_iter().collect()), at(0));

        let settle = std::iter::repeat_n(Step::Execute, 200);
        for step in steps.into_iter().chain(settle) {
            let order = |order, ids: &mut u64, open: &mut BTreeSet<_>| {
                *ids += 1;
                open.insert(*ids);
                Event::Order { id: OrderId(*ids), order }
            };
            let event = match step {
                Step::Order(which, to) => {
                    order(Order::Switch { deployment: Some(name(which)), to }, &mut ids, &mut open_orders)
                }
                Step::Rollback(which) => {
                    order(Order::Rollback { deployment: Some(name(which)) }, &mut ids, &mut open_orders)
                }
                Step::Foreign(which, live, draining) => {
                    let slot = kernel.get_mut(&name(which)).unwrap();
                    *slot = word(live, draining, (slot.generation() + 1) & 0x3fff);
                    continue;
                }
                Step::Reread => Event::Words(kernel.clone().into_iter().collect()),
                Step::Sweep(open) => {
                    counted = open;
                    let open = kernel.keys().map(|name| (name.clone(), open)).collect();
                    Event::Swept { began: at(now), open }
                }
                Step::Pass(seconds) => {
                    now += seconds;
                    continue;
                }
                Step::Execute => {
                    let Some((deployment, expected, new)) = asked.pop_front() else { continue };
                    let slot = kernel.get_mut(&deployment).unwrap();
                    let outcome = if *slot == expected {
                        *slot = new;
                        Outcome::Done { took: Duration::ZERO }
                    } else {
                        Outcome::Lost { actual: *slot }
                    };
                    Event::Exchanged { deployment, outcome }
                }
            };
            let swept = matches!(event, Event::Swept { .. });
            for effect in machine.handle(event, at(now)) {
                match effect {
                    Effect::Exchange { deployment, expected, new } => {
                        let under_way = asked.iter().any(|(other, _, _)| *other == deployment);
                        prop_assert!(!under_way, "two changes of {deployment} at once");
                        prop_assert_eq!(new.generation(), (expected.generation() + 1) & 0x3fff);
                        if new.live() == expected.live() {
                            prop_assert!(swept && expected.draining() && !new.draining());
                            prop_assert_eq!(counted[new.live().other().index()], 0, "flows were left");
                        } else {
                            prop_assert!(!open_orders.is_empty(), "nobody ordered a switch");
                            prop_assert!(new.draining());
                        }
                        asked.push_back((deployment, expected, new));
                    }
                    Effect::Answer { id: OrderId(id), answer } => {
                        prop_assert!(open_orders.remove(&id), "order {id} was answered twice");
                        if let Ok(Switched { deployment, to, already, .. }) = answer {
                            prop_assert!(already || kernel[&deployment].live() == to);
                        }
                    }
                    Effect::Record(_) => {}
                }
            }
        }
        prop_assert!(asked.is_empty() && open_orders.is_empty(), "orders without an answer: {open_orders:?}");
    }
}
