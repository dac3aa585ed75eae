//! Where a packet belongs.

use super::fragments::Went;
use super::packet::{Packet, Part};
use super::pins::{Key, Place, state};
use super::rewrite::To;
use super::tables::{Backend, Frontend, Pin, Says, Span, WHOLE};
use super::way::is_inside;
use super::{Input, Model};
use bg_common::{Aim, Colour, Fate, PinnedFlows, Reason};
use std::net::IpAddr;

/// Where a packet goes; nowhere of ours; or why not.
pub(super) type Decided = Result<Option<To>, Reason>;

/// What becomes of a packet of a pinned flow.
enum Meets {
    Stays,
    Anew,
    Over(Reason),
}

/// What a flow meets at its backend.
fn meets(packet: &Packet, pin: &Pin, backend: &Backend, word: Says) -> Meets {
    // A flow of the live colour has no fate, and one that a preview has led there none of a switch.
    let fate = if word.live == backend.colour || pin.has(state::PREVIEW) {
        Fate::Keep
    } else if word.fate == Fate::Keep && word.draining {
        backend.on_switch
    } else {
        word.fate
    };
    let down = backend.down.unwrap_or(PinnedFlows::Keep);
    let cut = pin.has(state::CUT);
    if !packet.is_tcp() {
        // A datagram needs no connection: it can move in any case but that of staying, unless new flows wait.
        let leaves = fate != Fate::Keep || down != PinnedFlows::Keep || cut;
        return if leaves && !word.paused { Meets::Anew } else { Meets::Stays };
    }
    let over = fate == Fate::Reset || down == PinnedFlows::Reset || cut;
    // A RST ends it anyway, and is never answered.
    if !over || packet.tcp.rst {
        Meets::Stays
    } else if packet.asks() {
        Meets::Anew
    } else if down == PinnedFlows::Reset {
        Meets::Over(Reason::BackendDown)
    } else {
        Meets::Over(Reason::ResetByFate)
    }
}

/// Whether a datagram goes to a backend that nobody wants any more and that was asked a minute ago in vain.
fn is_forsaken(packet: &Packet, pin: &Pin, backend: &Backend, word: Says, now: u32) -> bool {
    let leads_elsewhere = word.live != backend.colour && !pin.has(state::PREVIEW);
    let in_vain = pin.has(state::ASKED) && pin.is_stale(now);
    !packet.is_tcp() && in_vain && (backend.down.is_some() || leads_elsewhere) && !word.paused
}

const fn other(colour: Colour) -> Colour {
    match colour {
        Colour::Blue => Colour::Green,
        Colour::Green => Colour::Blue,
    }
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes a client's address in sixteen bytes, IPv4 mapped, and port; without a port all of its flows are alike.
fn mixed(packet: &Packet, whole: bool) -> u64 {
    let octets = match packet.src {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let port = if whole { 0 } else { packet.src_port };
    let half = |at: usize| octets[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let mut mix = half(8) ^ half(0).rotate_left(23) ^ u64::from(port.swap_bytes());
    mix = mix.wrapping_mul(ODD);
    mix ^= mix >> 32;
    mix = mix.wrapping_mul(ODD);
    mix >> 32
}

/// Where on a ring a client is.
fn position(packet: &Packet, by_client: bool, len: usize) -> usize {
    ((mixed(packet, by_client) * len as u64) >> 32) as usize
}

/// In which thousandth of all clients one is.
fn thousandth(packet: &Packet, by_client: bool) -> u64 {
    let mut mix = (mixed(packet, by_client) ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    mix ^= mix >> 32;
    ((mix.wrapping_mul(ODD) >> 32) * 1000) >> 32
}

impl Model {
    /// A packet that comes from clients.
    pub(super) fn forward(&mut self, packet: &Packet, input: &Input<'_>) -> Decided {
        let owner = self.tables.frontends.get(&(packet.dst, WHOLE.0, WHOLE.1)).copied();
        let to_vip = owner.is_some() || self.tables.vips.contains(&packet.dst);
        match packet.part {
            Part::Later => match self.recall(packet, input.now) {
                Some(Went::Slice(backend)) => return self.after_first(backend, input),
                Some(Went::Client(..) | Went::Own) => return Ok(None),
                None if to_vip => return Err(Reason::Orphan),
                None => return Ok(None),
            },
            Part::Tiny if to_vip => return Err(Reason::TinyFragment),
            Part::Tiny => return Ok(None),
            Part::Whole | Part::First => {}
        }
        let at = (packet.dst, packet.dst_port, packet.proto);
        let exact = self.tables.frontends.get(&at).copied().filter(|_| packet.has_our_ports());
        let (frontend, asked) = match (exact, owner) {
            (Some(frontend), _) => (frontend, 0),
            (None, Some(owner)) => (owner, packet.dst_port),
            (None, None) => {
                if to_vip {
                    self.remember(packet, Went::Own, input.now);
                }
                return Ok(None);
            }
        };
        let key = (packet.src, packet.src_port, packet.proto, frontend.service, asked);
        let (id, backend) = self.backend_of(packet, frontend, &key, input)?;
        // Unless it meets somebody else.
        if backend.ip == packet.src && !self.tables.sources.contains_key(&id) {
            return Err(Reason::OwnAddress);
        }
        let slice = self.tables.slices.entry((backend.deployment, backend.colour)).or_default();
        slice.packets[0] += input.packets();
        slice.bytes[0] += input.frame.len() as u64;
        self.remember(packet, Went::Slice(id), input.now);
        Ok(Some(To::Slice(backend)))
    }

    /// A packet that may be the answer of a slice.
    pub(super) fn reply(&mut self, packet: &Packet, input: &Input<'_>) -> Decided {
        match packet.part {
            Part::Later => {
                return match self.recall(packet, input.now) {
                    Some(Went::Client(backend, frontend)) => self.after_first_reply(backend, frontend, input),
                    _ => Ok(None),
                };
            }
            Part::Tiny => return Ok(None),
            Part::Whole | Part::First => {}
        }
        // A backend with a port of its own comes first. If the flow is not its, it may be that of the whole address.
        let mut exact = Ok(None);
        if packet.has_our_ports() {
            let at = (packet.src, packet.src_port, packet.proto);
            if let Some(id) = self.tables.backends_by_addr.get(&at).copied() {
                exact = self.reply_of(packet, id, 0, input);
            }
        }
        if !matches!(exact, Ok(None) | Err(Reason::DirectReply | Reason::StaleReply)) {
            return exact;
        }
        match self.tables.backends_by_addr.get(&(packet.src, WHOLE.0, WHOLE.1)).copied() {
            Some(id) => self.reply_of(packet, id, packet.src_port, input),
            None => exact,
        }
    }

    /// The answer of a backend, if the flow's pin says so.
    pub(super) fn reply_of(&mut self, packet: &Packet, id: u32, asked: u16, input: &Input<'_>) -> Decided {
        let backend = self.backend(id)?;
        let key = (packet.dst, packet.dst_port, packet.proto, backend.service, asked);
        let (place, mut pin) = self.tables.pin(&key).ok_or(Reason::DirectReply)?;
        if pin.backend != id {
            return Err(Reason::StaleReply);
        }
        let word = self.word(backend.deployment, input.now)?;
        if let Meets::Over(reason) = meets(packet, &pin, &backend, word) {
            self.cut(place, &key, pin, input.now);
            return Err(reason);
        }
        let at = *self.tables.frontend_addrs.get(&pin.frontend).ok_or(Reason::BrokenTable)?;
        self.count_reply(packet, &pin, &backend, input);
        if !packet.tcp.rst {
            pin.state |= state::ANSWERED;
        }
        if !packet.is_tcp() {
            pin.state &= !state::ASKED;
        }
        pin.note(packet.tcp.rst, packet.tcp.fin, state::BACKEND_FIN, input.now);
        self.tables.write(place, &key, pin);
        self.remember(packet, Went::Client(pin.backend, pin.frontend), input.now);
        Ok(Some(To::Client(at)))
    }

    /// A packet from a zone: an answer, or of a slice that is a client itself.
    pub(super) fn zone(&mut self, packet: &Packet, input: &Input<'_>) -> Decided {
        let back = self.reply(packet, input);
        if matches!(back, Ok(Some(_)) | Err(Reason::ResetByFate | Reason::BackendDown)) {
            return back;
        }
        match self.forward(packet, input)? {
            None => back,
            there => Ok(there),
        }
    }

    pub(super) fn backend(&self, id: u32) -> Result<Backend, Reason> {
        self.tables.backends.get(&id).copied().ok_or(Reason::BrokenTable)
    }

    fn word(&self, deployment: u32, now: u32) -> Result<Says, Reason> {
        Ok(self.tables.words.get(&deployment).ok_or(Reason::BrokenTable)?.at(now))
    }

    /// Notes that a flow was ended.
    fn cut(&mut self, place: Place, key: &Key, mut pin: Pin, now: u32) {
        if !pin.has(state::CUT) {
            pin.seen = now;
            pin.state |= state::CUT;
            self.tables.write(place, key, pin);
        }
    }

    /// Whether a pin decides about this packet.
    fn counts(packet: &Packet, frontend: Frontend, place: Place, pin: &Pin, now: u32) -> bool {
        let established = place == Place::Established || pin.has(state::CONFIRMED);
        if !established && pin.is_stale(now) {
            return false;
        }
        if !packet.asks() {
            return true;
        }
        // The port is used again when the conversation is over, or when a SYN comes to one that is established.
        // Through another address it belongs to the conversation that is going on.
        !pin.is_over() && (!established || pin.frontend != frontend.id)
    }

    fn backend_of(
        &mut self,
        packet: &Packet,
        frontend: Frontend,
        key: &Key,
        input: &Input<'_>,
    ) -> Result<(u32, Backend), Reason> {
        let found = self.tables.pin(key);
        let mut moves = None;
        if let Some((place, pin)) = found
            && Self::counts(packet, frontend, place, &pin, input.now)
        {
            let backend = self.backend(pin.backend)?;
            let word = self.word(backend.deployment, input.now)?;
            match meets(packet, &pin, &backend, word) {
                Meets::Stays if is_forsaken(packet, &pin, &backend, word, input.now) => moves = Some(word),
                Meets::Stays => {
                    self.client_spoke(packet, frontend, (place, key, pin), input.now);
                    return Ok((pin.backend, backend));
                }
                Meets::Over(reason) => {
                    self.cut(place, key, pin, input.now);
                    return Err(reason);
                }
                Meets::Anew => moves = Some(word),
            }
        }
        self.new_flow(packet, frontend, key, (found.map(|(place, _)| place), moves), input)
    }

    /// The client of a flow that stays where it is has sent a packet.
    fn client_spoke(
        &mut self,
        packet: &Packet,
        frontend: Frontend,
        (place, key, mut pin): (Place, &Key, Pin),
        now: u32,
    ) {
        if pin.frontend != frontend.id {
            self.reasons.push(Reason::SharedPort);
            return;
        }
        // Before the answer a pin does not change, so that it ends a minute after its first packet.
        if place == Place::HalfOpen && (!pin.has(state::ANSWERED) || packet.asks()) {
            return;
        }
        let before = pin;
        pin.note(packet.tcp.rst, packet.tcp.fin, state::CLIENT_FIN, now);
        // A client can send datagrams to nobody: only answers keep their pin, and the first question after one.
        if !packet.is_tcp() {
            let asks = !before.has(state::ASKED) && before.is_quiet(now);
            pin.seen = if asks { now } else { before.seen };
            pin.state |= if asks { state::ASKED } else { 0 };
        }
        if place == Place::Established || packet.tcp.rst {
            self.tables.write(place, key, pin);
            return;
        }
        let moved = Pin { state: pin.state & !state::CONFIRMED, seen: now, ..pin };
        if self.tables.add(Place::Established, key, moved) {
            self.tables.half_open.remove(key);
        } else {
            self.reasons.push(Reason::FlowsFull);
            pin.state |= state::CONFIRMED;
            self.tables.write(place, key, pin);
        }
    }

    fn new_flow(
        &mut self,
        packet: &Packet,
        frontend: Frontend,
        key: &Key,
        (old, moves): (Option<Place>, Option<Says>),
        input: &Input<'_>,
    ) -> Result<(u32, Backend), Reason> {
        let deployment = self.tables.services.get(&frontend.service).ok_or(Reason::BrokenTable)?.deployment;
        let word = match moves {
            Some(word) => word,
            None => self.word(deployment, input.now)?,
        };
        let (id, preview) = self.choose(packet, frontend, word)?;
        let backend = self.backend(id)?;
        if packet.tcp.rst {
            return Ok((id, backend));
        }
        if let Some(place) = old {
            self.tables.of_mut(place).remove(key);
        }
        if moves.is_some() && !packet.is_tcp() {
            self.reasons.push(Reason::Moved);
        }
        if let Some(first) = self.tables.half_open.get(key) {
            return Ok((first.backend, self.backend(first.backend)?));
        }
        let handshake = if packet.asks() { state::HANDSHAKE } else { 0 };
        let state = handshake | if preview { state::PREVIEW } else { 0 };
        let pin = Pin { backend: id, frontend: frontend.id, state, seen: input.now, began: input.now };
        if self.tables.add(Place::HalfOpen, key, pin) {
            // What a preview leads somewhere is no sign of a switch.
            let generation = (!preview).then_some(word.generation);
            self.count_new(packet, &backend, generation, input.span);
        } else {
            self.reasons.push(Reason::HalfOpenFull);
        }
        Ok((id, backend))
    }

    /// Where the preview rules of a deployment lead a client: the one of the smallest network decides.
    fn preview(&self, deployment: u32, client: IpAddr) -> Aim {
        let rules = self.tables.previews.iter();
        let about = rules
            .filter(|((of, network, prefix), _)| *of == deployment && is_inside(client, *network, *prefix));
        about.max_by_key(|((_, _, prefix), _)| *prefix).map_or(Aim::Live, |(_, aim)| *aim)
    }

    /// The backend of a new flow, and whether a preview has led it there.
    fn choose(&mut self, packet: &Packet, frontend: Frontend, word: Says) -> Result<(u32, bool), Reason> {
        let midstream = packet.is_tcp() && !packet.asks();
        if word.paused && !midstream {
            return Err(Reason::Paused);
        }
        let (mut live, mut canary) = (word.live, word.canary);
        if midstream && word.draining {
            // It is older than the switch, and there was no canary then that is known of.
            self.reasons.push(Reason::MidstreamDrain);
            (live, canary) = (other(live), 0);
        } else if midstream {
            self.reasons.push(Reason::Midstream);
        }
        let service = self.tables.services.get(&frontend.service).ok_or(Reason::BrokenTable)?;
        let ring =
            |colour| service.rings.get(&(colour, packet.is_v6())).map(Vec::as_slice).unwrap_or_default();
        let aim = match frontend.aim {
            Aim::Live if word.previews => self.preview(service.deployment, packet.src),
            aim @ (Aim::Live | Aim::Other | Aim::Blue | Aim::Green) => aim,
        };
        let colour = match aim {
            Aim::Live => live,
            Aim::Other => other(live),
            Aim::Blue => Colour::Blue,
            Aim::Green => Colour::Green,
        };
        let preview = aim != Aim::Live;
        let tries = !preview
            && thousandth(packet, service.canary_by_client) < canary
            && !ring(other(live)).is_empty();
        if preview {
            self.reasons.push(Reason::Preview);
        }
        if tries {
            self.reasons.push(Reason::Canary);
        }
        let ring = ring(if tries { other(live) } else { colour });
        if ring.is_empty() {
            return Err(if service.refuses && packet.asks() { Reason::Refused } else { Reason::NoBackend });
        }
        Ok((ring[position(packet, service.by_client, ring.len())], preview))
    }

    fn count_new(&mut self, packet: &Packet, backend: &Backend, generation: Option<u64>, span: Span) {
        let slice = self.tables.slices.entry((backend.deployment, backend.colour)).or_default();
        slice.flows[0] += 1;
        slice.flows[1] += u64::from(packet.asks());
        if let Some(generation) = generation.filter(|_| packet.asks() || !packet.is_tcp()) {
            let first = slice.newest.filter(|newest| newest.2 == generation).map_or(span, |newest| newest.1);
            slice.newest = Some((span, first, generation));
        }
    }

    fn count_reply(&mut self, packet: &Packet, pin: &Pin, backend: &Backend, input: &Input<'_>) {
        let slice = self.tables.slices.entry((backend.deployment, backend.colour)).or_default();
        slice.packets[1] += input.packets();
        slice.bytes[1] += input.frame.len() as u64;
        let (answered, handshake) = (pin.has(state::ANSWERED), pin.has(state::HANDSHAKE));
        if packet.tcp.rst {
            slice.resets[0] += u64::from(handshake && !pin.is_over());
            slice.resets[1] += u64::from(handshake && !pin.is_over() && !answered);
        } else if !answered {
            slice.answered[0] += 1;
            slice.answered[1] += u64::from(handshake);
        }
    }
}
