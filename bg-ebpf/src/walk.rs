//! Reads the headers of the frames that [`parse`](crate::parse()) leaves to the slow path, and of all others: VLAN
//! tags, IPv4 options, IPv6 extension headers, fragments, every protocol.
//!
//! Offsets are found here, each walk has a bound, and what lies beyond it passes under a reason of its own.

use crate::packet::{Family, L3, Packet, Part, Rare};
use crate::parse::{ETHERTYPE, IPV4, IPV6, TCP_HEADER, UDP_HEADER};
use crate::view::View;
use bg_common::{Addr, Port, Proto, Reason};

/// IEEE 802.1Q and 802.1ad.
const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
const TAG: usize = 4;

/// Extension headers that are read of one packet.
pub const MAX_EXTENSIONS: usize = 8;

/// Up to where a transport header may reach.
pub const MAX_HEADERS: usize = 512;

mod next {
    //! IPv6 extension headers (IANA "IPv6 Extension Header Types") that something can follow.
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION: u8 = 60;
}

/// What the network header and its extensions say.
struct Network {
    family: Family,
    src: Addr,
    dst: Addr,
    hop_limit: u8,
    /// Where the packet ends.
    end: usize,
    beyond: Beyond,
}

/// What comes behind the network header.
struct Beyond {
    proto: Proto,
    l4: usize,
    part: Part,
    id: u32,
    /// In bytes; of a later fragment.
    offset: u16,
}

/// Reads a frame's headers.
///
/// # Errors
///
/// The reason why the frame is none of ours to touch.
#[inline(always)]
pub fn parse_rare<V: View>(view: &V) -> Result<Packet, Reason> {
    if let Some(reason) = view.stray() {
        return Err(reason);
    }
    let (kind, l3) = tags(view)?;
    let network = match kind {
        IPV4 => ipv4(view, l3)?,
        IPV6 => ipv6(view, l3)?,
        kind if TAGS.contains(&kind) => return Err(Reason::Vlan),
        _ => return Err(Reason::NotIp),
    };
    transport(view, l3, &network)
}

/// The type of what follows up to two tags, and where it begins.
#[inline(always)]
fn tags<V: View>(view: &V) -> Result<([u8; 2], usize), Reason> {
    let mut at = ETHERTYPE;
    let mut kind = view.read::<2>(at).ok_or(Reason::Truncated)?;
    for _ in 0..2 {
        if TAGS.contains(&kind) {
            at += TAG;
            kind = view.read::<2>(at).ok_or(Reason::Truncated)?;
        }
    }
    Ok((kind, at + 2))
}

/// RFC 791, section 3.1.
#[inline(always)]
fn ipv4<V: View>(view: &V, l3: usize) -> Result<Network, Reason> {
    let [length, fragment, next, src, dst] = view.words::<5>(l3).ok_or(Reason::Truncated)?;
    let [version_ihl, _, len_high, len_low] = length.to_ne_bytes();
    let [id_high, id_low, frag_high, frag_low] = fragment.to_ne_bytes();
    let [hop_limit, proto, _, _] = next.to_ne_bytes();
    let header = usize::from(version_ihl & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([len_high, len_low]));
    if version_ihl >> 4 != 4 || header < Family::V4.header_len() || total < header {
        return Err(Reason::Truncated);
    }
    let offset = u16::from_be_bytes([frag_high & 0x1f, frag_low]) << 3;
    let more = frag_high & 0x20 != 0;
    Ok(Network {
        family: Family::V4,
        src: Addr::from_v4_word(src),
        dst: Addr::from_v4_word(dst),
        hop_limit,
        end: l3 + total,
        beyond: Beyond {
            proto: Proto(proto),
            l4: l3 + header,
            part: part(offset, more),
            id: u32::from(u16::from_be_bytes([id_high, id_low])),
            offset,
        },
    })
}

/// RFC 8200, section 3.
#[inline(always)]
fn ipv6<V: View>(view: &V, l3: usize) -> Result<Network, Reason> {
    let [label, length] = view.words::<2>(l3).ok_or(Reason::Truncated)?;
    let [s0, s1, d0, d1] = view.longs::<4>(l3 + 8).ok_or(Reason::Truncated)?;
    let [version, ..] = label.to_ne_bytes();
    let [len_high, len_low, first, hop_limit] = length.to_ne_bytes();
    if version >> 4 != 6 {
        return Err(Reason::Truncated);
    }
    let (src, dst) = (Addr::from_longs([s0, s1]), Addr::from_longs([d0, d1]));
    // Its flow would have the key of an IPv4 flow.
    if src.is_v4() || dst.is_v4() {
        return Err(Reason::MappedAddress);
    }
    let l4 = l3 + Family::V6.header_len();
    let end = l4 + usize::from(u16::from_be_bytes([len_high, len_low]));
    let beyond = extensions(view, first, l4)?;
    Ok(Network { family: Family::V6, src, dst, hop_limit, end, beyond })
}

/// RFC 8200, section 4. Behind the header of a later fragment there is nothing to read.
#[inline(always)]
fn extensions<V: View>(view: &V, first: u8, l4: usize) -> Result<Beyond, Reason> {
    let mut found = Beyond { proto: Proto(first), l4, part: Part::Whole, id: 0, offset: 0 };
    for _ in 0..MAX_EXTENSIONS {
        let header = found.proto.0;
        if !is_extension(header) {
            return Ok(found);
        }
        let word = view.read::<8>(found.l4).ok_or(Reason::Truncated)?;
        let [next, len, high, low, id @ ..] = word;
        found.proto = Proto(next);
        found.l4 += match header {
            next::FRAGMENT => {
                let field = u16::from_be_bytes([high, low]);
                found.offset = field & !7;
                // A datagram in a single fragment is a whole one (RFC 6946), and fragments have no fragments.
                if found.part == Part::Whole {
                    found.part = part(found.offset, field & 1 != 0);
                    found.id = u32::from_be_bytes(id);
                }
                8
            }
            next::AUTHENTICATION => (usize::from(len) + 2) * 4,
            next::ROUTING if low != 0 => return Err(Reason::SourceRoute),
            _ => (usize::from(len) + 1) * 8,
        };
        if found.part == Part::Later {
            return Ok(found);
        }
        if found.l4 > MAX_HEADERS {
            break;
        }
    }
    if is_extension(found.proto.0) || found.l4 > MAX_HEADERS {
        Err(Reason::ExtensionHeader)
    } else {
        Ok(found)
    }
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        next::HOP_BY_HOP | next::ROUTING | next::FRAGMENT | next::AUTHENTICATION | next::DESTINATION
    )
}

#[inline(always)]
const fn part(offset: u16, more: bool) -> Part {
    match (offset, more) {
        (0, false) => Part::Whole,
        (0, true) => Part::First,
        _ => Part::Later,
    }
}

#[inline(always)]
fn transport<V: View>(view: &V, l3: usize, network: &Network) -> Result<Packet, Reason> {
    let Network { family, src, dst, hop_limit, end, beyond: Beyond { proto, l4, mut part, id, offset } } =
        *network;
    let len = view.whole_len();
    let payload = end.checked_sub(l4).filter(|_| end <= len as usize).ok_or(Reason::Truncated)?;
    let header = header_of(proto);
    let (mut ports, mut tcp_flags) = ([0; 4], 0);
    match part {
        // It would write over what the first fragment says (RFC 3128).
        Part::Later if family == Family::V4 && usize::from(offset) < header => part = Part::Tiny,
        Part::Later | Part::Tiny => {}
        // RFC 1858, section 3.
        Part::First if payload < header => part = Part::Tiny,
        Part::Whole if payload < header => return Err(Reason::Truncated),
        Part::First | Part::Whole if proto == Proto::TCP => {
            let [first, _, _, control, _] = view.words::<5>(l4).ok_or(Reason::Truncated)?;
            ports = first.to_ne_bytes();
            [_, tcp_flags, _, _] = control.to_ne_bytes();
        }
        // It is said of a link and stays on it, whoever has the address (RFC 4861): no router passes it on.
        Part::First | Part::Whole if proto == Proto::ICMP6 && is_of_the_link(view, l4)? => {
            return Err(Reason::OtherProtocol);
        }
        Part::First | Part::Whole if header != 0 => ports = view.read::<4>(l4).ok_or(Reason::Truncated)?,
        Part::First | Part::Whole => {}
    }
    let [src_high, src_low, dst_high, dst_low] = ports;
    Ok(Packet {
        family,
        src,
        dst,
        proto,
        src_port: Port::from_wire([src_high, src_low]),
        dst_port: Port::from_wire([dst_high, dst_low]),
        hop_limit,
        tcp_flags,
        len,
        segments: view.segments(),
        rare: Some(Rare { l3, l4, tagged: l3 != L3 || view.has_tag_beside(), part, id }),
    })
}

/// Whether an ICMPv6 message is of neighbour discovery (RFC 4861, section 4).
#[inline(always)]
fn is_of_the_link<V: View>(view: &V, l4: usize) -> Result<bool, Reason> {
    let [kind] = view.read::<1>(l4).ok_or(Reason::Truncated)?;
    Ok(matches!(kind, 133..=137))
}

/// Length of a transport header that begins with two ports; 0 for protocols without ports.
#[inline(always)]
const fn header_of(proto: Proto) -> usize {
    match proto {
        Proto::TCP => TCP_HEADER,
        Proto::UDP | Proto::UDP_LITE => UDP_HEADER,
        Proto::SCTP | Proto::DCCP => 12,
        _ => 0,
    }
}
