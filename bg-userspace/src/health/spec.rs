//! What probes ask, as configured.

use crate::dataplane::Protocol;
use crate::model::policy::Level;
use bg_common::Colour;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// All probes of one deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeSet {
    /// Name of the deployment.
    pub deployment: String,
    /// The addresses of `[blue, green]`.
    pub slices: [Vec<IpAddr>; 2],
    /// The probes.
    pub probes: Vec<ProbeSpec>,
}

/// One probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeSpec {
    /// Unique within the deployment.
    pub name: String,
    /// Each machine, or the slice as a whole.
    pub level: Level,
    /// Port on each machine; none for commands.
    pub port: Option<u16>,
    /// Frontends that the probe goes through as a client would, if it does; their protocol is that of `ask`.
    pub frontends: Vec<SocketAddr>,
    /// Time between two questions to a target.
    pub interval: Duration,
    /// Each interval is longer or shorter by up to this share, in percent, so that probes do not march in step.
    pub jitter: u8,
    /// An answer counts only within this time.
    pub timeout: Duration,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked. In texts `{colour}` stands for the colour of the slice; through the VIP, for the live one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// A TCP connection.
    Tcp,
    /// An HTTP/1.1 request, over TLS if `tls` is set.
    Http(Http),
    /// A datagram, and one that answers it.
    Udp {
        /// Its payload.
        send: Vec<u8>,
        /// What the answer must begin with; empty: any answer.
        expect: Vec<u8>,
    },
    /// The standard health service of gRPC (grpc.health.v1.Health/Check).
    Grpc {
        /// Its `service` field; empty: the server as a whole.
        service: String,
        /// As in [`Http::tls`].
        tls: Option<Tls>,
    },
    /// A command; exit code 0 is good. `{address}`, `{colour}` and `{deployment}` are replaced in its arguments.
    Command(Vec<String>),
}

/// An HTTP request and what is wanted of its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http {
    /// Path and query.
    pub path: String,
    /// The Host header; none: the address asked.
    pub host: Option<String>,
    /// Statuses that are good, as inclusive ranges.
    pub status: Vec<(u16, u16)>,
    /// What the first 64 KiB of the body must contain.
    pub body: Option<String>,
    /// TLS, if any.
    pub tls: Option<Tls>,
}

/// How TLS is spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// The name to ask for and to verify; none: the Host header, else the address.
    pub name: Option<String>,
    /// What a certificate must be.
    pub verify: Verify,
}

/// What a certificate must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verify {
    /// Signed by an authority that this system trusts.
    System,
    /// Signed by an authority in this PEM file.
    File(PathBuf),
    /// Anything: only the connection is tested.
    Nothing,
}

/// The protocol in which a probe asks, for probes that speak one.
#[must_use]
pub const fn protocol(ask: &Ask) -> Option<Protocol> {
    match ask {
        Ask::Tcp | Ask::Http(_) | Ask::Grpc { .. } => Some(Protocol::Tcp),
        Ask::Udp { .. } => Some(Protocol::Udp),
        Ask::Command(_) => None,
    }
}

/// One answer, as the prober reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Name of the deployment.
    pub deployment: String,
    /// Name of the probe.
    pub probe: String,
    /// Whom it asked.
    pub target: crate::model::policy::Target,
    /// When it began to ask, on CLOCK_MONOTONIC.
    pub began: crate::model::Moment,
    /// Flows that it made through the VIP, on `[blue, green]`.
    pub own: [crate::model::event::OwnFlows; 2],
    /// What came of it.
    pub finding: crate::model::policy::Finding,
}

/// Who would know which colour a flow through a VIP went to: the data plane's pins. Asked with the prober's own
/// address and port and the frontend.
pub trait WhoAnswered: Send + Sync {
    /// The colour, if there is such a pin.
    fn colour(&self, client: SocketAddr, frontend: SocketAddr, protocol: Protocol) -> Option<Colour>;
}
