//! What probes and real traffic say.

use super::{ByColour, Override, PassiveVerdict, ProbeVerdict, SliceStatus};
use bg_common::Colour;
use serde::{Deserialize, Serialize};

/// Whose health.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthQuery {
    /// Only of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
}

/// What probes and real traffic say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Health {
    /// In the order of their names.
    pub deployments: Vec<DeploymentHealth>,
}

/// What they say of one deployment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeploymentHealth {
    /// Its name.
    pub name: String,
    /// Who is live.
    pub live: Colour,
    /// The slices.
    pub slices: ByColour<SliceStatus>,
    /// What each probe says of each target.
    pub probes: Vec<ProbeVerdict>,
    /// What real traffic says.
    pub passive: ByColour<Option<PassiveVerdict>>,
    /// What operators have put up or down, whatever probes say.
    #[serde(default)]
    pub overrides: Vec<Override>,
}
