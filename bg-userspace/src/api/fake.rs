//! A daemon by script, for tests of everything in front of the engine: what is ordered is kept, and the
//! answers are those that a test has laid out.

use super::archive::{Answering, Archive, Feed, Follow};
use super::listen::Listening;
use super::protocol::{
    Deployment, Drift, Flows, Health, History, HistoryQuery, Plan, Remembered, Status, Verified,
};
use super::server::{self, Limits, Services};
use crate::engine::{Event, Handle};
use crate::model::order::{Answer, Done, Order, Verb};
use crate::refusal::Refusal;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc, oneshot};

/// The daemon. Clones are the same one.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<Lines>>);

/// What a test lays out, and what comes in.
#[derive(Default)]
pub struct Lines {
    /// What was ordered, without plans.
    pub orders: Vec<Order>,
    /// How orders are answered, in turn; a last one is given again.
    pub answers: VecDeque<Answer>,
    /// How things stand, in turn; the last one is told again.
    pub statuses: VecDeque<Vec<Deployment>>,
    /// What a switch would do.
    pub plan: Option<Plan>,
    /// What probes say.
    pub health: Health,
    /// The four truths.
    pub drift: Drift,
    /// The flows.
    pub flows: Flows,
    /// The journal.
    pub history: History,
    /// What the journal was asked for.
    pub asked: Vec<HistoryQuery>,
    /// What was so at any time.
    pub remembered: Option<Remembered>,
    /// Whether the journal is whole.
    pub verified: Option<Verified>,
    /// Followers of events.
    pub feed: Option<broadcast::Sender<Arc<str>>>,
    /// What was written to the journal without the daemon.
    pub written: Vec<crate::journal::Entry>,
    /// Never answers orders.
    pub silent: bool,
}

impl Script {
    /// Looks inside.
    pub fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells followers a line.
    pub fn tell(&self, line: &str) {
        let feed = self.lines().feed.clone();
        feed.expect("nobody follows").send(format!("{line}\n").into()).expect("nobody follows");
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.lines().feed.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// Serves at `socket` until the sender is dropped.
    pub fn serve(&self, socket: &Path) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        self.serve_within(Limits::default(), socket)
    }

    /// Serves with these limits.
    pub(super) fn serve_within(
        &self,
        limits: Limits,
        socket: &Path,
    ) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let (events, received) = mpsc::channel(16);
        tokio::spawn(self.clone().run(received));
        let (archive, feed) = (Arc::new(self.clone()), Arc::new(self.clone()));
        let services = Services { engine: Handle::new(events), archive, feed };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let listening = Listening::bind(socket).unwrap();
        (stop, tokio::spawn(server::serve_within(limits, listening, services, stopped)))
    }

    async fn run(self, mut events: mpsc::Receiver<Event>) {
        let mut silenced = Vec::new();
        while let Some(event) = events.recv().await {
            match event {
                Event::Order { order, reply } => match self.order(order) {
                    Some(answer) => drop(reply.send(answer)),
                    None => silenced.push(reply),
                },
                Event::Status { reply } => drop(reply.send(Ok(self.status()))),
                Event::Health { reply, .. } => drop(reply.send(Ok(self.lines().health.clone()))),
                Event::Drift { reply, .. } => drop(reply.send(Ok(self.lines().drift.clone()))),
                Event::Flows { reply, .. } => drop(reply.send(Ok(self.lines().flows.clone()))),
                Event::Counters { .. }
                | Event::Wire { .. }
                | Event::Lifetimes(_)
                | Event::Swept { .. }
                | Event::Counted(_)
                | Event::Journalled { .. }
                | Event::Remembered { .. }
                | Event::Reloaded(_)
                | Event::Hooked(_)
                | Event::Asked { .. }
                | Event::Stop
                | Event::Detach { .. } => {
                    panic!("not in the script: {event:?}")
                }
            }
        }
    }

    fn order(&self, order: Order) -> Option<Answer> {
        let mut lines = self.lines();
        if lines.silent {
            return None;
        }
        if matches!(order.verb, Verb::Plan { .. }) {
            let plan = lines.plan.clone().map(|plan| Done::Plan(Box::new(plan)));
            return Some(plan.ok_or_else(|| no("there is no plan in the script")));
        }
        lines.orders.push(order);
        let answer = match lines.answers.len() {
            0 | 1 => lines.answers.front().cloned(),
            _ => lines.answers.pop_front(),
        };
        Some(answer.unwrap_or_else(|| Err(no("there is no answer in the script"))))
    }

    fn status(&self) -> Status {
        let mut lines = self.lines();
        let deployments = match lines.statuses.len() {
            0 | 1 => lines.statuses.front().cloned(),
            _ => lines.statuses.pop_front(),
        };
        Status {
            instance: "lab".to_owned(),
            daemon: true,
            path: Some(crate::dataplane::Path::Redirect),
            deployments: deployments.unwrap_or_default(),
            attachments: Vec::new(),
            refused_reload: None,
        }
    }
}

fn no(what: &str) -> Refusal {
    Refusal::new("script", what, "the test", "write it")
}

impl Archive for Script {
    fn history(&self, query: HistoryQuery) -> Answering<'_, Result<History, Refusal>> {
        let mut lines = self.lines();
        let History { entries, .. } = lines.history.clone();
        let entries: Vec<_> = entries.into_iter().filter(|entry| query.matches(entry)).collect();
        let skipped = entries.len().saturating_sub(query.wanted());
        let history = History { entries: entries.into_iter().skip(skipped).collect(), more: skipped > 0 };
        lines.asked.push(query);
        Box::pin(async { Ok(history) })
    }

    fn verify(&self) -> Answering<'_, Result<Verified, Refusal>> {
        let verified = self.lines().verified.clone().ok_or_else(|| no("it was never verified"));
        Box::pin(async { verified })
    }

    fn at(&self, _: u64) -> Answering<'_, Result<Remembered, Refusal>> {
        let remembered = self.lines().remembered.clone().ok_or_else(|| no("nothing is remembered"));
        Box::pin(async { remembered })
    }
}

impl Feed for Script {
    fn subscribe(&self) -> Box<dyn Follow> {
        let mut lines = self.lines();
        let feed = lines.feed.get_or_insert_with(|| broadcast::Sender::new(64));
        Box::new(Following(feed.subscribe()))
    }
}

struct Following(broadcast::Receiver<Arc<str>>);

impl Follow for Following {
    fn next(&mut self) -> Answering<'_, Option<Arc<str>>> {
        Box::pin(async { self.0.recv().await.ok() })
    }
}
