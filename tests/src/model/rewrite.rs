//! Gives a packet another end.

use super::checksum::carry_over;
use super::packet::Packet;
use super::tables::{Backend, WHOLE};
use std::net::IpAddr;

/// Where a packet goes, and so which end is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum To {
    /// To a backend: its destination.
    Slice(Backend),
    /// To its client, from the address that it used: its source.
    Client((IpAddr, u16, u8)),
}

/// The frame with the other end, `hops` fewer hops to go, and checksums to match.
pub(super) fn rewritten(frame: &[u8], packet: &Packet, to: &To, hops: u8) -> Vec<u8> {
    let mut is = Packet { hops: packet.hops - hops, ..*packet };
    // Who has all ports leaves them as they are, and so do packets without any.
    let (end, own_port, (ip, port, proto)) = match *to {
        To::Slice(Backend { ip, port, proto, .. }) => (&mut is.dst, &mut is.dst_port, (ip, port, proto)),
        To::Client(at) => (&mut is.src, &mut is.src_port, at),
    };
    *end = ip;
    if proto != WHOLE.1 && packet.has_header() {
        *own_port = port;
    }
    let mut after = frame.to_vec();
    write(&mut after, &is);
    carry_over((frame, packet), (&mut after, &is));
    after
}

/// Writes addresses, ports and hops where they belong.
pub(super) fn write(frame: &mut [u8], packet: &Packet) {
    let l3 = packet.l3;
    write_addresses(frame, l3, packet.src, packet.dst);
    let mut put = |at: usize, bytes: &[u8]| frame[at..at + bytes.len()].copy_from_slice(bytes);
    put(l3 + if packet.is_v6() { 7 } else { 8 }, &[packet.hops]);
    if packet.has_our_ports() && packet.has_header() {
        put(packet.l4, &packet.src_port.to_be_bytes());
        put(packet.l4 + 2, &packet.dst_port.to_be_bytes());
    }
}

/// Writes the addresses of the network header at `l3`.
pub(super) fn write_addresses(frame: &mut [u8], l3: usize, src: IpAddr, dst: IpAddr) {
    for (ip, v4, v6) in [(src, 12, 8), (dst, 16, 24)] {
        match ip {
            IpAddr::V4(ip) => frame[l3 + v4..l3 + v4 + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => frame[l3 + v6..l3 + v6 + 16].copy_from_slice(&ip.octets()),
        }
    }
}
