//! Changes an ICMP error and the packet that it quotes, and mends every checksum that covers a change.
//!
//! All of it by writes into the frame: what a message changes, its own checksum takes back, so the sum of the whole
//! frame, which a device may have taken, stays right. Such messages are small and never left to a device.

use super::Quote;
use crate::checksum::{Change, Delta};
use crate::packet::{Family, Packet};
use crate::rewrite::{Hop, Rewrite, checksum_at, offset};
use crate::view::View;
use bg_common::{End, Proto, Reason};

/// Of the checksum in an ICMP header.
const ICMP_CHECKSUM: usize = 2;

/// Turns the error into one about the packet as its sender knows it.
///
/// The replaced end of the quoted packet is the other one of the error's. The error's own address changes with it where
/// both are the same: always towards a slice; towards a client if the backend itself sent the error, while a
/// router on the way keeps its own address.
///
/// # Errors
///
/// [`Reason::Rewrite`] when the view refuses a write; the packet must then be dropped.
#[inline(always)]
pub fn apply<V: View>(
    rewrite: &Rewrite,
    packet: &Packet,
    quote: &Quote,
    view: &mut V,
    hop: Hop,
) -> Result<(), Reason> {
    let inside = quoted(rewrite, packet.family, quote, view).ok_or(Reason::Rewrite)?;
    let (own, old) = match rewrite.end {
        End::Destination => (packet.dst, quote.src),
        End::Source => (packet.src, quote.dst),
    };
    let v6 = packet.family == Family::V6;
    let outside = if own == old { Delta::new().replace_addr(v6, &own, &rewrite.addr) } else { Delta::new() };
    // Only ICMPv6 has a pseudo-header (RFC 4443, section 2.3).
    let covered = if v6 { inside.and(outside) } else { inside };
    mend(view, packet.l4() + ICMP_CHECKSUM, covered).ok_or(Reason::Rewrite)?;
    if own == old {
        write_addr(view, packet.family, packet.l3(), rewrite.end, rewrite).ok_or(Reason::Rewrite)?;
    }
    match packet.family {
        Family::V4 => outer_v4(packet, view, outside, hop),
        Family::V6 => outer_v6(packet, view, hop),
    }
    .ok_or(Reason::Rewrite)
}

/// Changes the quoted packet and returns the sum of all changes.
#[inline(always)]
fn quoted<V: View>(rewrite: &Rewrite, family: Family, quote: &Quote, view: &mut V) -> Option<Delta> {
    let v6 = family == Family::V6;
    // The quoted packet went the other way.
    let (end, addr, port, at) = match rewrite.end {
        End::Destination => (End::Source, &quote.src, quote.src_port, offset::SOURCE_PORT),
        End::Source => (End::Destination, &quote.dst, quote.dst_port, offset::DESTINATION_PORT),
    };
    let addresses = Delta::new().replace_addr(v6, addr, &rewrite.addr);
    let change = Change {
        addresses,
        port: (port != rewrite.port).then_some((port.to_wire(), rewrite.port.to_wire())),
        v6,
        udp: matches!(quote.proto, Proto::UDP | Proto::UDP_LITE),
    };
    let mut sum = addresses;
    if let Some((old, new)) = change.port {
        view.write(quote.l4 + at, new)?;
        sum = sum.replace2(old, new);
    }
    let checksum = checksum_at(quote.proto, family).map(|at| quote.l4 + at);
    if let Some(checksum) = checksum.filter(|at| at + 2 <= quote.end) {
        let old = view.read::<2>(checksum)?;
        let new = change.apply(old);
        view.write(checksum, new)?;
        sum = sum.replace2(old, new);
    }
    if !v6 {
        let old = view.read::<2>(quote.l3 + offset::V4_CHECKSUM)?;
        let new = addresses.apply(old);
        view.write(quote.l3 + offset::V4_CHECKSUM, new)?;
        sum = sum.replace2(old, new);
    }
    write_addr(view, family, quote.l3, end, rewrite)?;
    Some(sum)
}

#[inline(always)]
fn mend<V: View>(view: &mut V, at: usize, delta: Delta) -> Option<()> {
    let old = view.read::<2>(at)?;
    view.write(at, delta.apply(old))
}

#[inline(always)]
fn write_addr<V: View>(view: &mut V, family: Family, l3: usize, end: End, new: &Rewrite) -> Option<()> {
    match (family, end) {
        (Family::V4, End::Source) => view.write(l3 + offset::V4_SOURCE, new.addr.v4_octets()),
        (Family::V4, End::Destination) => view.write(l3 + offset::V4_DESTINATION, new.addr.v4_octets()),
        (Family::V6, End::Source) => view.write_longs(l3 + offset::V6_SOURCE, new.addr.longs()),
        (Family::V6, End::Destination) => view.write_longs(l3 + offset::V6_DESTINATION, new.addr.longs()),
    }
}

#[inline(always)]
fn outer_v4<V: View>(packet: &Packet, view: &mut V, addresses: Delta, hop: Hop) -> Option<()> {
    let mut delta = addresses;
    if hop == Hop::Take {
        let (proto, ttl) = (Proto::ICMP.0, packet.hop_limit.wrapping_sub(1));
        delta = delta.replace2([packet.hop_limit, proto], [ttl, proto]);
        view.write(packet.l3() + offset::V4_TTL, [ttl])?;
    }
    mend(view, packet.l3() + offset::V4_CHECKSUM, delta)
}

#[inline(always)]
fn outer_v6<V: View>(packet: &Packet, view: &mut V, hop: Hop) -> Option<()> {
    if hop == Hop::Take {
        let [next, hops] = view.read::<2>(packet.l3() + offset::V6_HOP_LIMIT - 1)?;
        let taken = hops.wrapping_sub(1);
        view.write(packet.l3() + offset::V6_HOP_LIMIT, [taken])?;
        view.uncovered(Delta::new().replace2([next, hops], [next, taken]));
    }
    Some(())
}
