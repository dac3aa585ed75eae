//! A frame as a test asks about it, and whether its checksums are right; computed from scratch, with
//! nothing shared with the code under test.

use crate::clock;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A captured frame.
#[derive(Clone, Debug)]
pub struct Packet {
    /// CLOCK_MONOTONIC when it was read, shortly after it passed.
    pub at: u64,
    /// Where it was seen.
    pub interface: String,
    /// Whether that end sent it.
    pub outgoing: bool,
    /// What it is.
    pub content: Content,
    /// What became of its checksums.
    pub checksum: Checksum,
}

/// What a frame carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// An ARP message that claims `addr`, or asks on behalf of it.
    Arp {
        /// Its sender's protocol address.
        addr: Ipv4Addr,
        /// The address it is about.
        target: Ipv4Addr,
    },
    /// An IPv6 neighbour advertisement.
    Advertisement {
        /// The address it is about.
        target: Ipv6Addr,
    },
    /// A TCP segment or UDP datagram.
    Segment(Segment),
    /// Another IP packet.
    Ip {
        /// Source.
        src: IpAddr,
        /// Destination.
        dst: IpAddr,
        /// Protocol or last next header.
        protocol: u8,
    },
    /// Anything else, truncated packets included.
    Other,
}

/// A TCP segment or UDP datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// 6 or 17.
    pub protocol: u8,
    /// TCP flags; 0 for UDP.
    pub flags: u8,
    /// TCP sequence number; 0 for UDP.
    pub sequence: u32,
}

impl Segment {
    /// TCP's RST.
    pub const RST: u8 = 4;
    /// TCP's SYN.
    pub const SYN: u8 = 2;
}

/// What became of a frame's checksums.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// All right.
    Good,
    /// One is wrong, and how.
    Bad(String),
    /// There is none to verify.
    Absent,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

impl Packet {
    /// Reads `frame`. With `partial` set, its transport checksum has to be the sum of the pseudo-header.
    #[must_use]
    pub fn parse(interface: &str, outgoing: bool, frame: &[u8], partial: bool) -> Self {
        let (content, checksum) = ethernet(frame, partial).unwrap_or((Content::Other, Checksum::Absent));
        Self { at: clock::now(), interface: interface.to_owned(), outgoing, content, checksum }
    }

    /// The segment it carries.
    #[must_use]
    pub fn segment(&self) -> Option<&Segment> {
        match &self.content {
            Content::Segment(segment) => Some(segment),
            Content::Arp { .. } | Content::Advertisement { .. } | Content::Ip { .. } | Content::Other => None,
        }
    }
}

/// The Internet checksum's sum, folded and not inverted: `0xffff` over data with a right checksum.
#[must_use]
pub fn sum_of(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            // An odd last byte counts as the high one; only the last part may have one.
            let high = pair.first().copied().unwrap_or_default();
            let low = pair.get(1).copied().unwrap_or_default();
            sum += u64::from(u16::from_be_bytes([high, low]));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn ethernet(frame: &[u8], partial: bool) -> Option<(Content, Checksum)> {
    let payload = frame.get(14..)?;
    match half(frame, 12)? {
        0x0800 => ipv4(payload, partial),
        0x86dd => ipv6(payload, partial),
        0x0806 => Some((Content::Arp { addr: v4(payload, 14)?, target: v4(payload, 24)? }, Checksum::Absent)),
        _ => None,
    }
}

fn ipv4(packet: &[u8], partial: bool) -> Option<(Content, Checksum)> {
    let header = packet.get(..usize::from(packet.first()? & 0xf) * 4)?;
    let payload = packet.get(header.len()..usize::from(half(packet, 2)?))?;
    let (src, dst) = (v4(packet, 12)?, v4(packet, 16)?);
    let protocol = *packet.get(9)?;
    if sum_of(&[header]) != 0xffff {
        let bad = Checksum::Bad(format!("IPv4 header, sum {:#06x}", sum_of(&[header])));
        return Some((Content::Ip { src: src.into(), dst: dst.into(), protocol }, bad));
    }
    let fragment = half(packet, 6)? & 0x3fff != 0;
    Some(transport(src.into(), dst.into(), protocol, payload, fragment, partial))
}

fn ipv6(packet: &[u8], partial: bool) -> Option<(Content, Checksum)> {
    let (src, dst) = (v6(packet, 8)?, v6(packet, 24)?);
    let mut payload = packet.get(40..40 + usize::from(half(packet, 4)?))?;
    let mut next = *packet.get(6)?;
    let mut fragment = false;
    // Hop-by-hop, routing, fragment, destination options.
    while matches!(next, 0 | 43 | 44 | 60) {
        fragment |= next == 44;
        let length = if next == 44 { 8 } else { (usize::from(*payload.get(1)?) + 1) * 8 };
        next = *payload.first()?;
        payload = payload.get(length..)?;
    }
    Some(transport(src.into(), dst.into(), next, payload, fragment, partial))
}

fn transport(
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    data: &[u8],
    fragment: bool,
    partial: bool,
) -> (Content, Checksum) {
    let content = content(src, dst, protocol, data).filter(|_| !fragment);
    let content = content.unwrap_or(Content::Ip { src, dst, protocol });
    let field = match protocol {
        TCP => 16,
        UDP => 6,
        ICMP | ICMP6 => 2,
        _ => return (content, Checksum::Absent),
    };
    let Some(value) = half(data, field).filter(|_| !fragment) else { return (content, Checksum::Absent) };
    let pseudo = if protocol == ICMP { Vec::new() } else { pseudo_header(src, dst, protocol, data.len()) };
    let checksum = match (partial, protocol, value) {
        (true, ..) if value == sum_of(&[&pseudo]) => Checksum::Good,
        (true, ..) => {
            Checksum::Bad(format!("partial {value:#06x}, pseudo-header {:#06x}", sum_of(&[&pseudo])))
        }
        (false, UDP, 0) if src.is_ipv4() => Checksum::Absent,
        (false, UDP, 0) => Checksum::Bad("UDP over IPv6 without a checksum".to_owned()),
        (false, ..) => match sum_of(&[&pseudo, data]) {
            0xffff => Checksum::Good,
            sum => Checksum::Bad(format!("protocol {protocol}, sum {sum:#06x}")),
        },
    };
    (content, checksum)
}

fn content(src: IpAddr, dst: IpAddr, protocol: u8, data: &[u8]) -> Option<Content> {
    let (flags, sequence) = match protocol {
        TCP => (*data.get(13)?, u32::from_be_bytes(data.get(4..8)?.try_into().ok()?)),
        UDP => (0, 0),
        ICMP6 if data.first() == Some(&136) => return Some(Content::Advertisement { target: v6(data, 8)? }),
        _ => return None,
    };
    let (src_port, dst_port) = (half(data, 0)?, half(data, 2)?);
    Some(Content::Segment(Segment { src, dst, src_port, dst_port, protocol, flags, sequence }))
}

fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    for addr in [src, dst] {
        match addr {
            IpAddr::V4(addr) => bytes.extend(addr.octets()),
            IpAddr::V6(addr) => bytes.extend(addr.octets()),
        }
    }
    // The order of the fields differs between the families; their sum does not.
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0, protocol]);
    bytes
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn v4(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?.into())
}

fn v6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A datagram from the client to a virtual address; [`sealed`] fills in its checksums.
    const UDP4: &str = "020000000001020000000002080045000020000140004011\
                        94b5c6336402c633640a04d2003500 0c0000 68656c6f";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    fn checksum(frame: &[u8], partial: bool) -> Checksum {
        Packet::parse("", false, frame, partial).checksum
    }

    /// The frame with its two checksums set by the definition: the complement of the sum without them.
    fn sealed() -> Vec<u8> {
        let mut frame = bytes(UDP4);
        frame[24..26].fill(0);
        let sum = !sum_of(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        let sum = !sum_of(&[&[198, 51, 100, 2, 198, 51, 100, 10, 0, 17, 0, 12], &frame[34..]]);
        frame[40..42].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    #[test]
    fn a_sum_is_that_of_rfc_1071() {
        // The worked example of RFC 1071, section 3.
        assert_eq!(sum_of(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), 0xddf2);
    }

    #[test]
    fn any_flipped_bit_of_a_packet_is_a_bad_checksum() {
        let good = sealed();
        assert_eq!(checksum(&good, false), Checksum::Good);
        // The addresses and ports, which are what a translation rewrites, and the payload.
        for at in 26..46 {
            if (38..42).contains(&at) {
                continue;
            }
            let mut frame = good.clone();
            frame[at] ^= 0x10;
            assert!(matches!(checksum(&frame, false), Checksum::Bad(_)), "byte {at}");
        }
    }

    #[test]
    fn a_partial_checksum_has_to_be_the_sum_of_the_pseudo_header() {
        let mut frame = sealed();
        assert!(matches!(checksum(&frame, true), Checksum::Bad(_)));
        let sum = sum_of(&[&[198, 51, 100, 2, 198, 51, 100, 10, 0, 17, 0, 12]]);
        frame[40..42].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&frame, true), Checksum::Good);
        assert!(matches!(checksum(&frame, false), Checksum::Bad(_)));
    }

    #[test]
    fn a_frame_cut_anywhere_is_read_without_a_panic() {
        let good = sealed();
        for end in 0..good.len() {
            assert_ne!(checksum(&good[..end], false), Checksum::Good, "{end}");
        }
    }
}
