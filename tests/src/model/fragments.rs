//! Later fragments go where the first one went, which alone has ports.

use super::decide::Decided;
use super::packet::{Packet, Part};
use super::rewrite::To;
use super::{Input, Model};
use bg_common::Reason;
use std::net::IpAddr;

/// Names a datagram: source, destination, protocol, the sender's count. IPv6 counts for all protocols together.
pub type Datagram = (IpAddr, IpAddr, u8, u32);

/// Half a minute in ticks of 2^27 ns.
const HALF_A_MINUTE: u32 = ((30 * 1_000_000_000_u64) >> 27) as u32;

/// Where the first fragment went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Went {
    /// To this backend.
    Slice(u32),
    /// From this backend to the client of this frontend.
    Client(u32, u32),
    /// To the gateway itself, whose address it was sent to.
    Own,
}

fn name(packet: &Packet) -> Datagram {
    let proto = if packet.is_v6() { 0 } else { packet.proto };
    (packet.src, packet.dst, proto, packet.id)
}

impl Model {
    /// Remembers where a first fragment goes.
    pub(super) fn remember(&mut self, packet: &Packet, went: Went, now: u32) {
        if packet.part != Part::First {
            return;
        }
        let name = name(packet);
        self.tables.fragments_touched.push(name);
        if self.tables.fragments.len() >= self.tables.fragment_room
            && !self.tables.fragments.contains_key(&name)
        {
            self.reasons.push(Reason::FragmentsFull);
            return;
        }
        self.tables.fragments.insert(name, (went, now));
    }

    /// Where the first fragment went, if that was not long ago.
    pub(super) fn recall(&self, packet: &Packet, now: u32) -> Option<Went> {
        let (went, seen) = *self.tables.fragments.get(&name(packet))?;
        (now.saturating_sub(seen) < HALF_A_MINUTE).then_some(went)
    }

    /// Sends a later fragment to a backend.
    pub(super) fn after_first(&mut self, backend: u32, input: &Input<'_>) -> Decided {
        let backend = self.backend(backend)?;
        let slice = self.tables.slices.entry((backend.deployment, backend.colour)).or_default();
        slice.packets[0] += input.packets();
        slice.bytes[0] += input.frame.len() as u64;
        Ok(Some(To::Slice(backend)))
    }

    /// Sends a later fragment of a reply to the client.
    pub(super) fn after_first_reply(&mut self, backend: u32, frontend: u32, input: &Input<'_>) -> Decided {
        let backend = self.backend(backend)?;
        let at = *self.tables.frontend_addrs.get(&frontend).ok_or(Reason::BrokenTable)?;
        let slice = self.tables.slices.entry((backend.deployment, backend.colour)).or_default();
        slice.packets[1] += input.packets();
        slice.bytes[1] += input.frame.len() as u64;
        Ok(Some(To::Client(at)))
    }
}
