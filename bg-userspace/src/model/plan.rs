//! What a switch would do, and which gates would refuse it. Read-only.

use super::record::SliceIdentity;
use bg_common::Colour;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Names a plan: the generation of the word that it was made for, and a digest of identities, roles and
/// gates. Written `8` or `8.3f2a`; without a digest it holds until live is changed, or the word by somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PlanId {
    /// Of the word.
    pub generation: u16,
    /// Of all else that the plan rests on.
    pub digest: Option<u16>,
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digest {
            Some(digest) => write!(f, "{}.{digest:04x}", self.generation),
            None => write!(f, "{}", self.generation),
        }
    }
}

impl From<PlanId> for String {
    fn from(id: PlanId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PlanId {
    type Error = NotAPlan;

    fn try_from(text: String) -> Result<Self, NotAPlan> {
        text.parse()
    }
}

/// What was given where a plan's name is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a plan is named as `bgctl plan` prints it, such as 8.3f2a")]
pub struct NotAPlan;

impl FromStr for PlanId {
    type Err = NotAPlan;

    fn from_str(text: &str) -> Result<Self, NotAPlan> {
        let (generation, digest) = match text.split_once('.') {
            Some((generation, digest)) if digest.len() == 4 => {
                (generation, Some(u16::from_str_radix(digest, 16).map_err(|_| NotAPlan)?))
            }
            Some(_) => return Err(NotAPlan),
            None => (text, None),
        };
        Ok(Self { generation: generation.parse().map_err(|_| NotAPlan)?, digest })
    }
}

/// What a switch would do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the deployment.
    pub deployment: String,
    /// To be given to `bgctl switch --plan`.
    pub plan: PlanId,
    /// Who is live.
    pub from: Colour,
    /// Who would be.
    pub to: Colour,
    /// Role, version and health of each slice.
    pub slices: [SliceIdentity; 2],
    /// Open flows that would stay on `from`, at the last count.
    pub staying: Option<u64>,
    /// Seconds since the oldest of them began.
    pub oldest_s: Option<u64>,
    /// What would happen to them: `keep`, `reset` or `move`.
    pub fate: String,
    /// The share of new flows, in 1/1000, that go to the other colour by the canary, which the switch would end.
    #[serde(default)]
    pub canary: u16,
    /// Seconds of bake time.
    pub bake_s: Option<u64>,
    /// Seconds within which it would have to be confirmed.
    pub confirm_within_s: Option<u64>,
    /// What each probe says of each target.
    pub probes: Vec<ProbeVerdict>,
    /// What real traffic says of `[blue, green]`.
    pub passive: [Option<PassiveVerdict>; 2],
    /// Each gate, in the order of asking.
    pub gates: Vec<Gate>,
}

impl Plan {
    /// Whether nothing would refuse the switch.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.gates.iter().all(|gate| gate.open)
    }
}

/// What a probe says of a target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeVerdict {
    /// Name of the probe.
    pub probe: String,
    /// Of the slice; none for the VIP.
    pub colour: Option<Colour>,
    /// The machine, if it is one.
    pub address: Option<IpAddr>,
    /// Whether it is up; none before the first answers.
    pub up: Option<bool>,
    /// What was wrong the last time.
    pub why: Option<String>,
    /// Seconds since the verdict changed.
    pub since_s: Option<u64>,
    /// Whether an operator decided it.
    pub overridden: bool,
}

/// What real traffic says of a slice, over the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PassiveVerdict {
    /// TCP handshakes that clients began.
    pub handshakes: u64,
    /// Those that the slice answered.
    pub answered: u64,
    /// Those that it refused.
    pub refused: u64,
    /// Flows that it reset later.
    pub resets: u64,
    /// New flows of any protocol.
    pub flows: u64,
    /// Whether this speaks for the slice; none: too few to tell.
    pub good: Option<bool>,
}

/// One condition of a switch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// Its name, as `--force` takes it.
    pub name: String,
    /// Whether it lets the switch pass.
    pub open: bool,
    /// Whether `--force` can override it.
    pub forcible: bool,
    /// What it found, in a sentence.
    pub what: String,
    /// The command that mends it; empty if it is open.
    pub mend: String,
}
