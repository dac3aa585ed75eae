//! What others make of a word: whoever writes it besides this daemon, and the programs at its deadline.

use super::Moment;
use super::change::{Make, Why};
use super::deployment::{Deployment, Step};
use super::order::Switched;
use super::record::{Cause, What};
use bg_common::{Colour, Word};

impl Deployment {
    /// Follows a word that was read, and that somebody else may have written.
    pub(super) fn adopt(&mut self, step: &mut Step<'_>, actual: Word) {
        let now = step.now.moment;
        if actual != self.word {
            let (seen, before) = (self.word, self.live(now));
            self.follow(actual, now);
            let live = self.live(now);
            if live != before {
                // Whoever did it has taken over: what was being watched is theirs.
                self.watch = None;
                self.conclude(step);
                self.has_moved(step, Cause::Switch, before);
                if self.drill.is_some() {
                    self.drill_failed(step, format!("somebody else made {live} live"));
                }
            } else if !actual.unpack().is_ok_and(|fields| fields.revert_at_deadline)
                && let Some(watch) = &mut self.watch
            {
                watch.confirm_until = None;
                self.watch = self.watch.take().filter(|watch| watch.bake_until.is_some());
            }
            self.drifted = Some((seen, actual, step.now.unix));
            let what = What::Drift { seen: seen.bits(), actual: actual.bits(), actual_live: live };
            self.tell(step, &Self::stranger(), None, what);
        }
        match actual.unpack() {
            Ok(_) => self.broken = None,
            Err(why) if self.broken != Some(actual) => {
                self.broken = Some(actual);
                self.note(step, What::BrokenWord { word: actual.bits(), why: why.to_string() });
            }
            Err(_) => {}
        }
        self.settle(step);
    }

    /// Writes down what the programs do past a deadline.
    pub(super) fn settle(&mut self, step: &mut Step<'_>) {
        if self.change.is_none()
            && self.word.unpack().is_ok()
            && self.word.effective(step.tick()) != self.word
        {
            self.alter(step, Why::Bgd("a deadline has passed".to_owned()), Make::Settle);
        }
    }

    /// What the programs did at a deadline was written down.
    pub(super) fn settled(
        &mut self,
        step: &mut Step<'_>,
        before: Colour,
        expected: Word,
        new: Word,
        at: Moment,
    ) {
        if expected.is_paused() && !new.is_paused() {
            self.note(step, What::Resumed { by_deadline: true });
        }
        if expected.live() == new.live() {
            return;
        }
        let (from, to) = (expected.live(), before);
        let drill =
            self.drill.is_some() || self.watch.as_ref().is_some_and(|watch| watch.cause == Cause::Drill);
        let cause = if drill { Cause::Drill } else { Cause::Unconfirmed };
        self.watch = None;
        self.has_moved(step, cause, from);
        let switched = Switched { from, staying: self.staying(from), ..self.as_it_is(to) };
        self.note(
            step,
            What::Switched {
                cause,
                switched: Switched { already: false, ..switched.clone() },
                overridden: Vec::new(),
            },
        );
        self.last = Some((switched, step.now.unix));
        if drill {
            return self.drill_failed(step, "nobody led it back in time, so the data plane did".to_owned());
        }
        self.conclude(step);
        let why = format!(
            "the switch to {} was not confirmed in time, so the data plane went back by itself",
            self.named(from)
        );
        let _ = at;
        self.freeze(step, why);
    }
}
