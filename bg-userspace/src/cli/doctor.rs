//! `bgctl doctor`: what is wrong with this machine as a gateway, and what mends it.

use super::Global;
use super::env::Env;
use super::render::{self, count, table};
use super::run::{Failure, Result};
use super::target::Target;
use crate::api::client::Client;
use crate::config;
use crate::dataplane::Attachment;
use crate::doctor::{self, Finding, Level};
use crate::refusal::Refusal;
use comfy_table::{Attribute, Cell, Color};
use serde::Serialize;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

pub(super) async fn run(global: &Global, target: &Target, client: &Client, env: &mut Env<'_>) -> Result {
    let config = config::load(&target.config);
    let attached = attached(global, target, client, env).await;
    let findings = doctor::examine(config.as_ref(), attached.as_deref()).await;
    let of = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (of(Level::Fail), of(Level::Warn));
    if global.json {
        render::json(&Report { findings }, env)?;
    } else {
        show(&findings, env)?;
        let [problems, warnings] = [(problems, "problem"), (warnings, "warning")]
            .map(|(number, one)| count(u64::try_from(number).unwrap_or(u64::MAX), one));
        writeln!(env.out, "\n{problems}, {warnings}")?;
    }
    if problems > 0 { Err(Failure::Unhealthy) } else { Ok(()) }
}

/// What is attached, by the daemon's account or else by the pinned links.
async fn attached(
    global: &Global,
    target: &Target,
    client: &Client,
    env: &Env<'_>,
) -> std::result::Result<Vec<Attachment>, Refusal> {
    if !global.offline
        && let Ok(status) = client.status().await
    {
        return Ok(status.attachments);
    }
    env.kernel.open(&target.instance)?.attachments()
}

fn show(findings: &[Finding], env: &mut Env<'_>) -> Result {
    let mut table = table(&["", "ABOUT", "FINDING"], env);
    for Finding { level, topic, text, mend } in findings {
        let level = match level {
            Level::Ok => Cell::new("OK").fg(Color::Green),
            Level::Warn => Cell::new("WARN").fg(Color::Yellow),
            Level::Fail => Cell::new("FAIL").fg(Color::Red).add_attribute(Attribute::Bold),
        };
        let mend = mend.as_ref().map(|mend| format!("\nmend: {mend}")).unwrap_or_default();
        table.add_row([level, Cell::new(topic), Cell::new(format!("{text}{mend}"))]);
    }
    render::print(&table, env)
}
