//! The kernel half as the daemon sees it: tables, words, programs and their attachment. Only the
//! modules below name aya and the table types.

mod attach;
mod buckets;
mod census;
#[cfg(test)]
pub mod fake;
pub mod kernel;
mod load;
pub mod lock;
mod mapped;
mod observer;
mod pins;
mod reconcile;
mod state;
mod sys;
mod table;
mod tables;
pub mod witness;

use crate::prefix::Prefix;
use crate::refusal::Refusal;
pub use bg_common::{Aim, Fate, PinnedFlows};
use bg_common::{Colour, Reason, Traffic, Via, Word};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What a service speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// Every protocol on every port: the service has its addresses as a whole. Ports are 0 and stay what they are in
    /// each packet. As the protocol of a flow: one that is neither of the two.
    Any,
}

impl Protocol {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Any => "any",
        }
    }
}

/// What the tables shall hold for one deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeploymentSpec {
    /// Its name; ids are kept by name.
    pub name: String,
    /// The word of a deployment that is new: [`Word::initial`], or what is remembered of one that was here
    /// before. One that exists keeps its own.
    pub initial: Word,
    /// What clients connect to.
    pub services: Vec<ServiceSpec>,
    /// Which clients are led elsewhere than to the live colour, each network once.
    pub previews: Vec<(Prefix, Aim)>,
}

/// What the tables shall hold for one service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceSpec {
    /// Its name, unique within the deployment: `SERVICE`, or `SERVICE/ADDRESS` for one of several whole addresses.
    pub name: String,
    /// The protocol of all its frontends and backends.
    pub protocol: Protocol,
    /// Where clients connect: each VIP with the service's port.
    pub frontends: Vec<SocketAddr>,
    /// The backends of `[blue, green]`.
    pub backends: [Vec<BackendSpec>; 2],
    /// Whether a TCP connection is refused where no backend serves, instead of left without an answer.
    pub refuse: bool,
    /// The same as `frontends` for VIPs that do not follow the live colour, and where they lead.
    pub previews: Vec<(SocketAddr, Aim)>,
    /// Whether all flows of a client's address go to one backend.
    pub by_client: bool,
    /// Whether the canary takes whole clients, and not single flows.
    pub canary_by_client: bool,
    /// What its flows meet while their colour drains, where the word says that flows stay.
    pub on_switch: Fate,
}

impl ServiceSpec {
    /// The service that it is, or is one address of.
    #[must_use]
    pub fn service(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(service, _)| service)
    }

    /// Whether a backend that is down leaves its ring. One of several whole addresses has but one backend, and nobody who
    /// could take its place.
    #[must_use]
    pub fn sheds(&self) -> bool {
        self.refuse || self.service() == self.name
    }
}

/// One backend and the way to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendSpec {
    /// Where it listens.
    pub addr: SocketAddr,
    /// How the gateway hands packets on.
    pub via: Via,
    /// The interface that leads to it.
    pub ifindex: u32,
    /// Whether new flows go to it. One that does not serve keeps its id and its pinned flows.
    pub serving: bool,
    /// What happens to its pinned flows while it does not serve.
    pub pinned: PinnedFlows,
    /// Its share of new flows, as against the others of its slice: up to 256. With 0 it gets none, and keeps what it
    /// has.
    pub weight: u16,
    /// Whose address is replaced towards it, and by which.
    pub source: Option<SourceSpec>,
}

/// An address of the gateway's that stands for clients of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceSpec {
    /// The address.
    pub addr: IpAddr,
    /// It stands for clients in the subnet of so many bits around it; with 0, for all.
    pub prefix: u8,
}

impl BackendSpec {
    /// Weight of a backend of which nothing else is said.
    pub const WEIGHT: u16 = 100;

    /// A backend that serves.
    #[must_use]
    pub const fn serving(addr: SocketAddr, via: Via, ifindex: u32) -> Self {
        let (serving, pinned, weight, source) = (true, PinnedFlows::Keep, Self::WEIGHT, None);
        Self { addr, via, ifindex, serving, pinned, weight, source }
    }
}

/// What [`Dataplane::apply`] changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Names of deployments that were not in the tables before.
    pub created: Vec<String>,
    /// Names of deployments that are gone.
    pub removed: Vec<String>,
    /// Table writes; 0 when everything stood as wanted.
    pub writes: usize,
}

/// How a compare-and-swap of a word ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exchange {
    /// The word was as expected and is the new one, written at this CLOCK_MONOTONIC time.
    Done {
        /// Duration of the exchange itself.
        took: Duration,
    },
    /// Somebody else changed the word; nothing was written.
    Lost {
        /// What the word is instead.
        actual: Word,
    },
}

/// Which side of the gateway an interface faces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Clients.
    Uplink,
    /// A slice.
    Zone,
    /// Both: a gateway with one arm.
    Both,
}

/// Where in the kernel packets towards a slice are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// XDP in the driver.
    Xdp,
    /// XDP after the driver, for tests and for drivers without XDP.
    XdpGeneric,
    /// tc: a TCX link, or a clsact filter on kernels before 6.6.
    Tc,
}

/// The way that rewritten packets take through the gateway, the same in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// From interface to interface, past routing and netfilter.
    Redirect,
    /// Through the kernel's routing and netfilter: replies are rewritten at egress, so a firewall that
    /// tracks connections sees both halves alike.
    Stack,
}

/// One interface to attach to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachSpec {
    /// Kernel index.
    pub ifindex: u32,
    /// Name, for messages and pins.
    pub name: String,
    /// Which way it faces.
    pub side: Side,
    /// Where to hook in. Zones always use [`Hook::Tc`].
    pub hook: Hook,
}

/// All interfaces to attach to, and the path that decides on the programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachPlan {
    /// The path of rewritten packets; [`Path::Stack`] as soon as one interface uses XDP.
    pub path: Path,
    /// Each interface once.
    pub links: Vec<AttachSpec>,
    /// Kernel indices of those that lead to backends with a [`SourceSpec`].
    pub sources: BTreeSet<u32>,
    /// The control group whose processes are clients, too, if they are in this network namespace.
    pub cgroup: Option<PathBuf>,
}

impl AttachPlan {
    /// A plan with nothing but these interfaces.
    #[must_use]
    pub const fn new(path: Path, links: Vec<AttachSpec>) -> Self {
        Self { path, links, sources: BTreeSet::new(), cgroup: None }
    }
}

/// A program on an interface, as the kernel has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// Name of the interface when it was attached; `cgroup` for a control group.
    pub interface: String,
    /// Kernel index; 0 once the interface is gone, and for a control group.
    pub ifindex: u32,
    /// Name of the program.
    pub program: String,
    /// `xdp`, `xdp-generic`, `tcx-ingress`, `tcx-egress`, `clsact-ingress`, `clsact-egress`; the latter four with `-nat`
    /// at their end as well; `cgroup-connect4` and its like.
    pub hook: String,
}

impl Attachment {
    /// Whether it is on a control group.
    #[must_use]
    pub fn is_on_cgroup(&self) -> bool {
        self.hook.starts_with("cgroup-")
    }
}

/// What a flow is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowState {
    /// The client has not come back yet after the backend's first answer.
    HalfOpen,
    /// Both sides speak.
    Established,
    /// One side has sent FIN.
    HalfClosed,
    /// Both have, or one has sent RST.
    Closed,
}

/// A pin, with its ids resolved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlowRow {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// Where the client connected to.
    pub frontend: SocketAddr,
    /// Who serves it.
    pub backend: SocketAddr,
    /// The deployment's name.
    pub deployment: String,
    /// The service's name.
    pub service: String,
    /// The colour it is pinned to.
    pub colour: Colour,
    /// What it is doing.
    pub state: FlowState,
    /// Time since its last packet, to 134 ms.
    pub idle: Duration,
    /// Time since it began, to 2.1 s.
    pub age: Duration,
}

/// All counters, CPUs added up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// For each deployment by name: `[blue, green]`.
    pub traffic: Vec<(String, [Traffic; 2])>,
    /// Each reason that exists, in the order of its number, zero counts included.
    pub reasons: Vec<(Reason, u64)>,
}

/// How long a pin lives without a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetimes {
    /// Established TCP.
    pub established: Duration,
    /// TCP after one FIN.
    pub half_closed: Duration,
    /// TCP after both FINs or a RST.
    pub closed: Duration,
    /// Established UDP.
    pub udp: Duration,
}

/// What a sweep saw and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sweep {
    /// For each deployment by name: open flows (not closed) of `[blue, green]`, half-open ones
    /// included while they are fresh. Those of previews are not counted: no drain waits for them.
    pub open: Vec<(String, [u64; 2])>,
    /// For each deployment by name: the age of the oldest open flow of `[blue, green]`, to 2.1 s; zero where
    /// none is open.
    pub oldest: Vec<(String, [Duration; 2])>,
    /// Pins in the tables.
    pub pins: u64,
    /// Pins deleted.
    pub expired: u64,
    /// Ids of the backends that a pin names.
    pub backends: HashSet<u32>,
    /// Ids of the frontends that a pin names.
    pub frontends: HashSet<u32>,
    /// How long the pass took.
    pub took: Duration,
}

/// What [`Dataplane::detach`] took down.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Detached {
    /// Programs that were attached.
    pub attachments: Vec<Attachment>,
    /// Pins removed.
    pub pins: usize,
}

/// The kernel half. One owner; nothing here blocks for longer than a system call.
pub trait Dataplane: Send {
    /// Brings the tables in line with `want`, adding before removing. Ids, words and pins that exist
    /// stay; a backend that is no longer wanted keeps its pinned flows until they end.
    ///
    /// # Errors
    ///
    /// When a table is full or the kernel refuses; what was there before still works.
    fn apply(&mut self, want: &[DeploymentSpec]) -> Result<Applied, Refusal>;

    /// The word of each deployment, by name, as the kernel has it.
    ///
    /// # Errors
    ///
    /// When a table cannot be read.
    fn words(&self) -> Result<Vec<(String, Word)>, Refusal>;

    /// Replaces a deployment's word if it still is `expected`.
    ///
    /// # Errors
    ///
    /// When there is no such deployment.
    fn exchange(&self, deployment: &str, expected: Word, new: Word) -> Result<Exchange, Refusal>;

    /// Attaches what `plan` names and is not attached, replaces programs of another version in place,
    /// and takes off what the plan does not name.
    ///
    /// # Errors
    ///
    /// When an interface refuses, such as for a foreign XDP program, which is named and left alone.
    fn attach(&mut self, plan: &AttachPlan) -> Result<Vec<Attachment>, Refusal>;

    /// What is attached, by the kernel's own account.
    ///
    /// # Errors
    ///
    /// When a pinned link cannot be read.
    fn attachments(&self) -> Result<Vec<Attachment>, Refusal>;

    /// A second pair of eyes for what takes long on a full table; it works on a thread of its own, so
    /// that a switch never waits for it.
    ///
    /// # Errors
    ///
    /// When a table cannot be opened a second time.
    fn observer(&self) -> Result<Box<dyn Observer>, Refusal>;

    /// Frees the ids of removed backends and frontends that this sweep and the one before have found no pin
    /// of.
    ///
    /// # Errors
    ///
    /// When a table cannot be written.
    fn settle(&mut self, sweep: &Sweep) -> Result<(), Refusal>;

    /// Takes everything down: programs, links and tables. Flows end.
    ///
    /// # Errors
    ///
    /// When a pin cannot be removed.
    fn detach(&mut self) -> Result<Detached, Refusal>;
}

/// What reads whole tables.
pub trait Observer: Send {
    /// Every pin.
    ///
    /// # Errors
    ///
    /// When a table cannot be read.
    fn flows(&mut self) -> Result<Vec<FlowRow>, Refusal>;

    /// Every counter.
    ///
    /// # Errors
    ///
    /// When a table cannot be read.
    fn counters(&mut self) -> Result<Counters, Refusal>;

    /// Counts the pins and deletes those that were found idle for longer than their lifetime by this
    /// pass and by the one before.
    ///
    /// # Errors
    ///
    /// When a table cannot be read.
    fn sweep(&mut self, lifetimes: &Lifetimes) -> Result<Sweep, Refusal>;
}
