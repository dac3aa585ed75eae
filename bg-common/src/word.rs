//! The 64 bits of a deployment that the data plane reads: who is live, and how.
//!
//! The word is the only thing that a switch changes. It is stored in a memory-mapped array and
//! changed by compare-and-swap; a program reads it with one aligned load per packet, and goes by what it
//! says at that moment ([`Word::effective`]).

mod change;
mod effective;

use crate::Colour;
use core::fmt;

/// What happens to flows that are pinned to the colour which is not live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum Fate {
    /// They stay where they are until they end.
    #[default]
    Keep = 0,
    /// TCP: each side gets a RST at its next packet. Others go to the live colour with their next packet.
    Reset = 1,
    /// Datagram flows go to the live colour with their next packet; TCP stays.
    Move = 2,
}

/// A deployment's word, packed.
///
/// | bits | field |
/// | --- | --- |
/// | 0 | live colour |
/// | 1 | draining: flows of the other colour may still exist |
/// | 2 | paused: new flows are held |
/// | 3 | preview rules are in use |
/// | 4–5 | [`Fate`] of flows that are pinned to the other colour |
/// | 6 | at the deadline, live goes back to the other colour |
/// | 7 | at the deadline, the pause ends |
/// | 8–17 | canary share of new flows for the other colour, in 1/1000 |
/// | 18–31 | generation, counts changes modulo 2^14 |
/// | 32–63 | deadline as a [`Tick`](crate::Tick); 0 is none |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Word(u64);

/// A word, unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fields {
    /// The colour that new flows get.
    pub live: Colour,
    /// Flows of the other colour may still exist.
    pub draining: bool,
    /// New flows are held.
    pub paused: bool,
    /// Preview rules are in use.
    pub preview: bool,
    /// What happens to flows of the other colour.
    pub fate: Fate,
    /// At the deadline, live goes back to the other colour.
    pub revert_at_deadline: bool,
    /// At the deadline, the pause ends.
    pub resume_at_deadline: bool,
    /// Share of new flows that go to the other colour, in 1/1000; at most 1000.
    pub canary: u16,
    /// Counts changes, modulo 2^14.
    pub generation: u16,
    /// [`Tick`](crate::Tick) of the deadline; 0 is none.
    pub deadline: u32,
}

/// Bits that hold no valid word, or fields that fit none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// Bits 4–5 hold a fate that does not exist.
    Fate,
    /// The canary share is above 1000.
    Canary,
    /// The generation needs more than 14 bits.
    Generation,
    /// The deadline is that of a switch that waits for its confirmation, and there is only one.
    Deadline,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fate => "bits 4-5 hold no fate",
            Self::Canary => "the canary share is above 1000",
            Self::Generation => "the generation needs more than 14 bits",
            Self::Deadline => "the deadline is that of a switch that waits for its confirmation",
        })
    }
}

impl core::error::Error for Invalid {}

const LIVE: u64 = 1 << 0;
const DRAINING: u64 = 1 << 1;
const PAUSED: u64 = 1 << 2;
const PREVIEW: u64 = 1 << 3;
const FATE_SHIFT: u32 = 4;
const FATE_BITS: u64 = 0b11;
const REVERT: u64 = 1 << 6;
const RESUME: u64 = 1 << 7;
const CANARY_SHIFT: u32 = 8;
const CANARY_BITS: u64 = 0x3ff;
const CANARY_MAX: u16 = Word::ALL;
const GENERATION_SHIFT: u32 = 18;
const GENERATION_BITS: u64 = 0x3fff;
const DEADLINE_SHIFT: u32 = 32;

impl Word {
    /// A canary share of all new flows.
    pub const ALL: u16 = 1000;

    /// Generations are counted modulo this.
    pub const GENERATIONS: u64 = GENERATION_BITS + 1;

    /// The first word of a deployment: `live` serves, nothing drains, generation 0.
    #[must_use]
    pub const fn initial(live: Colour) -> Self {
        Self(live as u64)
    }

    /// Takes the bits as they stand in the table. Any bits are accepted, as the programs accept
    /// any; [`unpack`](Self::unpack) tells whether they make sense.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits as they stand in the table.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The colour that new flows get.
    #[inline(always)]
    #[must_use]
    pub const fn live(self) -> Colour {
        Colour::from_bit(self.0)
    }

    /// Whether flows of the other colour may still exist.
    #[inline(always)]
    #[must_use]
    pub const fn draining(self) -> bool {
        self.0 & DRAINING != 0
    }

    /// Whether new flows are held.
    #[inline(always)]
    #[must_use]
    pub const fn is_paused(self) -> bool {
        self.0 & PAUSED != 0
    }

    /// What happens to flows that are pinned to the colour which is not live. Bits that hold no fate keep
    /// them.
    #[inline(always)]
    #[must_use]
    pub const fn fate(self) -> Fate {
        match self.0 >> FATE_SHIFT & FATE_BITS {
            1 => Fate::Reset,
            2 => Fate::Move,
            _ => Fate::Keep,
        }
    }

    /// Whether preview rules are in use.
    #[inline(always)]
    #[must_use]
    pub const fn has_previews(self) -> bool {
        self.0 & PREVIEW != 0
    }

    /// The share of new flows that go to the colour which is not live, in 1/1000. What is above 1000 takes all.
    #[inline(always)]
    #[must_use]
    pub const fn canary(self) -> u16 {
        (self.0 >> CANARY_SHIFT & CANARY_BITS) as u16
    }

    /// The [`Tick`](crate::Tick) of the deadline; 0 is none.
    #[inline(always)]
    #[must_use]
    pub const fn deadline(self) -> u32 {
        (self.0 >> DEADLINE_SHIFT) as u32
    }

    /// Changes from one generation to another, which comes later.
    #[must_use]
    pub const fn generations(from: u16, to: u16) -> u16 {
        to.wrapping_sub(from) & GENERATION_BITS as u16
    }

    /// How often the word was changed, modulo 2^14.
    #[inline(always)]
    #[must_use]
    pub const fn generation(self) -> u16 {
        (self.0 >> GENERATION_SHIFT & GENERATION_BITS) as u16
    }

    /// Takes the fields apart.
    ///
    /// # Errors
    ///
    /// When the bits were written by something that does not know this layout.
    pub const fn unpack(self) -> Result<Fields, Invalid> {
        let fate = match self.0 >> FATE_SHIFT & FATE_BITS {
            0 => Fate::Keep,
            1 => Fate::Reset,
            2 => Fate::Move,
            _ => return Err(Invalid::Fate),
        };
        let canary = self.canary();
        if canary > CANARY_MAX {
            return Err(Invalid::Canary);
        }
        Ok(Fields {
            live: self.live(),
            draining: self.draining(),
            paused: self.is_paused(),
            preview: self.has_previews(),
            fate,
            revert_at_deadline: self.0 & REVERT != 0,
            resume_at_deadline: self.0 & RESUME != 0,
            canary,
            generation: self.generation(),
            deadline: self.deadline(),
        })
    }
}

impl Fields {
    /// Puts the fields together.
    ///
    /// # Errors
    ///
    /// When a field is out of its range.
    pub const fn pack(self) -> Result<Word, Invalid> {
        let Self {
            live,
            draining,
            paused,
            preview,
            fate,
            revert_at_deadline,
            resume_at_deadline,
            canary,
            generation,
            deadline,
        } = self;
        if canary > CANARY_MAX {
            return Err(Invalid::Canary);
        }
        if generation as u64 > GENERATION_BITS {
            return Err(Invalid::Generation);
        }
        let mut bits = live as u64
            | (fate as u64) << FATE_SHIFT
            | (canary as u64) << CANARY_SHIFT
            | (generation as u64) << GENERATION_SHIFT
            | (deadline as u64) << DEADLINE_SHIFT;
        if draining {
            bits |= DRAINING;
        }
        if paused {
            bits |= PAUSED;
        }
        if preview {
            bits |= PREVIEW;
        }
        if revert_at_deadline {
            bits |= REVERT;
        }
        if resume_at_deadline {
            bits |= RESUME;
        }
        Ok(Word(bits))
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unpack() {
            Ok(fields) => fields.fmt(f),
            Err(why) => write!(f, "Word({:#018x}: {why})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn every_field_set() -> Fields {
        Fields {
            live: Colour::Green,
            draining: true,
            paused: true,
            preview: true,
            fate: Fate::Move,
            revert_at_deadline: true,
            resume_at_deadline: true,
            canary: 1000,
            generation: 0x3fff,
            deadline: u32::MAX,
        }
    }

    #[test]
    fn each_field_has_its_own_bits() {
        let word = every_field_set().pack().unwrap();
        assert_eq!(word.bits(), 0xffff_ffff_ffff_e8ef);
        assert_eq!(word.unpack().unwrap(), every_field_set());
    }

    #[test]
    fn what_programs_read_is_what_the_fields_say() {
        for fate in [Fate::Keep, Fate::Reset, Fate::Move] {
            for paused in [false, true] {
                let word = Fields { fate, paused, ..every_field_set() }.pack().unwrap();
                assert_eq!((word.fate(), word.is_paused()), (fate, paused));
                assert_eq!((word.deadline(), word.generation()), (u32::MAX, 0x3fff));
            }
        }
        assert_eq!(Word::from_bits(0b11 << FATE_SHIFT).fate(), Fate::Keep);
    }

    #[test]
    fn values_out_of_range_are_refused_both_ways() {
        assert_eq!(Fields { canary: 1001, ..every_field_set() }.pack(), Err(Invalid::Canary));
        assert_eq!(Fields { generation: 0x4000, ..every_field_set() }.pack(), Err(Invalid::Generation));
        assert_eq!(Word::from_bits(0b11 << 4).unpack(), Err(Invalid::Fate));
        assert_eq!(Word::from_bits(1001 << 8).unpack(), Err(Invalid::Canary));
    }
}
