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

/// When something began, in 24 bits: units of 16 ticks (2.1 s), counted modulo 417 days.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Began(u32);

impl Began {
    const SHIFT: u32 = 4;
    const MASK: u32 = 0xff_ffff;

    /// It begins now.
    #[inline(always)]
    #[must_use]
    pub const fn at(now: Tick) -> Self {
        Self(now.0 >> Self::SHIFT & Self::MASK)
    }

    /// Takes the lower 24 bits of a word.
    #[inline(always)]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::MASK)
    }

    /// The 24 bits.
    #[inline(always)]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Ticks that have passed by `now`, in steps of 16. What seems to begin a step later begins now: two
    /// CPUs' clocks may briefly claim that.
    #[must_use]
    pub const fn ticks_until(self, now: Tick) -> u32 {
        match (now.0 >> Self::SHIFT).wrapping_sub(self.0) & Self::MASK {
            Self::MASK => 0,
            steps => steps << Self::SHIFT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_right_to_a_step_however_long_the_machine_has_been_up() {
        const WRAP: u32 = 1 << 28;
        for began in [0, 1, 15, 16, 1000, WRAP - 1, WRAP, WRAP + 5, 3 * WRAP - 17, 15 * WRAP] {
            for age in [0, 1, 15, 16, 17, 5000, WRAP - 32] {
                let got = Began::at(Tick(began)).ticks_until(Tick(began + age));
                assert!(got.abs_diff(age) < 16, "{began} + {age}: {got}");
            }
        }
    }

    #[test]
    fn what_begins_on_a_faster_clock_is_not_old() {
        assert_eq!(Began::at(Tick(1600)).ticks_until(Tick(1599)), 0);
    }
}
