//! `bgctl drift`: what is configured, ordered, observed and in the kernel, side by side.

use super::env::Env;
use super::render::{self, Mood, facts, fold, table, verdict};
use super::run::{Failure, Result};
use super::say::clean;
use super::{DriftArgs, Global};
use crate::api::client::Client;
use crate::api::protocol::{DeploymentDrift, Drift, DriftQuery, Truths};
use comfy_table::Cell;

pub(super) async fn run(args: DriftArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let DriftArgs { deployment } = args;
    let drift = client.drift(&DriftQuery { deployment }).await?;
    if global.json {
        render::json(&drift, env)?;
    } else {
        show(&drift, env)?;
    }
    if drift.differs { Err(Failure::Printed) } else { Ok(()) }
}

fn show(drift: &Drift, env: &mut Env<'_>) -> Result {
    let Drift { differs, deployments } = drift;
    let headings = ["DEPLOYMENT", "", "MATTER", "INTENT", "ADMIN", "OBSERVED", "KERNEL"];
    let mut table = table(&headings, env);
    let mut said = Vec::new();
    for DeploymentDrift { name, rows } in deployments {
        for (index, truths) in rows.iter().enumerate() {
            let Truths { about, intent, admin, observed, kernel, differs, why, mend } = truths;
            let shown = if index == 0 { name.as_str() } else { "" };
            let mark = if *differs { verdict("DIFFERS", Mood::Bad) } else { Cell::new("") };
            let mut row = vec![Cell::new(shown), mark, Cell::new(about)];
            row.extend([intent, admin, observed, kernel].map(|truth| render::text(truth.as_deref())));
            table.add_row(row);
            if *differs {
                let why = why.as_deref().map_or_else(|| format!("{about} differs"), clean);
                let mend = mend.as_deref().map(|mend| format!("; mend: {}", clean(mend))).unwrap_or_default();
                said.push((name.clone(), format!("{why}{mend}")));
            }
        }
    }
    fold(&mut table, 4, env);
    render::print(&table, env)?;
    writeln!(env.out)?;
    if !*differs {
        return Ok(writeln!(env.out, "nothing differs")?);
    }
    facts(&said, env)
}
