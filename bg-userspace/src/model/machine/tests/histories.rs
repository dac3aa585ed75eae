//! Histories at random: orders, answers of probes, hooks and the journal in any order, late or never, words
//! that somebody else writes, time, reloads, and the end of the daemon or the machine between any two effects.
//!
//! `BG_MODEL_SEQUENCES` says how many histories, `BG_MODEL_SEED` which one is the first, and `BG_MODEL_TRACE`
//! tells what happens. A failure names the seed that repeats it.

use super::world::*;
use crate::model::event::{Event, Open};
use crate::model::order::{Answer, Done, Force, OrderId, RollbackOrder, SwitchOrder, Verb};
use crate::model::plan::PlanId;
use crate::model::policy::{
    DrainLimit, DrillSchedule, FateChoice, Flap, Level, NoBackend, Passive, Policy, ProbePolicy, Quorum,
    Target,
};
use crate::model::record::{Cause, Memory, Record, What};
use crate::model::{Moment, OrderId as Id};
use crate::prefix::Prefix;
use crate::refusal::Refusal;
use bg_common::{Aim, Colour, Word};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Histories of a run of all tests.
const SHORT: u64 = 1500;

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let index = self.below(of.len() as u64) as usize;
        of[index].clone()
    }

    fn colour(&mut self) -> Colour {
        self.pick(&Colour::BOTH)
    }

    /// Some time, if any: often short, sometimes long.
    fn time(&mut self) -> Duration {
        let millis = self.pick(&[20, 130, 500, 1000, 3000, 9000, 40_000, 200_000]);
        Duration::from_millis(millis + self.below(millis))
    }

    fn maybe<T>(&mut self, chance: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.percent(chance).then(|| make(self))
    }
}

/// What a history knows besides the world.
struct History {
    world: World,
    dice: Dice,
    /// Orders that wait for their answer.
    given: BTreeMap<OrderId, Verb>,
    plans: Vec<PlanId>,
    /// The side and identity that were live before the last switch, of each deployment.
    before: BTreeMap<String, Option<(Colour, u64)>>,
    /// Records that were looked at.
    seen: usize,
    steps: u64,
    deaths: u64,
    trace: bool,
}

/// Runs as many histories as are asked for, and says how many there were.
#[test]
fn no_history_breaks_the_rules() {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} wants a number, and not {text:?}")),
        Err(_) => default,
    };
    let (sequences, first) = (number("BG_MODEL_SEQUENCES", SHORT), number("BG_MODEL_SEED", 1));
    let threads =
        if sequences > SHORT { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let begin = Instant::now();
    let run = |share: u64| {
        let mut done = (0, 0);
        for seed in (first..first + sequences).filter(|seed| seed % threads as u64 == share) {
            let history = catch_unwind(AssertUnwindSafe(|| {
                let mut history = History::new(seed);
                history.run();
                (history.steps, history.deaths)
            }));
            match history {
                Ok((steps, deaths)) => done = (done.0 + steps, done.1 + deaths),
                Err(why) => {
                    println!("to repeat it: BG_MODEL_SEED={seed} BG_MODEL_SEQUENCES=1 BG_MODEL_TRACE=1");
                    resume_unwind(why);
                }
            }
        }
        done
    };
    let done = std::thread::scope(|scope| {
        let run = &run;
        let shares: Vec<_> = (0..threads as u64).map(|share| scope.spawn(move || run(share))).collect();
        shares
            .into_iter()
            .map(|share| share.join().unwrap_or_else(|why| resume_unwind(why)))
            .fold((0, 0), |sum, done| (sum.0 + done.0, sum.1 + done.1))
    });
    let (steps, deaths) = done;
    println!(
        "model: {sequences} histories from seed {first}, {steps} steps, {deaths} deaths, {:.1} s",
        begin.elapsed().as_secs_f64()
    );
}

impl History {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let live = dice.colour();
        let (shop, api) = (policy(&mut dice), policy(&mut dice));
        let mut deployments = vec![("shop", Word::initial(live), shop)];
        if dice.percent(15) {
            deployments.push(("api", Word::initial(BLUE), api));
        }
        let mut world = World::with(&deployments);
        (world.disk, world.hooks) = (Disk::Hangs, Hooks::Hang);
        let before = world.kernel.keys().map(|name| (name.clone(), None)).collect();
        let trace = std::env::var_os("BG_MODEL_TRACE").is_some();
        world.trace = trace;
        let (given, plans) = (BTreeMap::new(), Vec::new());
        Self { world, dice, given, plans, before, seen: 0, steps: 0, deaths: 0, trace }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12?} {}", self.world.now.0, what());
        }
    }

    fn run(&mut self) {
        let length = 5 + self.dice.below(60);
        for _ in 0..length {
            self.step();
        }
        self.come_to_rest();
    }

    fn step(&mut self) {
        self.steps += 1;
        if self.dice.percent(4) {
            self.world.fuse = Some(self.dice.below(7) as u32);
        }
        match self.dice.below(100) {
            0..24 => self.order(),
            24..42 => self.probe(),
            42..47 => self.count(),
            47..52 => self.sweep(),
            52..60 => self.hooks(),
            60..72 => self.journal(),
            72..77 => self.stranger(),
            77..94 => self.time(),
            94..96 => self.reload(),
            96 => self.other_kinds(),
            97 => {
                let broken = !self.world.broken;
                self.say(|| format!("exchanges {}", if broken { "fail" } else { "work" }));
                self.world.broken = broken;
            }
            98 => {
                self.say(|| "reread".to_owned());
                self.world.reread();
            }
            _ => self.world.dead = true,
        }
        self.look();
        if self.world.dead {
            self.begin_anew();
        }
    }

    fn name(&mut self) -> String {
        let names: Vec<_> = self.world.configured.iter().map(|it| it.name.clone()).collect();
        self.dice.pick(&names)
    }

    fn policy_of(&self, name: &str) -> Policy {
        let found = self.world.configured.iter().find(|it| it.name == name);
        found.map(|it| it.policy.clone()).unwrap_or_default()
    }

    fn tick(&self) -> bg_common::Tick {
        super::super::super::deployment::tick(self.world.now)
    }

    // Steps.

    fn order(&mut self) {
        let name = self.name();
        let verb = self.verb();
        // As the engine does: what somebody else wrote is part of the picture. Sometimes he is just in time.
        let reread = self.dice.percent(85);
        if reread {
            self.world.reread();
        }
        // Whatever is due is done first, so that what follows comes of the order.
        self.timers();
        self.look();
        if self.world.dead {
            return;
        }
        self.say(|| format!("order {name}: {verb:?}"));
        let before = self.world.machine.deployment(&name).cloned();
        let (word, foreign) = (self.world.kernel.get(&name).copied(), self.world.foreign.len());
        let holds = self.plan_holds(&name, &verb);
        let settled = word.is_none_or(|word| word.effective(self.tick()) == word);
        let undisturbed = reread && settled;
        let id = self.world.give_to(Some(name.clone()), verb.clone());
        self.given.insert(id, verb);
        if self.world.dead {
            return;
        }
        let refused = self.world.answers.get(&id).is_some_and(Result::is_err);
        if let (Some(before), true) =
            (before.filter(|_| undisturbed && foreign == self.world.foreign.len()), refused)
        {
            let after = self.world.machine.deployment(&name).unwrap();
            assert_eq!(word, self.world.kernel.get(&name).copied(), "a refused order has changed the word");
            assert_eq!((&before.slices, &before.rollback), (&after.slices, &after.rollback));
            assert_eq!((&before.watch, &before.frozen), (&after.watch, &after.frozen));
        }
        if holds == Some(false) {
            assert!(refused, "a plan that does not hold was carried out");
        }
    }

    /// Whether the plan that a switch is to be by is the one that would be made at this moment.
    fn plan_holds(&self, name: &str, verb: &Verb) -> Option<bool> {
        let Verb::Switch(SwitchOrder { to, plan: Some(plan), confirm_within, .. }) = verb else {
            return None;
        };
        // A plan takes the configured time; whether a pause may outlast it is another question for another time.
        if confirm_within.is_some() && self.world.kernel.get(name)?.is_paused() {
            return None;
        }
        let mut asked = self.world.machine.clone();
        let (id, verb) = (Id(u64::MAX), Verb::Plan { to: *to });
        let order = crate::model::Order {
            deployment: Some(name.to_owned()),
            verb,
            actor: Default::default(),
            reason: None,
        };
        let effects = asked.handle(Event::Order { id, order }, self.world.clock());
        effects.into_iter().find_map(|effect| {
            let crate::model::Effect::Answer { answer, .. } = effect else { return None };
            let Ok(Done::Plan(ours)) = *answer else { return None };
            let digest = plan.digest.is_none_or(|digest| Some(digest) == ours.plan.digest);
            let material = self.world.machine.deployment(name)?.material;
            let since = |generation| Word::generations(generation, ours.plan.generation);
            Some(digest && since(plan.generation) <= since(material))
        })
    }

    fn verb(&mut self) -> Verb {
        let dice = &mut self.dice;
        let force = match dice.below(10) {
            0..4 => Force::Nothing,
            4..8 => Force::All,
            _ => {
                let all =
                    ["confirmation", "frozen", "health", "hooks", "journal", "passive", "standby", "watch"];
                force(&[dice.pick(&all), dice.pick(&all)])
            }
        };
        let fate = dice.pick(&[FateChoice::Keep, FateChoice::Reset, FateChoice::Move]);
        match dice.below(100) {
            0..36 => {
                let to = dice.maybe(50, Dice::colour);
                let plan = dice.maybe(12, |dice| PlanId { generation: dice.below(4) as u16, digest: None });
                let plan = plan.or_else(|| dice.percent(15).then(|| self.plans.last().copied())?);
                let confirm_within =
                    dice.maybe(40, |dice| if dice.percent(20) { Duration::ZERO } else { dice.time() });
                let bake = dice.maybe(30, |dice| if dice.percent(20) { Duration::ZERO } else { dice.time() });
                let (fate, agreed) = (dice.maybe(20, |_| fate), dice.percent(70));
                Verb::Switch(SwitchOrder { to, plan, force, confirm_within, bake, fate, agreed })
            }
            36..48 => Verb::Rollback(RollbackOrder { force, fate: None }),
            48..55 => Verb::Confirm,
            55..60 => Verb::Plan { to: dice.maybe(30, Dice::colour) },
            60..68 => Verb::Stage {
                colour: dice.maybe(60, Dice::colour),
                version: dice.maybe(80, |dice| format!("v{}", dice.below(9))),
                give_up_rollback: dice.percent(40),
                hotfix: dice.percent(40),
            },
            68..71 => Verb::Freeze,
            71..79 => Verb::Unfreeze,
            79..83 => Verb::Pause { time: dice.time() },
            83..86 => Verb::Resume,
            86..88 => Verb::DrainExtend { by: dice.time() },
            88..90 => Verb::DrainEnd { fate },
            90..92 => {
                let share = dice.pick(&[0, 0, 1, 50, 500, 1000, 1001]);
                Verb::Canary { share, force }
            }
            92..94 => {
                let to = dice.maybe(70, |dice| dice.pick(&[Aim::Live, Aim::Other, Aim::Blue, Aim::Green]));
                Verb::Preview { prefix: office(dice), to }
            }
            94..97 => {
                let (colour, number) = (dice.colour(), dice.pick(&[1, 2, 200]));
                let backend = dice.maybe(50, |_| address(colour, number));
                Verb::Override { colour, backend, state: dice.maybe(50, |dice| dice.percent(50)) }
            }
            _ => Verb::Drill { hold: dice.time(), force },
        }
    }

    fn probe(&mut self) {
        let name = self.name();
        let policy = self.policy_of(&name);
        let Some(probe) = (!policy.probes.is_empty()).then(|| self.dice.pick(&policy.probes)) else { return };
        let mut targets = Vec::new();
        for (colour, addresses) in Colour::BOTH.into_iter().zip(&policy.slices) {
            match probe.level {
                Level::Backend => targets.extend(addresses.iter().map(|it| Target::Backend(colour, *it))),
                Level::Slice => targets.push(Target::Slice(colour)),
            }
        }
        if probe.vip {
            targets.extend([Target::Vip, Target::Vip]);
        }
        let target = self.dice.pick(&targets);
        let began = Moment(self.world.now.0.saturating_sub(Duration::from_millis(self.dice.below(300))));
        let live = self.world.kernel.get(&name).map(|word| word.live());
        let answered = if self.dice.percent(80) { live } else { Some(self.dice.colour()) };
        let answered = answered.filter(|_| target == Target::Vip);
        let good = self.dice.percent(60);
        let finding = if good { fine(answered) } else { bad() };
        self.say(|| format!("probe {name} {} {target:?}: {finding:?}", probe.name));
        for _ in 0..=self.dice.below(2) {
            let (deployment, probe, finding) = (name.clone(), probe.name.clone(), finding.clone());
            self.world.feed(Event::Probed {
                deployment,
                probe,
                target,
                began,
                own: Default::default(),
                finding,
            });
        }
    }

    fn count(&mut self) {
        let (flows, refused) = (self.dice.below(40), self.dice.percent(40));
        let colour = self.dice.colour();
        let now = u64::try_from(self.world.now.0.as_nanos()).unwrap();
        let traffic = &mut self.world.traffic[colour.index()];
        traffic.flows += flows;
        traffic.handshakes += flows;
        *if refused { &mut traffic.refused } else { &mut traffic.handshakes_answered } += flows;
        (traffic.first_new_ns, traffic.last_new_ns) = (now, now);
        if self.dice.percent(3) {
            // The tables were made anew.
            self.world.traffic = Default::default();
        }
        self.say(|| format!("count {flows} of {colour}, refused: {refused}"));
        let counted = self.world.kernel.keys().map(|name| (name.clone(), self.world.traffic)).collect();
        self.world.feed(Event::Counted(counted));
    }

    fn sweep(&mut self) {
        let count = [self.dice.below(3), self.dice.below(3)].map(|count| count.saturating_sub(1));
        let began = Moment(self.world.now.0.saturating_sub(Duration::from_millis(self.dice.below(3000))));
        let open = Open { count, oldest: [seconds(9); 2] };
        self.say(|| format!("sweep {count:?}"));
        let open = self.world.kernel.keys().map(|name| (name.clone(), open)).collect();
        self.world.feed(Event::Swept { began, open });
    }

    /// Hooks answer: any of those that were asked, or some that nobody waits for.
    fn hooks(&mut self) {
        let answer =
            self.dice.pick(&[Hooks::Agree, Hooks::Agree, Hooks::Agree, Hooks::Disagree, Hooks::Nobody]);
        if self.world.questions.is_empty() || self.dice.percent(3) {
            let (deployment, token) = (self.name(), self.dice.below(20));
            let phase = crate::model::event::Phase::Before;
            return self.world.reply(Question { deployment, token, phase }, answer);
        }
        let index = self.dice.below(self.world.questions.len() as u64) as usize;
        let question = self.world.questions.swap_remove(index);
        self.say(|| format!("hooks {question:?}: {answer:?}"));
        self.world.reply(question, answer);
    }

    /// The journal writes some more, or fails to, and says so about one of those that wait for it.
    fn journal(&mut self) {
        let left = self.world.journal.len() - self.world.durable;
        if self.dice.percent(80) {
            let more = if self.dice.percent(50) { left } else { self.dice.below(left as u64 + 1) as usize };
            for _ in 0..more {
                self.world.journal[self.world.durable].lost |= self.dice.percent(4);
                self.world.durable += 1;
            }
        }
        let durable = self.world.durable;
        let waiting: Vec<_> = self.world.waiting().filter(|(index, _)| *index < durable).collect();
        if let Some((index, token)) = (!waiting.is_empty()).then(|| self.dice.pick(&waiting)) {
            self.say(|| format!("journal: {:?}", self.world.journal[index].record.what));
            self.world.acknowledge(index, token);
        }
    }

    /// Somebody else writes a word: at once, or just before the next exchange.
    fn stranger(&mut self) {
        let name = self.name();
        let Some(old) = self.world.kernel.get(&name).copied() else { return };
        let now = self.tick();
        let tick = now.0;
        let dice = &mut self.dice;
        let deadline = match dice.below(3) {
            0 => tick.saturating_sub(dice.below(50) as u32).max(1),
            1 => tick + dice.below(60) as u32,
            _ => tick + dice.below(4000) as u32,
        };
        let new = match dice.below(10) {
            0 => Word::from_bits(dice.roll()),
            1 => Word::from_bits(old.bits() | 0b11 << 4),
            2 => old.settled(now).unwrap_or(old),
            _ => {
                let (live, draining, what) = (dice.colour(), dice.percent(60), dice.below(6));
                let changed = old.change(|it| {
                    (it.live, it.draining) = (live, draining);
                    match what {
                        0 => (it.revert_at_deadline, it.resume_at_deadline, it.deadline) = (false, false, 0),
                        1 => (it.revert_at_deadline, it.deadline) = (true, deadline),
                        2 => (it.paused, it.resume_at_deadline, it.deadline) = (true, true, deadline),
                        3 => (it.paused, it.resume_at_deadline) = (false, false),
                        4 => it.canary = 5,
                        _ => {}
                    }
                });
                changed.unwrap_or(Word::initial(live))
            }
        };
        if self.dice.percent(30) {
            self.say(|| format!("a stranger will be faster at {name}: {new:?}"));
            self.world.foreign.push_back(new);
            return;
        }
        self.say(|| format!("a stranger writes {name}: {new:?}"));
        self.world.kernel.insert(name.clone(), new);
        self.world.unseen.insert(name);
        if self.dice.percent(60) {
            self.world.reread();
        }
    }

    fn time(&mut self) {
        let time = self.dice.time();
        self.say(|| format!("{time:?} pass"));
        if self.dice.percent(80) {
            self.world.pass(time);
        } else {
            // Whoever should tell of the timers is busy.
            self.world.now = Moment(self.world.now.0 + time);
        }
        if self.dice.percent(70) {
            self.timers();
        }
    }

    /// Timers that are due are told, as often as there are any.
    fn timers(&mut self) {
        for _ in 0..10 {
            self.world.feed(Event::Timer);
            let due = self.world.machine.next_timer(self.world.now);
            if self.world.dead || due.is_none_or(|due| due > self.world.now) {
                return self.must_have_acted();
            }
        }
        let due = self.world.machine.next_timer(self.world.now);
        panic!(
            "a timer is never done: {due:?} at {:?}, {:#?}",
            self.world.now, self.world.machine.deployments
        );
    }

    /// What is due by what is known is done or under way.
    fn must_have_acted(&self) {
        let now = self.world.now;
        for (name, deployment) in self.world.machine.deployments().filter(|_| !self.world.dead) {
            let held_off = deployment.hold_off.is_some_and(|until| now < until);
            assert!(
                held_off || deployment.change.is_some() || !deployment.is_lapsed(now),
                "{name} is past its deadline, and nobody writes it down"
            );
            if !deployment.is_ready(now) {
                continue;
            }
            if let Some(watch) = deployment.watch.as_ref().filter(|watch| watch.cause != Cause::Drill) {
                let fails = deployment.health.slice(watch.to) == Some(false);
                let fit = deployment.unfit_to_take_over(watch.to.other(), now).is_none();
                assert!(!(fails && fit), "{name} is watched and fails, and nobody takes it back");
                assert!(watch.bake_until.is_none_or(|until| now < until), "{name} has baked long enough");
            }
            assert!(
                deployment.drill.is_some() || !deployment.wants_fail_over(now),
                "{name} does not fail over"
            );
        }
    }

    fn reload(&mut self) {
        let new = policy(&mut self.dice);
        self.say(|| format!("reload: {new:?}"));
        let index = self.dice.below(self.world.configured.len() as u64) as usize;
        self.world.configured[index].policy = new;
        self.world.version += 1;
        self.world.feed(Event::Configured(self.world.configured.clone()));
    }

    /// The journal fails by itself, or a deployment goes away and comes back.
    fn other_kinds(&mut self) {
        if self.dice.percent(30) {
            return self.world.feed(Event::Remind);
        }
        if self.dice.percent(50) {
            let refusal = Refusal::new("journal-full", "no space left", "/var/lib/bg", "make room");
            return self.world.feed(Event::JournalState(self.dice.maybe(50, |_| refusal)));
        }
        let name = self.name();
        self.say(|| format!("{name} goes away, or comes back"));
        if self.world.kernel.remove(&name).is_none() {
            let memory = self.world.machine.memories.get(&name);
            let target = memory.and_then(|memory| memory.rollback.clone());
            self.before.insert(name.clone(), target.map(|target| (target.colour, target.identity)));
            let down = memory.map(|memory| memory.down.clone()).unwrap_or_default();
            self.world.down.insert(name.clone(), down);
            let word = memory.map_or(Word::initial(BLUE), Memory::after_reboot);
            self.world.kernel.insert(name.clone(), word);
            if self.dice.percent(50) {
                self.world.feed(Event::Made(vec![name]));
            }
        }
        self.world.reread();
    }

    /// The daemon has died. What was written by then may be durable or not; then it is started again.
    fn begin_anew(&mut self) {
        self.deaths += 1;
        let left = self.world.journal.len() - self.world.durable;
        self.world.durable += self.dice.below(left as u64 + 1) as usize;
        self.world.journal.truncate(self.world.durable);
        self.given.clear();
        self.seen = self.world.durable;
        let memories = self.world.memories();
        for (name, before) in &mut self.before {
            let Some(memory) = memories.get(name) else {
                *before = None;
                continue;
            };
            *before = memory.rollback.as_ref().map(|target| (target.colour, target.identity));
            // Nobody can tell by a word who has written it: one that is just what was about to be written is taken for
            // that, unless it was seen before the end, and told as somebody else's.
            let word = self.world.kernel.get(name).map(|word| word.bits());
            let pending = memory.pending.as_ref();
            let pending =
                pending.filter(|pending| Some(pending.new) == word && memory.word().bits() != pending.new);
            if let Some(pending) = pending.filter(|pending| pending.cause == Cause::Rollback) {
                let to = Word::from_bits(pending.new).live();
                *before = Some((to, memory.slices[to.index()].identity));
            }
        }
        let unchanged: Vec<_> = self.world.journal.iter().rev().filter(|entry| !entry.lost).collect();
        let unchanged: BTreeMap<_, _> = memories
            .keys()
            .filter_map(|name| {
                let newest = unchanged.iter().find(|entry| entry.deployment == *name)?;
                // Operators' words count at once, whatever was the last resort before.
                let same = newest.version == self.world.version && newest.memory.overrides.is_empty();
                Some((name.clone(), same))
            })
            .collect();
        let served = self.world.served;
        let reboots = self.dice.percent(15);
        self.say(|| format!("dies, and is started again; reboot: {reboots}"));
        if self.dice.percent(4) {
            self.world.fuse = Some(self.dice.below(4) as u32);
        }
        if reboots {
            self.world.reboot();
        } else {
            self.world.start();
        }
        if !self.world.dead {
            self.must_be_restored(&memories, reboots);
            if self.world.kernel.keys().all(|name| unchanged.get(name).copied().unwrap_or(false)) {
                assert_eq!(self.world.served, served, "a start has changed the rings");
            }
        }
        self.look();
        if self.world.dead {
            self.begin_anew();
        }
    }

    /// What a start must have made of what was remembered.
    fn must_be_restored(&self, memories: &BTreeMap<String, Memory>, reboot: bool) {
        for (name, deployment) in self.world.machine.deployments() {
            let Some(memory) = memories.get(name) else { continue };
            let told = self.world.journal.iter().skip(self.seen).filter(|entry| entry.deployment == name);
            let told: Vec<&What> = told.map(|entry| &entry.record.what).collect();
            if let Some(pending) = &memory.pending {
                let said = |what: &&What| {
                    matches!(what, What::Switched { cause, .. } | What::NotSwitched { cause, .. } if *cause == pending.cause)
                        || matches!(what, What::Drilled { .. }) && pending.cause == Cause::Drill
                };
                assert!(told.iter().any(said), "nobody tells what became of {pending:?}: {told:?}");
            }
            let started = told.iter().filter(|what| matches!(what, What::Started { .. })).count();
            assert_eq!(started, 1, "{told:?}");
            let drifted = told.iter().any(|what| matches!(what, What::Drift { .. } | What::Switched { .. }));
            let same = memory.pending.is_none() && memory.word() == deployment.word() && !reboot && !drifted;
            if same && memory.watch.as_ref().is_none_or(|watch| watch.cause != Cause::Drill) {
                assert_eq!(deployment.rollback, memory.rollback);
            }
        }
    }

    // What must be so.

    /// Looks at what was told and answered since the last time.
    fn look(&mut self) {
        let new = self.world.journal[self.seen.min(self.world.journal.len())..].to_vec();
        self.seen = self.world.journal.len();
        for entry in new {
            self.follow(&entry.record, super::super::super::deployment::tick(entry.at));
        }
        for (id, answer) in std::mem::take(&mut self.world.answers) {
            self.say(|| format!("    answer {id:?}: {answer:?}"));
            if let Some(verb) = self.given.remove(&id) {
                self.judge(&verb, &answer);
            }
        }
    }

    /// Who was live before the last switch, from what is told.
    fn follow(&mut self, record: &Record, tick: bg_common::Tick) {
        let name = &record.deployment;
        let identity = |colour: Colour| Some((colour, record.slices[colour.index()].identity));
        let before = self.before.entry(name.clone()).or_default();
        if let What::Switched { cause, switched, .. } = &record.what {
            match cause {
                Cause::Switch | Cause::FailOver => *before = identity(switched.from),
                Cause::Rollback => {
                    let to = identity(switched.to);
                    assert_eq!(*before, to, "a rollback leads to what was live before, and only there");
                    *before = None;
                }
                Cause::AutoRollback | Cause::Unconfirmed => *before = None,
                Cause::Drill => {}
            }
        }
        if let What::Drift { seen, actual, .. } = record.what {
            let (seen, actual) = (Word::from_bits(seen), Word::from_bits(actual));
            let lapsed = seen.unpack().is_ok() && seen.effective(tick) != seen;
            let went_back = lapsed && seen.effective(tick).live() == actual.live();
            if seen.live() != actual.live() && !went_back {
                *before = identity(seen.live());
            }
        }
        if matches!(&record.what, What::Frozen { why } if why.starts_with("a drill did not go home")) {
            *before = identity(record.live.other());
        }
        if let What::Started { found, word } = &record.what
            && found == "new"
        {
            let word = Word::from_bits(*word);
            let switched = word.draining() && word.unpack().is_ok();
            *before = identity(record.live.other()).filter(|_| switched);
        }
    }

    fn judge(&mut self, verb: &Verb, answer: &Answer) {
        match (verb, answer) {
            (Verb::Plan { .. }, Ok(Done::Plan(plan))) => self.plans.push(plan.plan),
            (Verb::Switch(_) | Verb::Rollback(_), Ok(done)) => {
                assert!(matches!(done, Done::Switched(_) | Done::Changed { .. }), "{done:?}");
            }
            (Verb::Drill { .. }, Ok(done)) => assert!(matches!(done, Done::Drilled(_)), "{done:?}"),
            (_, Ok(_)) => {}
            (_, Err(refusal)) => {
                let Refusal { code, what, at, mend } = refusal;
                assert!(
                    [code, what, at, mend].iter().all(|part| !part.is_empty()),
                    "a refusal says what, where, and what mends it: {refusal:?}"
                );
            }
        }
    }

    /// Nothing new happens, everybody answers, and time passes: nothing may be left under way.
    fn come_to_rest(&mut self) {
        self.say(|| "comes to rest".to_owned());
        self.world.fuse = None;
        self.world.broken = false;
        self.world.foreign.clear();
        (self.world.disk, self.world.hooks) = (Disk::Works, Hooks::Agree);
        self.world.durable = self.world.journal.len();
        for configured in &mut self.world.configured {
            configured.policy.drill = None;
        }
        self.world.feed(Event::JournalState(None));
        self.world.feed(Event::Configured(self.world.configured.clone()));
        self.world.reread();
        for _ in 0..3 {
            self.world.pass(seconds(1200));
            self.world.sweep([0, 0]);
        }
        self.look();
        assert!(self.given.is_empty(), "orders without an answer: {:?}", self.given);
        assert!(self.world.open_orders.is_empty());
        for (name, deployment) in self.world.machine.deployments() {
            // A stranger may give years to confirm.
            let watch =
                &deployment.watch.clone().filter(|it| it.confirm_until.is_none_or(|it| it < self.world.now));
            let under_way = (&deployment.change, watch, &deployment.drill, &deployment.proving);
            assert_eq!(under_way, (&None, &None, &None, &None), "{name} does not come to rest");
            assert!(deployment.queued.is_empty() && deployment.unsaid.is_none());
            if deployment.word().unpack().is_ok() {
                let tick = self.tick();
                assert_eq!(deployment.word().effective(tick), deployment.word(), "{name} is settled");
            }
        }
    }
}

/// Clients that may see something else.
fn office(dice: &mut Dice) -> Prefix {
    let text = dice.pick(&["203.0.113.0/24", "203.0.113.7/32", "2001:db8::/32"]);
    text.parse().expect("it is a network")
}

/// How a deployment wants to be treated.
fn policy(dice: &mut Dice) -> Policy {
    let fate = dice.pick(&[FateChoice::Keep, FateChoice::Reset, FateChoice::Move]);
    let machines: &[u8] = dice.pick(&[&[1_u8][..], &[1, 2], &[1, 200], &[1, 2, 200]]);
    let slices = Colour::BOTH.map(|colour| machines.iter().map(|number| address(colour, *number)).collect());
    let mut probes = Vec::new();
    for name in ["web", "api"] {
        if dice.percent(60) {
            probes.push(ProbePolicy {
                name: name.to_owned(),
                service: dice.maybe(50, |_| name.to_owned()),
                level: if dice.percent(80) { Level::Backend } else { Level::Slice },
                rise: 1 + dice.below(2) as u32,
                fall: 1 + dice.below(2) as u32,
                start_up: dice.percent(20),
                vip: dice.percent(30),
            });
        }
    }
    Policy {
        slices,
        fate: if dice.percent(70) { FateChoice::Keep } else { fate },
        drain_limit: dice.maybe(40, |dice| DrainLimit { after: dice.time(), fate: FateChoice::Reset }),
        bake: dice.maybe(50, Dice::time),
        confirm_within: dice.maybe(25, Dice::time),
        ask: dice.percent(15),
        no_backend: dice.pick(&[
            NoBackend::Stay,
            NoBackend::FailOver,
            NoBackend::FailOver,
            NoBackend::Refuse,
        ]),
        dead_flows: Default::default(),
        quorum: if dice.percent(70) { Quorum::default() } else { Quorum { up: 50, down: 30 } },
        flap: Flap { changes: 2 + dice.below(6) as u32, within: seconds(30) },
        passive: dice.maybe(30, |_| Passive {
            window: seconds(10),
            least: 10,
            unanswered: 20,
            refused: 20,
            resets: 50,
        }),
        standby_for: None,
        drill: dice.maybe(15, |dice| DrillSchedule { every: seconds(60), hold: dice.time() }),
        probes,
        gating_hooks: dice.percent(30),
        watching_hooks: dice.percent(30),
        previews: if dice.percent(20) { vec![(office(dice), Aim::Other)] } else { Vec::new() },
        probe_addresses: Vec::new(),
        drained: Vec::new(),
        leaves: dice.percent(10),
    }
}
