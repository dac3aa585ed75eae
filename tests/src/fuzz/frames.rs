//! Frames to begin with, before they are spoilt.

use crate::model::sealed;
use std::net::IpAddr;

/// The address of the loopback interface, which test runs are on.
pub(super) const GATEWAY_MAC: [u8; 6] = [0; 6];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// What a packet is to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) src: (IpAddr, u16),
    pub(super) dst: (IpAddr, u16),
    /// 6 or 17.
    pub(super) proto: u8,
    pub(super) flags: u8,
    pub(super) numbers: [u32; 2],
    pub(super) hops: u8,
    /// Bytes of options behind a TCP header.
    pub(super) options: u8,
    pub(super) payload: Vec<u8>,
}

/// The frame, with right checksums.
pub(super) fn frame(wanted: &Wanted) -> Vec<u8> {
    let segment = segment(wanted);
    let mut frame = [GATEWAY_MAC, CLIENT_MAC].concat();
    match (wanted.src.0, wanted.dst.0) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((20 + segment.len() as u16).to_be_bytes());
            frame.extend([0x12, 0x34, 0x40, 0, wanted.hops, wanted.proto, 0, 0]);
            frame.extend(src.octets());
            frame.extend(dst.octets());
        }
        (src, dst) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            frame.extend([0x86, 0xdd, 0x60, 0x01, 0x23, 0x45]);
            frame.extend((segment.len() as u16).to_be_bytes());
            frame.extend([wanted.proto, wanted.hops]);
            frame.extend(octets(src));
            frame.extend(octets(dst));
        }
    }
    frame.extend(segment);
    sealed(frame)
}

fn segment(wanted: &Wanted) -> Vec<u8> {
    let mut segment = [wanted.src.1.to_be_bytes(), wanted.dst.1.to_be_bytes()].concat();
    if wanted.proto == 6 {
        let words = usize::from(wanted.options / 4);
        segment.extend(wanted.numbers.map(u32::to_be_bytes).concat());
        segment.extend([(5 + words as u8) << 4, wanted.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        segment.extend(std::iter::repeat_n(1, words * 4));
    } else {
        segment.extend((8 + wanted.payload.len() as u16).to_be_bytes());
        segment.extend([0, 0]);
    }
    segment.extend(&wanted.payload);
    segment
}
