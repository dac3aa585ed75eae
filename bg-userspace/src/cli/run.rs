//! Runs one command and makes an exit code of how it ended.

use super::env::Env;
use super::render;
use super::target::Target;
use super::{
    Cli, Command, Global, canary, changes, config, counters, detach, doctor, drain, drift, drill, events,
    flows, health, history, plan, preview, status, switch,
};
use crate::api::client::{self, Client};
use crate::config::Invalid;
use crate::refusal::Refusal;
use std::io;

/// Exit codes; the help text has the same list.
mod code {
    pub(super) const DONE: u8 = 0;
    pub(super) const REFUSED: u8 = 1;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const DOCTOR: u8 = 4;
    pub(super) const LEFT: u8 = 5;
}

/// Why a command has not done what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// bg said no.
    Refused(Vec<Refusal>),
    /// bg said no, and the command has printed why.
    Printed,
    /// The daemon cannot be reached.
    Unreachable(Refusal),
    /// The doctor has found a problem and printed it.
    Unhealthy,
    /// The time to wait is over, and flows are left.
    Left(Refusal),
    /// Nobody reads what is printed.
    Output(io::Error),
}

pub(super) type Result<T = ()> = std::result::Result<T, Failure>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Refused(invalid.problems)
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Unreachable(refusal) => Self::Unreachable(refusal),
            client::Error::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs what was typed; the exit code.
pub async fn run(cli: Cli, env: &mut Env<'_>) -> u8 {
    let json = cli.global.json;
    let (code, refusals) = match dispatch(cli, env).await {
        Ok(()) => (code::DONE, Vec::new()),
        Err(Failure::Refused(refusals)) => (code::REFUSED, refusals),
        Err(Failure::Printed) => (code::REFUSED, Vec::new()),
        Err(Failure::Unreachable(refusal)) => (code::UNREACHABLE, vec![refusal]),
        Err(Failure::Unhealthy) => (code::DOCTOR, Vec::new()),
        Err(Failure::Left(refusal)) => (code::LEFT, vec![refusal]),
        // A reader that has seen enough, such as `head`, is no failure.
        Err(Failure::Output(why)) if why.kind() == io::ErrorKind::BrokenPipe => (code::DONE, Vec::new()),
        Err(Failure::Output(why)) => {
            let mend = "free some space, or print elsewhere";
            let what = format!("cannot print: {why}");
            (code::REFUSED, vec![Refusal::new("no-output", what, "standard output", mend)])
        }
    };
    for refusal in refusals {
        // Without a standard error there is nobody to tell.
        let _ = match serde_json::to_string(&refusal) {
            Ok(line) if json => writeln!(env.err, "{line}"),
            _ => writeln!(env.err, "{}", render::refusal(&refusal, env)),
        };
    }
    code
}

async fn dispatch(cli: Cli, env: &mut Env<'_>) -> Result {
    let Cli { global, command } = cli;
    // Needs neither socket nor instance, and must not fail for want of them.
    if let Command::Config(command) = command {
        return config::run(&command, &global, env).await;
    }
    let target = Target::find(&global)?;
    if global.offline {
        needs_daemon(&command)?;
    }
    let client = Client::new(&target.socket).to(&target.instance, &target.config);
    let client = match &env.user {
        Some(user) => client.on_behalf_of(user),
        None => client,
    };
    let (global, target, client) = (&global, &target, &client);
    match command {
        Command::Config(_) => Ok(()),
        Command::Status(args) => status::run(&args, global, target, client, env).await,
        Command::Plan(args) => plan::run(args, global, client, env).await,
        Command::Switch(args) => switch::switch(args, global, target, client, env).await,
        Command::Rollback(args) => switch::rollback(args, global, target, client, env).await,
        Command::Confirm(args) => changes::confirm(args, global, target, client, env).await,
        Command::Stage(args) => changes::stage(args, global, client, env).await,
        Command::Freeze(args) => changes::freeze(args, global, client, env).await,
        Command::Unfreeze(args) => changes::unfreeze(args, global, client, env).await,
        Command::Pause(args) => changes::pause(args, global, target, client, env).await,
        Command::Resume(args) => changes::resume(args, global, target, client, env).await,
        Command::Drain(args) => drain::run(args, global, client, env).await,
        Command::Health(args) => health::run(args, global, client, env).await,
        Command::Canary(args) => canary::run(args, global, target, client, env).await,
        Command::Preview(args) => preview::run(args, global, client, env).await,
        Command::Drill(args) => drill::run(args, global, client, env).await,
        Command::Flows(args) => flows::run(args, global, target, client, env).await,
        Command::Counters(args) => counters::run(&args, global, target, client, env).await,
        Command::History(args) => history::run(args, global, target, client, env).await,
        Command::Events(args) => events::run(args, global, client, env).await,
        Command::Drift(args) => drift::run(args, global, client, env).await,
        Command::Doctor => doctor::run(global, target, client, env).await,
        Command::Detach => detach::run(global, target, client, env).await,
    }
}

/// Refuses what cannot be done on the kernel's tables and the journal's file alone.
fn needs_daemon(command: &Command) -> std::result::Result<(), Refusal> {
    let name = match command {
        Command::Plan(_) => "plan",
        Command::Stage(_) => "stage",
        Command::Freeze(_) => "freeze",
        Command::Unfreeze(_) => "unfreeze",
        Command::Drain(_) => "drain",
        Command::Health(_) => "health",
        Command::Preview(_) => "preview",
        Command::Drill(_) => "drill",
        Command::Events(_) => "events",
        Command::Drift(_) => "drift",
        Command::Status(_)
        | Command::Switch(_)
        | Command::Rollback(_)
        | Command::Confirm(_)
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Canary(_)
        | Command::Flows(_)
        | Command::Counters(_)
        | Command::History(_)
        | Command::Config(_)
        | Command::Doctor
        | Command::Detach => return Ok(()),
    };
    Err(without_daemon(&format!("`{name}` needs the daemon")))
}

/// The refusal of what only the daemon can do.
pub(super) fn without_daemon(what: &str) -> Refusal {
    Refusal::new("needs-daemon", what, "--offline", "systemctl start bgd, then the same without --offline")
}

/// Whether the daemon is there to be asked; else `what` is refused.
pub(super) fn online(global: &Global, what: &str) -> std::result::Result<(), Refusal> {
    if global.offline { Err(without_daemon(what)) } else { Ok(()) }
}
