//! The time after a switch in which flows of the old colour still exist.

use super::Moment;
use super::change::{Make, Why};
use super::deployment::{Deployment, Step};
use super::event::Open;
use super::policy::DrainLimit;
use bg_common::Word;
use bg_common::word::Fate;
use std::time::Duration;

/// A drain is over at the earliest so long after the switch: packets that were decided just before it
/// have made their pins by then.
const AT_LEAST: Duration = Duration::from_secs(2);

/// A drain is over when so many sweeps in a row have seen no open flow.
const EMPTY_SWEEPS: u32 = 2;

/// A drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Drain {
    pub(super) since: Moment,
    empty: u32,
    /// When the flows that are left get their fate.
    pub(super) until: Option<Moment>,
}

impl Drain {
    pub(super) fn begin(now: Moment, limit: Option<DrainLimit>) -> Self {
        Self { since: now, empty: 0, until: limit.map(|limit| now.after(limit.after)) }
    }

    /// Somebody else has touched the word: whatever was counted may be older than that.
    pub(super) fn restart(&mut self, now: Moment) {
        (self.since, self.empty) = (now, 0);
    }

    /// When its deadline is to be looked at. A fate that was given needs no deadline, and none is given to flows that a
    /// canary leads there.
    pub(super) fn timer(&self, word: Word) -> Option<Moment> {
        self.until.filter(|_| word.fate() == Fate::Keep && word.canary() == 0)
    }
}

impl Deployment {
    /// Takes notice of a sweep that began at `began`; perhaps the drain is over.
    pub(super) fn swept(&mut self, step: &mut Step<'_>, open: Open, began: Moment) {
        self.open = Some(open);
        let now = step.now.moment;
        let old = self.live(now).other();
        let left = self.staying(old).unwrap_or_default();
        let Some(drain) = self.drain.as_mut().filter(|drain| began >= drain.since) else { return };
        drain.empty = if left == 0 { drain.empty + 1 } else { 0 };
        let over = drain.empty >= EMPTY_SWEEPS && now.since(drain.since) >= AT_LEAST;
        if over && self.is_ready(now) {
            self.alter(step, Why::Bgd("the last flow has ended".to_owned()), Make::Drained);
        }
    }

    /// Time has passed: perhaps the drain has lasted long enough.
    pub(super) fn drain_timer(&mut self, step: &mut Step<'_>) {
        let timer = self.drain.and_then(|drain| drain.timer(self.word));
        let due = timer.is_some_and(|it| step.now.moment >= it);
        if !due || !self.is_ready(step.now.moment) {
            return;
        }
        let fate = self.policy.drain_limit.map_or(Fate::Reset, |limit| limit.fate);
        self.alter(step, Why::Bgd("the drain has reached its deadline".to_owned()), Make::Fate(fate));
    }
}
