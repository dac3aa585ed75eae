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

/// Waits until the machine has been up for so long: before, nothing can be as old as that.
pub fn wait_for_uptime(age: Duration) {
    while u128::from(now()) < age.as_nanos() {
        std::thread::sleep(Duration::from_millis(100));
    }
}
