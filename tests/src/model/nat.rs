//! Clients whose address is replaced on the link to the backend, and the way back.

use super::checksum::carry_over;
use super::packet::{Packet, Part, is_a_strangers, read};
use super::pins::Key;
use super::rewrite::write;
use super::tables::{Backend, Tables};
use super::way::is_inside;
use super::{Action, Input, Model, Program};
use bg_common::{Reason, Via};
use std::net::IpAddr;

/// A port of the gateway towards a backend, which stands for a flow: backend's number, port, protocol.
pub type Stead = (u32, u16, u8);

/// The first of the ports that stand for flows; the last is the last that there is.
const FIRST: u16 = 61_000;

/// Ports that are tried for a flow.
pub const TRIES: u16 = 16;

/// The ports that may stand for a flow without a port that it asked for, in the order in which they are tried.
#[must_use]
pub fn ports((client, port, proto, service, _): &Key) -> Vec<u16> {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let octets = match client {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let half = |at: usize| octets[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let name = u64::from(*service) << 32 | u64::from(*proto) << 16 | u64::from(port.swap_bytes());
    let mut mix = half(8) ^ half(0).rotate_left(23) ^ name.wrapping_mul(ODD);
    mix = mix.wrapping_mul(ODD);
    mix ^= mix >> 32;
    let high = mix.wrapping_mul(ODD) >> 32;
    let all = u64::from(u16::MAX - FIRST) + 1;
    let first = (high * all) >> 32;
    (0..u64::from(TRIES)).map(|nth| FIRST + ((first + nth) % all) as u16).collect()
}

/// Whether a packet has no more headers than it needs, and ports.
fn is_plain(packet: &Packet) -> bool {
    let header = if packet.is_v6() { 40 } else { 20 };
    packet.has_our_ports()
        && packet.part == Part::Whole
        && !packet.is_tagged()
        && packet.l4 == packet.l3 + header
}

/// The frame with the ends that `is` has.
fn replaced(frame: &[u8], packet: &Packet, is: &Packet) -> Vec<u8> {
    let mut after = frame.to_vec();
    write(&mut after, is);
    carry_over((frame, packet), (&mut after, is));
    after
}

type Done = Result<Option<(Action, Vec<u8>)>, Reason>;

impl Model {
    /// What the programs beside the link's own do. They count what they refuse, and nothing that is none of theirs.
    pub(super) fn beside(
        &mut self,
        program: Program,
        input: &Input<'_>,
    ) -> Result<(Action, Vec<u8>), Reason> {
        let read = if is_a_strangers(input.frame) { None } else { read(input.frame).ok() };
        let done = match read.filter(is_plain) {
            None => None,
            Some(packet) if program == Program::NatEgress => self.hide(&packet, input)?,
            Some(packet) => self.reveal(&packet, input)?,
        };
        Ok(done.unwrap_or_else(|| (Action::Pass, input.frame.to_vec())))
    }

    /// A packet leaves for a backend.
    fn hide(&mut self, packet: &Packet, input: &Input<'_>) -> Done {
        let at = (packet.dst, packet.dst_port, packet.proto);
        let Some((id, backend, (addr, prefix))) = self.tables.replaces_clients(&at) else { return Ok(None) };
        if packet.src == addr || !is_inside(packet.src, addr, prefix) {
            return Ok(None);
        }
        let key = (packet.src, packet.src_port, packet.proto, backend.service, 0);
        if self.tables.pin(&key).is_none_or(|(_, pin)| pin.backend != id) {
            return Ok(None);
        }
        let port = self.tables.stand_in(id, &key).ok_or(Reason::NatFull)?;
        let is = Packet { src: addr, src_port: port, ..*packet };
        Ok(Some((Action::Pass, replaced(input.frame, packet, &is))))
    }

    /// A packet comes from a backend, perhaps to a port that stands for a flow.
    fn reveal(&mut self, packet: &Packet, input: &Input<'_>) -> Done {
        let tables = &self.tables;
        let Some(id) = tables.backends_by_addr.get(&(packet.src, packet.src_port, packet.proto)).copied()
        else {
            return Ok(None);
        };
        let is_the_gateway = tables.sources.get(&id).is_some_and(|(addr, _)| *addr == packet.dst);
        let Some((dst, dst_port, ..)) =
            tables.hidden.get(&(id, packet.dst_port, packet.proto)).copied().filter(|_| is_the_gateway)
        else {
            return Ok(None);
        };
        let is = Packet { dst, dst_port, ..*packet };
        let frame = replaced(input.frame, packet, &is);
        if tables.backends.get(&id).is_none_or(|backend| backend.via == Via::Stack) {
            return Ok(Some((Action::Pass, frame)));
        }
        // As the link's own program would have done, had it known the client. What is refused stays as it came.
        let Some(to) = self.reply_of(&is, id, 0, input)? else {
            return Ok(Some((Action::Pass, frame)));
        };
        let left = self.leave(Program::NatIngress, &Input { frame: &frame, ..*input }, &is, &to);
        Ok(Some(left.unwrap_or_else(|reason| {
            self.reasons.push(reason);
            (Action::Pass, frame)
        })))
    }
}

impl Tables {
    /// The backend at an address for which clients are replaced, and by which network's address.
    fn replaces_clients(&self, at: &(IpAddr, u16, u8)) -> Option<(u32, Backend, (IpAddr, u32))> {
        let id = *self.backends_by_addr.get(at)?;
        Some((id, *self.backends.get(&id)?, *self.sources.get(&id)?))
    }

    /// The port that stands for a flow: its own, else the first of its ports that is free, if there is room.
    fn stand_in(&mut self, backend: u32, key: &Key) -> Option<u16> {
        let ports = ports(key);
        let at = |port: &u16| (backend, *port, key.2);
        if let Some(own) = ports.iter().find(|port| self.hidden.get(&at(port)) == Some(key)) {
            return Some(*own);
        }
        let free = *ports.iter().find(|port| !self.hidden.contains_key(&at(port)))?;
        if self.hidden.len() >= self.nat_room {
            return None;
        }
        self.hidden.insert(at(&free), *key);
        Some(free)
    }
}
