//! Whether bg can be trusted: the daemon is killed again and again while it carries out orders, and switches
//! that nothing speaks against are counted. Clients must not notice, and all accounts of who is live agree.

mod healthy;
mod kills;
mod look;
mod options;
mod orders;
mod points;
mod stage;

use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;

pub use options::{HELP, Options};
pub use points::POINTS;

/// What came of the kills.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Report {
    /// How often the daemon was killed.
    pub kills: u64,
    /// How often live has changed, as the journal has it.
    pub flips: u64,
    /// Requests of clients.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Differences between what kernel, daemon, journal, roles and clients say of who is live.
    pub state_mismatch: u64,
    /// Milliseconds from the start of a daemon to its first answer, the 99th percentile.
    pub ready_ms_p99: u64,
    /// What went wrong, in words.
    #[serde(skip)]
    pub troubles: Vec<String>,
    /// Fail points at which the daemon has died.
    #[serde(skip)]
    pub reached: Vec<&'static str>,
}

/// What came of switches that nothing speaks against.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Healthy {
    /// Switches that were ordered.
    pub switches: u64,
    /// Those that were taken back, or refused.
    pub false_rollbacks: u64,
    /// Requests of clients that failed.
    pub failed: u64,
    /// What went wrong, in words.
    #[serde(skip)]
    pub troubles: Vec<String>,
}

/// Runs what `options` say; progress goes to standard error, and figures to standard output at the end.
///
/// # Errors
///
/// When the network or a daemon cannot be set up.
pub fn run(options: &Options) -> Result<ExitCode> {
    crate::signals::watch()?;
    let (line, well, troubles) = match options.healthy {
        Some(switches) => {
            let healthy = healthy::run(switches)?;
            let well = healthy.false_rollbacks + healthy.failed == 0;
            (serde_json::to_string(&healthy)?, well, healthy.troubles)
        }
        None => {
            let report = kill(options)?;
            let well = report.failed + report.state_mismatch == 0;
            (serde_json::to_string(&report)?, well, report.troubles)
        }
    };
    for trouble in troubles {
        crate::say(&trouble);
    }
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Kills the daemon as often as `options` say.
///
/// # Errors
///
/// When the network or a daemon cannot be set up.
pub fn kill(options: &Options) -> Result<Report> {
    kills::run(options)
}

/// Switches `switches` times under load, with probes and a bake time.
///
/// # Errors
///
/// When the network or the daemon cannot be set up.
pub fn healthy(switches: u64) -> Result<Healthy> {
    healthy::run(switches)
}
