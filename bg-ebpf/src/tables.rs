//! The seam to the tables.

use bg_common::{
    Addr, Aim, Backend, Connected, Endpoint, Flow, FlowKey, Fragment, FragmentKey, Frontend, NatKey, Reason,
    Recent, Service, Settings, SliceId, Source, Tick, Traffic, Word,
};

/// What was inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insert {
    /// The new entry.
    Done,
    /// Nothing: the key has an entry already, and the first one stays.
    Exists,
    /// Nothing: the table is full, or the kernel is out of memory.
    Full,
}

/// An entry of a flow table. Time and state are changed in place, because an update of the key would
/// replace the entry, and in an LRU table throw out a stranger for it. Whose entry it is never changes in
/// place: the kernel may have given the memory to another flow since the look-up.
pub trait Pin {
    /// The entry as it is.
    fn get(&self) -> Flow;

    /// Sets the time of the last packet.
    fn touch(&self, now: Tick);

    /// Sets the state bits.
    fn set_state(&self, state: u8);
}

/// Look-ups and changes that deciding needs. Every method is one table operation.
pub trait Tables {
    /// An entry of [`Tables::flow`] or [`Tables::half_open`].
    type Pin: Pin;

    /// The time.
    fn now(&self) -> Tick;

    /// The time in nanoseconds, from the finer of the two clocks.
    fn now_ns(&self) -> u64;

    /// What holds for all packets.
    fn settings(&self) -> Settings;

    /// The frontend at an address, port and protocol.
    fn frontend(&self, at: &Endpoint) -> Option<Frontend>;

    /// Where a frontend listens.
    fn frontend_addr(&self, id: u32) -> Option<Endpoint>;

    /// A service.
    fn service(&self, id: u32) -> Option<&Service>;

    /// A deployment's word, as of this moment.
    fn word(&self, deployment: u32) -> Option<Word>;

    /// The backend id at a ring position.
    fn ring(&self, position: u32) -> Option<u32>;

    /// Where the preview rules of a deployment lead a client; [`Aim::Live`] when none is for it.
    fn preview(&self, deployment: u32, client: &Addr) -> Aim;

    /// A backend, in place: copying it costs what little stack a program has.
    fn backend(&self, id: u32) -> Option<&Backend>;

    /// The backend id at an address, port and protocol.
    fn backend_at(&self, at: &Endpoint) -> Option<u32>;

    /// An established pin.
    fn flow(&self, key: &FlowKey) -> Option<Self::Pin>;

    /// A half-open pin.
    fn half_open(&self, key: &FlowKey) -> Option<Self::Pin>;

    /// Adds a half-open pin unless there is one.
    fn insert_half_open(&self, key: &FlowKey, flow: &Flow) -> Insert;

    /// Adds an established pin unless there is one.
    fn insert_flow(&self, key: &FlowKey, flow: &Flow) -> Insert;

    /// Deletes a half-open pin.
    fn remove_half_open(&self, key: &FlowKey);

    /// Deletes an established pin.
    fn remove_flow(&self, key: &FlowKey);

    /// What was decided with a datagram's first fragment.
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment>;

    /// Remembers what was decided with a first fragment, in place of what an older datagram left under its key.
    fn remember_fragment(&self, key: &FragmentKey, fragment: &Fragment) -> Insert;

    /// Reads or writes what this CPU remembers at a slot.
    fn recent<R>(&self, slot: u32, look: impl FnOnce(&mut Recent) -> R) -> Option<R>;

    /// Time in the kernel's timer ticks, which costs a load.
    fn jiffies(&self) -> u64;

    /// A number that is another one after anything has voided what is remembered.
    fn epoch(&self) -> u64;

    /// Voids everything that is remembered, on every CPU.
    fn next_epoch(&self);

    /// Changes the counters of a slice.
    fn traffic(&self, slice: SliceId, change: impl FnOnce(&mut Traffic));

    /// Counts a reason.
    fn count(&self, reason: Reason);
}

/// What is known of local sockets.
pub trait Sockets: Tables {
    /// What a socket is connected to.
    fn connected(&self, cookie: u64) -> Option<Connected>;

    /// Remembers it; whether there was room.
    fn remember_connected(&self, cookie: u64, connected: &Connected) -> bool;

    /// Forgets it.
    fn forget_connected(&self, cookie: u64);
}

/// What is known of clients whose address is replaced.
pub trait Nat: Tables {
    /// Which clients of a backend get another address.
    fn source(&self, backend: u32) -> Option<Source>;

    /// The flow that a port stands for.
    fn hidden(&self, at: &NatKey) -> Option<FlowKey>;

    /// Gives a port to a flow unless it has one.
    fn hide(&self, at: &NatKey, flow: &FlowKey) -> Insert;
}
