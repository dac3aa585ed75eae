//! The built programs, loaded with tables of their own, and single packets through them.

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use bg_common::{
    Backend, Bucket, Endpoint, Flow, FlowKey, Fragment, FragmentKey, PreviewKey, Reason, Service, Settings,
    Tick, Word, names,
};
use bg_tests::cases::Outcome;
use bg_tests::world::{self, In, PinRow, World};
use bg_userspace::dataplane::kernel::OBJECT;
use std::time::Duration;

/// A program of the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    Xdp,
    TcIngress,
    TcZone,
    TcEgress,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Xdp => names::XDP_INGRESS,
            Self::TcIngress => names::TC_INGRESS,
            Self::TcZone => names::TC_ZONE,
            Self::TcEgress => names::TC_EGRESS,
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    /// The program's return value.
    pub(crate) action: i32,
    /// The frame afterwards.
    pub(crate) frame: Vec<u8>,
}

pub(crate) struct Machine {
    ebpf: Ebpf,
}

const XDP_DROP: i32 = 1;
pub(crate) const XDP_TX: i32 = 3;
const TC_ACT_SHOT: i32 = 2;
pub(crate) const TC_ACT_REDIRECT: i32 = 7;

impl Machine {
    pub(crate) fn new(world: &World) -> Self {
        let mut ebpf = EbpfLoader::new().load(OBJECT).expect("the object of this build loads");
        let xdp: &mut Xdp = ebpf.program_mut(names::XDP_INGRESS).unwrap().try_into().unwrap();
        xdp.load().expect("the verifier takes the XDP program");
        for name in [names::TC_INGRESS, names::TC_ZONE, names::TC_EGRESS] {
            let tc: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            tc.load().expect("the verifier takes the tc programs");
        }
        let mut machine = Self { ebpf };
        machine.fill(world);
        machine
    }

    fn array<V: aya::Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        self.ebpf.map_mut(name).expect("the table exists").try_into().expect("it has this form")
    }

    fn hash<K: aya::Pod, V: aya::Pod>(&mut self, name: &str) -> HashMap<&mut MapData, K, V> {
        self.ebpf.map_mut(name).expect("the table exists").try_into().expect("it has this form")
    }

    fn preview(&mut self, key: PreviewKey, aim: u32) {
        let mut previews: LpmTrie<_, [u32; 5], u32> = self
            .ebpf
            .map_mut(names::PREVIEW)
            .expect("the table exists")
            .try_into()
            .expect("it has this form");
        // SAFETY: the same bytes, all of them integers.
        let [bits, data @ ..]: [u32; 6] = unsafe { std::mem::transmute(key) };
        previews.insert(&Key::new(bits, data), aim, 0).unwrap();
    }

    fn put<V: Copy>(&mut self, name: &str, at: Endpoint, value: V)
    where
        Bucket<V>: aya::Pod,
    {
        let array = std::cell::RefCell::new(self.array::<Bucket<V>>(name));
        let read = |index| array.borrow().get(&index, 0).unwrap();
        world::put(at, value, read, |index, bucket| array.borrow_mut().set(index, bucket, 0).unwrap());
    }

    fn fill(&mut self, world: &World) {
        self.array::<Settings>(names::SETTINGS).set(0, world.settings, 0).unwrap();
        for (id, service) in world.services.iter().enumerate() {
            self.array::<Service>(names::SERVICES).set(id as u32, *service, 0).unwrap();
        }
        for (position, backend) in world.ring.iter().enumerate() {
            self.array::<u32>(names::RING).set(position as u32, *backend, 0).unwrap();
        }
        for (id, backend) in &world.backends {
            self.array::<Backend>(names::BACKENDS).set(*id, *backend, 0).unwrap();
            self.put(names::BACKENDS_BY_ADDR, backend.endpoint(), u64::from(*id));
        }
        for (prefix, len, aim) in &world.previews {
            let key = PreviewKey::prefix(0, *prefix, *len);
            self.preview(key, *aim as u32);
        }
        for (at, frontend) in &world.frontends {
            self.put(names::FRONTENDS, *at, *frontend);
            if frontend.is_vip() {
                continue;
            }
            self.array::<Endpoint>(names::FRONTEND_ADDRS).set(frontend.id.into(), *at, 0).unwrap();
        }
    }

    pub(crate) fn set_word(&mut self, word: Word) {
        self.array::<Word>(names::DEPLOYMENTS).set(0, word, 0).unwrap();
    }

    /// Sets word and pins, and all counts to zero.
    pub(crate) fn set(&mut self, word: Word, pins: &[PinRow]) {
        self.set_word(word);
        // Pins that a test puts there are no change that a program knows of.
        let epoch = self.array::<u64>(names::EPOCH).get(&0, 0).unwrap();
        self.array::<u64>(names::EPOCH).set(0, epoch + 1, 0).unwrap();
        for name in [names::FLOWS, names::HALF_OPEN] {
            let mut table = self.hash::<FlowKey, Flow>(name);
            let keys: Vec<FlowKey> = table.keys().map(Result::unwrap).collect();
            keys.iter().for_each(|key| table.remove(key).unwrap());
        }
        let mut fragments = self.hash::<FragmentKey, Fragment>(names::FRAGMENTS);
        let keys: Vec<FragmentKey> = fragments.keys().map(Result::unwrap).collect();
        keys.iter().for_each(|key| fragments.remove(key).unwrap());
        let cpus = aya::util::nr_cpus().unwrap();
        let mut reasons: PerCpuArray<_, u64> = self.ebpf.map_mut(names::REASONS).unwrap().try_into().unwrap();
        for index in 0..Reason::SLOTS {
            reasons.set(index, PerCpuValues::try_from(vec![0; cpus]).unwrap(), 0).unwrap();
        }
        for pin in pins {
            let oldest = pin.age.max(pin.begun.unwrap_or_default());
            bg_tests::clock::wait_for_uptime(Duration::from_secs(oldest.into()));
            let flow = pin.write(now());
            let name = match pin.table {
                In::Established => names::FLOWS,
                In::HalfOpen => names::HALF_OPEN,
            };
            self.hash::<FlowKey, Flow>(name).insert(pin.key, flow, 0).unwrap();
        }
    }

    /// Whether the kernel makes a test run of this program and packet: it builds no socket buffer of a
    /// packet that ends inside its network header.
    pub(crate) fn can_run(program: Program, packet: &[u8]) -> bool {
        let header = match packet.get(12..14) {
            Some([0x08, 0x00]) => 20,
            Some([0x86, 0xdd]) => 40,
            _ => 0,
        };
        program == Program::Xdp || packet.len() >= 14 + header
    }

    pub(crate) fn run(&self, program: Program, packet: &[u8]) -> Ran {
        let mut out = vec![0; packet.len() + 64];
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.data_out = Some(&mut out);
        let loaded = self.ebpf.program(program.name()).expect("the program exists");
        let result = if program == Program::Xdp {
            <&Xdp>::try_from(loaded).unwrap().test_run(options)
        } else {
            <&SchedClassifier>::try_from(loaded).unwrap().test_run(options)
        }
        .expect("the kernel runs the program");
        out.truncate(result.data_size_out as usize);
        let action = result.return_value as i32;
        let dropped = if program == Program::Xdp { action == XDP_DROP } else { action == TC_ACT_SHOT };
        let outcome = if dropped {
            Outcome::Dropped
        } else if out == packet {
            Outcome::Untouched
        } else {
            Outcome::Becomes(out.clone())
        };
        Ran { outcome, action, frame: out }
    }

    /// The reasons that were counted since the last [`Machine::set`], in the order of their numbers, as
    /// often as they were.
    pub(crate) fn reasons(&mut self) -> Vec<Reason> {
        let table: PerCpuArray<_, u64> = self.ebpf.map_mut(names::REASONS).unwrap().try_into().unwrap();
        let count = |reason: &Reason| table.get(&reason.index(), 0).unwrap().iter().sum::<u64>() as usize;
        Reason::ALL.iter().flat_map(|reason| vec![*reason; count(reason)]).collect()
    }

    pub(crate) fn pins(&mut self) -> Vec<PinRow> {
        let mut pins = Vec::new();
        for (table, name) in [(In::Established, names::FLOWS), (In::HalfOpen, names::HALF_OPEN)] {
            let entries = self.hash::<FlowKey, Flow>(name);
            pins.extend(
                entries.iter().map(Result::unwrap).map(|(key, flow)| PinRow::read(table, key, flow, now())),
            );
        }
        pins
    }
}

fn now() -> Tick {
    Tick::from_nanos(bg_tests::clock::now())
}
