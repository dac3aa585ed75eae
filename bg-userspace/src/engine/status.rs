//! How the gateway stands, put together from what the tables, the model and the wiring know.

use super::Engine;
use super::event::Reply;
use super::{standing, truths};
use crate::api::protocol::{ByColour, Deployment, Drift, Health, PreviewVip, Service, Status};
use crate::dataplane::{Attachment, BackendSpec, DeploymentSpec, Path, ServiceSpec};
use crate::model;
use crate::refusal::Refusal;
use bg_common::{Word, names};
use std::time::Duration;
use tokio::time::Instant;

/// A status tells counts that are no older than this, if they can be had in time.
const FRESH: Duration = Duration::from_millis(500);

/// A status waits so long for a new count.
const PATIENCE: Duration = Duration::from_millis(300);

/// How one deployment stands; its services are looked up among `specs`.
#[must_use]
pub fn deployment(name: &str, word: Word, open: Option<[u64; 2]>, specs: &[DeploymentSpec]) -> Deployment {
    let spec = specs.iter().find(|spec| spec.name == name);
    Deployment {
        draining: word.draining(),
        generation: word.generation(),
        open: open.unwrap_or_default().into(),
        services: spec.map(|spec| spec.services.iter().map(service).collect()).unwrap_or_default(),
        ..Deployment::bare(name, word.live())
    }
}

fn service(spec: &ServiceSpec) -> Service {
    let ServiceSpec { name, protocol, frontends, backends: [blue, green], previews, .. } = spec;
    let addrs = |backends: &[BackendSpec]| backends.iter().map(|backend| backend.addr).collect();
    Service {
        name: name.clone(),
        protocol: *protocol,
        frontends: frontends.clone(),
        previews: previews.iter().map(|(at, to)| PreviewVip { at: *at, to: *to }).collect(),
        backends: ByColour { blue: addrs(blue), green: addrs(green) },
    }
}

/// The path that attached programs tell of: only on the redirect path do zones have a program of their own.
#[must_use]
pub fn path(attachments: &[Attachment]) -> Option<Path> {
    let zone = attachments.iter().any(|attachment| attachment.program == names::TC_ZONE);
    match attachments {
        [] => None,
        _ if zone => Some(Path::Redirect),
        _ => Some(Path::Stack),
    }
}

impl Engine {
    /// Answers with fresh counts, or promises to.
    pub(super) fn ask_status(&mut self, reply: Reply<Status>) {
        let fresh = self.counted.is_some_and(|counted| self.now().moment.since(counted) < FRESH);
        if fresh {
            let _ = reply.send(self.status());
            return;
        }
        self.statuses.push((Instant::now() + PATIENCE, reply));
        if !self.counting {
            self.count();
        }
    }

    fn status(&mut self) -> Result<Status, Refusal> {
        self.reread()?;
        let attachments = self.dataplane.attachments()?;
        let (way, specs) = match &self.wiring {
            Some((attach, specs)) => (Some(attach.path), specs.as_slice()),
            None => (path(&attachments), &[][..]),
        };
        let now = self.now().moment;
        let deployments = self
            .machine
            .deployments()
            .map(|(name, known)| {
                let bare = deployment(name, known.word(), known.open().map(|open| open.count), specs);
                standing::complete(bare, known.view(now), &known.health_view(now).probes)
            })
            .collect();
        Ok(Status {
            instance: self.settings.instance.clone(),
            daemon: true,
            path: way,
            deployments,
            attachments,
            refused_reload: self.refused_reload.clone(),
        })
    }

    /// What probes and real flows say.
    pub(super) fn health(&mut self, name: Option<&str>) -> Result<Health, Refusal> {
        self.reread()?;
        if let Some(refusal) = name.and_then(|name| self.machine.unknown(name)) {
            return Err(refusal);
        }
        let now = self.now().moment;
        let wanted = self.machine.deployments().filter(|(known, _)| name.is_none_or(|name| name == *known));
        let of = |(_, known): (&str, &model::deployment::Deployment)| {
            standing::health(known.health_view(now), known.live(now))
        };
        Ok(Health { deployments: wanted.map(of).collect() })
    }

    /// The four truths side by side.
    pub(super) fn drift(&mut self, name: Option<&str>) -> Result<Drift, Refusal> {
        self.reread()?;
        if let Some(refusal) = name.and_then(|name| self.machine.unknown(name)) {
            return Err(refusal);
        }
        let now = self.now().moment;
        let specs = self.wiring.as_ref().map(|(_, specs)| specs.as_slice()).unwrap_or_default();
        let wanted = self.machine.deployments().filter(|(known, _)| name.is_none_or(|name| name == *known));
        let deployments: Vec<_> = wanted
            .map(|(name, known)| truths::of(&known.view(now), specs.iter().find(|spec| spec.name == name)))
            .collect();
        let differs = deployments.iter().flat_map(|one| &one.rows).any(|row| row.differs);
        Ok(Drift { differs, deployments })
    }

    /// Answers those whose deadline is `due`.
    pub(super) fn answer_statuses(&mut self, due: impl Fn(Instant) -> bool) {
        let (ready, waiting) =
            std::mem::take(&mut self.statuses).into_iter().partition(|(deadline, _)| due(*deadline));
        self.statuses = waiting;
        for (_, reply) in ready {
            let _ = reply.send(self.status());
        }
    }
}
