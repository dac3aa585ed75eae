//! What a word says at a moment. Past its deadline the programs act on it by themselves, whether or not
//! anybody is there to write it down.

use super::{CANARY_BITS, CANARY_SHIFT, DEADLINE_SHIFT, DRAINING, LIVE, PAUSED, RESUME, REVERT, Word};
use crate::Tick;

impl Word {
    /// What the word says at `now`, in the same generation: past the deadline of a switch that nobody has
    /// confirmed, live is the other colour, the one that was taken back drains, and no canary leads there; past that of a pause,
    /// new flows are let in.
    ///
    /// To be evaluated once for each packet; all that is decided about it goes by the result.
    #[inline(always)]
    #[must_use]
    pub const fn effective(self, now: Tick) -> Self {
        let deadline = self.deadline();
        if deadline == 0 || now.0 < deadline {
            return self;
        }
        self.expired()
    }

    /// The word past its deadline.
    #[inline(always)]
    const fn expired(self) -> Self {
        let mut bits = self.0;
        if bits & (REVERT | RESUME) != 0 {
            bits &= (1 << DEADLINE_SHIFT) - 1;
        }
        if bits & REVERT != 0 {
            // What was taken back is not what a canary of before led to.
            bits = (bits ^ LIVE | DRAINING) & !(REVERT | CANARY_BITS << CANARY_SHIFT);
        }
        if bits & RESUME != 0 {
            bits &= !(PAUSED | RESUME);
        }
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fields;
    use super::super::tests::every_field_set;
    use super::*;
    use crate::Colour;

    const DEADLINE: u32 = 1000;

    /// Asserts what a word is the tick before its deadline, at it, the tick after it and for ever.
    fn assert_deadline(before: Fields, past: Fields) {
        let word = before.pack().unwrap();
        for now in [0, 1, DEADLINE - 1] {
            assert_eq!(word.effective(Tick(now)), word, "at {now}");
        }
        for now in [DEADLINE, DEADLINE + 1, u32::MAX] {
            assert_eq!(word.effective(Tick(now)).unpack().unwrap(), past, "at {now}");
        }
    }

    fn plain() -> Fields {
        Fields {
            live: Colour::Green,
            draining: false,
            paused: false,
            revert_at_deadline: false,
            resume_at_deadline: false,
            generation: 7,
            deadline: DEADLINE,
            ..every_field_set()
        }
    }

    #[test]
    fn a_switch_that_nobody_confirms_is_taken_back_at_its_deadline() {
        for (live, other) in [(Colour::Green, Colour::Blue), (Colour::Blue, Colour::Green)] {
            for draining in [false, true] {
                assert_deadline(
                    Fields { live, draining, revert_at_deadline: true, ..plain() },
                    Fields { live: other, draining: true, canary: 0, deadline: 0, ..plain() },
                );
            }
        }
    }

    #[test]
    fn a_pause_ends_at_its_deadline_and_nothing_else_changes() {
        assert_deadline(
            Fields { paused: true, resume_at_deadline: true, ..plain() },
            Fields { deadline: 0, ..plain() },
        );
    }

    #[test]
    fn both_happen_where_both_are_asked_for() {
        assert_deadline(
            Fields { paused: true, resume_at_deadline: true, revert_at_deadline: true, ..plain() },
            Fields { live: Colour::Blue, draining: true, canary: 0, deadline: 0, ..plain() },
        );
    }

    #[test]
    fn a_pause_without_an_end_outlasts_the_deadline_of_a_switch() {
        assert_deadline(
            Fields { paused: true, revert_at_deadline: true, ..plain() },
            Fields { live: Colour::Blue, draining: true, paused: true, canary: 0, deadline: 0, ..plain() },
        );
    }

    #[test]
    fn a_deadline_that_nothing_hangs_on_does_nothing() {
        assert_deadline(plain(), plain());
        let never = Fields { revert_at_deadline: true, resume_at_deadline: true, deadline: 0, ..plain() };
        let never = never.pack().unwrap();
        assert_eq!(never.effective(Tick(u32::MAX)), never);
    }

    #[test]
    fn bits_that_make_no_sense_are_taken_as_they_are() {
        let bits = u64::from(DEADLINE) << DEADLINE_SHIFT | REVERT | 0b11 << 4;
        let past = Word::from_bits(bits).effective(Tick(DEADLINE));
        assert_eq!(past.bits(), LIVE | DRAINING | 0b11 << 4);
    }
}
