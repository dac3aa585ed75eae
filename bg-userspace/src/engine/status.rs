//! How the gateway stands, put together from what the tables, the model and the wiring know.

use crate::api::protocol::{ByColour, Deployment, Service};
use crate::dataplane::{Attachment, BackendSpec, DeploymentSpec, Path, ServiceSpec};
use bg_common::{Word, names};

/// How one deployment stands; its services are looked up among `specs`.
#[must_use]
pub fn deployment(name: &str, word: Word, open: Option<[u64; 2]>, specs: &[DeploymentSpec]) -> Deployment {
    let spec = specs.iter().find(|spec| spec.name == name);
    Deployment {
        name: name.to_owned(),
        live: word.live(),
        draining: word.draining(),
        generation: word.generation(),
        open: open.unwrap_or_default().into(),
        services: spec.map(|spec| spec.services.iter().map(service).collect()).unwrap_or_default(),
    }
}

fn service(spec: &ServiceSpec) -> Service {
    let ServiceSpec { name, protocol, frontends, backends: [blue, green] } = spec;
    let addrs = |backends: &[BackendSpec]| backends.iter().map(|backend| backend.addr).collect();
    Service {
        name: name.clone(),
        protocol: *protocol,
        frontends: frontends.clone(),
        backends: ByColour { blue: addrs(blue), green: addrs(green) },
    }
}

/// The path that attached programs tell of.
#[must_use]
pub fn path(attachments: &[Attachment]) -> Option<Path> {
    let egress = attachments.iter().any(|attachment| attachment.program == names::TC_EGRESS);
    match attachments {
        [] => None,
        _ if egress => Some(Path::Stack),
        _ => Some(Path::Redirect),
    }
}
