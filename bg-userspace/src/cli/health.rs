//! `bgctl health`: what probes and real traffic say of each slice; and how to overrule them.

use super::env::Env;
use super::render::{self, Mood, cell, fold, table, verdict};
use super::run::Result;
use super::say::{clean, span, target};
use super::{Global, HealthArgs, HealthCommand, OverrideArgs, changes};
use crate::api::client::Client;
use crate::api::protocol::{
    DeploymentHealth, Health, HealthQuery, Override, OverrideRequest, PassiveVerdict, ProbeVerdict,
    SliceStatus, State,
};
use bg_common::Colour;
use comfy_table::{Cell, Table};

/// More verdicts than this are shown only if they are not good.
const SHOWN: usize = 24;

pub(super) async fn run(args: HealthArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let HealthArgs { deployment, command } = args;
    let (args, state) = match command {
        None => return show(&client.health(&HealthQuery { deployment }).await?, global, env),
        Some(HealthCommand::Up(args)) => (args, State::Up),
        Some(HealthCommand::Down(args)) => (args, State::Down),
        Some(HealthCommand::Auto(args)) => (args, State::Auto),
    };
    let OverrideArgs { deployment, colour, backend, reason } = args;
    let request = OverrideRequest { colour, backend, state, reason };
    changes::show(&client.override_health(deployment.as_deref(), &request).await?, global, env)
}

fn show(health: &Health, global: &Global, env: &mut Env<'_>) -> Result {
    if global.json {
        return render::json(health, env);
    }
    let mut table = table(&["DEPLOYMENT", "COLOUR", "ROLE", "VERSION", "HEALTH", ">UP", "WHY"], env);
    for DeploymentHealth { name, live, slices, .. } in &health.deployments {
        for (name, colour) in [(name.as_str(), Colour::Blue), ("", Colour::Green)] {
            let slice = slices.of(colour);
            let mut row = vec![Cell::new(name), cell(colour)];
            row.extend(self::slice(slice, colour == *live));
            row.push(render::text(slice.why.as_deref()));
            table.add_row(row);
        }
    }
    fold(&mut table, 1, env);
    render::print(&table, env)?;

    let several = health.deployments.len() > 1;
    for DeploymentHealth { name: of, live: _, slices: _, probes, passive, overrides } in &health.deployments {
        let name = several.then_some(of.as_str());
        if !probes.is_empty() {
            writeln!(env.out)?;
            self::probes(name, probes, env)?;
        }
        if passive.blue.is_some() || passive.green.is_some() {
            writeln!(env.out)?;
            self::passive(name, [passive.blue, passive.green], env)?;
        }
        if !overrides.is_empty() {
            let about = name.unwrap_or("overruled");
            let facts: Vec<_> = overrides.iter().map(|one| (about.to_owned(), overruled(of, one))).collect();
            writeln!(env.out)?;
            render::facts(&facts, env)?;
        }
    }
    Ok(())
}

/// That an operator has overruled probes.
pub(super) fn overruled(deployment: &str, by: &Override) -> String {
    let Override { colour, backend, up } = by;
    let (who, state) = (target(Some(*colour), *backend), if *up { "up" } else { "down" });
    let backend = backend.map(|address| format!(" --backend {address}")).unwrap_or_default();
    let auto = format!("bgctl health auto {deployment} --colour {colour}{backend}");
    format!("{who} is {state} by order, whatever probes say; until: {auto}")
}

/// Role, version, health and share of a slice.
pub(super) fn slice(slice: &SliceStatus, live: bool) -> [Cell; 4] {
    let SliceStatus { role, version, identity: _, healthy, why: _, up, targets } = slice;
    let role = match (role, live) {
        (Some(role), _) => role.as_str(),
        (None, true) => "live",
        (None, false) => "-",
    };
    let share = match (healthy, up, targets) {
        (_, _, 0) => "-".to_owned(),
        // Before the first answers nothing is down.
        (None, 0, targets) => format!("?/{targets}"),
        (_, up, targets) => format!("{up}/{targets}"),
    };
    let health = match healthy {
        None if *targets == 0 => Cell::new("-"),
        _ => verdict(word(*healthy), Mood::of(*healthy)),
    };
    [Cell::new(role), render::text(version.as_deref()), health, Cell::new(share)]
}

/// Healthy or not, in a word.
pub(super) const fn word(healthy: Option<bool>) -> &'static str {
    match healthy {
        Some(true) => "healthy",
        Some(false) => "UNHEALTHY",
        None => "unknown",
    }
}

/// What each probe says of each target, the bad ones first.
pub(super) fn probes(name: Option<&str>, probes: &[ProbeVerdict], env: &mut Env<'_>) -> Result {
    let mut sorted: Vec<_> = probes.iter().collect();
    sorted.sort_by_key(|verdict| verdict.up == Some(true));
    let bad = sorted.iter().filter(|verdict| verdict.up != Some(true)).count();
    let shown = if sorted.len() > SHOWN { bad } else { sorted.len() };
    let mut table = headed(name, &["PROBE", "TARGET", "VERDICT", ">SINCE", "WHY"], env);
    for ProbeVerdict { probe, colour, address, up, why, since_s, overridden } in sorted.iter().take(shown) {
        let state = match up {
            Some(true) => "up",
            Some(false) => "DOWN",
            None => "unknown",
        };
        let state = if *overridden { format!("{state} by order") } else { state.to_owned() };
        let mut row: Vec<_> = name.map(Cell::new).into_iter().collect();
        row.extend([
            Cell::new(probe),
            Cell::new(target(*colour, *address)),
            verdict(state, Mood::of(*up)),
            Cell::new(since_s.map(span).unwrap_or_default()),
            Cell::new(why.as_deref().map(clean).unwrap_or_default()),
        ]);
        table.add_row(row);
    }
    fold(&mut table, 1, env);
    render::print(&table, env)?;
    if shown < sorted.len() {
        writeln!(env.out, "… and {} that are up: --json shows all", sorted.len() - shown)?;
    }
    Ok(())
}

/// What real traffic says of `[blue, green]`.
pub(super) fn passive(name: Option<&str>, passive: [Option<PassiveVerdict>; 2], env: &mut Env<'_>) -> Result {
    let headings = ["TRAFFIC", ">FLOWS", ">HANDSHAKES", ">ANSWERED", ">REFUSED", ">RESETS", "VERDICT"];
    let mut table = headed(name, &headings, env);
    for (colour, said) in Colour::BOTH.into_iter().zip(passive) {
        let Some(PassiveVerdict { handshakes, answered, refused, resets, flows, good }) = said else {
            continue;
        };
        let mut row: Vec<_> = name.map(Cell::new).into_iter().collect();
        row.push(cell(colour));
        row.extend([flows, handshakes, answered, refused, resets].map(Cell::new));
        let word = match good {
            Some(true) => "good",
            Some(false) => "BAD",
            None => "too few to tell",
        };
        row.push(verdict(word, Mood::of(good)));
        table.add_row(row);
    }
    render::print(&table, env)
}

fn headed(name: Option<&str>, headings: &[&str], env: &Env<'_>) -> Table {
    let all: Vec<_> = name.map(|_| "DEPLOYMENT").into_iter().chain(headings.iter().copied()).collect();
    table(&all, env)
}
