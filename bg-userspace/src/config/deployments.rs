//! Judges deployments: their slices and services, and what asks and guards them.

use super::choosing::{by_client, previews, weights};
use super::claims::Claims;
use super::policy::{self, policy};
use super::probes::{self, probe};
use super::problems::Problems;
use super::raw::{RawDeployment, RawService};
use super::services::{addresses, name, service};
use super::values::choice;
use super::{Deployment, hooks};
use crate::dataplane::Protocol;
use crate::health::spec::ProbeSet;
use crate::model::policy::{FateChoice, Policy};
use crate::notify::spec::When;
use bg_common::Colour;
use std::net::IpAddr;

const COLOUR: &[(&str, Colour)] = &[("blue", Colour::Blue), ("green", Colour::Green)];

/// Judges a deployment and enters what it claims.
pub(super) fn deployment(
    raw: RawDeployment,
    probe_addresses: &[IpAddr],
    claims: &mut Claims,
    problems: &mut Problems<'_>,
) -> Option<Deployment> {
    let key = raw.name.place.key.clone();
    let name = name("deployment", &raw.name, problems);
    let initial = choice(raw.initial, COLOUR, problems).unwrap_or(Colour::Blue);
    let [blue, green] = raw.slices;
    let prefixes = raw.services.iter().any(RawService::is_whole);
    let blue = blue.map(|raw| addresses("a slice", raw, prefixes, problems));
    let green = green.map(|raw| addresses("a slice", raw, prefixes, problems));
    if raw.services.is_empty() {
        let mend = format!("add [{key}.service.NAME] with `vips` and `port`");
        problems.add("config-empty", &raw.name.place, "the deployment has no service", mend);
    }
    let known: Vec<_> = raw.services.iter().map(|service| service.name.value.clone()).collect();
    let services: Vec<_> = raw.services.into_iter().filter_map(|raw| service(raw, problems)).collect();

    let witnesses = policy::Witnesses {
        key: &key,
        given: &raw.given,
        before: raw.hooks.iter().any(|hook| hook.may_be_on("before")),
        watch: raw.hooks.iter().any(|hook| hook.may_be_on("watch")),
    };
    let policy = policy(raw.policy, &witnesses, problems);
    let around = probes::Around { known: &known, services: &services, probe_addresses };
    let probes = raw.probes.into_iter().filter_map(|raw| probe(raw, &around, problems));
    let (specs, policies) = probes.unzip();
    let hooks: Vec<_> = raw.hooks.into_iter().filter_map(|raw| hooks::hook(raw, problems)).collect();

    let previews = previews(raw.previews, problems);
    // So that a user does not see two versions in turn.
    let canary_by_client = by_client(raw.canary_by, problems).unwrap_or(true);

    let (name, blue, green) = (name?, blue?, green?);
    let slices = claims.add(&name, [blue, green], &services, problems);
    claims.previews(previews.len(), probe_addresses.len());
    let whole = services.iter().any(|checked| checked.service.protocol == Protocol::Any);
    let weights = weights(raw.weights, &slices, whole, problems);
    let policy = Policy {
        previews,
        probe_addresses: probe_addresses.to_vec(),
        drained: weights.iter().filter(|(_, weight)| **weight == 0).map(|(machine, _)| *machine).collect(),
        leaves: services.iter().any(|checked| checked.service.on_switch != FateChoice::Keep),
        slices: slices.clone(),
        probes: policies,
        gating_hooks: hooks.iter().any(|hook| hook.on.contains(&When::Before)),
        watching_hooks: hooks.iter().any(|hook| hook.on.contains(&When::Watch)),
        ..policy
    };
    let probes = ProbeSet { deployment: name.to_string(), slices: slices.clone(), probes: specs };
    let services = services.into_iter().map(|service| service.service).collect();
    Some(Deployment { name, initial, slices, services, weights, canary_by_client, policy, probes, hooks })
}
