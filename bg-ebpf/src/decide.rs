//! Where a packet belongs. The rule of switching lives here.
//!
//! Towards a slice: frontend → pin → else the word → ring → backend. The way back is in [`reply`](crate::reply).
//! `Ok(None)` means that the packet is none of ours.

use crate::choose::{Chosen, choose};
use crate::fate::{Outlook, cut, is_forsaken, is_settled, outlook, raw_word, word_of};
use crate::note::{client_spoke, come_back, comes_back, opened};
use crate::packet::Packet;
use crate::parse::Detour;
use crate::recent::{recall, remember};
use crate::reply::{is_over, reply};
use crate::rewrite::Rewrite;
use crate::tables::{Insert, Pin, Tables};
use bg_common::{Backend, End, Flow, FlowKey, Frontend, Reason, Tick, Via, Word};

/// How a rewritten packet leaves, where the hook can choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Towards a slice, over an interface.
    Slice(Via, u32),
    /// Back to the client, wherever the route leads.
    Client,
}

/// Decides about a plain packet that comes from clients, if its flow has a pin that stays as it is but for its time.
///
/// # Errors
///
/// The reason why it is refused, or that the slow path decides: about new flows, those that change tables, and whole
/// addresses. What it takes would need room on the stack, and registers, of every packet.
#[inline(always)]
pub fn forward<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Detour> {
    match recall(packet, tables, End::Destination) {
        Some(rewrite) => Ok(Some(rewrite)),
        None => forward_pinned(packet, tables),
    }
}

#[inline(always)]
fn forward_pinned<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Detour> {
    let epoch = tables.epoch();
    let Some(frontend) = tables.frontend(&packet.destination()) else {
        return if tables.settings().whole_addresses() { Err(Detour::Undecided) } else { Ok(None) };
    };
    let key = FlowKey::new(packet.src, packet.src_port, packet.proto, frontend.service);
    let now = tables.now();
    let (place, pin) = find(tables, &key).ok_or(Detour::Undecided)?;
    let Pinned::To(flow, backend, word) = pinned(packet, tables, &frontend, place, &pin, now)? else {
        return Err(Detour::Undecided);
    };
    if flow.frontend != u32::from(frontend.id) {
        return Err(Detour::Undecided);
    }
    let mut settled = false;
    if place == In::Flows {
        client_spoke(packet, tables, &pin, &flow, now, true);
        settled = (is_busy(place, &flow, now) || waits(packet, &flow, backend, word))
            && is_settled(&flow, backend, word);
    } else if comes_back(packet, &flow) {
        return Err(Detour::Undecided);
    }
    count_in(packet, tables, backend)?;
    let rewrite = Rewrite::to_slice(packet, backend);
    if settled {
        remember(packet, tables, epoch, word, backend, &rewrite);
    }
    Ok(Some(rewrite))
}

/// The backend of a packet's flow, and its index.
pub(crate) type Choice<'a> = (u32, &'a Backend);

/// The backend that a packet for a frontend goes to, and counts it.
#[inline(always)]
pub(crate) fn to_backend<'a, T: Tables>(
    packet: &Packet,
    tables: &'a T,
    frontend: &Frontend,
    key: &FlowKey,
) -> Result<Choice<'a>, Reason> {
    let choice = backend_of(packet, tables, frontend, key)?;
    count_in(packet, tables, choice.1)?;
    Ok(choice)
}

/// Counts a packet to a backend, unless it has sent it itself.
#[inline(always)]
fn count_in<T: Tables>(packet: &Packet, tables: &T, backend: &Backend) -> Result<(), Reason> {
    if backend.endpoint().addr() == packet.src && !backend.has_source() {
        return Err(Reason::OwnAddress);
    }
    tables.traffic(backend.slice(), |traffic| {
        traffic.packets_in += u64::from(packet.segments);
        traffic.bytes_in += u64::from(packet.len);
    });
    Ok(())
}

/// Decides about a packet from a zone: most are replies, but a slice may be a client too.
///
/// # Errors
///
/// The reason why it is refused.
#[inline(always)]
pub fn zone<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Detour> {
    let back = reply(packet, tables);
    if matches!(back, Ok(Some(_)) | Err(Detour::Undecided)) || back.is_err_and(is_over) {
        return back;
    }
    match forward(packet, tables)? {
        Some(rewrite) => Ok(Some(rewrite)),
        None => back,
    }
}

/// Whether a client's datagram leaves its pin as it is, because the backend, which is wanted, has not answered the last:
/// a stream that goes one way.
#[inline(always)]
fn waits(packet: &Packet, flow: &Flow, backend: &Backend, word: Word) -> bool {
    let wanted = word.live() == backend.slice().colour() && !backend.is_down();
    !packet.is_tcp() && flow.asked() && wanted
}

/// Whether a packet in the middle of the flow leaves its pin as it is, and is not the first one of late.
#[inline(always)]
pub(crate) fn is_busy(place: In, flow: &Flow, now: Tick) -> bool {
    place == In::Flows && flow.seen == now && flow.state() & Flow::RESET == 0
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
    if let Some(pin) = tables.flow(key) {
        return Some((In::Flows, pin));
    }
    if let Some(pin) = tables.half_open(key) {
        return Some((In::HalfOpen, pin));
    }
    // Another CPU may just have moved it from the second table to the first.
    tables.flow(key).map(|pin| (In::Flows, pin))
}

/// What a pin says about a packet.
enum Pinned<'a> {
    /// It goes where the flow is pinned to, by this word as it stands in the table.
    To(Flow, &'a Backend, Word),
    /// It is decided anew; with the word, if that is why.
    Not(Option<Word>),
}

/// The backend of a packet's flow: the pinned one, or a new choice.
#[inline(always)]
pub(crate) fn backend_of<'a, T: Tables>(
    packet: &Packet,
    tables: &'a T,
    frontend: &Frontend,
    key: &FlowKey,
) -> Result<Choice<'a>, Reason> {
    let now = tables.now();
    let mut stale = None;
    let mut word = None;
    if let Some((place, pin)) = find(tables, key) {
        match pinned(packet, tables, frontend, place, &pin, now)? {
            Pinned::To(flow, backend, _) => {
                if shares_port(tables, frontend, &flow) {
                } else if place == In::Flows {
                    client_spoke(packet, tables, &pin, &flow, now, true);
                } else if comes_back(packet, &flow) {
                    come_back(packet, tables, key, &pin, &flow, now);
                }
                return Ok((flow.backend, backend));
            }
            Pinned::Not(why) => (stale, word) = (Some(place), why),
        }
    }
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
    let raw = raw_word(tables, backend.slice().deployment())?;
    let word = raw.effective(now);
    match outlook(packet, &flow, backend, word) {
        Outlook::Stays if is_forsaken(packet, &flow, backend, word, now) => Ok(Pinned::Not(Some(word))),
        Outlook::Stays => Ok(Pinned::To(flow, backend, raw)),
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
) -> Result<Choice<'a>, Reason> {
    let service = tables.service(frontend.service).ok_or(Reason::BrokenTable)?;
    let moved = word.is_some();
    // Read once for each packet: what it is decided by is one state of the deployment.
    let word = match word {
        Some(word) => word,
        None => word_of(tables, service.deployment, now)?,
    };
    let Chosen { backend: id, preview } = choose(packet, tables, frontend, service, word)?;
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    if packet.is_rst() {
        return Ok((id, backend));
    }
    match stale {
        Some(In::Flows) => {
            tables.remove_flow(key);
            tables.next_epoch();
        }
        Some(In::HalfOpen) => tables.remove_half_open(key),
        None => {}
    }
    if moved && !packet.is_tcp() {
        tables.count(Reason::Moved);
    }
    let handshake = if packet.is_bare_syn() { Flow::HANDSHAKE } else { 0 };
    let state = handshake | if preview { Flow::PREVIEW } else { 0 };
    match tables.insert_half_open(key, &Flow::new(id, frontend.id.into(), now).with_state(state)) {
        Insert::Done => opened(packet, tables, backend, word, preview),
        Insert::Exists => {
            // Another CPU was first.
            let first = tables.half_open(key).map_or(id, |pin| pin.get().backend);
            let backend = tables.backend(first).ok_or(Reason::BrokenTable)?;
            return Ok((first, backend));
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
