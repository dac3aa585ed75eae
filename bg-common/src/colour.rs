//! The two colours, and the numbering of slices by deployment and colour.

use core::fmt;
use core::str::FromStr;

/// One of the two copies of a system. There is no third.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum Colour {
    /// Stored as 0.
    Blue = 0,
    /// Stored as 1.
    Green = 1,
}

impl Colour {
    /// Both colours, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    /// The colour of the lowest bit.
    #[inline(always)]
    #[must_use]
    pub const fn from_bit(bit: u64) -> Self {
        if bit & 1 == 0 { Self::Blue } else { Self::Green }
    }

    /// The opposite colour.
    #[inline(always)]
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// Position in a `[blue, green]` pair.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Lower-case name, as typed and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What was given where a colour is wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAColour;

impl fmt::Display for NotAColour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a colour is `blue` or `green`")
    }
}

impl core::error::Error for NotAColour {}

impl FromStr for Colour {
    type Err = NotAColour;

    fn from_str(text: &str) -> Result<Self, NotAColour> {
        match text {
            "blue" => Ok(Self::Blue),
            "green" => Ok(Self::Green),
            _ => Err(NotAColour),
        }
    }
}

/// One slice: a deployment in one colour. Index of the traffic counters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct SliceId(u32);

impl SliceId {
    /// The slice of `deployment` in `colour`.
    #[inline(always)]
    #[must_use]
    pub const fn new(deployment: u32, colour: Colour) -> Self {
        Self(deployment << 1 | colour as u32)
    }

    /// Index into the traffic counters.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }

    /// The deployment's id.
    #[inline(always)]
    #[must_use]
    pub const fn deployment(self) -> u32 {
        self.0 >> 1
    }

    /// The slice's colour.
    #[inline(always)]
    #[must_use]
    pub const fn colour(self) -> Colour {
        Colour::from_bit(self.0 as u64)
    }
}
