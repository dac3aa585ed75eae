//! From what the tables hold and what they shall hold to the ordered list of changes. Pure: it is
//! tested without a kernel.

mod flaps;
mod previews;
mod ring;

use super::state::{Op, ServiceState, State};
use crate::dataplane::{BackendSpec, DeploymentSpec, Protocol, ServiceSpec, SourceSpec};
use crate::refusal::Refusal;
use bg_common::names::{MAX_BACKENDS, MAX_DEPLOYMENTS, MAX_FRONTENDS, MAX_RING, MAX_SERVICES};
use bg_common::{
    Aim, Backend, Colour, Endpoint, Frontend, Name, PinnedFlows, Proto, Ring, Service, SliceId, Source,
};
use ring::Member;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

pub(super) use flaps::flaps;

/// The endpoint of a socket address.
pub(super) fn endpoint(addr: &SocketAddr, protocol: Protocol) -> Endpoint {
    let proto = match protocol {
        Protocol::Tcp => Proto::TCP,
        Protocol::Udp => Proto::UDP,
        Protocol::Any => return Endpoint::whole(addr.ip().into()),
    };
    Endpoint::new(addr.ip().into(), addr.port().into(), proto)
}

/// The changes that make `have` hold `want`, and the state that they lead to.
///
/// Everything new is written first, then made reachable from the outside in: preview rules, backends, rings, services,
/// frontends. Removal goes the other way round and leaves backends behind, for their pinned flows. A backend that
/// goes down leaves its ring before its flows meet what they shall, and comes back the other way round, so that
/// no new flow meets it.
pub(super) fn reconcile(have: &State, want: &[DeploymentSpec]) -> Result<(Vec<Op>, State), Refusal> {
    let mut plan = Plan::new(have, want);
    let mut wanted_services = BTreeSet::new();
    let mut wanted_frontends = BTreeSet::new();
    let services = want.iter().flat_map(|deployment| &deployment.services);
    if services.clone().any(|service| service.protocol == Protocol::Any) {
        plan.whole_addresses(true);
    }
    let ids = want.iter().map(|deployment| plan.deployment(deployment)).collect::<Result<Vec<_>, _>>()?;
    // A word may say from its beginning that there are some, and a frontend lets packets in.
    plan.previews(want)?;
    for (deployment, id) in want.iter().zip(ids) {
        for service in &deployment.services {
            let service_id = plan.service(id, service)?;
            wanted_services.insert(service_id);
            let live = service.frontends.iter().map(|frontend| (frontend, Aim::Live));
            for (frontend, aim) in live.chain(service.previews.iter().map(|(at, aim)| (at, *aim))) {
                let at = endpoint(frontend, service.protocol);
                plan.frontend(at, service_id, aim)?;
                wanted_frontends.insert(at);
            }
        }
    }
    let vips = services.flat_map(|service| {
        service.frontends.iter().chain(service.previews.iter().map(|(at, _)| at)).map(SocketAddr::ip)
    });
    for addr in vips {
        let at = Endpoint::whole(addr.into());
        // One service may have the address, and another some ports of it.
        if wanted_frontends.insert(at) {
            plan.vip(at);
        }
    }
    plan.drop_unwanted(want, &wanted_services, &wanted_frontends);
    plan.release_removed();
    // While a pin may name a backend that had an address as a whole, its replies are looked for.
    plan.whole_addresses(plan.state.backends_by_addr.keys().any(Endpoint::is_whole));
    Ok((plan.ops, plan.state))
}

/// The change that frees a backend's id, once no pin names it.
pub(super) fn forget_backend(state: &mut State, id: u32) -> Vec<Op> {
    let Some(backend) = state.backends.remove(&id) else {
        return Vec::new();
    };
    let at = backend.endpoint();
    let mut ops = Vec::new();
    if state.backends_by_addr.get(&at) == Some(&id) {
        state.backends_by_addr.remove(&at);
        ops.push(Op::UnmapBackend(at));
    }
    ops.push(Op::ClearBackend(id));
    ops.extend(state.sources.remove(&id).map(|_| Op::ClearSource(id)));
    ops
}

/// The changes that free a frontend's id, once no pin names it.
pub(super) fn forget_frontend(state: &mut State, id: u32) -> Vec<Op> {
    state.frontend_addrs.remove(&id).map(|_| Op::ClearFrontendAddr(id)).into_iter().collect()
}

struct Plan {
    state: State,
    ops: Vec<Op>,
    /// Ring positions that nothing used when the plan was begun: what this plan frees is not used
    /// again, because programs may still be reading it.
    free_ring: Vec<(u32, u32)>,
    next_free_ids: BTreeMap<&'static str, u32>,
    /// The same as in the state, by what it is looked up by here.
    service_ids: BTreeMap<(u32, String), u32>,
    frontend_ids: BTreeMap<Endpoint, u32>,
    /// Services and deployments that removed backends belong to: pins may name them.
    named_services: BTreeSet<u32>,
    named_deployments: BTreeSet<u32>,
    /// Backends that are wanted, but do not serve.
    down: BTreeSet<u32>,
    /// Ring positions for each backend.
    positions_each: usize,
}

impl Plan {
    fn new(have: &State, want: &[DeploymentSpec]) -> Self {
        let services = have.services.iter();
        let wanted = want.iter().flat_map(|deployment| &deployment.services);
        let backends = wanted.map(|service| service.backends.iter().map(Vec::len).sum::<usize>()).sum();
        Self {
            state: have.clone(),
            ops: Vec::new(),
            free_ring: ring::free(have),
            next_free_ids: BTreeMap::new(),
            service_ids: services.map(|(id, known)| ((known.deployment, known.name.clone()), *id)).collect(),
            frontend_ids: have.frontend_addrs.iter().map(|(id, at)| (*at, *id)).collect(),
            named_services: have.backends.values().map(|backend| backend.service()).collect(),
            named_deployments: have.backends.values().map(|backend| backend.slice().deployment()).collect(),
            down: BTreeSet::new(),
            positions_each: ring::positions_each(backends),
        }
    }

    /// The lowest id that `taken` does not know, from where the last search ended.
    fn free_id(
        &mut self,
        what: &'static str,
        max: u32,
        taken: impl Fn(&Self, u32) -> bool,
    ) -> Result<u32, Refusal> {
        let from = self.next_free_ids.get(what).copied().unwrap_or(0);
        let id = (from..max).find(|id| !taken(self, *id)).ok_or_else(|| {
            Refusal::new(
                "table-full",
                format!("there is no room for another {what}: the tables hold {max}"),
                "the configuration",
                format!("remove a {what} that is not needed, or run a second instance"),
            )
        })?;
        self.next_free_ids.insert(what, id + 1);
        Ok(id)
    }

    fn deployment(&mut self, want: &DeploymentSpec) -> Result<u32, Refusal> {
        if let Some(id) = self.state.deployment_id(&want.name) {
            return Ok(id);
        }
        let id = self.free_id("deployment", MAX_DEPLOYMENTS, |plan, id| {
            plan.state.deployments.contains_key(&id) || plan.named_deployments.contains(&id)
        })?;
        self.ops.push(Op::InitialWord(id, want.initial));
        self.ops.push(Op::NameDeployment(id, name(&want.name)?));
        self.state.deployments.insert(id, want.name.clone());
        Ok(id)
    }

    fn service(&mut self, deployment: u32, want: &ServiceSpec) -> Result<u32, Refusal> {
        let key = (deployment, want.name.clone());
        let id = match self.service_ids.get(&key).copied() {
            Some(id) => id,
            None => self.free_id("service", MAX_SERVICES, |plan, id| {
                plan.state.services.contains_key(&id) || plan.named_services.contains(&id)
            })?,
        };
        let mut members: [(Vec<Member>, usize); Service::RINGS] = Default::default();
        let mut downs = Vec::new();
        for (colour, backends) in Colour::BOTH.into_iter().zip(&want.backends) {
            let slice = SliceId::new(deployment, colour);
            for backend in backends {
                let (backend_id, down) = self.backend(backend, want, id, slice)?;
                downs.extend(down);
                let slot = Service::slot(colour, backend.addr.is_ipv6());
                let Some((members, known)) = members.get_mut(slot) else { continue };
                *known += 1;
                if backend.serving && backend.weight > 0 {
                    let at = endpoint(&backend.addr, want.protocol);
                    members.push(Member { id: backend_id, at, weight: backend.weight });
                } else {
                    self.down.insert(backend_id);
                }
            }
        }
        let mut rings =
            members.map(|(on, known)| (Ring::default(), ring::fill(&on, known, self.positions_each)));
        let flags = flags(want);
        let before = self.state.services.get(&id).map(|service| service.rings.clone());
        let flags_before = self.state.services.get(&id).map(|service| service.flags);
        for (slot, (ring, ids)) in rings.iter_mut().enumerate() {
            match before.as_ref().and_then(|rings| rings.get(slot)) {
                Some((old, on_it)) if on_it == ids => *ring = *old,
                old => {
                    *ring = self.ring(ids)?;
                    if old.is_some() {
                        self.ops.push(Op::SetRing(id, slot, *ring));
                    }
                }
            }
        }
        let service = Service { deployment, flags, rings: rings.each_ref().map(|(ring, _)| *ring) };
        match flags_before {
            None => {
                self.ops.push(Op::SetService(id, service));
                self.ops.push(Op::NameService(id, name(&want.name)?));
            }
            Some(before) if before != flags => self.ops.push(Op::SetFlags(id, service)),
            Some(_) => {}
        }
        self.ops.extend(downs);
        self.service_ids.insert(key, id);
        self.state.services.insert(id, ServiceState { deployment, name: want.name.clone(), flags, rings });
        Ok(id)
    }

    /// The id of a backend, and the change that is to be made once no ring leads to it any more.
    fn backend(
        &mut self,
        want: &BackendSpec,
        of: &ServiceSpec,
        service: u32,
        slice: SliceId,
    ) -> Result<(u32, Option<Op>), Refusal> {
        let at = endpoint(&want.addr, of.protocol);
        let serving = Backend::new(at, service, slice, want.via, want.ifindex).leaving(of.on_switch);
        let serving = if want.source.is_some() { serving.with_source() } else { serving };
        let serves = want.serving && want.weight > 0;
        let backend = match (want.serving, serves) {
            (_, true) => serving,
            // It gets no new flows, and that is all.
            (true, false) => serving.down(PinnedFlows::Keep),
            (false, false) => serving.down(want.pinned),
        };
        let id = match self.state.backend_id(&at, service) {
            Some(id) => id,
            None => {
                self.free_id("backend", MAX_BACKENDS, |plan, id| plan.state.backends.contains_key(&id))?
            }
        };
        let source = want.source.map(|SourceSpec { addr, prefix }| Source::new(addr.into(), prefix));
        if let Some(source) = source.filter(|source| self.state.sources.get(&id) != Some(source)) {
            self.ops.push(Op::SetSource(id, source));
            self.state.sources.insert(id, source);
        }
        let mut down = None;
        let known = self.state.backends.insert(id, backend);
        if known != Some(backend) {
            let change = Op::SetBackend(id, backend);
            match known {
                Some(_) if !serves => down = Some(change),
                _ => self.ops.push(change),
            }
        }
        if self.state.backends_by_addr.get(&at) != Some(&id) {
            self.ops.push(Op::MapBackend(at, id));
            self.state.backends_by_addr.insert(at, id);
        }
        Ok((id, down))
    }

    /// A fresh stretch of the ring table, written before anything points to it.
    fn ring(&mut self, ids: &[u32]) -> Result<Ring, Refusal> {
        let len = ids.len() as u32;
        if len == 0 {
            return Ok(Ring::default());
        }
        let gap = self.free_ring.iter_mut().find(|(from, to)| to - from >= len).ok_or_else(|| {
            Refusal::new(
                "table-full",
                format!("there is no room for another ring: the table holds {MAX_RING} positions"),
                "the configuration",
                "use fewer backends, or run a second instance",
            )
        })?;
        let base = gap.0;
        gap.0 += len;
        self.ops.push(Op::WriteRing(base, ids.to_vec()));
        Ok(Ring::new(base, len))
    }

    fn frontend(&mut self, at: Endpoint, service: u32, aim: Aim) -> Result<(), Refusal> {
        let same =
            |frontend: &Frontend| !frontend.is_vip() && frontend.service == service && frontend.aim() == aim;
        if self.state.frontends.get(&at).is_some_and(same) {
            return Ok(());
        }
        let id = match self.frontend_ids.get(&at) {
            Some(id) => *id,
            None => {
                let taken = |plan: &Self, id| plan.state.frontend_addrs.contains_key(&id);
                let id = self.free_id("frontend", MAX_FRONTENDS, taken)?;
                self.ops.push(Op::SetFrontendAddr(id, at));
                self.state.frontend_addrs.insert(id, at);
                self.frontend_ids.insert(at, id);
                id
            }
        };
        // MAX_FRONTENDS fits.
        let frontend = Frontend::aimed(service, u16::try_from(id).unwrap_or(u16::MAX), aim);
        self.ops.push(Op::MapFrontend(at, frontend));
        self.state.frontends.insert(at, frontend);
        Ok(())
    }

    /// The sign that an address is a VIP.
    fn vip(&mut self, at: Endpoint) {
        if self.state.frontends.insert(at, Frontend::vip()) != Some(Frontend::vip()) {
            self.ops.push(Op::MapFrontend(at, Frontend::vip()));
        }
    }

    /// Whether programs look for whole addresses.
    fn whole_addresses(&mut self, any: bool) {
        let settings = self.state.settings.with_whole_addresses(any);
        if settings != self.state.settings {
            self.state.settings = settings;
            self.ops.push(Op::Settings(settings));
        }
    }

    fn drop_unwanted(
        &mut self,
        want: &[DeploymentSpec],
        services: &BTreeSet<u32>,
        frontends: &BTreeSet<Endpoint>,
    ) {
        let gone: Vec<Endpoint> =
            self.state.frontends.keys().filter(|at| !frontends.contains(at)).copied().collect();
        for at in gone {
            self.ops.push(Op::UnmapFrontend(at));
            self.state.frontends.remove(&at);
        }
        let gone: Vec<u32> =
            self.state.services.keys().filter(|id| !services.contains(id)).copied().collect();
        for id in gone {
            self.ops.push(Op::ForgetService(id));
            self.state.services.remove(&id);
        }
        let wanted: BTreeSet<&str> = want.iter().map(|deployment| deployment.name.as_str()).collect();
        let gone: Vec<u32> = self
            .state
            .deployments
            .iter()
            .filter(|(_, name)| !wanted.contains(name.as_str()))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.ops.push(Op::ForgetDeployment(id));
            self.state.deployments.remove(&id);
        }
    }

    /// Backends that were down and have left the configuration are like any other that has: their ids are
    /// free when no pin names them.
    fn release_removed(&mut self) {
        let Self { state, ops, down, .. } = self;
        for (id, backend) in &mut state.backends {
            if backend.is_down() && !down.contains(id) {
                *backend = backend.removed();
                ops.push(Op::SetBackend(*id, *backend));
            }
        }
    }
}

/// The bits of a service.
fn flags(want: &ServiceSpec) -> u32 {
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    bit(want.refuse, Service::REFUSE)
        | bit(want.by_client, Service::BY_CLIENT)
        | bit(want.canary_by_client, Service::CANARY_BY_CLIENT)
}

fn name(text: &str) -> Result<Name, Refusal> {
    Name::new(text).ok_or_else(|| {
        Refusal::new(
            "name-too-long",
            format!("a name has at most {} bytes", Name::MAX),
            text,
            "choose a shorter one",
        )
    })
}

#[cfg(test)]
mod tests;
