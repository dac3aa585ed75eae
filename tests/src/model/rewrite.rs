//! Gives a packet another end.

use super::checksum::carry_over;
use super::packet::Packet;
use super::tables::Backend;
use std::net::IpAddr;

/// Where a packet goes, and so which end is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum To {
    /// To a backend: its destination.
    Slice(Backend),
    /// To its client, from the address that it used: its source.
    Client(IpAddr, u16),
}

/// The frame with the other end, `hops` fewer hops to go, and checksums to match.
pub(super) fn rewritten(frame: &[u8], packet: &Packet, to: &To, hops: u8) -> Vec<u8> {
    let mut is = Packet { hops: packet.hops - hops, ..*packet };
    match *to {
        To::Slice(Backend { ip, port, .. }) => (is.dst, is.dst_port) = (ip, port),
        To::Client(ip, port) => (is.src, is.src_port) = (ip, port),
    }
    let mut after = frame.to_vec();
    write(&mut after, &is);
    carry_over((frame, packet), (&mut after, &is));
    after
}

/// Writes addresses, ports and hops where they belong.
fn write(frame: &mut [u8], packet: &Packet) {
    let l3 = packet.l3;
    let mut put = |at: usize, bytes: &[u8]| frame[at..at + bytes.len()].copy_from_slice(bytes);
    for (ip, v4, v6) in [(packet.src, 12, 8), (packet.dst, 16, 24)] {
        match ip {
            IpAddr::V4(ip) => put(l3 + v4, &ip.octets()),
            IpAddr::V6(ip) => put(l3 + v6, &ip.octets()),
        }
    }
    put(l3 + if packet.is_v6() { 7 } else { 8 }, &[packet.hops]);
    put(packet.l4, &packet.src_port.to_be_bytes());
    put(packet.l4 + 2, &packet.dst_port.to_be_bytes());
}
