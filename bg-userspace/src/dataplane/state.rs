//! What the tables hold, as a value: read from the kernel once, then changed together with it.

use bg_common::{
    Backend, Endpoint, Frontend, Name, PreviewKey, Ring, Service, Settings, Source, Word, names,
};
use std::collections::{BTreeMap, BTreeSet};

/// Contents of the tables that only user space changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    /// Deployment id → name.
    pub(super) deployments: BTreeMap<u32, String>,
    /// Service id → service.
    pub(super) services: BTreeMap<u32, ServiceState>,
    /// Where frontends listen, and what that leads to.
    pub(super) frontends: BTreeMap<Endpoint, Frontend>,
    /// Frontend id → where it listens, those included that only pins name.
    pub(super) frontend_addrs: BTreeMap<u32, Endpoint>,
    /// Backend id → backend, those included that only pins name.
    pub(super) backends: BTreeMap<u32, Backend>,
    /// Where backends listen → backend id.
    pub(super) backends_by_addr: BTreeMap<Endpoint, u32>,
    /// Backend id → whose address is replaced, also where that was given up.
    pub(super) sources: BTreeMap<u32, Source>,
    /// What holds for all packets.
    pub(super) settings: Settings,
    /// Preview rules, with the number of an [`Aim`](bg_common::Aim).
    pub(super) previews: BTreeMap<PreviewKey, u32>,
}

/// One service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ServiceState {
    pub(super) deployment: u32,
    pub(super) name: String,
    /// Bits of [`Service::flags`].
    pub(super) flags: u32,
    /// The rings by [`Service::slot`]: where they lie, and the backend ids on them.
    pub(super) rings: [(Ring, Vec<u32>); Service::RINGS],
}

/// One change of the tables. Order matters: what refers comes after what it refers to, and what is
/// referred to goes after what refers to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Op {
    NameDeployment(u32, Name),
    /// Only for a deployment that was not there.
    InitialWord(u32, Word),
    ForgetDeployment(u32),
    SetBackend(u32, Backend),
    ClearBackend(u32),
    SetSource(u32, Source),
    ClearSource(u32),
    MapBackend(Endpoint, u32),
    UnmapBackend(Endpoint),
    /// Backend ids from a position on.
    WriteRing(u32, Vec<u32>),
    NameService(u32, Name),
    /// A service that was not there, with its rings.
    SetService(u32, Service),
    /// The flags of a service that is there and stays in its deployment, by one store.
    SetFlags(u32, Service),
    /// One ring of a service that is there, by one store; the slot is [`Service::slot`].
    SetRing(u32, usize, Ring),
    ForgetService(u32),
    SetFrontendAddr(u32, Endpoint),
    ClearFrontendAddr(u32),
    MapFrontend(Endpoint, Frontend),
    UnmapFrontend(Endpoint),
    SetPreview(PreviewKey, u32),
    RemovePreview(PreviewKey),
    Settings(Settings),
}

impl State {
    pub(super) fn deployment_id(&self, name: &str) -> Option<u32> {
        self.deployments.iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
    }

    /// The backend of a service that listens at an endpoint, if it is known, whatever its slice: a machine
    /// that changes colour keeps its flows.
    pub(super) fn backend_id(&self, at: &Endpoint, service: u32) -> Option<u32> {
        let id = *self.backends_by_addr.get(at)?;
        let backend = self.backends.get(&id)?;
        (backend.service() == service).then_some(id)
    }

    /// Takes over services and backends of a state that holds only what has changed.
    pub(super) fn take_over(&mut self, changed: Self) {
        self.services.extend(changed.services);
        self.backends.extend(changed.backends);
        self.sources.extend(changed.sources);
    }

    /// What only pins may name.
    pub(super) fn retired(&self) -> Retired {
        // A backend has many positions.
        let mut serving = vec![false; names::MAX_BACKENDS as usize];
        let rings = self.services.values().flat_map(|service| service.rings.iter());
        for id in rings.flat_map(|(_, ids)| ids) {
            if let Some(serves) = serving.get_mut(*id as usize) {
                *serves = true;
            }
        }
        let serves = |id: u32| serving.get(id as usize).is_some_and(|serves| *serves);
        let frontends = self.frontends.values().filter(|frontend| !frontend.is_vip());
        let listening: BTreeSet<u32> = frontends.map(|frontend| frontend.id.into()).collect();
        Retired {
            backends: self
                .backends
                .iter()
                .filter(|(id, backend)| !serves(**id) && !backend.is_down())
                .map(|(id, _)| *id)
                .collect(),
            frontends: self.frontend_addrs.keys().copied().filter(|id| !listening.contains(id)).collect(),
        }
    }
}

/// Ids that are not free yet, because pins may name them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Retired {
    /// These backends are not wanted: no ring leads to them, and they are not only down.
    pub(super) backends: BTreeSet<u32>,
    /// No packet finds these frontends.
    pub(super) frontends: BTreeSet<u32>,
}
