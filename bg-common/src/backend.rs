//! One address and port of a slice that serves one service.

use crate::{Addr, Endpoint, Port, Proto, SliceId};

/// How the gateway hands a packet on to a backend. Only the tc programs redirect; XDP always goes
/// by way of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Via {
    /// The kernel routes it.
    Stack = 0,
    /// Straight into the network namespace at the other end of a veth pair (`bpf_redirect_peer`).
    Peer = 1,
    /// Out of the interface, the kernel resolves the neighbour (`bpf_redirect_neigh`).
    Neighbour = 2,
}

/// A backend. 32 bytes: two share a cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Backend {
    addr: Addr,
    service: u32,
    ifindex: u32,
    slice: SliceId,
    port: Port,
    proto: Proto,
    via: u8,
}

impl Backend {
    /// A backend of `service` in `slice`, reached over interface `ifindex`.
    #[must_use]
    pub const fn new(endpoint: Endpoint, service: u32, slice: SliceId, via: Via, ifindex: u32) -> Self {
        Self {
            addr: endpoint.addr(),
            service,
            ifindex,
            slice,
            port: endpoint.port(),
            proto: endpoint.proto(),
            via: via as u8,
        }
    }

    /// Where it listens.
    #[inline(always)]
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.addr, self.port, self.proto)
    }

    /// Index of its service.
    #[inline(always)]
    #[must_use]
    pub const fn service(&self) -> u32 {
        self.service
    }

    /// Its slice.
    #[inline(always)]
    #[must_use]
    pub const fn slice(&self) -> SliceId {
        self.slice
    }

    /// The interface that leads to it.
    #[inline(always)]
    #[must_use]
    pub const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// How it is reached; what is unknown goes by the stack.
    #[inline(always)]
    #[must_use]
    pub const fn via(&self) -> Via {
        match self.via {
            1 => Via::Peer,
            2 => Via::Neighbour,
            _ => Via::Stack,
        }
    }

    /// Whether this slot of the table holds no backend.
    #[inline(always)]
    #[must_use]
    pub const fn is_vacant(&self) -> bool {
        self.proto.0 == 0
    }
}
