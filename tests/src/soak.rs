//! Whether anybody notices a switch that comes all the time: mixed load through the VIPs, while live changes over and
//! over, by XDP and by tc, and every packet's checksums are computed anew on the wire.

mod judge;
mod options;
mod part;

use crate::foreign::Program;
use crate::topology::{Plan, Topology, UPLINK};
use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;

pub use options::{HELP, Options};

/// What came of it. All but the first two are to be 0.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Requests of clients.
    pub requests: u64,
    /// How often live has changed.
    pub flips: u64,
    /// Requests that failed, whatever the way; switches that were refused.
    pub failed: u64,
    /// Of these, requests that were cut by RST.
    pub resets: u64,
    /// New flows that began after a switch had been answered and reached the colour before, and flows that changed
    /// their machine.
    pub misrouted: u64,
    /// Packets on the wire with a wrong checksum.
    pub bad_checksums: u64,
    /// What went wrong, in words.
    #[serde(skip)]
    pub troubles: Vec<String>,
    /// What could not be tried, and why.
    #[serde(skip)]
    pub skipped: Vec<String>,
    /// New flows whose colour could be judged.
    #[serde(skip)]
    pub judged: u64,
    /// Packets whose checksums were computed anew.
    #[serde(skip)]
    pub packets: u64,
}

impl Report {
    /// Whether nobody has noticed anything.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.failed + self.resets + self.misrouted + self.bad_checksums == 0
    }
}

/// A hook and a path.
const WAYS: [(&str, &str); 3] = [("xdp", "stack"), ("tc", "redirect"), ("tc", "stack")];

/// Runs what `options` say; progress goes to standard error, and figures to standard output at the end.
///
/// # Errors
///
/// When the network or a daemon cannot be set up.
pub fn run(options: &Options) -> Result<ExitCode> {
    crate::signals::watch()?;
    let report = soak(options)?;
    for text in report.troubles.iter().chain(&report.skipped) {
        crate::say(text);
    }
    crate::say(&format!(
        "{} new flows were judged by their colour, {} packets by their checksums",
        report.judged, report.packets
    ));
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Loads and switches as `options` say.
///
/// # Errors
///
/// When the network or a daemon cannot be set up.
pub fn soak(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let mut ways = WAYS.to_vec();
    if let Err(why) = xdp_works() {
        report.skipped.push(format!("SKIP by XDP: {why:#}"));
        ways.retain(|(attach, _)| *attach != "xdp");
    }
    let parts = u32::try_from(ways.len()).unwrap_or(1);
    for (attach, path) in ways {
        if crate::signals::seen() {
            break;
        }
        crate::say(&format!("by {attach}, replies by {path}"));
        let share = part::Share { time: options.time / parts, flips: options.flips.div_ceil(parts.into()) };
        part::run((attach, path), share, &mut report)?;
    }
    Ok(report)
}

fn xdp_works() -> Result<()> {
    let topology = Topology::new(&Plan::default())?;
    Program::attach(&topology.gateway, UPLINK).map(drop)
}
