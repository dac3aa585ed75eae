//! The one task that owns the model and the data plane. Everybody else sends it events and waits for
//! answers; nothing is locked. What takes long on a full table is left to the `watcher` thread, so a
//! switch waits for no more than what the engine does itself: single system calls, and the writing of
//! changed tables after a reload or a change of the network.

mod counting;
mod effects;
mod event;
mod log;
mod previews;
mod standing;
pub mod status;
mod surroundings;
mod truths;
mod watcher;
mod wire;

pub use event::{Event, Handle, Inbox, Reporter, Wired, channel};
pub use surroundings::{Alone, Roles, Surroundings};

use crate::api::protocol::{FlowQuery, Status};
use crate::dataplane::{AttachPlan, Dataplane, DeploymentSpec, Lifetimes};
use crate::health::spec::Report;
use crate::model::event::Down;
use crate::model::order::Done;
use crate::model::record::Memory;
use crate::model::{self, Machine, Moment, Now, Order, OrderId};
use crate::prefix::Prefix;
use crate::refusal::Refusal;
use bg_common::Aim;
use event::Reply;
use nix::time::{ClockId, clock_gettime};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use watcher::Watcher;

/// What the engine is given.
pub struct Settings {
    /// Name of the instance, for the status.
    pub instance: String,
    /// How long idle flows live.
    pub lifetimes: Lifetimes,
    /// Which boot of the machine this is.
    pub boot: String,
    /// What the journal remembers.
    pub memories: Vec<(String, Memory)>,
    /// Why that is not to be relied on, if it is not.
    pub doubt: Option<String>,
}

/// The engine, before and while it runs.
pub struct Engine {
    settings: Settings,
    dataplane: Box<dyn Dataplane>,
    machine: Machine,
    surroundings: Box<dyn Surroundings>,
    watcher: Watcher,
    inbox: Inbox,
    /// The same moment by both clocks.
    start: (Instant, Duration),
    down: HashMap<String, Vec<Down>>,
    /// Clients that operators lead elsewhere than to the live colour.
    previews: HashMap<String, Vec<(Prefix, Aim)>>,
    /// Where bgd's own probes through the VIPs come from.
    probes_from: BTreeSet<IpAddr>,
    roles: HashMap<String, Roles>,
    /// The rings are not as the model wants them.
    unserved: bool,
    reading: bool,
    read: Option<Moment>,
    wiring: Option<(AttachPlan, Vec<DeploymentSpec>)>,
    wired: Moment,
    /// Why the last reload was refused, if it was.
    refused_reload: Option<Refusal>,
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
    pub fn new(
        settings: Settings,
        dataplane: Box<dyn Dataplane>,
        surroundings: Box<dyn Surroundings>,
        (handle, inbox): (&Handle, Inbox),
    ) -> Result<Self, Refusal> {
        let watcher = Watcher::start(dataplane.observer()?, handle.downgrade())?;
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_err(|why| Refusal::new("no-clock", why, "CLOCK_MONOTONIC", "this kernel cannot be used"))?;
        let down =
            settings.memories.iter().map(|(name, memory)| (name.clone(), memory.down.clone())).collect();
        let previews = settings.memories.iter();
        let previews = previews.map(|(name, memory)| (name.clone(), memory.previews.clone())).collect();
        let mut machine = Machine::default();
        let (boot, remembered) = (settings.boot.clone(), settings.memories.clone());
        let doubt = settings.doubt.clone();
        machine.handle(model::Event::Remembered { boot, memories: remembered, doubt }, Now::default());
        Ok(Self {
            settings,
            dataplane,
            machine,
            surroundings,
            watcher,
            inbox,
            start: (Instant::now(), monotonic.into()),
            down,
            previews,
            probes_from: BTreeSet::new(),
            roles: HashMap::new(),
            unserved: false,
            reading: false,
            read: None,
            wiring: None,
            wired: Moment::default(),
            refused_reload: None,
            counting: false,
            counted: None,
            orders: 0,
            replies: HashMap::new(),
            statuses: Vec::new(),
        })
    }

    /// One that is alone in the world, over a data plane in memory.
    #[cfg(test)]
    pub fn alone(dataplane: &crate::dataplane::fake::Fake) -> (Self, Handle) {
        let settings = Settings {
            instance: "lab".to_owned(),
            lifetimes: crate::config::DEFAULT_LIFETIMES,
            boot: "first".to_owned(),
            memories: Vec::new(),
            doubt: None,
        };
        let (handle, reporter, inbox) = channel();
        let world = Box::new(Alone(reporter));
        let engine = Self::new(settings, Box::new(dataplane.clone()), world, (&handle, inbox));
        (engine.expect("a data plane in memory can be read"), handle)
    }

    /// Runs until nobody holds a handle or the data plane is taken down.
    pub async fn run(mut self) -> Ended {
        self.count();
        loop {
            let timer = self.next_timer();
            if timer <= Instant::now() {
                // However much is asked and reported, what is due comes first.
                self.tick();
            }
            tokio::select! {
                biased;
                event = self.inbox.events.recv() => match event {
                    None | Some(Event::Stop) => return Ended::Released,
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
                Some(report) = self.inbox.reports.recv() => self.handle(report),
                Some(report) = self.inbox.probed.recv() => self.probed(report),
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
            Event::Wire { attach, deployments, configured, reply } => {
                let _ = reply.send(self.wire(attach, deployments, configured));
            }
            Event::Reloaded(refusal) => self.refused_reload = refusal,
            Event::Lifetimes(lifetimes) => self.settings.lifetimes = lifetimes,
            Event::Swept { began, sweep } => self.swept(began, sweep),
            Event::Counted(counters) => self.counters_read(counters),
            Event::Journalled { deployment, token, result, rebuilt } => {
                self.feed(model::Event::JournalState(result.clone().err()));
                if let (Some(deployment), Some(token)) = (deployment, token) {
                    self.feed(model::Event::Journalled { deployment, token, result });
                }
                if rebuilt {
                    self.feed(model::Event::Remind);
                }
            }
            Event::Remembered { memories, doubt } => {
                let boot = self.settings.boot.clone();
                self.feed(model::Event::Remembered { boot, memories, doubt });
            }
            // What gates say comes with their answers.
            Event::Hooked(report) if report.phase == "event" => {
                let (deployment, what) = (report.deployment.clone(), report.into());
                self.feed(model::Event::Noted { deployment, what });
            }
            Event::Hooked(_) => {}
            Event::Asked { deployment, token, agreements } => {
                self.feed(model::Event::Asked { deployment, token, agreements });
            }
            Event::Health { deployment, reply } => {
                let _ = reply.send(self.health(deployment.as_deref()));
            }
            Event::Drift { deployment, reply } => {
                let _ = reply.send(self.drift(deployment.as_deref()));
            }
            // The loop ends by it, so it never comes here.
            Event::Detach { .. } | Event::Stop => {}
        }
    }

    fn probed(&mut self, report: Report) {
        let Report { deployment, probe, target, began, own, finding } = report;
        self.feed(model::Event::Probed { deployment, probe, target, began, own, finding });
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

    fn flows(&mut self, query: FlowQuery, reply: Reply<crate::api::protocol::Flows>) {
        let name = query.deployment.as_deref();
        let refusal = self.reread().err().or_else(|| self.machine.unknown(name?));
        match refusal {
            Some(refusal) => {
                let _ = reply.send(Err(refusal));
            }
            None => self.watcher.flows(query, reply),
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.answer_statuses(|deadline| deadline <= now);
        self.feed(model::Event::Timer);
        self.read_if_due();
        if self.unserved && self.count_is_due() {
            self.serve();
        }
        if !self.counting && self.count_is_due() {
            if let Err(refusal) = self.reread() {
                tracing::error!(%refusal, "the words cannot be read");
            }
            self.count();
        }
    }

    /// The time by both clocks.
    fn now(&self) -> Now {
        let (start, monotonic) = self.start;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { moment: Moment(monotonic + start.elapsed()), unix: unix.as_secs() }
    }

    /// The moment on the clock that timers go by.
    fn instant(&self, moment: Moment) -> Instant {
        let (start, monotonic) = self.start;
        start + moment.0.saturating_sub(monotonic)
    }
}

#[cfg(test)]
mod tests;
