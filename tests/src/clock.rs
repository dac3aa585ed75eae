//! CLOCK_MONOTONIC in nanoseconds, the clock that the daemon and the programs use too.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now.
#[must_use]
pub fn now() -> u64 {
    // The clock exists on every kernel, so the call has no way to fail.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|time| u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
        .unwrap_or_default()
}
