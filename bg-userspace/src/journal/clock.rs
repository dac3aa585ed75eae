//! The clocks that entries are stamped with.

use crate::model::Moment;
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When something happened, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// CLOCK_REALTIME in nanoseconds, which people set.
    pub(super) at_ns: i64,
    /// CLOCK_MONOTONIC in nanoseconds, which begins with each boot.
    pub(super) mono_ns: i64,
}

impl Stamp {
    pub(super) fn now() -> Self {
        // The kernel has this clock; a time of zero would only say that it is not known.
        let mono = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        Self { at_ns: to_ns(SystemTime::now()), mono_ns: i64::try_from(mono.as_nanos()).unwrap_or(i64::MAX) }
    }
}

impl Stamp {
    /// So many milliseconds before.
    pub(super) fn before(self, millis: u64) -> Self {
        let ns = i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let Self { at_ns, mono_ns } = self;
        Self { at_ns: at_ns.saturating_sub(ns), mono_ns: mono_ns.saturating_sub(ns).max(0) }
    }
}

/// Which boot of the machine this is; empty if the kernel does not say.
pub(super) fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Nanoseconds since 1970, negative before, cut at what 64 bits hold.
pub(super) fn to_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, std::ops::Neg::neg),
    }
}

/// The time `ns` nanoseconds after 1970.
pub(super) fn from_ns(ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(ns.unsigned_abs());
    let time = if ns < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// The monotonic clock `ns` nanoseconds after its start.
pub(super) fn moment(ns: i64) -> Moment {
    Moment(Duration::from_nanos(u64::try_from(ns).unwrap_or_default()))
}
