//! Frames to feed to the programs, and a readable account of how two frames differ. Headers and
//! checksums are etherparse's: nothing of what is tested computes them.

#![expect(clippy::expect_used, clippy::panic, reason = "a wrong fixture shall end the test that uses it")]

use etherparse::{PacketBuilder, SlicedPacket};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// TCP flags of RFC 9293, section 3.1.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 1 << 0;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 1 << 1;
    /// Reset the connection.
    pub const RST: u8 = 1 << 2;
    /// Push.
    pub const PSH: u8 = 1 << 3;
    /// The acknowledgment field counts.
    pub const ACK: u8 = 1 << 4;
}

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// That of the loopback interface, which test runs use: to tc a frame for another address is a stranger's.
const GATEWAY_MAC: [u8; 6] = [0; 6];

/// Hop limit of every frame that is built.
pub const HOPS: u8 = 64;

/// Sequence number of every segment.
pub const SEQUENCE: u32 = 0xffff_fff8;
/// Acknowledgment number of every segment that has one.
pub const ACKNOWLEDGED: u32 = 0x2000_0000;

/// A TCP segment with the given flags and payload.
#[must_use]
pub fn tcp(from: SocketAddr, to: SocketAddr, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ip = ip(from.ip(), to.ip(), HOPS);
    let mut tcp = ip.tcp(from.port(), to.port(), SEQUENCE, 0xfaf0);
    if flags & flag::FIN != 0 {
        tcp = tcp.fin();
    }
    if flags & flag::SYN != 0 {
        tcp = tcp.syn();
    }
    if flags & flag::RST != 0 {
        tcp = tcp.rst();
    }
    if flags & flag::PSH != 0 {
        tcp = tcp.psh();
    }
    if flags & flag::ACK != 0 {
        tcp = tcp.ack(ACKNOWLEDGED);
    }
    let mut frame = Vec::with_capacity(tcp.size(payload.len()));
    tcp.write(&mut frame, payload).expect("a TCP segment of a test fits");
    frame
}

/// The RST that answers a frame of [`tcp`], from `from`: without an acknowledgment number it has the sequence number
/// that was acknowledged.
#[must_use]
pub fn rst(from: SocketAddr, to: SocketAddr, acknowledge: Option<u32>) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(GATEWAY_MAC, CLIENT_MAC);
    let ip = on_top(ethernet, from.ip(), to.ip(), HOPS);
    let seq = if acknowledge.is_some() { 0 } else { ACKNOWLEDGED };
    let mut tcp = ip.tcp(from.port(), to.port(), seq, 0).rst();
    if let Some(number) = acknowledge {
        tcp = tcp.ack(number);
    }
    let mut frame = Vec::with_capacity(tcp.size(0));
    tcp.write(&mut frame, &[]).expect("a RST of a test fits");
    frame
}

/// A UDP datagram.
#[must_use]
pub fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let udp = ip(from.ip(), to.ip(), HOPS).udp(from.port(), to.port());
    let mut frame = Vec::with_capacity(udp.size(payload.len()));
    udp.write(&mut frame, payload).expect("a datagram of a test fits");
    frame
}

/// A packet of any protocol.
#[must_use]
pub fn raw(from: IpAddr, to: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ip(from, to, HOPS).write(&mut frame, proto.into(), payload).expect("a packet of a test fits");
    frame
}

/// A packet of a protocol whose checksum covers a pseudo-header and all of the payload, at `offset` of which it stands.
#[must_use]
pub fn summed(from: IpAddr, to: IpAddr, proto: u8, payload: &[u8], offset: usize) -> Vec<u8> {
    let octets = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    };
    let payload = patched(payload.to_vec(), offset, &[0, 0]);
    let pseudo = [octets(from), octets(to), vec![0, proto], (payload.len() as u16).to_be_bytes().to_vec()];
    let sum = [pseudo.concat(), payload.clone()].concat();
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&sum).ones_complement().to_be();
    raw(from, to, proto, &patched(payload, offset, &sum.to_be_bytes()))
}

/// The frame with these VLAN tags.
#[must_use]
pub fn tagged(mut frame: Vec<u8>, tags: &[[u8; 2]]) -> Vec<u8> {
    for [high, low] in tags.iter().rev() {
        frame.splice(12..12, [*high, *low, 0, 100]);
    }
    frame
}

/// The frame of an IPv4 packet with options: NOPs, so many bytes of them.
#[must_use]
pub fn with_options(mut frame: Vec<u8>, len: u8) -> Vec<u8> {
    let total = u16_at(&frame, 16) + u16::from(len);
    frame.splice(34..34, vec![1; len.into()]);
    settled(patched(patched(frame, 14, &[0x45 + len / 4]), 16, &total.to_be_bytes()))
}

/// The frame of an IPv6 packet with extension headers: the number of each, and its bytes, the first of which is made to
/// name the next.
#[must_use]
pub fn with_extensions(mut frame: Vec<u8>, headers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let length = u16_at(&frame, 18) + headers.iter().map(|(_, bytes)| bytes.len() as u16).sum::<u16>();
    let mut next = frame.get(20).copied().unwrap_or_default();
    for (number, bytes) in headers.iter().rev() {
        frame.splice(54..54, patched(bytes.clone(), 0, &[next]));
        next = *number;
    }
    patched(patched(frame, 20, &[next]), 18, &length.to_be_bytes())
}

/// Identification of every datagram that is fragmented.
const DATAGRAM: u16 = 0x4711;

/// The frame's packet in fragments of so many bytes, a multiple of 8.
#[must_use]
pub fn fragments(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let v4 = u16_at(frame, 12) == 0x0800;
    let (headers, payload) = frame.split_at(if v4 { 34 } else { 54 });
    let pieces: Vec<&[u8]> = payload.chunks(size).collect();
    let fragment = |(nth, piece): (usize, &&[u8])| {
        let offset = (nth * size) as u16;
        let more = u16::from(nth + 1 < pieces.len());
        let mut frame = headers.to_vec();
        if v4 {
            let total = 20 + piece.len() as u16;
            let field = offset >> 3 | more << 13;
            frame = patched(frame, 16, &total.to_be_bytes());
            frame = patched(frame, 18, &DATAGRAM.to_be_bytes());
            frame = settled(patched(frame, 20, &field.to_be_bytes()));
        } else {
            let field = offset | more;
            let length = 8 + piece.len() as u16;
            let next = frame.get(20).copied().unwrap_or_default();
            frame = patched(patched(frame, 20, &[44]), 18, &length.to_be_bytes());
            frame.extend([next, 0]);
            frame.extend(field.to_be_bytes());
            frame.extend(u32::from(DATAGRAM).to_be_bytes());
        }
        frame.extend_from_slice(piece);
        frame
    };
    pieces.iter().enumerate().map(fragment).collect()
}

fn u16_at(frame: &[u8], at: usize) -> u16 {
    frame.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_be_bytes)
}

/// The frame with the checksum that its IPv4 header has to have.
#[must_use]
pub fn settled(frame: Vec<u8>) -> Vec<u8> {
    let header = etherparse::Ipv4HeaderSlice::from_slice(frame.get(14..).unwrap_or_default());
    let sum = header.expect("the frame has an IPv4 header").to_header().calc_header_checksum();
    patched(frame, 24, &sum.to_be_bytes())
}

/// An ICMP echo request of the addresses' family.
#[must_use]
pub fn echo_request(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut frame = Vec::new();
    let written = match from {
        IpAddr::V4(_) => ip(from, to, HOPS).icmpv4_echo_request(1, 1).write(&mut frame, b"hello"),
        IpAddr::V6(_) => ip(from, to, HOPS).icmpv6_echo_request(1, 1).write(&mut frame, b"hello"),
    };
    written.expect("an echo request of a test fits");
    frame
}

fn ip(from: IpAddr, to: IpAddr, hops: u8) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    on_top(PacketBuilder::ethernet2(CLIENT_MAC, GATEWAY_MAC), from, to, hops)
}

fn on_top(
    ethernet: etherparse::PacketBuilderStep<etherparse::Ethernet2Header>,
    from: IpAddr,
    to: IpAddr,
    hops: u8,
) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), hops),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), hops),
        _ => panic!("{from} and {to} are of two families"),
    }
}

/// The frame with `bytes` in place of what stands at `offset`. Checksums stay as they are.
#[must_use]
pub fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame.splice(offset..offset + bytes.len(), bytes.iter().copied());
    frame
}

/// The frame after a hop more: its hop limit is one less, and an IPv4 header's checksum right again.
#[must_use]
pub fn one_hop_on(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.get(12..14) == Some(&[0x86, 0xdd]) {
        if let Some(hops) = frame.get_mut(14 + 7) {
            *hops -= 1;
        }
        return frame;
    }
    if let Some(hops) = frame.get_mut(14 + 8) {
        *hops -= 1;
    }
    settled(frame)
}

/// How two frames differ, field by field where they can be read, byte by byte where not; empty when
/// they do not.
#[must_use]
pub fn difference(want: &[u8], got: &[u8]) -> String {
    if want == got {
        return String::new();
    }
    let mut text = format!("want {}\ngot  {}\n", describe(want), describe(got));
    if want.len() != got.len() {
        let _ = writeln!(text, "length {} instead of {}", got.len(), want.len());
    }
    for (offset, (want, got)) in want.iter().zip(got).enumerate() {
        if want != got {
            let _ = writeln!(text, "offset {offset}: {got:#04x} instead of {want:#04x}");
        }
    }
    text
}

fn describe(frame: &[u8]) -> String {
    match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => format!("{:?} {:?}", packet.net, packet.transport),
        Err(error) => format!("{} bytes ({error})", frame.len()),
    }
}
