//! What the engine can be told, and the handle through which others tell it.

use crate::api::protocol::{Counters, Drift, FlowQuery, Flows, Health, Status};
use crate::dataplane;
use crate::dataplane::{Applied, AttachPlan, Attachment, DeploymentSpec, Detached, Lifetimes, Sweep};
use crate::health::spec::Report;
use crate::model::event::{Agreement, Configured};
use crate::model::order::Done;
use crate::model::record::Memory;
use crate::model::{Moment, Order};
use crate::notify::hooks::HookReport;
use crate::refusal::Refusal;
use tokio::sync::{mpsc, oneshot};

/// Orders and questions that may wait.
const BACKLOG: usize = 64;

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Everything that the engine reacts to.
#[derive(Debug)]
pub enum Event {
    /// An operator's order.
    Order {
        /// What.
        order: Order,
        /// Where the answer goes.
        reply: Reply<Done>,
    },
    /// Somebody wants to know how the gateway stands.
    Status {
        /// Where the answer goes.
        reply: Reply<Status>,
    },
    /// Somebody wants to see flows.
    Flows {
        /// Which.
        query: FlowQuery,
        /// Where the answer goes.
        reply: Reply<Flows>,
    },
    /// Somebody wants to see the counters.
    Counters {
        /// Where the answer goes.
        reply: Reply<Counters>,
    },
    /// Somebody wants to know what probes and real traffic say.
    Health {
        /// Of this deployment only.
        deployment: Option<String>,
        /// Where the answer goes.
        reply: Reply<Health>,
    },
    /// Somebody wants to see the four truths side by side.
    Drift {
        /// Of this deployment only.
        deployment: Option<String>,
        /// Where the answer goes.
        reply: Reply<Drift>,
    },
    /// The configuration or the network has changed.
    Wire {
        /// Interfaces and programs.
        attach: AttachPlan,
        /// What the tables shall hold.
        deployments: Vec<DeploymentSpec>,
        /// How they want to be treated.
        configured: Vec<Configured>,
        /// Where the answer goes.
        reply: Reply<Wired>,
    },
    /// The configuration was read again, or that was refused.
    Reloaded(Option<Refusal>),
    /// Idle flows live so long from here on.
    Lifetimes(Lifetimes),
    /// The flows were counted.
    Swept {
        /// When the count began.
        began: Moment,
        /// What came of it.
        sweep: Result<Sweep, Refusal>,
    },
    /// The counters were read.
    Counted(Result<dataplane::Counters, Refusal>),
    /// The journal has written something, or cannot.
    Journalled {
        /// Whose record something waits for.
        deployment: Option<String>,
        /// And which.
        token: Option<u64>,
        /// How it ended.
        result: Result<(), Refusal>,
        /// The journal was begun anew: what is remembered has to be told again.
        rebuilt: bool,
    },
    /// The journal could be read late.
    Remembered {
        /// The newest memory of each deployment.
        memories: Vec<(String, Memory)>,
        /// Why that is not to be relied on, if it is not.
        doubt: Option<String>,
    },
    /// A hook could not be told of an event, or has refused.
    Hooked(HookReport),
    /// Hooks have answered.
    Asked {
        /// For which deployment.
        deployment: String,
        /// Which question.
        token: u64,
        /// One for each hook.
        agreements: Vec<Agreement>,
    },
    /// End, and leave the data plane working.
    Stop,
    /// Take everything down and end.
    Detach {
        /// Where the answer goes.
        reply: Reply<Detached>,
    },
}

/// What wiring changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wired {
    /// In the tables.
    pub applied: Applied,
    /// What is attached.
    pub attachments: Vec<Attachment>,
}

/// Reports to the engine what others have done or seen: journal, hooks, probes. It does not keep the engine alive.
#[derive(Clone, Debug)]
pub struct Reporter {
    reports: mpsc::UnboundedSender<Event>,
    probed: mpsc::Sender<Report>,
}

impl Reporter {
    /// Tells the engine, if it is there still.
    pub fn report(&self, event: Event) {
        let _ = self.reports.send(event);
    }

    /// Tells the engine what a probe has found, when there is room: an engine that is held up is asked nothing more, and
    /// its probes wait, each with its newest answer.
    pub async fn probed(&self, report: Report) {
        let _ = self.probed.send(report).await;
    }
}

/// Where an engine listens.
#[derive(Debug)]
pub struct Inbox {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) reports: mpsc::UnboundedReceiver<Event>,
    pub(super) probed: mpsc::Receiver<Report>,
}

/// Makes the two ends of an engine's ears: what reports to it is made before the engine can be.
#[must_use]
pub fn channel() -> (Handle, Reporter, Inbox) {
    let (sender, events) = mpsc::channel(BACKLOG);
    let (reports, reported) = mpsc::unbounded_channel();
    let (probed, answers) = mpsc::channel(BACKLOG);
    let inbox = Inbox { events, reports: reported, probed: answers };
    (Handle { events: sender }, Reporter { reports, probed }, inbox)
}

/// Speaks to the engine. The engine ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    events: mpsc::Sender<Event>,
}

impl Handle {
    /// For those that report to the engine and do not keep it alive.
    #[must_use]
    pub fn downgrade(&self) -> mpsc::WeakSender<Event> {
        self.events.downgrade()
    }

    /// A handle of whoever receives these events.
    #[cfg(test)]
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events }
    }

    /// Gives an order.
    ///
    /// # Errors
    ///
    /// When the order is refused.
    pub async fn order(&self, order: Order) -> Result<Done, Refusal> {
        self.ask(|reply| Event::Order { order, reply }).await
    }

    /// How the gateway stands.
    ///
    /// # Errors
    ///
    /// When a table cannot be read.
    pub async fn status(&self) -> Result<Status, Refusal> {
        self.ask(|reply| Event::Status { reply }).await
    }

    /// The flows of `query`.
    ///
    /// # Errors
    ///
    /// When a table cannot be read, or there is no such deployment.
    pub async fn flows(&self, query: FlowQuery) -> Result<Flows, Refusal> {
        self.ask(|reply| Event::Flows { query, reply }).await
    }

    /// Every counter.
    ///
    /// # Errors
    ///
    /// When a table cannot be read.
    pub async fn counters(&self) -> Result<Counters, Refusal> {
        self.ask(|reply| Event::Counters { reply }).await
    }

    /// What probes and real traffic say; without a name, of all deployments.
    ///
    /// # Errors
    ///
    /// When there is no such deployment.
    pub async fn health(&self, deployment: Option<String>) -> Result<Health, Refusal> {
        self.ask(|reply| Event::Health { deployment, reply }).await
    }

    /// The four truths side by side; without a name, about all deployments.
    ///
    /// # Errors
    ///
    /// When a table cannot be read, or there is no such deployment.
    pub async fn drift(&self, deployment: Option<String>) -> Result<Drift, Refusal> {
        self.ask(|reply| Event::Drift { deployment, reply }).await
    }

    /// Puts tables and programs in line.
    ///
    /// # Errors
    ///
    /// When a table is full or an interface refuses; what was there before is in force.
    pub async fn wire(
        &self,
        attach: AttachPlan,
        deployments: Vec<DeploymentSpec>,
        configured: Vec<Configured>,
    ) -> Result<Wired, Refusal> {
        self.ask(|reply| Event::Wire { attach, deployments, configured, reply }).await
    }

    /// Tells how the last reload of the configuration has ended: why it was refused, if it was.
    pub async fn reloaded(&self, refusal: Option<Refusal>) {
        // An engine that has ended tells no status.
        let _ = self.events.send(Event::Reloaded(refusal)).await;
    }

    /// Changes the lifetimes of idle flows.
    pub async fn lifetimes(&self, lifetimes: Lifetimes) {
        // An engine that has ended needs none.
        let _ = self.events.send(Event::Lifetimes(lifetimes)).await;
    }

    /// Ends the engine; the data plane works on. What is asked of it afterwards is refused.
    pub async fn stop(&self) {
        // One that has ended already needs no telling.
        let _ = self.events.send(Event::Stop).await;
    }

    /// Takes everything down.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub async fn detach(&self) -> Result<Detached, Refusal> {
        self.ask(|reply| Event::Detach { reply }).await
    }

    async fn ask<T>(&self, event: impl FnOnce(Reply<T>) -> Event) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let stopping = || {
            Refusal::new(
                "stopping",
                "the daemon is about to end",
                "bgd",
                "start it again: systemctl start bgd",
            )
        };
        self.events.send(event(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}
