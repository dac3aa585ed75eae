//! An address, port and protocol: the key under which frontends and backends are found.

use crate::{Addr, Port, Proto};

/// What follows the address in a key: service, port and protocol in one long word, so that a program
/// writes it by one store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub(crate) struct Tail(u64);

impl Tail {
    const PROTO_SHIFT: u32 = 16;
    const SERVICE_SHIFT: u32 = 32;

    #[inline(always)]
    pub(crate) const fn new(port: Port, proto: Proto, service: u32) -> Self {
        let port = u16::from_ne_bytes(port.to_wire()) as u64;
        Self(port | (proto.0 as u64) << Self::PROTO_SHIFT | (service as u64) << Self::SERVICE_SHIFT)
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
        (self.0 >> Self::SERVICE_SHIFT) as u32
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
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let [first, second] = self.addr.longs();
        let mut mix = second ^ first.rotate_left(23) ^ self.tail.0.wrapping_mul(ODD);
        mix = mix.wrapping_mul(ODD);
        mix ^= mix >> 32;
        mix.wrapping_mul(ODD)
    }

    /// The protocol; 0 marks an empty slot of an array.
    #[inline(always)]
    #[must_use]
    pub const fn proto(&self) -> Proto {
        self.tail.proto()
    }
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
