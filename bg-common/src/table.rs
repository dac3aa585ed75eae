//! The form of every table. The built programs and the pinned tables are both held against it.

use crate::names::{self, Name};
use crate::{
    Backend, Bucket, Connected, Endpoint, Flow, FlowKey, Fragment, FragmentKey, Frontend, NatKey, PreviewKey,
    Reason, Recent, Service, Settings, Source, Traffic, Word,
};

/// A kind of table, numbered as `enum bpf_map_type` in include/uapi/linux/bpf.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// `BPF_MAP_TYPE_HASH`.
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`.
    Array = 2,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash = 9,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    LpmTrie = 11,
}

/// The form of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries; the two flow tables can be configured otherwise.
    pub max_entries: u32,
    /// `BPF_F_…` flags of include/uapi/linux/bpf.h.
    pub flags: u32,
}

/// The values can be mapped into memory.
const MMAPABLE: u32 = 1 << 10;

/// Entries are made one by one.
const NO_PREALLOC: u32 = 1 << 0;

const fn table<K, V>(name: &'static str, kind: Kind, max_entries: u32, flags: u32) -> Table {
    Table {
        name,
        kind,
        key_size: size_of::<K>() as u32,
        value_size: size_of::<V>() as u32,
        max_entries,
        flags,
    }
}

/// Every table.
pub const TABLES: [Table; 22] = [
    table::<u32, Word>(names::DEPLOYMENTS, Kind::Array, names::MAX_DEPLOYMENTS, MMAPABLE),
    table::<u32, Name>(names::DEPLOYMENT_NAMES, Kind::Array, names::MAX_DEPLOYMENTS, 0),
    table::<u32, Service>(names::SERVICES, Kind::Array, names::MAX_SERVICES, MMAPABLE),
    table::<u32, Name>(names::SERVICE_NAMES, Kind::Array, names::MAX_SERVICES, 0),
    table::<u32, Bucket<Frontend>>(names::FRONTENDS, Kind::Array, names::ENDPOINT_BUCKETS, 0),
    table::<u32, Endpoint>(names::FRONTEND_ADDRS, Kind::Array, names::MAX_FRONTENDS, 0),
    table::<u32, u32>(names::RING, Kind::Array, names::MAX_RING, MMAPABLE),
    table::<PreviewKey, u32>(names::PREVIEW, Kind::LpmTrie, names::MAX_PREVIEWS, NO_PREALLOC),
    table::<u32, Backend>(names::BACKENDS, Kind::Array, names::MAX_BACKENDS, 0),
    table::<u32, Bucket<u64>>(names::BACKENDS_BY_ADDR, Kind::Array, names::ENDPOINT_BUCKETS, 0),
    table::<FlowKey, Flow>(names::FLOWS, Kind::Hash, names::DEFAULT_FLOWS, 0),
    table::<FlowKey, Flow>(names::HALF_OPEN, Kind::LruHash, names::DEFAULT_HALF_OPEN, 0),
    table::<u32, u64>(names::GATEWAY, Kind::Array, 1, 0),
    table::<u64, Connected>(names::CONNECTED, Kind::LruHash, names::MAX_CONNECTED, 0),
    table::<u32, Source>(names::SOURCES, Kind::Array, names::MAX_BACKENDS, 0),
    table::<NatKey, FlowKey>(names::NAT, Kind::Hash, names::MAX_NAT, 0),
    table::<FragmentKey, Fragment>(names::FRAGMENTS, Kind::LruHash, names::MAX_FRAGMENTED, 0),
    table::<u32, Settings>(names::SETTINGS, Kind::Array, 1, 0),
    table::<u32, Traffic>(names::TRAFFIC, Kind::PerCpuArray, names::MAX_DEPLOYMENTS * 2, 0),
    table::<u32, u64>(names::REASONS, Kind::PerCpuArray, Reason::SLOTS, 0),
    table::<u32, Recent>(names::RECENT, Kind::PerCpuArray, Recent::ENTRIES, 0),
    table::<u32, u64>(names::EPOCH, Kind::Array, 1, MMAPABLE),
];
