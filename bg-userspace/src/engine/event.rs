//! What the engine can be told, and the handle through which others tell it.

use crate::api::protocol::{Counters, Drift, FlowQuery, Flows, Health, Status};
use crate::dataplane::{Applied, AttachPlan, Attachment, DeploymentSpec, Detached, Lifetimes, Sweep};
use crate::model::order::Done;
use crate::model::{Moment, Order};
use crate::refusal::Refusal;
use tokio::sync::{mpsc, oneshot};

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
        /// Where the answer goes.
        reply: Reply<Wired>,
    },
    /// Idle flows live so long from here on.
    Lifetimes(Lifetimes),
    /// The flows were counted.
    Swept {
        /// When the count began.
        began: Moment,
        /// What came of it.
        sweep: Result<Sweep, Refusal>,
    },
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

/// Speaks to the engine. The engine ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    events: mpsc::Sender<Event>,
}

impl Handle {
    /// A handle of whoever receives these events.
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
    pub async fn wire(&self, attach: AttachPlan, deployments: Vec<DeploymentSpec>) -> Result<Wired, Refusal> {
        self.ask(|reply| Event::Wire { attach, deployments, reply }).await
    }

    /// Changes the lifetimes of idle flows.
    pub async fn lifetimes(&self, lifetimes: Lifetimes) {
        // An engine that has ended needs none.
        let _ = self.events.send(Event::Lifetimes(lifetimes)).await;
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
