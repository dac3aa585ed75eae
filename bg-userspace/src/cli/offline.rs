//! Orders and the status without a daemon, on the kernel's pinned tables.

use super::env::Kernel;
use super::target::Target;
use crate::api::protocol::{self, FlowQuery, Flows, Status};
use crate::config::Config;
use crate::dataplane::{BackendSpec, DeploymentSpec, Exchange, FlowState, Observer, ServiceSpec};
use crate::engine::status;
use crate::model::order::Done;
use crate::model::{Effect, Event, Machine, Now, Order, OrderId, Outcome};
use crate::refusal::Refusal;
use bg_common::{Colour, Via, Word};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

/// Carries out one order as the daemon would.
pub(super) fn order(
    kernel: &dyn Kernel,
    instance: &str,
    order: Order,
) -> Result<protocol::Switched, Refusal> {
    let dataplane = kernel.open(instance)?;
    let mut machine = Machine::default();
    let now = now();
    machine.handle(Event::Words(dataplane.words()?), now);
    let mut effects: VecDeque<_> = machine.handle(Event::Order { id: OrderId(0), order }, now).into();
    while let Some(effect) = effects.pop_front() {
        match effect {
            Effect::Answer { answer, .. } => match *answer {
                Ok(Done::Switched(switched)) => return Ok(switched),
                Ok(_) => break,
                Err(refusal) => return Err(refusal),
            },
            Effect::Journal { deployment, token, .. } => {
                let result = Ok(());
                effects.extend(machine.handle(Event::Journalled { deployment, token, result }, now));
            }
            Effect::Record { .. }
            | Effect::Ask { .. }
            | Effect::ProbeNow { .. }
            | Effect::CountNow
            | Effect::Serve { .. } => {}
            Effect::Exchange { deployment, expected, new } => {
                let outcome = match dataplane.exchange(&deployment, expected, new)? {
                    Exchange::Done { took } => Outcome::Done { at: now.moment, took },
                    Exchange::Lost { actual } => Outcome::Lost { actual },
                };
                effects.extend(machine.handle(Event::Exchanged { deployment, outcome }, now));
            }
        }
    }
    let mend = "see `bgctl --offline status`, then order again";
    Err(Refusal::new("no-effect", "the order had no effect", format!("instance {instance}"), mend))
}

/// The time by both clocks.
fn now() -> Now {
    let monotonic = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { moment: crate::model::Moment(monotonic.unwrap_or_default()), unix: unix.as_secs() }
}

/// How the gateway stands. The tables name no services; those are taken from the configuration.
pub(super) fn status(kernel: &dyn Kernel, target: &Target) -> Result<Status, Refusal> {
    let dataplane = kernel.open(&target.instance)?;
    let attachments = dataplane.attachments()?;
    let open = open_flows(&mut *dataplane.observer()?)?;
    let specs = target.configuration().map(|config| specs(&config)).unwrap_or_default();
    let mut words = dataplane.words()?;
    words.sort_by(|(a, _), (b, _)| a.cmp(b));
    let deployment = |(name, word): &(String, Word)| {
        status::deployment(name, *word, Some(open.get(name).copied().unwrap_or_default()), &specs)
    };
    Ok(Status {
        instance: target.instance.clone(),
        daemon: false,
        path: status::path(&attachments),
        deployments: words.iter().map(deployment).collect(),
        attachments,
    })
}

/// The flows of `query`.
pub(super) fn flows(kernel: &dyn Kernel, instance: &str, query: &FlowQuery) -> Result<Flows, Refusal> {
    let dataplane = kernel.open(instance)?;
    let mut machine = Machine::default();
    machine.handle(Event::Words(dataplane.words()?), now());
    if let Some(refusal) = query.deployment.as_deref().and_then(|name| machine.unknown(name)) {
        return Err(refusal);
    }
    Ok(Flows::select(dataplane.observer()?.flows()?, query))
}

fn open_flows(observer: &mut dyn Observer) -> Result<HashMap<String, [u64; 2]>, Refusal> {
    let mut open: HashMap<String, [u64; 2]> = HashMap::new();
    for flow in observer.flows()?.into_iter().filter(|flow| flow.state != FlowState::Closed) {
        let [blue, green] = open.entry(flow.deployment).or_default();
        match flow.colour {
            Colour::Blue => *blue += 1,
            Colour::Green => *green += 1,
        }
    }
    Ok(open)
}

/// What the configuration says about services. How backends are reached is of no interest here.
fn specs(config: &Config) -> Vec<DeploymentSpec> {
    let backend = |addr| BackendSpec::serving(addr, Via::Stack, 0);
    let deployments = config.deployments.iter().map(|deployment| {
        let services = deployment.services.iter().map(|service| ServiceSpec {
            name: service.name.to_string(),
            protocol: service.protocol,
            frontends: service.frontends(),
            backends: Colour::BOTH
                .map(|colour| deployment.backends(service, colour).into_iter().map(backend).collect()),
            refuse: false,
        });
        DeploymentSpec {
            name: deployment.name.to_string(),
            initial: Word::initial(deployment.initial),
            services: services.collect(),
        }
    });
    deployments.collect()
}
