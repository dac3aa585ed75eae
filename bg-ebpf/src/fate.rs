//! Whether a pinned flow stays where it is, when its colour is not live or its backend is down.

use crate::packet::Packet;
use crate::tables::{Pin, Tables};
use bg_common::{Backend, Fate, Flow, PinnedFlows, Reason, Tick, Word};

/// What becomes of a packet whose flow has a pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// It goes to the pinned backend.
    Stays,
    /// It is decided anew, as if the flow began with it.
    Anew,
    /// The flow is over: its sender is told so.
    Over(Reason),
}

/// A deployment's word as it stands in the table.
///
/// # Errors
///
/// [`Reason::BrokenTable`] when there is no such deployment.
#[inline(always)]
pub fn raw_word<T: Tables>(tables: &T, deployment: u32) -> Result<Word, Reason> {
    tables.word(deployment).ok_or(Reason::BrokenTable)
}

/// What a deployment's word says at this moment.
///
/// # Errors
///
/// [`Reason::BrokenTable`] when there is no such deployment.
#[inline(always)]
pub fn word_of<T: Tables>(tables: &T, deployment: u32, now: Tick) -> Result<Word, Reason> {
    Ok(raw_word(tables, deployment)?.effective(now))
}

/// Whether nothing can happen to a pinned flow, whatever the packet.
#[inline(always)]
#[must_use]
pub fn is_settled(flow: &Flow, backend: &Backend, word: Word) -> bool {
    let at_home = word.live() == backend.slice().colour();
    (at_home || word.fate() == Fate::Keep && backend.stays_on_switch())
        && backend.keeps_flows()
        && !flow.cut()
}

/// What becomes of a packet of a flow that is pinned to `backend`.
#[inline(always)]
#[must_use]
pub fn outlook(packet: &Packet, flow: &Flow, backend: &Backend, word: Word) -> Outlook {
    // In as few steps as can be, for nearly every packet.
    if is_settled(flow, backend, word) {
        return Outlook::Stays;
    }
    let at_home = word.live() == backend.slice().colour();
    let fate = match word.fate() {
        _ if at_home || flow.is_preview() => Fate::Keep,
        // What is there without a switch, such as a canary's flows, is not leaving.
        Fate::Keep if word.draining() => backend.on_switch(),
        fate @ (Fate::Keep | Fate::Reset | Fate::Move) => fate,
    };
    let down = backend.pinned();
    if fate == Fate::Keep && down == PinnedFlows::Keep && !flow.cut() {
        return Outlook::Stays;
    }
    if !packet.is_tcp() {
        // A new flow would have to wait; this one is served as long as it must.
        return if word.is_paused() { Outlook::Stays } else { Outlook::Anew };
    }
    // What was cut stays cut, so that the second side is told even when the word forgets in between.
    let over = fate == Fate::Reset || down == PinnedFlows::Reset || flow.cut();
    match (over, packet.is_rst(), packet.is_bare_syn()) {
        (false, _, _) | (_, true, _) => Outlook::Stays,
        // It asks for a connection, and can have one.
        (_, _, true) => Outlook::Anew,
        _ if down == PinnedFlows::Reset => Outlook::Over(Reason::BackendDown),
        _ => Outlook::Over(Reason::ResetByFate),
    }
}

/// Whether a datagram goes to a backend that is not wanted any more and has not answered for a minute, so that its flow
/// is to be decided anew. One that was not asked for so long keeps its flows, and so does one that is wanted.
#[inline(always)]
#[must_use]
pub fn is_forsaken(packet: &Packet, flow: &Flow, backend: &Backend, word: Word, now: Tick) -> bool {
    !packet.is_tcp()
        && flow.asked()
        && now.since(flow.seen) >= Flow::HALF_OPEN_TICKS
        && (backend.is_down() || word.live() != backend.slice().colour() && !flow.is_preview())
        && !word.is_paused()
}

/// Notes in a pin that its flow was ended, for the other side's next packet.
#[inline(always)]
pub fn cut(pin: &impl Pin, flow: &Flow, now: Tick) {
    if !flow.cut() {
        pin.touch(now);
        pin.set_state(flow.state() | Flow::CUT);
    }
}
