//! Arguments of the commands, and how values are read.

mod look;
mod order;

pub use look::{
    ConfigCommand, CountersArgs, DriftArgs, EventsArgs, FlowsArgs, HistoryArgs, PlanArgs, StatusArgs,
};
pub(super) use look::{EVENTS_HELP, FLOWS_HELP, HISTORY_HELP, PLAN_HELP};
pub(super) use order::{
    CANARY_HELP, DRAIN_HELP, DRILL_HELP, HEALTH_HELP, PAUSE_HELP, PREVIEW_HELP, ROLLBACK_HELP, STAGE_HELP,
    SWITCH_HELP,
};
pub use order::{
    CanaryArgs, ChangeArgs, DrainArgs, DrainCommand, DrillArgs, ForceArgs, FreezeArgs, HealthArgs,
    HealthCommand, OverrideArgs, PauseArgs, PreviewArgs, PreviewCommand, RollbackArgs, StageArgs, SwitchArgs,
    WaitArgs,
};

use bg_common::{Aim, Fate, Word};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::time::Duration;

/// Reads a time such as `90s` or `1h 30m`.
fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|why| format!("{why}; a time is written as 20s, 5m or 1h30m"))
}

/// Reads a share such as `50`, in 1/1000, or `5%`.
fn share(text: &str) -> Result<u16, String> {
    let wrong = || "a share is written in per mille, as 50, or in percent, as 5% or 0.5%".to_owned();
    let per_mille = match text.strip_suffix('%') {
        None => text.trim().parse().map_err(|_| wrong())?,
        Some(percent) => {
            let (whole, tenths) = percent.trim().split_once('.').unwrap_or((percent.trim(), "0"));
            let digit = |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
            let whole: u16 = whole.parse().map_err(|_| wrong())?;
            let tenths: u16 = Some(tenths)
                .filter(|text| digit(text))
                .and_then(|text| text.parse().ok())
                .ok_or_else(wrong)?;
            whole.saturating_mul(10).saturating_add(tenths)
        }
    };
    if per_mille > Word::ALL {
        return Err("a share is at most 1000 per mille, which is 100%".to_owned());
    }
    Ok(per_mille)
}

/// Reads what a preview leads to.
fn aim() -> impl TypedValueParser<Value = Aim> {
    PossibleValuesParser::new(["other", "blue", "green"]).map(|text| match text.as_str() {
        "blue" => Aim::Blue,
        "green" => Aim::Green,
        _ => Aim::Other,
    })
}

/// Reads one of these fates.
fn fate<const N: usize>(of: [&'static str; N]) -> impl TypedValueParser<Value = Fate> {
    PossibleValuesParser::new(of).map(|text| match text.as_str() {
        "reset" => Fate::Reset,
        "move" => Fate::Move,
        _ => Fate::Keep,
    })
}
