//! When flows are counted and idle ones forgotten, and what follows from a count.

use super::Engine;
use crate::dataplane::{Lifetimes, Sweep};
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
        self.counting = self.watcher.sweep(self.now(), self.settings.lifetimes);
        if !self.counting {
            self.counted = Some(self.now());
            tracing::error!("nobody counts flows and forgets idle ones: systemctl restart bgd");
        }
    }

    /// Takes notice of what a count has seen.
    pub(super) fn swept(&mut self, began: Moment, sweep: Result<Sweep, Refusal>) {
        self.counting = false;
        self.counted = Some(self.now());
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
                self.feed(model::Event::Swept { began, open: sweep.open });
            }
        }
        self.answer_statuses(|_| true);
    }

    /// When there is something to do without an event.
    pub(super) fn next_timer(&self) -> Instant {
        let Lifetimes { established, half_closed, closed, udp } = self.settings.lifetimes;
        let shortest = established.min(half_closed).min(closed).min(udp);
        let [least, most] = EVERY;
        let every = if self.machine.draining() { DRAINING } else { (shortest / 2).clamp(least, most) };
        let idle = Duration::from_secs(3600);
        let count = match self.counted {
            _ if self.counting => Instant::now() + idle,
            None => Instant::now() + every,
            Some(Moment(counted)) => self.start + counted + every,
        };
        self.statuses.iter().map(|(deadline, _)| *deadline).chain([count]).min().unwrap_or(count)
    }
}
