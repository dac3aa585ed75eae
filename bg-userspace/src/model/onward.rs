//! What goes on by itself, after anything that has happened and whenever time has passed.

use super::Moment;
use super::change::{Change, deadline};
use super::deployment::{Deployment, Step, tick};
use super::proof::Proving;

impl Deployment {
    /// Whether the programs have acted at a deadline that the word still shows.
    pub(super) fn is_lapsed(&self, now: Moment) -> bool {
        self.word.unpack().is_ok() && self.word.effective(tick(now)) != self.word
    }

    /// Whether the daemon may change the word by itself: nobody else does, and it says what holds.
    pub(super) fn is_ready(&self, now: Moment) -> bool {
        self.change.is_none() && self.is_calm(now)
    }

    /// Whether only a change that gives way is under way.
    pub(super) fn is_ready_to_overtake(&self, now: Moment) -> bool {
        self.change.as_ref().is_some_and(Change::gives_way) && self.is_calm(now)
    }

    fn is_calm(&self, now: Moment) -> bool {
        self.word.unpack().is_ok() && !self.is_lapsed(now) && self.hold_off.is_none_or(|until| now >= until)
    }

    /// Goes on with what is due. Whatever exchanges the word comes last: what is recorded after it would tell of
    /// the word of before.
    pub(super) fn go_on(&mut self, step: &mut Step<'_>) {
        self.settle(step);
        self.change_timer(step);
        self.carry_out_queued(step);
        self.drain_timer(step);
        self.drill_timer(step);
        self.use_previews(step);
        self.look(step);
    }

    /// The next moment at which time alone changes something.
    pub(super) fn next_timer(&self, now: Moment) -> Option<Moment> {
        // What the daemon does by itself waits for the end of a change, and for a while after a failure.
        let by_itself = [
            self.deadline().filter(|_| self.change.is_none()),
            self.looked_at().and_then(|watch| watch.timer(self.policy.watching_hooks)),
            self.drill.as_ref().and_then(|drill| drill.timer(now)),
            self.drain.as_ref().and_then(|drain| drain.timer(self.word)),
            self.drill_due.filter(|_| self.drill.is_none()),
            self.hold_off.filter(|until| *until > now),
        ];
        let by_itself = by_itself.into_iter().flatten().min();
        let by_itself = by_itself.filter(|_| self.change.is_none() && self.word.unpack().is_ok());
        let by_itself = by_itself.map(|moment| self.hold_off.map_or(moment, |until| moment.max(until)));
        [
            by_itself,
            // A change that is under way may be over by what the programs do at the deadline.
            self.deadline().filter(|deadline| self.change.is_some() && *deadline > now),
            self.change.as_ref().and_then(Change::timer),
            self.proving.as_ref().map(Proving::timer),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the programs act on the word.
    fn deadline(&self) -> Option<Moment> {
        let acts = |fields: &bg_common::word::Fields| fields.revert_at_deadline || fields.resume_at_deadline;
        self.word.unpack().ok().filter(acts).and_then(|_| deadline(self.word))
    }
}
