//! Makes of a TCP segment the RST that answers it (RFC 9293, sections 3.5.2 and 3.10.7.1).
//!
//! The frame is changed in place and read again for it, because a program has no stack for a second one. Tags stay;
//! IPv4 options and IPv6 extension headers do not come back.

use crate::checksum::Sum;
use crate::packet::{ACK, Family, Packet, RST};
use crate::view::View;
use crate::walk::parse_rare;
use bg_common::{Proto, Reason};

const TCP_HEADER: usize = 20;
const TTL: u8 = 64;

mod offset {
    //! Of fields in their headers.
    pub(super) const V4_LENGTH: usize = 2;
    pub(super) const V4_CHECKSUM: usize = 10;
    pub(super) const V4_ADDRESSES: usize = 12;
    pub(super) const V6_LENGTH: usize = 4;
    pub(super) const V6_ADDRESSES: usize = 8;
    pub(super) const TCP_CHECKSUM: usize = 16;
}

/// The answer's TCP header up to its checksum.
type Answer = [u32; 4];

/// Turns the frame of a TCP segment into that of the RST for its sender, from the address and port that it
/// was sent to.
///
/// # Errors
///
/// When the frame is no TCP segment, or a RST itself, or the view refuses a change; it must then be dropped.
#[inline(always)]
pub fn reset<V: View>(view: &mut V) -> Result<(), Reason> {
    let packet = parse_rare(view)?;
    if !packet.is_tcp() || packet.is_rst() {
        return Err(Reason::Rewrite);
    }
    let answer = answer(&packet, view).ok_or(Reason::Rewrite)?;
    let (family, l3) = (packet.family, packet.l3());
    let before = headers(view, family, l3).ok_or(Reason::Rewrite)?;
    view.shorten(l3 + family.header_len() + TCP_HEADER).ok_or(Reason::Rewrite)?;
    turn_round(view).ok_or(Reason::Rewrite)?;
    let network = match family {
        Family::V4 => v4(view, l3),
        Family::V6 => v6(view, l3),
    };
    network.ok_or(Reason::Rewrite)?;
    tcp(view, family, l3, answer).ok_or(Reason::Rewrite)?;
    let after = headers(view, family, l3).ok_or(Reason::Rewrite)?;
    view.uncovered(before.replaced_by(after));
    Ok(())
}

#[inline(always)]
fn answer<V: View>(packet: &Packet, view: &V) -> Option<Answer> {
    let [ports, seq, ack, control, _] = view.words::<5>(packet.l4())?;
    let (seq, ack, flags) = if packet.is_ack() {
        (ack, 0, RST)
    } else {
        let [offset, ..] = control.to_ne_bytes();
        // SYN and FIN take a sequence number each.
        let taken = payload(packet, view)?.saturating_sub(u32::from(offset >> 4) * 4)
            + u32::from(packet.is_syn())
            + u32::from(packet.is_fin());
        (0, u32::from_be(seq).wrapping_add(taken).to_be(), RST | ACK)
    };
    let control = u32::from_ne_bytes([((TCP_HEADER / 4) as u8) << 4, flags, 0, 0]);
    Some([ports.rotate_left(16), seq, ack, control])
}

/// Length of what follows the network header, its options and its extension headers.
#[inline(always)]
fn payload<V: View>(packet: &Packet, view: &V) -> Option<u32> {
    let (l3, header) = (packet.l3(), (packet.l4() - packet.l3()) as u32);
    let total = match packet.family {
        Family::V4 => u32::from(u16::from_be_bytes(view.read(l3 + offset::V4_LENGTH)?)),
        Family::V6 => u32::from(u16::from_be_bytes(view.read(l3 + offset::V6_LENGTH)?)) + 40,
    };
    Some(total.saturating_sub(header))
}

/// The sum of the network and TCP headers, in steps that fit into registers.
#[inline(always)]
fn headers<V: View>(view: &V, family: Family, l3: usize) -> Option<Sum> {
    let mut sum = Sum::new().words(&view.words::<5>(l3)?);
    if family == Family::V6 {
        sum = sum.words(&view.words::<5>(l3 + 20)?);
    }
    Some(sum.words(&view.words::<5>(l3 + family.header_len())?))
}

/// The sum of the addresses.
#[inline(always)]
fn addresses<V: View>(view: &V, family: Family, l3: usize) -> Option<Sum> {
    Some(match family {
        Family::V4 => Sum::new().words(&view.words::<2>(l3 + offset::V4_ADDRESSES)?),
        Family::V6 => Sum::new()
            .words(&view.words::<4>(l3 + offset::V6_ADDRESSES)?)
            .words(&view.words::<4>(l3 + offset::V6_ADDRESSES + 16)?),
    })
}

/// Sends the frame back to the station that it came from.
#[inline(always)]
fn turn_round<V: View>(view: &mut V) -> Option<()> {
    let to: [u8; 6] = view.read(0)?;
    let from: [u8; 6] = view.read(6)?;
    view.write(0, from)?;
    view.write(6, to)
}

/// A new IPv4 header (RFC 791, section 3.1). Its identification is 0, as that of a packet which must not be
/// fragmented may be (RFC 6864, section 4.1).
#[inline(always)]
fn v4<V: View>(view: &mut V, l3: usize) -> Option<()> {
    const DONT_FRAGMENT: u8 = 0x40;
    let [from, to] = view.words::<2>(l3 + offset::V4_ADDRESSES)?;
    view.write(l3, [0x45, 0, 0, 20 + TCP_HEADER as u8])?;
    view.write(l3 + 4, [0, 0, DONT_FRAGMENT, 0])?;
    view.write(l3 + 8, [TTL, Proto::TCP.0, 0, 0])?;
    view.write(l3 + offset::V4_ADDRESSES, to.to_ne_bytes())?;
    view.write(l3 + offset::V4_ADDRESSES + 4, from.to_ne_bytes())?;
    let sum = Sum::new().words(&view.words::<5>(l3)?);
    view.write(l3 + offset::V4_CHECKSUM, sum.complete())
}

/// A new IPv6 header (RFC 8200, section 3).
#[inline(always)]
fn v6<V: View>(view: &mut V, l3: usize) -> Option<()> {
    let from = view.longs::<2>(l3 + offset::V6_ADDRESSES)?;
    let to = view.longs::<2>(l3 + offset::V6_ADDRESSES + 16)?;
    view.write(l3, [0x60, 0, 0, 0])?;
    view.write(l3 + 4, [0, TCP_HEADER as u8, Proto::TCP.0, TTL])?;
    view.write_longs(l3 + offset::V6_ADDRESSES, to)?;
    view.write_longs(l3 + offset::V6_ADDRESSES + 16, from)
}

/// A new TCP header (RFC 9293, section 3.1) and the checksum that covers it, together with the addresses.
#[inline(always)]
fn tcp<V: View>(view: &mut V, family: Family, l3: usize, answer: Answer) -> Option<()> {
    let l4 = l3 + family.header_len();
    let [ports, seq, ack, control] = answer;
    view.write(l4, ports.to_ne_bytes())?;
    view.write(l4 + 4, seq.to_ne_bytes())?;
    view.write(l4 + 8, ack.to_ne_bytes())?;
    view.write(l4 + 12, control.to_ne_bytes())?;
    view.write(l4 + 16, [0; 4])?;
    let by_device = view.completed_by_device(l4 + offset::TCP_CHECKSUM)?;
    // RFC 9293, section 3.1, and RFC 8200, section 8.1: the order of the fields makes no difference.
    let length_and_protocol = u32::from_ne_bytes([0, Proto::TCP.0, 0, TCP_HEADER as u8]);
    let pseudo = addresses(view, family, l3)?.words(&[length_and_protocol]);
    let checksum = if by_device { pseudo.partial() } else { pseudo.words(&answer).complete() };
    view.write(l4 + offset::TCP_CHECKSUM, checksum)
}
