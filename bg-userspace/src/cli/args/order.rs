//! Arguments of the verbs.

use super::{aim, fate, share, time};
use crate::api::protocol::PlanId;
use crate::prefix::Prefix;
use bg_common::{Aim, Colour, Fate};
use clap::{Args, Subcommand};
use std::net::IpAddr;
use std::time::Duration;

pub(in super::super) const SWITCH_HELP: &str = "\
Examples:
  bgctl switch shop                           to the other colour
  bgctl switch shop --plan 8.3f2a             only if what `bgctl plan` said still holds
  bgctl switch shop --confirm-within 2m       goes back by itself unless: bgctl confirm shop
  bgctl switch shop --wait --wait-for 1h      and wait until no flow is left on the old colour
  bgctl switch shop --force=health,frozen --reason 'green is the lesser evil'

A switch to the colour that is live already changes nothing and succeeds.";

pub(in super::super) const ROLLBACK_HELP: &str = "\
Examples:
  bgctl rollback                          new connections go back to where they went before
  bgctl rollback shop --fate reset        and those of the side that failed are reset
  bgctl rollback shop --force             even if probes say that the other side is down

`bgctl status` says at any time whether a rollback is possible, and if not, why.";

pub(in super::super) const STAGE_HELP: &str = "\
Examples:
  bgctl stage shop --version 1.4                     it runs on the colour that is not live
  bgctl stage shop --version 1.4 --give-up-rollback  over the version to go back to
  bgctl stage shop --version 1.3.1 --hotfix          what is live was mended in place";

pub(in super::super) const PAUSE_HELP: &str = "\
Example:
  bgctl pause shop --for 20s

The first packet of a new flow is dropped, so that clients ask again; at the end of the
time the kernel itself lets them go on, whatever happened to the daemon.";

pub(in super::super) const DRAIN_HELP: &str = "\
Examples:
  bgctl drain shop                     flows that are left, the oldest, and when it will be over
  bgctl drain extend shop --by 10m     the deadline is in ten minutes
  bgctl drain end shop --fate reset    reset what is left";

pub(in super::super) const HEALTH_HELP: &str = "\
Examples:
  bgctl health shop
  bgctl health down shop --colour green                       the whole slice, whatever probes say
  bgctl health up shop --colour green --backend 10.2.0.2      one machine
  bgctl health auto shop --colour green                       what probes say, again";

pub(in super::super) const CANARY_HELP: &str = "\
Examples:
  bgctl canary shop 50      50 per mille of new flows go to the colour that is not live
  bgctl canary shop 5%      the same
  bgctl canary shop 20%     those who were led there before, and more
  bgctl canary shop 0       it is over; flows that are there stay until they end

A switch ends it, and so does bg itself when the colour that it leads to fails.";

pub(in super::super) const PREVIEW_HELP: &str = "\
Examples:
  bgctl preview shop add 203.0.113.0/24             the office sees the colour that is not live
  bgctl preview shop add 2001:db8::/48 --to green   or always green, whatever is live
  bgctl preview shop rm 203.0.113.0/24
  bgctl preview shop list

It is the same address and port for everybody. Flows that are open stay where they are.";

pub(in super::super) const DRILL_HELP: &str = "\
Example:
  bgctl drill shop --hold 30s

The standby is live for that time, for real: a drill proves that a rollback would work.";

/// What to switch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct SwitchArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// Colour to make live: blue or green [default: the one that is not live]
    #[arg(long, value_name = "COLOUR", visible_alias = "colour")]
    pub to: Option<Colour>,
    /// Only if this plan still holds, as `bgctl plan` named it
    #[arg(long, value_name = "ID")]
    pub plan: Option<PlanId>,
    /// Gates to override.
    #[command(flatten)]
    pub force: ForceArgs,
    /// Go back by itself unless confirmed within this time; 0s: stay [default: as configured]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub confirm_within: Option<Duration>,
    /// Watch the new side for so long and take the switch back if it fails; 0s: do not [default: as
    /// configured]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub bake: Option<Duration>,
    /// What happens to the old colour's flows: they stay until they end, are reset, or move (datagrams
    /// only) [default: as configured]
    #[arg(long, value_name = "FATE", value_parser = fate(["keep", "reset", "move"]))]
    pub fate: Option<Fate>,
    /// Waiting for the drain.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Agree beforehand where the configuration wants a person to
    #[arg(long, short)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Which gates to override.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct ForceArgs {
    /// Override gates that would refuse: those named, as in health,frozen, or all that can be
    #[arg(long, value_name = "GATES", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    pub force: Option<Vec<String>>,
}

/// Whether to wait for the end of the drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Args)]
pub struct WaitArgs {
    /// Wait until the old colour has no flow left; exit code 1 if the switch is taken back meanwhile
    #[arg(long)]
    pub wait: bool,
    /// Wait at most so long; exit code 5 if flows are left then
    #[arg(long, value_name = "TIME", value_parser = time, requires = "wait")]
    pub wait_for: Option<Duration>,
}

/// What to roll back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct RollbackArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// Gates to override.
    #[command(flatten)]
    pub force: ForceArgs,
    /// What happens to the flows of the side that is taken back [default: as configured]
    #[arg(long, value_name = "FATE", value_parser = fate(["keep", "reset", "move"]))]
    pub fate: Option<Fate>,
    /// Waiting for the drain.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// A change that needs no details.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct ChangeArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What was staged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct StageArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// What runs there from here on
    #[arg(long, value_name = "VERSION")]
    pub version: String,
    /// The slice: blue or green [default: the one that is not live]
    #[arg(long, value_name = "COLOUR")]
    pub colour: Option<Colour>,
    /// Even if the slice is what a rollback would go back to
    #[arg(long)]
    pub give_up_rollback: bool,
    /// Even if the slice is live: it was mended in place
    #[arg(long)]
    pub hotfix: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What to freeze.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct FreezeArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// What whoever wants to switch is told
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// What to hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct PauseArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// For so long, at most an hour
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub time: Duration,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Which drain.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct DrainArgs {
    /// Name of the deployment [default: all that drain]
    pub deployment: Option<String>,
    /// What to do with it.
    #[command(subcommand)]
    pub command: Option<DrainCommand>,
}

/// What to do with a drain.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum DrainCommand {
    /// Move the deadline
    Extend {
        /// Name of the deployment
        deployment: Option<String>,
        /// So long from here on
        #[arg(long, value_name = "TIME", value_parser = time)]
        by: Duration,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End it: the flows that are left are reset, or moved (datagrams only)
    End {
        /// Name of the deployment
        deployment: Option<String>,
        /// What happens to them
        #[arg(long, value_name = "FATE", default_value = "reset", value_parser = fate(["reset", "move"]))]
        fate: Fate,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Whose health.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct HealthArgs {
    /// Name of the deployment [default: all]
    pub deployment: Option<String>,
    /// What to do with it.
    #[command(subcommand)]
    pub command: Option<HealthCommand>,
}

/// How to overrule probes.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum HealthCommand {
    /// Put a slice or one of its machines up, whatever probes say
    Up(OverrideArgs),
    /// Put a slice or one of its machines down, whatever probes say
    Down(OverrideArgs),
    /// Go by what probes say again
    Auto(OverrideArgs),
}

/// Whom to overrule.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct OverrideArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// The slice: blue or green
    #[arg(long, value_name = "COLOUR")]
    pub colour: Colour,
    /// One machine of it [default: the whole slice]
    #[arg(long, value_name = "ADDRESS")]
    pub backend: Option<IpAddr>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// How large a canary.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
#[command(allow_missing_positional = true)]
pub struct CanaryArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// Share of new flows: per mille, such as 50, or percent, such as 5%; 0 ends it
    #[arg(value_name = "SHARE", value_parser = share)]
    pub share: u16,
    /// Gates to override.
    #[command(flatten)]
    pub force: ForceArgs,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Whose previews.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct PreviewArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// What to do with them.
    #[command(subcommand)]
    pub command: Option<PreviewCommand>,
}

/// What to do with previews.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum PreviewCommand {
    /// Lead clients elsewhere than to the live colour
    Add {
        /// Where they come from, such as 203.0.113.0/24
        #[arg(value_name = "NETWORK")]
        prefix: Prefix,
        /// What they see: other (the colour that is not live), blue or green
        #[arg(long, value_name = "COLOUR", default_value = "other", value_parser = aim())]
        to: Aim,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let them see what all others do
    Rm {
        /// Where they come from, as it was added
        #[arg(value_name = "NETWORK")]
        prefix: Prefix,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Show who sees what
    List,
}

/// What to try out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct DrillArgs {
    /// Name of the deployment
    pub deployment: Option<String>,
    /// How long the standby is live, at most an hour
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub hold: Duration,
    /// Gates to override.
    #[command(flatten)]
    pub force: ForceArgs,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
