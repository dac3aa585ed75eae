//! `bgctl plan`: what a switch would do, and what would refuse it.

use super::env::Env;
use super::render::{self, Mood, cell, fold, paint, table, verdict};
use super::run::{Failure, Result};
use super::say::{clean, count, named, span};
use super::{Global, PlanArgs, health};
use crate::api::client::Client;
use crate::api::protocol::{Gate, Plan, PlanQuery, SliceIdentity};
use crate::model::canary::percent;
use comfy_table::Cell;

pub(super) async fn run(args: PlanArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let PlanArgs { deployment, to } = args;
    let plan = client.plan(deployment.as_deref(), &PlanQuery { to }).await?;
    if global.json {
        render::json(&plan, env)?;
    } else {
        show(&plan, env)?;
        last(&plan, env)?;
    }
    if plan.is_clear() { Ok(()) } else { Err(Failure::Printed) }
}

/// All but the line to type.
pub(super) fn show(plan: &Plan, env: &mut Env<'_>) -> Result {
    let Plan { deployment, plan: id, from, to, slices, probes, passive, gates, .. } = plan;
    let version = |colour| slices.iter().find(|slice| slice.colour == colour)?.version.as_deref();
    let [from, to] = [*from, *to].map(|colour| named(paint(colour, env), version(colour)));
    writeln!(env.out, "{deployment}: {from} → {to}  plan {id}\n")?;

    let mut table = table(&["COLOUR", "ROLE", "VERSION", "HEALTH"], env);
    for SliceIdentity { colour, role, version, identity: _, healthy } in slices {
        let health = verdict(health::word(*healthy), Mood::of(*healthy));
        table.add_row([cell(*colour), Cell::new(role.as_str()), render::text(version.as_deref()), health]);
    }
    render::print(&table, env)?;
    writeln!(env.out)?;
    render::facts(&facts(plan), env)?;
    if !probes.is_empty() {
        writeln!(env.out)?;
        health::probes(None, probes, env)?;
    }
    if passive.iter().any(Option::is_some) {
        writeln!(env.out)?;
        health::passive(None, *passive, env)?;
    }
    writeln!(env.out)?;
    show_gates(gates, env)
}

/// The line to type, or that there is none.
fn last(plan: &Plan, env: &mut Env<'_>) -> Result {
    let Plan { deployment, plan: id, gates, .. } = plan;
    let shut: Vec<_> = gates.iter().filter(|gate| !gate.open).collect();
    let line = format!("bgctl switch {deployment} --plan {id}");
    // The one gate that a terminal opens by itself.
    let agree = matches!(shut.as_slice(), [only] if only.name == super::switch::CONFIRMATION);
    if shut.is_empty() {
        writeln!(env.out, "\nnothing would refuse it: {line}")?;
    } else if agree {
        writeln!(env.out, "\na person has to agree: {line} --yes")?;
    } else {
        let number = u64::try_from(shut.len()).unwrap_or(u64::MAX);
        let refuse = if number == 1 { "would refuse it" } else { "would refuse it, the first one first" };
        writeln!(env.out, "\n{} {refuse}", count(number, "gate"))?;
    }
    Ok(())
}

fn facts(plan: &Plan) -> Vec<(String, String)> {
    let Plan { from, to, staying, oldest_s, fate, canary, bake_s, confirm_within_s, .. } = plan;
    let mut facts = Vec::new();
    let oldest = oldest_s.map(|age| format!(", the oldest {} old", span(age))).unwrap_or_default();
    let meet = match fate.as_str() {
        "reset" => "are reset at their next packet",
        "move" => "stay if they are TCP; datagram flows move",
        _ => "stay until they end",
    };
    let flows = match staying {
        Some(0) => format!("none is open on {from}"),
        Some(number) => format!("{} on {from} {meet}{oldest}", count(*number, "open flow")),
        None => format!("those of {from} {meet}"),
    };
    facts.push(("flows".to_owned(), flows));
    if *canary > 0 {
        let text =
            format!("{} of new flows go to {} by canary, which this ends", percent(*canary), from.other());
        facts.push(("canary".to_owned(), text));
    }
    if let Some(bake) = bake_s {
        let text = format!("{to} is watched for {}, and the switch taken back if it fails", span(*bake));
        facts.push(("then".to_owned(), text));
    }
    if let Some(within) = confirm_within_s {
        let text = format!("it goes back after {} unless it is confirmed", span(*within));
        facts.push(("then".to_owned(), text));
    }
    facts
}

fn show_gates(gates: &[Gate], env: &mut Env<'_>) -> Result {
    let mut table = table(&["GATE", "", "WHAT IT FOUND"], env);
    for Gate { name, open, forcible, what, mend } in gates {
        if *open {
            table.add_row([Cell::new(name), verdict("open", Mood::Good), Cell::new(clean(what))]);
            continue;
        }
        let never = if *forcible { "" } else { "\n--force does not open it" };
        let what = format!("{}\nmend: {}{never}", clean(what), clean(mend));
        table.add_row([Cell::new(name), verdict("SHUT", Mood::Bad), Cell::new(what)]);
    }
    fold(&mut table, 1, env);
    render::print(&table, env)
}
