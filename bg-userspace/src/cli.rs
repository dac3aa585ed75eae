//! The command line of `bgctl`: what can be typed. Nouns show, verbs change; each has a file below.

mod args;
mod canary;
mod changes;
mod config;
mod counters;
mod detach;
mod doctor;
mod drain;
mod drift;
mod drill;
mod env;
mod events;
mod flows;
mod health;
mod history;
mod offline;
mod plan;
mod preview;
mod render;
mod run;
mod say;
mod status;
mod switch;
mod target;
mod told;
mod wait;
mod when;

pub use args::{
    CanaryArgs, ChangeArgs, ConfigCommand, CountersArgs, DrainArgs, DrainCommand, DriftArgs, DrillArgs,
    EventsArgs, FlowsArgs, ForceArgs, FreezeArgs, HealthArgs, HealthCommand, HistoryArgs, OverrideArgs,
    PauseArgs, PlanArgs, PreviewArgs, PreviewCommand, RollbackArgs, StageArgs, StatusArgs, SwitchArgs,
    WaitArgs,
};
pub use env::{Env, Journals, Kernel, TheseFiles, ThisKernel};
pub use run::run;
pub use when::When;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
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
  bgctl status                     who is live, and whether a rollback is possible
  bgctl plan shop                  what a switch would do, and what would refuse it
  bgctl switch shop --plan 8.3f2a  exactly that, or nothing if things have changed
  bgctl switch shop --wait         and wait until the old colour is empty
  bgctl rollback shop              and back
  bgctl flows shop --summary       who is still where
  bgctl history --since '2h ago'   what happened, who did it, and why

Exit codes:
  0  done; plan: nothing would refuse it; drift: nothing differs; --wait: drained
  1  refused: the message says what is wrong, where, and the command that mends it;
     plan: a gate would refuse it; drift: something differs; drill: it failed;
     history --verify: not whole; --wait: the switch was taken back
  2  the command line was not understood
  3  the daemon cannot be reached
  4  doctor found a problem
  5  the time of --wait-for has passed, and flows are left";

/// Options of every command.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Control socket of the daemon [env: BG_SOCKET] [default: the instance's, or as configured]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Configuration file [env: BG_CONFIG] [default: /etc/bg/bg.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Instance of the gateway [env: BG_INSTANCE] [default: as configured, or "default"]
    #[arg(long, global = true, value_name = "NAME")]
    pub instance: Option<String>,
    /// Print JSON for programs; refusals go to standard error as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Work on the kernel's tables and the journal's file directly, without the daemon; no gate is asked
    #[arg(long, global = true)]
    pub offline: bool,
}

impl Global {
    /// Fills in what was not typed from the environment. Clap would do that, too, and then take it for required
    /// wherever it says how a command is used.
    #[must_use]
    pub fn or_from(mut self, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.socket = self.socket.or_else(|| path("BG_SOCKET"));
        self.config = self.config.or_else(|| path("BG_CONFIG"));
        let instance = || variable("BG_INSTANCE").filter(|value| !value.is_empty());
        self.instance = self.instance.or_else(|| instance().map(|name| name.to_string_lossy().into_owned()));
        self
    }
}

/// A command. Without its name, a deployment is the only one.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum Command {
    /// Show who is live, how each slice is, who drains, and whether a rollback is possible
    Status(StatusArgs),
    /// Show what a switch would do, and which gates would refuse it; changes nothing
    #[command(after_help = args::PLAN_HELP)]
    Plan(PlanArgs),
    /// Make the other colour live; established connections stay where they are
    #[command(after_help = args::SWITCH_HELP)]
    Switch(SwitchArgs),
    /// Make live who was live before the last switch
    #[command(after_help = args::ROLLBACK_HELP)]
    Rollback(RollbackArgs),
    /// Keep a switch that would go back by itself; or else, end its bake time
    Confirm(ChangeArgs),
    /// Say what runs in a slice
    #[command(after_help = args::STAGE_HELP)]
    Stage(StageArgs),
    /// Refuse switches from here on
    #[command(after_help = "Example:\n  bgctl freeze shop --reason 'sale until Monday'\n\n\
                            A rollback is possible all the same.")]
    Freeze(FreezeArgs),
    /// Allow switches again
    Unfreeze(ChangeArgs),
    /// Hold new flows for a while; established ones go on
    #[command(after_help = args::PAUSE_HELP)]
    Pause(PauseArgs),
    /// Let new flows go on
    Resume(ChangeArgs),
    /// Show how far a drain is, extend it, or end it
    #[command(after_help = args::DRAIN_HELP, args_conflicts_with_subcommands = true)]
    Drain(DrainArgs),
    /// Show what probes and real traffic say of each slice, or overrule them
    #[command(after_help = args::HEALTH_HELP, args_conflicts_with_subcommands = true)]
    Health(HealthArgs),
    /// Lead a share of new flows to the colour that is not live
    #[command(after_help = args::CANARY_HELP)]
    Canary(CanaryArgs),
    /// Let some clients see another colour than the live one, on the same address
    #[command(after_help = args::PREVIEW_HELP)]
    Preview(PreviewArgs),
    /// Switch to the standby and back, and measure both ways
    #[command(after_help = args::DRILL_HELP)]
    Drill(DrillArgs),
    /// Show the flows that are pinned to a backend, the most recently active first
    #[command(after_help = args::FLOWS_HELP)]
    Flows(FlowsArgs),
    /// Show what each colour carries, and why packets were not simply sent on
    Counters(CountersArgs),
    /// Show what happened: who did what, when and why
    #[command(after_help = args::HISTORY_HELP)]
    History(HistoryArgs),
    /// Show what has just happened, and what happens
    #[command(after_help = args::EVENTS_HELP)]
    Events(EventsArgs),
    /// Show what is configured, ordered, observed and in the kernel side by side
    Drift(DriftArgs),
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

#[cfg(test)]
mod tests;
