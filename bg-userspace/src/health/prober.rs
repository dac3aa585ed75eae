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
        let work =
            move || runtime.block_on(obey(queue, Arc::new(Shared::new(reports, Means::new(vip, who)))));
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

    /// Tells who is live. A change asks the deployment's VIPs at once, and voids what they are being asked.
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

/// What tells one question from another across configurations.
type Key = (String, String, Target);

/// A question that is asked on schedule until this is dropped.
struct Asked {
    question: Arc<Question>,
    at_once: Arc<Notify>,
    _task: Ends,
}

async fn obey(mut orders: mpsc::UnboundedReceiver<Order>, shared: Arc<Shared>) {
    let mut asked: HashMap<Key, Asked> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Configure(sets) => configure(&mut asked, &sets, &shared),
            Order::AskNow(name) => at_once(&asked, |question| question.deployment == name),
            Order::Live(name, colour) => {
                if shared.set_live(name.clone(), colour) {
                    let vip = |question: &Question| question.target() == Target::Vip;
                    at_once(&asked, |question| question.deployment == name && vip(question));
                }
            }
        }
    }
}

fn at_once(asked: &HashMap<Key, Asked>, who: impl Fn(&Question) -> bool) {
    for Asked { question, at_once, .. } in asked.values() {
        if who(question) {
            at_once.notify_one();
        }
    }
}

fn configure(asked: &mut HashMap<Key, Asked>, sets: &[ProbeSet], shared: &Arc<Shared>) {
    let mut wanted: HashMap<Key, Question> = sets
        .iter()
        .flat_map(Question::of)
        .filter(|question| question.target() != Target::Vip || shared.means.reaches_vips())
        .map(|question| {
            ((question.deployment.clone(), question.spec.name.clone(), question.target()), question)
        })
        .collect();
    asked.retain(|key, Asked { question, .. }| wanted.get(key).is_some_and(|wanted| *wanted == **question));
    wanted.retain(|key, _| !asked.contains_key(key));
    for (key, question) in wanted {
        let (question, at_once) = (Arc::new(question), Arc::<Notify>::default());
        let task = ask_on(Arc::clone(shared), Arc::clone(&question), Arc::clone(&at_once));
        asked.insert(key, Asked { question, at_once, _task: Ends::of(&tokio::spawn(task)) });
    }
}
