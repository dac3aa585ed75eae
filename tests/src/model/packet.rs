//! What a frame carries, as the standards lay it out: Ethernet with up to two tags, IPv4 with options, IPv6 with
//! extension headers, whole datagrams and fragments.

use super::headers::{Network, network};
use super::icmp::{Message, message};
use bg_common::Reason;
use std::net::IpAddr;

/// TCP.
pub(super) const TCP: u8 = 6;
/// UDP.
pub(super) const UDP: u8 = 17;
/// ICMP.
pub(super) const ICMP: u8 = 1;
/// ICMPv6.
pub(super) const ICMP6: u8 = 58;
/// DCCP.
pub(super) const DCCP: u8 = 33;
/// SCTP.
pub(super) const SCTP: u8 = 132;
/// UDP-Lite.
pub(super) const UDP_LITE: u8 = 136;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// Which part of its datagram a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// The first fragment.
    First,
    /// One that has no transport header.
    Later,
    /// One that hides a part of the transport header.
    Tiny,
}

/// A packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// What follows the network header.
    pub proto: u8,
    /// Source port; 0 without ports.
    pub src_port: u16,
    /// Destination port; 0 without ports.
    pub dst_port: u16,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// What a TCP segment says besides; zero for others.
    pub tcp: Tcp,
    /// Where its network header begins.
    pub l3: usize,
    /// Where its transport header begins.
    pub l4: usize,
    /// Where the packet ends; a frame may be longer.
    pub end: usize,
    /// Which part of a datagram it is.
    pub part: Part,
    /// A fragment's datagram.
    pub id: u32,
    /// Whether it is an ICMP error.
    pub error: bool,
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

    /// Whether it is TCP or UDP.
    pub(super) const fn has_our_ports(&self) -> bool {
        matches!(self.proto, TCP | UDP)
    }

    /// Whether it is IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.src.is_ipv6()
    }

    /// Whether it has the transport header.
    pub(super) const fn has_header(&self) -> bool {
        matches!(self.part, Part::Whole | Part::First)
    }

    /// Whether there are tags before the network header.
    pub(super) const fn is_tagged(&self) -> bool {
        self.l3 != ETHERNET
    }

    /// Whether it asks for a connection: SYN, and none of ACK, RST and FIN.
    #[must_use]
    pub const fn asks(&self) -> bool {
        let Tcp { syn, acks, rst, fin, .. } = self.tcp;
        syn && !acks && !rst && !fin
    }

    /// Why it is none of ours, if it names nothing of ours.
    pub(super) const fn foreign(&self) -> Reason {
        if !self.has_header() {
            Reason::Fragment
        } else if self.has_our_ports() {
            Reason::NotOurs
        } else {
            Reason::OtherProtocol
        }
    }

    /// Where the checksum is that covers the addresses, if it has one here.
    pub(super) const fn checksum(&self) -> Option<usize> {
        match checksum_of(self.proto, self.is_v6()) {
            Some(at) if self.has_header() => Some(self.l4 + at),
            _ => None,
        }
    }

    /// Whether a checksum of zero means that there is none.
    pub(super) const fn may_lack_checksum(&self) -> bool {
        matches!(self.proto, UDP | UDP_LITE)
    }
}

/// Where in a transport header the checksum is that covers the addresses.
pub(super) const fn checksum_of(proto: u8, v6: bool) -> Option<usize> {
    match proto {
        TCP => Some(16),
        UDP | UDP_LITE | DCCP => Some(6),
        ICMP6 if v6 => Some(2),
        _ => None,
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
    let mut at = ETHERNET - 2;
    let mut kind = half(frame, at).ok_or(Reason::Truncated)?;
    for _ in 0..2 {
        if matches!(kind, 0x8100 | 0x88a8) {
            at += 4;
            kind = half(frame, at).ok_or(Reason::Truncated)?;
        }
    }
    if matches!(kind, 0x8100 | 0x88a8) {
        return Err(Reason::Vlan);
    }
    transport(frame, at + 2, network(frame, kind, at + 2, false)?)
}

/// Length of the part of a transport header that is needed; none where nothing is.
pub(super) const fn header_of(proto: u8) -> usize {
    match proto {
        TCP => 20,
        UDP | UDP_LITE => 8,
        SCTP | DCCP => 12,
        _ => 0,
    }
}

fn transport(frame: &[u8], l3: usize, network: Network) -> Result<Packet, Reason> {
    let Network { src, dst, proto, hops, l4, end, offset, more, id } = network;
    if end < l4 || end > frame.len() {
        return Err(Reason::Truncated);
    }
    let needed = header_of(proto);
    let short = end - l4 < needed;
    let part = match (offset, more) {
        (0, false) if short => return Err(Reason::Truncated),
        (0, false) => Part::Whole,
        // RFC 1858: what filters go by is in the next one.
        (0, true) if short => Part::Tiny,
        (0, true) => Part::First,
        // RFC 3128: it would write over what the first one says.
        (offset, _) if src.is_ipv4() && offset < needed => Part::Tiny,
        _ => Part::Later,
    };
    let mut packet = Packet {
        src,
        dst,
        proto,
        src_port: 0,
        dst_port: 0,
        hops,
        tcp: Tcp::default(),
        l3,
        l4,
        end,
        part,
        id,
        error: false,
    };
    if !packet.has_header() {
        return Ok(packet);
    }
    // What a frame has behind its packet is not the packet's.
    if matches!(proto, ICMP | ICMP6) && end - l4 < 8 {
        return Err(Reason::Truncated);
    }
    if proto == if packet.is_v6() { ICMP6 } else { ICMP } {
        match message(frame, l4, packet.is_v6())? {
            Message::Request(id) => packet.src_port = id,
            Message::Reply(id) => packet.dst_port = id,
            Message::Error => packet.error = true,
            Message::Other => return Err(Reason::OtherProtocol),
        }
    }
    if needed > 0 {
        packet.src_port = half(frame, l4).ok_or(Reason::Truncated)?;
        packet.dst_port = half(frame, l4 + 2).ok_or(Reason::Truncated)?;
    }
    if proto == TCP {
        packet.tcp = tcp(&frame[l4..]).ok_or(Reason::Truncated)?;
    }
    Ok(packet)
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
