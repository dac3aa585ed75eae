//! Hooks: commands and webhooks that are called after records, and asked before and during a switch.

mod deliver;
mod desk;
mod letter;

pub(super) use desk::Desk;

use super::answer::Answer;
use super::bus::Bus;
use super::post::Post;
use super::spec::{Call, HookSpec};
use super::thread::Thread;
use super::{command, post};
use crate::model::record::What;
use deliver::Calls as _;
use letter::Letter;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The hooks of all deployments. Clones are the same hooks.
#[derive(Clone)]
pub struct Hooks {
    runtime: Handle,
    desk: Arc<Desk>,
    caller: Caller,
    told: Told,
}

/// Whom a hook's outcome is told. Called on the thread of the hooks, so it must be quick.
type Told = Arc<dyn Fn(HookReport) + Send + Sync>;

/// When a gate is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Before a switch.
    Before,
    /// While a switch is watched.
    Watch,
}

/// How a gate has answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookVerdict {
    /// Name of the hook.
    pub hook: String,
    /// Whether it agrees. One that is late, broken or not there does not.
    pub ok: bool,
    /// What it said, or why there is no answer: at most 4 KiB of harmless text.
    pub output: String,
    /// From the question to the answer.
    pub took: Duration,
}

/// An outcome that is worth a record: an event that was given up, an answer before a switch, or a no while one is
/// watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookReport {
    /// Name of the deployment.
    pub deployment: String,
    /// `event`, `before` or `watch`.
    pub phase: &'static str,
    /// What came of it; `took` is that of the last call.
    pub verdict: HookVerdict,
}

impl From<HookReport> for What {
    fn from(report: HookReport) -> Self {
        let HookReport { deployment: _, phase, verdict: HookVerdict { hook, ok, output, took } } = report;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self::Hook { hook, phase: phase.to_owned(), ok, output, millis }
    }
}

impl Phase {
    /// Lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Watch => "watch",
        }
    }
}

impl Hooks {
    /// Calls hooks on `thread` for what is published on `bus`, once there are hooks, and tells `told` what is worth a
    /// record. `told` is called on that thread, so it must not wait.
    #[must_use]
    pub fn start(thread: &Thread, bus: &Bus, told: impl Fn(HookReport) + Send + Sync + 'static) -> Self {
        let (runtime, desk) = (thread.runtime.clone(), Arc::clone(&bus.desk));
        Self { runtime, desk, caller: Caller::default(), told: Arc::new(told) }
    }

    /// Makes these the hooks, by the names of their deployments. A hook that stays keeps what waits for it, even if it
    /// is called otherwise from here on; what waits for one that goes is dropped.
    pub fn configure(&self, hooks: Vec<(String, Vec<HookSpec>)>) {
        for hook in self.desk.configure(hooks) {
            self.runtime.spawn(deliver::work(hook, self.caller.clone(), Arc::clone(&self.told)));
        }
    }

    /// Asks all hooks of a deployment that have a say in this phase, at the same time, once, each within its time. `body`
    /// is an object; the hooks get it with `hook`, `deployment` and `phase` added. None at all agree with an
    /// empty answer. Dropping the future ends the calls.
    pub fn ask(
        &self,
        deployment: &str,
        phase: Phase,
        body: Value,
    ) -> impl Future<Output = Vec<HookVerdict>> + Send + use<> {
        let gates = self.desk.gates(deployment, phase);
        let names: Vec<String> = gates.iter().map(|spec| spec.name.clone()).collect();
        let (mut reply, answer) = oneshot::channel();
        let (hooks, deployment) = (self.clone(), deployment.to_owned());
        self.runtime.spawn(async move {
            tokio::select! {
                verdicts = hooks.ask_all(gates, &deployment, phase, &body) => drop(reply.send(verdicts)),
                () = reply.closed() => {}
            }
        });
        async move {
            let gone = |hook| {
                let output = "the thread that calls hooks has ended: systemctl restart bgd".to_owned();
                HookVerdict { hook, ok: false, output, took: Duration::ZERO }
            };
            answer.await.unwrap_or_else(|_| names.into_iter().map(gone).collect())
        }
    }

    /// Waits until no event waits for a hook, but not longer than `within`; whether that came true.
    pub async fn idle(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.desk.idle()).await.is_ok()
    }

    async fn ask_all(
        &self,
        gates: Vec<Arc<HookSpec>>,
        deployment: &str,
        phase: Phase,
        body: &Value,
    ) -> Vec<HookVerdict> {
        let mut calls = JoinSet::new();
        for (index, spec) in gates.into_iter().enumerate() {
            let letter = Letter::question(&spec.name, deployment, phase, body);
            let caller = self.caller.clone();
            calls.spawn(async move { (index, caller.judge(&spec, &letter).await) });
        }
        let mut verdicts: Vec<(usize, HookVerdict)> = Vec::new();
        while let Some(joined) = calls.join_next().await {
            verdicts.push(joined.unwrap_or_else(|why| {
                // Whose call it was is lost with it; nobody has agreed.
                let output = format!("the call has ended unexpectedly: {why}");
                let hook = "unknown".to_owned();
                (usize::MAX, HookVerdict { hook, ok: false, output, took: Duration::ZERO })
            }));
        }
        verdicts.sort_by_key(|(index, _)| *index);
        let verdicts: Vec<_> = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
        for verdict in verdicts.iter().filter(|verdict| phase == Phase::Before || !verdict.ok) {
            let (deployment, verdict) = (deployment.to_owned(), verdict.clone());
            (self.told)(HookReport { deployment, phase: phase.as_str(), verdict });
        }
        verdicts
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("desk", &self.desk).finish_non_exhaustive()
    }
}

/// What calls a hook once.
#[derive(Clone, Debug, Default)]
struct Caller {
    post: Arc<Post>,
}

impl deliver::Calls for Caller {
    async fn call(&self, spec: &HookSpec, letter: &Letter) -> Answer {
        match &spec.call {
            Call::Command(words) => {
                command::run(words, &letter.environment, &letter.body, spec.timeout).await
            }
            Call::Url(url) => post::bounded(self.post.send(url, letter.body.clone()), spec.timeout).await,
        }
    }
}

impl Caller {
    async fn judge(&self, spec: &HookSpec, letter: &Letter) -> HookVerdict {
        let began = Instant::now();
        let Answer { ok, output } = self.call(spec, letter).await;
        HookVerdict { hook: spec.name.clone(), ok, output, took: began.elapsed() }
    }
}
