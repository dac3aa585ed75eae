//! `bgctl status`: who is live, how each slice is, and what is out of the ordinary.

mod facts;

use super::env::Env;
use super::render::{self, Mood, cell, fold, shaded, table, verdict};
use super::run::Result;
use super::switch::bgctl;
use super::target::Target;
use super::{Global, StatusArgs, health, offline};
use crate::api::client::Client;
use crate::api::protocol::{Deployment, Service, Status};
use crate::dataplane::{Attachment, Path};
use crate::refusal::Refusal;
use bg_common::Colour;
use comfy_table::{Attribute, Cell, Table};
use std::net::SocketAddr;

/// More services than this are shown only when asked for.
const SERVICES: usize = 40;

/// The deployment of this name, or all of them.
///
/// # Errors
///
/// When there is none of that name.
pub(super) fn named<'a>(status: &'a Status, name: Option<&str>) -> Result<Vec<&'a Deployment>> {
    let wanted = |deployment: &&Deployment| name.is_none_or(|name| name == deployment.name);
    let found: Vec<_> = status.deployments.iter().filter(wanted).collect();
    match name {
        Some(name) if found.is_empty() => {
            let names: Vec<_> = status.deployments.iter().map(|it| it.name.as_str()).collect();
            let (what, at) =
                (format!("there is no deployment {name:?}"), format!("deployments: {}", names.join(", ")));
            Err(Refusal::new("unknown-deployment", what, at, "see `bgctl status`").into())
        }
        _ => Ok(found),
    }
}

pub(super) async fn run(
    args: &StatusArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let mut status =
        if global.offline { offline::status(env.kernel, target)? } else { client.status().await? };
    if let Some(name) = &args.deployment {
        let known: Vec<_> = status.deployments.iter().map(|deployment| deployment.name.clone()).collect();
        status.deployments.retain(|deployment| deployment.name == *name);
        if status.deployments.is_empty() {
            let at = format!("deployments: {}", known.join(", "));
            let what = format!("there is no deployment {name:?}");
            return Err(Refusal::new("unknown-deployment", what, at, "bgctl status").into());
        }
    }
    if global.json {
        return render::json(&status, env);
    }
    let Status { instance, daemon, path, deployments, attachments, refused_reload } = &status;
    let bgctl = bgctl(*daemon);
    let daemon = if *daemon { "daemon running" } else { "read from the kernel's tables" };
    let path = match path {
        Some(Path::Redirect) => "packets are redirected",
        Some(Path::Stack) => "packets go through the stack",
        None => "nothing is attached",
    };
    writeln!(env.out, "instance {instance}, {daemon}, {path}\n")?;
    if let Some(Refusal { what, at, mend, .. }) = refused_reload {
        let [what, at, mend] = [what, at, mend].map(|text| super::say::clean(text));
        let said = format!("{what} ({at}); the one before is in force; mend: {mend}");
        render::facts(&[("reload REFUSED".to_owned(), said)], env)?;
        writeln!(env.out)?;
    }
    if deployments.is_empty() {
        writeln!(env.out, "no deployment: add a [deployment.NAME] to the configuration")?;
    } else {
        render::print(&overview(deployments, env), env)?;
    }
    let facts: Vec<_> = deployments.iter().flat_map(|deployment| facts::of(deployment, bgctl, env)).collect();
    if !facts.is_empty() {
        writeln!(env.out)?;
        render::facts(&facts, env)?;
    }
    services(deployments, args.all, env)?;
    attached(attachments, env)
}

/// What is attached, a line for each interface.
fn attached(attachments: &[Attachment], env: &mut Env<'_>) -> Result {
    if attachments.is_empty() {
        return Ok(());
    }
    let mut table = table(&["INTERFACE", "HOOKS AND PROGRAMS"], env);
    for of in attachments.chunk_by(|a, b| (&a.interface, a.ifindex) == (&b.interface, b.ifindex)) {
        let Some(Attachment { interface, ifindex, .. }) = of.first() else { continue };
        if of.iter().all(Attachment::is_on_cgroup) {
            let calls: Vec<_> = of.iter().filter_map(|it| it.hook.strip_prefix("cgroup-")).collect();
            table.add_row(["(own processes)".to_owned(), calls.join(", ")]);
            continue;
        }
        let gone = if *ifindex == 0 { " (interface gone)" } else { "" };
        let programs: Vec<_> = of.iter().map(|it| format!("{} {}", it.hook, it.program)).collect();
        table.add_row([format!("{interface}{gone}"), programs.join(", ")]);
    }
    writeln!(env.out)?;
    fold(&mut table, 1, env);
    render::print(&table, env)
}

fn overview(deployments: &[Deployment], env: &Env<'_>) -> Table {
    let headings = ["DEPLOYMENT", "COLOUR", "ROLE", "VERSION", "HEALTH", ">UP", ">FLOWS", "STATE"];
    let mut table = table(&headings, env);
    for deployment in deployments {
        let Deployment { name, live, open, slices, .. } = deployment;
        for colour in Colour::BOTH {
            let name = if colour == Colour::Blue { name.as_str() } else { "" };
            let mut row = vec![Cell::new(name).add_attribute(Attribute::Bold), cell(colour)];
            row.extend(health::slice(slices.of(colour), colour == *live));
            row.extend([Cell::new(open.of(colour)), state(deployment, colour)]);
            table.add_row(row);
        }
    }
    table
}

/// What goes on in a slice, in a word or two.
fn state(deployment: &Deployment, colour: Colour) -> Cell {
    let Deployment { live, draining, paused, bake_left_s, confirm_left_s, .. } = deployment;
    if colour != *live {
        // For a moment after a switch it drains, whether or not there is anything to.
        let drains = *draining && (*deployment.open.of(colour) > 0 || deployment.drain.is_none());
        return if drains { shaded("drains", colour) } else { Cell::new("") };
    }
    let word = match (paused, confirm_left_s, bake_left_s) {
        (true, ..) => "paused",
        (_, Some(_), _) => "unconfirmed",
        (_, _, Some(_)) => "watched",
        (false, None, None) => return Cell::new(""),
    };
    verdict(word, Mood::Odd)
}

fn services(deployments: &[Deployment], all: bool, env: &mut Env<'_>) -> Result {
    let services: Vec<_> = deployments
        .iter()
        .flat_map(|deployment| deployment.services.iter().map(move |service| (deployment, service)))
        .collect();
    if services.is_empty() {
        return Ok(());
    }
    let shown = if all { services.len() } else { SERVICES };
    let mut table = table(&["SERVICE", "FRONTENDS", "BLUE", "GREEN"], env);
    for (deployment, service) in services.iter().take(shown) {
        let Service { name, protocol, frontends, previews, backends } = service;
        let protocol = protocol.word();
        let mut frontends: Vec<_> =
            frontends.iter().map(|frontend| format!("{protocol} {frontend}")).collect();
        frontends.extend(previews.iter().map(|vip| format!("{protocol} {} → {}", vip.at, vip.to.as_str())));
        let slice = |colour| {
            let text = lines(backends.of(colour));
            if deployment.live == colour { shaded(text, colour) } else { Cell::new(text) }
        };
        let name = format!("{}/{name}", deployment.name);
        table.add_row([
            Cell::new(name),
            Cell::new(frontends.join("\n")),
            slice(Colour::Blue),
            slice(Colour::Green),
        ]);
    }
    writeln!(env.out)?;
    render::print(&table, env)?;
    if services.len() > shown {
        writeln!(env.out, "… and {} more: bgctl status --all", services.len() - shown)?;
    }
    Ok(())
}

fn lines(addrs: &[SocketAddr]) -> String {
    addrs.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join("\n")
}
