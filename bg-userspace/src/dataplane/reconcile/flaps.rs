//! The short way for what changes most often: backends that go down and come back. It costs what has
//! changed, and not what there is.

use super::{Plan, endpoint};
use crate::dataplane::state::{Op, ServiceState, State};
use crate::dataplane::{BackendSpec, DeploymentSpec, ServiceSpec};
use crate::refusal::Refusal;

/// The changes from `before`, which `have` holds, to `want`, with the part of the state that they lead to; `None`
/// when other than [`BackendSpec::serving`] and [`BackendSpec::pinned`] has changed.
pub(in super::super) fn flaps(
    have: &State,
    before: &[DeploymentSpec],
    want: &[DeploymentSpec],
) -> Option<Result<(Vec<Op>, State), Refusal>> {
    let changed = changed(before, want)?;
    let mut plan = Plan::new(&State::default(), want);
    plan.free_ring = super::ring::free(have);
    for (deployment, service) in changed {
        let deployment = have.deployment_id(&deployment.name)?;
        let named =
            |(_, known): &(&u32, &ServiceState)| known.deployment == deployment && known.name == service.name;
        let (id, known) = have.services.iter().find(named)?;
        plan.state.services.insert(*id, known.clone());
        plan.service_ids.insert((deployment, service.name.clone()), *id);
        for backend in service.backends.iter().flatten() {
            let at = endpoint(&backend.addr, service.protocol);
            let backend = have.backend_id(&at, *id)?;
            plan.state.backends_by_addr.insert(at, backend);
            plan.state.backends.insert(backend, *have.backends.get(&backend)?);
            plan.state.sources.extend(have.sources.get(&backend).map(|source| (backend, *source)));
        }
        if let Err(refusal) = plan.service(deployment, service) {
            return Some(Err(refusal));
        }
    }
    Some(Ok((plan.ops, plan.state)))
}

/// The services whose backends went down or came back; `None` when anything else is different.
fn changed<'a>(
    before: &[DeploymentSpec],
    want: &'a [DeploymentSpec],
) -> Option<Vec<(&'a DeploymentSpec, &'a ServiceSpec)>> {
    let mut services = Vec::new();
    if before.len() != want.len() {
        return None;
    }
    for (was, is) in before.iter().zip(want) {
        if was.name != is.name || was.previews != is.previews || was.services.len() != is.services.len() {
            return None;
        }
        for (old, new) in was.services.iter().zip(&is.services) {
            if old != new {
                services.push((is, flapped(old, new).then_some(new)?));
            }
        }
    }
    Some(services)
}

/// Whether two services differ in nothing but which of their backends serve.
fn flapped(old: &ServiceSpec, new: &ServiceSpec) -> bool {
    let ServiceSpec { backends, .. } = new;
    let place = |backend: &BackendSpec| {
        let BackendSpec { addr, via, ifindex, weight, source, .. } = *backend;
        (addr, via, ifindex, weight, source)
    };
    let same =
        |(old, new): (&Vec<BackendSpec>, &Vec<BackendSpec>)| old.iter().map(place).eq(new.iter().map(place));
    let rest = ServiceSpec { backends: old.backends.clone(), ..new.clone() };
    rest == *old && old.backends.iter().zip(backends).all(same)
}
