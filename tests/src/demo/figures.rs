//! The figures of the demo and how each is defined.

use super::options::{Attach, Options};
use crate::traffic::{Connection, Failure, Kind, Tally};
use bg_common::Colour;
use serde::Serialize;
use std::time::Duration;

/// One switch or rollback.
#[derive(Clone, Debug)]
pub(super) struct Flip {
    /// From 1.
    pub number: usize,
    /// `switch` or `rollback`.
    pub order: &'static str,
    /// Who is live since.
    pub to: Colour,
    /// CLOCK_MONOTONIC before the process `bgctl` was started.
    pub called: u64,
    /// CLOCK_MONOTONIC after it had ended.
    pub returned: u64,
    /// Nanoseconds of the compare-and-swap, as bg reports.
    pub took: u64,
    /// When the last short-lived connection of the old colour had ended, counted from the return.
    pub drained: Option<Duration>,
}

impl Flip {
    /// From the start of `bgctl` to its end.
    pub(super) fn wall(&self) -> Duration {
        Duration::from_nanos(self.returned - self.called)
    }

    /// How long after the return a connection was still started that the old colour answered.
    ///
    /// Only connections that were called for after the return count, and only if they were connected
    /// before the `next` switch was ordered: later, the old colour may be right again.
    pub(super) fn last_old(&self, next: Option<&Self>, connections: &[Connection]) -> Duration {
        let end = next.map_or(u64::MAX, |next| next.called);
        let late = connections
            .iter()
            .filter(|connection| connection.stamp.colour != self.to)
            .filter(|connection| connection.called > self.returned && connection.connected < end);
        Duration::from_nanos(late.map(|connection| connection.called - self.returned).max().unwrap_or(0))
    }
}

/// Notes for the latest flip when no kept connection is on the old colour any more.
pub(super) fn note_drained(flips: &mut [Flip], tally: &Tally, now: u64) {
    let Some(flip) = flips.last_mut() else { return };
    if flip.drained.is_none() && on(tally.open_of(Kind::Kept), flip.to.other()) == 0 {
        flip.drained = Some(Duration::from_nanos(now - flip.returned));
    }
}

/// The part of a pair that belongs to `colour`.
pub(super) fn on<T>([blue, green]: [T; 2], colour: Colour) -> T {
    match colour {
        Colour::Blue => blue,
        Colour::Green => green,
    }
}

/// All of them together, at the end.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub requests: u64,
    pub failed: u64,
    pub resets: u64,
    pub flips: usize,
    /// Median of the compare-and-swap.
    pub exchange: Duration,
    /// Median and 99th percentile of `bgctl`, from its start to its end.
    pub wall: [Duration; 2],
    /// The latest start of a connection after a return that the old colour answered.
    pub last_old: Duration,
    pub attach: Attach,
}

impl Figures {
    pub(super) fn new(options: &Options, tally: &Tally, flips: &[Flip]) -> Self {
        let nexts = flips.iter().skip(1).map(Some).chain([None]);
        let last_old =
            flips.iter().zip(nexts).map(|(flip, next)| flip.last_old(next, &tally.connections)).max();
        let walls = || flips.iter().map(Flip::wall).collect();
        Self {
            requests: tally.requests(),
            failed: tally.failed(),
            resets: tally.failed_by(Failure::Reset),
            flips: flips.len(),
            exchange: percentile(flips.iter().map(|flip| Duration::from_nanos(flip.took)).collect(), 50),
            wall: [percentile(walls(), 50), percentile(walls(), 99)],
            last_old: last_old.unwrap_or_default(),
            attach: options.attach,
        }
    }

    /// Whether nobody noticed anything.
    pub(super) fn clean(&self) -> bool {
        self.failed == 0 && self.last_old.is_zero()
    }

    /// The object of `--json`.
    pub(super) fn json(&self) -> Object {
        Object {
            requests: self.requests,
            failed: self.failed,
            resets: self.resets,
            flips: self.flips,
            switch_ns_p50: self.exchange.as_nanos() as u64,
            switch_ms_p99: (self.wall[1].as_secs_f64() * 1e6).round() / 1e3,
            last_old_colour_us_max: self.last_old.as_nanos().div_ceil(1_000) as u64,
            attach: self.attach.as_str(),
        }
    }
}

/// What `--json` prints, in this order.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Object {
    requests: u64,
    failed: u64,
    resets: u64,
    flips: usize,
    switch_ns_p50: u64,
    switch_ms_p99: f64,
    last_old_colour_us_max: u64,
    attach: &'static str,
}

/// The nearest-rank percentile; zero of nothing.
fn percentile(mut values: Vec<Duration>, rank: usize) -> Duration {
    values.sort_unstable();
    let at = (values.len() * rank).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::Stamp;

    fn flip(to: Colour, called: u64, returned: u64) -> Flip {
        Flip { number: 1, order: "switch", to, called, returned, took: 1, drained: None }
    }

    #[test]
    fn only_a_connection_surely_decided_after_the_switch_counts_as_late() {
        let first = flip(Colour::Green, 100, 200);
        let second = flip(Colour::Blue, 900, 1_000);
        for (called, connected, colour, late) in [
            (150, 250, Colour::Blue, 0),     // ordered while the switch was under way
            (201, 250, Colour::Green, 0),    // as it should be
            (350, 400, Colour::Blue, 150),   // late
            (850, 950, Colour::Blue, 0),     // the next switch may have come first
            (1_100, 1_200, Colour::Blue, 0), // the next switch has come
        ] {
            let stamp = Stamp { colour, machine: 1 };
            let connection = Connection { kind: Kind::Short, stamp, port: 0, called, connected };
            let found = first.last_old(Some(&second), &[connection]);
            assert_eq!(found, Duration::from_nanos(late), "{called}..{connected} {colour}");
        }
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = || (1..=200).map(Duration::from_nanos).collect();
        assert_eq!(percentile(values(), 50), Duration::from_nanos(100));
        assert_eq!(percentile(values(), 99), Duration::from_nanos(198));
        assert_eq!(percentile(vec![Duration::from_nanos(7)], 99), Duration::from_nanos(7));
        assert_eq!(percentile(Vec::new(), 50), Duration::ZERO);
    }
}
