//! What can happen in a round.

use crate::model::{Key, Place, Program, Stead};
use bg_common::PinnedFlows;
use std::fmt;

/// One thing that happens. Steps name no moment: in another run they are as old and as far ahead as in this one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// A program meets a packet.
    Packet {
        program: Program,
        frame: Vec<u8>,
        /// Packets that it stands for, and the payload of each; 0 when it is one.
        segments: (u16, u16),
    },
    /// A deployment's word becomes this, with a deadline so many ticks from then.
    Word { deployment: u32, bits: u32, deadline: Option<i32> },
    /// A backend comes up, goes down, or goes away.
    Backend { id: u32, change: Change },
    /// A pin is as if it had been made so.
    Pin { place: Place, key: Key, pin: Made },
    /// A pin is swept.
    Sweep { place: Place, key: Key },
    /// A port towards a backend stands for this flow, or for none.
    Port { at: Stead, flow: Option<Key> },
}

/// What becomes of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Up,
    Down(PinnedFlows),
    Gone,
}

/// A pin with ages in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Made {
    pub(super) backend: u32,
    pub(super) frontend: u32,
    pub(super) state: u8,
    pub(super) age: u32,
    pub(super) begun: u32,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { program, frame, segments } => {
                write!(f, "{program:?}")?;
                if segments.0 > 0 {
                    write!(f, " {} segments of {} bytes", segments.0, segments.1)?;
                }
                write!(f, " {}", hex(frame))
            }
            Self::Word { deployment, bits, deadline } => {
                let bit = |number: u32| bits >> number & 1;
                let live = if bit(0) == 0 { "blue" } else { "green" };
                write!(f, "word of {deployment}: {bits:#010x}, live {live}, draining {}", bit(1))?;
                write!(f, ", paused {}, fate {}, deadline {deadline:?}", bit(2), bits >> 4 & 3)?;
                write!(f, ", revert {}, resume {}", bit(6), bit(7))
            }
            Self::Backend { id, change } => write!(f, "backend {id}: {change:?}"),
            Self::Pin { place, key, pin } => write!(f, "{place:?} {key:?}: {pin:?}"),
            Self::Sweep { place, key } => write!(f, "{place:?} {key:?} is swept"),
            Self::Port { at, flow } => write!(f, "port {at:?} stands for {flow:?}"),
        }
    }
}

/// Bytes as digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
