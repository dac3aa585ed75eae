//! The tap as smoltcp's device: whole frames in and out, IP packets for smoltcp. Nothing is buffered here; a
//! frame that the kernel does not take is lost, as on any wire.

use crate::net::Tap;
use crate::net::tap::{GATEWAY_MAC, MTU};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::io;
use std::sync::Arc;

/// Whom frames come from; nothing but their being another's than the interface's own is of interest.
const CLIENT_MAC: [u8; 6] = [0x02, b'b', b'g', 0, 0, 2];

const HEADER: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// What is sent fits everywhere (RFC 8200 section 5), and so does what is asked for by TCP: nobody would
/// tell a probe by ICMP that it must do with less.
pub(super) const PACKET: usize = 1280;

/// The wire, and what it has come to in this turn.
#[derive(Debug)]
pub(super) struct Link {
    tap: Arc<Tap>,
    buffer: Box<[u8]>,
    /// There was nothing more to receive.
    pub(super) drained: bool,
    /// The interface is gone.
    pub(super) lost: Option<io::Error>,
}

impl Link {
    pub(super) fn new(tap: Tap) -> Self {
        let buffer = vec![0; HEADER + MTU as usize].into_boxed_slice();
        Self { tap: Arc::new(tap), buffer, drained: false, lost: None }
    }

    pub(super) fn tap(&self) -> &Arc<Tap> {
        &self.tap
    }
}

impl Device for Link {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let length = loop {
            match self.tap.receive(&mut self.buffer) {
                Ok(length) => break length,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    self.drained = true;
                    return None;
                }
                Err(why) => {
                    self.lost = Some(why);
                    return None;
                }
            }
        };
        let frame = self.buffer.get(..length).unwrap_or_default();
        Some((Received(packet(frame)), Sending(&self.tap)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&self.tap))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = PACKET;
        capabilities
    }
}

/// The IP packet in a frame; nothing, which smoltcp passes over, if there is none.
fn packet(frame: &[u8]) -> &[u8] {
    match frame.split_at_checked(HEADER) {
        Some((header, packet)) if header.ends_with(&IPV4) || header.ends_with(&IPV6) => packet,
        Some(_) | None => &[],
    }
}

/// One packet that has come in.
pub(super) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for one packet.
pub(super) struct Sending<'a>(&'a Tap);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let ethertype = if is_v6 { IPV6 } else { IPV4 };
        // Whether the interface is gone shows in receiving.
        let _ = self.0.send(&[&GATEWAY_MAC[..], &CLIENT_MAC, &ethertype, &packet].concat());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ip_packets_come_through() {
        let frame = |ethertype: [u8; 2], packet: &[u8]| [&[0; 12][..], &ethertype, packet].concat();
        let rows = [
            ("IPv4", frame(IPV4, b"packet"), &b"packet"[..]),
            ("IPv6", frame(IPV6, b"packet"), b"packet"),
            ("ARP", frame([0x08, 0x06], b"question"), b""),
            ("a header and no more", frame(IPV4, b""), b""),
            ("less than a header", vec![0x08; 13], b""),
            ("nothing", vec![], b""),
        ];
        for (what, frame, want) in rows {
            assert_eq!(packet(&frame), want, "{what}");
        }
    }
}
