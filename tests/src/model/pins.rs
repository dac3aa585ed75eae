//! What is remembered of flows.

use super::tables::{Pin, Tables};
use std::net::IpAddr;

/// Names a flow: client, its port, protocol, service; and of a service with all ports, the one that was asked for.
pub type Key = (IpAddr, u16, u8, u32, u16);

/// Which of the two tables a pin is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Place {
    /// FLOWS.
    Established,
    /// HALF_OPEN.
    HalfOpen,
}

impl Place {
    /// Both, in the order in which they are looked at.
    pub const BOTH: [Self; 2] = [Self::Established, Self::HalfOpen];
}

/// Bits of a pin's state.
pub mod state {
    /// The backend has spoken.
    pub const ANSWERED: u8 = 0x01;
    /// The client has sent FIN.
    pub const CLIENT_FIN: u8 = 0x02;
    /// The backend has sent FIN.
    pub const BACKEND_FIN: u8 = 0x04;
    /// RST was the last packet.
    pub const RESET: u8 = 0x08;
    /// Established, but there was no room.
    pub const CONFIRMED: u8 = 0x10;
    /// It began with a SYN.
    pub const HANDSHAKE: u8 = 0x20;
    /// Of datagrams: asked since the backend last spoke.
    pub const ASKED: u8 = 0x20;
    /// Ended by its fate.
    pub const CUT: u8 = 0x40;
    /// A preview has led it to its colour.
    pub const PREVIEW: u8 = 0x80;
}

/// A minute in ticks of 2^27 ns.
const MINUTE: u32 = ((60 * 1_000_000_000_u64) >> 27) as u32;

impl Pin {
    /// Whether these bits are all set.
    #[must_use]
    pub const fn has(&self, bits: u8) -> bool {
        self.state & bits == bits
    }

    /// Whether the conversation has ended.
    pub(super) const fn is_over(&self) -> bool {
        self.has(state::RESET) || self.has(state::CUT) || self.has(state::CLIENT_FIN | state::BACKEND_FIN)
    }

    /// Whether nobody has answered for a minute.
    pub(super) const fn is_stale(&self, now: u32) -> bool {
        now.saturating_sub(self.seen) >= MINUTE
    }

    /// Whether the backend has said nothing for a moment, so that the client's next datagram is a new question.
    pub(super) const fn is_quiet(&self, now: u32) -> bool {
        now.saturating_sub(self.seen) >= 2
    }

    /// Notes a packet of one side. Any packet takes an earlier RST back.
    pub(super) fn note(&mut self, rst: bool, fin: bool, whose: u8, now: u32) {
        self.seen = now;
        if rst {
            self.state |= state::RESET;
            return;
        }
        self.state &= !state::RESET;
        if fin {
            self.state |= whose;
        }
    }
}

impl Tables {
    /// The pin of a flow, and where it is.
    pub(super) fn pin(&mut self, key: &Key) -> Option<(Place, Pin)> {
        if !self.touched.contains(key) {
            self.touched.push(*key);
        }
        Place::BOTH.into_iter().find_map(|place| Some((place, *self.of(place).get(key)?)))
    }

    /// Writes a pin that is there.
    pub(super) fn write(&mut self, place: Place, key: &Key, pin: Pin) {
        self.of_mut(place).insert(*key, pin);
    }

    /// Adds a pin; no when the table is full.
    pub(super) fn add(&mut self, place: Place, key: &Key, pin: Pin) -> bool {
        let room = self.room[usize::from(place == Place::HalfOpen)];
        let table = self.of_mut(place);
        if table.len() >= room {
            return false;
        }
        table.insert(*key, pin);
        true
    }
}
