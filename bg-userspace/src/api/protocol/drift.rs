//! The four truths side by side: what is configured, what was ordered, what is observed, and what the
//! kernel has.

use serde::{Deserialize, Serialize};

/// Whose truths.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftQuery {
    /// Only of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
}

/// The truths about all deployments.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Drift {
    /// Whether any differ.
    pub differs: bool,
    /// In the order of their names.
    pub deployments: Vec<DeploymentDrift>,
}

/// The truths about one deployment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeploymentDrift {
    /// Its name.
    pub name: String,
    /// One row for each matter.
    pub rows: Vec<Truths>,
}

/// What is said of one matter. A truth that has nothing to say about it is missing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Truths {
    /// The matter: `live`, `generation`, `backends of blue`.
    pub about: String,
    /// What is configured.
    pub intent: Option<String>,
    /// What operators have ordered, as it is remembered.
    pub admin: Option<String>,
    /// What probes and real traffic show.
    pub observed: Option<String>,
    /// What the kernel's tables hold.
    pub kernel: Option<String>,
    /// Whether they contradict each other.
    pub differs: bool,
    /// What that means, in a sentence.
    pub why: Option<String>,
    /// What mends it.
    pub mend: Option<String>,
}
