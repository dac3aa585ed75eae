//! A client's conversation with a service, and the pin that keeps it on its backend.

use crate::clock::Began;
use crate::endpoint::{Tail, spread};
use crate::{Addr, Port, Proto, Tick};

/// Names a flow, the same for both directions. 24 bytes.
///
/// The service stands here instead of the frontend, because a reply tells only its backend, and that
/// tells only the service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct FlowKey {
    client: Addr,
    tail: Tail,
}

impl FlowKey {
    /// The flow of a client's address and port to a service.
    #[inline(always)]
    #[must_use]
    pub const fn new(client: Addr, port: Port, proto: Proto, service: u32) -> Self {
        Self { client, tail: Tail::new(port, proto, service) }
    }

    /// The flow of a client's address and port to a port of a whole address: unlike those of other services it is
    /// told apart by the port that the client asked for, because the slice has all of them.
    #[inline(always)]
    #[must_use]
    pub const fn whole(client: Addr, port: Port, proto: Proto, service: u32, asked: Port) -> Self {
        Self { client, tail: Tail::new(port, proto, service).and_other_port(asked) }
    }

    /// The port that the client asked for; 0 where the service has one port only.
    #[inline(always)]
    #[must_use]
    pub const fn asked(&self) -> Port {
        self.tail.other_port()
    }

    /// The client's address.
    #[inline(always)]
    #[must_use]
    pub const fn client(&self) -> Addr {
        self.client
    }

    /// The client's port.
    #[inline(always)]
    #[must_use]
    pub const fn port(&self) -> Port {
        self.tail.port()
    }

    /// The protocol.
    #[inline(always)]
    #[must_use]
    pub const fn proto(&self) -> Proto {
        self.tail.proto()
    }

    /// Index of the service.
    #[inline(always)]
    #[must_use]
    pub const fn service(&self) -> u32 {
        self.tail.service()
    }

    /// 64 bits that spread flows evenly, however alike they are.
    #[inline(always)]
    #[must_use]
    pub const fn hash(&self) -> u64 {
        spread(&self.client, self.tail)
    }
}

/// A pin. 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Flow {
    /// Index of the backend that serves the flow.
    pub backend: u32,
    /// Index of the frontend that the client used.
    pub frontend: u32,
    /// Half-open: when the flow began, until the backend answers. Afterwards: the last packet; of datagrams, the
    /// last that the backend has sent, or the client's first question since, as [`Flow::ASKED`] says.
    pub seen: Tick,
    /// [`Flow::state`] in the first byte as it lies in memory, [`Flow::began`] in the other three. One word,
    /// because what is copied byte by byte costs programs their stack.
    tail: u32,
}

impl Flow {
    /// The backend has spoken.
    pub const ANSWERED: u8 = 1 << 0;
    /// The client has sent FIN.
    pub const CLIENT_FIN: u8 = 1 << 1;
    /// The backend has sent FIN.
    pub const BACKEND_FIN: u8 = 1 << 2;
    /// Either has sent RST, and nothing followed.
    pub const RESET: u8 = 1 << 3;
    /// The client has come back, but FLOWS had no room: as good as established.
    pub const CONFIRMED: u8 = 1 << 4;
    /// It began with a TCP SYN.
    pub const HANDSHAKE: u8 = 1 << 5;
    /// Of datagrams, which begin with no SYN: the client has asked since the backend last spoke.
    pub const ASKED: u8 = 1 << 5;
    /// It was ended by its fate: each side gets a RST at its next packet, whatever the word says.
    pub const CUT: u8 = 1 << 6;
    /// A preview has led it to its colour: no switch changes where that leads, so no fate of one meets it.
    pub const PREVIEW: u8 = 1 << 7;

    /// How long an unanswered pin counts: a minute, in ticks.
    pub const HALF_OPEN_TICKS: u32 = Tick::in_seconds(60);

    /// How long a backend has been silent when the client's next datagram is a new question, in ticks: longer than
    /// programs remember what they decided, because they note no answer meanwhile.
    pub const PAUSE_TICKS: u32 = 2;

    /// Where the state bits lie in the entry: programs write them by themselves.
    pub const STATE_OFFSET: usize = core::mem::offset_of!(Self, tail);

    const BOTH_FIN: u8 = Self::CLIENT_FIN | Self::BACKEND_FIN;

    const OVER: u8 = Self::RESET | Self::CUT;

    /// A new pin of a flow that begins now.
    #[inline(always)]
    #[must_use]
    pub const fn new(backend: u32, frontend: u32, now: Tick) -> Self {
        Self { backend, frontend, seen: now, tail: tail(0, Began::at(now)) }
    }

    /// The same pin with these state bits.
    #[inline(always)]
    #[must_use]
    pub const fn with_state(self, state: u8) -> Self {
        Self { tail: tail(state, self.began()), ..self }
    }

    /// The same pin of a flow that began then.
    #[must_use]
    pub const fn with_began(self, began: Began) -> Self {
        Self { tail: tail(self.state(), began), ..self }
    }

    /// Bits of [`Flow::ANSWERED`] and its neighbours.
    #[inline(always)]
    #[must_use]
    pub const fn state(&self) -> u8 {
        if cfg!(target_endian = "little") { self.tail as u8 } else { (self.tail >> 24) as u8 }
    }

    /// When the flow began.
    #[inline(always)]
    #[must_use]
    pub const fn began(&self) -> Began {
        Began::from_bits(if cfg!(target_endian = "little") { self.tail >> 8 } else { self.tail })
    }

    /// Whether the backend has spoken.
    #[inline(always)]
    #[must_use]
    pub const fn answered(&self) -> bool {
        self.state() & Self::ANSWERED != 0
    }

    /// Whether it is established, although it is in HALF_OPEN.
    #[inline(always)]
    #[must_use]
    pub const fn confirmed(&self) -> bool {
        self.state() & Self::CONFIRMED != 0
    }

    /// Whether it began with a TCP SYN.
    #[inline(always)]
    #[must_use]
    pub const fn began_with_syn(&self) -> bool {
        self.state() & Self::HANDSHAKE != 0
    }

    /// Whether the client's last question is unanswered, of a flow of datagrams.
    #[inline(always)]
    #[must_use]
    pub const fn asked(&self) -> bool {
        self.state() & Self::ASKED != 0
    }

    /// Whether it was ended by its fate.
    #[inline(always)]
    #[must_use]
    pub const fn cut(&self) -> bool {
        self.state() & Self::CUT != 0
    }

    /// Whether a preview has led it to its colour.
    #[inline(always)]
    #[must_use]
    pub const fn is_preview(&self) -> bool {
        self.state() & Self::PREVIEW != 0
    }

    /// Whether the conversation is over: both sides have sent FIN, one has sent RST, or it was cut.
    #[inline(always)]
    #[must_use]
    pub const fn closed(&self) -> bool {
        self.state() & Self::OVER != 0 || self.state() & Self::BOTH_FIN == Self::BOTH_FIN
    }

    /// Whether one side has sent FIN and the other has not.
    #[must_use]
    pub const fn half_closed(&self) -> bool {
        !self.closed() && self.state() & Self::BOTH_FIN != 0
    }
}

#[inline(always)]
const fn tail(state: u8, began: Began) -> u32 {
    if cfg!(target_endian = "little") {
        began.bits() << 8 | state as u32
    } else {
        (state as u32) << 24 | began.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_lies_where_programs_write_it_and_leaves_the_beginning_alone() {
        let began = Began::at(Tick(0xfedc_ba98));
        let flow = Flow::new(1, 2, Tick(3)).with_began(began).with_state(0xa5);
        assert_eq!((flow.state(), flow.began()), (0xa5, began));
        assert_eq!(flow.with_state(0).began(), began);
        // SAFETY: four integers without padding.
        let bytes: [u8; 16] = unsafe { core::mem::transmute(flow) };
        assert_eq!(bytes[Flow::STATE_OFFSET], 0xa5);
    }
}
