//! A change of the word, step by step: hooks agree, the journal has it, the word is exchanged. Whatever
//! fails before the exchange leaves everything as it is.

use super::Moment;
use super::canary::Canary;
use super::deployment::{Deployment, Step, at_tick};
use super::event::Outcome;
use super::order::{Actor, Done, Force, OrderId};
use super::plan::PlanId;
use super::preview::Previews;
use super::record::{Cause, Pending, What};
use super::word::word_after;
use crate::refusal::Refusal;
use bg_common::word::{Fate, Invalid};
use bg_common::{Colour, Word};
use std::time::Duration;

/// An exchange that is lost so often is refused.
const TRIES: u32 = 8;

/// What the daemon wanted by itself and could not do is tried again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// A change that is under way.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Change {
    pub(super) token: u64,
    pub(super) why: Why,
    pub(super) make: Make,
    pub(super) expected: Word,
    pub(super) new: Word,
    pub(super) stage: Stage,
    pub(super) tries: u32,
}

/// Who wants a change.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Why {
    /// An operator.
    Order {
        /// To be answered.
        id: OrderId,
        /// For the record.
        actor: Actor,
        /// For the record.
        reason: Option<String>,
    },
    /// A drill, whose own order waits for its end.
    Drill,
    /// The daemon, for this reason.
    Bgd(String),
}

/// What a change makes of the word.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Make {
    /// A colour becomes live.
    Go(Go),
    /// A switch stays.
    Confirm,
    /// New flows are held.
    Pause(Duration),
    /// New flows go on.
    Resume,
    /// What is left of a drain gets a fate.
    Fate(Fate),
    /// Another share of new flows goes to the colour that is not live.
    Canary(Canary),
    /// Preview rules are used, or not any more.
    Previews(Previews),
    /// The drain is over.
    Drained,
    /// What the programs do past a deadline is written down.
    Settle,
}

/// A colour that becomes live.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Go {
    pub(super) cause: Cause,
    pub(super) to: Colour,
    pub(super) fate: Fate,
    pub(super) confirm: Option<Duration>,
    pub(super) bake: Option<Duration>,
    /// The order named the colour, so it is fulfilled if somebody else has made it live.
    pub(super) named: bool,
    pub(super) plan: Option<PlanId>,
    pub(super) force: Force,
    pub(super) agreed: bool,
    pub(super) overridden: Vec<String>,
    /// When the order came.
    pub(super) began: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Hooks are asked; they have until then.
    Asking(Moment),
    /// The journal writes; it has until then.
    Recording(Moment),
    /// The word is exchanged.
    Exchanging,
}

impl Change {
    /// What a restart has to look for.
    pub(super) fn pending(&self) -> Option<Pending> {
        match (&self.make, self.stage) {
            (Make::Go(go), Stage::Recording(_) | Stage::Exchanging) => Some(Pending {
                cause: go.cause,
                expected: self.expected.bits(),
                new: self.new.bits(),
                bake: go.bake,
                overridden: go.overridden.clone(),
            }),
            _ => None,
        }
    }

    pub(super) fn timer(&self) -> Option<Moment> {
        match self.stage {
            Stage::Asking(until) | Stage::Recording(until) => Some(until),
            Stage::Exchanging => None,
        }
    }

    /// Whether it waits for hooks that were asked by this token.
    pub(super) fn is_asking(&self, token: u64) -> bool {
        self.token == token && matches!(self.stage, Stage::Asking(_))
    }

    /// Whether it gives way to what leaves a side that fails: hooks may take minutes, and nothing has been changed
    /// yet.
    pub(super) fn gives_way(&self) -> bool {
        matches!(&self.make, Make::Go(go) if go.is_gated()) && !self.is_exchanging()
    }

    /// Whether its exchange is on its way, so that a word which was read may be older or newer.
    pub(super) fn is_exchanging(&self) -> bool {
        self.stage == Stage::Exchanging
    }
}

impl Go {
    /// Whether gates are asked, hooks and all, and the journal is waited for. What saves traffic, or leads a
    /// drill home, never waits for a disk.
    pub(super) fn is_gated(&self) -> bool {
        match self.cause {
            Cause::Switch => true,
            Cause::Drill => self.confirm.is_some(),
            Cause::Rollback | Cause::AutoRollback | Cause::Unconfirmed | Cause::FailOver => false,
        }
    }
}

impl Deployment {
    /// Begins a change of who is live. Its gates have been asked.
    pub(super) fn go(&mut self, step: &mut Step<'_>, why: Why, go: Go) {
        let asks = go.is_gated() && self.policy.gating_hooks;
        if !self.prepare(step, why, Make::Go(go)) {
            return;
        }
        if asks {
            self.ask_hooks(step);
        } else {
            self.write_about(step);
        }
    }

    /// Begins a change that leaves live who is live.
    pub(super) fn alter(&mut self, step: &mut Step<'_>, why: Why, make: Make) {
        if self.prepare(step, why, make) {
            self.exchange(step);
        }
    }

    /// Puts a change together; false if the word makes no sense, which is answered.
    fn prepare(&mut self, step: &mut Step<'_>, why: Why, make: Make) -> bool {
        let token = step.token();
        let (expected, new, stage, tries) = (self.word, self.word, Stage::Exchanging, 0);
        self.change = Some(Change { token, why, make, expected, new, stage, tries });
        self.renew(step)
    }

    /// Bases the change on the word as it is; false if that cannot be, which is answered.
    pub(super) fn renew(&mut self, step: &mut Step<'_>) -> bool {
        let Some(change) = &mut self.change else { return false };
        match word_after(&change.make, self.word, step.now.moment) {
            Ok(new) => {
                (change.expected, change.new) = (self.word, new);
                true
            }
            Err(invalid) => {
                let refusal = self.unfit(invalid);
                self.give_up(step, refusal);
                false
            }
        }
    }

    /// The refusal for a word that an order cannot change.
    fn unfit(&self, why: Invalid) -> Refusal {
        match why {
            Invalid::Deadline => self.deadline_in_use(),
            Invalid::Fate | Invalid::Canary | Invalid::Generation => self.broken_word(why),
        }
    }

    pub(super) fn broken_word(&self, why: Invalid) -> Refusal {
        let what = format!("the word of {} makes no sense: {why}", self.name);
        let at = format!("deployment {}, word {:#018x}", self.name, self.word.bits());
        let mend = "another version of bg wrote it: use that version, or start anew with `bgctl detach`";
        Refusal::new("broken-word", what, at, mend)
    }

    /// The word of a change that was put together is to be exchanged.
    pub(super) fn exchange(&mut self, step: &mut Step<'_>) {
        let Some(change) = &mut self.change else { return };
        change.stage = Stage::Exchanging;
        let (deployment, expected, new) = (self.name.clone(), change.expected, change.new);
        step.effects.push(super::event::Effect::Exchange { deployment, expected, new });
    }

    /// An exchange has ended.
    pub(super) fn exchanged(&mut self, step: &mut Step<'_>, outcome: Outcome) {
        if !self.change.as_ref().is_some_and(Change::is_exchanging) {
            return;
        }
        match outcome {
            Outcome::Done { at, took } => {
                if let Some(change) = self.change.take() {
                    self.made(step, change, at, took);
                }
            }
            Outcome::Lost { actual } => {
                self.adopt(step, actual);
                self.overtaken(step);
            }
            Outcome::Failed(refusal) => self.give_up(step, refusal),
        }
    }

    /// Goes on with a change after another writer was faster.
    pub(super) fn overtaken(&mut self, step: &mut Step<'_>) {
        let (live, lapsed) = (self.live(step.now.moment), self.is_lapsed(step.now.moment));
        if let Some(change) = &mut self.change {
            change.tries += 1;
        }
        let Some(change) = &self.change else { return };
        let was_live = change.expected.live();
        let refuse = |what: String, code, mend| Refusal::new(code, what, "", mend);
        let refusal = match &change.make {
            Make::Go(go) if go.plan.is_some() => refuse(
                "somebody else changed the word, so the plan does not hold".to_owned(),
                "gate-plan",
                "bgctl plan",
            ),
            make if lapsed && !matches!(make, Make::Drained | Make::Settle) => refuse(
                "somebody else wrote a word whose deadline has passed while this order was under way"
                    .to_owned(),
                "changed-meanwhile",
                "see `bgctl status`, then order again",
            ),
            Make::Go(go) if go.to == live && (go.named || go.cause == Cause::Rollback) => {
                return self.already(step);
            }
            // What nobody waits for is done when it still is to be done.
            Make::Drained => {
                self.change = None;
                return;
            }
            Make::Settle if !lapsed => {
                self.change = None;
                return;
            }
            Make::Go(_) | Make::Confirm | Make::Fate(_) | Make::Canary(_) if was_live != live => refuse(
                format!("somebody else made {live} live while this order was under way"),
                "changed-meanwhile",
                "see `bgctl status`, then order again with --to COLOUR",
            ),
            Make::Confirm if !self.waits_for_confirmation() => refuse(
                "somebody else has confirmed the switch".to_owned(),
                "nothing-to-confirm",
                "see `bgctl status`",
            ),
            Make::Fate(_) if self.drain.is_none() => {
                refuse("the drain has ended meanwhile".to_owned(), "no-drain", "see `bgctl status`")
            }
            _ if change.tries >= TRIES => refuse(
                format!("the word of {} keeps changing under the order", self.name),
                "contended",
                "find out who else switches it, then order again",
            ),
            // What was recorded before the first try is about another word.
            Make::Go(_) => return self.write_about(step),
            Make::Confirm
            | Make::Pause(_)
            | Make::Resume
            | Make::Fate(_)
            | Make::Canary(_)
            | Make::Previews(_)
            | Make::Settle => {
                if self.renew(step) {
                    self.exchange(step);
                }
                return;
            }
        };
        let at = self.place();
        self.give_up(step, Refusal { at, ..refusal });
    }

    /// What was ordered is so already.
    pub(super) fn already(&mut self, step: &mut Step<'_>) {
        let Some(Change { why, make: Make::Go(go), .. }) = self.change.take() else { return };
        let (actor, reason) = why.said();
        let saw = format!("{} is live already", self.named(go.to));
        let what = What::NotSwitched { cause: go.cause, to: go.to, why: saw.clone() };
        self.tell(step, &actor, reason.as_deref(), what);
        match why {
            Why::Order { id, .. } => {
                let switched = self.as_it_is(go.to);
                step.answer(id, Ok(Done::Switched(switched)));
            }
            Why::Drill => self.abort_drill(step, saw),
            Why::Bgd(_) => {}
        }
    }

    /// The change is not made; whoever wants it is told.
    pub(super) fn give_up(&mut self, step: &mut Step<'_>, refusal: Refusal) {
        let Some(Change { why, make, .. }) = self.change.take() else { return };
        if let Make::Go(go) = &make {
            let (actor, reason) = why.said();
            let why = refusal.what.replace('\n', "; ");
            let what = What::NotSwitched { cause: go.cause, to: go.to, why };
            self.tell(step, &actor, reason.as_deref(), what);
        }
        if let Make::Previews(previews) = &make {
            self.previews_not_set(step, previews);
        }
        let again = step.now.moment.after(AGAIN);
        match why {
            Why::Order { id, .. } => step.answer(id, Err(refusal)),
            Why::Drill => self.drill_refused(step, refusal, again),
            Why::Bgd(_) => {
                self.hold_off = Some(again);
                if make == Make::Settle {
                    for (id, _) in std::mem::take(&mut self.queued) {
                        step.answer(id, Err(refusal.clone()));
                    }
                }
            }
        }
    }
}

impl Why {
    /// Who and why, for the record.
    pub(super) fn said(&self) -> (Actor, Option<String>) {
        match self {
            Self::Order { actor, reason, .. } => (actor.clone(), reason.clone()),
            Self::Drill => (Actor::default(), Some("drill".to_owned())),
            Self::Bgd(reason) => (Actor::default(), Some(reason.clone())),
        }
    }
}

impl Force {
    /// Whether a gate of this name is overridden.
    #[must_use]
    pub fn overrides(&self, gate: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Gates(gates) => gates.iter().any(|name| name == gate),
            Self::All => true,
        }
    }
}

/// When a word goes back, or its pause ends.
pub(super) fn deadline(word: Word) -> Option<Moment> {
    (word.deadline() != 0).then(|| at_tick(word.deadline()))
}
