//! Names and sizes of tables and programs, one constant for both sides.

use core::fmt;

/// Words of the deployments: array, memory-mapped, deployment id → [`Word`](crate::Word).
pub const DEPLOYMENTS: &str = "DEPLOYMENTS";
/// Names of the deployments: array, deployment id → [`Name`]. No program reads it.
pub const DEPLOYMENT_NAMES: &str = "DEPLOYMENT_NAMES";
/// Services: array, memory-mapped, service id → [`Service`](crate::Service).
pub const SERVICES: &str = "SERVICES";
/// Names of the services: array, service id → [`Name`]. No program reads it.
pub const SERVICE_NAMES: &str = "SERVICE_NAMES";
/// Frontends: array of buckets, [`Endpoint`](crate::Endpoint) → [`Frontend`](crate::Frontend).
pub const FRONTENDS: &str = "FRONTENDS";
/// Where a frontend listens: array, frontend id → [`Endpoint`](crate::Endpoint).
pub const FRONTEND_ADDRS: &str = "FRONTEND_ADDRS";
/// Ring positions: array, memory-mapped, position → backend id.
pub const RING: &str = "RING";
/// Preview rules: longest prefix, [`PreviewKey`](crate::PreviewKey) → the number of an [`Aim`](crate::Aim).
pub const PREVIEW: &str = "PREVIEW";
/// Backends: array, backend id → [`Backend`](crate::Backend).
pub const BACKENDS: &str = "BACKENDS";
/// Backends by where they listen: array of buckets, [`Endpoint`](crate::Endpoint) → backend id.
pub const BACKENDS_BY_ADDR: &str = "BACKENDS_BY_ADDR";
/// Established pins: hash, [`FlowKey`](crate::FlowKey) → [`Flow`](crate::Flow).
pub const FLOWS: &str = "FLOWS";
/// Pins of flows whose client has not come back yet: LRU hash, as [`FLOWS`].
pub const HALF_OPEN: &str = "HALF_OPEN";
/// The cookie of the network namespace that is served: array of one; 0 while no local process is. The programs of
/// sockets see those of containers, too.
pub const GATEWAY: &str = "GATEWAY";
/// What local sockets are connected to: LRU hash, socket cookie → [`Connected`](crate::Connected).
pub const CONNECTED: &str = "CONNECTED";
/// Whose address is replaced towards a backend, and by which: array, backend id → [`Source`](crate::Source).
pub const SOURCES: &str = "SOURCES";
/// Ports of the gateway that stand for clients: hash, [`NatKey`](crate::NatKey) → [`FlowKey`](crate::FlowKey).
pub const NAT: &str = "NAT";
/// Where the fragments of a datagram go: LRU hash, [`FragmentKey`](crate::FragmentKey) →
/// [`Fragment`](crate::Fragment).
pub const FRAGMENTS: &str = "FRAGMENTS";
/// What programs know of the whole configuration: array of one [`Settings`](crate::Settings).
pub const SETTINGS: &str = "SETTINGS";
/// What each slice carries: per-CPU array, [`SliceId`](crate::SliceId) → [`Traffic`](crate::Traffic).
pub const TRAFFIC: &str = "TRAFFIC";
/// How often each reason applied: per-CPU array, [`Reason`](crate::Reason) → `u64`.
pub const REASONS: &str = "REASONS";

/// What was decided a moment ago: per-CPU array, [`RecentKey::slot`](crate::RecentKey::slot) →
/// [`Recent`](crate::Recent).
pub const RECENT: &str = "RECENT";
/// What voids every entry of [`RECENT`] when it changes: array of one, memory-mapped, → `u64`. User space adds one
/// after each change of a table; a program stores the time when it gives an established flow's place to another.
pub const EPOCH: &str = "EPOCH";

/// XDP, on an uplink: towards a slice.
pub const XDP_INGRESS: &str = "bg_xdp_ingress";
/// tc ingress, on an uplink, or on a zone link when replies go by the stack: towards a slice.
pub const TC_INGRESS: &str = "bg_tc_ingress";
/// tc ingress, on a zone link when replies are redirected: back to the client, or towards a slice.
pub const TC_ZONE: &str = "bg_tc_zone";
/// tc egress, on every link: back to the client, for what the kernel has routed.
pub const TC_EGRESS: &str = "bg_tc_egress";

/// tc ingress, on a link to backends for which clients' addresses are replaced: puts the client's back.
pub const NAT_INGRESS: &str = "bg_nat_ingress";
/// tc egress, on the same: replaces the client's.
pub const NAT_EGRESS: &str = "bg_nat_egress";
/// A local process connects by IPv4.
pub const CONNECT4: &str = "bg_connect4";
/// The same by IPv6.
pub const CONNECT6: &str = "bg_connect6";
/// A local process sends a datagram by IPv4.
pub const SENDMSG4: &str = "bg_sendmsg4";
/// The same by IPv6.
pub const SENDMSG6: &str = "bg_sendmsg6";
/// A local process asks where a datagram came from by IPv4.
pub const RECVMSG4: &str = "bg_recvmsg4";
/// The same by IPv6.
pub const RECVMSG6: &str = "bg_recvmsg6";
/// A local process asks whom it is connected to by IPv4.
pub const GETPEERNAME4: &str = "bg_getpeername4";
/// The same by IPv6.
pub const GETPEERNAME6: &str = "bg_getpeername6";
/// A local process closes a socket.
pub const SOCK_RELEASE: &str = "bg_sock_release";
/// The programs of local processes' sockets.
pub const SOCKET_PROGRAMS: [&str; 9] =
    [CONNECT4, CONNECT6, SENDMSG4, SENDMSG6, RECVMSG4, RECVMSG6, GETPEERNAME4, GETPEERNAME6, SOCK_RELEASE];
/// Every program.
pub const PROGRAMS: [&str; 15] = [
    XDP_INGRESS,
    TC_INGRESS,
    TC_ZONE,
    TC_EGRESS,
    NAT_INGRESS,
    NAT_EGRESS,
    CONNECT4,
    CONNECT6,
    SENDMSG4,
    SENDMSG6,
    RECVMSG4,
    RECVMSG6,
    GETPEERNAME4,
    GETPEERNAME6,
    SOCK_RELEASE,
];

/// Most deployments of one instance.
pub const MAX_DEPLOYMENTS: u32 = 1_024;
/// Most services of one instance.
pub const MAX_SERVICES: u32 = 16_384;
/// Most frontends of one instance.
pub const MAX_FRONTENDS: u32 = 32_768;
/// Most ring positions of one instance.
pub const MAX_RING: u32 = 1 << 19;
/// Most preview rules of one instance.
pub const MAX_PREVIEWS: u32 = 16_384;
/// Most backends of one instance, those that only old pins name included.
pub const MAX_BACKENDS: u32 = 32_768;
/// Buckets of the two tables of endpoints: four times as many slots as endpoints.
pub const ENDPOINT_BUCKETS: u32 = 32_768;
/// Local sockets whose peer is remembered.
pub const MAX_CONNECTED: u32 = 16_384;
/// Flows whose client's address is replaced.
pub const MAX_NAT: u32 = 65_536;
/// Established pins, unless configured.
pub const DEFAULT_FLOWS: u32 = 262_144;
/// Half-open pins, unless configured.
pub const DEFAULT_HALF_OPEN: u32 = 65_536;
/// Datagrams in fragments that are remembered at once.
pub const MAX_FRAGMENTED: u32 = 8_192;

/// A name, zero-padded. Array slots that hold none are all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Name([u8; Self::MAX]);

impl Name {
    /// Longest name in bytes.
    pub const MAX: usize = 64;

    /// The empty name.
    pub const EMPTY: Self = Self([0; Self::MAX]);

    /// Stores `text`; `None` when it is longer than [`Name::MAX`] bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    /// The text; empty for an empty slot and for bytes that are no text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX);
        self.0.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// Whether the slot is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
