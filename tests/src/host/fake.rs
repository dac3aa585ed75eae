//! Tables in ordinary memory, and a frame in a vector.

#![expect(clippy::expect_used, reason = "a wrong fixture shall end the test that uses it")]

use crate::world::{In, PinRow, World};
use bg_common::{
    Addr, Aim, Backend, Connected, Endpoint, Flow, FlowKey, Fragment, FragmentKey, Frontend, NatKey, Reason,
    Recent, Service, Settings, SliceId, Source, Tick, Traffic, Word,
};
use bg_ebpf::checksum::Change;
use bg_ebpf::tables::Insert;
use bg_ebpf::{Nat, Pin, Sockets, Tables, View};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

type Flows = RefCell<HashMap<FlowKey, Rc<Cell<Flow>>>>;

/// All tables of one deployment.
#[derive(Debug)]
pub struct Fake {
    /// The clock.
    pub now: Cell<Tick>,
    /// The word of every deployment.
    pub word: Cell<Word>,
    /// As if another CPU moved a pin to the established ones between two look-ups.
    pub promotes: Cell<bool>,
    /// Established pins that fit.
    pub room: Cell<usize>,
    services: Vec<Service>,
    frontends: HashMap<Endpoint, Frontend>,
    ring: Vec<u32>,
    previews: Vec<(Addr, u8, Aim)>,
    backends: HashMap<u32, Backend>,
    backends_by_addr: HashMap<Endpoint, u32>,
    flows: Flows,
    half_open: Flows,
    /// What sockets are connected to.
    pub connected: RefCell<HashMap<u64, Connected>>,
    /// Addresses that stand for clients.
    pub sources: HashMap<u32, Source>,
    /// Clients behind such addresses.
    pub hidden: RefCell<HashMap<NatKey, FlowKey>>,
    settings: Settings,
    fragments: RefCell<HashMap<FragmentKey, Fragment>>,
    traffic: RefCell<HashMap<u32, Traffic>>,
    counted: RefCell<Vec<Reason>>,
    recent: RefCell<HashMap<u32, Recent>>,
    /// Whether nothing is remembered of one packet for the next.
    pub forgets: Cell<bool>,
    /// The coarse clock.
    pub jiffies: Cell<u64>,
    /// What counts changes of the tables.
    pub epoch: Cell<u64>,
}

impl Fake {
    /// With these pins.
    #[must_use]
    pub fn new(world: &World, word: Word, pins: &[PinRow]) -> Self {
        let fake = Self::empty(world, word);
        for pin in pins {
            let flow = pin.write(fake.now.get());
            let table = match pin.table {
                In::Established => &fake.flows,
                In::HalfOpen => &fake.half_open,
            };
            table.borrow_mut().insert(pin.key, Rc::new(Cell::new(flow)));
        }
        fake
    }

    /// Without pins.
    #[must_use]
    pub fn empty(world: &World, word: Word) -> Self {
        Self {
            now: Cell::new(Tick(1_000_000)),
            word: Cell::new(word),
            promotes: Cell::new(false),
            room: Cell::new(usize::MAX),
            services: world.services.clone(),
            frontends: world.frontends.iter().copied().collect(),
            ring: world.ring.clone(),
            previews: world.previews.clone(),
            backends: world.backends.iter().copied().collect(),
            backends_by_addr: world.backends.iter().map(|(id, backend)| (backend.endpoint(), *id)).collect(),
            flows: Flows::default(),
            half_open: Flows::default(),
            connected: RefCell::default(),
            sources: HashMap::new(),
            hidden: RefCell::default(),
            settings: world.settings,
            fragments: RefCell::default(),
            traffic: RefCell::default(),
            counted: RefCell::default(),
            recent: RefCell::default(),
            forgets: Cell::new(false),
            jiffies: Cell::new(1_000_000),
            epoch: Cell::new(1),
        }
    }

    /// The reasons that were counted, in the order of their numbers.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        let mut counted = self.counted.borrow().clone();
        counted.sort_by_key(|reason| reason.index());
        counted
    }

    /// Forgets the reasons that were counted.
    pub fn start_counting(&self) {
        self.counted.borrow_mut().clear();
    }

    /// What a slice has carried.
    #[must_use]
    pub fn traffic_of(&self, slice: SliceId) -> Traffic {
        self.traffic.borrow().get(&slice.index()).copied().unwrap_or_default()
    }

    /// Replaces a backend, as user space does: what is remembered is void afterwards.
    pub fn replace(&mut self, id: u32, change: impl FnOnce(Backend) -> Backend) {
        let backend = self.backends.get_mut(&id).expect("there is such a backend");
        *backend = change(*backend);
        self.epoch.set(self.epoch.get() + 1);
    }

    /// How many decisions are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.recent.borrow().values().filter(|recent| **recent != Recent::default()).count()
    }

    /// All pins.
    #[must_use]
    pub fn pins(&self) -> Vec<PinRow> {
        let read = |table, flows: &Flows| {
            let rows = flows.borrow();
            rows.iter()
                .map(|(key, flow)| PinRow::read(table, *key, flow.get(), self.now.get()))
                .collect::<Vec<_>>()
        };
        [read(In::Established, &self.flows), read(In::HalfOpen, &self.half_open)].concat()
    }

    /// From here on an address of the gateway stands for clients of a backend.
    pub fn set_source(&mut self, backend: u32, source: Source) {
        self.sources.insert(backend, source);
        if let Some(backend) = self.backends.get_mut(&backend) {
            *backend = backend.with_source();
        }
    }

    fn insert(table: &Flows, room: usize, key: &FlowKey, flow: &Flow) -> Insert {
        let mut table = table.borrow_mut();
        if table.contains_key(key) {
            return Insert::Exists;
        }
        if table.len() >= room {
            return Insert::Full;
        }
        table.insert(*key, Rc::new(Cell::new(*flow)));
        Insert::Done
    }
}

/// A pin that is shared with its table.
#[derive(Debug)]
pub struct FakePin(Rc<Cell<Flow>>);

impl Pin for FakePin {
    fn get(&self) -> Flow {
        self.0.get()
    }

    fn touch(&self, now: Tick) {
        let mut flow = self.0.get();
        flow.seen = now;
        self.0.set(flow);
    }

    fn set_state(&self, state: u8) {
        self.0.set(self.0.get().with_state(state));
    }
}

impl Tables for Fake {
    type Pin = FakePin;

    fn now(&self) -> Tick {
        self.now.get()
    }

    fn now_ns(&self) -> u64 {
        u64::from(self.now.get().0) * Tick::NANOS
    }

    fn settings(&self) -> Settings {
        self.settings
    }

    fn frontend(&self, at: &Endpoint) -> Option<Frontend> {
        self.frontends.get(at).copied()
    }

    fn frontend_addr(&self, id: u32) -> Option<Endpoint> {
        self.frontends
            .iter()
            .find(|(_, frontend)| !frontend.is_vip() && u32::from(frontend.id) == id)
            .map(|(at, _)| *at)
    }

    fn service(&self, id: u32) -> Option<&Service> {
        self.services.get(id as usize)
    }

    fn word(&self, _: u32) -> Option<Word> {
        Some(self.word.get())
    }

    fn ring(&self, position: u32) -> Option<u32> {
        self.ring.get(position as usize).copied()
    }

    fn preview(&self, _: u32, client: &Addr) -> Aim {
        let matching = |(prefix, len, _): &&(Addr, u8, Aim)| {
            let mapped = if prefix.is_v4() { 96 } else { 0 };
            let bits = mapped + u32::from(*len);
            let [a, b] = [prefix, client].map(|addr| u128::from_be_bytes(addr.octets()));
            prefix.is_v4() == client.is_v4() && (a ^ b).checked_shr(128 - bits).unwrap_or(0) == 0
        };
        let longest = self.previews.iter().filter(matching).max_by_key(|(_, len, _)| *len);
        longest.map_or(Aim::Live, |(_, _, aim)| *aim)
    }

    fn backend(&self, id: u32) -> Option<&Backend> {
        self.backends.get(&id).filter(|backend| !backend.is_vacant())
    }

    fn backend_at(&self, at: &Endpoint) -> Option<u32> {
        self.backends_by_addr.get(at).copied()
    }

    fn flow(&self, key: &FlowKey) -> Option<FakePin> {
        self.flows.borrow().get(key).cloned().map(FakePin)
    }

    fn half_open(&self, key: &FlowKey) -> Option<FakePin> {
        if self.promotes.take()
            && let Some(flow) = self.half_open.borrow_mut().remove(key)
        {
            self.flows.borrow_mut().insert(*key, flow);
        }
        self.half_open.borrow().get(key).cloned().map(FakePin)
    }

    fn insert_half_open(&self, key: &FlowKey, flow: &Flow) -> Insert {
        Self::insert(&self.half_open, usize::MAX, key, flow)
    }

    fn insert_flow(&self, key: &FlowKey, flow: &Flow) -> Insert {
        Self::insert(&self.flows, self.room.get(), key, flow)
    }

    fn remove_half_open(&self, key: &FlowKey) {
        self.half_open.borrow_mut().remove(key);
    }

    fn remove_flow(&self, key: &FlowKey) {
        self.flows.borrow_mut().remove(key);
    }

    fn recent<R>(&self, slot: u32, look: impl FnOnce(&mut Recent) -> R) -> Option<R> {
        assert!(slot < Recent::ENTRIES);
        if self.forgets.get() {
            return None;
        }
        Some(look(self.recent.borrow_mut().entry(slot).or_default()))
    }

    fn jiffies(&self) -> u64 {
        self.jiffies.get()
    }

    fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    fn next_epoch(&self) {
        self.epoch.set(self.epoch.get() + 1);
    }

    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        self.fragments.borrow().get(key).copied()
    }

    fn remember_fragment(&self, key: &FragmentKey, fragment: &Fragment) -> Insert {
        self.fragments.borrow_mut().insert(*key, *fragment);
        Insert::Done
    }

    fn traffic(&self, slice: SliceId, change: impl FnOnce(&mut Traffic)) {
        change(self.traffic.borrow_mut().entry(slice.index()).or_default());
    }

    fn count(&self, reason: Reason) {
        self.counted.borrow_mut().push(reason);
    }
}

impl Sockets for Fake {
    fn connected(&self, cookie: u64) -> Option<Connected> {
        self.connected.borrow().get(&cookie).copied()
    }

    fn remember_connected(&self, cookie: u64, connected: &Connected) -> bool {
        self.connected.borrow_mut().insert(cookie, *connected);
        true
    }

    fn forget_connected(&self, cookie: u64) {
        self.connected.borrow_mut().remove(&cookie);
    }
}

impl Nat for Fake {
    fn source(&self, backend: u32) -> Option<Source> {
        self.sources.get(&backend).copied()
    }

    fn hidden(&self, at: &NatKey) -> Option<FlowKey> {
        self.hidden.borrow().get(at).copied()
    }

    fn hide(&self, at: &NatKey, flow: &FlowKey) -> Insert {
        let mut hidden = self.hidden.borrow_mut();
        if hidden.contains_key(at) {
            return Insert::Exists;
        }
        hidden.insert(*at, *flow);
        Insert::Done
    }
}

/// A frame whose checksums are complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame(pub Vec<u8>);

impl Frame {
    fn at(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.0.get(offset..offset.checked_add(len)?)
    }
}

impl View for Frame {
    fn len(&self) -> u32 {
        self.0.len() as u32
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.at(offset, N)?.try_into().ok()
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let bytes = self.at(offset, N * 4)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().ok()?);
        }
        Some(words)
    }

    fn longs<const N: usize>(&self, offset: usize) -> Option<[u64; N]> {
        let bytes = self.at(offset, N * 8)?;
        let mut longs = [0; N];
        for (long, bytes) in longs.iter_mut().zip(bytes.chunks_exact(8)) {
            *long = u64::from_ne_bytes(bytes.try_into().ok()?);
        }
        Some(longs)
    }

    fn write<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        self.0.get_mut(offset..offset.checked_add(N)?)?.copy_from_slice(&bytes);
        Some(())
    }

    fn write_longs(&mut self, offset: usize, longs: [u64; 2]) -> Option<()> {
        let [first, second] = longs.map(u64::to_ne_bytes);
        let field = self.0.get_mut(offset..offset.checked_add(16)?)?;
        field.copy_from_slice(&[first, second].concat());
        Some(())
    }

    fn shorten(&mut self, len: usize) -> Option<()> {
        self.0.get(..len)?;
        self.0.truncate(len);
        Some(())
    }

    fn mend_checksum(&mut self, offset: usize, change: &Change) -> Option<()> {
        let old = self.read(offset)?;
        self.write(offset, change.apply(old))
    }
}
