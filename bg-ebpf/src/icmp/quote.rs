//! Reads the packet that an ICMP error quotes, as far as it is quoted.

use super::HEADER;
use crate::packet::{Family, Packet, Part};
use crate::view::View;
use crate::walk::{extensions, has_ports};
use bg_common::{Addr, Endpoint, Port, Proto, Reason};

/// What RFC 792 quotes behind the network header, at least.
const TRANSPORT: usize = 8;
/// Offset of the length of the quote in an ICMPv4 header, in words of four bytes (RFC 4884, section 4).
const V4_LENGTH: usize = 5;
/// The same of an ICMPv6 header, in words of eight bytes.
const V6_LENGTH: usize = 4;

/// The beginning of the packet that an error is about. Fields are as on the wire, offsets those of the frame.
#[derive(Clone, Copy, Debug)]
pub struct Quote {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Protocol.
    pub proto: Proto,
    /// Source port; the identifier of an echo request; else 0.
    pub src_port: Port,
    /// Destination port; the identifier of an echo reply; else 0.
    pub dst_port: Port,
    /// Offset of its network header.
    pub l3: usize,
    /// Offset of its transport header.
    pub l4: usize,
    /// Offset of what follows the quote.
    pub end: usize,
}

impl Quote {
    /// Where the quoted packet came from.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> Endpoint {
        Endpoint::new(self.src, self.src_port, self.proto)
    }

    /// Where it went.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> Endpoint {
        Endpoint::new(self.dst, self.dst_port, self.proto)
    }

    /// Reads what `packet`, an error, quotes.
    ///
    /// # Errors
    ///
    /// [`Reason::IcmpQuote`] when what is quoted does not tell a flow.
    #[inline(always)]
    pub fn read<V: View>(packet: &Packet, view: &V) -> Result<Self, Reason> {
        let l3 = packet.l4() + HEADER;
        let end = end(packet, view).filter(|_| packet.part() == Part::Whole).ok_or(Reason::IcmpQuote)?;
        match packet.family {
            Family::V4 => v4(view, l3, end),
            Family::V6 => v6(view, l3, end),
        }
        .ok_or(Reason::IcmpQuote)
    }
}

/// Where the quote ends: with the packet, unless the error says that more than a quote is in it (RFC 4884).
#[inline(always)]
fn end<V: View>(packet: &Packet, view: &V) -> Option<usize> {
    let (l3, l4) = (packet.l3(), packet.l4());
    let [kind] = view.read(l4)?;
    let (end, length) = match (packet.family, kind) {
        (Family::V4, _) => {
            let total = usize::from(u16::from_be_bytes(view.read(l3 + 2)?));
            (l3 + total, usize::from(u8::from_be_bytes(view.read(l4 + V4_LENGTH)?)) * 4)
        }
        (Family::V6, _) => {
            let payload = usize::from(u16::from_be_bytes(view.read(l3 + 4)?));
            // Destination unreachable and time exceeded; the others have other things there.
            let words = if matches!(kind, 1 | 3) { u8::from_be_bytes(view.read(l4 + V6_LENGTH)?) } else { 0 };
            (l3 + 40 + payload, usize::from(words) * 8)
        }
    };
    let said = if length == 0 { end } else { l4 + HEADER + length };
    Some(if said < end { said } else { end })
}

/// RFC 791, section 3.1. Options are stepped over: what matters stands before them.
#[inline(always)]
fn v4<V: View>(view: &V, l3: usize, end: usize) -> Option<Quote> {
    let [length, fragment, next, src, dst] = within(view.words::<5>(l3), l3 + 20, end)?;
    let [version_ihl, ..] = length.to_ne_bytes();
    let [_, _, frag_high, frag_low] = fragment.to_ne_bytes();
    let [_, proto, _, _] = next.to_ne_bytes();
    let header = usize::from(version_ihl & 0xf) * 4;
    // Only the first fragment has ports.
    if version_ihl >> 4 != 4 || header < 20 || u16::from_be_bytes([frag_high & 0x1f, frag_low]) != 0 {
        return None;
    }
    let (src, dst) = (Addr::from_v4_word(src), Addr::from_v4_word(dst));
    transport(view, Proto(proto), [src, dst], [l3, l3 + header, end])
}

/// RFC 8200, section 3.
#[inline(always)]
fn v6<V: View>(view: &V, l3: usize, end: usize) -> Option<Quote> {
    let [label, length] = within(view.words::<2>(l3), l3 + 40, end)?;
    let [s0, s1, d0, d1] = view.longs::<4>(l3 + 8)?;
    let [version, ..] = label.to_ne_bytes();
    let [_, _, next, _] = length.to_ne_bytes();
    let (src, dst) = (Addr::from_longs([s0, s1]), Addr::from_longs([d0, d1]));
    // A quoted flow would have the key of an IPv4 flow.
    if version >> 4 != 6 || src.is_v4() || dst.is_v4() {
        return None;
    }
    let beyond = extensions(view, next, l3 + 40).ok().filter(|beyond| beyond.part != Part::Later)?;
    transport(view, beyond.proto, [src, dst], [l3, beyond.l4, end])
}

/// The ports, which stand at the beginning of every transport header that has them, or the identifier of an echo.
#[inline(always)]
fn transport<V: View>(view: &V, proto: Proto, [src, dst]: [Addr; 2], at: [usize; 3]) -> Option<Quote> {
    let [l3, l4, end] = at;
    let [first, second] = within(view.words::<2>(l4), l4 + TRANSPORT, end)?;
    let ([kind, a, b, c], [high, low, ..]) = (first.to_ne_bytes(), second.to_ne_bytes());
    let (src_port, dst_port) = match (proto, kind) {
        (Proto::ICMP, 8) | (Proto::ICMP6, 128) => ([high, low], [0, 0]),
        (Proto::ICMP, 0) | (Proto::ICMP6, 129) => ([0, 0], [high, low]),
        _ if has_ports(proto) => ([kind, a], [b, c]),
        _ => ([0, 0], [0, 0]),
    };
    let (src_port, dst_port) = (Port::from_wire(src_port), Port::from_wire(dst_port));
    Some(Quote { src, dst, proto, src_port, dst_port, l3, l4, end })
}

/// What was read, if the quote reaches as far as `upto`.
#[inline(always)]
fn within<T>(read: Option<T>, upto: usize, end: usize) -> Option<T> {
    read.filter(|_| upto <= end)
}
