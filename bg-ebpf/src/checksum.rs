//! The Internet checksum (RFC 1071), and its incremental update (RFC 1624, equation 3).
//!
//! Sums are kept in native words: one's complement addition commutes with swapping bytes (RFC 1071,
//! section 2 B), so nothing is converted.

use bg_common::Addr;

/// The sum of what was taken out, complemented, and of what was put in.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Delta(u64);

impl Delta {
    /// No change.
    #[inline(always)]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Both changes.
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Two bytes at an even offset are replaced.
    #[inline(always)]
    pub const fn replace2(self, old: [u8; 2], new: [u8; 2]) -> Self {
        Self(self.0 + !u16::from_ne_bytes(old) as u64 + u16::from_ne_bytes(new) as u64)
    }

    /// A word of four bytes at an even offset is replaced.
    #[inline(always)]
    pub const fn replace_word(self, old: u32, new: u32) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// A long word of eight bytes at an even offset is replaced.
    #[inline(always)]
    const fn replace_long(self, old: u64, new: u64) -> Self {
        self.replace_word(old as u32, new as u32).replace_word((old >> 32) as u32, (new >> 32) as u32)
    }

    /// An address is replaced by another of its family.
    #[inline(always)]
    pub const fn replace_addr(self, v6: bool, old: &Addr, new: &Addr) -> Self {
        if v6 {
            let ([a, b], [c, d]) = (old.longs(), new.longs());
            self.replace_long(a, c).replace_long(b, d)
        } else {
            self.replace_word(old.v4_word(), new.v4_word())
        }
    }

    /// The sum in 32 bits, as the kernel's checksum helpers take a difference.
    #[inline(always)]
    #[must_use]
    pub const fn to_difference(self) -> u32 {
        let folded = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        (folded as u32).wrapping_add((folded >> 32) as u32)
    }

    /// The checksum `old` after the change.
    #[inline(always)]
    #[must_use]
    pub const fn apply(self, old: [u8; 2]) -> [u8; 2] {
        (!fold(self.0 + !u16::from_ne_bytes(old) as u64)).to_ne_bytes()
    }
}

/// A sum in 16 bits.
#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// A sum from scratch.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Sum(u64);

impl Sum {
    /// Of nothing.
    #[inline(always)]
    pub const fn new() -> Self {
        Self(0)
    }

    /// And of words of four bytes.
    #[inline(always)]
    pub fn words(self, words: &[u32]) -> Self {
        Self(words.iter().fold(self.0, |sum, word| sum + u64::from(*word)))
    }

    /// In 16 bits, as a device takes it that is to complete the checksum.
    #[inline(always)]
    #[must_use]
    pub const fn partial(self) -> [u8; 2] {
        fold(self.0).to_ne_bytes()
    }

    /// The checksum.
    #[inline(always)]
    #[must_use]
    pub const fn complete(self) -> [u8; 2] {
        (!fold(self.0)).to_ne_bytes()
    }

    /// The difference that it makes when what sums up to this is replaced by what sums up to `new`.
    #[inline(always)]
    pub const fn replaced_by(self, new: Self) -> Delta {
        Delta::new().replace2(self.partial(), new.partial())
    }
}

/// What a transport checksum has to follow: one end's address, and perhaps its port.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Sum over the addresses, which stand in the pseudo-header.
    pub addresses: Delta,
    /// Port before and after, when it changes.
    pub port: Option<([u8; 2], [u8; 2])>,
    /// The pseudo-header is that of IPv6 (RFC 8200, section 8.1).
    pub v6: bool,
    /// UDP: 0 means that there is no checksum, and a sum of 0 is sent as 0xffff (RFC 768).
    pub udp: bool,
}

impl Change {
    /// The checksum `old` after the change, for a packet whose checksum is complete.
    #[inline(always)]
    #[must_use]
    pub const fn apply(&self, old: [u8; 2]) -> [u8; 2] {
        if self.udp && matches!(old, [0, 0]) {
            return old;
        }
        let delta = match self.port {
            Some((before, after)) => self.addresses.replace2(before, after),
            None => self.addresses,
        };
        match delta.apply(old) {
            [0, 0] if self.udp => [0xff, 0xff],
            new => new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum of `words`, computed from scratch in network order (RFC 1071, section 4.1).
    fn from_scratch(words: &[u16]) -> u16 {
        let mut sum: u32 = words.iter().map(|word| u32::from(*word)).sum();
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_the_standard_comes_out() {
        // RFC 1624, section 4: HC = 0xDD2F, m = 0x5555, m' = 0x3285, HC' = 0x0000.
        let delta = Delta::new().replace2([0x55, 0x55], [0x32, 0x85]);
        assert_eq!(delta.apply([0xdd, 0x2f]), [0, 0]);
    }

    #[test]
    fn every_checksum_and_edge_word_agrees_with_a_sum_from_scratch() {
        const EDGES: [u16; 7] = [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x1234];
        for rest in 0..=u16::MAX {
            for old in EDGES {
                for new in EDGES {
                    let before = from_scratch(&[rest, old, 0x0001]);
                    let want = from_scratch(&[rest, new, 0x0001]);
                    let got = Delta::new().replace2(old.to_be_bytes(), new.to_be_bytes());
                    assert_eq!(
                        u16::from_be_bytes(got.apply(before.to_be_bytes())),
                        want,
                        "rest {rest:#06x} old {old:#06x} new {new:#06x}"
                    );
                }
            }
        }
    }

    #[test]
    fn four_bytes_sum_like_two_times_two() {
        let word = u32::from_ne_bytes;
        let by_four = Delta::new().replace_word(word([0xc0, 0, 2, 10]), word([10, 1, 0xff, 0xff]));
        let by_two = Delta::new().replace2([0xc0, 0], [10, 1]).replace2([2, 10], [0xff, 0xff]);
        for old in 0..=u16::MAX {
            assert_eq!(by_four.apply(old.to_ne_bytes()), by_two.apply(old.to_ne_bytes()));
        }
    }

    #[test]
    fn udp_keeps_no_checksum_and_never_makes_it() {
        let change = |old: u16, new: u16| Change {
            addresses: Delta::new().replace2(old.to_be_bytes(), new.to_be_bytes()),
            port: None,
            v6: false,
            udp: true,
        };
        assert_eq!(change(1, 2).apply([0, 0]), [0, 0]);
        for old in 1..=u16::MAX {
            assert_ne!(change(7, old).apply(old.to_be_bytes()), [0, 0]);
        }
    }
}
