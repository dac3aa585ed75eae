//! Checksums from scratch (RFC 1071): nothing is updated, everything is added up.
//!
//! A packet may come with a checksum that is wrong. Whoever translates it must not hide that: the sum over all that
//! the checksum covers is wrong by the same amount afterwards.

use super::packet::{ICMP, ICMP6, Packet, header_of};
use std::net::IpAddr;

/// The sum of 16-bit words, as a number below 65,535: 0 over data whose checksum is right.
fn residue(parts: &[&[u8]]) -> u32 {
    let mut sum = 0_u64;
    for part in parts {
        let (pairs, odd) = part.as_chunks::<2>();
        for pair in pairs {
            sum += u64::from(u16::from_be_bytes(*pair));
        }
        // An odd byte at the end counts as the high one.
        sum += odd.first().map_or(0, |byte| u64::from(*byte) << 8);
    }
    (sum % 0xffff) as u32
}

/// What a transport checksum covers besides the segment (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub(super) fn pseudo_header(src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Vec<u8> {
    let mut pseudo = Vec::with_capacity(40);
    for ip in [src, dst] {
        match ip {
            IpAddr::V4(ip) => pseudo.extend(ip.octets()),
            IpAddr::V6(ip) => pseudo.extend(ip.octets()),
        }
    }
    pseudo.extend((len as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, proto]);
    pseudo
}

/// The sum over all that a packet's transport checksum covers, and itself.
fn transport_residue(frame: &[u8], packet: &Packet) -> u32 {
    let segment = &frame[packet.l4..packet.end];
    let pseudo = pseudo_header(packet.src, packet.dst, packet.proto, segment.len());
    residue(&[&pseudo, segment])
}

/// The sum over an IPv4 header.
fn header_residue(frame: &[u8], packet: &Packet) -> u32 {
    residue(&[&frame[packet.l3..packet.l4]])
}

fn set(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn get(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// The checksum that makes a sum `wanted` of one which is `without`.
const fn checksum(wanted: u32, without: u32) -> u16 {
    ((wanted + 0xffff - without) % 0xffff) as u16
}

/// Gives `after`, which is `before` with other addresses, ports or hops, the checksums that keep what was right
/// right, and what was wrong as wrong as it was.
pub(super) fn carry_over(before: (&[u8], &Packet), after: (&mut [u8], &Packet)) {
    let ((before, was), (after, is)) = (before, after);
    if !is.is_v6() {
        let wanted = header_residue(before, was);
        set(after, is.l3 + 10, 0);
        let sum = checksum(wanted, header_residue(after, is));
        set(after, is.l3 + 10, sum);
    }
    let Some(at) = is.checksum() else { return };
    // RFC 768: there is no checksum.
    if is.may_lack_checksum() && get(before, at) == 0 {
        return;
    }
    let wanted = transport_residue(before, was);
    set(after, at, 0);
    let sum = checksum(wanted, transport_residue(after, is));
    // RFC 768: a checksum of zero is sent as all ones.
    set(after, at, if is.may_lack_checksum() && sum == 0 { 0xffff } else { sum });
}

/// The sum over some bytes, and over the addresses of a pseudo-header, whose other parts do not change.
pub(super) fn residue_of(addresses: Option<(IpAddr, IpAddr)>, bytes: &[u8]) -> u32 {
    let pseudo = addresses.map(|(src, dst)| pseudo_header(src, dst, 0, 0)).unwrap_or_default();
    residue(&[&pseudo, bytes])
}

/// Writes the checksum at `at` with which the sum over `range` is `wanted`.
pub(super) fn set_checksum(
    frame: &mut [u8],
    at: usize,
    wanted: u32,
    addresses: Option<(IpAddr, IpAddr)>,
    range: std::ops::Range<usize>,
    never_zero: bool,
) {
    set(frame, at, 0);
    let sum = checksum(wanted, residue_of(addresses, &frame[range]));
    set(frame, at, if never_zero && sum == 0 { 0xffff } else { sum });
}

/// Fills in both checksums of a frame, as its sender does.
pub(super) fn seal(frame: &mut [u8], packet: &Packet) {
    if !packet.is_v6() {
        set(frame, packet.l3 + 10, 0);
        let sum = checksum(0, header_residue(frame, packet));
        set(frame, packet.l3 + 10, sum);
    }
    let Some(at) = packet.checksum() else { return };
    set(frame, at, 0);
    let sum = checksum(0, transport_residue(frame, packet));
    set(frame, at, if packet.may_lack_checksum() && sum == 0 { 0xffff } else { sum });
}

/// The frame with right checksums; as it is when it carries no packet with ports.
#[must_use]
pub fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    if let Ok(packet) = super::packet::read(&frame) {
        seal(&mut frame, &packet);
    }
    frame
}

/// Whether two frames are the same, but that a checksum which is zero may be written in both of its ways, where
/// the standards allow both.
pub(super) fn same(want: &[u8], got: &[u8]) -> bool {
    if want == got {
        return true;
    }
    let (Ok(packet), true) = (super::packet::read(want), want.len() == got.len()) else { return false };
    let mut fields = Vec::new();
    if !packet.is_v6() {
        fields.push(packet.l3 + 10);
    }
    fields.extend(packet.checksum().filter(|_| !packet.may_lack_checksum()));
    if packet.error {
        fields.extend(super::icmp::fields(want, &packet));
    }
    let mut got = got.to_vec();
    for at in fields {
        if get(want, at) == 0 && get(&got, at) == 0xffff {
            set(&mut got, at, 0);
        }
    }
    want == got
}

/// Whether a frame is what the model says that it is.
///
/// `before` is the frame as it came in. Only where that had the other zero in a checksum, which no sender writes, or
/// a wrong one, may the outcome have it.
#[must_use]
pub fn verifies(before: &[u8], want: &[u8], got: &[u8]) -> bool {
    if want == got {
        return true;
    }
    let Ok(packet) = super::packet::read(before) else { return false };
    let mut canonical = before.to_vec();
    seal(&mut canonical, &packet);
    // What is quoted is not all of its packet, whose checksum cannot be judged.
    (packet.error || canonical != before) && same(want, got)
}

/// The frame on its way back: addresses and ports of both ends are exchanged, which no checksum notices, and a
/// request for an echo becomes the echo.
#[must_use]
pub fn mirrored(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = super::packet::read(frame).ok()?;
    let mut back = frame.to_vec();
    let (first, len) = if packet.is_v6() { (packet.l3 + 8, 16) } else { (packet.l3 + 12, 4) };
    let has_ports = header_of(packet.proto) > 0 && packet.has_header();
    let ports = (packet.l4, if has_ports { 2 } else { 0 });
    for (at, len) in [(first, len), ports] {
        back[at..at + len].copy_from_slice(&frame[at + len..at + 2 * len]);
        back[at + len..at + 2 * len].copy_from_slice(&frame[at..at + len]);
    }
    let reply = match (packet.proto, frame.get(packet.l4)) {
        (ICMP, Some(8)) => 0,
        (ICMP6, Some(128)) => 129,
        _ => return Some(back),
    };
    let message = packet.l4..packet.end;
    // What is added besides is the same before and after.
    let wanted = residue_of(None, &back[message.clone()]);
    back[packet.l4] = reply;
    set_checksum(&mut back, packet.l4 + 2, wanted, None, message, false);
    Some(back)
}

#[cfg(test)]
mod tests {
    use super::verifies;
    use crate::packet::{self, flag};

    #[test]
    fn what_differs_in_an_error_is_told_however_little_it_quotes() {
        let (client, vip) = ("192.0.2.1:4000".parse().unwrap(), "198.51.100.1:80".parse().unwrap());
        let about = packet::tcp(client, vip, flag::ACK, b"");
        for quoted in [20, 28, 36, 37, 38, 40] {
            let (router, kind) = ([172, 16, 0, 1].into(), (3, 1, [0; 4]));
            let want = packet::icmp_error(router, client.ip(), kind, &about[14..14 + quoted]);
            let mut got = want.clone();
            assert!(verifies(&want, &want, &got));
            let last = got.len() - 1;
            got[last] ^= 1;
            assert!(!verifies(&want, &want, &got), "{quoted} bytes are quoted");
        }
    }
}
