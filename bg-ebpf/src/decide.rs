//! Where a packet belongs. The rule of switching lives here.
//!
//! Towards a slice: frontend → pin → else the word → ring → backend. The way back is in [`reply`](crate::reply).
//! `Ok(None)` means that the packet is none of ours.

use crate::fate::{Outlook, cut, outlook, word_of};
use crate::hash;
use crate::packet::{Family, Packet};
use crate::parse::Detour;
use crate::reply::{is_over, reply};
use crate::rewrite::Rewrite;
use crate::tables::{Insert, Pin, Tables};
use bg_common::{Backend, Flow, FlowKey, Frontend, Reason, Service, Tick, Via, Word};

/// How a rewritten packet leaves, where the hook can choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Towards a slice, over an interface.
    Slice(Via, u32),
    /// Back to the client, wherever the route leads.
    Client,
}

/// Decides about a plain packet that comes from clients.
///
/// # Errors
///
/// The reason why it is refused, or that it may be for a whole address, which the slow path looks up.
#[inline(always)]
pub fn forward<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Detour> {
    let Some(frontend) = tables.frontend(&packet.destination()) else {
        return if tables.settings().whole_addresses() { Err(Detour::Rare) } else { Ok(None) };
    };
    let key = FlowKey::new(packet.src, packet.src_port, packet.proto, frontend.service);
    Ok(Some(Rewrite::to_slice(packet, to_backend(packet, tables, &frontend, &key)?.1)))
}

/// The backend that a packet for a frontend goes to, with its index, and counts it.
#[inline(always)]
pub(crate) fn to_backend<'a, T: Tables>(
    packet: &Packet,
    tables: &'a T,
    frontend: &Frontend,
    key: &FlowKey,
) -> Result<(u32, &'a Backend), Reason> {
    let (id, backend) = backend_of(packet, tables, frontend, key)?;
    if backend.endpoint().addr() == packet.src {
        return Err(Reason::OwnAddress);
    }
    tables.traffic(backend.slice(), |traffic| {
        traffic.packets_in += u64::from(packet.segments);
        traffic.bytes_in += u64::from(packet.len);
    });
    Ok((id, backend))
}

/// Decides about a packet from a zone: most are replies, but a slice may be a client too.
///
/// # Errors
///
/// The reason why it is refused.
#[inline(always)]
pub fn zone<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Detour> {
    let back = reply(packet, tables);
    if matches!(back, Ok(Some(_)) | Err(Detour::Rare)) || back.is_err_and(is_over) {
        return back;
    }
    match forward(packet, tables)? {
        Some(rewrite) => Ok(Some(rewrite)),
        None => back,
    }
}

/// Which table a pin is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum In {
    Flows,
    HalfOpen,
}

/// A flow's pin.
#[inline(always)]
pub(crate) fn find<T: Tables>(tables: &T, key: &FlowKey) -> Option<(In, T::Pin)> {
    match tables.flow(key) {
        Some(pin) => Some((In::Flows, pin)),
        None => find_later(tables, key),
    }
}

/// A flow's pin, when there is none among the established ones.
#[inline(always)]
fn find_later<T: Tables>(tables: &T, key: &FlowKey) -> Option<(In, T::Pin)> {
    if let Some(pin) = tables.half_open(key) {
        return Some((In::HalfOpen, pin));
    }
    // Another CPU may just have moved it from the second table to the first.
    tables.flow(key).map(|pin| (In::Flows, pin))
}

/// What a pin says about a packet.
enum Pinned<'a> {
    /// It goes where the flow is pinned to.
    To(Flow, &'a Backend),
    /// It is decided anew; with the word, if that is why.
    Not(Option<Word>),
}

/// The backend of a packet's flow, and its index: the pinned one, or a new choice.
#[inline(always)]
fn backend_of<'a, T: Tables>(
    packet: &Packet,
    tables: &'a T,
    frontend: &Frontend,
    key: &FlowKey,
) -> Result<(u32, &'a Backend), Reason> {
    let now = tables.now();
    // Nearly every packet ends in the first branch: it has no more in it than that takes.
    let (stale, word) = if let Some(pin) = tables.flow(key) {
        match pinned(packet, tables, frontend, In::Flows, &pin, now)? {
            Pinned::To(flow, backend) => {
                if !shares_port(tables, frontend, &flow) {
                    client_spoke(packet, &pin, &flow, now);
                }
                return Ok((flow.backend, backend));
            }
            Pinned::Not(word) => (Some(In::Flows), word),
        }
    } else if let Some((place, pin)) = find_later(tables, key) {
        match pinned(packet, tables, frontend, place, &pin, now)? {
            Pinned::To(flow, backend) => {
                if !shares_port(tables, frontend, &flow) {
                    if place == In::Flows {
                        client_spoke(packet, &pin, &flow, now);
                    } else {
                        come_back(packet, tables, key, &pin, &flow, now);
                    }
                }
                return Ok((flow.backend, backend));
            }
            Pinned::Not(word) => (Some(place), word),
        }
    } else {
        (None, None)
    };
    new_flow(packet, tables, frontend, key, now, stale, word)
}

/// Whether the flow came through another frontend.
#[inline(always)]
fn shares_port<T: Tables>(tables: &T, frontend: &Frontend, flow: &Flow) -> bool {
    let shared = flow.frontend != u32::from(frontend.id);
    if shared {
        tables.count(Reason::SharedPort);
    }
    shared
}

/// What a pin that was found says about a packet.
#[inline(always)]
fn pinned<'a, T: Tables>(
    packet: &Packet,
    tables: &'a T,
    frontend: &Frontend,
    place: In,
    pin: &T::Pin,
    now: Tick,
) -> Result<Pinned<'a>, Reason> {
    let flow = pin.get();
    if !keeps(packet, frontend, &flow, place, now) {
        return Ok(Pinned::Not(None));
    }
    let backend = tables.backend(flow.backend).ok_or(Reason::BrokenTable)?;
    let word = word_of(tables, backend.slice().deployment(), now)?;
    match outlook(packet, &flow, backend, word) {
        Outlook::Stays => Ok(Pinned::To(flow, backend)),
        Outlook::Anew => Ok(Pinned::Not(Some(word))),
        Outlook::Over(reason) => {
            cut(pin, &flow, now);
            Err(reason)
        }
    }
}

/// The backend that a flow is given with this packet, in place of the pin that it may have had.
#[inline(always)]
fn new_flow<'a, T: Tables>(
    packet: &Packet,
    tables: &'a T,
    frontend: &Frontend,
    key: &FlowKey,
    now: Tick,
    stale: Option<In>,
    word: Option<Word>,
) -> Result<(u32, &'a Backend), Reason> {
    let service = tables.service(frontend.service).ok_or(Reason::BrokenTable)?;
    let moved = word.is_some();
    // Read once for each packet: what it is decided by is one state of the deployment.
    let word = match word {
        Some(word) => word,
        None => word_of(tables, service.deployment, now)?,
    };
    let id = choose(packet, tables, &service, word)?;
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    if packet.is_rst() {
        return Ok((id, backend));
    }
    match stale {
        Some(In::Flows) => tables.remove_flow(key),
        Some(In::HalfOpen) => tables.remove_half_open(key),
        None => {}
    }
    if moved && !packet.is_tcp() {
        tables.count(Reason::Moved);
    }
    let state = if packet.is_bare_syn() { Flow::HANDSHAKE } else { 0 };
    match tables.insert_half_open(key, &Flow::new(id, frontend.id.into(), now).with_state(state)) {
        Insert::Done => opened(packet, tables, backend, word),
        Insert::Exists => {
            // Another CPU was first.
            let first = tables.half_open(key).map_or(id, |pin| pin.get().backend);
            return Ok((first, tables.backend(first).ok_or(Reason::BrokenTable)?));
        }
        Insert::Full => tables.count(Reason::HalfOpenFull),
    }
    Ok((id, backend))
}

/// Whether a pin decides about this packet.
#[inline(always)]
fn keeps(packet: &Packet, frontend: &Frontend, flow: &Flow, place: In, now: Tick) -> bool {
    let established = place == In::Flows || flow.confirmed();
    if !established && now.since(flow.seen) >= Flow::HALF_OPEN_TICKS {
        return false;
    }
    if !packet.is_bare_syn() {
        return true;
    }
    // A SYN repeats the one that made a half-open pin; on an established one it is a reused port. Through
    // another VIP it is neither, and the conversation that is going on keeps the port.
    let other_vip = flow.frontend != u32::from(frontend.id);
    !flow.closed() && (other_vip || !established)
}

/// Chooses the backend of a flow without a pin.
///
/// Preview rules, canary share and frontend roles are decided here when they come.
#[inline(always)]
fn choose<T: Tables>(packet: &Packet, tables: &T, service: &Service, word: Word) -> Result<u32, Reason> {
    let midstream = packet.is_tcp() && !packet.is_bare_syn();
    if word.is_paused() && !midstream {
        return Err(Reason::Paused);
    }
    let colour = match (midstream, word.draining()) {
        // It belongs to a connection that is older than the switch.
        (true, true) => {
            tables.count(Reason::MidstreamDrain);
            word.live().other()
        }
        (true, false) => {
            tables.count(Reason::Midstream);
            word.live()
        }
        (false, _) => word.live(),
    };
    let ring = service.ring(colour, packet.family == Family::V6);
    if ring.is_empty() {
        let refused = service.refuses() && packet.is_bare_syn();
        return Err(if refused { Reason::Refused } else { Reason::NoBackend });
    }
    let position = ring.position(hash::client(&packet.src, packet.src_port));
    tables.ring(position).ok_or(Reason::BrokenTable)
}

/// The client of a half-open flow speaks: it is established if the backend has answered.
///
/// An unanswered pin keeps the time of its first packet, so that retransmissions and one-way
/// datagrams cannot hold a flow on a dead backend for longer than a pin counts.
#[inline(always)]
fn come_back<T: Tables>(packet: &Packet, tables: &T, key: &FlowKey, pin: &T::Pin, flow: &Flow, now: Tick) {
    if !flow.answered() || packet.is_bare_syn() {
        return;
    }
    let state = client_spoke(packet, pin, flow, now);
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

/// Notes a packet of the client in its pin, and returns the pin's state.
#[inline(always)]
fn client_spoke(packet: &Packet, pin: &impl Pin, flow: &Flow, now: Tick) -> u8 {
    if flow.seen != now {
        pin.touch(now);
    }
    note(packet, pin, flow, flow.state(), Flow::CLIENT_FIN)
}

/// Writes the state bits when the packet changes them, and returns them. Any packet after a RST takes that back: the
/// RST was not the connection's.
#[inline(always)]
pub(crate) fn note(packet: &Packet, pin: &impl Pin, flow: &Flow, state: u8, fin: u8) -> u8 {
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

/// Counts a flow that a slice was given by `word`.
#[inline(always)]
fn opened<T: Tables>(packet: &Packet, tables: &T, backend: &Backend, word: Word) {
    let handshake = packet.is_bare_syn();
    let now_ns = tables.now_ns();
    tables.traffic(backend.slice(), |traffic| {
        traffic.flows += 1;
        traffic.handshakes += u64::from(handshake);
        if handshake || !packet.is_tcp() {
            traffic.begins(now_ns, word.generation());
        }
    });
}
