//! The one task that owns the model and the data plane. Everybody else sends it events and waits for
//! answers; nothing is locked. What takes long on a full table is left to the `watcher` thread, so a
//! switch waits for no more than what the engine does itself: single system calls, and the writing of
//! changed tables after a reload or a change of the network.

mod counting;
mod event;
pub mod status;
mod watcher;

pub use event::{Event, Handle, Wired};

use crate::api::protocol::{FlowQuery, Status};
use crate::dataplane::{AttachPlan, Dataplane, DeploymentSpec, Exchange, Lifetimes};
use crate::model::order::Done;
use crate::model::{self, Effect, Machine, Moment, Order, OrderId, Outcome, Record, Switched};
use crate::refusal::Refusal;
use event::Reply;
use std::collections::{HashMap, VecDeque};
use tokio::sync::mpsc;
use tokio::time::Instant;
use watcher::Watcher;

/// Events that may wait.
const BACKLOG: usize = 64;

/// What the engine is given.
pub struct Settings {
    /// Name of the instance, for the status.
    pub instance: String,
    /// How long idle flows live.
    pub lifetimes: Lifetimes,
}

/// The engine, before and while it runs.
pub struct Engine {
    settings: Settings,
    dataplane: Box<dyn Dataplane>,
    machine: Machine,
    watcher: Watcher,
    events: mpsc::Receiver<Event>,
    start: Instant,
    wiring: Option<(AttachPlan, Vec<DeploymentSpec>)>,
    wired: Moment,
    counting: bool,
    counted: Option<Moment>,
    orders: u64,
    replies: HashMap<OrderId, Reply<Done>>,
    statuses: Vec<(Instant, Reply<Status>)>,
}

/// Why the engine ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nobody holds a [`Handle`]; the data plane works on.
    Released,
    /// The data plane was taken down.
    Detached,
}

impl Engine {
    /// Takes over a data plane with the words that are in it.
    ///
    /// # Errors
    ///
    /// When its tables cannot be read.
    pub fn new(settings: Settings, dataplane: Box<dyn Dataplane>) -> Result<(Self, Handle), Refusal> {
        let (sender, events) = mpsc::channel(BACKLOG);
        let watcher = Watcher::start(dataplane.observer()?, sender.downgrade())?;
        let mut engine = Self {
            settings,
            dataplane,
            machine: Machine::default(),
            watcher,
            events,
            start: Instant::now(),
            wiring: None,
            wired: Moment::default(),
            counting: false,
            counted: None,
            orders: 0,
            replies: HashMap::new(),
            statuses: Vec::new(),
        };
        engine.reread()?;
        Ok((engine, Handle::new(sender)))
    }

    /// Runs until nobody holds a handle or the data plane is taken down.
    pub async fn run(mut self) -> Ended {
        self.count();
        loop {
            let timer = self.next_timer();
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    None => return Ended::Released,
                    Some(Event::Detach { reply }) => {
                        let detached = self.dataplane.detach();
                        let ended = detached.is_ok();
                        let _ = reply.send(detached);
                        if ended {
                            return Ended::Detached;
                        }
                    }
                    Some(event) => self.handle(event),
                },
                () = tokio::time::sleep_until(timer) => self.tick(),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Order { order, reply } => self.order(order, reply),
            Event::Status { reply } => self.ask_status(reply),
            Event::Flows { query, reply } => self.flows(query, reply),
            Event::Counters { reply } => self.watcher.counters(reply),
            Event::Health { reply, .. } => drop(reply.send(Err(unsupported("health")))),
            Event::Drift { reply, .. } => drop(reply.send(Err(unsupported("drift")))),
            Event::Wire { attach, deployments, reply } => {
                let _ = reply.send(self.wire(attach, deployments));
            }
            Event::Lifetimes(lifetimes) => self.settings.lifetimes = lifetimes,
            Event::Swept { began, sweep } => self.swept(began, sweep),
            // The loop ends by it, so it never comes here.
            Event::Detach { .. } => {}
        }
    }

    fn order(&mut self, order: Order, reply: Reply<Done>) {
        if reply.is_closed() {
            // Whoever gave it has gone, and may have given it again.
            return;
        }
        // What somebody else wrote to the table meanwhile is part of the picture.
        if let Err(refusal) = self.reread() {
            let _ = reply.send(Err(refusal));
            return;
        }
        self.orders += 1;
        let id = OrderId(self.orders);
        self.replies.insert(id, reply);
        self.feed(model::Event::Order { id, order });
    }

    fn flows(&self, query: FlowQuery, reply: Reply<crate::api::protocol::Flows>) {
        let name = query.deployment.as_deref();
        let refusal = name.and_then(|name| self.machine.unknown(name));
        match refusal {
            Some(refusal) => {
                let _ = reply.send(Err(refusal));
            }
            None => self.watcher.flows(query, reply),
        }
    }

    /// Puts programs, then tables in line: if an interface refuses, the tables have not changed, and what
    /// was attached before is attached still or again.
    fn wire(&mut self, attach: AttachPlan, deployments: Vec<DeploymentSpec>) -> Result<Wired, Refusal> {
        let attachments = match self.dataplane.attach(&attach) {
            Ok(attachments) => attachments,
            Err(refusal) => {
                self.put_back(false);
                return Err(refusal);
            }
        };
        let applied = self.dataplane.apply(&deployments);
        self.wired = self.now();
        let applied = match applied {
            Ok(applied) => applied,
            Err(refusal) => {
                self.put_back(true);
                self.reread()?;
                return Err(refusal);
            }
        };
        self.wiring = Some((attach, deployments));
        self.reread()?;
        Ok(Wired { applied, attachments })
    }

    /// Puts what was wired before in force again.
    fn put_back(&mut self, tables: bool) {
        let Some((attach, deployments)) = self.wiring.clone() else {
            return;
        };
        let attached = self.dataplane.attach(&attach).err();
        let applied = if tables { self.dataplane.apply(&deployments).err() } else { None };
        for worse in [attached, applied].into_iter().flatten() {
            tracing::error!(%worse, "what was wired before cannot be put back");
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.answer_statuses(|deadline| deadline <= now);
        if !self.counting {
            if let Err(refusal) = self.reread() {
                tracing::error!(%refusal, "the words cannot be read");
            }
            self.count();
        }
    }

    fn reread(&mut self) -> Result<(), Refusal> {
        let words = self.dataplane.words()?;
        self.feed(model::Event::Words(words));
        Ok(())
    }

    /// Lets the model handle `event`, and does what follows.
    fn feed(&mut self, event: model::Event) {
        let mut effects: VecDeque<_> = self.machine.handle(event, self.now()).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Exchange { deployment, expected, new } => {
                    let outcome = match self.dataplane.exchange(&deployment, expected, new) {
                        Ok(Exchange::Done { took }) => Outcome::Done { took },
                        Ok(Exchange::Lost { actual }) => Outcome::Lost { actual },
                        Err(refusal) => Outcome::Failed(refusal),
                    };
                    let event = model::Event::Exchanged { deployment, outcome };
                    effects.extend(self.machine.handle(event, self.now()));
                }
                Effect::Answer { id, answer } => {
                    if let Some(reply) = self.replies.remove(&id) {
                        let _ = reply.send(*answer);
                    }
                }
                Effect::Record(record) => log(&record),
            }
        }
    }

    fn now(&self) -> Moment {
        Moment(self.start.elapsed())
    }
}

fn unsupported(what: &str) -> Refusal {
    Refusal::new("unsupported", format!("{what} is not known yet"), "bgd", "bgctl status")
}

/// Writes to the log what is worth remembering; a journal will keep it.
fn log(record: &Record) {
    match record {
        Record::Switched(Switched { deployment, from, to, generation, took_ns, .. }) => {
            tracing::info!(deployment, %from, %to, generation, took_ns, "switched");
        }
        Record::Drained { deployment, colour, generation } => {
            tracing::info!(deployment, %colour, generation, "drained: the last flow has ended");
        }
        Record::Drift { deployment, seen, actual } => {
            tracing::warn!(
                deployment,
                seen = seen.generation(),
                actual = actual.generation(),
                live = %actual.live(),
                "somebody else changed the word; it is taken as it is"
            );
        }
    }
}
