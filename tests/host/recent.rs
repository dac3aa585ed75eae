//! What is remembered of one packet for the next makes it cheaper, and changes nothing.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it must be"
)]

use bg_common::{Colour, Fate, Flow, PinnedFlows, Tick, Via, Word};
use bg_tests::cases::{Hook, Outcome};
use bg_tests::host::{Fake, Frame, run};
use bg_tests::packet::{self, flag};
use bg_tests::world::{DNS_BLUE, Family, WEB_BLUE, WEB_GREEN, World};
use proptest::prelude::*;
use std::net::SocketAddr;

/// Jiffies of a tick, at 250 a second.
const JIFFIES: u64 = 33;

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A segment of one of four clients, or to it, with these flags.
    Segment {
        client: u8,
        reply: bool,
        flags: u8,
    },
    /// A datagram.
    Datagram {
        client: u8,
        reply: bool,
    },
    /// So many jiffies pass.
    Time(u64),
    /// The word becomes another.
    Switch(Fate),
    /// With a deadline so many ticks ahead.
    SwitchUntil(u32),
    Drained,
    Pause,
    /// Blue's backend of the web goes down, or up again.
    Down(PinnedFlows),
    Up,
}

fn any_step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        12 => Just(flag::ACK),
        2 => Just(flag::SYN),
        2 => Just(flag::SYN | flag::ACK),
        1 => Just(flag::FIN | flag::ACK),
        1 => Just(flag::RST),
    ];
    let fate = prop_oneof![Just(Fate::Keep), Just(Fate::Reset), Just(Fate::Move)];
    let pinned = prop_oneof![Just(PinnedFlows::Keep), Just(PinnedFlows::Reset), Just(PinnedFlows::Move)];
    prop_oneof![
        30 => (0..4_u8, any::<bool>(), flags).prop_map(|(client, reply, flags)| Step::Segment { client, reply, flags }),
        10 => (0..4_u8, any::<bool>()).prop_map(|(client, reply)| Step::Datagram { client, reply }),
        6 => (0..40_u64).prop_map(Step::Time),
        1 => (0..3_000_u64).prop_map(Step::Time),
        1 => fate.prop_map(Step::Switch),
        1 => (1..4_u32).prop_map(Step::SwitchUntil),
        1 => Just(Step::Drained),
        1 => Just(Step::Pause),
        1 => pinned.prop_map(Step::Down),
        1 => Just(Step::Up),
    ]
}

struct Pair {
    fakes: [Fake; 2],
    jiffies: u64,
    /// Those that were deciding about the newest flows, so that replies come from where requests went.
    backends: [[SocketAddr; 4]; 2],
}

impl Pair {
    fn new(family: Family) -> Self {
        let fake = || Fake::empty(&World::new(Via::Stack, 0), Word::initial(Colour::Blue));
        let fakes = [fake(), fake()];
        fakes[1].forgets.set(true);
        let backends = [[family.backend(WEB_BLUE); 4], [family.backend(DNS_BLUE); 4]];
        Self { fakes, jiffies: 0, backends }
    }

    fn change(&self, change: impl Fn(Word) -> Option<Word>) {
        for fake in &self.fakes {
            let settled = fake.word.get().settled(fake.now.get()).unwrap();
            if let Some(word) = change(settled) {
                fake.word.set(word);
            }
        }
    }

    /// The same frame through both; what came of it.
    fn send(&self, hook: Hook, frame: &[u8]) -> Outcome {
        let [ours, theirs] = &self.fakes;
        let before = [ours.reasons().len(), theirs.reasons().len()];
        let [got, want] = [ours, theirs].map(|fake| run(fake, hook, &mut Frame(frame.to_vec())));
        assert_eq!(got, want);
        let after = [ours.reasons().len(), theirs.reasons().len()];
        assert_eq!(after[0] - before[0], after[1] - before[1], "{:?} {:?}", ours.reasons(), theirs.reasons());
        got
    }

    fn step(&mut self, family: Family, step: Step) {
        let client = |client: u8| SocketAddr::new(family.client().ip(), 40_000 + u16::from(client));
        match step {
            Step::Segment { client: who, reply: false, flags } => {
                let frame = packet::tcp(client(who), family.vip(1, 80), flags, b"x");
                self.sent(family, 0, who, &frame, [WEB_BLUE, WEB_GREEN]);
            }
            Step::Segment { client: who, reply: true, flags } => {
                let from = self.backends[0][usize::from(who)];
                self.send(Hook::ToClient, &packet::tcp(from, client(who), flags, b"y"));
            }
            Step::Datagram { client: who, reply: false } => {
                let frame = packet::udp(client(who), family.vip(1, 53), b"x");
                self.sent(family, 1, who, &frame, [DNS_BLUE, DNS_BLUE + 1]);
            }
            Step::Datagram { client: who, reply: true } => {
                let from = self.backends[1][usize::from(who)];
                self.send(Hook::ToClient, &packet::udp(from, client(who), b"y"));
            }
            Step::Time(jiffies) => {
                self.jiffies += jiffies;
                for fake in &self.fakes {
                    fake.jiffies.set(1_000_000 + self.jiffies);
                    fake.now.set(Tick(1_000_000 + (self.jiffies / JIFFIES) as u32));
                }
            }
            Step::Switch(fate) => self.change(|word| word.switched(word.live().other(), fate, None).ok()),
            Step::SwitchUntil(ticks) => {
                let at = self.fakes[0].now.get().0 + ticks;
                self.change(|word| word.switched(word.live().other(), Fate::Reset, Some(at)).ok());
            }
            Step::Drained => self.change(|word| word.drained().ok()),
            Step::Pause => self
                .change(|word| if word.is_paused() { word.resumed().ok() } else { word.paused(None).ok() }),
            Step::Down(pinned) => self.web_blue(family, |backend| backend.down(pinned)),
            Step::Up => self.web_blue(family, |backend| backend.down(PinnedFlows::Keep).removed()),
        }
    }

    fn web_blue(&mut self, family: Family, change: impl Fn(bg_common::Backend) -> bg_common::Backend) {
        for fake in &mut self.fakes {
            fake.replace(WEB_BLUE + family.offset(), &change);
        }
    }

    fn sent(&mut self, family: Family, service: usize, who: u8, frame: &[u8], backends: [u32; 2]) {
        if let Outcome::Becomes(sent) = self.send(Hook::ToSlice, frame) {
            let at = backends.map(|id| family.backend(id));
            let (start, len) = if family == Family::V4 { (30, 4) } else { (38, 16) };
            let to = &sent[start..start + len];
            let found = at.into_iter().find(|at| match at.ip() {
                std::net::IpAddr::V4(ip) => ip.octets() == to,
                std::net::IpAddr::V6(ip) => ip.octets() == to,
            });
            self.backends[service][usize::from(who)] = found.expect("it went to a backend");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whoever_remembers_does_as_whoever_forgets(
        v6 in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..200),
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let mut pair = Pair::new(family);
        for step in steps {
            pair.step(family, step);
        }
        let [ours, theirs] = &pair.fakes;
        let pins = |fake: &Fake| {
            let mut pins: Vec<_> = fake.pins().iter().map(|pin| (pin.table, format!("{:?}", pin.key), pin.backend, pin.state)).collect();
            pins.sort();
            pins
        };
        prop_assert_eq!(pins(ours), pins(theirs));
        for colour in Colour::BOTH {
            let slice = bg_common::SliceId::new(0, colour);
            prop_assert_eq!(ours.traffic_of(slice), theirs.traffic_of(slice));
        }
    }
}

/// A flow that is established, and that has spoken twice of late: both of its directions are remembered.
fn busy(family: Family) -> Pair {
    let mut pair = Pair::new(family);
    for _ in 0..4 {
        for (flags, reply) in [(flag::SYN, false), (flag::ACK, true), (flag::ACK, false)] {
            let flags = if pair.fakes[0].pins().is_empty() { flags } else { flag::ACK };
            pair.step(family, Step::Segment { client: 0, reply, flags });
        }
    }
    pair
}

#[test]
fn both_directions_of_a_busy_flow_are_remembered_and_nothing_else_is() {
    for family in Family::BOTH {
        assert_eq!(busy(family).fakes[0].remembered(), 2);
        let mut lazy = Pair::new(family);
        for round in 0..6 {
            for (reply, flags) in [(false, flag::SYN), (true, flag::ACK), (false, flag::ACK)] {
                let flags = if round == 0 { flags } else { flag::ACK };
                lazy.step(family, Step::Segment { client: 0, reply, flags });
                lazy.step(family, Step::Time(JIFFIES));
            }
        }
        assert_eq!(lazy.fakes[0].remembered(), 0, "one packet in a tick is cheap enough");
        let mut strange = busy(family);
        strange.step(family, Step::Segment { client: 1, reply: false, flags: flag::ACK });
        strange.step(family, Step::Segment { client: 1, reply: false, flags: flag::ACK });
        assert_eq!(strange.fakes[0].remembered(), 2, "half-open flows are not remembered");
    }
}

#[test]
fn a_reset_is_taken_back_by_the_next_packet_of_a_flow_that_is_remembered() {
    for (reset_by, taken_back_by) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut pair = busy(Family::V4);
        pair.step(Family::V4, Step::Segment { client: 0, reply: reset_by, flags: flag::RST });
        assert_ne!(pair.fakes[0].pins()[0].state & Flow::RESET, 0);
        pair.step(Family::V4, Step::Segment { client: 0, reply: taken_back_by, flags: flag::ACK });
        assert_eq!(pair.fakes[0].pins()[0].state & Flow::RESET, 0, "by {reset_by}, then {taken_back_by}");
    }
}

#[test]
fn what_waits_for_a_deadline_is_not_remembered() {
    let mut pair = Pair::new(Family::V4);
    pair.step(Family::V4, Step::SwitchUntil(100));
    for (flags, reply) in [(flag::SYN, false), (flag::ACK, true)].into_iter().chain([(flag::ACK, false); 6]) {
        pair.step(Family::V4, Step::Segment { client: 0, reply, flags });
    }
    assert_eq!(pair.fakes[0].remembered(), 0);
}

#[test]
fn a_flow_that_is_remembered_all_the_time_does_not_look_idle() {
    let mut pair = busy(Family::V6);
    for _ in 0..500 {
        pair.step(Family::V6, Step::Time(3));
        pair.step(Family::V6, Step::Segment { client: 0, reply: false, flags: flag::ACK });
    }
    assert_eq!(pair.fakes[0].pins()[0].age, 0);
}
