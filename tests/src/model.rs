//! The reference model: what the programs are to do with a packet, said again in the plainest way.
//!
//! It shares no code with the programs. Packets are structures, tables are hash maps, and every checksum is
//! computed from scratch. It is slow, and meant to be read beside the design and not beside the programs.

#![expect(clippy::indexing_slicing, reason = "a model that is wrong shall end the test that uses it")]

mod answer;
mod carried;
mod checksum;
mod decide;
mod fragments;
mod headers;
mod icmp;
mod nat;
mod packet;
mod pins;
mod rewrite;
mod tables;
mod way;

use bg_common::{Reason, Verdict};

pub use carried::{answered, carried};
pub use checksum::{mirrored, sealed, verifies};
pub use fragments::{Datagram, Went};
pub use nat::{Stead, TRIES, ports};
pub use packet::Packet;
pub use pins::{Key, Place, state};
pub use tables::{Backend, Frontend, Pin, Service, Slice, Span, Tables, WHOLE, Word};
pub use way::Routes;

/// A program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Program {
    /// XDP on an uplink.
    Xdp,
    /// tc ingress of an uplink.
    Ingress,
    /// tc ingress of a zone link, where replies are redirected.
    Zone,
    /// tc egress.
    Egress,
    /// tc egress of a link to backends for which clients are replaced.
    NatEgress,
    /// tc ingress of such a link, behind the zone's.
    NatIngress,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Xdp, Self::Ingress, Self::Zone, Self::Egress, Self::NatEgress, Self::NatIngress];

    /// Whether it works on socket buffers.
    #[must_use]
    pub const fn is_tc(self) -> bool {
        !matches!(self, Self::Xdp)
    }
}

/// A packet as a program meets it.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The frame from its Ethernet header on.
    pub frame: &'a [u8],
    /// Packets that it stands for, and the bytes of each one's payload; 0 when it is one packet.
    pub segments: (u16, u16),
    /// The tick of the clock.
    pub now: u32,
    /// The nanoseconds between which the programs read the finer clock.
    pub span: Span,
}

impl Input<'_> {
    /// How many packets it stands for.
    pub(crate) const fn packets(&self) -> u64 {
        if self.segments.0 == 0 { 1 } else { self.segments.0 as u64 }
    }
}

/// What the kernel does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The packet goes on: to the stack, or out.
    Pass,
    /// It ends here.
    Drop,
    /// It leaves by another way than it was going.
    Redirect,
}

/// What a packet comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// What the kernel does next.
    pub action: Action,
    /// The frame afterwards; what is dropped has none.
    pub frame: Option<Vec<u8>>,
    /// Why, as often as it is counted, in the order of the numbers.
    pub reasons: Vec<Reason>,
}

/// The model, and what it remembers.
#[derive(Clone, Debug)]
pub struct Model {
    /// What is configured, and the pins.
    pub tables: Tables,
    /// Where the gateway's routes lead.
    pub routes: Routes,
    /// Reasons that were counted for the packet that is being looked at.
    reasons: Vec<Reason>,
}

impl Model {
    /// A model of these tables.
    #[must_use]
    pub fn new(tables: Tables, routes: Routes) -> Self {
        Self { tables, routes, reasons: Vec::new() }
    }

    /// What `program` does with a packet.
    pub fn run(&mut self, program: Program, input: &Input<'_>) -> Output {
        self.reasons.clear();
        self.tables.touched.clear();
        self.tables.fragments_touched.clear();
        let (action, frame) = match self.handle(program, input) {
            Ok((action, frame)) => (action, Some(frame)),
            Err(reason) => {
                self.reasons.push(reason);
                match reason.verdict() {
                    Verdict::Pass | Verdict::Forward => (Action::Pass, Some(input.frame.to_vec())),
                    Verdict::Drop => (Action::Drop, None),
                    Verdict::Answer => self.answered(input.frame),
                }
            }
        };
        let mut reasons = std::mem::take(&mut self.reasons);
        reasons.sort_by_key(|reason| reason.index());
        for reason in &reasons {
            *self.tables.counted.entry(*reason).or_default() += 1;
        }
        Output { action, frame, reasons }
    }

    fn handle(&mut self, program: Program, input: &Input<'_>) -> Result<(Action, Vec<u8>), Reason> {
        if matches!(program, Program::NatEgress | Program::NatIngress) {
            return self.beside(program, input);
        }
        if program.is_tc() && packet::is_a_strangers(input.frame) {
            return Err(Reason::NotOurs);
        }
        let packet = packet::read(input.frame)?;
        if packet.error {
            return self.error(program, input, &packet);
        }
        let decided = match program {
            Program::Xdp | Program::Ingress => self.forward(&packet, input)?,
            Program::Zone => self.zone(&packet, input)?,
            Program::Egress | Program::NatEgress | Program::NatIngress => self.reply(&packet, input)?,
        };
        self.leave(program, input, &packet, &decided.ok_or(packet.foreign())?)
    }

    /// The answer to a packet that gets one.
    fn answered(&mut self, frame: &[u8]) -> (Action, Option<Vec<u8>>) {
        (Action::Redirect, answered(frame))
    }
}
