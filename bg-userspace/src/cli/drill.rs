//! `bgctl drill`: to the standby and back, with the figures of both ways.

use super::env::Env;
use super::render;
use super::run::{Failure, Result};
use super::say::{clean, long_time};
use super::switch::{line, proved};
use super::{DrillArgs, Global};
use crate::api::client::Client;
use crate::api::protocol::{DrillRequest, Drilled, Seconds};

pub(super) async fn run(args: DrillArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let DrillArgs { deployment, hold, force, reason } = args;
    let request = DrillRequest { hold_s: Some(Seconds(hold)), force: force.request(), reason };
    let drilled = client.drill(deployment.as_deref(), &request).await?;
    if global.json {
        render::json(&drilled, env)?;
    } else {
        show(&drilled, env)?;
    }
    if drilled.passed { Ok(()) } else { Err(Failure::Printed) }
}

fn show(drilled: &Drilled, env: &mut Env<'_>) -> Result {
    let Drilled { passed, why, there, back, held_ms } = drilled;
    for switched in [there, back].into_iter().flatten() {
        render::line(&line(switched, env), env)?;
        let said = proved(&switched.proof, switched.from, switched.to);
        render::facts(&said.into_iter().map(|text| ("proof".to_owned(), text)).collect::<Vec<_>>(), env)?;
    }
    let held = long_time(*held_ms);
    let why = why.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
    if *passed {
        writeln!(env.out, "the drill went well: the standby was live for {held}")?;
    } else {
        writeln!(env.out, "the drill FAILED{why} (the standby was live for {held})")?;
    }
    Ok(())
}
