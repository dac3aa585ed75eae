//! Runs one command and makes an exit code of how it ended.

use super::env::Env;
use super::target::Target;
use super::{Cli, Command, config, counters, detach, doctor, flows, status, switch};
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
            _ => writeln!(env.err, "bgctl: {refusal}"),
        };
    }
    code
}

async fn dispatch(cli: Cli, env: &mut Env<'_>) -> Result {
    let Cli { global, command } = cli;
    // Needs neither socket nor instance, and must not fail for want of them.
    if let Command::Config(command) = command {
        return config::run(&command, &global, env);
    }
    let target = Target::find(&global)?;
    let client = Client::new(&target.socket);
    match command {
        Command::Config(_) => Ok(()),
        Command::Status(args) => status::run(&args, &global, &target, &client, env).await,
        Command::Switch(args) => switch::switch(args, &global, &target, &client, env).await,
        Command::Rollback(args) => switch::rollback(args, &global, &target, &client, env).await,
        Command::Flows(args) => flows::run(args, &global, &target, &client, env).await,
        Command::Counters(args) => counters::run(&args, &global, &target, &client, env).await,
        Command::Doctor => doctor::run(&global, &target, &client, env).await,
        Command::Detach => detach::run(&global, &target, &client, env).await,
    }
}
