//! What others make of a word: whoever writes it besides this daemon, and the programs at its deadline.

use super::Moment;
use super::change::{Change, Make, Why, deadline};
use super::deployment::{Deployment, Step};
use super::order::Switched;
use super::record::{Cause, What};
use crate::refusal::Refusal;
use bg_common::{Colour, Word};

impl Deployment {
    /// Follows a word that was read, and that somebody else may have written.
    pub(super) fn adopt(&mut self, step: &mut Step<'_>, actual: Word) {
        let now = step.now.moment;
        if actual != self.word {
            let seen = self.word;
            let lapsed = self.is_lapsed(now).then(|| seen.effective(step.tick()));
            self.follow(actual, now);
            if let Some(drain) = &mut self.drain {
                drain.restart(now);
            }
            if lapsed.is_some() && seen.settled(step.tick()) == Ok(actual) {
                // What the programs did was written down: by us before we ended, or by whoever came first.
                return self.settled(step, seen, actual);
            }
            let moved = seen.live() != actual.live();
            let went_back = moved && lapsed.is_some_and(|lapsed| lapsed.live() == actual.live());
            if went_back {
                self.settled(step, seen, actual);
            } else if moved {
                // Whoever has changed who is live has taken over: what was being watched is theirs.
                self.watch = None;
                self.has_moved(step, Cause::Switch, seen.live(), now);
            }
            self.material = actual.generation();
            self.follow_watch(actual);
            self.drifted = Some((seen, actual, step.now.unix));
            let what = What::Drift { seen: seen.bits(), actual: actual.bits(), actual_live: self.live(now) };
            self.tell(step, &Self::stranger(), None, what);
            if moved && !went_back {
                self.abort_drill(step, format!("somebody else made {} live", actual.live()));
                self.conclude(step);
            }
        }
        self.look_at_bits(step, actual);
    }

    /// A watch ends with the deadline that it waited for, whoever takes that away.
    pub(super) fn follow_watch(&mut self, actual: Word) {
        let reverts = actual.unpack().is_ok_and(|fields| fields.revert_at_deadline);
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.cause != Cause::Drill) {
            watch.confirm_until = deadline(actual).filter(|_| reverts);
            self.watch = self.watch.take().filter(super::watch::Watch::is_waiting);
        }
    }

    /// Reports a word that makes no sense, once. Nothing that is under way can go on with it.
    pub(super) fn look_at_bits(&mut self, step: &mut Step<'_>, actual: Word) {
        match actual.unpack() {
            Ok(_) => self.broken = None,
            Err(why) if self.broken != Some(actual) => {
                self.broken = Some(actual);
                self.watch = None;
                self.note(step, What::BrokenWord { word: actual.bits(), why: why.to_string() });
                self.abort_drill(step, format!("the word makes no sense: {why}"));
            }
            Err(_) => {}
        }
    }

    /// Writes down what the programs do past a deadline.
    pub(super) fn settle(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        if !self.is_lapsed(now) || self.change.as_ref().is_some_and(Change::is_exchanging) {
            return;
        }
        if self.change.is_some() && self.live(now) != self.word.live() {
            self.went_back_under(step);
        }
        if self.change.is_none() && self.hold_off.is_none_or(|until| now >= until) {
            self.alter(step, Why::Bgd("a deadline has passed".to_owned()), Make::Settle);
        }
    }

    /// The programs went back while a change was being prepared, which is over by that.
    fn went_back_under(&mut self, step: &mut Step<'_>) {
        let live = self.live(step.now.moment);
        let Some(Change { make: Make::Go(go), why, .. }) = &self.change else { return };
        let fulfilled = go.to == live && (go.named || go.cause == Cause::Rollback) && go.plan.is_none();
        if *why == Why::Drill && !go.is_gated() {
            // On its way home, where the programs have led it.
            let (cause, to, why) = (go.cause, go.to, format!("the data plane went back to {live} by itself"));
            self.change = None;
            return self.note(step, What::NotSwitched { cause, to, why });
        }
        if fulfilled {
            return self.already(step);
        }
        let what = format!("the data plane went back to {live} at a deadline while this was under way");
        let mend = "see `bgctl status`, then order again";
        let refusal = Refusal::new("changed-meanwhile", what, self.place(), mend);
        self.give_up(step, refusal);
    }

    /// What the programs did at a deadline was written down.
    pub(super) fn settled(&mut self, step: &mut Step<'_>, expected: Word, new: Word) {
        let (from, to) = (expected.live(), new.live());
        if from != to {
            self.went_back(step, (from, to), deadline(expected).unwrap_or(step.now.moment));
        }
        // Last, because what is remembered with it must know of the rest.
        if expected.is_paused() && !new.is_paused() {
            let at = deadline(expected).unwrap_or(step.now.moment);
            self.note_late(step, at, What::Resumed { by_deadline: true });
        }
    }

    /// The programs went back because nobody confirmed, or led a drill home.
    fn went_back(&mut self, step: &mut Step<'_>, (from, to): (Colour, Colour), at: Moment) {
        let drill = self.drill.is_some();
        let cause = if drill { Cause::Drill } else { Cause::Unconfirmed };
        self.watch = None;
        self.has_moved(step, cause, from, at);
        if !drill {
            let why = format!(
                "the switch to {} was not confirmed in time, so the data plane went back by itself",
                self.named(from)
            );
            self.freeze(step, &why);
        }
        let switched = Switched { from, already: false, staying: self.staying(from), ..self.as_it_is(to) };
        let what = What::Switched { cause, switched: switched.clone(), overridden: Vec::new() };
        let late = step.now.moment.since(at).as_secs();
        self.last = Some((switched, step.now.unix.saturating_sub(late)));
        self.note_late(step, at, what);
        if drill {
            self.abort_drill(step, "nobody led it back in time, so the data plane did".to_owned());
        } else {
            self.tell_frozen(step);
        }
        self.conclude(step);
    }

    /// The moment since which nothing that was asked speaks of who is live.
    pub(super) fn is_stale(&self, began: Moment) -> bool {
        self.flipped.is_some_and(|flipped| began <= flipped)
    }
}
