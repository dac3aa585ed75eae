//! Makes up what happens next. It looks at the model, so that flows are answered, closed, cut and used again.

use super::frames::{Dress, Wanted, dressed, frame};
use super::network::{DEPLOYMENTS, ip};
use super::step::{Change, Made, Step};
use crate::dice::Dice;
use crate::model::{Key, Model, Pin, Place, Program, TRIES, WHOLE, ports};
use bg_common::PinnedFlows;
use std::net::IpAddr;

/// Flags of most segments.
const FLAGS: [u8; 16] = [2, 2, 2, 2, 2, 16, 16, 16, 24, 17, 17, 4, 20, 18, 18, 0];

/// Half a minute and more, in ticks around those on which something depends.
const AGES: [u32; 7] = [0, 1, 10, 440, 446, 447, 5_000];

/// Of packets for whole addresses: TCP, UDP, ICMP, ICMPv6, SCTP, UDP-Lite, DCCP, GRE.
const PROTOCOLS: [u8; 10] = [6, 6, 17, 17, 1, 58, 132, 136, 33, 47];

/// Bytes of a frame.
const LONGEST: usize = 3_000;

/// So that no machine is too young for them.
const OLDEST: u32 = 5_000;

/// Flows that are remembered to be met again.
const REMEMBERED: usize = 96;

pub(super) struct Generator {
    dice: Dice,
    flows: Vec<Key>,
    frontends: Vec<(IpAddr, u16, u8)>,
}

impl Generator {
    pub(super) const fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), flows: Vec::new(), frontends: Vec::new() }
    }

    /// Remembers the flows of the last packet.
    fn remember(&mut self, model: &Model) {
        for key in &model.tables.touched {
            if self.flows.contains(key) {
                continue;
            }
            if self.flows.len() >= REMEMBERED {
                let at = self.dice.below(REMEMBERED as u64) as usize;
                self.flows.swap_remove(at);
            }
            self.flows.push(*key);
        }
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.dice.below(odds) == 0
    }

    fn byte(&mut self) -> u8 {
        self.dice.below(256) as u8
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        self.dice.one_of(all).copied()
    }

    /// The next step.
    pub(super) fn next(&mut self, model: &Model) -> Step {
        self.remember(model);
        let change = match self.dice.below(400) {
            0..4 => Some(self.word()),
            4..6 => self.backend(model),
            6..9 => self.pin(model),
            9 => self.sweep(model),
            10..12 => self.port(model),
            _ => None,
        };
        change.unwrap_or_else(|| self.packet(model))
    }

    fn word(&mut self) -> Step {
        let deployment = self.dice.below(DEPLOYMENTS.into()) as u32;
        let mut bits = self.dice.below(1 << 32) as u32;
        // Pauses are rare, else nothing happens.
        if !self.one_in(4) {
            bits &= !(1 << 2);
        }
        let deadline = match self.dice.below(4) {
            0 => Some(self.dice.below(8) as i32 - 4),
            1 => Some(10_000),
            _ => None,
        };
        Step::Word { deployment, bits, deadline }
    }

    fn backend(&mut self, model: &Model) -> Option<Step> {
        let id = self.of(&model.tables.backends_by_addr.values().copied().collect::<Vec<_>>())?;
        let change = match self.dice.below(8) {
            0 => Change::Gone,
            1 => Change::Down(PinnedFlows::Keep),
            2 => Change::Down(PinnedFlows::Reset),
            3 => Change::Down(PinnedFlows::Move),
            _ => Change::Up,
        };
        Some(Step::Backend { id, change })
    }

    /// A pin of a flow that is remembered.
    fn any_pin(&mut self, model: &Model) -> Option<(Place, Key, Pin)> {
        for _ in 0..8 {
            let key = self.dice.one_of(&self.flows).copied()?;
            let found =
                Place::BOTH.into_iter().find_map(|place| Some((place, *model.tables.of(place).get(&key)?)));
            if let Some((place, pin)) = found {
                return Some((place, key, pin));
            }
        }
        None
    }

    fn pin(&mut self, model: &Model) -> Option<Step> {
        let (place, key, old) = self.any_pin(model)?;
        let age = self.of(&AGES)?;
        let begun = age + self.dice.below(u64::from(OLDEST - age) + 1) as u32;
        let mut pin = Made { backend: old.backend, frontend: old.frontend, state: old.state, age, begun };
        match self.dice.below(8) {
            0 => pin.state = self.byte(),
            // One that a table has no entry for.
            1 => pin.backend = self.of(&[900, 40_000, 1 << 20])?,
            2 => pin.frontend = 1 << 16,
            _ => {}
        }
        // In both tables, or in the other one.
        let place = if self.one_in(6) { self.of(&Place::BOTH)? } else { place };
        Some(Step::Pin { place, key, pin })
    }

    fn sweep(&mut self, model: &Model) -> Option<Step> {
        self.any_pin(model).map(|(place, key, _)| Step::Sweep { place, key })
    }

    /// A port that may stand for a flow that is remembered stands for another one, or is free again.
    fn port(&mut self, model: &Model) -> Option<Step> {
        let (_, key, pin) = self.any_pin(model)?;
        let nth = if self.one_in(2) { 0 } else { self.dice.below(TRIES.into()) as usize };
        let at = (pin.backend, *ports(&key).get(nth)?, key.2);
        let stranger = (ip(key.0.is_ipv6(), 9, 99), 1, key.2, key.3, 0);
        Some(Step::Port { at, flow: if self.one_in(3) { None } else { Some(stranger) } })
    }

    /// A packet on the link to a backend: of a client that may have to be replaced, or an answer to who stands for it.
    fn beside(&mut self, model: &Model) -> Option<(Program, Wanted)> {
        if self.one_in(2) {
            let (_, (client, port, proto, ..), pin) = self.any_pin(model)?;
            let backend = model.tables.backends.get(&pin.backend)?;
            if client.is_ipv6() != backend.ip.is_ipv6() {
                return None;
            }
            let to = (backend.ip, backend.port);
            return Some((Program::NatEgress, self.wanted((client, port), to, proto)));
        }
        let hidden: Vec<_> = model.tables.hidden.keys().copied().collect();
        let (id, port, proto) = self.of(&hidden)?;
        let backend = model.tables.backends.get(&id)?;
        let (addr, _) = *model.tables.sources.get(&id)?;
        if addr.is_ipv6() != backend.ip.is_ipv6() {
            return None;
        }
        let port = if self.one_in(20) { port ^ 1 } else { port };
        Some((Program::NatIngress, self.wanted((backend.ip, backend.port), (addr, port), proto)))
    }

    fn client(&mut self, v6: bool) -> (IpAddr, u16) {
        let ip = match self.dice.below(24) {
            0 => ip(v6, 1, 2),
            1 => ip(v6, 2, 3),
            2 => ip(v6, 77, 5),
            3 => ip(v6, 9, 1),
            other => ip(v6, 9, 7 + (other % 3) as u8),
        };
        let port = 40_000 + self.dice.below(4) as u16;
        (ip, port)
    }

    fn wanted(&mut self, src: (IpAddr, u16), dst: (IpAddr, u16), proto: u8) -> Wanted {
        let flags = if self.one_in(12) { self.byte() } else { self.of(&FLAGS).unwrap_or(2) };
        let numbers = [(); 2].map(|()| self.dice.below(1 << 32) as u32);
        let numbers = if self.one_in(4) { [u32::MAX, 0xffff_0000] } else { numbers };
        let len = match self.dice.below(60) {
            0 => 1_400 + self.dice.below(200),
            1..20 => self.dice.below(40),
            _ => 0,
        };
        let mut payload = Vec::new();
        while payload.len() < len as usize {
            payload.extend(self.dice.below(u64::MAX).to_ne_bytes());
        }
        payload.truncate(len as usize);
        let hops = if self.one_in(12) { self.dice.below(3) as u8 } else { 64 };
        let options = if self.one_in(8) { 4 * self.dice.below(11) as u8 } else { 0 };
        Wanted { src, dst, proto, flags, numbers, hops, options, payload }
    }

    fn packet(&mut self, model: &Model) -> Step {
        let (program, wanted) = match self.dice.below(100) {
            0..10 => self.icmp(model),
            10..18 => self.beside(model),
            18..50 => self.by_client(model),
            50..92 => self.by_backend(model),
            _ => None,
        }
        .unwrap_or_else(|| self.by_anybody());
        let mut frame = self.made(&wanted);
        self.spoil(&mut frame);
        let program = if self.one_in(12) { self.of(&Program::ALL).unwrap_or(program) } else { program };
        // No socket buffer is made of a frame that ends inside its network header.
        let program = if runs(program, &frame) { program } else { Program::Xdp };
        let segments = if program.is_tc() && self.one_in(20) {
            (2 + self.dice.below(40) as u16, 100 + self.dice.below(1_500) as u16)
        } else {
            (0, 0)
        };
        Step::Packet { program, frame, segments }
    }

    /// The frame, one in a few with more headers than are needed.
    fn made(&mut self, wanted: &Wanted) -> Vec<u8> {
        if !self.one_in(6) {
            return frame(wanted);
        }
        let mut dress = Dress::default();
        if self.one_in(3) {
            dress.tags = self.dice.below(4) as usize;
        }
        if self.one_in(3) {
            dress.options = self.dice.below(11) as usize;
        }
        if self.one_in(2) {
            let most = if self.one_in(8) { 10 } else { 3 };
            for _ in 0..self.dice.below(most) {
                let kind = self.of(&[0, 43, 51, 60, 60]).unwrap_or(60);
                let units = if self.one_in(20) { self.byte() } else { self.dice.below(4) as u8 };
                dress.extensions.push((kind, units, u8::from(self.one_in(10))));
            }
        }
        if self.one_in(2) {
            // Of few datagrams, so that later fragments meet first ones.
            let offset = if self.one_in(2) { 0 } else { self.of(&[1, 2, 3, 100]).unwrap_or(1) };
            dress.fragment = Some((self.dice.below(3) as u32, offset, self.one_in(2)));
        }
        let made = dressed(wanted, &dress);
        // Neither is a test run's buffer larger than a page.
        if made.len() > LONGEST { frame(wanted) } else { made }
    }

    /// An echo to or from a whole address, or an error about a packet of a flow.
    fn icmp(&mut self, model: &Model) -> Option<(Program, Wanted)> {
        let (_, (client, port, proto, _, asked), pin) = self.any_pin(model)?;
        let v6 = client.is_ipv6();
        let icmp = if v6 { 58 } else { 1 };
        let backend = *model.tables.backends.get(&pin.backend)?;
        let (vip, vip_port, vip_proto) = *model.tables.frontend_addrs.get(&pin.frontend)?;
        if backend.ip.is_ipv6() != v6 || vip.is_ipv6() != v6 {
            return None;
        }
        if self.one_in(3) {
            let request = self.one_in(2);
            let kind: u16 = match (v6, request) {
                (false, true) => 8,
                (false, false) => 0,
                (true, true) => 128,
                (true, false) => 129,
            };
            let (src, dst) = if request { (client, ip(v6, 0, 12)) } else { (backend.ip, client) };
            let mut wanted = self.wanted((src, kind << 8), (dst, 0), icmp);
            wanted.numbers[0] = if request { 1 + self.dice.below(3) as u32 } else { port.into() };
            let to_slice = [Program::Xdp, Program::Ingress];
            let back = [Program::Zone, Program::Egress];
            let program = self.of(if request { &to_slice } else { &back })?;
            return Some((program, wanted));
        }
        let whole = vip_proto == WHOLE.1;
        let about_reply = self.one_in(2);
        let quoted = if about_reply {
            self.wanted((vip, if whole { asked } else { vip_port }), (client, port), proto)
        } else {
            self.wanted((client, port), (backend.ip, if whole { asked } else { backend.port }), proto)
        };
        let mut quote = frame(&quoted).split_off(14);
        if self.one_in(2) {
            quote.truncate(if v6 { 48 } else { 28 } + self.dice.below(20) as usize);
        }
        if self.one_in(12) {
            let at = self.dice.below(quote.len() as u64) as usize;
            quote[at] = self.byte();
        }
        let kind: u16 = self.of(if v6 { &[1, 2, 3, 4] } else { &[3, 3, 11, 12] })?;
        let dst = if about_reply { vip } else { client };
        let src = match self.dice.below(3) {
            0 => ip(v6, 9, 77),
            _ if about_reply => client,
            _ => backend.ip,
        };
        let mut wanted = self.wanted((src, kind << 8), (dst, 0), icmp);
        wanted.numbers = [if self.one_in(10) { 0x0706 } else { 0 }, 1_400];
        wanted.payload = quote;
        let to_slice = [Program::Xdp, Program::Ingress, Program::Zone];
        let back = [Program::Zone, Program::Egress];
        let program = self.of(if about_reply { &to_slice[..] } else { &back[..] })?;
        Some((program, wanted))
    }

    fn by_client(&mut self, model: &Model) -> Option<(Program, Wanted)> {
        if self.frontends.is_empty() {
            self.frontends = model.tables.frontends.keys().copied().collect();
            // In an order that does not depend on the table's.
            self.frontends.sort_unstable();
        }
        let (vip, port, proto) = self.dice.one_of(&self.frontends).copied()?;
        // Half of them belong to flows that there are.
        let pinned = if self.one_in(2) { self.any_pin(model) } else { None };
        let (src, dst, proto) = match pinned {
            Some((_, key, pin)) if !self.one_in(8) => {
                let (vip, port, proto) = *model.tables.frontend_addrs.get(&pin.frontend)?;
                ((key.0, key.1), (vip, if proto == WHOLE.1 { key.4 } else { port }), key.2)
            }
            _ if proto == WHOLE.1 => {
                let proto = self.of(&PROTOCOLS)?;
                let port = self.of(&[22, 53, 80, 5_060])?;
                (self.client(vip.is_ipv6()), (vip, port), proto)
            }
            _ => (self.client(vip.is_ipv6()), (vip, port), proto),
        };
        if src.0.is_ipv6() != dst.0.is_ipv6() {
            return None;
        }
        let program = self.of(&[Program::Xdp, Program::Ingress, Program::Zone])?;
        Some((program, self.wanted(src, dst, proto)))
    }

    fn by_backend(&mut self, model: &Model) -> Option<(Program, Wanted)> {
        let (_, (client, port, proto, service, asked), pin) = self.any_pin(model)?;
        let mut pinned = pin.backend;
        if self.one_in(10) {
            // Another one of the service's.
            let all = model.tables.backends.iter();
            let others: Vec<_> = all.filter(|(_, it)| it.service == service).map(|(id, _)| *id).collect();
            pinned = self.of(&others)?;
        }
        let backend = model.tables.backends.get(&pinned)?;
        let client = if self.one_in(20) { self.client(client.is_ipv6()) } else { (client, port) };
        if client.0.is_ipv6() != backend.ip.is_ipv6() {
            return None;
        }
        let program = self.of(&[Program::Zone, Program::Egress])?;
        let own = if backend.proto == WHOLE.1 { asked } else { backend.port };
        Some((program, self.wanted((backend.ip, own), client, proto)))
    }

    fn by_anybody(&mut self) -> (Program, Wanted) {
        let v6 = self.one_in(2);
        let at = |this: &mut Self| {
            let (net, host) = (this.dice.below(4) as u8, 2 + this.dice.below(10) as u8);
            let port = this.of(&[53, 80, 443, 8080, 9090, 40_000]).unwrap_or(80);
            (ip(v6, net, host), port)
        };
        let (src, dst) = (at(self), at(self));
        let proto = if self.one_in(4) { self.of(&PROTOCOLS) } else { self.of(&[6, 17]) }.unwrap_or(6);
        let program = self.of(&Program::ALL).unwrap_or(Program::Xdp);
        (program, self.wanted(src, dst, proto))
    }

    /// Makes one in a few frames what no good host sends.
    fn spoil(&mut self, frame: &mut Vec<u8>) {
        match self.dice.below(24) {
            0..3 => {
                for _ in 0..=self.dice.below(3) {
                    let at = self.dice.below(frame.len().min(80) as u64) as usize;
                    let value = match self.dice.below(4) {
                        0 => 0,
                        1 => 0xff,
                        2 => frame[at] ^ (1 << self.dice.below(8)),
                        _ => self.byte(),
                    };
                    frame[at] = value;
                }
            }
            3 => frame.truncate(14 + self.dice.below(frame.len() as u64 - 13) as usize),
            4 => frame.extend((0..=self.dice.below(20)).map(|_| 0xa5)),
            5 => self.checksums(frame),
            6 => {
                let kind = self.of(&[[0x81, 0x00], [0x88, 0xa8], [0x08, 0x06], [0x86, 0xdd], [0x08, 0x00]]);
                frame[12..14].copy_from_slice(&kind.unwrap_or_default());
            }
            7 if self.one_in(4) => self.headers(frame),
            _ => {}
        }
    }

    /// Checksums with a value of their own: none, all ones, anything.
    fn checksums(&mut self, frame: &mut [u8]) {
        let v6 = frame[12] == 0x86;
        let (l4, proto) = if v6 { (54, frame[20]) } else { (34, frame[23]) };
        let field = if self.one_in(4) && !v6 { 24 } else { l4 + if proto == 6 { 16 } else { 6 } };
        let value = match self.dice.below(4) {
            0 | 1 => [0, 0],
            2 => [0xff, 0xff],
            _ => [self.byte(), self.byte()],
        };
        if let Some(bytes) = frame.get_mut(field..field + 2) {
            bytes.copy_from_slice(&value);
        }
    }

    /// Headers that the plain way does not read.
    fn headers(&mut self, frame: &mut [u8]) {
        let v6 = frame[12] == 0x86;
        match (self.dice.below(3), v6) {
            (0, false) => frame[14] = 0x45 + self.dice.below(11) as u8,
            (1, false) => frame[20] = self.byte(),
            (_, false) => frame[23] = self.byte(),
            (0, true) => frame[22..34].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            (1, true) => frame[20] = self.of(&[0, 43, 44, 51, 60, 135, 58]).unwrap_or(58),
            (_, true) => frame[20] = self.byte(),
        }
    }
}

/// Whether the kernel makes a test run of this: it makes no socket buffer of a frame that ends inside its network
/// header, and no frame at all of less than an Ethernet header.
pub(super) fn runs(program: Program, frame: &[u8]) -> bool {
    let header = match frame.get(12..14) {
        Some([0x08, 0x00]) => 20,
        Some([0x86, 0xdd]) => 40,
        _ => 0,
    };
    frame.len() >= 14 && (!program.is_tc() || frame.len() >= 14 + header)
}
