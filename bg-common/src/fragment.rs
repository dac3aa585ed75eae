//! Where the fragments of a datagram go: as its first one, which alone has ports.

use crate::{Addr, Proto, Tick};

/// Names a datagram in fragments, by one direction. 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct FragmentKey {
    src: Addr,
    dst: Addr,
    /// Protocol in the lower half, identification in the upper.
    tail: u64,
}

impl FragmentKey {
    /// The datagram `id` of a sender. IPv4 counts for each protocol (RFC 791, section 3.2), IPv6 for all of them
    /// (RFC 8200, section 4.5), and has `proto` 0.
    #[inline(always)]
    #[must_use]
    pub const fn new(src: Addr, dst: Addr, proto: Proto, id: u32) -> Self {
        Self { src, dst, tail: (id as u64) << 32 | proto.0 as u64 }
    }
}

/// What was decided with the first fragment. 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Fragment {
    /// [`Fragment::TO_SLICE`] or one of its neighbours.
    pub end: u32,
    /// Index of the backend that the datagram goes to or comes from.
    pub backend: u32,
    /// Index of the frontend that a reply leaves from.
    pub frontend: u32,
    /// When the first fragment came.
    pub seen: Tick,
}

impl Fragment {
    /// The destination becomes the backend.
    pub const TO_SLICE: u32 = 1;
    /// The source becomes the frontend.
    pub const TO_CLIENT: u32 = 2;
    /// It goes to a VIP, and is the gateway's own.
    pub const OWN: u32 = 3;
    /// How long the first fragment counts: half a minute, as long as a host waits for the last one (Linux:
    /// `ipfrag_time`), in ticks.
    pub const TICKS: u32 = Tick::in_seconds(30);

    /// Whether the first fragment still counts.
    #[inline(always)]
    #[must_use]
    pub const fn counts(&self, now: Tick) -> bool {
        now.since(self.seen) < Self::TICKS
    }
}
