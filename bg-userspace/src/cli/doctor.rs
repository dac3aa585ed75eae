//! `bgctl doctor`: what is wrong with this machine as a gateway, and what mends it.

use super::Global;
use super::env::Env;
use super::render::{self, table};
use super::run::{Failure, Result};
use super::say::count;
use super::target::Target;
use crate::api::client::{Client, Error};
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
    let (attached, daemon) = attached(global, target, client, env).await;
    let mut findings = doctor::examine(config.as_ref(), attached.as_deref()).await;
    findings.extend(daemon.map(no_daemon));
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

/// What is attached, by the daemon's account or else by the pinned links; and why the daemon did not
/// answer, if it was asked.
async fn attached(
    global: &Global,
    target: &Target,
    client: &Client,
    env: &Env<'_>,
) -> (std::result::Result<Vec<Attachment>, Refusal>, Option<Refusal>) {
    let status = if global.offline { None } else { Some(client.status().await) };
    let silent = match status {
        Some(Ok(status)) => return (Ok(status.attachments), None),
        Some(Err(Error::Unreachable(refusal) | Error::Refused(refusal))) => Some(refusal),
        None => None,
    };
    (env.kernel.open(&target.instance).and_then(|kernel| kernel.attachments()), silent)
}

/// Traffic flows without the daemon, so this is only a warning.
fn no_daemon(refusal: Refusal) -> Finding {
    Finding {
        level: Level::Warn,
        topic: "daemon".to_owned(),
        text: format!(
            "{}: what is pinned works on, but nothing follows the network or expires flows",
            refusal.what
        ),
        mend: Some(refusal.mend),
    }
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
