//! What was decided a moment ago about a flow's packets, so that a busy flow costs one look-up.

use crate::{Addr, Port, Proto, SliceId};

/// Which end of a packet a decision replaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum End {
    /// Towards a slice.
    Destination = 1,
    /// Back to the client.
    Source = 2,
}

/// A remembered decision. 96 bytes, of one CPU alone: whoever reads it has written it.
///
/// It counts only as long as everything that it was made of is as it was: the deployment's word, the epoch of the
/// tables, and, within [`Recent::JIFFIES`], the pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Recent {
    src: Addr,
    dst: Addr,
    /// Ports and protocol of the packet, and the [`End`] that is replaced; 0 is an empty entry.
    tail: u64,
    /// The deployment's word, as it stood in the table.
    pub word: u64,
    /// The epoch of the tables before any of them was read.
    pub epoch: u64,
    /// When, in jiffies.
    pub jiffies: u64,
    addr: Addr,
    /// Whose traffic it is.
    pub slice: SliceId,
    /// The interface that leads to the slice.
    pub ifindex: u32,
    /// The port that is put in, in the first two bytes as they lie in memory; how the packet leaves in the third.
    leaves: u64,
}

/// The packets that a decision is about: all of one direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecentKey {
    src: Addr,
    dst: Addr,
    tail: u64,
}

const END_SHIFT: u32 = 40;
const WAY_SHIFT: u32 = 16;

impl RecentKey {
    /// Packets from an address and port to another, of which this end is replaced.
    #[inline(always)]
    #[must_use]
    pub const fn new(from: (Addr, Port), to: (Addr, Port), proto: Proto, end: End) -> Self {
        let ports = port_bits(from.1) | port_bits(to.1) << 16;
        Self { src: from.0, dst: to.0, tail: ports | (proto.0 as u64) << 32 | (end as u64) << END_SHIFT }
    }

    /// Where it is remembered: a number below [`Recent::ENTRIES`].
    #[inline(always)]
    #[must_use]
    pub const fn slot(&self) -> u32 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let ([a, b], [c, d]) = (self.src.longs(), self.dst.longs());
        let mix = (a ^ b ^ self.tail ^ c.rotate_left(31) ^ d.rotate_left(31)).wrapping_mul(ODD);
        (mix >> (u64::BITS - Recent::ENTRIES.trailing_zeros())) as u32
    }
}

#[inline(always)]
const fn port_bits(port: Port) -> u64 {
    u16::from_ne_bytes(port.to_wire()) as u64
}

impl Recent {
    /// Entries of each CPU; a power of two.
    pub const ENTRIES: u32 = 1024;

    /// How long an entry counts: at most an eighth of a second, at 100 jiffies a second and more.
    pub const JIFFIES: u64 = 12;

    /// Says of these packets that they get this address and port, and leave by `way`. In place, because a program has
    /// no stack for a second one.
    #[inline(always)]
    pub const fn decide(&mut self, key: &RecentKey, addr: Addr, port: Port, way: u8) {
        (self.src, self.dst, self.tail) = (key.src, key.dst, key.tail);
        self.addr = addr;
        self.leaves = port_bits(port) | (way as u64) << WAY_SHIFT;
    }

    /// Whether it is about these packets.
    #[inline(always)]
    #[must_use]
    pub const fn is_about(&self, key: &RecentKey) -> bool {
        let ([a, b], [c, d]) = (self.src.longs(), self.dst.longs());
        let ([e, f], [g, h]) = (key.src.longs(), key.dst.longs());
        // Ports tell most flows apart.
        self.tail == key.tail && (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0
    }

    /// Whether it has been there for too long to count.
    #[inline(always)]
    #[must_use]
    pub const fn is_old(&self, jiffies: u64) -> bool {
        jiffies.wrapping_sub(self.jiffies) >= Self::JIFFIES
    }

    /// The address that is put in.
    #[inline(always)]
    #[must_use]
    pub const fn addr(&self) -> Addr {
        self.addr
    }

    /// The port that is put in.
    #[inline(always)]
    #[must_use]
    pub const fn port(&self) -> Port {
        Port::from_wire((self.leaves as u16).to_ne_bytes())
    }

    /// How the packet leaves.
    #[inline(always)]
    #[must_use]
    pub const fn way(&self) -> u8 {
        (self.leaves >> WAY_SHIFT) as u8
    }
}
