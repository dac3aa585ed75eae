//! Reads the headers of a frame, if it is as nearly all are: an Ethernet header without tags, an IP header without
//! options or extensions, a whole TCP or UDP packet in one piece.
//!
//! Offsets are constants here. Whatever else there is takes the slow path, on which [`walk`](crate::walk) reads it.

use crate::packet::{Family, L3, Packet};
use crate::view::View;
use bg_common::{Addr, Port, Proto, Reason};

pub(crate) const ETHERTYPE: usize = 12;
pub(crate) const IPV4: [u8; 2] = [0x08, 0x00];
pub(crate) const IPV6: [u8; 2] = [0x86, 0xdd];

pub(crate) const TCP_HEADER: usize = 20;
pub(crate) const UDP_HEADER: usize = 8;

/// Why a frame goes no further on the fast path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detour {
    /// The slow path is to read it: nothing has been counted, changed or written.
    Rare,
    /// The slow path is to decide about what was read: as above.
    Undecided,
    /// It is decided.
    Refused(Reason),
}

impl From<Reason> for Detour {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

/// What the network header says.
struct Network {
    family: Family,
    src: Addr,
    dst: Addr,
    proto: Proto,
    hop_limit: u8,
    /// Length of what follows the network header.
    payload: usize,
}

/// Reads a frame's headers.
///
/// # Errors
///
/// The reason why the frame is none of ours to touch, or that it is for the slow path.
#[inline(always)]
pub fn parse<V: View>(view: &V) -> Result<Packet, Detour> {
    if view.has_tag_beside() {
        return Err(Detour::Rare);
    }
    if let Some(reason) = view.stray() {
        return Err(reason.into());
    }
    match view.read::<2>(ETHERTYPE).ok_or(Reason::Truncated)? {
        IPV4 => transport(view, ipv4(view)?),
        IPV6 => transport(view, ipv6(view)?),
        _ => Err(Detour::Rare),
    }
}

/// RFC 791, section 3.1.
#[inline(always)]
fn ipv4<V: View>(view: &V) -> Result<Network, Detour> {
    let [length, fragment, next, src, dst] = view.words::<5>(L3).ok_or(Reason::Truncated)?;
    let [version_ihl, _, len_high, len_low] = length.to_ne_bytes();
    let [_, _, frag_high, frag_low] = fragment.to_ne_bytes();
    let [ttl, proto, _, _] = next.to_ne_bytes();
    // More Fragments, or a fragment offset.
    if version_ihl != 0x45 || u16::from_be_bytes([frag_high & 0x3f, frag_low]) != 0 {
        return Err(Detour::Rare);
    }
    let total = usize::from(u16::from_be_bytes([len_high, len_low]));
    Ok(Network {
        family: Family::V4,
        src: Addr::from_v4_word(src),
        dst: Addr::from_v4_word(dst),
        proto: Proto(proto),
        hop_limit: ttl,
        payload: total.checked_sub(Family::V4.header_len()).ok_or(Reason::Truncated)?,
    })
}

/// RFC 8200, section 3.
#[inline(always)]
fn ipv6<V: View>(view: &V) -> Result<Network, Detour> {
    let [label, length] = view.words::<2>(L3).ok_or(Reason::Truncated)?;
    let [s0, s1, d0, d1] = view.longs::<4>(L3 + 8).ok_or(Reason::Truncated)?;
    let [version, ..] = label.to_ne_bytes();
    let [len_high, len_low, next, hop_limit] = length.to_ne_bytes();
    if version >> 4 != 6 {
        return Err(Reason::Truncated.into());
    }
    // Whatever else there is, is for the slow path, and may be an extension header.
    if !matches!(Proto(next), Proto::TCP | Proto::UDP) {
        return Err(Detour::Rare);
    }
    let (src, dst) = (Addr::from_longs([s0, s1]), Addr::from_longs([d0, d1]));
    // Its flow would have the key of an IPv4 flow.
    if src.is_v4() || dst.is_v4() {
        return Err(Reason::MappedAddress.into());
    }
    Ok(Network {
        family: Family::V6,
        src,
        dst,
        proto: Proto(next),
        hop_limit,
        payload: usize::from(u16::from_be_bytes([len_high, len_low])),
    })
}

#[inline(always)]
fn transport<V: View>(view: &V, network: Network) -> Result<Packet, Detour> {
    let Network { family, src, dst, proto, hop_limit, payload } = network;
    let l4 = L3 + family.header_len();
    if l4 + payload > view.len() as usize {
        // It may have more than what lies in one piece.
        return Err(Detour::Rare);
    }
    let (ports, tcp_flags) = match proto {
        Proto::TCP if payload >= TCP_HEADER => {
            let [ports, _, _, control, _] = view.words::<5>(l4).ok_or(Reason::Truncated)?;
            let [_, flags, _, _] = control.to_ne_bytes();
            (ports, flags)
        }
        Proto::UDP if payload >= UDP_HEADER => {
            let [ports, _] = view.words::<2>(l4).ok_or(Reason::Truncated)?;
            (ports, 0)
        }
        Proto::TCP | Proto::UDP => return Err(Reason::Truncated.into()),
        _ => return Err(Detour::Rare),
    };
    let [src_high, src_low, dst_high, dst_low] = ports.to_ne_bytes();
    Ok(Packet {
        family,
        src,
        dst,
        proto,
        src_port: Port::from_wire([src_high, src_low]),
        dst_port: Port::from_wire([dst_high, dst_low]),
        hop_limit,
        tcp_flags,
        len: view.len(),
        segments: view.segments(),
        rare: None,
    })
}
