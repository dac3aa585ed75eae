//! What a packet leaves behind: time and state in its flow's pin, and the counters of its slice.

use crate::packet::Packet;
use crate::tables::{Insert, Pin, Tables};
use bg_common::{Backend, Flow, FlowKey, Reason, Tick, Word};

/// Whether a packet changes the half-open pin of its client's flow.
///
/// An unanswered pin keeps the time of its first packet, so that retransmissions and one-way
/// datagrams cannot hold a flow on a dead backend for longer than a pin counts.
#[inline(always)]
pub(crate) fn comes_back(packet: &Packet, flow: &Flow) -> bool {
    flow.answered() && !packet.is_bare_syn()
}

/// The client of an answered half-open flow speaks: it is established.
#[inline(always)]
pub(crate) fn come_back<T: Tables>(
    packet: &Packet,
    tables: &T,
    key: &FlowKey,
    pin: &T::Pin,
    flow: &Flow,
    now: Tick,
) {
    let state = client_spoke(packet, tables, pin, flow, now, false);
    if packet.is_rst() {
        return;
    }
    // Not read again from the pin, whose memory may be another flow's by now.
    let mut established = flow.with_state(state & !Flow::CONFIRMED);
    established.seen = now;
    match tables.insert_flow(key, &established) {
        Insert::Done | Insert::Exists => tables.remove_half_open(key),
        Insert::Full => {
            tables.count(Reason::FlowsFull);
            if !flow.confirmed() {
                pin.set_state(state | Flow::CONFIRMED);
            }
        }
    }
}

/// Notes a packet of the client in its pin, which may be an established one, and returns the pin's state.
///
/// Datagrams get no answer that could be missed, so that a client may send them for ever to nobody: only the backend
/// refreshes their pins, and the first question after its answer.
#[inline(always)]
pub(crate) fn client_spoke<T: Tables>(
    packet: &Packet,
    tables: &T,
    pin: &T::Pin,
    flow: &Flow,
    now: Tick,
    established: bool,
) -> u8 {
    let mut state = flow.state();
    if packet.is_tcp() {
        if flow.seen != now {
            pin.touch(now);
        }
    } else if !flow.asked() && now.since(flow.seen) >= Flow::PAUSE_TICKS {
        pin.touch(now);
        state |= Flow::ASKED;
    }
    let state = note(packet, pin, flow, state, Flow::CLIENT_FIN);
    forget(packet, tables, flow, established);
    state
}

/// Notes a packet of the backend in its flow's pin and counts it.
#[inline(always)]
pub(crate) fn answered<T: Tables>(
    packet: &Packet,
    tables: &T,
    pin: &T::Pin,
    flow: &Flow,
    backend: &Backend,
    now: Tick,
    established: bool,
) {
    // A refusal is no answer.
    let unanswered = !flow.answered();
    let first = unanswered && !packet.is_rst();
    let state = if first { flow.state() | Flow::ANSWERED } else { flow.state() };
    let state = if packet.is_tcp() { state } else { state & !Flow::ASKED };
    note(packet, pin, flow, state, Flow::BACKEND_FIN);
    forget(packet, tables, flow, established);
    if flow.seen != now {
        pin.touch(now);
    }
    tables.traffic(backend.slice(), |traffic| {
        traffic.packets_out += u64::from(packet.segments);
        traffic.bytes_out += u64::from(packet.len);
        if packet.is_rst() {
            // Strays that no handshake began tell nothing about the slice, and anybody can send them.
            traffic.resets += u64::from(flow.began_with_syn() && !flow.closed());
            traffic.refused += u64::from(unanswered && flow.began_with_syn() && !flow.closed());
        } else if unanswered {
            traffic.answered += 1;
            traffic.handshakes_answered += u64::from(flow.began_with_syn());
        }
    });
}

/// Writes the state bits when the packet changes them, and returns them. Any packet after a RST takes that back: the
/// RST was not the connection's.
#[inline(always)]
fn note(packet: &Packet, pin: &impl Pin, flow: &Flow, state: u8, fin: u8) -> u8 {
    let state = match (packet.is_rst(), packet.is_fin()) {
        (true, _) => state | Flow::RESET,
        (false, true) => state & !Flow::RESET | fin,
        (false, false) => state & !Flow::RESET,
    };
    if state != flow.state() {
        pin.set_state(state);
    }
    state
}

/// Has what was decided a moment ago forgotten after the RST of an established flow: the packet that takes it back
/// has to reach the pin.
#[inline(always)]
fn forget<T: Tables>(packet: &Packet, tables: &T, flow: &Flow, established: bool) {
    if established && packet.is_rst() && flow.state() & Flow::RESET == 0 {
        tables.next_epoch();
    }
}

/// Counts a flow that a slice was given by `word`, or by a preview.
#[inline(always)]
pub(crate) fn opened<T: Tables>(packet: &Packet, tables: &T, backend: &Backend, word: Word, preview: bool) {
    let handshake = packet.is_bare_syn();
    let now_ns = tables.now_ns();
    tables.traffic(backend.slice(), |traffic| {
        traffic.flows += 1;
        traffic.handshakes += u64::from(handshake);
        traffic.local += u64::from(packet.is_local());
        // A preview goes on where it went before a switch, which shows nothing about that.
        if (handshake || !packet.is_tcp()) && !preview {
            traffic.begins(now_ns, word.generation());
        }
    });
}
