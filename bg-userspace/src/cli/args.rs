//! Arguments of the commands, and how values are read.

mod look;
mod order;

pub use look::{
    ConfigCommand, CountersArgs, DriftArgs, EventsArgs, FlowsArgs, HistoryArgs, PlanArgs, StatusArgs,
};
pub(super) use look::{EVENTS_HELP, FLOWS_HELP, HISTORY_HELP, PLAN_HELP};
pub use order::{
    ChangeArgs, DrainArgs, DrainCommand, DrillArgs, ForceArgs, FreezeArgs, HealthArgs, HealthCommand,
    OverrideArgs, PauseArgs, RollbackArgs, StageArgs, SwitchArgs, WaitArgs,
};
pub(super) use order::{
    DRAIN_HELP, DRILL_HELP, HEALTH_HELP, PAUSE_HELP, ROLLBACK_HELP, STAGE_HELP, SWITCH_HELP,
};

use bg_common::Fate;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::time::Duration;

/// Reads a time such as `90s` or `1h 30m`.
fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|why| format!("{why}; a time is written as 20s, 5m or 1h30m"))
}

/// Reads one of these fates.
fn fate<const N: usize>(of: [&'static str; N]) -> impl TypedValueParser<Value = Fate> {
    PossibleValuesParser::new(of).map(|text| match text.as_str() {
        "reset" => Fate::Reset,
        "move" => Fate::Move,
        _ => Fate::Keep,
    })
}
