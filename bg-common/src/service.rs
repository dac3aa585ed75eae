//! What clients connect to, and the ring that spreads a service's flows over a slice's backends.

use crate::Colour;

/// What a frontend's endpoint leads to. 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Frontend {
    /// Index of the service.
    pub service: u32,
    /// Index of this frontend's own endpoint, for the way back.
    pub id: u32,
    /// Which colour the frontend asks for; [`Frontend::LIVE`] is the only one in use.
    pub role: u8,
    /// Always zero.
    pub zero: [u8; 3],
}

impl Frontend {
    /// The frontend follows the live colour.
    pub const LIVE: u8 = 0;

    /// A frontend that follows the live colour.
    #[must_use]
    pub const fn live(service: u32, id: u32) -> Self {
        Self { service, id, role: Self::LIVE, zero: [0; 3] }
    }
}

/// A stretch of the ring table: the backends of one service in one colour. Packed in 64 bits so that
/// user space replaces base and length together, by one aligned store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Ring(u64);

impl Ring {
    /// `len` positions from `base` on.
    #[must_use]
    pub const fn new(base: u32, len: u32) -> Self {
        Self((len as u64) << 32 | base as u64)
    }

    /// First position.
    #[inline(always)]
    #[must_use]
    pub const fn base(self) -> u32 {
        self.0 as u32
    }

    /// Number of positions; 0 means that no backend serves.
    #[inline(always)]
    #[must_use]
    pub const fn len(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether no backend serves.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The position of a flow: its hash scaled to the length, without a division.
    #[inline(always)]
    #[must_use]
    pub const fn position(self, hash: u32) -> u32 {
        self.base().wrapping_add((hash as u64 * self.len() as u64 >> 32) as u32)
    }

    /// The bits as stored.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// A service. 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Service {
    /// Index of the deployment, and so of the word.
    pub deployment: u32,
    /// Reserved for affinity and datagram policy; zero.
    pub flags: u32,
    /// Where the flows of `[blue, green]` go.
    pub rings: [Ring; 2],
}

impl Service {
    /// The ring of one colour.
    #[inline(always)]
    #[must_use]
    pub const fn ring(&self, colour: Colour) -> Ring {
        let [blue, green] = self.rings;
        match colour {
            Colour::Blue => blue,
            Colour::Green => green,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_cover_the_ring_and_nothing_else() {
        let ring = Ring::new(100, 3);
        assert_eq!(ring.position(0), 100);
        assert_eq!(ring.position(u32::MAX / 2), 101);
        assert_eq!(ring.position(u32::MAX), 102);
    }
}
