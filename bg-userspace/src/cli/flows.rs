//! `bgctl flows`: who talks to which backend.

use super::env::Env;
use super::render::{self, cell, long_time, table};
use super::run::Result;
use super::target::Target;
use super::{FlowsArgs, Global, offline};
use crate::api::client::Client;
use crate::api::protocol::{Flow, FlowQuery, Flows};
use crate::dataplane::{FlowState, Protocol};
use comfy_table::Cell;

pub(super) async fn run(
    args: FlowsArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let FlowsArgs { deployment, colour, limit } = args;
    let query = FlowQuery { deployment, colour, limit: Some(limit) };
    let found = if global.offline {
        offline::flows(env.kernel, &target.instance, &query)?
    } else {
        client.flows(&query).await?
    };
    if global.json {
        return render::json(&found, env);
    }
    let Flows { total, flows } = &found;
    if *total == 0 {
        return Ok(writeln!(env.out, "no flows")?);
    }
    let mut table = table(&["SERVICE", "CLIENT", "FRONTEND", "COLOUR", "BACKEND", "STATE", ">IDLE"], env);
    for flow in flows {
        let Flow { client, protocol, frontend, backend, deployment, service, colour, state, idle_ms } = flow;
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let state = match state {
            FlowState::HalfOpen => "half-open",
            FlowState::Established => "established",
            FlowState::HalfClosed => "half-closed",
            FlowState::Closed => "closed",
        };
        table.add_row([
            Cell::new(format!("{deployment}/{service}")),
            Cell::new(client),
            Cell::new(format!("{protocol} {frontend}")),
            cell(*colour),
            Cell::new(backend),
            Cell::new(state),
            Cell::new(long_time(*idle_ms)),
        ]);
    }
    render::print(&table, env)?;
    if *total > flows.len() {
        writeln!(env.out, "… {} of {total} flows: --limit {total} shows all", flows.len())?;
    }
    Ok(())
}
