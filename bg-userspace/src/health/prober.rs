//! The thread that asks on schedule, beside the engine: however many probes there are and however slow
//! they are, nothing else waits for them.

use super::connect::VipConnector;
use super::means::Means;
use super::question::Question;
use super::schedule::{Ends, Shared, ask_on};
use super::spec::{ProbeSet, Report, WhoAnswered};
use crate::dataplane::Protocol;
use crate::model::policy::Target;
use crate::refusal::Refusal;
use bg_common::Colour;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime;
use tokio::sync::{Notify, mpsc};

/// Asks the probes. Dropping it ends every question and kills commands.
#[derive(Debug)]
pub struct Prober {
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Configure(Vec<ProbeSet>),
    AskNow(String),
    Live(String, Colour),
}

impl Prober {
    /// Starts the thread. It asks nothing before [`configure`](Self::configure), and VIPs only if there is a `vip`,
    /// once [`live`](Self::live) has been told. Answers go to `reports`; while it is full, who has one to report
    /// is not asked again.
    ///
    /// # Errors
    ///
    /// When this process may have no further thread or descriptor.
    pub fn start(
        reports: mpsc::Sender<Report>,
        vip: Option<Arc<dyn VipConnector>>,
        who: Arc<dyn WhoAnswered>,
    ) -> Result<Self, Refusal> {
        let name = "bg-prober";
        let refusal = |why: io::Error| {
            let mend = "raise the limits of tasks and descriptors: TasksMax= and LimitNOFILE= of the unit";
            Refusal::new("no-thread", format!("probes cannot be started: {why}"), name, mend)
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(refusal)?;
        let (orders, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(reports, Means::new(vip, who)));
        let desk = Desk { shared, sets: HashMap::new(), asked: HashMap::new(), live: HashMap::new() };
        let work = move || runtime.block_on(desk.obey(queue));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work).map_err(refusal)?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Asks these probes, and no others. Who is asked the same as before is asked on undisturbed.
    pub fn configure(&self, sets: Vec<ProbeSet>) {
        self.order(Order::Configure(sets));
    }

    /// Asks every probe of a deployment at once, besides the schedule. Who is being asked is asked once more.
    pub fn ask_now(&self, deployment: &str) {
        self.order(Order::AskNow(deployment.to_owned()));
    }

    /// Tells who is live. A change asks the deployment's VIPs anew and at once. It must be told as soon as the word
    /// has changed: until then whoever has become live is taken for the wrong one.
    pub fn live(&self, deployment: &str, colour: Colour) {
        self.order(Order::Live(deployment.to_owned(), colour));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread lives as long as this does.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// For where no data plane can be asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct NobodyKnows;

impl WhoAnswered for NobodyKnows {
    fn colour(&self, _: SocketAddr, _: SocketAddr, _: Protocol) -> Option<Colour> {
        None
    }
}

/// A question that is asked on schedule until this is dropped.
struct Asked {
    question: Arc<Question>,
    at_once: Arc<Notify>,
    _task: Ends,
}

/// The questions of one deployment, by probe and target.
type Questions = HashMap<(String, Target), Asked>;

/// What the thread knows.
struct Desk {
    shared: Arc<Shared>,
    /// By deployment.
    sets: HashMap<String, ProbeSet>,
    /// By deployment.
    asked: HashMap<String, Questions>,
    /// By deployment, configured or not.
    live: HashMap<String, Colour>,
}

impl Desk {
    async fn obey(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Configure(sets) => {
                    self.sets = sets.into_iter().map(|set| (set.deployment.clone(), set)).collect();
                    self.asked.retain(|name, _| self.sets.contains_key(name));
                    let names: Vec<String> = self.sets.keys().cloned().collect();
                    names.iter().for_each(|name| self.settle(name));
                }
                Order::AskNow(name) => self.at_once(&name, |_| true),
                Order::Live(name, colour) => {
                    if self.live.insert(name.clone(), colour) != Some(colour) {
                        self.settle(&name);
                        self.at_once(&name, |target| target == Target::Vip);
                    }
                }
            }
        }
    }

    /// Ends the questions of a deployment that are not wanted, and begins those that are missing.
    fn settle(&mut self, deployment: &str) {
        let Self { shared, sets, asked, live } = self;
        let Some(set) = sets.get(deployment) else { return };
        let live = live.get(deployment).copied().filter(|_| shared.means.reaches_vips());
        let key = |question: Question| ((question.spec.name.clone(), question.target()), question);
        let mut wanted: HashMap<_, _> = Question::of(set, live).into_iter().map(key).collect();
        let asked = asked.entry(deployment.to_owned()).or_default();
        asked.retain(|key, asked| wanted.get(key).is_some_and(|wanted| *wanted == *asked.question));
        wanted.retain(|key, _| !asked.contains_key(key));
        for (key, question) in wanted {
            let (question, at_once) = (Arc::new(question), Arc::<Notify>::default());
            let task = ask_on(Arc::clone(shared), Arc::clone(&question), Arc::clone(&at_once));
            asked.insert(key, Asked { question, at_once, _task: Ends::of(&tokio::spawn(task)) });
        }
    }

    fn at_once(&self, deployment: &str, whom: impl Fn(Target) -> bool) {
        for ((_, target), Asked { at_once, .. }) in self.asked.get(deployment).into_iter().flatten() {
            if whom(*target) {
                at_once.notify_one();
            }
        }
    }
}
