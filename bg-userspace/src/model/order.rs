//! What operators order, and how an order is answered.

use super::plan::{Plan, PlanId};
use super::policy::FateChoice;
use crate::prefix::Prefix;
use crate::refusal::Refusal;
use bg_common::{Aim, Colour};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Ties an answer to its order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OrderId(pub u64);

/// An order. Without a name it is for the only deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Name of the deployment.
    pub deployment: Option<String>,
    /// What to do.
    pub verb: Verb,
    /// Who wants it.
    pub actor: Actor,
    /// Why, for the record.
    pub reason: Option<String>,
}

/// Who does something.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Actor {
    /// `operator`, `bgd` (by itself) or `unknown` (somebody who wrote the word).
    pub who: Who,
    /// User id of the process that asked.
    pub uid: Option<u32>,
    /// Its process id.
    pub pid: Option<i32>,
    /// Name of the user.
    pub user: Option<String>,
    /// What it said it is, such as `bgctl 0.1.0`.
    pub client: Option<String>,
}

/// Kinds of actors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// Somebody at the control socket.
    Operator,
    /// The daemon by itself.
    #[default]
    Bgd,
    /// Somebody who wrote to the tables.
    Unknown,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Make a colour live.
    Switch(SwitchOrder),
    /// Make live who was live before the last switch.
    Rollback(RollbackOrder),
    /// Say what a switch would do; changes nothing.
    Plan {
        /// The colour; none: the one that is not live.
        to: Option<Colour>,
    },
    /// A switch that waits for its confirmation has it.
    Confirm,
    /// Another version runs in a slice.
    Stage {
        /// The slice; none: the one that is not live.
        colour: Option<Colour>,
        /// What runs there.
        version: Option<String>,
        /// Even if the slice is the only rollback target.
        give_up_rollback: bool,
        /// Even if the slice is live: it was mended in place.
        hotfix: bool,
    },
    /// Refuse switches from here on.
    Freeze,
    /// Allow them again.
    Unfreeze,
    /// Hold new flows for so long.
    Pause {
        /// At most an hour.
        time: Duration,
    },
    /// Let new flows go on.
    Resume,
    /// Move the deadline of a drain.
    DrainExtend {
        /// So long from here on.
        by: Duration,
    },
    /// End a drain: the flows that are left get this fate.
    DrainEnd {
        /// Not [`FateChoice::Keep`].
        fate: FateChoice,
    },
    /// Put a slice or backend up or down, or back to what probes say.
    Override {
        /// The slice.
        colour: Colour,
        /// The machine; none: the whole slice.
        backend: Option<IpAddr>,
        /// Up, down, or what probes say.
        state: Option<bool>,
    },
    /// Lead a share of new flows to the colour that is not live.
    Canary {
        /// In 1/1000; 0 ends it.
        share: u16,
        /// Gates to override, as in a switch.
        force: Force,
    },
    /// Lead clients elsewhere than to the live colour, or not any more.
    Preview {
        /// Which.
        prefix: Prefix,
        /// Where to; none: where all others go.
        to: Option<Aim>,
    },
    /// Switch to the standby and back, and measure both ways.
    Drill {
        /// How long the standby is live.
        hold: Duration,
        /// Gates to override, as in a switch.
        force: Force,
    },
}

/// The details of a switch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SwitchOrder {
    /// The colour; none: the one that is not live.
    pub to: Option<Colour>,
    /// Only if this plan still holds.
    pub plan: Option<PlanId>,
    /// Gates to override.
    pub force: Force,
    /// Goes back by itself unless confirmed within this time. `None`: as configured.
    pub confirm_within: Option<Duration>,
    /// Bake time; `None`: as configured; zero: none.
    pub bake: Option<Duration>,
    /// Fate of the old colour's flows; `None`: as configured.
    pub fate: Option<FateChoice>,
    /// A person has agreed.
    pub agreed: bool,
}

/// The details of a rollback.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RollbackOrder {
    /// Gates to override.
    pub force: Force,
    /// Fate of the flows of the side that is taken back; `None`: as configured.
    pub fate: Option<FateChoice>,
}

/// Gates that an order overrides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Force {
    /// None.
    #[default]
    Nothing,
    /// Those named.
    Gates(Vec<String>),
    /// All that can be.
    All,
}

/// A change of who is live that was carried out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Switched {
    /// Name of the deployment.
    pub deployment: String,
    /// Who was live before.
    pub from: Colour,
    /// Who is live.
    pub to: Colour,
    /// What ran there before.
    pub from_version: Option<String>,
    /// What runs there.
    pub to_version: Option<String>,
    /// Of the word that says so.
    pub generation: u16,
    /// Nanoseconds that the exchange took.
    pub took_ns: u64,
    /// `to` was live already; nothing was changed.
    pub already: bool,
    /// Open flows of the other colour at the last count.
    pub staying: Option<u64>,
    /// Seconds until it goes back by itself unless confirmed.
    pub confirm_within_s: Option<u64>,
    /// Seconds for which it is watched.
    pub bake_s: Option<u64>,
    /// What was known about it when it was answered.
    pub proof: Proof,
}

/// What the data plane and the probes say about a switch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Proof {
    /// Microseconds from the exchange to the first new flow on the new colour.
    pub first_new_us: Option<u64>,
    /// Microseconds from the exchange to the last new flow on the old colour: negative if it came before,
    /// which is as it should be.
    pub last_old_us: Option<i64>,
    /// That first new flow may have been one of bg's own probes through the VIP.
    #[serde(default)]
    pub first_new_is_probe: bool,
    /// That last new flow may have been one of bg's own probes.
    #[serde(default)]
    pub last_old_is_probe: bool,
    /// Whether a probe through the VIP was answered well, and by the new colour.
    pub vip: Option<bool>,
    /// What it said.
    pub vip_detail: Option<String>,
    /// Milliseconds from the order to this proof.
    pub took_ms: u64,
}

/// Figures of a drill.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Drilled {
    /// Whether both ways went well.
    pub passed: bool,
    /// Why not.
    pub why: Option<String>,
    /// The way to the standby.
    pub there: Option<Switched>,
    /// The way back.
    pub back: Option<Switched>,
    /// Milliseconds for which the standby was live.
    pub held_ms: u64,
}

/// What an order has done.
#[derive(Clone, PartialEq, Debug)]
pub enum Done {
    /// Live has changed, or was as wanted.
    Switched(Switched),
    /// What a switch would do.
    Plan(Box<Plan>),
    /// Anything else: what is so from here on, in a sentence, for people.
    Changed {
        /// Name of the deployment.
        deployment: String,
        /// Of the word.
        generation: u16,
        /// The sentence.
        what: String,
    },
    /// A drill has ended.
    Drilled(Box<Drilled>),
}

/// How an order is answered.
pub type Answer = Result<Done, Refusal>;

impl Verb {
    /// As typed.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Switch(_) => "switch",
            Self::Rollback(_) => "rollback",
            Self::Plan { .. } => "plan",
            Self::Confirm => "confirm",
            Self::Stage { .. } => "stage",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::DrainExtend { .. } | Self::DrainEnd { .. } => "drain",
            Self::Override { .. } => "health",
            Self::Canary { .. } => "canary",
            Self::Preview { .. } => "preview",
            Self::Drill { .. } => "drill",
        }
    }
}
