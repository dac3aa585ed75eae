//! What travels over the control socket, and what `--json` prints. These types are the promise to
//! programs: fields are added, never renamed or taken away, as long as the paths begin with `/v1`.

use crate::dataplane::{Attachment, FlowRow, FlowState, Path, Protocol};
pub use crate::model::order::{Drilled, Proof, Switched};
pub use crate::model::plan::Plan;
use bg_common::{Colour, Traffic, Verdict};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// GET: the [`Status`].
pub const STATUS: &str = "/v1/status";
/// GET: the [`Flows`]; takes a [`FlowQuery`].
pub const FLOWS: &str = "/v1/flows";
/// GET: the [`Counters`].
pub const COUNTERS: &str = "/v1/counters";
/// POST with a [`SwitchRequest`]: makes a colour live. Answers [`Switched`].
pub const SWITCH: &str = "/v1/deployments/{name}/switch";
/// POST with a [`RollbackRequest`]: takes the last switch back. Answers [`Switched`].
pub const ROLLBACK: &str = "/v1/deployments/{name}/rollback";
/// As [`SWITCH`], for the only deployment.
pub const SWITCH_ONLY: &str = "/v1/switch";
/// As [`ROLLBACK`], for the only deployment.
pub const ROLLBACK_ONLY: &str = "/v1/rollback";
/// POST: takes the data plane down and ends the daemon. Answers [`Detached`](crate::dataplane::Detached).
pub const DETACH: &str = "/v1/detach";

/// One thing for each colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ByColour<T> {
    /// Of blue.
    pub blue: T,
    /// Of green.
    pub green: T,
}

impl<T> ByColour<T> {
    /// The one of `colour`.
    pub const fn of(&self, colour: Colour) -> &T {
        match colour {
            Colour::Blue => &self.blue,
            Colour::Green => &self.green,
        }
    }
}

impl<T> From<[T; 2]> for ByColour<T> {
    fn from([blue, green]: [T; 2]) -> Self {
        Self { blue, green }
    }
}

/// How the gateway stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Name of the instance.
    pub instance: String,
    /// Whether a daemon answered; else the kernel's tables were read.
    pub daemon: bool,
    /// The way of rewritten packets, if anything is attached.
    pub path: Option<Path>,
    /// In the order of their names.
    pub deployments: Vec<Deployment>,
    /// The programs on the interfaces.
    pub attachments: Vec<Attachment>,
}

/// How a deployment stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// The colour that new flows get.
    pub live: Colour,
    /// Whether flows of the other colour may still exist.
    pub draining: bool,
    /// Counts the changes.
    pub generation: u16,
    /// Flows that are not over.
    pub open: ByColour<u64>,
    /// What clients connect to. Empty when it is not known: the tables were read without a
    /// configuration.
    pub services: Vec<Service>,
}

/// A service, as configured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Of all its addresses.
    pub protocol: Protocol,
    /// Where clients connect.
    pub frontends: Vec<SocketAddr>,
    /// Who serves them.
    pub backends: ByColour<Vec<SocketAddr>>,
}

/// Asks for a switch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchRequest {
    /// The colour to make live; none: the one that is not.
    pub to: Option<Colour>,
    /// For the record.
    pub reason: Option<String>,
}

/// Asks for a rollback.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// For the record.
    pub reason: Option<String>,
}

/// Which flows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// Only of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Only of this colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The flows asked for, the most recently active first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Flows {
    /// How many there are, whatever the limit.
    pub total: usize,
    /// The first of them.
    pub flows: Vec<Flow>,
}

/// A flow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// Where the client connected to.
    pub frontend: SocketAddr,
    /// Who serves it.
    pub backend: SocketAddr,
    /// Name of the deployment.
    pub deployment: String,
    /// Name of the service.
    pub service: String,
    /// The colour that serves it.
    pub colour: Colour,
    /// What it is doing.
    pub state: FlowState,
    /// Milliseconds since its last packet, to 134.
    pub idle_ms: u64,
}

impl From<FlowRow> for Flow {
    fn from(row: FlowRow) -> Self {
        let FlowRow { client, protocol, frontend, backend, deployment, service, colour, state, idle, age: _ } =
            row;
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        Self { client, protocol, frontend, backend, deployment, service, colour, state, idle_ms }
    }
}

impl Flows {
    /// What `query` asks for among `rows`.
    #[must_use]
    pub fn select(rows: Vec<FlowRow>, query: &FlowQuery) -> Self {
        let FlowQuery { deployment, colour, limit } = query;
        let wanted = |row: &FlowRow| {
            deployment.as_ref().is_none_or(|name| *name == row.deployment)
                && colour.is_none_or(|colour| colour == row.colour)
        };
        let mut rows: Vec<_> = rows.into_iter().filter(wanted).collect();
        rows.sort_by_key(|row| (row.idle, row.client));
        let total = rows.len();
        let flows = rows.into_iter().take(limit.unwrap_or(usize::MAX)).map(Flow::from).collect();
        Self { total, flows }
    }
}

/// Every counter.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// What the slices carry, in the order of the deployments' names.
    pub deployments: Vec<DeploymentTraffic>,
    /// How often each reason applied, in the order of the numbers.
    pub reasons: Vec<ReasonCount>,
}

/// What a deployment's slices carry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeploymentTraffic {
    /// The deployment's name.
    pub name: String,
    /// Of blue.
    pub blue: SliceTraffic,
    /// Of green.
    pub green: SliceTraffic,
}

/// What a slice carries, since the tables were made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SliceTraffic {
    /// Packets to the slice.
    pub packets_in: u64,
    /// Bytes to the slice.
    pub bytes_in: u64,
    /// Packets from the slice.
    pub packets_out: u64,
    /// Bytes from the slice.
    pub bytes_out: u64,
    /// Flows that were given to the slice.
    pub flows: u64,
    /// Of these, flows that began with a TCP SYN.
    pub handshakes: u64,
    /// Flows to which the slice answered.
    pub answered: u64,
    /// TCP RST packets from the slice.
    pub resets: u64,
    /// Flows that began with a TCP SYN and were answered, by other than a RST.
    pub handshakes_answered: u64,
    /// Flows that began with a TCP SYN and got a RST as the first answer.
    pub refused: u64,
    /// CLOCK_MONOTONIC nanoseconds of the newest flow; 0 is none.
    pub last_new_ns: u64,
    /// The same of the oldest flow in the generation below; 0 is none.
    pub first_new_ns: u64,
    /// Generation of the word that gave the slice its newest flow.
    pub first_new_generation: u64,
}

impl From<Traffic> for SliceTraffic {
    fn from(traffic: Traffic) -> Self {
        let Traffic {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            flows,
            handshakes,
            answered,
            resets,
            handshakes_answered,
            refused,
            last_new_ns,
            first_new_ns,
            first_new_generation,
            zero: _,
        } = traffic;
        Self {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            flows,
            handshakes,
            answered,
            resets,
            handshakes_answered,
            refused,
            last_new_ns,
            first_new_ns,
            first_new_generation,
        }
    }
}

/// How often a reason applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Its number, which never changes.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What becomes of such a packet: `pass`, `forward`, `drop` or `answer`.
    pub verdict: String,
    /// Packets.
    pub count: u64,
    /// What it means.
    pub explanation: String,
}

impl From<crate::dataplane::Counters> for Counters {
    fn from(counters: crate::dataplane::Counters) -> Self {
        let crate::dataplane::Counters { traffic, reasons } = counters;
        let deployment = |(name, [blue, green]): (_, [Traffic; 2])| DeploymentTraffic {
            name,
            blue: blue.into(),
            green: green.into(),
        };
        let reason = |(reason, count): (bg_common::Reason, u64)| ReasonCount {
            number: reason.index(),
            name: reason.as_str().to_owned(),
            verdict: verdict(reason.verdict()).to_owned(),
            count,
            explanation: reason.explain().trim().to_owned(),
        };
        let mut deployments: Vec<_> = traffic.into_iter().map(deployment).collect();
        deployments.sort_by(|a, b| a.name.cmp(&b.name));
        Self { deployments, reasons: reasons.into_iter().map(reason).collect() }
    }
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Forward => "forward",
        Verdict::Drop => "drop",
        Verdict::Answer => "answer",
    }
}
