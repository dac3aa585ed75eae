//! An address, port and protocol: the key under which frontends and backends are found.

use crate::{Addr, Port, Proto};

/// Where packets go to or come from. 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(C)]
pub struct Endpoint {
    addr: Addr,
    port: Port,
    proto: Proto,
    zero: u8,
}

impl Endpoint {
    /// Puts the three parts together.
    #[inline(always)]
    #[must_use]
    pub const fn new(addr: Addr, port: Port, proto: Proto) -> Self {
        Self { addr, port, proto, zero: 0 }
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
        self.port
    }

    /// The protocol; 0 marks an empty slot of an array.
    #[inline(always)]
    #[must_use]
    pub const fn proto(&self) -> Proto {
        self.proto
    }
}
