//! Orders as requests. What each orders is said in `meaning`.

use super::{PlanId, Seconds, Switched};
use crate::prefix::Prefix;
use bg_common::{Aim, Colour, Fate};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// How long the standby is live in a drill, unless it is said.
const HOLD: Duration = Duration::from_secs(30);

/// Asks for a switch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchRequest {
    /// The colour to make live; none: the one that is not.
    pub to: Option<Colour>,
    /// Only if this plan still holds.
    pub plan: Option<PlanId>,
    /// Gates to override.
    pub force: ForceRequest,
    /// Goes back by itself unless confirmed within this time; none: as configured; 0: it stays.
    pub confirm_within_s: Option<Seconds>,
    /// Watched for so long, and taken back if the new side fails; none: as configured; 0: not at all.
    pub bake_s: Option<Seconds>,
    /// What happens to the old colour's flows; none: as configured.
    pub fate: Option<Fate>,
    /// A person has agreed.
    pub agreed: bool,
    /// For the record.
    pub reason: Option<String>,
}

/// Asks for a rollback.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// Gates to override.
    pub force: ForceRequest,
    /// What happens to the flows of the colour that is taken back; none: as configured.
    pub fate: Option<Fate>,
    /// For the record.
    pub reason: Option<String>,
}

/// Which gates an order overrides: `true` for all that can be, or their names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ForceRequest {
    /// All or none.
    All(bool),
    /// These.
    Gates(Vec<String>),
}

impl Default for ForceRequest {
    fn default() -> Self {
        Self::All(false)
    }
}

/// Which switch a plan is for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanQuery {
    /// The colour; none: the one that is not live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Colour>,
}

/// An order that has nothing to say but why.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReasonRequest {
    /// For the record.
    pub reason: Option<String>,
}

/// Says what runs in a slice.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageRequest {
    /// The slice; none: the one that is not live.
    pub colour: Option<Colour>,
    /// What runs there.
    pub version: Option<String>,
    /// Even if the slice is the only rollback target.
    pub give_up_rollback: bool,
    /// Even if the slice is live: it was mended in place.
    pub hotfix: bool,
    /// For the record.
    pub reason: Option<String>,
}

/// Refuses switches from here on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// What whoever wants to switch is told.
    pub reason: String,
}

/// Holds new flows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// For so long.
    pub for_s: Seconds,
    /// For the record.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Moves the deadline of a drain, or ends it: one of the two.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainRequest {
    /// The deadline is so long from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_by_s: Option<Seconds>,
    /// The flows that are left get this fate: `reset` or `move`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Fate>,
    /// For the record.
    pub reason: Option<String>,
}

/// Puts a slice or one of its machines up or down, or back to what probes say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// The slice.
    pub colour: Colour,
    /// The machine; none: the whole slice.
    #[serde(default)]
    pub backend: Option<IpAddr>,
    /// What it shall be.
    pub state: State,
    /// For the record.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What an operator says of a slice or machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Up, whatever probes say.
    Up,
    /// Down, whatever probes say.
    Down,
    /// What probes say.
    Auto,
}

/// Leads a share of new flows to the colour that is not live.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryRequest {
    /// In 1/1000; 0 ends it.
    pub share_per_mille: u16,
    /// Gates to override.
    #[serde(default)]
    pub force: ForceRequest,
    /// For the record.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Leads clients elsewhere than to the live colour, or not any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// Where they come from.
    pub prefix: Prefix,
    /// `other`, `blue` or `green`; none: where all others go.
    #[serde(default)]
    pub to: Option<Aim>,
    /// For the record.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Tries out the way to the standby and back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrillRequest {
    /// How long the standby is live; none: 30 s.
    pub hold_s: Option<Seconds>,
    /// Gates to override.
    pub force: ForceRequest,
    /// For the record.
    pub reason: Option<String>,
}

/// What an order has changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Changed {
    /// Name of the deployment.
    pub deployment: String,
    /// Of the word.
    pub generation: u16,
    /// What is so from here on, in a sentence.
    pub what: String,
}

/// What a rollback has done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RolledBack {
    /// What was live before the last switch is live.
    Switched(Switched),
    /// A drill is over, or on its way home.
    Drill(Changed),
}

impl DrillRequest {
    /// How long the standby is live.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.hold_s.map_or(HOLD, |Seconds(time)| time)
    }
}
