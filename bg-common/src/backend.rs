//! One address and port of a slice that serves one service.

use crate::word::Fate;
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

/// What happens to the flows that are pinned to a backend which is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum PinnedFlows {
    /// They stay.
    #[default]
    Keep = 0,
    /// TCP: each side gets a RST at its next packet. Others are decided anew.
    Reset = 1,
    /// Datagram flows are decided anew; TCP stays.
    Move = 2,
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
    /// Bits 0-1: [`Via`]; 2-3: [`PinnedFlows`]; 4: [`Backend::is_down`]; 5: [`Backend::has_source`];
    /// 6-7: [`Backend::on_switch`].
    way: u8,
}

const VIA_BITS: u8 = 0b11;
const PINNED_SHIFT: u32 = 2;
const PINNED_BITS: u8 = 0b11;
const DOWN: u8 = 1 << 4;
const SOURCE: u8 = 1 << 5;
const ON_SWITCH_SHIFT: u32 = 6;
const ON_SWITCH_BITS: u8 = 0b11;

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
            way: via as u8,
        }
    }

    /// The same backend, whose flows meet `fate` while its colour drains and the word says that flows stay.
    #[must_use]
    pub const fn leaving(self, fate: Fate) -> Self {
        let way = self.way & !(ON_SWITCH_BITS << ON_SWITCH_SHIFT) | (fate as u8) << ON_SWITCH_SHIFT;
        Self { way, ..self }
    }

    /// The same backend, down: no ring leads to it, and its flows meet this.
    #[must_use]
    pub const fn down(self, pinned: PinnedFlows) -> Self {
        let way = self.way & !(PINNED_BITS << PINNED_SHIFT) | (pinned as u8) << PINNED_SHIFT | DOWN;
        Self { way, ..self }
    }

    /// The same backend, removed: it is not wanted any more, whatever happens to its flows.
    #[must_use]
    pub const fn removed(self) -> Self {
        Self { way: self.way & !DOWN, ..self }
    }

    /// Whether it is wanted although no ring leads to it.
    #[inline(always)]
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.way & DOWN != 0
    }

    /// The same backend, for some of whose clients an address of the gateway stands.
    #[must_use]
    pub const fn with_source(self) -> Self {
        Self { way: self.way | SOURCE, ..self }
    }

    /// Whether an address of the gateway stands for some of its clients.
    #[inline(always)]
    #[must_use]
    pub const fn has_source(&self) -> bool {
        self.way & SOURCE != 0
    }

    /// Whether nothing but staying can happen to the flows that are pinned to it.
    #[inline(always)]
    #[must_use]
    pub const fn keeps_flows(&self) -> bool {
        self.way & PINNED_BITS << PINNED_SHIFT == 0
    }

    /// Whether its flows stay at a switch, as far as its service has a say.
    #[inline(always)]
    #[must_use]
    pub const fn stays_on_switch(&self) -> bool {
        self.way & ON_SWITCH_BITS << ON_SWITCH_SHIFT == 0
    }

    /// What happens to its flows while its colour drains, where the word says that they stay.
    #[inline(always)]
    #[must_use]
    pub const fn on_switch(&self) -> Fate {
        match self.way >> ON_SWITCH_SHIFT & ON_SWITCH_BITS {
            1 => Fate::Reset,
            2 => Fate::Move,
            _ => Fate::Keep,
        }
    }

    /// What happens to the flows that are pinned to it; what is unknown keeps them.
    #[inline(always)]
    #[must_use]
    pub const fn pinned(&self) -> PinnedFlows {
        match self.way >> PINNED_SHIFT & PINNED_BITS {
            1 => PinnedFlows::Reset,
            2 => PinnedFlows::Move,
            _ => PinnedFlows::Keep,
        }
    }

    /// Where it listens.
    #[inline(always)]
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.addr, self.port, self.proto)
    }

    /// Whether it takes every port of every protocol, and keeps them as they are.
    #[inline(always)]
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.proto.0 == Proto::ANY.0
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
        match self.way & VIA_BITS {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn being_down_changes_neither_the_way_nor_the_place() {
        let at = Endpoint::new(Addr::from_v4([10, 1, 0, 2]), 80.into(), Proto::TCP);
        for via in [Via::Stack, Via::Peer, Via::Neighbour] {
            let up = Backend::new(at, 3, SliceId::default(), via, 7);
            assert_eq!((up.via(), up.pinned(), up.is_down()), (via, PinnedFlows::Keep, false));
            for pinned in [PinnedFlows::Keep, PinnedFlows::Reset, PinnedFlows::Move] {
                let down = up.down(PinnedFlows::Move).down(pinned);
                assert!(!down.has_source() && up.with_source().down(pinned).has_source());
                assert_eq!((down.via(), down.pinned(), down.is_down()), (via, pinned, true));
                assert_eq!(down.keeps_flows(), pinned == PinnedFlows::Keep);
                assert_eq!((down.endpoint(), down.ifindex()), (at, 7));
                let removed = down.removed();
                assert_eq!((removed.via(), removed.pinned(), removed.is_down()), (via, pinned, false));
                for fate in [Fate::Keep, Fate::Reset, Fate::Move] {
                    let leaving = down.leaving(Fate::Reset).leaving(fate);
                    assert_eq!((leaving.on_switch(), leaving.stays_on_switch()), (fate, fate == Fate::Keep));
                    assert_eq!(leaving.leaving(Fate::Keep), down);
                    assert_eq!(up.leaving(fate).down(pinned), leaving);
                }
            }
        }
    }
}
