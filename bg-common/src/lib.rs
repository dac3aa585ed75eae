//! The contract between the packet programs and user space: every type that is stored in a table,
//! every name that both sides use. It depends on nothing and allocates nothing.
//!
//! Rules of the contract:
//!
//! * Addresses and ports are byte arrays in network order; counters, ids and times are native
//!   integers, because both sides run on the same machine.
//! * Table types are `repr(C)` without padding, `bool`, `Option` or enums: each byte pattern that
//!   can be read is a value.
//! * A change of any type, name or meaning here raises [`ABI_VERSION`], which names the directory of
//!   the pinned tables, so that no version ever reads memory of another.

#![no_std]

pub mod addr;
pub mod backend;
pub mod bucket;
pub mod clock;
pub mod colour;
pub mod endpoint;
pub mod flow;
pub mod fragment;
pub mod local;
pub mod names;
pub mod nat;
#[cfg(feature = "user")]
mod pod;
pub mod preview;
pub mod reason;
pub mod recent;
pub mod service;
pub mod settings;
pub mod table;
pub mod traffic;
pub mod word;

pub use addr::{Addr, Port, Proto};
pub use backend::{Backend, PinnedFlows, Via};
pub use bucket::Bucket;
pub use clock::{Began, Tick};
pub use colour::{Colour, SliceId};
pub use endpoint::Endpoint;
pub use flow::{Flow, FlowKey};
pub use fragment::{Fragment, FragmentKey};
pub use local::Connected;
pub use names::Name;
pub use nat::{NatKey, Source};
pub use preview::{Aim, PreviewKey};
pub use reason::{Reason, Verdict};
pub use recent::{End, Recent, RecentKey};
pub use service::{Frontend, Ring, Service};
pub use settings::Settings;
pub use traffic::Traffic;
pub use word::{Fate, Word};

/// Version of the table layout. It names the pin directory `/sys/fs/bpf/bg/<instance>/v<ABI>/`.
pub const ABI_VERSION: u32 = 2;
