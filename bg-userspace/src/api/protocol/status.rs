//! How the gateway stands.

use super::{ByColour, Freeze, Override, Role, Switched};
use crate::dataplane::{Attachment, Path, Protocol};
use crate::prefix::Prefix;
use bg_common::{Aim, Colour};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How the gateway stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Name of the instance.
    pub instance: String,
    /// Whether a daemon answered; else the kernel's tables were read.
    pub daemon: bool,
    /// The way of rewritten packets, if anything is attached.
    pub path: Option<Path>,
    /// In the order of their names.
    pub deployments: Vec<Deployment>,
    /// The programs on the interfaces.
    pub attachments: Vec<Attachment>,
    /// Why the last reload of the configuration was refused, if it was; the one before is in force.
    #[serde(default)]
    pub refused_reload: Option<crate::refusal::Refusal>,
}

/// How a deployment stands. What the tables alone do not tell is missing when no daemon answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// The colour that new flows get.
    pub live: Colour,
    /// Whether flows of the other colour may still exist.
    pub draining: bool,
    /// Counts the changes.
    pub generation: u16,
    /// Flows that are not over.
    pub open: ByColour<u64>,
    /// What clients connect to. Empty when it is not known: the tables were read without a
    /// configuration.
    pub services: Vec<Service>,
    /// What each slice is, runs and how it is.
    #[serde(default)]
    pub slices: ByColour<SliceStatus>,
    /// Whether a rollback would be carried out.
    #[serde(default)]
    pub rollback: Option<RollbackAnswer>,
    /// Why switches are refused.
    #[serde(default)]
    pub frozen: Option<Freeze>,
    /// Whether new flows are held.
    #[serde(default)]
    pub paused: bool,
    /// Seconds until they are let go on.
    #[serde(default)]
    pub paused_left_s: Option<u64>,
    /// Seconds for which the last switch is watched still, and taken back if the new side fails.
    #[serde(default)]
    pub bake_left_s: Option<u64>,
    /// Seconds until the last switch goes back by itself unless it is confirmed.
    #[serde(default)]
    pub confirm_left_s: Option<u64>,
    /// The flows that are left of the colour that is not live.
    #[serde(default)]
    pub drain: Option<DrainStatus>,
    /// The last change of who is live that is known of.
    #[serde(default)]
    pub last_switch: Option<LastSwitch>,
    /// What operators have put up or down, whatever probes say.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// The share of new flows, in 1/1000, that go to the other colour.
    #[serde(default)]
    pub canary_per_mille: u16,
    /// Clients that are led elsewhere than to the live colour, in the order of their networks.
    #[serde(default)]
    pub previews: Vec<PreviewRule>,
    /// The order or drill that is under way, in words.
    #[serde(default)]
    pub under_way: Option<String>,
    /// Why roles and versions are not to be relied on, if they are not.
    #[serde(default)]
    pub doubt: Option<String>,
    /// Seconds until a drill begins by itself.
    #[serde(default)]
    pub drill_in_s: Option<u64>,
    /// What differs between intent, orders, observations and kernel, in a sentence; [`DRIFT`](super::DRIFT)
    /// tells more.
    #[serde(default)]
    pub drift: Option<String>,
}

impl Deployment {
    /// A deployment of which only the name and who is live is known.
    #[must_use]
    pub fn bare(name: &str, live: Colour) -> Self {
        Self {
            name: name.to_owned(),
            live,
            draining: false,
            generation: 0,
            open: ByColour::default(),
            services: Vec::new(),
            slices: ByColour::default(),
            rollback: None,
            frozen: None,
            paused: false,
            paused_left_s: None,
            bake_left_s: None,
            confirm_left_s: None,
            drain: None,
            last_switch: None,
            overrides: Vec::new(),
            canary_per_mille: 0,
            previews: Vec::new(),
            under_way: None,
            doubt: None,
            drill_in_s: None,
            drift: None,
        }
    }
}

/// A service, as configured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Of all its addresses.
    pub protocol: Protocol,
    /// Where clients connect.
    pub frontends: Vec<SocketAddr>,
    /// Where clients connect who want to see another colour than the live one.
    #[serde(default)]
    pub previews: Vec<PreviewVip>,
    /// Who serves them.
    pub backends: ByColour<Vec<SocketAddr>>,
}

/// An address that does not follow the live colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PreviewVip {
    /// Where clients connect.
    pub at: SocketAddr,
    /// Where it leads.
    pub to: Aim,
}

/// Clients that are led elsewhere than to the live colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PreviewRule {
    /// Where they come from.
    pub prefix: Prefix,
    /// Where they are led.
    pub to: Aim,
    /// Whether the configuration says so; else it was ordered.
    pub configured: bool,
}

/// What a slice is, runs and how it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SliceStatus {
    /// What it is for; none: nobody remembers.
    pub role: Option<Role>,
    /// What runs there, by `bgctl stage`.
    pub version: Option<String>,
    /// Counts what was staged there.
    pub identity: u64,
    /// Whether it is healthy; none: nothing says so.
    pub healthy: Option<bool>,
    /// Why it is, or is not.
    pub why: Option<String>,
    /// Targets that are up.
    pub up: u64,
    /// All of its targets that are probed.
    pub targets: u64,
}

/// Whether a rollback would be carried out, asked for all the time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RollbackAnswer {
    /// Whether it would.
    pub possible: bool,
    /// The colour that would be live.
    pub to: Option<Colour>,
    /// What runs there.
    pub version: Option<String>,
    /// Why not, in a sentence.
    pub why_not: Option<String>,
    /// What mends that.
    pub mend: Option<String>,
    /// Until when the slice is promised to be kept: Unix time in seconds.
    pub until: Option<u64>,
}

/// How far a drain is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrainStatus {
    /// Open flows of the colour that is not live, at the last count.
    pub open: Option<u64>,
    /// Seconds since the oldest of them began.
    pub oldest_s: Option<u64>,
    /// Seconds since the drain began.
    pub since_s: Option<u64>,
    /// Seconds until the flows that are left get another fate.
    pub deadline_s: Option<u64>,
    /// What happens to them now: `keep`, `reset` or `move`.
    pub fate: String,
    /// What happens to them at the deadline.
    pub fate_then: Option<String>,
}

/// The last change of who is live.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LastSwitch {
    /// Unix time in seconds.
    pub at: u64,
    /// What was changed.
    #[serde(flatten)]
    pub switched: Switched,
}
