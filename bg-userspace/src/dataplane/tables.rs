//! Handles on the tables that only user space changes: reading them whole, and executing changes.

use super::buckets::Buckets;
use super::mapped::Mapped;
use super::pins::refused;
use super::state::{Op, ServiceState, State};
use super::table::{Table, refusal};
use crate::refusal::Refusal;
use aya::maps::{Map, MapData, MapError, PerCpuArray, PerCpuValues};
use bg_common::{
    Backend, Colour, Endpoint, Frontend, Name, PreviewKey, Ring, Service, Settings, SliceId, Source, Traffic,
    Word, names,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Offset of a service's rings in its table entry.
const RINGS: usize = std::mem::offset_of!(Service, rings);
/// The same of [`Service::head`].
const HEAD: usize = std::mem::offset_of!(Service, deployment);
/// Bytes from one ring position to the next: the kernel rounds the size of an array's values up
/// (`array_map_alloc`, kernel/bpf/arraymap.c).
const RING_STRIDE: usize = size_of::<u32>().next_multiple_of(8);

pub(super) struct Tables {
    words: Mapped,
    epoch: Mapped,
    deployment_names: Table<u32, Name>,
    services_mapped: Mapped,
    services: Table<u32, Service>,
    service_names: Table<u32, Name>,
    frontends: Buckets<Frontend>,
    frontend_addrs: Table<u32, Endpoint>,
    ring_mapped: Mapped,
    ring: Table<u32, u32>,
    previews: Table<PreviewKey, u32>,
    backends: Table<u32, Backend>,
    backends_by_addr: Buckets<u64>,
    sources: Table<u32, Source>,
    settings: Table<u32, Settings>,
    traffic: PerCpuArray<MapData, Traffic>,
}

/// Opens a pinned per-CPU table.
pub(super) fn open_per_cpu<T: TryFrom<Map, Error = MapError>>(dir: &Path, name: &str) -> Result<T, Refusal> {
    let path = dir.join(name);
    MapData::from_pin(&path)
        .and_then(Map::from_map_data)
        .and_then(T::try_from)
        .map_err(|error| refused(&path, &error))
}

impl Tables {
    /// Opens the tables that are pinned in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self, Refusal> {
        let words = Table::<u32, Word>::open(dir, names::DEPLOYMENTS)?;
        let epoch = Table::<u32, u64>::open(dir, names::EPOCH)?;
        let services = Table::<u32, Service>::open(dir, names::SERVICES)?;
        let ring = Table::<u32, u32>::open(dir, names::RING)?;
        Ok(Self {
            words: Mapped::new(words.fd(), size_of::<Word>(), names::MAX_DEPLOYMENTS)
                .map_err(|error| words.refused(&error))?,
            epoch: Mapped::new(epoch.fd(), size_of::<u64>(), 1).map_err(|error| epoch.refused(&error))?,
            deployment_names: Table::open(dir, names::DEPLOYMENT_NAMES)?,
            services_mapped: Mapped::new(services.fd(), size_of::<Service>(), names::MAX_SERVICES)
                .map_err(|error| services.refused(&error))?,
            services,
            service_names: Table::open(dir, names::SERVICE_NAMES)?,
            frontends: Buckets::open(dir, names::FRONTENDS)?,
            frontend_addrs: Table::open(dir, names::FRONTEND_ADDRS)?,
            ring_mapped: Mapped::new(ring.fd(), RING_STRIDE, names::MAX_RING)
                .map_err(|error| ring.refused(&error))?,
            ring,
            previews: Table::open(dir, names::PREVIEW)?,
            backends: Table::open(dir, names::BACKENDS)?,
            backends_by_addr: Buckets::open(dir, names::BACKENDS_BY_ADDR)?,
            sources: Table::open(dir, names::SOURCES)?,
            settings: Table::open(dir, names::SETTINGS)?,
            traffic: open_per_cpu(dir, names::TRAFFIC)?,
        })
    }

    /// The word of a deployment, in place.
    pub(super) fn word(&self, deployment: u32) -> Result<&AtomicU64, Refusal> {
        self.words.bits(deployment, 0).ok_or_else(|| refusal(names::DEPLOYMENTS, &"no such entry"))
    }

    /// Reads what the tables hold.
    pub(super) fn state(&self) -> Result<State, Refusal> {
        let mut state = State { deployments: self.deployments()?, ..State::default() };
        self.backends.each(|id, backend| {
            if !backend.is_vacant() {
                state.backends.insert(*id, *backend);
            }
        })?;
        let mut positions = vec![0_u32; names::MAX_RING as usize];
        self.ring.each(|position, id| {
            if let Some(slot) = positions.get_mut(*position as usize) {
                *slot = *id;
            }
        })?;
        let mut named = BTreeMap::new();
        self.service_names.each(|id, name| {
            if !name.is_empty() {
                named.insert(*id, name.as_str().to_owned());
            }
        })?;
        self.services.each(|id, service| {
            if let Some(name) = named.remove(id) {
                let Service { deployment, flags, rings } = *service;
                let rings = rings.map(|ring| (ring, ids_on(&positions, ring)));
                state.services.insert(*id, ServiceState { deployment, name, flags, rings });
            }
        })?;
        self.frontends.each(|at, frontend| {
            state.frontends.insert(*at, *frontend);
        })?;
        self.frontend_addrs.each(|id, at| {
            if at.proto().0 != 0 {
                state.frontend_addrs.insert(*id, *at);
            }
        })?;
        self.backends_by_addr.each(|at, id| {
            state.backends_by_addr.insert(*at, *id as u32);
        })?;
        self.previews.each(|key, aim| {
            state.previews.insert(*key, *aim);
        })?;
        self.sources.each(|id, source| {
            if !source.is_vacant() {
                state.sources.insert(*id, *source);
            }
        })?;
        state.settings = self.settings.get(&0)?.unwrap_or_default();
        Ok(state)
    }

    /// Deployment id → name. A count needs no more, and is taken up to a hundred times a second; the arrays of
    /// the state have up to half a million positions.
    pub(super) fn deployments(&self) -> Result<BTreeMap<u32, String>, Refusal> {
        let mut deployments = BTreeMap::new();
        self.deployment_names.each(|id, name| {
            if !name.is_empty() {
                deployments.insert(*id, name.as_str().to_owned());
            }
        })?;
        Ok(deployments)
    }

    /// The backend of an id, if there is one.
    pub(super) fn backend(&self, id: u32) -> Result<Option<Backend>, Refusal> {
        Ok(self.backends.get(&id)?.filter(|backend| !backend.is_vacant()))
    }

    /// Executes one change, and voids what was decided before it.
    pub(super) fn execute(&mut self, op: &Op) -> Result<(), Refusal> {
        let done = self.change(op);
        if let Some(epoch) = self.epoch.bits(0, 0) {
            epoch.fetch_add(1, Ordering::Release);
        }
        done
    }

    fn change(&mut self, op: &Op) -> Result<(), Refusal> {
        match op {
            Op::InitialWord(id, word) => {
                self.word(*id)?.store(word.bits(), Ordering::Release);
                self.clear_traffic(*id)
            }
            Op::NameDeployment(id, name) => self.deployment_names.set(id, name),
            Op::ForgetDeployment(id) => self.deployment_names.set(id, &Name::EMPTY),
            Op::SetBackend(id, backend) => self.backends.set(id, backend),
            Op::ClearBackend(id) => self.backends.set(id, &Backend::default()),
            Op::SetSource(id, source) => self.sources.set(id, source),
            Op::ClearSource(id) => self.sources.set(id, &Source::default()),
            Op::MapBackend(at, id) => self.backends_by_addr.set(at, &u64::from(*id)),
            Op::UnmapBackend(at) => self.backends_by_addr.remove(at),
            Op::WriteRing(base, ids) => {
                (*base..).zip(ids).try_for_each(|(position, id)| self.position(position, *id))
            }
            Op::NameService(id, name) => self.service_names.set(id, name),
            Op::SetService(id, service) => self.services.set(id, service),
            Op::SetFlags(id, service) => self.store(*id, HEAD, service.head()),
            Op::SetRing(id, slot, ring) => self.store(*id, RINGS + slot * size_of::<Ring>(), ring.bits()),
            Op::ForgetService(id) => {
                self.service_names.set(id, &Name::EMPTY)?;
                self.services.set(id, &Service::default())
            }
            Op::SetFrontendAddr(id, at) => self.frontend_addrs.set(id, at),
            Op::ClearFrontendAddr(id) => self.frontend_addrs.set(id, &Endpoint::default()),
            Op::MapFrontend(at, frontend) => self.frontends.set(at, frontend),
            Op::UnmapFrontend(at) => self.frontends.remove(at),
            Op::SetPreview(key, aim) => self.previews.set(key, aim),
            Op::RemovePreview(key) => self.previews.remove(key),
            Op::Settings(settings) => self.settings.set(&0, settings),
        }
    }

    /// Replaces 64 bits of a service by one store.
    fn store(&self, service: u32, offset: usize, bits: u64) -> Result<(), Refusal> {
        let place = self.services_mapped.bits(service, offset);
        place.ok_or_else(|| refusal(names::SERVICES, &"no such entry"))?.store(bits, Ordering::Release);
        Ok(())
    }

    /// Writes a ring position that no service points to yet.
    fn position(&self, position: u32, id: u32) -> Result<(), Refusal> {
        let place = self.ring_mapped.bits(position, 0);
        // The value lies in the first four bytes.
        let bits = if cfg!(target_endian = "little") { u64::from(id) } else { u64::from(id) << 32 };
        place.ok_or_else(|| refusal(names::RING, &"no such entry"))?.store(bits, Ordering::Release);
        Ok(())
    }

    /// A deployment that takes over an id starts counting at zero.
    fn clear_traffic(&mut self, deployment: u32) -> Result<(), Refusal> {
        let cpus = aya::util::nr_cpus().map_err(|(path, error)| refusal(path, &error))?;
        for colour in Colour::BOTH {
            let slice = SliceId::new(deployment, colour).index();
            let zeroes = PerCpuValues::try_from(vec![Traffic::default(); cpus])
                .map_err(|error| refusal(names::TRAFFIC, &error))?;
            self.traffic.set(slice, zeroes, 0).map_err(|error| refusal(names::TRAFFIC, &error))?;
        }
        Ok(())
    }
}

fn ids_on(positions: &[u32], ring: Ring) -> Vec<u32> {
    let from = ring.base() as usize;
    positions.get(from..from.saturating_add(ring.len() as usize)).unwrap_or_default().to_vec()
}
