//! An input: bytes that are a world, pins and frames, whatever they are. What is missing at the end is zero.

use crate::cases::{Case, Hook};
use crate::world::{In, PinRow};
use bg_common::{Addr, FlowKey, Port, Proto, Word};
use bg_ebpf::Hop;

/// Frames of an input.
const STEPS: usize = 4;
/// Pins of an input.
const PINS: u8 = 7;
/// Seconds that can pass before a frame.
const WAITS: [u16; 8] = [0, 1, 2, 5, 61, 121, 301, 7201];

const HOOKS: [Hook; 3] = [Hook::ToSlice, Hook::Zone, Hook::ToClient];

mod bit {
    //! Of an input's first byte, of a pin's, and of a step's.
    pub(super) const WHOLE: u8 = 1 << 0;
    pub(super) const REMEMBERS: u8 = 1 << 1;
    pub(super) const FULL: u8 = 1 << 2;
    /// Above it the number of pins.
    pub(super) const PINS: u32 = 3;

    pub(super) const ESTABLISHED: u8 = 1 << 0;
    pub(super) const V6: u8 = 1 << 1;
    pub(super) const ASKED: u8 = 1 << 2;

    /// Below it the hook.
    pub(super) const TAKES_HOP: u8 = 1 << 2;
    /// Three bits.
    pub(super) const WAIT: u32 = 3;
    pub(super) const SWITCHES: u8 = 1 << 6;
}

/// What is played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// Whether a frontend has a whole address.
    pub whole: bool,
    /// Whether decisions are remembered for a moment.
    pub remembers: bool,
    /// Whether there is no room for established pins.
    pub full: bool,
    /// The deployment's word, with or without sense.
    pub word: Word,
    /// Pins before.
    pub pins: Vec<PinRow>,
    /// Frames, one after the other.
    pub steps: Vec<Step>,
}

/// One frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// The program.
    pub hook: Hook,
    /// Whether the program takes the hop.
    pub hop: Hop,
    /// Seconds that pass before.
    pub wait: u16,
    /// Whether the other colour becomes live before.
    pub switches: bool,
    /// The frame.
    pub frame: Vec<u8>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hook, hop, wait, switches, frame } = self;
        write!(f, "{hook:?} {hop:?} wait={wait} switches={switches} ")?;
        frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Input {
    /// That of a case.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let frames: Vec<_> = case.earlier.iter().chain([&case.packet]).collect();
        let frames = frames.iter().skip(frames.len().saturating_sub(STEPS));
        let step = |frame: &&Vec<u8>| Step {
            hook: case.hook,
            hop: Hop::Keep,
            wait: 0,
            switches: false,
            frame: frame.to_vec(),
        };
        Self {
            whole: case.whole,
            remembers: false,
            full: false,
            word: case.word,
            pins: case.before.iter().take(PINS.into()).copied().collect(),
            steps: frames.map(step).collect(),
        }
    }

    /// Reads any bytes.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        let [flags] = bytes.take();
        let word = Word::from_bits(u64::from_le_bytes(bytes.take()));
        let pins = (0..flags >> bit::PINS & PINS).map(|_| read_pin(&mut bytes)).collect();
        let mut steps = Vec::new();
        while !bytes.0.is_empty() && steps.len() < STEPS {
            steps.push(Step::read(&mut bytes));
        }
        let [whole, remembers, full] = [bit::WHOLE, bit::REMEMBERS, bit::FULL].map(|bit| flags & bit != 0);
        Self { whole, remembers, full, word, pins, steps }
    }

    /// The bytes that are read as this.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let flags = [(self.whole, bit::WHOLE), (self.remembers, bit::REMEMBERS), (self.full, bit::FULL)];
        let mut bytes = vec![set(&flags) | (self.pins.len() as u8) << bit::PINS];
        bytes.extend(self.word.bits().to_le_bytes());
        self.pins.iter().for_each(|pin| write_pin(pin, &mut bytes));
        self.steps.iter().for_each(|step| step.write(&mut bytes));
        bytes
    }
}

impl Step {
    fn read(bytes: &mut Bytes<'_>) -> Self {
        let [control, low, high] = bytes.take();
        Self {
            hook: *HOOKS.get(usize::from(control & 3)).unwrap_or(&Hook::ToSlice),
            hop: if control & bit::TAKES_HOP == 0 { Hop::Keep } else { Hop::Take },
            wait: *WAITS.get(usize::from(control >> bit::WAIT & 7)).unwrap_or(&0),
            switches: control & bit::SWITCHES != 0,
            frame: bytes.some(u16::from_le_bytes([low, high]).into()).to_vec(),
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let place = |found: Option<usize>| found.unwrap_or(0) as u8;
        let hook = place(HOOKS.iter().position(|hook| *hook == self.hook));
        let wait = place(WAITS.iter().position(|wait| *wait == self.wait));
        let flags = [(self.hop == Hop::Take, bit::TAKES_HOP), (self.switches, bit::SWITCHES)];
        bytes.push(hook | wait << bit::WAIT | set(&flags));
        bytes.extend((self.frame.len() as u16).to_le_bytes());
        bytes.extend(&self.frame);
    }
}

fn read_pin(bytes: &mut Bytes<'_>) -> PinRow {
    let [flags, proto, service, backend, frontend, state] = bytes.take();
    let [port, asked] = [(); 2].map(|()| Port::from(u16::from_le_bytes(bytes.take())));
    let [age, begun] = [(); 2].map(|()| u32::from(u16::from_le_bytes(bytes.take())));
    let client = if flags & bit::V6 == 0 { Addr::from_v4(bytes.take()) } else { Addr::from_v6(bytes.take()) };
    let key = if flags & bit::ASKED == 0 {
        FlowKey::new(client, port, Proto(proto), service.into())
    } else {
        FlowKey::whole(client, port, Proto(proto), service.into(), asked)
    };
    let table = if flags & bit::ESTABLISHED == 0 { In::HalfOpen } else { In::Established };
    let (backend, frontend) = (backend.into(), frontend.into());
    PinRow { table, key, backend, frontend, state, age, begun: Some(begun) }
}

fn write_pin(pin: &PinRow, bytes: &mut Vec<u8>) {
    let PinRow { table, key, backend, frontend, state, age, begun } = *pin;
    let (client, asked) = (key.client(), key.asked().get());
    let flags =
        [(table == In::Established, bit::ESTABLISHED), (!client.is_v4(), bit::V6), (asked != 0, bit::ASKED)];
    bytes.extend([set(&flags), key.proto().0, key.service() as u8, backend as u8, frontend as u8, state]);
    for number in [key.port().get(), asked, age as u16, begun.unwrap_or(age) as u16] {
        bytes.extend(number.to_le_bytes());
    }
    let octets = client.octets();
    bytes.extend(if client.is_v4() { octets.get(12..).unwrap_or_default() } else { &octets });
}

/// The bits that are said.
fn set(flags: &[(bool, u8)]) -> u8 {
    flags.iter().filter(|(said, _)| *said).fold(0, |bits, (_, bit)| bits | bit)
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn some(&mut self, len: usize) -> &'a [u8] {
        let (some, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        some
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        taken.iter_mut().zip(self.some(N)).for_each(|(to, from)| *to = *from);
        taken
    }
}
