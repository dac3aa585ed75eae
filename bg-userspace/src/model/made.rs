//! What follows once a word was exchanged: roles, watch, drain and record.

use super::Moment;
use super::change::{Change, Go, Make, Why, deadline};
use super::deployment::{Deployment, Step};
use super::drain::Drain;
use super::event::Effect;
use super::order::{Done, Proof, Switched};
use super::record::{Cause, RollbackTarget, What};
use super::watch::Watch;
use bg_common::word::Fate;
use bg_common::{Colour, Word};
use std::time::Duration;

impl Deployment {
    /// A change was made.
    pub(super) fn made(&mut self, step: &mut Step<'_>, change: Change, at: Moment, took: Duration) {
        let Change { why, make, expected, new, .. } = change;
        let before = self.live(step.now.moment);
        self.follow(new, step.now.moment);
        match make {
            Make::Go(go) => self.went(step, why, go, (expected, new), (at, took)),
            Make::Settle => self.settled(step, before, expected, new, at),
            Make::Drained => {
                let colour = new.live().other();
                self.note(step, What::Drained { colour });
            }
            Make::Confirm => {
                if let Some(watch) = &mut self.watch {
                    watch.confirm_until = None;
                }
                self.watch = self.watch.take().filter(|watch| watch.bake_until.is_some());
                let until = match &self.watch {
                    Some(watch) => {
                        format!("; it is watched for {} s more", watch.left(step.now.moment).as_secs())
                    }
                    None => String::new(),
                };
                let what = format!("confirmed: {} stays live{until}", self.named(new.live()));
                self.changed(step, why, What::Confirmed, what);
            }
            Make::Pause(time) => {
                let what = format!("new flows are held for {} s; established ones go on", time.as_secs_f32());
                self.changed(step, why, What::Paused { seconds: time.as_secs() }, what);
            }
            Make::Resume => {
                self.changed(step, why, What::Resumed { by_deadline: false }, "new flows go on".to_owned());
            }
            Make::Fate(fate) => {
                let colour = new.live().other();
                let left = self.staying(colour);
                let name = fate_name(fate);
                let what = format!("what is left on {} gets its fate: {name}", self.named(colour));
                self.changed(step, why, What::DrainEnded { colour, fate: name.to_owned(), left }, what);
            }
        }
    }

    /// Records a change and answers whoever ordered it.
    fn changed(&mut self, step: &mut Step<'_>, why: Why, what: What, sentence: String) {
        let (actor, reason) = why.said();
        self.tell(step, &actor, reason.as_deref(), what);
        if let Why::Order { id, .. } = why {
            self.answer_changed(step, id, sentence);
        }
    }

    pub(super) fn answer_changed(&self, step: &mut Step<'_>, id: super::OrderId, what: String) {
        let (deployment, generation) = (self.name.clone(), self.word.generation());
        step.answer(id, Ok(Done::Changed { deployment, generation, what }));
    }

    /// Takes over a word that was read or written.
    pub(super) fn follow(&mut self, word: Word, now: Moment) {
        if !word.draining() {
            self.drain = None;
        } else if self.drain.is_none() || word.live() != self.word.live() {
            self.drain = Some(Drain::begin(now, self.policy.drain_limit));
        }
        self.word = word;
    }

    /// A colour was made live.
    fn went(
        &mut self,
        step: &mut Step<'_>,
        why: Why,
        go: Go,
        words: (Word, Word),
        times: (Moment, Duration),
    ) {
        let ((expected, new), (at, took)) = (words, times);
        let Go { cause, to, bake, overridden, began, .. } = go;
        let from = to.other();
        let switched = Switched {
            from: expected.effective(step.tick()).live(),
            took_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            already: false,
            staying: self.staying(from),
            confirm_within_s: go.confirm.filter(|_| cause == Cause::Switch).map(|it| it.as_secs()),
            bake_s: bake.map(|it| it.as_secs()),
            ..self.as_it_is(to)
        };
        self.has_moved(step, cause, from);
        self.watch = match cause {
            Cause::Switch if bake.is_some() || go.confirm.is_some() => {
                Some(Watch::new(cause, to, at, bake, deadline(new).filter(|_| go.confirm.is_some())))
            }
            Cause::Drill if go.confirm.is_some() => Some(Watch::new(cause, to, at, None, deadline(new))),
            Cause::Switch
            | Cause::Rollback
            | Cause::AutoRollback
            | Cause::Unconfirmed
            | Cause::FailOver
            | Cause::Drill => None,
        };
        let (actor, reason) = why.said();
        let what = What::Switched { cause, switched: switched.clone(), overridden };
        self.tell(step, &actor, reason.as_deref(), what);
        self.last = Some((switched.clone(), step.now.unix));
        self.drifted = None;
        if self.policy.probes.iter().any(|probe| probe.vip) {
            step.effects.push(Effect::ProbeNow { deployment: self.name.clone() });
        }
        step.effects.push(Effect::CountNow);
        let (id, for_drill) = match why {
            Why::Order { id, .. } => (Some(id), false),
            Why::Drill => (None, true),
            Why::Bgd(why) => {
                if cause != Cause::Drill {
                    self.freeze(step, why);
                }
                (None, false)
            }
        };
        self.prove(step, (id, for_drill), switched, (began, at));
    }

    /// Roles and verdicts after live has moved away from `from`.
    pub(super) fn has_moved(&mut self, step: &Step<'_>, cause: Cause, from: Colour) {
        let to = from.other();
        match cause {
            Cause::Switch | Cause::FailOver => {
                let super::record::SliceMemory { version, identity } = self.slice(from).clone();
                self.rollback =
                    Some(RollbackTarget { colour: from, identity, version, since: step.now.unix });
            }
            Cause::Rollback | Cause::AutoRollback | Cause::Unconfirmed => self.rollback = None,
            Cause::Drill => {}
        }
        self.health.forget_vip();
        self.health.restart_passive(to);
    }

    /// An answer that nothing had to change for.
    pub(super) fn as_it_is(&self, to: Colour) -> Switched {
        Switched {
            deployment: self.name.clone(),
            from: to,
            to,
            from_version: self.slice(to.other()).version.clone(),
            to_version: self.slice(to).version.clone(),
            generation: self.word.generation(),
            took_ns: 0,
            already: true,
            staying: self.staying(to.other()),
            confirm_within_s: None,
            bake_s: None,
            proof: Proof::default(),
        }
    }
}

/// A fate as typed.
pub(super) const fn fate_name(fate: Fate) -> &'static str {
    match fate {
        Fate::Keep => "keep",
        Fate::Reset => "reset",
        Fate::Move => "move",
    }
}
