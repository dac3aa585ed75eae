//! A change of the word, step by step: hooks agree, the journal has it, the word is exchanged. Whatever
//! fails before the exchange leaves everything as it is.

use super::Moment;
use super::deployment::{Deployment, Step, at_tick, tick, tick_after};
use super::event::{Effect, Outcome, Phase};
use super::order::{Actor, Done, Force, OrderId};
use super::plan::PlanId;
use super::record::{Cause, Pending, What};
use crate::refusal::Refusal;
use bg_common::word::{Fate, Invalid};
use bg_common::{Colour, Word};
use std::time::Duration;

/// An exchange that is lost so often is refused.
const TRIES: u32 = 8;

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

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Stage {
    /// Hooks are asked.
    Asking,
    /// The journal writes; it has until then.
    Recording(Moment),
    /// The word is exchanged.
    Exchanging,
}

impl Change {
    /// What a restart has to look for.
    pub(super) fn pending(&self) -> Option<Pending> {
        match (&self.make, &self.stage) {
            (Make::Go(go), Stage::Recording(_) | Stage::Exchanging) => {
                Some(Pending { cause: go.cause, expected: self.expected.bits(), new: self.new.bits() })
            }
            _ => None,
        }
    }

    pub(super) fn timer(&self) -> Option<Moment> {
        match self.stage {
            Stage::Recording(until) => Some(until),
            Stage::Asking | Stage::Exchanging => None,
        }
    }

    /// Whether its exchange is on its way, so that a word which was read may be older or newer.
    pub(super) fn is_exchanging(&self) -> bool {
        self.stage == Stage::Exchanging
    }
}

impl Go {
    /// Whether it may do without the journal: what saves traffic never waits for a disk.
    pub(super) fn is_urgent(&self) -> bool {
        !matches!(self.cause, Cause::Switch | Cause::Drill)
    }
}

impl Deployment {
    /// Begins a change of who is live. Its gates have been asked.
    pub(super) fn go(&mut self, step: &mut Step<'_>, why: Why, go: Go) {
        let first = match go.cause {
            Cause::Switch => true,
            Cause::Drill => self.drill.as_ref().is_some_and(super::drill::Drill::is_on_its_way),
            Cause::Rollback | Cause::AutoRollback | Cause::Unconfirmed | Cause::FailOver => false,
        };
        let asks = first && self.policy.gating_hooks;
        if !self.prepare(step, why, Make::Go(go)) {
            return;
        }
        if asks {
            self.ask_hooks(step, Phase::Before);
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
        match word_after(&make, self.word, step.now.moment) {
            Ok(new) => {
                let (expected, stage, tries) = (self.word, Stage::Asking, 0);
                self.change = Some(Change { token, why, make, expected, new, stage, tries });
                true
            }
            Err(invalid) => {
                let refusal = self.broken_word(invalid);
                self.not_made(step, why, &make, refusal);
                false
            }
        }
    }

    pub(super) fn broken_word(&self, why: Invalid) -> Refusal {
        let what = format!("the word of {} makes no sense: {why}", self.name);
        let at = format!("deployment {}, word {:#018x}", self.name, self.word.bits());
        let mend = "another version of bg wrote it: use that version, or start anew with `bgctl detach`";
        Refusal::new("broken-word", what, at, mend)
    }

    pub(super) fn exchange(&mut self, step: &mut Step<'_>) {
        let Some(change) = &mut self.change else { return };
        match word_after(&change.make, self.word, step.now.moment) {
            Ok(new) => {
                (change.expected, change.new, change.stage) = (self.word, new, Stage::Exchanging);
                let (deployment, expected) = (self.name.clone(), self.word);
                step.effects.push(Effect::Exchange { deployment, expected, new });
            }
            Err(invalid) => {
                let refusal = self.broken_word(invalid);
                self.give_up(step, refusal);
            }
        }
    }

    /// An exchange has ended.
    pub(super) fn exchanged(&mut self, step: &mut Step<'_>, outcome: Outcome) {
        match outcome {
            Outcome::Done { at, took } => {
                if let Some(change) = self.change.take() {
                    self.made(step, change, at, took);
                }
            }
            Outcome::Lost { actual } => {
                self.adopt(step, actual);
                self.retry(step, actual);
            }
            Outcome::Failed(refusal) => self.give_up(step, refusal),
        }
    }

    /// Goes on after another writer was faster.
    fn retry(&mut self, step: &mut Step<'_>, actual: Word) {
        let Some(change) = &mut self.change else { return };
        change.tries += 1;
        let (tries, before) = (change.tries, change.expected.live());
        let refuse = |what: String, code, mend| Refusal::new(code, what, "", mend);
        let refusal = match &change.make {
            Make::Go(go) if go.plan.is_some() => refuse(
                "somebody else changed the word, so the plan does not hold".to_owned(),
                "gate-plan",
                "bgctl plan",
            ),
            Make::Go(go) if go.to == actual.live() && go.named => return self.already(step),
            Make::Go(go) if before != actual.live() && !go.named => refuse(
                format!("somebody else made {} live while this order was under way", actual.live()),
                "changed-meanwhile",
                "see `bgctl status`, then order again with --to COLOUR",
            ),
            // A timer comes back to it if it still is to be done.
            Make::Drained | Make::Settle => {
                self.change = None;
                return;
            }
            Make::Go(_) | Make::Confirm | Make::Pause(_) | Make::Resume | Make::Fate(_) if tries >= TRIES => {
                refuse(
                    format!("the word of {} keeps changing under the order", self.name),
                    "contended",
                    "find out who else switches it, then order again",
                )
            }
            Make::Go(_) | Make::Confirm | Make::Pause(_) | Make::Resume | Make::Fate(_) => {
                return self.exchange(step);
            }
        };
        let at = self.place();
        self.give_up(step, Refusal { at, ..refusal });
    }

    /// What was ordered is so already.
    fn already(&mut self, step: &mut Step<'_>) {
        let Some(Change { why, make: Make::Go(go), .. }) = self.change.take() else { return };
        let switched = self.as_it_is(go.to);
        match why {
            Why::Order { id, .. } => step.answer(id, Ok(Done::Switched(switched))),
            Why::Drill => self.drill_went(step, switched),
            Why::Bgd(_) => {}
        }
    }

    /// The change is not made; whoever wants it is told.
    pub(super) fn give_up(&mut self, step: &mut Step<'_>, refusal: Refusal) {
        if let Some(Change { why, make, .. }) = self.change.take() {
            self.not_made(step, why, &make, refusal);
        }
    }

    fn not_made(&mut self, step: &mut Step<'_>, why: Why, make: &Make, refusal: Refusal) {
        if let Make::Go(go) = make {
            let (actor, reason) = why.said();
            let what = What::NotSwitched { cause: go.cause, to: go.to, why: refusal.what.clone() };
            self.tell(step, &actor, reason.as_deref(), what);
        }
        match why {
            Why::Order { id, .. } => step.answer(id, Err(refusal)),
            Why::Drill => self.drill_refused(step, refusal),
            Why::Bgd(_) => {}
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
    pub(super) fn overrides(&self, gate: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Gates(gates) => gates.iter().any(|name| name == gate),
            Self::All => true,
        }
    }
}

/// What `make` makes of `word` at `now`.
fn word_after(make: &Make, word: Word, now: Moment) -> Result<Word, Invalid> {
    let effective = word.effective(tick(now));
    match make {
        // A pause is not over because live changes: whoever holds new flows lets them go.
        Make::Go(go) => effective.change(|fields| {
            fields.live = go.to;
            fields.draining = true;
            fields.fate = go.fate;
            fields.revert_at_deadline = go.confirm.is_some();
            match go.confirm {
                Some(within) => {
                    fields.resume_at_deadline = false;
                    fields.deadline = tick_after(Moment(now.0 + within));
                }
                None if fields.resume_at_deadline => {}
                None => fields.deadline = 0,
            }
        }),
        Make::Confirm => effective.confirmed(),
        Make::Pause(time) => effective.paused(Some(tick_after(Moment(now.0 + *time)))),
        Make::Resume => effective.resumed(),
        Make::Fate(fate) => effective.with_fate(*fate),
        Make::Drained => effective.drained(),
        Make::Settle => word.settled(tick(now)),
    }
}

/// When a word goes back, or its pause ends.
pub(super) fn deadline(word: Word) -> Option<Moment> {
    (word.deadline() != 0).then(|| at_tick(word.deadline()))
}
