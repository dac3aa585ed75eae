//! One deployment: its word as last seen, what runs where, and everything that is under way.

use super::Moment;
use super::change::Change;
use super::drain::Drain;
use super::drill::Drill;
use super::event::{Effect, Event, Now, Open};
use super::health::Health;
use super::order::{Actor, Done, Order, OrderId, Switched, Who};
use super::policy::Policy;
use super::proof::Proving;
use super::record::{
    Freeze, Memory, Override, Pending, Record, Role, RollbackTarget, SliceIdentity, SliceMemory, What,
};
use super::watch::Watch;
use crate::prefix::Prefix;
use crate::refusal::Refusal;
use bg_common::{Aim, Colour, Tick, Word};
use std::time::Duration;

/// What a step of the machine may read and where it leaves its effects.
pub(super) struct Step<'a> {
    pub(super) now: Now,
    pub(super) boot: &'a str,
    pub(super) journal: Option<&'a Refusal>,
    pub(super) tokens: &'a mut u64,
    /// Entries that the preview rules of all deployments take, where an order has to know.
    pub(super) previews: usize,
    pub(super) effects: &'a mut Vec<Effect>,
}

impl Step<'_> {
    pub(super) fn token(&mut self) -> u64 {
        *self.tokens += 1;
        *self.tokens
    }

    pub(super) fn tick(&self) -> Tick {
        tick(self.now.moment)
    }

    pub(super) fn answer(&mut self, id: OrderId, answer: Result<Done, Refusal>) {
        self.effects.push(Effect::Answer { id, answer: Box::new(answer) });
    }
}

/// A deployment as the model knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Deployment {
    pub(super) name: String,
    pub(super) policy: Policy,
    pub(super) services: Vec<String>,
    pub(super) word: Word,
    pub(super) slices: [SliceMemory; 2],
    pub(super) rollback: Option<RollbackTarget>,
    pub(super) frozen: Option<Freeze>,
    pub(super) overrides: Vec<Override>,
    /// Which clients operators lead elsewhere than to the live colour.
    pub(super) previews: Vec<(Prefix, Aim)>,
    /// The canary leads to a side that was not healthy when it was ordered.
    pub(super) canary_forced: bool,
    pub(super) health: Health,
    pub(super) open: Option<Open>,
    pub(super) drain: Option<Drain>,
    pub(super) change: Option<Change>,
    pub(super) watch: Option<Watch>,
    pub(super) proving: Option<Proving>,
    pub(super) drill: Option<Drill>,
    pub(super) drilled: Option<u64>,
    /// When the next scheduled drill is due.
    pub(super) drill_due: Option<Moment>,
    pub(super) last: Option<(Switched, u64)>,
    /// What somebody else made of the word, and the Unix time of it, until the next order: as seen, as it was then.
    pub(super) drifted: Option<(Word, Word, u64)>,
    /// A word without sense that was reported.
    pub(super) broken: Option<Word>,
    /// When live has changed last, as far as is known: what was asked before speaks of another side.
    pub(super) flipped: Option<Moment>,
    /// What the daemon does by itself has failed, and is not tried again before.
    pub(super) hold_off: Option<Moment>,
    /// Orders that wait until it is written down what the programs did at a deadline.
    pub(super) queued: Vec<(OrderId, Order)>,
    /// What the daemon before this one was about to do, until it is told what became of it.
    pub(super) unsaid: Option<Pending>,
    /// Generation of the last change that a plan has to know of: drains that end and pauses are none.
    pub(super) material: u16,
    /// Why roles and versions are not to be relied on: the journal that remembers them is not what was written.
    pub(super) doubt: Option<String>,
    /// A configuration has told how it wants to be treated.
    pub(super) configured: bool,
}

impl Deployment {
    pub(super) fn new(name: &str, word: Word, policy: Policy, services: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            policy,
            services,
            word,
            slices: Default::default(),
            rollback: None,
            frozen: None,
            overrides: Vec::new(),
            previews: Vec::new(),
            canary_forced: false,
            health: Health::default(),
            open: None,
            drain: None,
            change: None,
            watch: None,
            proving: None,
            drill: None,
            drilled: None,
            drill_due: None,
            last: None,
            drifted: None,
            broken: None,
            flipped: None,
            hold_off: None,
            queued: Vec::new(),
            unsaid: None,
            material: word.generation(),
            doubt: None,
            configured: false,
        }
    }

    /// The word as last seen.
    #[must_use]
    pub fn word(&self) -> Word {
        self.word
    }

    /// Open flows at the last count.
    #[must_use]
    pub fn open(&self) -> Option<Open> {
        self.open
    }

    /// Who gets new flows at `now`, as the programs see it.
    #[must_use]
    pub fn live(&self, now: Moment) -> Colour {
        self.word.effective(tick(now)).live()
    }

    /// What a slice is for.
    #[must_use]
    pub fn role(&self, colour: Colour, now: Moment) -> Role {
        if colour == self.live(now) {
            return Role::Live;
        }
        let standby = self.is_to_be_gone_back_to(colour) || self.drill.is_some();
        if standby { Role::Standby } else { Role::Staging }
    }

    /// Whether a slice still is what was live before the last switch.
    pub(super) fn is_to_be_gone_back_to(&self, colour: Colour) -> bool {
        self.rollback.as_ref().is_some_and(|target| self.holds(target) && target.colour == colour)
    }

    /// Whether a rollback target still is what was live then.
    pub(super) fn holds(&self, target: &RollbackTarget) -> bool {
        self.slice(target.colour).identity == target.identity
    }

    pub(super) fn slice(&self, colour: Colour) -> &SliceMemory {
        let [blue, green] = &self.slices;
        match colour {
            Colour::Blue => blue,
            Colour::Green => green,
        }
    }

    pub(super) fn slice_mut(&mut self, colour: Colour) -> &mut SliceMemory {
        let [blue, green] = &mut self.slices;
        match colour {
            Colour::Blue => blue,
            Colour::Green => green,
        }
    }

    /// Role, version and health of `[blue, green]`.
    #[must_use]
    pub fn identities(&self, now: Moment) -> [SliceIdentity; 2] {
        Colour::BOTH.map(|colour| {
            let SliceMemory { version, identity } = self.slice(colour).clone();
            let healthy = self.health.slice(colour);
            SliceIdentity { colour, role: self.role(colour, now), version, identity, healthy }
        })
    }

    /// A version in brackets, for messages.
    pub(super) fn named(&self, colour: Colour) -> String {
        match &self.slice(colour).version {
            Some(version) => format!("{colour} ({version})"),
            None => colour.to_string(),
        }
    }

    /// Open flows of a colour at the last count.
    #[must_use]
    pub fn staying(&self, colour: Colour) -> Option<u64> {
        self.open.and_then(|open| open.count.get(colour.index()).copied())
    }

    /// Age of the oldest of them.
    pub(super) fn oldest(&self, colour: Colour) -> Option<Duration> {
        let open = self.open?;
        let oldest = open.oldest.get(colour.index()).copied()?;
        self.staying(colour).filter(|count| *count > 0).map(|_| oldest)
    }

    /// Whether nothing changes who is live.
    pub(super) fn is_idle(&self) -> bool {
        self.change.is_none() && self.drill.is_none()
    }

    pub(super) fn record(&self, now: Now, actor: &Actor, reason: Option<&str>, what: What) -> Box<Record> {
        Box::new(Record {
            deployment: self.name.clone(),
            live: self.live(now.moment),
            generation: self.word.generation(),
            slices: self.identities(now.moment),
            actor: actor.clone(),
            reason: reason.map(str::to_owned),
            late_ms: None,
            what,
        })
    }

    /// Records what the daemon did or saw by itself.
    pub(super) fn note(&self, step: &mut Step<'_>, what: What) {
        self.tell(step, &Actor::default(), None, what);
    }

    /// Records what somebody caused.
    pub(super) fn tell(&self, step: &mut Step<'_>, actor: &Actor, reason: Option<&str>, what: What) {
        let record = self.record(step.now, actor, reason, what);
        let memory = Box::new(self.memory(step.boot));
        step.effects.push(Effect::Record { record, memory });
    }

    /// Records what took effect at `at`, if that was so long ago that it matters.
    pub(super) fn note_late(&self, step: &mut Step<'_>, at: Moment, what: What) {
        const LATE: Duration = Duration::from_secs(1);
        let mut record = self.record(step.now, &Actor::default(), None, what);
        let late = step.now.moment.since(at);
        record.late_ms = (late >= LATE).then(|| u64::try_from(late.as_millis()).unwrap_or(u64::MAX));
        let memory = Box::new(self.memory(step.boot));
        step.effects.push(Effect::Record { record, memory });
    }

    /// What has to be known again after a restart.
    pub(super) fn memory(&self, boot: &str) -> Memory {
        Memory {
            word: self.word.bits(),
            slices: self.slices.clone(),
            rollback: self.rollback.clone(),
            frozen: self.frozen.clone(),
            overrides: self.overrides.clone(),
            previews: self.previews.clone(),
            canary_forced: self.canary_forced,
            pending: self.change.as_ref().and_then(Change::pending).or_else(|| self.unsaid.clone()),
            watch: self.watch.as_ref().map(Watch::memory),
            drain_until: self.drain.as_ref().and_then(|drain| Some((drain.until?, boot.to_owned()))),
            boot: boot.to_owned(),
            drilled: self.drilled,
            down: self.health.down().to_vec(),
            healthy: self.health.verdicts_to_remember(),
            last: self.last.clone(),
            material: Some(self.material),
        }
    }

    /// Somebody who writes words without asking.
    pub(super) fn stranger() -> Actor {
        Actor { who: Who::Unknown, ..Actor::default() }
    }

    /// The place of a refusal.
    pub(super) fn place(&self) -> String {
        format!("deployment {}, generation {}", self.name, self.word.generation())
    }

    /// Freezes the deployment after the daemon or the programs had to act. To be told once it is told why, by
    /// [`Self::tell_frozen`]: nothing that is remembered may know of the one and not of the other.
    pub(super) fn freeze(&mut self, step: &Step<'_>, why: &str) {
        self.frozen = Some(Freeze { why: why.to_owned(), since: step.now.unix, automatic: true });
    }

    pub(super) fn tell_frozen(&self, step: &mut Step<'_>) {
        if let Some(Freeze { why, .. }) = &self.frozen {
            self.note(step, What::Frozen { why: why.clone() });
        }
    }

    /// Whether a switch waits for its confirmation.
    pub(super) fn waits_for_confirmation(&self) -> bool {
        self.word.unpack().is_ok_and(|fields| fields.revert_at_deadline) && self.drill.is_none()
    }
}

/// The tick of a moment.
pub(super) fn tick(moment: Moment) -> Tick {
    Tick::from_nanos(u64::try_from(moment.0.as_nanos()).unwrap_or(u64::MAX))
}

/// The moment at which a tick begins.
pub(super) fn at_tick(tick: u32) -> Moment {
    Moment(Duration::from_nanos(u64::from(tick) * Tick::NANOS))
}

/// The first tick that begins no earlier than `moment`.
pub(super) fn tick_after(moment: Moment) -> u32 {
    tick(moment).0.saturating_add(1)
}

/// What the machine passes to a deployment; events that name none go to all.
pub(super) fn names(event: &Event) -> Option<&str> {
    match event {
        Event::Exchanged { deployment, .. }
        | Event::Journalled { deployment, .. }
        | Event::Asked { deployment, .. }
        | Event::Probed { deployment, .. }
        | Event::Noted { deployment, .. } => Some(deployment),
        Event::Remembered { .. }
        | Event::Configured(_)
        | Event::Made(_)
        | Event::Words(_)
        | Event::Order { .. }
        | Event::JournalState(_)
        | Event::Counted(_)
        | Event::Swept { .. }
        | Event::Remind
        | Event::Timer => None,
    }
}
