//! An address, port and protocol: the key under which frontends and backends are found.

use crate::names::MAX_SERVICES;
use crate::{Addr, Port, Proto};

/// What follows the address in a key: service, port and protocol in one long word, so that a program
/// writes it by one store. In a flow through a whole address also the port that the client asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub(crate) struct Tail(u64);

impl Tail {
    const PROTO_SHIFT: u32 = 16;
    const SERVICE_SHIFT: u32 = 32;
    const OTHER_PORT_SHIFT: u32 = 48;

    #[inline(always)]
    pub(crate) const fn new(port: Port, proto: Proto, service: u32) -> Self {
        let port = u16::from_ne_bytes(port.to_wire()) as u64;
        Self(port | (proto.0 as u64) << Self::PROTO_SHIFT | (service as u64) << Self::SERVICE_SHIFT)
    }

    /// With the port at the other end. A service's index leaves that room ([`MAX_SERVICES`]).
    #[inline(always)]
    pub(crate) const fn and_other_port(self, port: Port) -> Self {
        const { assert!(MAX_SERVICES <= 1 << (Self::OTHER_PORT_SHIFT - Self::SERVICE_SHIFT)) }
        Self(self.0 | (u16::from_ne_bytes(port.to_wire()) as u64) << Self::OTHER_PORT_SHIFT)
    }

    #[inline(always)]
    pub(crate) const fn other_port(self) -> Port {
        Port::from_wire(((self.0 >> Self::OTHER_PORT_SHIFT) as u16).to_ne_bytes())
    }

    #[inline(always)]
    pub(crate) const fn port(self) -> Port {
        Port::from_wire((self.0 as u16).to_ne_bytes())
    }

    #[inline(always)]
    pub(crate) const fn proto(self) -> Proto {
        Proto((self.0 >> Self::PROTO_SHIFT) as u8)
    }

    #[inline(always)]
    pub(crate) const fn service(self) -> u32 {
        (self.0 >> Self::SERVICE_SHIFT) as u16 as u32
    }
}

/// Where packets go to or come from. 24 bytes: the address, then the port in network order, the protocol
/// and zeroes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(C)]
pub struct Endpoint {
    addr: Addr,
    tail: Tail,
}

impl Endpoint {
    /// Puts the three parts together.
    #[inline(always)]
    #[must_use]
    pub const fn new(addr: Addr, port: Port, proto: Proto) -> Self {
        Self { addr, tail: Tail::new(port, proto, 0) }
    }

    /// The whole of an address: every port of every protocol.
    #[inline(always)]
    #[must_use]
    pub const fn whole(addr: Addr) -> Self {
        Self { addr, tail: Tail::new(Port::NONE, Proto::ANY, 0) }
    }

    /// Whether it is the whole of an address.
    #[inline(always)]
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.proto().0 == Proto::ANY.0
    }

    /// The address.
    #[inline(always)]
    #[must_use]
    pub const fn addr(&self) -> Addr {
        self.addr
    }

    /// The port.
    #[inline(always)]
    #[must_use]
    pub const fn port(&self) -> Port {
        self.tail.port()
    }

    /// 64 bits that spread endpoints evenly, however alike they are.
    #[inline(always)]
    #[must_use]
    pub const fn hash(&self) -> u64 {
        spread(&self.addr, self.tail)
    }

    /// The protocol; 0 marks an empty slot of an array.
    #[inline(always)]
    #[must_use]
    pub const fn proto(&self) -> Proto {
        self.tail.proto()
    }
}

/// A hash of a key.
#[inline(always)]
pub(crate) const fn spread(addr: &Addr, tail: Tail) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let [first, second] = addr.longs();
    let mut mix = second ^ first.rotate_left(23) ^ tail.0.wrapping_mul(ODD);
    mix = mix.wrapping_mul(ODD);
    mix ^= mix >> 32;
    mix.wrapping_mul(ODD)
}

impl core::fmt::Debug for Tail {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} port {:?} service {}", self.proto(), self.port(), self.service())
    }
}

impl core::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {:?} port {:?}", self.proto(), self.addr, self.port())
    }
}
