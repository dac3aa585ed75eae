//! Changes one end of a packet and everything that depends on it.

use crate::checksum::{Change, Delta};
use crate::decide::Way;
use crate::packet::{Family, Packet, Part};
use crate::view::View;
use bg_common::{Addr, Backend, End, Endpoint, Port, Proto, Reason};

/// Whether the gateway takes the hop that the kernel would have taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hop {
    /// The kernel still routes the packet.
    Keep,
    /// The packet is redirected past the kernel's routing.
    Take,
}

/// What a packet becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite {
    /// Which end is replaced.
    pub end: End,
    /// By this address.
    pub addr: Addr,
    /// And this port.
    pub port: Port,
    /// How the packet leaves.
    pub way: Way,
}

mod offset {
    //! Of fields in their headers.
    pub(super) const V4_TTL: usize = 8;
    pub(super) const V4_CHECKSUM: usize = 10;
    pub(super) const V4_SOURCE: usize = 12;
    pub(super) const V4_DESTINATION: usize = 16;
    pub(super) const V6_HOP_LIMIT: usize = 7;
    pub(super) const V6_SOURCE: usize = 8;
    pub(super) const V6_DESTINATION: usize = 24;
    pub(super) const SOURCE_PORT: usize = 0;
    pub(super) const DESTINATION_PORT: usize = 2;
    pub(super) const TCP_CHECKSUM: usize = 16;
    pub(super) const UDP_CHECKSUM: usize = 6;
    pub(super) const DCCP_CHECKSUM: usize = 6;
    pub(super) const ICMP6_CHECKSUM: usize = 2;
}

/// The port that a packet gets with the address of `to`: its own, if it has none or `to` has all of them.
#[inline(always)]
const fn port(packet: &Packet, own: Port, to: &Endpoint) -> Port {
    match packet.rare {
        None => to.port(),
        Some(_) if to.is_whole() => own,
        Some(rare) if matches!(rare.part, Part::Whole | Part::First) => to.port(),
        Some(_) => own,
    }
}

/// Where in the transport header the checksum stands that covers the addresses, if there is one.
#[inline(always)]
fn checksum(packet: &Packet, udp: bool) -> Option<usize> {
    if packet.rare.is_none() {
        return Some(if udp { offset::UDP_CHECKSUM } else { offset::TCP_CHECKSUM });
    }
    if !matches!(packet.part(), Part::Whole | Part::First) {
        return None;
    }
    match packet.proto {
        Proto::TCP => Some(offset::TCP_CHECKSUM),
        Proto::UDP | Proto::UDP_LITE => Some(offset::UDP_CHECKSUM),
        Proto::DCCP => Some(offset::DCCP_CHECKSUM),
        Proto::ICMP6 if packet.family == Family::V6 => Some(offset::ICMP6_CHECKSUM),
        _ => None,
    }
}

impl Rewrite {
    /// Towards a backend. The packet keeps its port if the backend has all of them.
    #[inline(always)]
    #[must_use]
    pub const fn to_slice(packet: &Packet, backend: &Backend) -> Self {
        let to = backend.endpoint();
        let way = Way::Slice(backend.via(), backend.ifindex());
        Self { end: End::Destination, addr: to.addr(), port: port(packet, packet.dst_port, &to), way }
    }

    /// Back to a client, from the frontend that it used, in the same manner.
    #[inline(always)]
    #[must_use]
    pub const fn to_client(packet: &Packet, frontend: &Endpoint) -> Self {
        let port = port(packet, packet.src_port, frontend);
        Self { end: End::Source, addr: frontend.addr(), port, way: Way::Client }
    }

    /// Changes the packet.
    ///
    /// # Errors
    ///
    /// [`Reason::Rewrite`] when the view refuses a write. Headers that were parsed are writable, so
    /// this is for the verifier and for a kernel without memory; the packet must then be dropped.
    #[inline(always)]
    pub fn apply<V: View>(&self, packet: &Packet, view: &mut V, hop: Hop) -> Result<(), Reason> {
        let change = self.change(packet);
        let l4 = packet.l4();
        // First, because a socket buffer may move when the kernel mends it.
        match checksum(packet, change.udp) {
            Some(checksum) => view.mend_checksum(l4 + checksum, &change).ok_or(Reason::Rewrite)?,
            // Nothing in the packet makes up for the addresses of IPv6; those of IPv4 the header's own sum does.
            None if change.v6 => view.uncovered(change.addresses),
            None => {}
        }
        if change.port.is_some() {
            let at = match self.end {
                End::Destination => offset::DESTINATION_PORT,
                End::Source => offset::SOURCE_PORT,
            };
            view.write(l4 + at, self.port.to_wire()).ok_or(Reason::Rewrite)?;
        }
        match packet.family {
            Family::V4 => self.apply_v4(packet, view, &change, hop),
            Family::V6 => self.apply_v6(packet, view, hop),
        }
        .ok_or(Reason::Rewrite)
    }

    #[inline(always)]
    fn change(&self, packet: &Packet) -> Change {
        let (addr, port) = match self.end {
            End::Destination => (&packet.dst, packet.dst_port),
            End::Source => (&packet.src, packet.src_port),
        };
        let v6 = packet.family == Family::V6;
        Change {
            addresses: Delta::new().replace_addr(v6, addr, &self.addr),
            port: (port != self.port).then_some((port.to_wire(), self.port.to_wire())),
            v6,
            udp: matches!(packet.proto, Proto::UDP | Proto::UDP_LITE),
        }
    }

    #[inline(always)]
    fn apply_v4<V: View>(&self, packet: &Packet, view: &mut V, change: &Change, hop: Hop) -> Option<()> {
        let l3 = packet.l3();
        let mut delta = change.addresses;
        if hop == Hop::Take {
            let proto = packet.proto.0;
            let ttl = packet.hop_limit.wrapping_sub(1);
            delta = delta.replace2([packet.hop_limit, proto], [ttl, proto]);
            view.write(l3 + offset::V4_TTL, [ttl])?;
        }
        let old = view.read::<2>(l3 + offset::V4_CHECKSUM)?;
        view.write(l3 + offset::V4_CHECKSUM, delta.apply(old))?;
        let at = match self.end {
            End::Destination => offset::V4_DESTINATION,
            End::Source => offset::V4_SOURCE,
        };
        view.write(l3 + at, self.addr.v4_octets())
    }

    #[inline(always)]
    fn apply_v6<V: View>(&self, packet: &Packet, view: &mut V, hop: Hop) -> Option<()> {
        let l3 = packet.l3();
        if hop == Hop::Take {
            let (next, hops) = (packet.proto.0, packet.hop_limit.wrapping_sub(1));
            view.write(l3 + offset::V6_HOP_LIMIT, [hops])?;
            view.uncovered(Delta::new().replace2([next, packet.hop_limit], [next, hops]));
        }
        let at = match self.end {
            End::Destination => offset::V6_DESTINATION,
            End::Source => offset::V6_SOURCE,
        };
        view.write_longs(l3 + at, self.addr.longs())
    }
}
