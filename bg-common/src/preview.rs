//! Clients that are led elsewhere than to the live colour, and where to: by the VIP that they connect to, or by
//! where they come from.

use crate::{Addr, Colour};

/// Where a frontend or a preview rule leads. Stored as its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum Aim {
    /// To the live colour.
    #[default]
    Live = 0,
    /// To the one that is not live.
    Other = 1,
    /// To blue, whatever is live.
    Blue = 2,
    /// To green, whatever is live.
    Green = 3,
}

impl Aim {
    /// Takes a number as stored; what is unknown follows the live colour.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Other,
            2 => Self::Blue,
            3 => Self::Green,
            _ => Self::Live,
        }
    }

    /// The colour that it leads to when `live` is live.
    #[inline(always)]
    #[must_use]
    pub const fn colour(self, live: Colour) -> Colour {
        match self {
            Self::Live => live,
            Self::Other => live.other(),
            Self::Blue => Colour::Blue,
            Self::Green => Colour::Green,
        }
    }

    /// As it is typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Other => "other",
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

/// The key of a preview rule: a deployment's clients with a prefix. 24 bytes, as `struct bpf_lpm_trie_key` of
/// include/uapi/linux/bpf.h wants it: a number of bits, and then the bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(C)]
pub struct PreviewKey {
    bits: u32,
    deployment: u32,
    client: Addr,
}

impl PreviewKey {
    /// Bits of the deployment, which always have to be the same.
    const DEPLOYMENT_BITS: u32 = 32;

    /// Bits of an address.
    const ADDR_BITS: u32 = 128;

    /// Bits before the IPv4 address in a v4-mapped one.
    const MAPPED_BITS: u32 = 96;

    /// One client.
    #[inline(always)]
    #[must_use]
    pub const fn client(deployment: u32, client: Addr) -> Self {
        Self { bits: Self::DEPLOYMENT_BITS + Self::ADDR_BITS, deployment, client }
    }

    /// The clients whose first `len` bits are those of `prefix`, counted in its own family.
    #[must_use]
    pub const fn prefix(deployment: u32, prefix: Addr, len: u8) -> Self {
        let mapped = if prefix.is_v4() { Self::MAPPED_BITS } else { 0 };
        Self { bits: Self::DEPLOYMENT_BITS + mapped + len as u32, deployment, client: prefix }
    }

    /// Index of the deployment.
    #[must_use]
    pub const fn deployment(&self) -> u32 {
        self.deployment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_aim_is_read_as_it_was_written() {
        for aim in [Aim::Live, Aim::Other, Aim::Blue, Aim::Green] {
            assert_eq!(Aim::from_number(aim as u8), aim);
        }
        assert_eq!(Aim::from_number(7), Aim::Live);
    }

    #[test]
    fn aims_lead_where_they_say() {
        for live in Colour::BOTH {
            assert_eq!(Aim::Live.colour(live), live);
            assert_eq!(Aim::Other.colour(live), live.other());
            assert_eq!(Aim::Blue.colour(live), Colour::Blue);
            assert_eq!(Aim::Green.colour(live), Colour::Green);
        }
    }

    #[test]
    fn a_prefix_counts_its_bits_in_its_own_family() {
        let v4 = PreviewKey::prefix(7, Addr::from_v4([203, 0, 113, 0]), 24);
        let v6 = PreviewKey::prefix(
            7,
            Addr::from_v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            32,
        );
        assert_eq!((v4.bits, v6.bits), (32 + 96 + 24, 32 + 32));
        assert_eq!(PreviewKey::client(7, Addr::from_v4([203, 0, 113, 0])).bits, 32 + 128);
    }
}
