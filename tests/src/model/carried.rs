//! What may become of a frame, whoever decides on it: other addresses, ports and hops, and the checksums that go with
//! them; or the answer to it.

use super::packet::{Packet, read};
use super::{answer, checksum, icmp, rewrite};

/// The frame `before` with the addresses, ports and hops of `after`, and checksums that are as right or wrong as they were:
/// what `after` is, if nothing else of it has been changed. None if either carries no packet.
#[must_use]
pub fn carried(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let (was, is) = (read(before).ok()?, read(after).ok()?);
    if was.is_v6() != is.is_v6() {
        return None;
    }
    if was.error {
        return icmp::carried(before, &was, after, &is);
    }
    let is = Packet { src_port: is.src_port, dst_port: is.dst_port, ..was.with_ends_of(&is) };
    let mut frame = before.to_vec();
    rewrite::write(&mut frame, &is);
    checksum::carry_over((before, &was), (&mut frame, &is));
    Some(frame)
}

/// The RST that answers a frame; none if that carries no segment which gets one.
#[must_use]
pub fn answered(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = read(frame).ok()?;
    Some(answer::reset(frame, &packet))
}

impl Packet {
    /// The same packet between the addresses of another, with as many hops to go.
    pub(super) const fn with_ends_of(&self, other: &Self) -> Self {
        Self { src: other.src, dst: other.dst, hops: other.hops, ..*self }
    }
}
