//! Reads network headers, with options and extension headers.

use super::packet::bytes;
use bg_common::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Extension headers that are read.
const MOST: usize = 8;
/// Offset of a transport header beyond which none is looked for.
const FARTHEST: usize = 512;

/// What a network header says.
pub(super) struct Network {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) proto: u8,
    pub(super) hops: u8,
    pub(super) l4: usize,
    pub(super) end: usize,
    /// Of a fragment, in bytes.
    pub(super) offset: usize,
    pub(super) more: bool,
    pub(super) id: u32,
}

/// Reads a network header; of a packet that is quoted, its length does not count.
pub(super) fn network(frame: &[u8], kind: u16, l3: usize, quoted: bool) -> Result<Network, Reason> {
    match kind {
        0x0800 => ipv4(frame, l3, quoted),
        0x86dd => ipv6(frame, l3),
        _ => Err(Reason::NotIp),
    }
}

/// RFC 791, section 3.1.
fn ipv4(frame: &[u8], l3: usize, quoted: bool) -> Result<Network, Reason> {
    let header: [u8; 20] = bytes(frame, l3).ok_or(Reason::Truncated)?;
    let length = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || length < 20 || (total < length && !quoted) {
        return Err(Reason::Truncated);
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = header;
    Ok(Network {
        src: Ipv4Addr::new(s0, s1, s2, s3).into(),
        dst: Ipv4Addr::new(d0, d1, d2, d3).into(),
        proto: header[9],
        hops: header[8],
        l4: l3 + length,
        end: l3 + total,
        offset: usize::from(u16::from_be_bytes([header[6] & 0x1f, header[7]])) * 8,
        more: header[6] & 0x20 != 0,
        id: u32::from(u16::from_be_bytes([header[4], header[5]])),
    })
}

/// RFC 8200, section 3.
fn ipv6(frame: &[u8], l3: usize) -> Result<Network, Reason> {
    let header: [u8; 40] = bytes(frame, l3).ok_or(Reason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::Truncated);
    }
    let address = |at| bytes::<16>(&header, at).map(Ipv6Addr::from).ok_or(Reason::Truncated);
    let (src, dst) = (address(8)?, address(24)?);
    if src.to_ipv4_mapped().is_some() || dst.to_ipv4_mapped().is_some() {
        return Err(Reason::MappedAddress);
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut network = Network {
        src: src.into(),
        dst: dst.into(),
        proto: header[6],
        hops: header[7],
        l4: l3 + 40,
        end: l3 + 40 + length,
        offset: 0,
        more: false,
        id: 0,
    };
    extensions(frame, &mut network)?;
    Ok(network)
}

/// RFC 8200, section 4: hop-by-hop, routing, fragment, authentication, destination options.
fn extensions(frame: &[u8], network: &mut Network) -> Result<(), Reason> {
    let mut fragmented = false;
    for _ in 0..MOST {
        let [next, length, second, third, id @ ..] = match network.proto {
            0 | 43 | 44 | 51 | 60 => bytes::<8>(frame, network.l4).ok_or(Reason::Truncated)?,
            _ => return Ok(()),
        };
        let units = usize::from(length);
        let size = match network.proto {
            // There are stations that it has not been to.
            43 if third != 0 => return Err(Reason::SourceRoute),
            44 => 8,
            51 => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        if network.proto == 44 && !fragmented {
            network.offset = usize::from(u16::from_be_bytes([second, third]) & !7);
            network.more = third & 1 != 0;
            network.id = u32::from_be_bytes(id);
            // One that is all of its datagram is none (RFC 6946).
            fragmented = network.offset != 0 || network.more;
        }
        network.proto = next;
        network.l4 += size;
        if network.offset != 0 {
            // What follows is not the beginning of anything.
            return Ok(());
        }
        if network.l4 > FARTHEST {
            return Err(Reason::ExtensionHeader);
        }
    }
    if [0, 43, 44, 51, 60].contains(&network.proto) { Err(Reason::ExtensionHeader) } else { Ok(()) }
}
