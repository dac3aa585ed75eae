//! The command line of `bgctl`: what can be typed. Nouns show, verbs change; each has a file below.

mod config;
mod counters;
mod detach;
mod doctor;
mod env;
mod flows;
mod offline;
mod render;
mod run;
mod status;
mod switch;
mod target;

pub use env::{Env, Kernel, ThisKernel};
pub use run::run;

use bg_common::Colour;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Switches live traffic between a blue and a green copy of a system.
#[derive(Clone, PartialEq, Eq, Debug, Parser)]
#[command(name = "bgctl", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    /// What concerns every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  bgctl status                    who is live, who drains, and what stands behind each address
  bgctl switch shop --to green    new connections go to green; established ones stay where they are
  bgctl rollback shop             and back
  bgctl flows shop --colour blue  who is still on blue
  bgctl config check new.toml     everything that is wrong with a configuration, before bgd reads it

Exit codes:
  0  done
  1  refused: the message says what is wrong, where, and the command that mends it
  2  the command line was not understood
  3  the daemon cannot be reached
  4  doctor found a problem";

/// Options of every command.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Control socket of the daemon [default: the instance's, or as configured]
    #[arg(long, global = true, value_name = "PATH", env = "BG_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Configuration file [default: /etc/bg/bg.toml]
    #[arg(long, global = true, value_name = "FILE", env = "BG_CONFIG")]
    pub config: Option<PathBuf>,
    /// Instance of the gateway [default: as configured, or "default"]
    #[arg(long, global = true, value_name = "NAME", env = "BG_INSTANCE")]
    pub instance: Option<String>,
    /// Print JSON for programs; refusals go to standard error as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Work on the kernel's tables directly, without the daemon
    #[arg(long, global = true)]
    pub offline: bool,
}

/// A command.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum Command {
    /// Show who is live, who drains, and what stands behind each address
    Status(StatusArgs),
    /// Make the other colour live; established connections stay where they are
    #[command(after_help = "With one deployment its name may be left out. A switch to the colour that is \
                            live already changes nothing and succeeds.")]
    Switch(SwitchArgs),
    /// Make live who was live before the last switch
    Rollback(RollbackArgs),
    /// Show the flows that are pinned to a backend, the most recently active first
    Flows(FlowsArgs),
    /// Show what each colour carries, and why packets were not simply sent on
    Counters(CountersArgs),
    /// Work on the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check kernel, privileges, interfaces, routes and settings, and say what to mend
    Doctor,
    /// Take the data plane down: programs, tables and addresses; all flows end
    #[command(after_help = "Stopping the daemon leaves the data plane working. This takes it down on \
                            purpose and ends the daemon.")]
    Detach,
}

/// What to show of the status.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct StatusArgs {
    /// Show every service, however many there are
    #[arg(long)]
    pub all: bool,
}

/// What to switch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct SwitchArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// Colour to make live: blue or green [default: the one that is not live]
    #[arg(long, value_name = "COLOUR", visible_alias = "colour")]
    pub to: Option<Colour>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What to roll back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct RollbackArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Which flows to show.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct FlowsArgs {
    /// Only of this deployment
    pub deployment: Option<String>,
    /// Only of this colour: blue or green
    #[arg(long, value_name = "COLOUR")]
    pub colour: Option<Colour>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
}

/// Which counters to show.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct CountersArgs {
    /// Show reasons that never applied, too
    #[arg(long)]
    pub all: bool,
}

/// What to do with the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with a configuration, without touching anything
    Check {
        /// The file [default: --config, or /etc/bg/bg.toml]
        file: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests;
