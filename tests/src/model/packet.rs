//! Reads a frame, as the standards lay it out.

use bg_common::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// TCP.
pub(super) const TCP: u8 = 6;
/// UDP.
pub(super) const UDP: u8 = 17;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// A packet with ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// 6 or 17.
    pub proto: u8,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// What a TCP segment says besides; zero for UDP.
    pub tcp: Tcp,
    /// Where its network header begins.
    pub l3: usize,
    /// Where its transport header begins.
    pub l4: usize,
    /// Where the packet ends; a frame may be longer.
    pub end: usize,
}

/// Of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tcp {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Length of the header in bytes, as it says itself.
    pub header: usize,
    /// FIN.
    pub fin: bool,
    /// SYN.
    pub syn: bool,
    /// RST.
    pub rst: bool,
    /// ACK.
    pub acks: bool,
}

impl Packet {
    /// Whether it is TCP.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        self.proto == TCP
    }

    /// Whether it is IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.src.is_ipv6()
    }

    /// Whether it asks for a connection: SYN, and none of ACK, RST and FIN.
    #[must_use]
    pub const fn asks(&self) -> bool {
        let Tcp { syn, acks, rst, fin, .. } = self.tcp;
        syn && !acks && !rst && !fin
    }
}

/// Whether a frame is for another machine, as the kernel sees it on an interface whose address is all zero.
pub(super) fn is_a_strangers(frame: &[u8]) -> bool {
    let to = frame.get(..6).unwrap_or_default();
    let group = to.first().is_some_and(|byte| byte & 1 == 1);
    !group && to.iter().any(|byte| *byte != 0)
}

/// Reads a frame's headers.
pub(super) fn read(frame: &[u8]) -> Result<Packet, Reason> {
    match half(frame, 12).ok_or(Reason::Truncated)? {
        0x0800 => ipv4(frame, ETHERNET),
        0x86dd => ipv6(frame, ETHERNET),
        0x8100 | 0x88a8 => Err(Reason::Vlan),
        _ => Err(Reason::NotIp),
    }
}

/// RFC 791, section 3.1.
fn ipv4(frame: &[u8], l3: usize) -> Result<Packet, Reason> {
    let header: [u8; 20] = bytes(frame, l3).ok_or(Reason::Truncated)?;
    if header[0] >> 4 != 4 || header[0] & 0xf < 5 {
        return Err(Reason::Truncated);
    }
    if header[0] & 0xf > 5 {
        return Err(Reason::OtherProtocol);
    }
    let more_fragments = header[6] & 0x20 != 0;
    let fragment_offset = u16::from_be_bytes([header[6] & 0x1f, header[7]]);
    if more_fragments || fragment_offset != 0 {
        return Err(Reason::Fragment);
    }
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let (src, dst) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    if length < 20 {
        return Err(Reason::Truncated);
    }
    transport(frame, [src.into(), dst.into()], header[9], header[8], [l3, l3 + 20, l3 + length])
}

/// RFC 8200, section 3.
fn ipv6(frame: &[u8], l3: usize) -> Result<Packet, Reason> {
    let header: [u8; 40] = bytes(frame, l3).ok_or(Reason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::Truncated);
    }
    let extension = [0, 43, 44, 51, 60, 135].contains(&header[6]);
    if extension {
        return Err(Reason::ExtensionHeader);
    }
    let address = |at| bytes::<16>(&header, at).map(Ipv6Addr::from).ok_or(Reason::Truncated);
    let (src, dst) = (address(8)?, address(24)?);
    if src.to_ipv4_mapped().is_some() || dst.to_ipv4_mapped().is_some() {
        return Err(Reason::MappedAddress);
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    transport(frame, [src.into(), dst.into()], header[6], header[7], [l3, l3 + 40, l3 + 40 + length])
}

fn transport(
    frame: &[u8],
    [src, dst]: [IpAddr; 2],
    proto: u8,
    hops: u8,
    [l3, l4, end]: [usize; 3],
) -> Result<Packet, Reason> {
    let segment = frame.get(l4..end).ok_or(Reason::Truncated)?;
    let shortest = match proto {
        TCP => 20,
        UDP => 8,
        _ => return Err(Reason::OtherProtocol),
    };
    if segment.len() < shortest {
        return Err(Reason::Truncated);
    }
    let port = |at| half(segment, at).ok_or(Reason::Truncated);
    let tcp = if proto == TCP { tcp(segment).ok_or(Reason::Truncated)? } else { Tcp::default() };
    let (src_port, dst_port) = (port(0)?, port(2)?);
    Ok(Packet { src, dst, proto, src_port, dst_port, hops, tcp, l3, l4, end })
}

/// RFC 9293, section 3.1.
fn tcp(segment: &[u8]) -> Option<Tcp> {
    let [offset, flags] = bytes(segment, 12)?;
    Some(Tcp {
        seq: u32::from_be_bytes(bytes(segment, 4)?),
        ack: u32::from_be_bytes(bytes(segment, 8)?),
        header: usize::from(offset >> 4) * 4,
        fin: flags & 1 != 0,
        syn: flags & 2 != 0,
        rst: flags & 4 != 0,
        acks: flags & 16 != 0,
    })
}

/// Two bytes as a number.
pub(super) fn half(frame: &[u8], at: usize) -> Option<u16> {
    bytes(frame, at).map(u16::from_be_bytes)
}

/// `N` bytes at an offset.
pub(super) fn bytes<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}
