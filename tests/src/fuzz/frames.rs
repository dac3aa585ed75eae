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

/// What a frame has besides.
#[derive(Clone, Debug, Default)]
pub(super) struct Dress {
    /// VLAN tags.
    pub(super) tags: usize,
    /// Words of IPv4 options.
    pub(super) options: usize,
    /// IPv6 extension headers: kind, length as it says, stations that are left.
    pub(super) extensions: Vec<(u8, u8, u8)>,
    /// Of a fragment: its datagram, the offset in units of eight bytes, whether more follow.
    pub(super) fragment: Option<(u32, u16, bool)>,
}

/// The frame, with right checksums.
pub(super) fn frame(wanted: &Wanted) -> Vec<u8> {
    dressed(wanted, &Dress::default())
}

/// The frame with more headers.
pub(super) fn dressed(wanted: &Wanted, dress: &Dress) -> Vec<u8> {
    let segment = segment(wanted);
    let mut frame = [GATEWAY_MAC, CLIENT_MAC].concat();
    for tag in 0..dress.tags {
        frame.extend([if tag == 0 { [0x88, 0xa8] } else { [0x81, 0x00] }, [0, 7]].concat());
    }
    match (wanted.src.0, wanted.dst.0) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let words = 5 + dress.options.min(10);
            frame.extend([0x08, 0x00, 0x40 | words as u8, 0]);
            frame.extend(((words * 4 + segment.len()) as u16).to_be_bytes());
            let (id, offset, more) = dress.fragment.unwrap_or((0x1234, 0, false));
            frame.extend((id as u16).to_be_bytes());
            frame.extend((offset | if more { 0x2000 } else { 0 }).to_be_bytes());
            frame.extend([wanted.hops, wanted.proto, 0, 0]);
            frame.extend(src.octets());
            frame.extend(dst.octets());
            frame.extend(std::iter::repeat_n(1, words * 4 - 20));
        }
        (src, dst) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let (first, extensions) = extensions(wanted, dress);
            frame.extend([0x86, 0xdd, 0x60, 0x01, 0x23, 0x45]);
            frame.extend(((extensions.len() + segment.len()) as u16).to_be_bytes());
            frame.extend([first, wanted.hops]);
            frame.extend(octets(src));
            frame.extend(octets(dst));
            frame.extend(extensions);
        }
    }
    frame.extend(segment);
    sealed(frame)
}

/// The kind of the first extension header, and all of them.
fn extensions(wanted: &Wanted, dress: &Dress) -> (u8, Vec<u8>) {
    let mut kinds: Vec<_> = dress.extensions.iter().map(|(kind, ..)| *kind).collect();
    kinds.extend(dress.fragment.map(|_| 44));
    kinds.push(wanted.proto);
    let mut bytes = Vec::new();
    for ((kind, units, left), next) in dress.extensions.iter().zip(kinds.iter().skip(1)) {
        let size = if *kind == 51 { (usize::from(*units) + 2) * 4 } else { (usize::from(*units) + 1) * 8 };
        let mut header = vec![*next, *units, 0, *left, 0, 0, 0, 0];
        header.resize(size, 0);
        bytes.extend(header);
    }
    if let Some((id, offset, more)) = dress.fragment {
        bytes.extend([wanted.proto, 0]);
        bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
        bytes.extend(id.to_be_bytes());
    }
    (kinds.first().copied().unwrap_or(wanted.proto), bytes)
}

fn segment(wanted: &Wanted) -> Vec<u8> {
    let mut segment = [wanted.src.1.to_be_bytes(), wanted.dst.1.to_be_bytes()].concat();
    if wanted.proto == 6 {
        let words = usize::from(wanted.options / 4);
        segment.extend(wanted.numbers.map(u32::to_be_bytes).concat());
        segment.extend([(5 + words as u8) << 4, wanted.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        segment.extend(std::iter::repeat_n(1, words * 4));
    } else if matches!(wanted.proto, 1 | 58) {
        // The ports are type, code and checksum.
        segment.extend((wanted.numbers[0] as u16).to_be_bytes());
        segment.extend((wanted.numbers[1] as u16).to_be_bytes());
    } else {
        segment.extend((8 + wanted.payload.len() as u16).to_be_bytes());
        segment.extend([0, 0]);
    }
    segment.extend(&wanted.payload);
    segment
}
