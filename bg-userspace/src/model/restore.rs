//! What is known again after a restart: the word in the kernel is the truth, the journal tells how it came
//! to be, and the difference between the two tells what happened at the end.

use super::deployment::{Deployment, Step};
use super::drill::Drill;
use super::order::{Actor, Switched};
use super::record::{Cause, Memory, Pending, What};
use super::watch::Watch;
use bg_common::{Colour, Word};

impl Deployment {
    /// Takes over what the journal remembers. `self` has the word that the kernel has; its tables may have been
    /// `made` just before.
    pub(super) fn restore(&mut self, step: &mut Step<'_>, memory: Option<Memory>, made: bool) {
        let Some(memory) = memory else { return self.without_memory(step) };
        let Memory { slices, rollback, frozen, overrides, drilled, down, healthy, last, .. } = memory.clone();
        self.canary_forced = memory.canary_forced;
        (self.slices, self.rollback, self.frozen) = (slices, rollback, frozen);
        (self.overrides, self.drilled, self.last) = (overrides, drilled, last);
        self.material = memory.material.unwrap_or(self.material);
        self.health.remember(down, healthy);
        // Before anything is told: what is remembered from here on is what the rings are.
        self.serve(step);
        self.remember_previews(step, memory.previews.clone());
        self.schedule_drill(step);
        // Taken down and made anew within one boot is as good as a boot. If whoever made them has ended since, the
        // end of a drain, canary or pause looks the same, and is none.
        let was = memory.word();
        let ended = [was.drained(), was.with_canary(0), was.resumed()].contains(&Ok(self.word));
        let made_anew = self.word == memory.after_reboot() && self.word != was && !ended;
        if memory.boot != step.boot || made || made_anew {
            return self.after_reboot(step, &memory);
        }
        let now = step.now.moment;
        self.watch = memory.watch.as_ref().map(|watch| Watch::remembered(watch, now));
        // A drill has nobody who leads it back: its own deadline would, but there is no need to wait.
        if let Some(watch) = self.watch.as_ref().filter(|watch| watch.cause == Cause::Drill) {
            self.drill = Some(Drill::abandoned(watch.to.other(), now));
        }
        let (seen, actual) = (memory.word(), self.word);
        if seen.live() == actual.live()
            && let (Some(drain), Some((until, _))) = (&mut self.drain, &memory.drain_until)
        {
            drain.until = Some(*until);
        }
        // From here on as if the difference had just been seen.
        self.word = seen;
        let found = match &memory.pending {
            // If that word had been seen before, it was somebody else's: ours would have been told.
            Some(pending) if actual == Word::from_bits(pending.new) && seen != actual => {
                self.word = actual;
                self.completed(step, pending);
                "exchange-completed"
            }
            Some(pending) if actual == Word::from_bits(pending.expected) => {
                self.word = actual;
                self.not_made(step, pending, "the daemon ended before the word was exchanged");
                "exchange-not-made"
            }
            Some(pending) => {
                self.unsaid = Some(pending.clone());
                self.adopt(step, actual);
                let why = "the daemon ended at that moment, and somebody has changed the word since";
                self.not_made(step, pending, why);
                "changed-while-away"
            }
            None if actual == seen && self.live(now) != actual.live() => "went-back-while-away",
            None if actual == seen => "as-remembered",
            None => {
                self.adopt(step, actual);
                "changed-while-away"
            }
        };
        self.follow_watch(actual);
        self.look_at_bits(step, actual);
        self.found(step, found);
    }

    /// What was remembered becomes known when the deployment is at work already: what has been decided since stays.
    pub(super) fn remember_late(&mut self, step: &mut Step<'_>, memory: Memory, doubt: Option<String>) {
        let now = step.now.moment;
        let is_blank = self.slices == <[super::record::SliceMemory; 2]>::default() && self.last.is_none();
        // Where no rule was known, the word was made to say so.
        let without = memory.word().with_previews(self.word.has_previews());
        let same = memory.boot == step.boot && (memory.word() == self.word || without == Ok(self.word));
        if self.previews.is_empty() {
            self.remember_previews(step, memory.previews.clone());
        }
        self.canary_forced |= same && memory.canary_forced;
        if is_blank && memory.word().live() == self.live(now) {
            let Memory { slices, rollback, drilled, last, ref watch, .. } = memory;
            (self.slices, self.rollback, self.drilled, self.last) = (slices, rollback, drilled, last);
            let watch = watch.as_ref().filter(|watch| same && watch.cause != Cause::Drill);
            self.watch = self.watch.take().or_else(|| watch.map(|watch| Watch::remembered(watch, now)));
            self.doubt = doubt;
        }
        if self.frozen.is_none() {
            self.frozen = memory.frozen;
        }
        if self.overrides.is_empty() {
            self.overrides = memory.overrides;
        }
        self.schedule_drill(step);
        self.found(step, "remembered-late");
    }

    fn without_memory(&mut self, step: &mut Step<'_>) {
        let word = self.word;
        if word.draining() && word.unpack().is_ok() {
            // The word alone says that there was a switch: flows of the other side are left.
            let other = self.live(step.now.moment).other();
            self.has_moved(step, Cause::Switch, other, step.now.moment);
        }
        self.schedule_drill(step);
        self.look_at_bits(step, word);
        self.found(step, "new");
    }

    /// The machine was booted, or the deployment was away, and its word made anew by [`Memory::after_reboot`].
    fn after_reboot(&mut self, step: &mut Step<'_>, memory: &Memory) {
        let (was, live) = (memory.word().live(), self.word.live());
        let went_back = was != live && live == memory.after_reboot().live();
        self.unsaid.clone_from(&memory.pending);
        self.material = self.word.generation();
        if memory.is_drill() {
            self.drill = Some(Drill::abandoned(live, step.now.moment));
            self.abort_drill(step, "its tables were made anew while it was under way".to_owned());
        } else if let Some(pending) =
            memory.pending.as_ref().filter(|pending| went_back && pending.leaves_trouble())
        {
            self.completed(step, pending);
        } else if went_back {
            let why = format!("its tables were made anew before the switch to {was} was confirmed");
            self.has_moved(step, Cause::Unconfirmed, was, step.now.moment);
            self.freeze(step, &why);
            self.tell_moved(step, Cause::Unconfirmed, was, Vec::new());
            self.tell_frozen(step);
        }
        if let Some(pending) = self.unsaid.clone() {
            self.not_made(step, &pending, "its tables were made anew at that moment");
        }
        self.found(step, if memory.boot == step.boot { "came-back" } else { "after-reboot" });
    }

    /// The exchange was made, and the daemon ended before it could say so.
    fn completed(&mut self, step: &mut Step<'_>, pending: &Pending) {
        let Pending { cause, expected, bake, overridden, .. } = pending.clone();
        self.unsaid = None;
        let (from, to) = (Word::from_bits(expected).live(), self.word.live());
        let now = step.now.moment;
        self.has_moved(step, cause, from, now);
        if cause == Cause::Drill && self.drill.is_none() {
            self.drill = Some(Drill::abandoned(from, now));
        }
        self.begin_watch(cause, to, now, bake, self.word);
        let acted = matches!(cause, Cause::AutoRollback | Cause::FailOver);
        if acted {
            self.freeze(step, "bg had to act, and its daemon ended at that moment");
        }
        self.tell_moved(step, cause, from, overridden);
        if acted {
            self.tell_frozen(step);
        }
        if cause == Cause::Drill && self.watch.as_ref().is_none_or(|watch| watch.to != to) {
            self.end_drill(step, None);
        }
    }

    fn not_made(&mut self, step: &mut Step<'_>, pending: &Pending, why: &str) {
        self.unsaid = None;
        let to = Word::from_bits(pending.new).live();
        self.note(step, What::NotSwitched { cause: pending.cause, to, why: why.to_owned() });
    }

    /// Tells of a change of who is live that nobody could tell of when it was made.
    fn tell_moved(&mut self, step: &mut Step<'_>, cause: Cause, from: Colour, overridden: Vec<String>) {
        let switched = Switched { from, already: false, ..self.as_it_is(from.other()) };
        self.last = Some((switched.clone(), step.now.unix));
        self.note(step, What::Switched { cause, switched, overridden });
    }

    /// Tells where it begins.
    pub(super) fn found(&mut self, step: &mut Step<'_>, found: &str) {
        self.judge(step);
        let what = What::Started { found: found.to_owned(), word: self.word.bits() };
        self.tell(step, &Actor::default(), None, what);
    }
}
