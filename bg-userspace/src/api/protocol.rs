//! What travels over the control socket, and what `--json` prints. These types are the promise to
//! programs: fields are added, never renamed or taken away, as long as the paths begin with `/v1`.
//!
//! A field `…_s` is a number of seconds, `…_ms` of milliseconds. A point in time is Unix time in seconds and
//! has no such ending; the `at` of an [`Entry`] is RFC 3339.

mod counters;
mod drift;
mod flows;
mod health;
mod history;
mod meaning;
mod orders;
mod seconds;
mod status;

pub use crate::model::order::{Drilled, Proof, Switched};
pub use crate::model::plan::{Gate, PassiveVerdict, Plan, PlanId, ProbeVerdict};
pub use crate::model::record::{Freeze, Override, Record, Role, SliceIdentity, What};
pub use counters::{Counters, DeploymentTraffic, ReasonCount, SliceTraffic};
pub use drift::{DeploymentDrift, Drift, DriftQuery, Truths};
pub use flows::{Busy, Flow, FlowQuery, FlowSummary, Flows, VipFlows};
pub use health::{DeploymentHealth, Health, HealthQuery};
pub use history::{AtQuery, Entry, EventQuery, History, HistoryQuery, Kinds, Remembered, Then, Verified};
pub(crate) use meaning::Meant;
pub use orders::{
    CanaryRequest, Changed, DrainRequest, DrillRequest, ForceRequest, FreezeRequest, OverrideRequest,
    PauseRequest, PlanQuery, PreviewRequest, ReasonRequest, RollbackRequest, RolledBack, StageRequest, State,
    SwitchRequest,
};
pub use seconds::Seconds;
pub use status::{
    Deployment, DrainStatus, LastSwitch, PreviewRule, PreviewVip, RollbackAnswer, Service, SliceStatus,
    Status,
};

use bg_common::Colour;
use serde::{Deserialize, Serialize};

/// GET: the [`Status`].
pub const STATUS: &str = "/v1/status";
/// GET: the [`Flows`]; takes a [`FlowQuery`].
pub const FLOWS: &str = "/v1/flows";
/// GET: the [`Counters`].
pub const COUNTERS: &str = "/v1/counters";
/// GET: the [`Health`]; takes a [`HealthQuery`].
pub const HEALTH: &str = "/v1/health";
/// GET: the [`Drift`]; takes a [`DriftQuery`].
pub const DRIFT: &str = "/v1/drift";
/// GET: the [`History`]; takes a [`HistoryQuery`].
pub const HISTORY: &str = "/v1/history";
/// GET: whether the journal is whole, as [`Verified`].
pub const HISTORY_VERIFY: &str = "/v1/history/verify";
/// GET: what was so at a time, as [`Remembered`]; takes an [`AtQuery`].
pub const HISTORY_AT: &str = "/v1/history/at";
/// GET: one [`Entry`] on each line; takes an [`EventQuery`].
pub const EVENTS: &str = "/v1/events";
/// POST: takes the data plane down and ends the daemon. Answers [`Detached`](crate::dataplane::Detached).
pub const DETACH: &str = "/v1/detach";

/// The path of an order by its verb; without a name, for the only deployment. `plan` is asked by GET with
/// a [`PlanQuery`]; all others by POST with a request, which an empty body leaves at its defaults.
///
/// | verb | request | answer |
/// | --- | --- | --- |
/// | `plan` | [`PlanQuery`] | [`Plan`] |
/// | `switch` | [`SwitchRequest`] | [`Switched`] |
/// | `rollback` | [`RollbackRequest`] | [`RolledBack`] |
/// | `drill` | [`DrillRequest`] | [`Drilled`] |
/// | `confirm`, `unfreeze`, `resume` | [`ReasonRequest`] | [`Changed`] |
/// | `stage` | [`StageRequest`] | [`Changed`] |
/// | `freeze` | [`FreezeRequest`] | [`Changed`] |
/// | `pause` | [`PauseRequest`] | [`Changed`] |
/// | `drain` | [`DrainRequest`] | [`Changed`] |
/// | `health` | [`OverrideRequest`] | [`Changed`] |
/// | `canary` | [`CanaryRequest`] | [`Changed`] |
/// | `preview` | [`PreviewRequest`] | [`Changed`] |
#[must_use]
pub fn order_path(deployment: Option<&str>, verb: &str) -> String {
    match deployment {
        Some(name) => format!("/v1/deployments/{name}/{verb}"),
        None => format!("/v1/{verb}"),
    }
}

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

    /// The one of `colour`, to be changed.
    pub const fn of_mut(&mut self, colour: Colour) -> &mut T {
        match colour {
            Colour::Blue => &mut self.blue,
            Colour::Green => &mut self.green,
        }
    }
}

impl<T> From<[T; 2]> for ByColour<T> {
    fn from([blue, green]: [T; 2]) -> Self {
        Self { blue, green }
    }
}
