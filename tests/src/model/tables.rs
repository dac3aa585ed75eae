//! What is configured, what is pinned and what is counted, in hash maps.

use super::fragments::{Datagram, Went};
use super::nat::Stead;
use super::pins::{Key, Place};
use bg_common::{Aim, Colour, Fate, PinnedFlows, Reason, Via};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// What a virtual address, port and protocol lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frontend {
    /// The service's number.
    pub service: u32,
    /// Its own number.
    pub id: u32,
    /// Where it leads.
    pub aim: Aim,
}

/// Protocol 255 and port 0 name all of an address.
pub const WHOLE: (u16, u8) = (0, 255);

/// A service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Service {
    /// Its deployment's number.
    pub deployment: u32,
    /// Whether a connection that nobody can serve is refused.
    pub refuses: bool,
    /// Whether all flows of a client go to one backend.
    pub by_client: bool,
    /// Whether the canary takes whole clients.
    pub canary_by_client: bool,
    /// Backends by colour and whether they are of IPv6.
    pub rings: HashMap<(Colour, bool), Vec<u32>>,
}

/// One address and port of a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub proto: u8,
    /// The service's number.
    pub service: u32,
    /// The deployment's number.
    pub deployment: u32,
    /// Its slice's colour.
    pub colour: Colour,
    /// How it is reached.
    pub via: Via,
    /// Over which interface.
    pub ifindex: u32,
    /// Whether it is down, and what its flows meet.
    pub down: Option<PinnedFlows>,
    /// What its flows meet while its colour drains, where the word lets flows stay.
    pub on_switch: Fate,
}

/// A deployment's word, as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word(pub u64);

/// A word at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Says {
    pub(super) live: Colour,
    pub(super) draining: bool,
    pub(super) paused: bool,
    pub(super) fate: Fate,
    /// Whether there are preview rules.
    pub(super) previews: bool,
    /// Thousandths of new flows that go to the colour that is not live.
    pub(super) canary: u64,
    pub(super) generation: u64,
}

impl Word {
    const fn bit(self, number: u32) -> bool {
        self.0 >> number & 1 == 1
    }

    /// What it says at `now`: past its deadline a switch goes back and a pause ends.
    pub(super) fn at(self, now: u32) -> Says {
        let deadline = (self.0 >> 32) as u32;
        let past = deadline != 0 && now >= deadline;
        let back = past && self.bit(6);
        let resumed = past && self.bit(7);
        let green = self.bit(0) != back;
        Says {
            live: if green { Colour::Green } else { Colour::Blue },
            draining: self.bit(1) || back,
            paused: self.bit(2) && !resumed,
            fate: match self.0 >> 4 & 3 {
                1 => Fate::Reset,
                2 => Fate::Move,
                _ => Fate::Keep,
            },
            previews: self.bit(3),
            canary: if back { 0 } else { self.0 >> 8 & 0x3ff },
            generation: self.0 >> 18 & 0x3fff,
        }
    }
}

/// A flow's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The backend's number.
    pub backend: u32,
    /// The frontend's number.
    pub frontend: u32,
    /// Bits of [`state`](super::state).
    pub state: u8,
    /// Tick of the last packet; of the first, until the backend answers.
    pub seen: u32,
    /// Tick of the first.
    pub began: u32,
}

/// Two moments in nanoseconds between which something happened.
pub type Span = (u64, u64);

/// What a slice carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slice {
    /// Packets to it and from it.
    pub packets: [u64; 2],
    /// Bytes to it and from it.
    pub bytes: [u64; 2],
    /// Flows that it was given, and those that began with a SYN.
    pub flows: [u64; 2],
    /// Of both, how many it answered.
    pub answered: [u64; 2],
    /// RSTs from it, and those that were the first answer to a SYN.
    pub resets: [u64; 2],
    /// When its newest flow began, the first one of the generation, and the generation.
    pub newest: Option<(Span, Span, u64)>,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Address, port and protocol → frontend.
    pub frontends: HashMap<(IpAddr, u16, u8), Frontend>,
    /// Frontend's number → address, port and protocol.
    pub frontend_addrs: HashMap<u32, (IpAddr, u16, u8)>,
    /// Number → service.
    pub services: HashMap<u32, Service>,
    /// Number → backend.
    pub backends: BTreeMap<u32, Backend>,
    /// Address, port and protocol → backend's number. It stays when the backend is gone.
    pub backends_by_addr: HashMap<(IpAddr, u16, u8), u32>,
    /// Deployment's number, network and its prefix length → where its clients are led.
    pub previews: BTreeMap<(u32, IpAddr, u32), Aim>,
    /// Deployment's number → word.
    pub words: BTreeMap<u32, Word>,
    /// Pins of flows whose client came back after the answer.
    pub established: HashMap<Key, Pin>,
    /// All others.
    pub half_open: HashMap<Key, Pin>,
    /// Entries that fit into the two.
    pub room: [usize; 2],
    /// Addresses that clients send to, of which the gateway keeps what nobody else has.
    pub vips: Vec<IpAddr>,
    /// Where first fragments went, and when.
    pub fragments: HashMap<Datagram, (Went, u32)>,
    /// Datagrams that can be remembered.
    pub fragment_room: usize,
    /// Backend's number → the gateway's address that clients get, and bits of the network whose clients do.
    pub sources: BTreeMap<u32, (IpAddr, u32)>,
    /// Flows that a port of the gateway stands for.
    pub hidden: BTreeMap<Stead, Key>,
    /// How many there can be.
    pub nat_room: usize,
    /// What slices carry.
    pub slices: HashMap<(u32, Colour), Slice>,
    /// How often each reason was counted.
    pub counted: HashMap<Reason, u64>,
    /// Flows that were looked up for the last packet.
    pub touched: Vec<Key>,
    /// Datagrams that were remembered for it.
    pub fragments_touched: Vec<Datagram>,
}

impl Tables {
    /// The pins in one of the tables.
    #[must_use]
    pub const fn of(&self, place: Place) -> &HashMap<Key, Pin> {
        match place {
            Place::Established => &self.established,
            Place::HalfOpen => &self.half_open,
        }
    }

    /// The same, to be changed.
    pub const fn of_mut(&mut self, place: Place) -> &mut HashMap<Key, Pin> {
        match place {
            Place::Established => &mut self.established,
            Place::HalfOpen => &mut self.half_open,
        }
    }
}
