//! What is known again after a restart: the word in the kernel is the truth, the journal tells how it came
//! to be, and the difference between the two tells what happened at the end.

use super::deployment::{Deployment, Step};
use super::drill::Drill;
use super::order::{Actor, Switched};
use super::record::{Cause, Memory, What};
use super::watch::Watch;
use bg_common::Word;

impl Deployment {
    /// Takes over what the journal remembers. `self` has the word that the kernel has.
    pub(super) fn restore(&mut self, step: &mut Step<'_>, memory: Option<Memory>) {
        let Some(memory) = memory else {
            self.found(step, "new");
            if self.word.generation() > 0 {
                // The words alone say that there was a switch; what was live before it is the other side.
                let other = self.live(step.now.moment).other();
                self.has_moved(step, Cause::Switch, other);
            }
            return self.schedule_drill(step);
        };
        let Memory { slices, rollback, frozen, overrides, drilled, down, .. } = memory.clone();
        (self.slices, self.rollback, self.frozen) = (slices, rollback, frozen);
        (self.overrides, self.drilled) = (overrides, drilled);
        self.health.remember_down(down, &self.policy);
        self.schedule_drill(step);
        if memory.boot != step.boot {
            return self.after_reboot(step, &memory);
        }
        self.watch = memory.watch.as_ref().map(Watch::remembered);
        if let (Some(drain), Some((until, _))) = (&mut self.drain, &memory.drain_until) {
            drain.until = Some(*until);
        }
        if let Some(pending) = &memory.pending {
            let (expected, new) = (Word::from_bits(pending.expected), Word::from_bits(pending.new));
            if self.word == new {
                return self.completed(step, pending.cause, expected);
            }
            if self.word == expected {
                let why = "the daemon ended before the word was exchanged".to_owned();
                self.note(step, What::NotSwitched { cause: pending.cause, to: new.live(), why });
                return self.found(step, "exchange-not-made");
            }
        }
        if self.word == memory.word() {
            let gone_back = self.live(step.now.moment) != self.word.live();
            self.found(step, if gone_back { "went-back-while-away" } else { "as-remembered" });
        } else {
            // From the word that was remembered to the one that is there, as by any stranger.
            let actual = std::mem::replace(&mut self.word, memory.word());
            self.adopt(step, actual);
            self.found(step, "changed-while-away");
        }
        // A drill has nobody who leads it back: its own deadline would, but there is no need to wait.
        self.abandon_drill(step);
    }

    fn after_reboot(&mut self, step: &mut Step<'_>, memory: &Memory) {
        let unconfirmed = memory.watch.as_ref().filter(|watch| watch.from == self.word.live());
        if let Some(watch) = unconfirmed {
            let (cause, from) = (Cause::Unconfirmed, watch.from.other());
            if watch.cause != Cause::Drill {
                self.has_moved(step, cause, from);
                let why =
                    format!("the machine was booted before the switch to {} was confirmed", self.named(from));
                self.freeze(step, why);
            }
        }
        self.found(step, "after-reboot");
    }

    /// The exchange was made, and the daemon ended before it could say so.
    fn completed(&mut self, step: &mut Step<'_>, cause: Cause, expected: Word) {
        let (from, to) = (expected.live(), self.word.live());
        self.watch = None;
        self.has_moved(step, cause, from);
        let fields = self.word.unpack().ok();
        let confirm_until =
            fields.filter(|it| it.revert_at_deadline).and_then(|_| super::change::deadline(self.word));
        let now = step.now.moment;
        if cause == Cause::Switch && (confirm_until.is_some() || self.policy.bake.is_some()) {
            self.watch = Some(Watch::new(cause, to, now, self.policy.bake, confirm_until));
        } else if cause == Cause::Drill && confirm_until.is_some() {
            self.watch = Some(Watch::new(cause, to, now, None, confirm_until));
        }
        let switched = Switched { from, already: false, ..self.as_it_is(to) };
        self.note(step, What::Switched { cause, switched: switched.clone(), overridden: Vec::new() });
        self.last = Some((switched, step.now.unix));
        self.found(step, "exchange-completed");
        if matches!(cause, Cause::AutoRollback | Cause::FailOver) && self.frozen.is_none() {
            self.freeze(step, "bg had to act, and its daemon ended at that moment".to_owned());
        }
        self.abandon_drill(step);
    }

    /// A drill that was under way when the daemon ended goes home.
    fn abandon_drill(&mut self, step: &mut Step<'_>) {
        if self.watch.as_ref().is_some_and(|watch| watch.cause == Cause::Drill) && self.change.is_none() {
            let home = self.word.live().other();
            self.watch = None;
            self.drill = Some(Drill::abandoned(home, step.now.moment));
            self.drill_failed(step, "the daemon was started anew while it was under way".to_owned());
        }
    }

    pub(super) fn found(&self, step: &mut Step<'_>, found: &str) {
        let what = What::Started { found: found.to_owned(), word: self.word.bits() };
        self.tell(step, &Actor::default(), None, what);
    }
}
