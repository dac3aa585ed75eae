//! The tables of packets, and the only access to them.

use aya_ebpf::bindings::{BPF_ANY, BPF_F_MMAPABLE, BPF_NOEXIST};
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use bg_common::bucket::choices;
use bg_common::names::{
    DEFAULT_FLOWS, DEFAULT_HALF_OPEN, ENDPOINT_BUCKETS, MAX_BACKENDS, MAX_DEPLOYMENTS, MAX_FRAGMENTED,
    MAX_FRONTENDS, MAX_PREVIEWS, MAX_RING, MAX_SERVICES, Name,
};
use bg_common::{
    Addr, Aim, Backend, Bucket, Endpoint, Flow, FlowKey, Fragment, FragmentKey, Frontend, PreviewKey, Reason,
    Recent, Service, Settings, SliceId, Tick, Traffic, Word,
};
use bg_ebpf::icmp::Quote;
use bg_ebpf::tables::{Insert, Pin, Tables};
use bg_ebpf::{Packet, Rewrite};
use core::mem::MaybeUninit;

#[map]
static DEPLOYMENTS: Array<Word> = Array::with_max_entries(MAX_DEPLOYMENTS, BPF_F_MMAPABLE);
#[map]
static DEPLOYMENT_NAMES: Array<Name> = Array::with_max_entries(MAX_DEPLOYMENTS, 0);
#[map]
static SERVICES: Array<Service> = Array::with_max_entries(MAX_SERVICES, BPF_F_MMAPABLE);
#[map]
static SERVICE_NAMES: Array<Name> = Array::with_max_entries(MAX_SERVICES, 0);
#[map]
static FRONTENDS: Array<Bucket<Frontend>> = Array::with_max_entries(ENDPOINT_BUCKETS, 0);
#[map]
static FRONTEND_ADDRS: Array<Endpoint> = Array::with_max_entries(MAX_FRONTENDS, 0);
#[map]
static RING: Array<u32> = Array::with_max_entries(MAX_RING, BPF_F_MMAPABLE);
#[map]
static PREVIEW: LpmTrie<[u32; 5], u32> = LpmTrie::with_max_entries(MAX_PREVIEWS, 0);
#[map]
static BACKENDS: Array<Backend> = Array::with_max_entries(MAX_BACKENDS, 0);
#[map]
static BACKENDS_BY_ADDR: Array<Bucket<u64>> = Array::with_max_entries(ENDPOINT_BUCKETS, 0);
#[map]
static FLOWS: HashMap<FlowKey, Flow> = HashMap::with_max_entries(DEFAULT_FLOWS, 0);
#[map]
static HALF_OPEN: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(DEFAULT_HALF_OPEN, 0);
#[map]
static FRAGMENTS: LruHashMap<FragmentKey, Fragment> = LruHashMap::with_max_entries(MAX_FRAGMENTED, 0);
#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
static TRAFFIC: PerCpuArray<Traffic> = PerCpuArray::with_max_entries(MAX_DEPLOYMENTS * 2, 0);
#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::SLOTS, 0);
#[map]
static RECENT: PerCpuArray<Recent> = PerCpuArray::with_max_entries(Recent::ENTRIES, 0);
#[map]
static EPOCH: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What the subprograms of the slow path hand to each other, [`Scratch`] for each CPU: packet programs do not interrupt
/// each other there. Nothing outlasts a packet in it, so it is no part of the contract and is not pinned.
///
/// It is a table and not on the stack, of which there is little; and the verifier, which knows nothing of a table's
/// contents, looks at each subprogram once, and not once for each kind of packet.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

const EEXIST: i32 = -17;

/// An entry of [`FLOWS`] or [`HALF_OPEN`].
pub(super) struct KernelPin(*mut Flow);

impl Pin for KernelPin {
    #[inline(always)]
    fn get(&self) -> Flow {
        // SAFETY: the pointer came from a look-up in this run of the program, so it stays readable
        // until the run ends, even if the entry is deleted meanwhile.
        unsafe { self.0.read() }
    }

    #[inline(always)]
    fn touch(&self, now: Tick) {
        // SAFETY: as in `get`; a field of its own, so that another CPU's change of the state stays.
        unsafe { (&raw mut (*self.0).seen).write(now) }
    }

    #[inline(always)]
    fn set_state(&self, state: u8) {
        // SAFETY: the byte lies in the entry.
        let at = unsafe { self.0.cast::<u8>().add(Flow::STATE_OFFSET) };
        // SAFETY: as in `touch`.
        unsafe { at.write(state) }
    }
}

/// The tables of the running program.
pub(super) struct KernelTables;

/// Copies what a look-up found.
#[inline(always)]
pub(super) fn copy<T: Copy>(found: Option<*const T>) -> Option<T> {
    // SAFETY: a look-up yields an aligned, initialised entry that stays readable during the run.
    found.map(|entry| unsafe { entry.read() })
}

/// Looks an endpoint up in the two buckets that it may be in.
#[inline(always)]
fn in_buckets<V: Copy>(table: &Array<Bucket<V>>, at: &Endpoint) -> Option<V> {
    let [first, second] = choices(at, ENDPOINT_BUCKETS);
    // SAFETY: as in `copy`.
    let bucket = unsafe { &*table.get_ptr(first)? };
    if let Some(value) = bucket.get(at) {
        return Some(value);
    }
    // SAFETY: as in `copy`.
    let bucket = unsafe { &*table.get_ptr(second)? };
    bucket.get(at)
}

/// Looks a client up among the preview rules. Few packets need it, so it does not lie in the way of the others.
#[inline(never)]
fn preview_of(deployment: u32, client: &Addr) -> u32 {
    let key = PreviewKey::client(deployment, *client);
    // SAFETY: the same bytes, of the same size and with less alignment.
    let key = unsafe { &*(&raw const key).cast::<Key<[u32; 5]>>() };
    PREVIEW.get(key).map_or(0, |aim| *aim)
}

#[inline(always)]
pub(super) fn inserted(result: Result<(), i32>) -> Insert {
    match result {
        Ok(()) => Insert::Done,
        Err(EEXIST) => Insert::Exists,
        Err(_) => Insert::Full,
    }
}

impl Tables for KernelTables {
    type Pin = KernelPin;

    #[inline(always)]
    fn now(&self) -> Tick {
        // SAFETY: the helper takes nothing and only reads a clock.
        Tick::from_nanos(unsafe { bpf_ktime_get_coarse_ns() })
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: as in `now`.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        copy(SETTINGS.get_ptr(0)).unwrap_or_default()
    }

    #[inline(always)]
    fn frontend(&self, at: &Endpoint) -> Option<Frontend> {
        in_buckets(&FRONTENDS, at)
    }

    #[inline(always)]
    fn frontend_addr(&self, id: u32) -> Option<Endpoint> {
        copy(FRONTEND_ADDRS.get_ptr(id))
    }

    #[inline(always)]
    fn service(&self, id: u32) -> Option<&Service> {
        // SAFETY: as in `copy`.
        SERVICES.get_ptr(id).map(|service| unsafe { &*service })
    }

    #[inline(always)]
    fn word(&self, deployment: u32) -> Option<Word> {
        // SAFETY: as in `copy`; volatile, so that the one read of this packet is one aligned load.
        DEPLOYMENTS.get_ptr(deployment).map(|word| unsafe { word.read_volatile() })
    }

    #[inline(always)]
    fn ring(&self, position: u32) -> Option<u32> {
        copy(RING.get_ptr(position))
    }

    #[inline(always)]
    fn preview(&self, deployment: u32, client: &Addr) -> Aim {
        Aim::from_number(preview_of(deployment, client) as u8)
    }

    #[inline(always)]
    fn backend(&self, id: u32) -> Option<&Backend> {
        // SAFETY: as in `copy`.
        BACKENDS.get_ptr(id).map(|backend| unsafe { &*backend }).filter(|backend| !backend.is_vacant())
    }

    #[inline(always)]
    fn backend_at(&self, at: &Endpoint) -> Option<u32> {
        in_buckets(&BACKENDS_BY_ADDR, at).map(|id| id as u32)
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<KernelPin> {
        FLOWS.get_ptr_mut(key).map(KernelPin)
    }

    #[inline(always)]
    fn half_open(&self, key: &FlowKey) -> Option<KernelPin> {
        HALF_OPEN.get_ptr_mut(key).map(KernelPin)
    }

    #[inline(always)]
    fn insert_half_open(&self, key: &FlowKey, flow: &Flow) -> Insert {
        inserted(HALF_OPEN.insert(key, flow, u64::from(BPF_NOEXIST)))
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey, flow: &Flow) -> Insert {
        inserted(FLOWS.insert(key, flow, u64::from(BPF_NOEXIST)))
    }

    #[inline(always)]
    fn remove_half_open(&self, key: &FlowKey) {
        // Another CPU may have removed it; either way it is gone.
        let _ = HALF_OPEN.remove(key);
    }

    #[inline(always)]
    fn remove_flow(&self, key: &FlowKey) {
        // As in `remove_half_open`.
        let _ = FLOWS.remove(key);
    }

    #[inline(always)]
    fn recent<R>(&self, slot: u32, look: impl FnOnce(&mut Recent) -> R) -> Option<R> {
        // SAFETY: as in `traffic`.
        RECENT.get_ptr_mut(slot).map(|recent| look(unsafe { &mut *recent }))
    }

    #[inline(always)]
    fn jiffies(&self) -> u64 {
        // SAFETY: as in `now`.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn epoch(&self) -> u64 {
        // SAFETY: as in `word`.
        EPOCH.get_ptr(0).map_or(0, |epoch| unsafe { epoch.read_volatile() })
    }

    #[inline(always)]
    fn next_epoch(&self) {
        if let Some(epoch) = EPOCH.get_ptr_mut(0) {
            // The time is a number by which nobody has remembered anything, and needs no atomic addition.
            // SAFETY: as in `word`.
            unsafe { epoch.write_volatile(self.now_ns()) }
        }
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        copy(FRAGMENTS.get_ptr(key))
    }

    #[inline(always)]
    fn remember_fragment(&self, key: &FragmentKey, fragment: &Fragment) -> Insert {
        inserted(FRAGMENTS.insert(key, fragment, u64::from(BPF_ANY)))
    }

    #[inline(always)]
    fn traffic(&self, slice: SliceId, change: impl FnOnce(&mut Traffic)) {
        if let Some(traffic) = TRAFFIC.get_ptr_mut(slice.index()) {
            // SAFETY: as in `copy`; the entry belongs to this CPU, and packet programs do not
            // interrupt each other on it. A socket's program may lose a count to a packet that interrupts it.
            change(unsafe { &mut *traffic });
        }
    }

    #[inline(always)]
    fn count(&self, reason: Reason) {
        if let Some(count) = REASONS.get_ptr_mut(reason.index()) {
            // SAFETY: as in `traffic`.
            unsafe { *count += 1 };
        }
    }
}

/// A packet on the slow path. Zeroed memory holds nothing.
struct Scratch {
    kept: u32,
    packet: MaybeUninit<Packet>,
    rewrite: MaybeUninit<Rewrite>,
    quote: MaybeUninit<Quote>,
}

const PACKET: u32 = 1 << 0;
const REWRITE: u32 = 1 << 1;
const QUOTE: u32 = 1 << 2;

#[inline(always)]
fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// Keeps what was read; `None` if the kernel has no such table.
#[inline(always)]
pub(super) fn keep_packet(packet: Packet) -> Option<()> {
    // SAFETY: as in `copy`; the entry is this CPU's, and each subprogram holds it once.
    let scratch = unsafe { &mut *scratch()? };
    scratch.packet.write(packet);
    scratch.kept = PACKET;
    Some(())
}

/// Keeps what was decided about it.
#[inline(always)]
pub(super) fn keep_rewrite(rewrite: Rewrite) -> Option<()> {
    // SAFETY: as in `keep_packet`.
    let scratch = unsafe { &mut *scratch()? };
    scratch.rewrite.write(rewrite);
    scratch.kept |= REWRITE;
    Some(())
}

/// Keeps what it quotes.
#[inline(always)]
pub(super) fn keep_quote(quote: Quote) -> Option<()> {
    // SAFETY: as in `keep_packet`.
    let scratch = unsafe { &mut *scratch()? };
    scratch.quote.write(quote);
    scratch.kept |= QUOTE;
    Some(())
}

/// What was read.
#[inline(always)]
pub(super) fn packet() -> Option<&'static Packet> {
    // SAFETY: as in `keep_packet`.
    let scratch = unsafe { &*scratch()? };
    // SAFETY: the bit says that it was written.
    (scratch.kept & PACKET != 0).then(|| unsafe { scratch.packet.assume_init_ref() })
}

/// What was decided about it.
#[inline(always)]
pub(super) fn rewrite() -> Option<&'static Rewrite> {
    // SAFETY: as in `keep_packet`.
    let scratch = unsafe { &*scratch()? };
    // SAFETY: the bit says that it was written.
    (scratch.kept & REWRITE != 0).then(|| unsafe { scratch.rewrite.assume_init_ref() })
}

/// What it quotes.
#[inline(always)]
pub(super) fn quote() -> Option<&'static Quote> {
    // SAFETY: as in `keep_packet`.
    let scratch = unsafe { &*scratch()? };
    // SAFETY: the bit says that it was written.
    (scratch.kept & QUOTE != 0).then(|| unsafe { scratch.quote.assume_init_ref() })
}
