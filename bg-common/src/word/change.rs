//! What orders make of a word. Every change is one generation on.
//!
//! A word whose deadline has passed is to be [`settled`](Word::settled) first: what it says outright is
//! not what holds any more.

use super::{Fate, Fields, GENERATION_BITS, Invalid, Word};
use crate::{Colour, Tick};

impl Word {
    /// The word after a change of its fields, one generation on. Generation 0 is that of a word that was never
    /// changed, so counting goes round without it.
    ///
    /// # Errors
    ///
    /// When this word is invalid or `change` leaves a field out of range.
    pub fn change(self, change: impl FnOnce(&mut Fields)) -> Result<Self, Invalid> {
        let mut fields = self.unpack()?;
        change(&mut fields);
        fields.generation = match (self.generation() + 1) & GENERATION_BITS as u16 {
            0 => 1,
            next => next,
        };
        fields.pack()
    }

    /// The word after a switch: `to` is live and the other colour drains; its flows meet `fate`. With
    /// `revert_at`, a tick, live goes back then unless the switch is [`confirmed`](Self::confirmed). A pause,
    /// a fate, a canary and a deadline of before are over.
    ///
    /// # Errors
    ///
    /// When this word is invalid.
    pub fn switched(self, to: Colour, fate: Fate, revert_at: Option<u32>) -> Result<Self, Invalid> {
        self.change(|fields| {
            fields.live = to;
            fields.draining = true;
            fields.paused = false;
            fields.fate = fate;
            fields.canary = 0;
            fields.revert_at_deadline = revert_at.is_some();
            fields.resume_at_deadline = false;
            fields.deadline = deadline(revert_at);
        })
    }

    /// The word after the confirmation of a switch: it stays.
    ///
    /// # Errors
    ///
    /// When this word is invalid.
    pub fn confirmed(self) -> Result<Self, Invalid> {
        self.change(|fields| {
            fields.revert_at_deadline = false;
            if !fields.resume_at_deadline {
                fields.deadline = 0;
            }
        })
    }

    /// The word that holds new flows, until the tick `until` if there is one.
    ///
    /// # Errors
    ///
    /// When this word is invalid, or an end is asked for while the deadline is that of a switch which waits
    /// for its confirmation.
    pub fn paused(self, until: Option<u32>) -> Result<Self, Invalid> {
        let pending = self.unpack()?.revert_at_deadline;
        if pending && until.is_some() {
            return Err(Invalid::Deadline);
        }
        self.change(|fields| {
            fields.paused = true;
            fields.resume_at_deadline = until.is_some();
            if !pending {
                fields.deadline = deadline(until);
            }
        })
    }

    /// The word that lets new flows in again.
    ///
    /// # Errors
    ///
    /// When this word is invalid.
    pub fn resumed(self) -> Result<Self, Invalid> {
        self.change(|fields| {
            fields.paused = false;
            fields.resume_at_deadline = false;
            if !fields.revert_at_deadline {
                fields.deadline = 0;
            }
        })
    }

    /// The word with another fate for the flows of the colour that is not live.
    ///
    /// # Errors
    ///
    /// When this word is invalid.
    pub fn with_fate(self, fate: Fate) -> Result<Self, Invalid> {
        self.change(|fields| fields.fate = fate)
    }

    /// The word that leads this share of new flows, in 1/1000, to the colour that is not live; 0 ends that.
    ///
    /// # Errors
    ///
    /// When this word is invalid or the share is above 1000.
    pub fn with_canary(self, share: u16) -> Result<Self, Invalid> {
        self.change(|fields| fields.canary = share)
    }

    /// The word that says whether there are preview rules.
    ///
    /// # Errors
    ///
    /// When this word is invalid.
    pub fn with_previews(self, preview: bool) -> Result<Self, Invalid> {
        self.change(|fields| fields.preview = preview)
    }

    /// The word after the last flow of the other colour has ended: no flow is left to meet a fate.
    ///
    /// # Errors
    ///
    /// When this word is invalid.
    pub fn drained(self) -> Result<Self, Invalid> {
        self.change(|fields| {
            fields.draining = false;
            fields.fate = Fate::Keep;
        })
    }

    /// The word that says outright what this one says at `now` by its deadline
    /// ([`effective`](Self::effective)).
    ///
    /// # Errors
    ///
    /// When this word is invalid.
    pub fn settled(self, now: Tick) -> Result<Self, Invalid> {
        self.effective(now).change(|_| {})
    }
}

/// A deadline as the word stores it. What was due at tick 0 is due at tick 1, for 0 is none.
const fn deadline(at: Option<u32>) -> u32 {
    match at {
        None => 0,
        Some(0) => 1,
        Some(at) => at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::every_field_set;
    use super::*;

    /// Nothing is under way.
    fn quiet() -> Fields {
        Fields {
            live: Colour::Blue,
            draining: false,
            paused: false,
            fate: Fate::Keep,
            revert_at_deadline: false,
            resume_at_deadline: false,
            generation: 7,
            deadline: 0,
            ..every_field_set()
        }
    }

    /// A switch to green that waits for its confirmation until tick 1000.
    fn pending() -> Fields {
        let green = Fields { live: Colour::Green, draining: true, ..quiet() };
        Fields { revert_at_deadline: true, deadline: 1000, ..green }
    }

    type Changed = Result<Word, Invalid>;

    /// Asserts what a change makes of the fields, beside the generation.
    fn assert_becomes(before: Fields, change: impl FnOnce(Word) -> Changed, after: Fields) {
        let got = change(before.pack().unwrap()).unwrap().unpack().unwrap();
        assert_eq!(got, Fields { generation: 8, ..after });
    }

    #[test]
    fn a_switch_leaves_nothing_of_what_was_under_way() {
        let after = Fields { live: Colour::Green, draining: true, canary: 0, ..quiet() };
        for before in [quiet(), Fields { live: Colour::Blue, generation: 7, ..every_field_set() }] {
            assert_becomes(before, |word| word.switched(Colour::Green, Fate::Keep, None), after);
        }
    }

    #[test]
    fn a_switch_can_have_a_fate_and_a_deadline() {
        let switch = |word: Word| word.switched(Colour::Green, Fate::Reset, Some(1000));
        assert_becomes(quiet(), switch, Fields { fate: Fate::Reset, canary: 0, ..pending() });
        let due = quiet().pack().unwrap().switched(Colour::Green, Fate::Keep, Some(0)).unwrap();
        assert_eq!(due.effective(Tick(1)).live(), Colour::Blue, "a deadline that has passed counts");
    }

    #[test]
    fn a_confirmed_switch_stays() {
        assert_becomes(
            pending(),
            Word::confirmed,
            Fields { revert_at_deadline: false, deadline: 0, ..pending() },
        );
        let paused = Fields { paused: true, resume_at_deadline: true, ..pending() };
        assert_becomes(paused, Word::confirmed, Fields { revert_at_deadline: false, ..paused });
    }

    #[test]
    fn a_pause_has_an_end_or_none() {
        let open = Fields { paused: true, ..quiet() };
        let closed = Fields { resume_at_deadline: true, deadline: 500, ..open };
        assert_becomes(quiet(), |word| word.paused(None), open);
        assert_becomes(quiet(), |word| word.paused(Some(500)), closed);
        assert_becomes(closed, |word| word.paused(None), open);
        assert_becomes(closed, |word| word.paused(Some(600)), Fields { deadline: 600, ..closed });
    }

    #[test]
    fn a_pause_never_moves_the_deadline_of_a_switch() {
        assert_becomes(pending(), |word| word.paused(None), Fields { paused: true, ..pending() });
        assert_eq!(pending().pack().unwrap().paused(Some(2000)), Err(Invalid::Deadline));
    }

    #[test]
    fn resuming_ends_a_pause_and_only_its_own_deadline() {
        let paused = Fields { paused: true, resume_at_deadline: true, deadline: 500, ..quiet() };
        assert_becomes(paused, Word::resumed, quiet());
        assert_becomes(Fields { paused: true, ..pending() }, Word::resumed, pending());
    }

    #[test]
    fn a_fate_can_change_by_itself_and_ends_with_the_drain() {
        let doomed = Fields { fate: Fate::Move, ..pending() };
        assert_becomes(pending(), |word| word.with_fate(Fate::Move), doomed);
        assert_becomes(doomed, Word::drained, Fields { draining: false, ..pending() });
    }

    #[test]
    fn canary_and_previews_change_nothing_else() {
        for before in [quiet(), pending()] {
            for canary in [0, 1, 1000] {
                assert_becomes(before, |word| word.with_canary(canary), Fields { canary, ..before });
            }
            assert_eq!(before.pack().unwrap().with_canary(1001), Err(Invalid::Canary));
            for preview in [false, true] {
                assert_becomes(before, |word| word.with_previews(preview), Fields { preview, ..before });
            }
        }
    }

    #[test]
    fn settling_writes_down_what_is_so_already() {
        let reverted =
            Fields { live: Colour::Blue, revert_at_deadline: false, canary: 0, deadline: 0, ..pending() };
        assert_becomes(pending(), |word| word.settled(Tick(999)), pending());
        for now in [1000, 1001] {
            assert_becomes(pending(), |word| word.settled(Tick(now)), reverted);
        }
        let paused = Fields { paused: true, resume_at_deadline: true, deadline: 500, ..quiet() };
        assert_becomes(paused, |word| word.settled(Tick(500)), quiet());
    }

    #[test]
    fn the_generation_wraps_inside_its_bits() {
        let last = every_field_set().pack().unwrap();
        let next = last.drained().unwrap();
        assert_eq!(next.generation(), 1);
        assert_eq!(next.unpack().unwrap().deadline, u32::MAX);
        assert_eq!(next.unpack().unwrap().canary, 1000);
    }

    #[test]
    fn an_invalid_word_is_not_changed() {
        let broken = Word::from_bits(0b11 << 4);
        let now = Tick(1);
        let changes: [Changed; 9] = [
            broken.switched(Colour::Green, Fate::Keep, None),
            broken.confirmed(),
            broken.paused(None),
            broken.resumed(),
            broken.with_fate(Fate::Keep),
            broken.drained(),
            broken.with_canary(1),
            broken.with_previews(true),
            broken.settled(now),
        ];
        assert_eq!(changes, [Err(Invalid::Fate); 9]);
    }
}
