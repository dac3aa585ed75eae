//! The RST that answers a segment (RFC 9293, section 3.10.7.1).

use super::checksum::seal;
use super::packet::{Packet, TCP};
use std::net::IpAddr;

const HOPS: u8 = 64;

/// The frame that goes back to the sender of this one, from where it was sent to.
pub(super) fn reset(frame: &[u8], packet: &Packet) -> Vec<u8> {
    let mut answer = Vec::new();
    // To whom it came from.
    answer.extend(&frame[6..12]);
    answer.extend(&frame[..6]);
    answer.extend(&frame[12..packet.l3]);
    match (packet.dst, packet.src) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            answer.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, HOPS, TCP, 0, 0]);
            answer.extend(from.octets());
            answer.extend(to.octets());
        }
        (from, to) => {
            answer.extend([0x60, 0, 0, 0, 0, 20, TCP, HOPS]);
            for ip in [from, to] {
                if let IpAddr::V6(ip) = ip {
                    answer.extend(ip.octets());
                }
            }
        }
    }
    answer.extend(packet.dst_port.to_be_bytes());
    answer.extend(packet.src_port.to_be_bytes());
    let (seq, ack, flags) = numbers(packet);
    answer.extend(seq.to_be_bytes());
    answer.extend(ack.to_be_bytes());
    answer.extend([0x50, flags]);
    // Window, checksum, urgent pointer.
    answer.extend([0; 6]);
    if let Ok(packet) = super::packet::read(&answer) {
        seal(&mut answer, &packet);
    }
    answer
}

/// "If the incoming segment has an ACK field, the reset takes its sequence number from the ACK field of the
/// segment; otherwise, the reset has sequence number zero and the ACK field is set to the sum of the sequence number
/// and segment length of the incoming segment."
fn numbers(packet: &Packet) -> (u32, u32, u8) {
    const RST: u8 = 4;
    const ACK: u8 = 16;
    if packet.tcp.acks {
        return (packet.tcp.ack, 0, RST);
    }
    let data = (packet.end - packet.l4).saturating_sub(packet.tcp.header);
    let length = data as u32 + u32::from(packet.tcp.syn) + u32::from(packet.tcp.fin);
    (0, packet.tcp.seq.wrapping_add(length), RST | ACK)
}
