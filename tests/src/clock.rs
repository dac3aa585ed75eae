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

/// The time of the last tick of the kernel's clock, as its own code and the packet programs read it. The page that processes
/// read without a system call is written a moment earlier, and on a virtual machine that moment can be long.
#[must_use]
pub fn coarse() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the time there, and nothing else.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Waits until the machine has been up for so long: before, nothing can be as old as that.
pub fn wait_for_uptime(age: Duration) {
    while u128::from(now()) < age.as_nanos() {
        std::thread::sleep(Duration::from_millis(100));
    }
}
