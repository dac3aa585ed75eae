//! `bgctl config check`: everything that is wrong with a configuration, without touching anything.

use super::env::Env;
use super::render;
use super::run::{Failure, Result};
use super::say::count;
use super::{ConfigCommand, Global};
use crate::api::client::Client;
use crate::config::{self, Config, Invalid};
use crate::paths;
use crate::refusal::Refusal;
use bg_common::Colour;
use serde::Serialize;
use std::path::PathBuf;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    valid: bool,
    instance: Option<String>,
    deployments: usize,
    services: usize,
    frontends: usize,
    backends: usize,
    probes: usize,
    hooks: usize,
    problems: Vec<Refusal>,
    notes: Vec<Refusal>,
}

pub(super) async fn run(command: &ConfigCommand, global: &Global, env: &mut Env<'_>) -> Result {
    let ConfigCommand::Check { file } = command;
    let path = file.clone().or_else(|| global.config.clone());
    let path = path.unwrap_or_else(|| PathBuf::from(paths::DEFAULT_CONFIG));
    let file = path.display().to_string();
    let loaded = match config::load(&path) {
        Ok(config) if !global.offline => would_be_taken(config, global, &file).await,
        loaded => loaded,
    };
    if global.json {
        let valid = loaded.is_ok();
        render::json(&report(file, loaded), env)?;
        return if valid { Ok(()) } else { Err(Failure::Printed) };
    }
    let config = loaded?;
    let of = report(file, Ok(config.clone()));
    let gateway = &config.gateway;
    let counted = |number, one| count(u64::try_from(number).unwrap_or(u64::MAX), one);
    let parts = [
        counted(of.deployments, "deployment"),
        counted(of.services, "service"),
        counted(of.frontends, "frontend"),
        counted(of.backends, "backend"),
        counted(of.probes, "probe"),
        counted(of.hooks, "hook"),
    ];
    let uplinks = if gateway.uplinks.is_empty() {
        "those of the default routes".to_owned()
    } else {
        gateway.uplinks.join(", ")
    };
    writeln!(env.out, "{} is valid", path.display())?;
    writeln!(env.out, "  {}", parts.join(", "))?;
    writeln!(env.out, "  instance {}, socket {}", gateway.instance, gateway.socket.display())?;
    writeln!(env.out, "  uplinks: {uplinks}")?;
    writeln!(env.out, "  whether interfaces and routes fit: bgctl doctor --config {}", path.display())?;
    for note in &of.notes {
        writeln!(env.out, "note: {note}")?;
    }
    Ok(())
}

/// Refuses what the daemon that is there would refuse: a file alone does not tell what is missing in it. Where none
/// answers, nothing is known of that.
async fn would_be_taken(config: Config, global: &Global, file: &str) -> std::result::Result<Config, Invalid> {
    let socket = global.socket.as_ref().unwrap_or(&config.gateway.socket);
    let Ok(status) = Client::new(socket).status().await else { return Ok(config) };
    let served =
        status.deployments.iter().filter_map(|deployment| config::Name::parse(&deployment.name).ok());
    let is_kept = |name: &config::Name| {
        config.deployments.iter().any(|kept| kept.name == *name) || config.leaving.contains(name)
    };
    let missing: Vec<_> = served.filter(|name| !is_kept(name)).collect();
    let is_its = status.instance == *config.gateway.instance;
    match config::refuse_removal(&missing.iter().collect::<Vec<_>>(), file).filter(|_| is_its) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(config),
    }
}

fn report(file: String, loaded: std::result::Result<Config, Invalid>) -> Report {
    let (config, problems) = match loaded {
        Ok(config) => (Some(config), Vec::new()),
        Err(Invalid { problems }) => (None, problems),
    };
    let notes = config.as_ref().map(|config| config.notes.clone()).unwrap_or_default();
    let mut report = Report {
        file,
        valid: config.is_some(),
        instance: config.as_ref().map(|config| config.gateway.instance.to_string()),
        deployments: 0,
        services: 0,
        frontends: 0,
        backends: 0,
        probes: 0,
        hooks: 0,
        problems,
        notes,
    };
    for deployment in config.iter().flat_map(|config| &config.deployments) {
        report.deployments += 1;
        report.probes += deployment.probes.probes.len();
        report.hooks += deployment.hooks.len();
        for service in &deployment.services {
            report.services += 1;
            report.frontends += service.all_vips().count();
            report.backends +=
                Colour::BOTH.map(|colour| deployment.backends(service, colour).len()).iter().sum::<usize>();
        }
    }
    report
}
