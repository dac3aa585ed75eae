//! When flows are counted and idle ones forgotten, and what follows from a count.

use super::Engine;
use crate::dataplane::{Counters, Lifetimes, Sweep};
use crate::model::event::Open;
use crate::model::{self, Moment};
use crate::refusal::Refusal;
use std::time::Duration;
use tokio::time::Instant;

/// How often flows are counted while a drain waits for the last of them.
const DRAINING: Duration = Duration::from_secs(1);

/// Flows are counted at most and at least so often otherwise.
const EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

impl Engine {
    /// Asks for a count of the flows.
    pub(super) fn count(&mut self) {
        self.counting = self.watcher.sweep(self.now().moment, self.settings.lifetimes);
        if !self.counting {
            self.counted = Some(self.now().moment);
            tracing::error!("nobody counts flows and forgets idle ones: systemctl restart bgd");
        }
    }

    /// Takes notice of what a count has seen.
    pub(super) fn swept(&mut self, began: Moment, sweep: Result<Sweep, Refusal>) {
        self.counting = false;
        self.counted = Some(self.now().moment);
        match sweep {
            Err(refusal) => tracing::error!(%refusal, "the flows cannot be counted"),
            Ok(sweep) => {
                tracing::trace!(pins = sweep.pins, expired = sweep.expired, took = ?sweep.took, "swept");
                // A sweep that was under way while the tables changed may have missed a pin to what
                // was removed.
                if began > self.wired
                    && let Err(refusal) = self.dataplane.settle(&sweep)
                {
                    tracing::error!(%refusal, "removed backends cannot be cleared");
                }
                self.feed(model::Event::Swept { began, open: open(sweep) });
            }
        }
        self.answer_statuses(|_| true);
    }

    /// When there is something to do without an event.
    pub(super) fn next_timer(&self) -> Instant {
        let machine = self.machine.next_timer(self.now().moment).map(|moment| self.instant(moment));
        let statuses = self.statuses.iter().map(|(deadline, _)| *deadline);
        let far = Instant::now() + Duration::from_secs(3600);
        statuses.chain(machine).chain(self.next_reading()).chain([self.next_count()]).min().unwrap_or(far)
    }

    fn next_count(&self) -> Instant {
        let Lifetimes { established, half_closed, closed, udp } = self.settings.lifetimes;
        let shortest = established.min(half_closed).min(closed).min(udp);
        let [least, most] = EVERY;
        let every = if self.machine.draining() { DRAINING } else { (shortest / 2).clamp(least, most) };
        match self.counted {
            _ if self.counting => Instant::now() + Duration::from_secs(3600),
            None => Instant::now() + every,
            Some(counted) => self.instant(counted) + every,
        }
    }

    pub(super) fn count_is_due(&self) -> bool {
        self.next_count() <= Instant::now()
    }

    /// Asks for the counters; what they say comes as an event.
    pub(super) fn read_counters(&mut self) {
        if !self.reading {
            self.reading = self.watcher.read();
            self.read = Some(self.now().moment);
        }
    }

    /// Takes notice of the counters.
    pub(super) fn counters_read(&mut self, counters: Result<Counters, Refusal>) {
        self.reading = false;
        match counters {
            Ok(counters) => self.feed(model::Event::Counted(counters.traffic)),
            Err(refusal) => tracing::error!(%refusal, "the counters cannot be read"),
        }
    }

    fn next_reading(&self) -> Option<Instant> {
        let every = self.machine.counting().filter(|_| !self.reading)?;
        Some(self.read.map_or_else(Instant::now, |read| self.instant(read) + every))
    }

    pub(super) fn read_if_due(&mut self) {
        if self.next_reading().is_some_and(|due| due <= Instant::now()) {
            self.read_counters();
        }
    }
}

/// Counts and ages of open flows, together.
fn open(sweep: Sweep) -> Vec<(String, Open)> {
    let Sweep { open, oldest, .. } = sweep;
    let age = |name: &str| oldest.iter().find(|(known, _)| known == name).map(|(_, ages)| *ages);
    open.into_iter()
        .map(|(name, count)| {
            let oldest = age(&name).unwrap_or_default();
            (name, Open { count, oldest })
        })
        .collect()
}
