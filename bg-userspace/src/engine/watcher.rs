//! The thread that reads whole tables, one job after the other, beside the engine.

use super::event::{Event, Reply};
use crate::api::protocol::{Counters, FlowQuery, Flows};
use crate::dataplane::{Lifetimes, Observer};
use crate::model::Moment;
use crate::refusal::Refusal;
use std::sync::mpsc;
use std::thread;
use tokio::sync::mpsc::WeakSender;

/// The thread. It ends with its last job once this is dropped.
pub(super) struct Watcher {
    jobs: mpsc::Sender<Job>,
}

enum Job {
    Sweep { began: Moment, lifetimes: Lifetimes },
    Flows { query: FlowQuery, reply: Reply<Flows> },
    Counters { reply: Reply<Counters> },
    Read,
}

impl Watcher {
    /// Starts the thread; it tells `events` what a sweep has seen.
    pub(super) fn start(observer: Box<dyn Observer>, events: WeakSender<Event>) -> Result<Self, Refusal> {
        let (jobs, queue) = mpsc::channel();
        let name = "bg-watcher";
        thread::Builder::new().name(name.to_owned()).spawn(move || work(observer, &queue, &events)).map_err(
            |why| {
                let mend = "raise the limit of tasks: TasksMax= of the unit, or `ulimit -u`";
                Refusal::new("no-thread", format!("a thread cannot be started: {why}"), name, mend)
            },
        )?;
        Ok(Self { jobs })
    }

    /// Asks for a sweep; whether there is somebody to do it.
    pub(super) fn sweep(&self, began: Moment, lifetimes: Lifetimes) -> bool {
        self.jobs.send(Job::Sweep { began, lifetimes }).is_ok()
    }

    /// Asks for flows. A reply that is dropped tells its owner that nobody answers.
    pub(super) fn flows(&self, query: FlowQuery, reply: Reply<Flows>) {
        let _ = self.jobs.send(Job::Flows { query, reply });
    }

    /// Asks for the counters for the engine itself; whether there is somebody to read them.
    pub(super) fn read(&self) -> bool {
        self.jobs.send(Job::Read).is_ok()
    }

    /// Asks for the counters.
    pub(super) fn counters(&self, reply: Reply<Counters>) {
        let _ = self.jobs.send(Job::Counters { reply });
    }
}

fn work(mut observer: Box<dyn Observer>, queue: &mpsc::Receiver<Job>, events: &WeakSender<Event>) {
    while let Ok(job) = queue.recv() {
        match job {
            Job::Sweep { began, lifetimes } => {
                let sweep = observer.sweep(&lifetimes);
                let Some(events) = events.upgrade() else { return };
                if events.blocking_send(Event::Swept { began, sweep }).is_err() {
                    return;
                }
            }
            Job::Read => {
                let counters = observer.counters();
                let Some(events) = events.upgrade() else { return };
                if events.blocking_send(Event::Counted(counters)).is_err() {
                    return;
                }
            }
            Job::Flows { query, reply } => {
                let _ = reply.send(observer.flows().map(|rows| Flows::select(rows, &query)));
            }
            Job::Counters { reply } => {
                let _ = reply.send(observer.counters().map(Counters::from));
            }
        }
    }
}
