//! What of a deployment is out of the ordinary, a line each; and the standing answer to whether a rollback
//! is possible.

use super::super::env::Env;
use super::super::say::{clean, moment, named, span};
use super::super::{drain, health};
use crate::api::protocol::{Deployment, Freeze, LastSwitch, PreviewRule, RollbackAnswer};
use crate::model::canary::percent;
use bg_common::Colour;

type Fact = (String, String);

/// The lines of a deployment; `bgctl` is how to call it.
pub(super) fn of(deployment: &Deployment, bgctl: &str, env: &Env<'_>) -> Vec<Fact> {
    let Deployment { name, live, slices, paused, overrides, under_way, doubt, drill_in_s, drift, .. } =
        deployment;
    let mut said: Vec<String> = Vec::new();
    said.extend(deployment.last_switch.as_ref().map(|last| switched(last, deployment, env)));
    said.extend(deployment.rollback.as_ref().map(|answer| rollback(answer, *live, env)));
    said.extend(deployment.frozen.as_ref().map(|freeze| frozen(freeze, name, env)));
    for colour in Colour::BOTH {
        let slice = slices.of(colour);
        if let (Some(false), Some(why)) = (slice.healthy, &slice.why) {
            said.push(format!("{colour} is unhealthy: {}", clean(why)));
        }
    }
    if let Some(left) = deployment.bake_left_s {
        said.push(format!(
            "{live} is watched for {} more, and the switch taken back if it fails",
            span(left)
        ));
    }
    if let Some(left) = deployment.confirm_left_s {
        said.push(format!("the switch goes back in {} unless: {bgctl} confirm {name}", span(left)));
    }
    if *paused {
        let left = deployment.paused_left_s.map(|left| format!(" for {} more", span(left)));
        said.push(format!("new flows are held{}; at once: {bgctl} resume {name}", left.unwrap_or_default()));
    }
    let drain = deployment.drain.as_ref().filter(|drain| drain.open != Some(0));
    said.extend(drain.map(|of| drain::sentence(live.other(), of)));
    said.extend(canary(deployment));
    said.extend(deployment.previews.iter().map(|rule| previewed(rule, name)));
    said.extend(overrides.iter().map(|one| health::overruled(name, one)));
    said.extend(doubt.as_ref().map(|why| {
        format!("DOUBTFUL roles and versions: {}; mend: bgctl history --verify, then bgctl stage", clean(why))
    }));
    said.extend(under_way.as_ref().map(|what| format!("under way: {}", clean(what))));
    said.extend(drill_in_s.map(|left| format!("the next drill is in {}", span(left))));
    said.extend(drift.as_ref().map(|what| format!("drift: {}; see: bgctl drift {name}", clean(what))));
    said.into_iter().map(|text| (name.clone(), text)).collect()
}

fn canary(deployment: &Deployment) -> Option<String> {
    let Deployment { name, live, canary_per_mille, .. } = deployment;
    let share = Some(*canary_per_mille).filter(|share| *share > 0)?;
    Some(format!(
        "{} of new flows go to {}, by canary; to end it: bgctl canary {name} 0",
        percent(share),
        live.other()
    ))
}

fn previewed(rule: &PreviewRule, name: &str) -> String {
    let PreviewRule { prefix, to, configured } = rule;
    let end = match configured {
        true => "as configured".to_owned(),
        false => format!("to end it: bgctl preview {name} rm {prefix}"),
    };
    format!("clients of {prefix} see {}; {end}", super::super::preview::whom(*to))
}

fn switched(last: &LastSwitch, deployment: &Deployment, env: &Env<'_>) -> String {
    let LastSwitch { at, switched } = last;
    let (from, to) = (
        named(switched.from, switched.from_version.as_deref()),
        named(switched.to, switched.to_version.as_deref()),
    );
    let generation = deployment.generation;
    format!("last switch {from} → {to} at {}, generation {generation}", moment(*at, env))
}

fn rollback(answer: &RollbackAnswer, live: Colour, env: &Env<'_>) -> String {
    let RollbackAnswer { possible, to, version, why_not, mend, until } = answer;
    if *possible {
        let to = named(to.unwrap_or(live.other()), version.as_deref());
        let until = until.map(|until| format!(" until {}", moment(until, env))).unwrap_or_default();
        return format!("rollback: possible to {to}{until}");
    }
    let why = why_not.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
    let mend = mend.as_deref().map(|mend| format!("; mend: {}", clean(mend))).unwrap_or_default();
    format!("rollback: not possible{why}{mend}")
}

fn frozen(freeze: &Freeze, name: &str, env: &Env<'_>) -> String {
    let Freeze { why, since, automatic } = freeze;
    let by = if *automatic { " by bg itself" } else { "" };
    format!("frozen since {}{by}: {}; to go on: bgctl unfreeze {name}", moment(*since, env), clean(why))
}
