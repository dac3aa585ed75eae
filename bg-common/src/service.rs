//! What clients connect to, and the ring that spreads a service's flows over a slice's backends.

use crate::addr::join;
use crate::{Aim, Colour};

/// What a frontend's endpoint leads to. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Frontend {
    /// Index of the service.
    pub service: u32,
    /// Index of this frontend's own endpoint, for the way back.
    pub id: u16,
    /// The number of an [`Aim`], or [`Frontend::VIP`].
    pub role: u8,
    /// Always zero.
    pub zero: u8,
}

impl Frontend {
    /// No frontend, but a sign under [`Endpoint::whole`](crate::Endpoint::whole) that the address is a VIP, of which
    /// the gateway keeps what no frontend claims.
    pub const VIP: u8 = 255;

    /// A frontend that follows the live colour.
    #[must_use]
    pub const fn live(service: u32, id: u16) -> Self {
        Self::aimed(service, id, Aim::Live)
    }

    /// A frontend that leads there.
    #[must_use]
    pub const fn aimed(service: u32, id: u16, aim: Aim) -> Self {
        Self { service, id, role: aim as u8, zero: 0 }
    }

    /// Where it leads.
    #[inline(always)]
    #[must_use]
    pub const fn aim(&self) -> Aim {
        Aim::from_number(self.role)
    }

    /// The sign of a VIP.
    #[must_use]
    pub const fn vip() -> Self {
        Self { service: 0, id: 0, role: Self::VIP, zero: 0 }
    }

    /// Whether this is only the sign of a VIP.
    #[inline(always)]
    #[must_use]
    pub const fn is_vip(self) -> bool {
        self.role == Self::VIP
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
        self.base().wrapping_add(((hash as u64 * self.len() as u64) >> 32) as u32)
    }

    /// The bits as stored.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// A service. 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Service {
    /// Index of the deployment, and so of the word.
    pub deployment: u32,
    /// Bits of [`Service::REFUSE`] and its neighbours; the others are zero.
    pub flags: u32,
    /// Where flows go, by [`Service::slot`].
    pub rings: [Ring; Self::RINGS],
}

impl Service {
    /// Rings of a service: one for each colour and address family, because an IPv4 packet cannot go to
    /// an IPv6 backend.
    pub const RINGS: usize = 4;

    /// Where no backend serves, a TCP SYN is answered by a RST.
    pub const REFUSE: u32 = 1 << 0;
    /// All flows of a client's address go to one backend.
    pub const BY_CLIENT: u32 = 1 << 1;
    /// The canary takes whole clients, by their address, and not single flows.
    pub const CANARY_BY_CLIENT: u32 = 1 << 2;

    /// Deployment and flags as they lie in memory, so that user space replaces the flags by one store.
    #[must_use]
    pub const fn head(&self) -> u64 {
        join(self.deployment, self.flags)
    }

    /// Whether a connection that no backend can serve is refused instead of dropped.
    #[inline(always)]
    #[must_use]
    pub const fn refuses(&self) -> bool {
        self.flags & Self::REFUSE != 0
    }

    /// Whether all flows of a client's address go to one backend.
    #[inline(always)]
    #[must_use]
    pub const fn is_by_client(&self) -> bool {
        self.flags & Self::BY_CLIENT != 0
    }

    /// Whether the canary takes whole clients.
    #[inline(always)]
    #[must_use]
    pub const fn has_canary_by_client(&self) -> bool {
        self.flags & Self::CANARY_BY_CLIENT != 0
    }

    /// Position of the ring of a colour and family.
    #[must_use]
    pub const fn slot(colour: Colour, v6: bool) -> usize {
        colour.index() * 2 + v6 as usize
    }

    /// The ring of a colour and family.
    #[inline(always)]
    #[must_use]
    pub const fn ring(&self, colour: Colour, v6: bool) -> Ring {
        let [blue4, blue6, green4, green6] = &self.rings;
        match (colour, v6) {
            (Colour::Blue, false) => *blue4,
            (Colour::Blue, true) => *blue6,
            (Colour::Green, false) => *green4,
            (Colour::Green, true) => *green6,
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

    #[test]
    fn each_colour_and_family_has_a_ring_of_its_own() {
        let rings = [0, 1, 2, 3].map(|base| Ring::new(base, 1));
        let service = Service { deployment: 0, flags: 0, rings };
        for colour in Colour::BOTH {
            for v6 in [false, true] {
                assert_eq!(service.ring(colour, v6).base() as usize, Service::slot(colour, v6));
            }
        }
    }
}
