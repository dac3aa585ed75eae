//! `bgctl flows`: who talks to which backend.

use super::env::Env;
use super::render::{self, cell, fold, table};
use super::run::Result;
use super::say::long_time;
use super::target::Target;
use super::{FlowsArgs, Global, offline};
use crate::api::client::Client;
use crate::api::protocol::{Busy, Flow, FlowQuery, FlowSummary, Flows, VipFlows};
use crate::dataplane::FlowState;
use comfy_table::{Cell, Table};

pub(super) async fn run(
    args: FlowsArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let FlowsArgs { deployment, colour, limit, summary } = args;
    let limit = if summary { 0 } else { limit };
    let query = FlowQuery { deployment, colour, limit: Some(limit), summary };
    let found = if global.offline {
        offline::flows(env.kernel, &target.instance, &query)?
    } else {
        client.flows(&query).await?
    };
    if global.json {
        return render::json(&found, env);
    }
    if let Some(summary) = &found.summary {
        return show_summary(summary, env);
    }
    show(&found, env)
}

fn show(found: &Flows, env: &mut Env<'_>) -> Result {
    let Flows { total, flows, summary: _ } = found;
    if *total == 0 {
        return Ok(writeln!(env.out, "no flows")?);
    }
    let mut wide = one_by_one(flows, false, env);
    if env.width.is_some_and(|width| render::width(&wide) > usize::from(width)) {
        wide = one_by_one(flows, true, env);
    }
    render::print(&wide, env)?;
    if *total > flows.len() {
        writeln!(env.out, "… {} of {total} flows: --limit {total} shows all", flows.len())?;
    }
    Ok(())
}

/// A row for each flow. A narrow table leaves out where the client connected to.
fn one_by_one(flows: &[Flow], narrow: bool, env: &Env<'_>) -> Table {
    let headings = ["SERVICE", "CLIENT", "FRONTEND", "COLOUR", "BACKEND", "STATE", ">IDLE", ">AGE"];
    let headings: Vec<_> = headings.into_iter().filter(|heading| !narrow || *heading != "FRONTEND").collect();
    let mut table = table(&headings, env);
    for flow in flows {
        let Flow { client, protocol, frontend, backend, deployment, service, colour, state, idle_ms, age_ms } =
            flow;
        let protocol = protocol.word();
        let state = match state {
            FlowState::HalfOpen => "half-open",
            FlowState::Established => "established",
            FlowState::HalfClosed => "half-closed",
            FlowState::Closed => "closed",
        };
        let mut row = vec![Cell::new(format!("{deployment}/{service}")), Cell::new(client)];
        if !narrow {
            row.push(Cell::new(format!("{protocol} {frontend}")));
        }
        row.extend([
            cell(*colour),
            Cell::new(backend),
            Cell::new(state),
            Cell::new(long_time(*idle_ms)),
            Cell::new(age_ms.map(long_time).unwrap_or_default()),
        ]);
        table.add_row(row);
    }
    table
}

fn show_summary(summary: &FlowSummary, env: &mut Env<'_>) -> Result {
    let FlowSummary { vips } = summary;
    if vips.is_empty() {
        return Ok(writeln!(env.out, "no open flows")?);
    }
    let headings = ["DEPLOYMENT", "VIP", "COLOUR", ">OPEN", ">OLDEST", ">CLIENTS", "MOST FROM"];
    let mut table = table(&headings, env);
    let mut above = "";
    for VipFlows { deployment, vip, colour, open, oldest_ms, clients, top } in vips {
        let name = if above == deployment { "" } else { deployment };
        above = deployment;
        let top: Vec<_> = top.iter().map(|Busy { client, open }| format!("{client} ({open})")).collect();
        table.add_row([
            Cell::new(name),
            Cell::new(vip),
            cell(*colour),
            Cell::new(open),
            Cell::new(oldest_ms.map(long_time).unwrap_or_default()),
            Cell::new(clients),
            Cell::new(top.join(", ")),
        ]);
    }
    fold(&mut table, 1, env);
    render::print(&table, env)
}
