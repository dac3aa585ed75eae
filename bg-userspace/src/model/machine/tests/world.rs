//! A world for the machine: a kernel whose programs act at deadlines, a journal, hooks and a clock. It holds
//! the machine to what must always be so, whatever a test does with it.

use super::super::super::deployment::tick;
use super::super::*;
use crate::model::event::{Agreement, Down, Open, Outcome, Phase};
use crate::model::order::{Actor, Answer, Done, Force, RollbackOrder, SwitchOrder, Switched, Verb, Who};
use crate::model::policy::{Finding, Level, NoBackend, Policy, ProbePolicy, Target};
use crate::model::record::{Cause, Memory, Record, What};
use crate::model::view::View;
use crate::prefix::Prefix;
use bg_common::word::Fields;
use bg_common::{Aim, Colour, Traffic, Word};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub(super) const BLUE: Colour = Colour::Blue;
pub(super) const GREEN: Colour = Colour::Green;

/// When each world begins: a machine that has been up for a while.
const BEGIN: Moment = Moment(Duration::from_secs(1000));

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The machine with this number in a slice.
pub(super) fn address(colour: Colour, number: u8) -> IpAddr {
    let slice = if colour == BLUE { 1 } else { 2 };
    if number < 128 {
        Ipv4Addr::new(10, slice, 0, number).into()
    } else {
        Ipv6Addr::new(0xfd00, slice.into(), 0, 0, 0, 0, 0, number.into()).into()
    }
}

pub(super) fn probe(name: &str) -> ProbePolicy {
    let (name, service, level) = (name.to_owned(), None, Level::Backend);
    ProbePolicy { name, service, level, rise: 2, fall: 3, start_up: false, vip: false }
}

/// Two machines in each slice, and nobody who asks them.
pub(super) fn policy() -> Policy {
    let slices = Colour::BOTH.map(|colour| vec![address(colour, 1), address(colour, 2)]);
    Policy { slices, ..Policy::default() }
}

/// As [`policy`], and one probe asks them.
pub(super) fn probed() -> Policy {
    Policy { probes: vec![probe("web")], ..policy() }
}

pub(super) fn word(change: impl FnOnce(&mut Fields)) -> Word {
    let mut fields = Word::initial(BLUE).unpack().unwrap();
    change(&mut fields);
    fields.pack().unwrap()
}

/// What becomes of what is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disk {
    /// It is durable at once.
    Works,
    /// It is lost, and the journal says so.
    Fails,
    /// Nothing is heard of it.
    Hangs,
}

/// How hooks answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Hooks {
    Agree,
    Disagree,
    /// There is nobody to ask.
    Nobody,
    Hang,
}

/// Something that was written to the journal.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) deployment: String,
    pub(super) record: Record,
    pub(super) memory: Memory,
    /// It was lost.
    pub(super) lost: bool,
    /// Of those that wait for it.
    pub(super) token: Option<u64>,
    /// The configuration of that time.
    pub(super) version: u32,
    pub(super) at: Moment,
}

/// Hooks that were asked.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Question {
    pub(super) deployment: String,
    pub(super) token: u64,
    pub(super) phase: Phase,
}

/// The machine, and all around it.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) kernel: BTreeMap<String, Word>,
    pub(super) configured: Vec<Configured>,
    pub(super) now: Moment,
    pub(super) boot: u32,
    /// Everything that was ever written, in its order.
    pub(super) journal: Vec<Entry>,
    /// So much of it is durable, where it is not lost.
    pub(super) durable: usize,
    pub(super) disk: Disk,
    /// Why the journal is not to be relied on.
    pub(super) doubt: Option<String>,
    pub(super) hooks: Hooks,
    pub(super) questions: Vec<Question>,
    /// What somebody else writes just before the next exchanges.
    pub(super) foreign: VecDeque<Word>,
    /// Nothing can be exchanged.
    pub(super) broken: bool,
    /// Backends without new flows, as the data plane has them.
    pub(super) down: BTreeMap<String, Vec<Down>>,
    /// Clients that are led elsewhere by order, as the data plane has them.
    pub(super) previews: BTreeMap<String, Vec<(Prefix, Aim)>>,
    pub(super) traffic: [Traffic; 2],
    pub(super) answers: BTreeMap<OrderId, Answer>,
    pub(super) asked_probes: usize,
    pub(super) served: usize,
    /// The machine dies when it has done so many more effects.
    pub(super) fuse: Option<u32>,
    /// It has died since it was last started.
    pub(super) dead: bool,
    /// Somebody wrote a word that the machine has not seen.
    pub(super) unseen: BTreeSet<String>,
    /// Deployments that must be frozen, because something was done without an order.
    pub(super) must_be_frozen: BTreeSet<String>,
    /// Exchanges that were recorded before they were made: `(expected, new)`.
    about: BTreeMap<(String, u64, u64), Cause>,
    /// Counts configurations.
    pub(super) version: u32,
    orders: u64,
    /// Tells of all records.
    pub(super) trace: bool,
    /// Records that a test has heard of.
    heard: usize,
    pub(super) open_orders: BTreeSet<OrderId>,
}

impl World {
    /// One deployment, `shop`, with blue live and nothing known of the past.
    pub(super) fn new(policy: Policy) -> Self {
        Self::with(&[("shop", Word::initial(BLUE), policy)])
    }

    pub(super) fn with(deployments: &[(&str, Word, Policy)]) -> Self {
        let configured = deployments.iter().map(|(name, _, policy)| Configured {
            name: (*name).to_owned(),
            policy: policy.clone(),
            services: vec!["web".to_owned(), "api".to_owned()],
        });
        let mut world = Self {
            machine: Machine::default(),
            kernel: deployments.iter().map(|(name, word, _)| ((*name).to_owned(), *word)).collect(),
            configured: configured.collect(),
            now: BEGIN,
            boot: 1,
            journal: Vec::new(),
            durable: 0,
            disk: Disk::Works,
            doubt: None,
            hooks: Hooks::Agree,
            questions: Vec::new(),
            foreign: VecDeque::new(),
            broken: false,
            down: BTreeMap::new(),
            previews: BTreeMap::new(),
            traffic: [Traffic::default(); 2],
            answers: BTreeMap::new(),
            asked_probes: 0,
            served: 0,
            fuse: None,
            dead: true,
            unseen: BTreeSet::new(),
            must_be_frozen: BTreeSet::new(),
            about: BTreeMap::new(),
            version: 0,
            orders: 0,
            trace: false,
            heard: 0,
            open_orders: BTreeSet::new(),
        };
        world.start();
        world
    }

    pub(super) fn clock(&self) -> Now {
        Now { moment: self.now, unix: 1_700_000_000 + self.now.0.as_secs() }
    }

    /// The newest durable memory of each deployment.
    pub(super) fn memories(&self) -> BTreeMap<String, Memory> {
        let durable = self.journal.iter().take(self.durable).filter(|entry| !entry.lost);
        durable.map(|entry| (entry.deployment.clone(), entry.memory.clone())).collect()
    }

    /// The daemon is started, with what is durable and with the words as they are.
    pub(super) fn start(&mut self) {
        let memories = self.memories();
        self.machine = Machine::default();
        self.dead = false;
        self.questions.clear();
        self.open_orders.clear();
        self.about.clear();
        self.unseen.clear();
        self.down = memories.iter().map(|(name, memory)| (name.clone(), memory.down.clone())).collect();
        self.previews =
            memories.iter().map(|(name, memory)| (name.clone(), memory.previews.clone())).collect();
        let frozen = memories.iter().filter(|(_, memory)| memory.frozen.is_some());
        self.must_be_frozen = frozen.map(|(name, _)| name.clone()).collect();
        let boot = format!("boot-{}", self.boot);
        self.feed(Event::Remembered {
            boot,
            memories: memories.into_iter().collect(),
            doubt: self.doubt.clone(),
        });
        self.feed(Event::Configured(self.configured.clone()));
        self.reread();
    }

    /// The daemon ends at this moment, and what was not durable by now never is. Then it is started again.
    pub(super) fn restart(&mut self) {
        self.journal.truncate(self.durable);
        self.heard = self.heard.min(self.durable);
        self.start();
    }

    /// The machine is booted: tables are made anew from what is durable.
    pub(super) fn reboot(&mut self) {
        self.journal.truncate(self.durable);
        self.boot += 1;
        self.now = Moment(seconds(20));
        let memories = self.memories();
        for (name, word) in &mut self.kernel {
            *word = memories.get(name).map_or(Word::initial(BLUE), Memory::after_reboot);
        }
        self.start();
    }

    pub(super) fn reread(&mut self) {
        self.unseen.clear();
        let Self { previews, kernel, .. } = self;
        previews.retain(|name, _| kernel.contains_key(name));
        let words = self.kernel.iter().map(|(name, word)| (name.clone(), *word)).collect();
        self.feed(Event::Words(words));
    }

    /// The configuration of the first deployment changes.
    pub(super) fn configure(&mut self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.configured[0].policy);
        self.version += 1;
        self.feed(Event::Configured(self.configured.clone()));
        self.reread();
    }

    /// Lets the machine handle `event`, and does what follows, as the engine does.
    pub(super) fn feed(&mut self, event: Event) {
        if self.dead {
            return;
        }
        let mut effects = VecDeque::new();
        self.handle(event, &mut effects);
        while let Some(effect) = effects.pop_front() {
            if self.fuse.is_some_and(|left| left == 0) {
                self.fuse = None;
                self.dead = true;
                return;
            }
            self.fuse = self.fuse.map(|left| left - 1);
            self.execute(effect, &mut effects);
            if self.dead {
                return;
            }
        }
        self.must_hold();
        self.answer_by_itself();
    }

    fn handle(&mut self, event: Event, effects: &mut VecDeque<Effect>) {
        let new = self.machine.handle(event, self.clock());
        for (name, _) in self.machine.deployments() {
            let of = |effect: &&Effect| matches!(effect, Effect::Exchange { deployment, .. } if deployment == name);
            let exchanges = effects.iter().filter(of).count() + new.iter().filter(of).count();
            assert!(exchanges <= 1, "two exchanges of {name} at once");
        }
        effects.extend(new);
    }

    fn execute(&mut self, effect: Effect, effects: &mut VecDeque<Effect>) {
        match effect {
            Effect::Exchange { deployment, expected, new } => {
                let outcome = self.exchange(&deployment, expected, new);
                if self.fuse == Some(0) {
                    // Killed after the word was exchanged, and before anybody heard of it.
                    self.fuse = None;
                    self.dead = true;
                    return;
                }
                self.handle(Event::Exchanged { deployment, outcome }, effects);
            }
            Effect::Answer { id, answer } => {
                assert!(self.open_orders.remove(&id), "{id:?} was answered twice, or never given");
                self.answers.insert(id, *answer);
            }
            Effect::Record { record, memory } => self.write(*record, *memory, None),
            Effect::Journal { deployment, token, record, memory } => {
                let What::About { cause, from, to, expected, new, .. } = record.what else {
                    panic!("something waits for {record:?}");
                };
                assert_eq!((from, to), (Word::from_bits(expected).live(), Word::from_bits(new).live()));
                let pending = memory.pending.as_ref().map(|it| (it.expected, it.new));
                assert_eq!(pending, Some((expected, new)), "what is remembered is what will be made");
                self.about.insert((deployment, expected, new), cause);
                self.write(*record, *memory, Some(token));
            }
            Effect::Ask { deployment, token, phase, record } => {
                assert!(matches!(record.what, What::About { .. }), "hooks are told what it is about");
                self.questions.push(Question { deployment, token, phase });
            }
            Effect::ProbeNow { .. } => self.asked_probes += 1,
            Effect::CountNow => {}
            Effect::Preview { deployment, rules } => drop(self.previews.insert(deployment, rules)),
            Effect::Serve { deployment, down } => {
                self.served += 1;
                if self.trace {
                    println!("{:>12?}     serve {deployment} without {down:?}", self.now.0);
                }
                self.down.insert(deployment, down);
            }
        }
    }

    fn exchange(&mut self, name: &str, expected: Word, new: Word) -> Outcome {
        if self.broken {
            return Outcome::Failed(Refusal::new("table", "gone", "DEPLOYMENTS", "start bgd"));
        }
        let Some(slot) = self.kernel.get_mut(name) else {
            return Outcome::Failed(Refusal::new("no-word", "gone", "DEPLOYMENTS", "start bgd"));
        };
        if let Some(foreign) = self.foreign.pop_front() {
            *slot = foreign;
        }
        let actual = *slot;
        if actual != expected {
            self.unseen.remove(name);
            return Outcome::Lost { actual };
        }
        let effective = expected.effective(tick(self.now));
        assert!(expected.unpack().is_ok(), "a word without sense is never touched");
        if new.live() != effective.live() {
            let told = self.about.get(&(name.to_owned(), expected.bits(), new.bits()));
            self.must_be_fit(name, told.copied(), new);
            assert!(
                told.is_some(),
                "{name} was switched and nobody was told before: {expected:?} to {new:?}"
            );
            assert_eq!(effective.live(), expected.live(), "what the programs did is written down before");
        } else if effective.live() != expected.live() {
            assert_eq!(expected.settled(tick(self.now)), Ok(new), "only what the programs did is written");
        }
        self.kernel.insert(name.to_owned(), new);
        Outcome::Done { at: self.now, took: Duration::from_nanos(600) }
    }

    /// What nobody ordered leads to no side that is known to fail.
    fn must_be_fit(&self, name: &str, cause: Option<Cause>, new: Word) {
        let Some(deployment) = self.machine.deployment(name) else { return };
        let [to, from] = [new.live(), new.live().other()].map(|colour| deployment.health.slice(colour));
        match cause {
            Some(Cause::AutoRollback) => assert_ne!(to, Some(false), "{name} goes back to what fails"),
            Some(Cause::FailOver) => {
                assert_eq!((to, from), (Some(true), Some(false)), "{name} fails over to what is no better");
                assert!(deployment.frozen.is_none() && deployment.watch.is_none());
            }
            Some(Cause::Drill) if !new.unpack().is_ok_and(|it| it.revert_at_deadline) => {
                let insists = deployment.drill.as_ref().is_none_or(|drill| drill.insists);
                let unfit = |colour: Colour| deployment.unfit_to_take_over(colour, self.now).is_some();
                let worse = unfit(new.live()) && !unfit(new.live().other());
                assert!(insists || !worse, "a drill goes home to what fails");
            }
            Some(Cause::Switch | Cause::Rollback | Cause::Unconfirmed | Cause::Drill) | None => {}
        }
    }

    fn write(&mut self, record: Record, memory: Memory, token: Option<u64>) {
        if self.trace {
            println!("{:>12?}     {:?}", self.now.0, record.what);
        }
        let name = record.deployment.clone();
        if let Some(word) = self.kernel.get(&name).filter(|_| !self.unseen.contains(&name)) {
            let word = word.effective(tick(self.now));
            let said = (record.live, record.generation);
            assert_eq!(said, (word.live(), word.generation()), "{record:?} tells of another word: {word:?}");
        }
        if let What::Switched { cause: Cause::AutoRollback | Cause::Unconfirmed | Cause::FailOver, .. } =
            &record.what
        {
            assert!(memory.frozen.is_some(), "who remembers the one must remember the other");
            self.must_be_frozen.insert(name.clone());
        }
        if matches!(record.what, What::Canary { share: 0, .. }) && record.actor.who == Who::Bgd {
            assert!(memory.frozen.is_some(), "who remembers the one must remember the other");
            self.must_be_frozen.insert(name.clone());
        }
        if record.what == What::Unfrozen {
            self.must_be_frozen.remove(&name);
        }
        let (lost, version) = (self.disk == Disk::Fails, self.version);
        self.journal.push(Entry { deployment: name, record, memory, lost, token, version, at: self.now });
        if self.disk != Disk::Hangs {
            self.durable = self.journal.len();
        }
    }

    /// What answers at once does, unless a test does it by itself.
    fn answer_by_itself(&mut self) {
        if self.disk != Disk::Hangs {
            while let Some((index, token)) = self.waits() {
                self.acknowledge(index, token);
            }
        }
        if self.hooks != Hooks::Hang {
            while let Some(question) = self.questions.pop() {
                self.reply(question, self.hooks.clone());
            }
        }
    }

    /// Entries that something waits for.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (usize, u64)> {
        self.journal.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.token?)))
    }

    fn waits(&self) -> Option<(usize, u64)> {
        self.waiting().next()
    }

    /// The journal says how the writing of an entry has ended.
    pub(super) fn acknowledge(&mut self, index: usize, token: u64) {
        let Entry { deployment, lost, token: slot, .. } = &mut self.journal[index];
        *slot = None;
        let refusal = || Refusal::new("journal-full", "no space left", "/var/lib/bg", "make room");
        let (deployment, result) = (deployment.clone(), if *lost { Err(refusal()) } else { Ok(()) });
        self.feed(Event::JournalState(result.clone().err()));
        self.feed(Event::Journalled { deployment, token, result });
    }

    pub(super) fn reply(&mut self, question: Question, hooks: Hooks) {
        let agreement = |ok: bool| Agreement {
            hook: "schema".to_owned(),
            ok,
            output: "migration 7 is missing\n".to_owned(),
            took: Duration::from_millis(30),
        };
        let agreements = match hooks {
            Hooks::Agree => vec![agreement(true)],
            Hooks::Disagree => vec![agreement(true), agreement(false)],
            Hooks::Nobody | Hooks::Hang => Vec::new(),
        };
        let Question { deployment, token, .. } = question;
        self.feed(Event::Asked { deployment, token, agreements });
    }

    /// What must be so after everything that happens.
    pub(super) fn must_hold(&self) {
        for (name, deployment) in self.machine.deployments() {
            if self.must_be_frozen.contains(name) {
                assert!(deployment.frozen.is_some(), "{name} has thawed by itself");
            }
            if let Some(word) = self.kernel.get(name).filter(|_| !self.unseen.contains(name)) {
                assert_eq!(deployment.word(), *word, "the machine knows the kernel's word of {name}");
            }
            let told = self.previews.get(name).map(Vec::as_slice).unwrap_or_default();
            assert_eq!(told, deployment.previews, "the data plane leads those of {name} that were ordered");
            let Some(Configured { policy, services, .. }) =
                self.configured.iter().find(|it| it.name == *name)
            else {
                continue;
            };
            if policy.no_backend == NoBackend::Refuse || !self.machine.configured.contains_key(name) {
                continue;
            }
            for down in self.down.get(name).into_iter().flatten() {
                let others = policy.slices[down.colour.index()]
                    .iter()
                    .filter(|it| it.is_ipv6() == down.address.is_ipv6() && **it != down.address);
                let serves = |address: &IpAddr| {
                    let entry = Down { address: *address, ..down.clone() };
                    !self.down[name].contains(&entry)
                };
                let known = policy.slices[down.colour.index()].contains(&down.address);
                assert!(
                    !known || !services.contains(&down.service) || others.clone().any(serves),
                    "nobody is left beside {down:?} of {name}"
                );
            }
        }
    }

    // What tests do.

    /// Gives an order of the first deployment; it may be answered later.
    pub(super) fn give(&mut self, verb: Verb) -> OrderId {
        let deployment = self.configured.first().map(|it| it.name.clone());
        self.give_to(deployment, verb)
    }

    pub(super) fn give_to(&mut self, deployment: Option<String>, verb: Verb) -> OrderId {
        self.orders += 1;
        let id = OrderId(self.orders);
        let actor = Actor { who: Who::Operator, uid: Some(1000), ..Actor::default() };
        self.open_orders.insert(id);
        self.feed(Event::Order { id, order: Order { deployment, verb, actor, reason: None } });
        id
    }

    /// Gives an order that is answered at once, or as soon as nothing more can be proved.
    pub(super) fn order(&mut self, verb: Verb) -> Answer {
        let id = self.give(verb);
        if !self.answers.contains_key(&id) && self.shop().proving.is_some() {
            self.pass(seconds(2));
        }
        self.answers.get(&id).cloned().unwrap_or_else(|| panic!("{id:?} is not answered"))
    }

    pub(super) fn switch(&mut self, order: SwitchOrder) -> Result<Switched, Refusal> {
        let done = self.order(Verb::Switch(order))?;
        let Done::Switched(switched) = done else { panic!("a switch was answered by {done:?}") };
        Ok(switched)
    }

    /// A switch to this colour, without any wishes.
    pub(super) fn go(&mut self, to: Colour) -> Result<Switched, Refusal> {
        self.switch(SwitchOrder { to: Some(to), ..SwitchOrder::default() })
    }

    pub(super) fn forced(&mut self, to: Colour, gates: &[&str]) -> Result<Switched, Refusal> {
        let force = force(gates);
        self.switch(SwitchOrder { to: Some(to), force, ..SwitchOrder::default() })
    }

    pub(super) fn rollback(&mut self) -> Result<Switched, Refusal> {
        let done = self.order(Verb::Rollback(RollbackOrder::default()))?;
        let Done::Switched(switched) = done else { panic!("a rollback was answered by {done:?}") };
        Ok(switched)
    }

    /// An order that only says what is so from here on.
    pub(super) fn say(&mut self, verb: Verb) -> Result<String, Refusal> {
        let done = self.order(verb)?;
        let Done::Changed { what, .. } = done else { panic!("answered by {done:?}") };
        Ok(what)
    }

    pub(super) fn stage(&mut self, colour: Colour, version: &str) -> Result<String, Refusal> {
        self.say(stage(colour, version, false, false))
    }

    pub(super) fn plan(&mut self) -> crate::model::plan::Plan {
        match self.order(Verb::Plan { to: None }) {
            Ok(Done::Plan(plan)) => *plan,
            other => panic!("a plan was answered by {other:?}"),
        }
    }

    /// So much time passes; timers are told when they are due.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = Moment(self.now.0 + time);
        let mut at_once = 0;
        while let Some(due) = self.machine.next_timer(self.now).filter(|due| *due <= end) {
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 10, "the timer of {due:?} is never done");
            self.now = self.now.max(due);
            self.feed(Event::Timer);
            if self.dead {
                return;
            }
        }
        self.now = end;
    }

    /// Every probe answers so about all of a slice, until it must be believed.
    pub(super) fn probe_all(&mut self, colour: Colour, good: bool) {
        for probe in self.configured[0].policy.probes.clone() {
            let targets = match probe.level {
                Level::Slice => vec![Target::Slice(colour)],
                Level::Backend => {
                    let slices = &self.configured[0].policy.slices;
                    slices[colour.index()].iter().map(|it| Target::Backend(colour, *it)).collect()
                }
            };
            for target in targets {
                self.probe_as_often(&probe, target, good);
            }
        }
    }

    pub(super) fn healthy(&mut self, colours: &[Colour]) {
        colours.iter().for_each(|colour| self.probe_all(*colour, true));
    }

    pub(super) fn sick(&mut self, colour: Colour) {
        self.probe_all(colour, false);
    }

    pub(super) fn probe_as_often(&mut self, probe: &ProbePolicy, target: Target, good: bool) {
        for _ in 0..if good { probe.rise } else { probe.fall } {
            self.probed(&probe.name, target, if good { fine(None) } else { bad() });
        }
    }

    /// All probes through the VIP get an answer from this colour, or a bad one.
    pub(super) fn vip(&mut self, answer: Option<Colour>) {
        for probe in self.configured[0].policy.probes.clone().into_iter().filter(|probe| probe.vip) {
            let finding = if answer.is_some() { fine(answer) } else { bad() };
            for _ in 0..probe.rise.max(probe.fall) {
                self.probed(&probe.name, Target::Vip, finding.clone());
            }
        }
    }

    /// A probe began just now, and has answered.
    pub(super) fn probed(&mut self, probe: &str, target: Target, finding: Finding) {
        self.now = Moment(self.now.0 + Duration::from_millis(1));
        let (deployment, probe, began) = (self.configured[0].name.clone(), probe.to_owned(), self.now);
        let own = Default::default();
        self.feed(Event::Probed { deployment, probe, target, began, own, finding });
    }

    pub(super) fn sweep(&mut self, open: [u64; 2]) {
        let open = Open { count: open, oldest: [seconds(60); 2] };
        let open = self.kernel.keys().map(|name| (name.clone(), open)).collect();
        self.feed(Event::Swept { began: self.now, open });
    }

    /// The counters are read, a second later.
    pub(super) fn count(&mut self, change: impl FnOnce(&mut [Traffic; 2])) {
        change(&mut self.traffic);
        self.pass(seconds(1));
        let counted = self.kernel.keys().map(|name| (name.clone(), self.traffic)).collect();
        self.feed(Event::Counted(counted));
    }

    /// Somebody else writes the word of `shop`; the machine reads it.
    pub(super) fn write_word(&mut self, change: impl FnOnce(&mut Fields)) {
        let slot = self.kernel.get_mut("shop").unwrap();
        *slot = slot.change(change).unwrap();
        self.reread();
    }

    // What tests see.

    pub(super) fn shop(&self) -> &Deployment {
        &self.machine.deployments["shop"]
    }

    pub(super) fn view(&self) -> View {
        self.shop().view(self.now)
    }

    /// Who gets new flows of `shop`, as the programs see it.
    pub(super) fn live(&self) -> Colour {
        self.kernel["shop"].effective(tick(self.now)).live()
    }

    pub(super) fn fields(&self) -> Fields {
        self.kernel["shop"].unpack().unwrap()
    }

    /// Kinds of all records since the last call, without probes and verdicts.
    pub(super) fn told(&mut self) -> Vec<String> {
        let told = self.journal.iter().skip(self.heard).map(|entry| kind(&entry.record));
        let told = told.filter(|kind| !matches!(kind.as_str(), "probe" | "slice")).collect();
        self.heard = self.journal.len();
        told
    }

    /// The last record of this kind.
    pub(super) fn last(&self, wanted: &str) -> &Record {
        let found = self.journal.iter().rev().map(|entry| &entry.record).find(|it| kind(it) == wanted);
        found.unwrap_or_else(|| panic!("no record of {wanted}: {:?}", self.kinds()))
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        self.journal.iter().map(|entry| kind(&entry.record)).collect()
    }
}

/// The kind of a record, as it is written, and the cause of one that is about live.
pub(super) fn kind(record: &Record) -> String {
    let what = serde_json::to_value(&record.what).unwrap();
    match (what["kind"].as_str().unwrap(), what["cause"].as_str()) {
        (kind, Some(cause)) => format!("{kind} {cause}"),
        (kind, None) => kind.to_owned(),
    }
}

pub(super) fn fine(answered: Option<Colour>) -> Finding {
    Finding::Good { answered }
}

pub(super) fn bad() -> Finding {
    Finding::Bad { why: "status 503, wanted 200".to_owned(), answered: None }
}

pub(super) fn force(gates: &[&str]) -> Force {
    Force::Gates(gates.iter().map(|gate| (*gate).to_owned()).collect())
}

pub(super) fn stage(colour: Colour, version: &str, give_up_rollback: bool, hotfix: bool) -> Verb {
    Verb::Stage { colour: Some(colour), version: Some(version.to_owned()), give_up_rollback, hotfix }
}

/// The code of a refusal.
pub(super) fn code<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> String {
    answer.unwrap_err().code
}
