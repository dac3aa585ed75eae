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

/// Which half of an echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Echo {
    /// The question.
    Request,
    /// The answer.
    Reply,
}

/// An ICMP echo message of the addresses' family.
#[must_use]
pub fn echo(from: IpAddr, to: IpAddr, half: Echo, id: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let ip = ip(from, to, HOPS);
    let written = match (from, half) {
        (IpAddr::V4(_), Echo::Request) => ip.icmpv4_echo_request(id, 1).write(&mut frame, b"hello"),
        (IpAddr::V4(_), Echo::Reply) => ip.icmpv4_echo_reply(id, 1).write(&mut frame, b"hello"),
        (IpAddr::V6(_), Echo::Request) => ip.icmpv6_echo_request(id, 1).write(&mut frame, b"hello"),
        (IpAddr::V6(_), Echo::Reply) => ip.icmpv6_echo_reply(id, 1).write(&mut frame, b"hello"),
    };
    written.expect("an echo message of a test fits");
    frame
}

/// An ICMP echo request of the addresses' family.
#[must_use]
pub fn echo_request(from: IpAddr, to: IpAddr) -> Vec<u8> {
    echo(from, to, Echo::Request, 1)
}

/// An ICMP error of the addresses' family: its type, code, the four bytes behind its checksum, and what it quotes.
#[must_use]
pub fn icmp_error(from: IpAddr, to: IpAddr, (kind, code, word): (u8, u8, [u8; 4]), quote: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ip = ip(from, to, HOPS);
    let written = match from {
        IpAddr::V4(_) => ip.icmpv4_raw(kind, code, word).write(&mut frame, quote),
        IpAddr::V6(_) => ip.icmpv6_raw(kind, code, word).write(&mut frame, quote),
    };
    written.expect("an ICMP error of a test fits");
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
    let header = etherparse::Ipv4HeaderSlice::from_slice(frame.get(14..).unwrap_or_default());
    let sum = header.expect("the frame has an IPv4 header").to_header().calc_header_checksum();
    patched(frame, 24, &sum.to_be_bytes())
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
