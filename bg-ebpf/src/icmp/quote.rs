//! Reads the packet that an ICMP error quotes, as far as it is quoted.

use super::Message;
use crate::packet::Family;
use crate::view::View;
use bg_common::{Addr, Endpoint, Port, Proto, Reason};

/// Length of an ICMP header, and of what RFC 792 quotes behind the network header.
const EIGHT: usize = 8;
/// Offset of the length of the quote in an ICMPv4 header, in words of four bytes (RFC 4884, section 4).
const V4_LENGTH: usize = 5;
/// The same of an ICMPv6 header, in words of eight bytes.
const V6_LENGTH: usize = 4;

/// The beginning of the packet that an error is about. Fields are as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Quote {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Protocol.
    pub proto: Proto,
    /// Source port.
    pub src_port: Port,
    /// Destination port.
    pub dst_port: Port,
    /// Offset of its network header in the frame.
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

    /// Reads what `message` quotes.
    ///
    /// # Errors
    ///
    /// [`Reason::IcmpQuote`] when what is quoted does not tell a flow.
    #[inline(always)]
    pub fn read<V: View>(view: &V, message: &Message, kind: u8) -> Result<Self, Reason> {
        let l3 = message.l4 + EIGHT;
        let end = end(view, message, kind).ok_or(Reason::IcmpQuote)?;
        match message.family {
            Family::V4 => v4(view, l3, end),
            Family::V6 => v6(view, l3, end),
        }
        .ok_or(Reason::IcmpQuote)
    }
}

/// Where the quote ends: with the message, unless that says that more than a quote is in it (RFC 4884).
#[inline(always)]
fn end<V: View>(view: &V, message: &Message, kind: u8) -> Option<usize> {
    let quote = message.l4 + EIGHT;
    let length = match (message.family, kind) {
        (Family::V4, _) => usize::from(u8::from_be_bytes(view.read(message.l4 + V4_LENGTH)?)) * 4,
        // Destination unreachable and time exceeded; the others have other things there.
        (Family::V6, 1 | 3) => usize::from(u8::from_be_bytes(view.read(message.l4 + V6_LENGTH)?)) * 8,
        (Family::V6, _) => 0,
    };
    let said = if length == 0 { message.end } else { quote + length };
    Some(if said < message.end { said } else { message.end })
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
    transport(view, Proto(next), [src, dst], [l3, l3 + 40, end])
}

/// The ports: they stand at the beginning of both transport headers.
#[inline(always)]
fn transport<V: View>(view: &V, proto: Proto, [src, dst]: [Addr; 2], at: [usize; 3]) -> Option<Quote> {
    let [l3, l4, end] = at;
    let [ports] = within(view.words::<1>(l4), l4 + EIGHT, end)?;
    if !matches!(proto, Proto::TCP | Proto::UDP) {
        return None;
    }
    let [src_high, src_low, dst_high, dst_low] = ports.to_ne_bytes();
    Some(Quote {
        src,
        dst,
        proto,
        src_port: Port::from_wire([src_high, src_low]),
        dst_port: Port::from_wire([dst_high, dst_low]),
        l3,
        l4,
        end,
    })
}

/// What was read, if the quote reaches as far as `upto`.
#[inline(always)]
fn within<T>(read: Option<T>, upto: usize, end: usize) -> Option<T> {
    read.filter(|_| upto <= end)
}
