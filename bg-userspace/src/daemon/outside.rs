//! What is outside the engine, put together: journal, hooks, followers, probes and roles.

use crate::config::Config;
use crate::dataplane::Protocol;
use crate::dataplane::witness::Witness;
use crate::engine::{Event, Reporter, Roles, Surroundings};
use crate::health::connect::VipConnector;
use crate::health::prober::Prober;
use crate::health::spec::WhoAnswered;
use crate::journal::{Entry, Journal, Late, News};
use crate::model::event::{Agreement, Phase};
use crate::model::record::{Memory, Record, What};
use crate::notify::hooks::{self, Hooks};
use crate::notify::roles::{self, RoleState};
use crate::notify::spec::RoleEndpoint;
use crate::notify::{Bus, Thread};
use crate::paths;
use crate::refusal::Refusal;
use bg_common::Colour;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Answers of probes that may wait for the engine.
const REPORTS: usize = 1024;

/// The outside. Clones are the same.
#[derive(Clone)]
pub(super) struct Outside(Arc<Parts>);

struct Parts {
    journal: Mutex<Option<Journal>>,
    bus: Bus,
    hooks: Hooks,
    prober: Prober,
    roles: roles::Roles,
    told: Mutex<Told>,
    /// Last, so that what runs on it has ended before.
    _thread: Thread,
}

/// Who is what, as the engine has told, and where the machines are, as the configuration says.
#[derive(Default)]
struct Told {
    roles: BTreeMap<String, Roles>,
    addresses: BTreeMap<String, [Vec<IpAddr>; 2]>,
}

/// The engine's end of it.
struct World {
    outside: Outside,
    reporter: Reporter,
}

impl Outside {
    /// Starts hooks and probes; neither calls nor asks anything before [`configure`](Self::configure).
    ///
    /// # Errors
    ///
    /// When the process may have no more threads or descriptors.
    pub(super) fn start(
        instance: &str,
        (journal, news): (Journal, mpsc::UnboundedReceiver<News>),
        vip: Arc<dyn VipConnector>,
        witness: Witness,
        reporter: &Reporter,
    ) -> Result<Self, Refusal> {
        let thread = Thread::start()?;
        let bus = Bus::new();
        let told = reporter.clone();
        let hooks = Hooks::start(&thread, &bus, move |report| told.report(Event::Hooked(report)));
        let (reports, mut answers) = mpsc::channel(REPORTS);
        let prober = Prober::start(reports, Some(vip), Arc::new(Witnessed(witness)))?;
        let answered = reporter.clone();
        tokio::spawn(async move {
            while let Some(report) = answers.recv().await {
                answered.probed(report).await;
            }
        });
        tokio::spawn(hear(news, bus.clone(), reporter.clone()));
        let roles = roles::Roles::start(&thread, paths::role_dir(instance));
        let (journal, told) = (Mutex::new(Some(journal)), Mutex::default());
        Ok(Self(Arc::new(Parts { journal, bus, hooks, prober, roles, told, _thread: thread })))
    }

    /// The engine's end.
    pub(super) fn surroundings(&self, reporter: Reporter) -> Box<dyn Surroundings> {
        Box::new(World { outside: self.clone(), reporter })
    }

    /// Where events are published.
    pub(super) fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// Goes by another configuration from here on. What cannot be had is returned, and tried again.
    pub(super) fn configure(&self, config: &Config) -> Vec<Refusal> {
        let deployments = &config.deployments;
        self.0
            .hooks
            .configure(deployments.iter().map(|it| (it.name.to_string(), it.hooks.clone())).collect());
        self.0.prober.configure(deployments.iter().map(|it| it.probes.clone()).collect());
        self.told().addresses =
            deployments.iter().map(|it| (it.name.to_string(), it.slices.clone())).collect();
        self.update_roles();
        self.0.roles.listen(&RoleEndpoint { listen: config.gateway.role_listen.clone() })
    }

    /// No slice has a role any more.
    pub(super) async fn forget_roles(&self) {
        const WITHIN: Duration = Duration::from_secs(2);
        self.0.roles.update(&[]);
        self.0.roles.written(WITHIN).await;
    }

    /// Writes what waits.
    pub(super) async fn close(&self) {
        let journal = self.0.journal.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(journal) = journal {
            journal.close().await;
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_roles(&self) {
        let told = self.told();
        let states =
            told.roles.iter().filter_map(|(name, roles)| Some((name, roles, told.addresses.get(name)?)));
        let states: Vec<_> =
            states.flat_map(|(name, roles, addresses)| states_of(name, roles, addresses)).collect();
        self.0.roles.update(&states);
    }
}

/// Hears what the journal tells by itself, for as long as it does.
async fn hear(mut news: mpsc::UnboundedReceiver<News>, bus: Bus, reporter: Reporter) {
    // Everything is told again after a gap. Should that be too much for the journal, there is a gap again.
    const BETWEEN: Duration = Duration::from_secs(10);
    while let Some(News { entries, late }) = news.recv().await {
        if let Some(Late { memories, broken }) = late {
            let doubt = broken.as_ref().map(super::doubt);
            tracing::warn!(
                doubt,
                "the journal can be read; what it remembers is taken over where nothing was decided since"
            );
            reporter.report(Event::Remembered { memories, doubt });
        }
        for (seq, record) in &entries {
            if let What::JournalGap { lost, since: _, why } = &record.what {
                tracing::warn!(lost, why, "entries are missing in the journal");
            }
            if let What::JournalRebuilt { why, aside } = &record.what {
                tracing::warn!(why, aside, "the journal was begun anew");
            }
            bus.publish(u64::try_from(*seq).ok(), SystemTime::now(), record);
        }
        let rebuilt = !entries.is_empty();
        if !rebuilt {
            tracing::info!("the journal can be written again");
        }
        reporter.report(Event::Journalled { deployment: None, token: None, result: Ok(()), rebuilt });
        if rebuilt {
            tokio::time::sleep(BETWEEN).await;
        }
    }
}

/// What the two slices of a deployment may know.
fn states_of(name: &str, roles: &Roles, addresses: &[Vec<IpAddr>; 2]) -> Vec<RoleState> {
    let state = |(slice, addresses): (&crate::model::record::SliceIdentity, &Vec<IpAddr>)| RoleState {
        deployment: name.to_owned(),
        colour: slice.colour,
        role: slice.role,
        version: slice.version.clone(),
        live: roles.live,
        generation: roles.generation,
        draining: roles.draining && slice.colour != roles.live,
        since: None,
        addresses: addresses.clone(),
    };
    roles.slices.iter().zip(addresses).map(state).collect()
}

impl Surroundings for World {
    fn record(&mut self, record: &Record, memory: &Memory, token: Option<u64>) {
        let deployment = record.deployment.clone();
        let entry = Entry { record: record.clone(), memory: Some(memory.clone()) };
        let late = Duration::from_millis(record.late_ms.unwrap_or_default());
        let at = SystemTime::now().checked_sub(late).unwrap_or(SystemTime::UNIX_EPOCH);
        let (reporter, bus, record) = (self.reporter.clone(), self.outside.bus().clone(), record.clone());
        let done = move |stored: Result<crate::journal::Stored, Refusal>| {
            let seq = stored.as_ref().ok().and_then(|stored| u64::try_from(stored.seq).ok());
            bus.publish(seq, at, &record);
            let (deployment, result) = (Some(deployment), stored.map(drop));
            reporter.report(Event::Journalled { deployment, token, result, rebuilt: false });
        };
        let journal = self.outside.0.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = &*journal {
            journal.append_then(entry, token.is_some(), done);
        }
    }

    fn ask(&mut self, deployment: &str, token: u64, phase: Phase, record: &Record) {
        let asked = match phase {
            Phase::Before => hooks::Phase::Before,
            Phase::Watch => hooks::Phase::Watch,
        };
        let body = serde_json::to_value(record).unwrap_or_default();
        let verdicts = self.outside.0.hooks.ask(deployment, asked, body);
        let (deployment, reporter) = (deployment.to_owned(), self.reporter.clone());
        tokio::spawn(async move {
            let agreement = |it: hooks::HookVerdict| {
                let hooks::HookVerdict { hook, ok, output, took } = it;
                Agreement { hook, ok, output, took }
            };
            let agreements = verdicts.await.into_iter().map(agreement).collect();
            reporter.report(Event::Asked { deployment, token, agreements });
        });
    }

    fn probe_now(&mut self, deployment: &str) {
        self.outside.0.prober.ask_now(deployment);
    }

    fn roles(&mut self, deployment: &str, roles: Option<Roles>) {
        if let Some(roles) = &roles {
            self.outside.0.prober.live(deployment, roles.live);
        }
        let mut told = self.outside.told();
        match roles {
            Some(roles) => told.roles.insert(deployment.to_owned(), roles),
            None => told.roles.remove(deployment),
        };
        drop(told);
        self.outside.update_roles();
    }
}

/// The data plane's pins know which colour answered.
struct Witnessed(Witness);

impl WhoAnswered for Witnessed {
    fn colour(&self, client: SocketAddr, frontend: SocketAddr, protocol: Protocol) -> Option<Colour> {
        self.0.colour(client, frontend, protocol)
    }
}
