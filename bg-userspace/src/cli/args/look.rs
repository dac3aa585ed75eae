//! Arguments of the nouns.

use super::super::when::When;
use crate::notify::spec::KINDS;
use bg_common::Colour;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use std::path::PathBuf;

pub(in super::super) const PLAN_HELP: &str = "\
The last line is the command that carries out exactly this plan; it is refused if roles,
versions or gates have changed meanwhile. Exit code 0 if nothing would refuse the switch,
1 if a gate would.";

pub(in super::super) const FLOWS_HELP: &str = "\
Examples:
  bgctl flows shop --colour blue    who is still on blue
  bgctl flows --summary             how many flows each colour has at each address, and whose";

pub(in super::super) const HISTORY_HELP: &str = "\
Examples:
  bgctl history shop --since '2h ago'
  bgctl history --since 03:00 --until 03:30 --kind switched,frozen
  bgctl history --at '2026-11-24 03:12'    who was live then
  bgctl history --verify                   whether anybody has tampered with the journal

Times are local: 03:12 (today, or yesterday if that lies ahead) or '2026-11-24 03:12';
with an offset, as in 2026-11-24T03:12:00Z; or back from here, as in 2h.";

pub(in super::super) const EVENTS_HELP: &str = "\
Examples:
  bgctl events --follow                     until Ctrl-C
  bgctl events shop --follow --json         a line of JSON for each";

/// What to show of the status.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct StatusArgs {
    /// Only of this deployment
    pub deployment: Option<String>,
    /// Show every service, however many there are
    #[arg(long)]
    pub all: bool,
}

/// Which switch to plan.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct PlanArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// Colour to make live: blue or green [default: the one that is not live]
    #[arg(long, value_name = "COLOUR", visible_alias = "colour")]
    pub to: Option<Colour>,
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
    /// Add open flows up, for each colour and address
    #[arg(long, conflicts_with = "limit")]
    pub summary: bool,
}

/// Which counters to show.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct CountersArgs {
    /// Show reasons that never applied, too
    #[arg(long)]
    pub all: bool,
}

/// Which part of the history to show.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct HistoryArgs {
    /// Only of this deployment
    pub deployment: Option<String>,
    /// Only from then on
    #[arg(long, value_name = "TIME")]
    pub since: Option<When>,
    /// Only before then
    #[arg(long, value_name = "TIME")]
    pub until: Option<When>,
    /// What was so at that time
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until", "verify", "limit", "kind"])]
    pub at: Option<When>,
    /// Check that no entry was changed, removed or put in
    #[arg(long, conflicts_with_all = ["since", "until", "limit", "kind", "deployment"])]
    pub verify: bool,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Only of these kinds
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = PossibleValuesParser::new(KINDS))]
    pub kind: Vec<String>,
}

/// Which events to show.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct EventsArgs {
    /// Only of this deployment
    pub deployment: Option<String>,
    /// Go on with what happens
    #[arg(long, short)]
    pub follow: bool,
    /// Only of these kinds
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = PossibleValuesParser::new(KINDS))]
    pub kind: Vec<String>,
    /// So many that have happened already
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub limit: usize,
}

/// Whose truths to show.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct DriftArgs {
    /// Only of this deployment
    pub deployment: Option<String>,
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
