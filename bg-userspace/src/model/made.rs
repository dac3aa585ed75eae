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
        self.follow(new, step.now.moment);
        match make {
            Make::Go(go) => self.went(step, why, go, (expected, new), (at, took)),
            Make::Settle => self.settled(step, expected, new),
            Make::Drained => {
                let colour = new.live().other();
                self.note(step, What::Drained { colour });
            }
            Make::Confirm => self.confirmed(step, why, new),
            Make::Canary(canary) => self.canary_set(step, why, canary, (expected, new)),
            Make::Previews(previews) => self.previews_set(step, why, previews),
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

    /// A switch stays.
    fn confirmed(&mut self, step: &mut Step<'_>, why: Why, new: Word) {
        if why == Why::Drill {
            return self.drill_stays(step);
        }
        if let Some(watch) = &mut self.watch {
            watch.confirm_until = None;
        }
        self.watch = self.watch.take().filter(Watch::is_waiting);
        let until = match &self.watch {
            Some(watch) => format!("; it is watched for {} s more", watch.left(step.now.moment).as_secs()),
            None => String::new(),
        };
        let what = format!("confirmed: {} stays live{until}", self.named(new.live()));
        self.changed(step, why, What::Confirmed, what);
    }

    /// Records a change and answers whoever ordered it.
    pub(super) fn changed(&mut self, step: &mut Step<'_>, why: Why, what: What, sentence: String) {
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
        let Go { cause, to, bake, confirm, overridden, began, .. } = go;
        let from = to.other();
        let switched = Switched {
            from,
            took_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            already: false,
            staying: self.staying(from),
            confirm_within_s: confirm.filter(|_| cause == Cause::Switch).map(|it| it.as_secs()),
            bake_s: bake.map(|it| it.as_secs()),
            ..self.as_it_is(to)
        };
        let vip_was_bad = self.health.vip_complaint(&self.policy).is_some();
        self.canary_forced = false;
        self.has_moved(step, cause, from, at);
        self.begin_watch(cause, to, at, bake, new);
        if let Some(watch) = &mut self.watch {
            watch.vip_was_bad = vip_was_bad;
        }
        let (actor, reason) = why.said();
        if matches!(cause, Cause::AutoRollback | Cause::FailOver) {
            self.freeze(step, reason.as_deref().unwrap_or_default());
        }
        let what = What::Switched { cause, switched: switched.clone(), overridden };
        self.last = Some((switched.clone(), step.now.unix));
        self.drifted = None;
        self.tell(step, &actor, reason.as_deref(), what);
        if expected.is_paused() && !new.is_paused() {
            self.note(step, What::Resumed { by_deadline: true });
        }
        if self.policy.probes.iter().any(|probe| probe.vip) {
            step.effects.push(Effect::ProbeNow { deployment: self.name.clone() });
        }
        step.effects.push(Effect::CountNow);
        if matches!(cause, Cause::AutoRollback | Cause::FailOver) {
            self.tell_frozen(step);
        }
        let for_whom = match why {
            Why::Order { id, .. } => (Some(id), false),
            Why::Drill => (None, true),
            Why::Bgd(_) => (None, false),
        };
        self.prove(step, for_whom, switched, (began, at));
    }

    /// Watches what has become live by `new`, where that is to be watched. A drill is marked as such until it
    /// has ended, so that it is known after a restart.
    pub(super) fn begin_watch(
        &mut self,
        cause: Cause,
        to: Colour,
        at: Moment,
        bake: Option<Duration>,
        new: Word,
    ) {
        let confirm = deadline(new).filter(|_| new.unpack().is_ok_and(|fields| fields.revert_at_deadline));
        match cause {
            Cause::Switch => self.watch = Some(Watch::new(cause, to, at, bake, confirm)),
            Cause::Drill if confirm.is_some() => self.watch = Some(Watch::new(cause, to, at, None, confirm)),
            Cause::Drill => self.drill_is_home(),
            Cause::Rollback | Cause::AutoRollback | Cause::Unconfirmed | Cause::FailOver => self.watch = None,
        }
        self.watch = self.watch.take().filter(Watch::is_waiting);
    }

    /// Roles and verdicts after live has moved away from `from`.
    pub(super) fn has_moved(&mut self, step: &Step<'_>, cause: Cause, from: Colour, at: Moment) {
        match cause {
            Cause::Switch | Cause::FailOver => {
                let super::record::SliceMemory { version, identity } = self.slice(from).clone();
                self.rollback =
                    Some(RollbackTarget { colour: from, identity, version, since: step.now.unix });
            }
            Cause::Rollback | Cause::AutoRollback | Cause::Unconfirmed => self.rollback = None,
            Cause::Drill => {}
        }
        self.flipped = Some(at);
        self.material = self.word.generation();
        self.health.forget_vip();
        self.health.restart_passive(from.other());
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
