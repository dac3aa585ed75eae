//! The one unit of time that tables store.

/// A point of CLOCK_MONOTONIC in units of 2^27 ns (134 ms); 32 bits hold 18 years of uptime.
/// Both `bpf_ktime_get_coarse_ns` and user space's `clock_gettime(CLOCK_MONOTONIC)` yield it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct Tick(pub u32);

impl Tick {
    /// Nanoseconds in one tick.
    pub const NANOS: u64 = 1 << Self::SHIFT;

    const SHIFT: u32 = 27;

    /// The tick of a CLOCK_MONOTONIC reading.
    #[inline(always)]
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self((nanos >> Self::SHIFT) as u32)
    }

    /// Ticks since `earlier`; 0 if that lies ahead, which two CPUs' clocks may briefly claim.
    #[inline(always)]
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Ticks in so many seconds, rounded down.
    #[must_use]
    pub const fn in_seconds(seconds: u64) -> u32 {
        Self::from_nanos(seconds.saturating_mul(1_000_000_000)).0
    }
}
