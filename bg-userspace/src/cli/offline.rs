//! What can be done without a daemon, on the kernel's pinned tables: the status, the flows, and in `words`
//! the orders that are nothing but a change of the word.

mod note;
mod words;

pub(super) use words::{Change, change, switched};

use super::env::Kernel;
use super::target::Target;
use crate::api::protocol::{Deployment, DrainStatus, FlowQuery, Flows, Status};
use crate::config::Config;
use crate::dataplane::{BackendSpec, Dataplane, DeploymentSpec, FlowRow, FlowState, ServiceSpec};
use crate::engine::status;
use crate::model::{Event, Machine};
use crate::refusal::Refusal;
use bg_common::word::Fate;
use bg_common::{Colour, Tick, Via, Word};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How the gateway stands. The tables name no services; those are taken from the configuration.
pub(super) fn status(kernel: &dyn Kernel, target: &Target) -> Result<Status, Refusal> {
    let dataplane = kernel.open(&target.instance)?;
    let attachments = dataplane.attachments()?;
    let rows = dataplane.observer()?.flows()?;
    let specs = target.configuration().map(|config| specs(&config)).unwrap_or_default();
    let mut words = dataplane.words()?;
    words.sort_by(|(a, _), (b, _)| a.cmp(b));
    let now = monotonic();
    let deployment = |(name, word): &(String, Word)| deployment(name, *word, &rows, &specs, now);
    Ok(Status {
        instance: target.instance.clone(),
        daemon: false,
        path: status::path(&attachments),
        deployments: words.iter().map(deployment).collect(),
        attachments,
        refused_reload: None,
    })
}

/// The flows of `query`.
pub(super) fn flows(kernel: &dyn Kernel, instance: &str, query: &FlowQuery) -> Result<Flows, Refusal> {
    let dataplane = kernel.open(instance)?;
    if let Some(name) = query.deployment.as_deref() {
        resolve(&*dataplane, Some(name))?;
    }
    Ok(Flows::select(dataplane.observer()?.flows()?, query))
}

/// The name of the deployment that is meant.
fn resolve(dataplane: &dyn Dataplane, name: Option<&str>) -> Result<String, Refusal> {
    let mut machine = Machine::default();
    machine.handle(Event::Words(dataplane.words()?), Default::default());
    machine.resolve(name)
}

/// How a deployment stands by its word, as the programs read it now, and by its flows.
fn deployment(
    name: &str,
    word: Word,
    rows: &[FlowRow],
    specs: &[DeploymentSpec],
    now: Duration,
) -> Deployment {
    let word = word.effective(tick(now));
    let is_open = |row: &&FlowRow| row.deployment == name && row.state != FlowState::Closed;
    let of = |colour| rows.iter().filter(is_open).filter(move |row| row.colour == colour);
    let open = Colour::BOTH.map(|colour| u64::try_from(of(colour).count()).unwrap_or(u64::MAX));
    let deadline = Duration::from_nanos(u64::from(word.deadline()) * Tick::NANOS);
    let left = || Some(deadline.saturating_sub(now).as_secs());
    let (reverts, resumes) =
        word.unpack().map_or((false, false), |word| (word.revert_at_deadline, word.resume_at_deadline));
    let old = word.live().other();
    let drain = word.draining().then(|| DrainStatus {
        open: open.get(old.index()).copied(),
        oldest_s: of(old).map(|row| row.age.as_secs()).max(),
        since_s: None,
        deadline_s: None,
        fate: fate(word.fate()).to_owned(),
        fate_then: None,
    });
    Deployment {
        canary_per_mille: word.canary(),
        paused: word.is_paused(),
        paused_left_s: left().filter(|_| resumes),
        confirm_left_s: left().filter(|_| reverts),
        drain,
        ..status::deployment(name, word, Some(open), specs)
    }
}

const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Keep => "keep",
        Fate::Reset => "reset",
        Fate::Move => "move",
    }
}

/// CLOCK_MONOTONIC, which deadlines are in; the kernel has it whatever happens.
fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

fn tick(time: Duration) -> Tick {
    Tick::from_nanos(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// What the configuration says about services. How backends are reached is of no interest here.
fn specs(config: &Config) -> Vec<DeploymentSpec> {
    let backend = |addr| BackendSpec::serving(addr, Via::Stack, 0);
    let deployments = config.deployments.iter().map(|deployment| {
        let parts = |service| deployment.parts(service).into_iter().map(move |part| (service.protocol, part));
        let services = deployment.services.iter().flat_map(parts).map(|(protocol, part)| ServiceSpec {
            name: part.name,
            protocol,
            frontends: part.frontends,
            backends: part.backends.map(|slice| slice.into_iter().map(backend).collect()),
            previews: part.previews,
            ..ServiceSpec::default()
        });
        DeploymentSpec {
            name: deployment.name.to_string(),
            initial: Word::initial(deployment.initial),
            services: services.collect(),
            previews: deployment.policy.previews.clone(),
        }
    });
    deployments.collect()
}
