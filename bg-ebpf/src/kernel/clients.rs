//! The tables about clients that are not beyond an uplink: the gateway's own processes, and those whose address is
//! replaced.

use super::maps::{KernelTables, copy, inserted};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap};
use bg_common::names::{MAX_BACKENDS, MAX_CONNECTED, MAX_NAT};
use bg_common::{Connected, FlowKey, NatKey, Source};
use bg_ebpf::tables::{Insert, Nat, Sockets};

#[map]
static GATEWAY: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static CONNECTED: LruHashMap<u64, Connected> = LruHashMap::with_max_entries(MAX_CONNECTED, 0);
#[map]
static SOURCES: Array<Source> = Array::with_max_entries(MAX_BACKENDS, 0);
#[map]
static NAT: HashMap<NatKey, FlowKey> = HashMap::with_max_entries(MAX_NAT, 0);

/// The cookie of the network namespace whose processes are served; 0 for none.
#[inline(always)]
pub(super) fn served_netns() -> u64 {
    copy(GATEWAY.get_ptr(0)).unwrap_or_default()
}

impl Sockets for KernelTables {
    #[inline(always)]
    fn connected(&self, cookie: u64) -> Option<Connected> {
        copy(CONNECTED.get_ptr(&cookie))
    }

    #[inline(always)]
    fn remember_connected(&self, cookie: u64, connected: &Connected) -> bool {
        CONNECTED.insert(&cookie, connected, 0).is_ok()
    }

    #[inline(always)]
    fn forget_connected(&self, cookie: u64) {
        // Its socket may never have been remembered.
        let _ = CONNECTED.remove(&cookie);
    }
}

impl Nat for KernelTables {
    #[inline(always)]
    fn source(&self, backend: u32) -> Option<Source> {
        copy(SOURCES.get_ptr(backend)).filter(|source| !source.is_vacant())
    }

    #[inline(always)]
    fn hidden(&self, at: &NatKey) -> Option<FlowKey> {
        copy(NAT.get_ptr(at))
    }

    #[inline(always)]
    fn hide(&self, at: &NatKey, flow: &FlowKey) -> Insert {
        inserted(NAT.insert(at, flow, u64::from(BPF_NOEXIST)))
    }
}
