//! The client's end of the control socket: a method for each call. How bytes travel is in `wire`.

mod lines;
mod query;
mod wire;

pub use lines::Lines;

use super::protocol::{
    self, AtQuery, CanaryRequest, Changed, Counters, DrainRequest, Drift, DriftQuery, DrillRequest, Drilled,
    EventQuery, FlowQuery, Flows, FreezeRequest, Health, HealthQuery, History, HistoryQuery, OverrideRequest,
    PauseRequest, Plan, PlanQuery, PreviewRequest, ReasonRequest, Remembered, RollbackRequest, RolledBack,
    StageRequest, Status, SwitchRequest, Switched, Verified, order_path,
};
use crate::dataplane::Detached;
use crate::paths;
use crate::refusal::Refusal;
use query::{quoted, with_query};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than the daemon gives itself to look.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// Longer than it gives itself to carry out an order.
const DONE_WITHIN: Duration = Duration::from_secs(125);

/// Longer than a drill takes beyond the time that it holds.
const DRILLED_WITHIN: Duration = Duration::from_secs(65);

/// As long as the daemon waits for hooks.
const HOOKED_WITHIN: Duration = crate::model::HOOKS_WITHIN;

/// Longer than it gives itself to verify the journal.
const VERIFIED_WITHIN: Duration = Duration::from_secs(305);

/// Speaks to the daemon behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    agent: String,
    /// Whose daemon it is, and by which configuration: for what mends its absence.
    instance: Option<String>,
    config: PathBuf,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nobody answers.
    Unreachable(Refusal),
    /// The daemon said no.
    Refused(Refusal),
}

type Result<T> = std::result::Result<T, Error>;

/// Every call fails when nobody answers, or the daemon refuses.
#[expect(clippy::missing_errors_doc, reason = "it is the same for all, and said once")]
impl Client {
    /// A client of the daemon that listens at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        let agent = concat!("bgctl/", env!("CARGO_PKG_VERSION")).to_owned();
        Self { socket: socket.to_owned(), agent, instance: None, config: paths::DEFAULT_CONFIG.into() }
    }

    /// Says whose daemon it speaks to, and by which configuration that goes.
    #[must_use]
    pub fn to(self, instance: &str, config: &Path) -> Self {
        Self { instance: Some(instance.to_owned()), config: config.to_owned(), ..self }
    }

    /// Says on whose behalf it speaks, for the record.
    #[must_use]
    pub fn on_behalf_of(mut self, user: &str) -> Self {
        self.agent = format!("{} ({user})", self.agent);
        self
    }

    /// How the gateway stands.
    pub async fn status(&self) -> Result<Status> {
        self.get(protocol::STATUS, ANSWER_WITHIN).await
    }

    /// The flows of `query`.
    pub async fn flows(&self, query: &FlowQuery) -> Result<Flows> {
        self.get(&with_query(protocol::FLOWS, query), ANSWER_WITHIN).await
    }

    /// Every counter.
    pub async fn counters(&self) -> Result<Counters> {
        self.get(protocol::COUNTERS, ANSWER_WITHIN).await
    }

    /// What probes and real traffic say.
    pub async fn health(&self, query: &HealthQuery) -> Result<Health> {
        self.get(&with_query(protocol::HEALTH, query), ANSWER_WITHIN).await
    }

    /// The four truths side by side.
    pub async fn drift(&self, query: &DriftQuery) -> Result<Drift> {
        self.get(&with_query(protocol::DRIFT, query), ANSWER_WITHIN).await
    }

    /// What happened.
    pub async fn history(&self, query: &HistoryQuery) -> Result<History> {
        self.get(&with_query(protocol::HISTORY, query), ANSWER_WITHIN).await
    }

    /// Whether the journal is whole.
    pub async fn verify(&self) -> Result<Verified> {
        self.get(protocol::HISTORY_VERIFY, VERIFIED_WITHIN).await
    }

    /// What was so at a time, Unix time in seconds.
    pub async fn at(&self, time: u64) -> Result<Remembered> {
        self.get(&with_query(protocol::HISTORY_AT, &AtQuery { time }), ANSWER_WITHIN).await
    }

    /// What happens, line by line.
    pub async fn events(&self, query: &EventQuery) -> Result<Lines> {
        self.lines(&with_query(protocol::EVENTS, query), ANSWER_WITHIN).await
    }

    /// What a switch would do. Without a name, as all orders below, in the only deployment.
    pub async fn plan(&self, deployment: Option<&str>, query: &PlanQuery) -> Result<Plan> {
        self.get(&with_query(&path(deployment, "plan"), query), ANSWER_WITHIN).await
    }

    /// Makes a colour live.
    pub async fn switch(&self, deployment: Option<&str>, request: &SwitchRequest) -> Result<Switched> {
        self.post(&path(deployment, "switch"), request, HOOKED_WITHIN + DONE_WITHIN).await
    }

    /// Takes the last switch back, or ends a drill.
    pub async fn rollback(&self, deployment: Option<&str>, request: &RollbackRequest) -> Result<RolledBack> {
        self.post(&path(deployment, "rollback"), request, DONE_WITHIN).await
    }

    /// Tries out the way to the standby and back.
    pub async fn drill(&self, deployment: Option<&str>, request: &DrillRequest) -> Result<Drilled> {
        self.post(&path(deployment, "drill"), request, request.hold() + DRILLED_WITHIN + HOOKED_WITHIN).await
    }

    /// Says that a switch shall stay.
    pub async fn confirm(&self, deployment: Option<&str>, request: &ReasonRequest) -> Result<Changed> {
        self.post(&path(deployment, "confirm"), request, DONE_WITHIN).await
    }

    /// Says what runs in a slice.
    pub async fn stage(&self, deployment: Option<&str>, request: &StageRequest) -> Result<Changed> {
        self.post(&path(deployment, "stage"), request, DONE_WITHIN).await
    }

    /// Refuses switches from here on.
    pub async fn freeze(&self, deployment: Option<&str>, request: &FreezeRequest) -> Result<Changed> {
        self.post(&path(deployment, "freeze"), request, DONE_WITHIN).await
    }

    /// Allows them again.
    pub async fn unfreeze(&self, deployment: Option<&str>, request: &ReasonRequest) -> Result<Changed> {
        self.post(&path(deployment, "unfreeze"), request, DONE_WITHIN).await
    }

    /// Holds new flows.
    pub async fn pause(&self, deployment: Option<&str>, request: &PauseRequest) -> Result<Changed> {
        self.post(&path(deployment, "pause"), request, DONE_WITHIN).await
    }

    /// Lets them go on.
    pub async fn resume(&self, deployment: Option<&str>, request: &ReasonRequest) -> Result<Changed> {
        self.post(&path(deployment, "resume"), request, DONE_WITHIN).await
    }

    /// Extends a drain, or ends it.
    pub async fn drain(&self, deployment: Option<&str>, request: &DrainRequest) -> Result<Changed> {
        self.post(&path(deployment, "drain"), request, DONE_WITHIN).await
    }

    /// Puts a slice or machine up or down.
    pub async fn override_health(
        &self,
        deployment: Option<&str>,
        request: &OverrideRequest,
    ) -> Result<Changed> {
        self.post(&path(deployment, "health"), request, DONE_WITHIN).await
    }

    /// Leads a share of new flows to the colour that is not live.
    pub async fn canary(&self, deployment: Option<&str>, request: &CanaryRequest) -> Result<Changed> {
        self.post(&path(deployment, "canary"), request, DONE_WITHIN).await
    }

    /// Leads clients elsewhere than to the live colour, or not any more.
    pub async fn preview(&self, deployment: Option<&str>, request: &PreviewRequest) -> Result<Changed> {
        self.post(&path(deployment, "preview"), request, DONE_WITHIN).await
    }

    /// Takes the data plane down.
    pub async fn detach(&self) -> Result<Detached> {
        self.post(protocol::DETACH, &(), ANSWER_WITHIN).await
    }
}

/// The path of an order.
fn path(deployment: Option<&str>, verb: &str) -> String {
    order_path(deployment.map(quoted).as_deref(), verb)
}
