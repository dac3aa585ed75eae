//! What is worth remembering and telling: the bodies of the journal, of events, webhooks and hooks.
//! Fields are added, never renamed or taken away: old journals are read by new versions.

pub use super::memory::{Freeze, Memory, Override, Pending, RollbackTarget, SliceMemory, WatchMemory};
use super::order::{Actor, Drilled, Switched};
use super::policy::Target;
use crate::prefix::Prefix;
use bg_common::{Aim, Colour};
use serde::{Deserialize, Serialize};

/// Something that happened to a deployment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Name of the deployment.
    pub deployment: String,
    /// Who is live after it.
    pub live: Colour,
    /// Of the word after it.
    pub generation: u16,
    /// Role and version of each slice after it.
    pub slices: [SliceIdentity; 2],
    /// Who caused it.
    pub actor: Actor,
    /// Why, in the words of whoever caused it.
    pub reason: Option<String>,
    /// Milliseconds since it took effect, where nobody could tell of it at once: the programs went back at a
    /// deadline while no daemon was there. The time of the entry is that of the effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ms: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What a slice is and runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SliceIdentity {
    /// Its colour.
    pub colour: Colour,
    /// Its role.
    pub role: Role,
    /// What runs there, by `bgctl stage --version`.
    pub version: Option<String>,
    /// Counts what was staged there; two versions of one name are told apart by it.
    pub identity: u64,
    /// Whether it is healthy, if anything says so.
    pub healthy: Option<bool>,
}

/// What a slice is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It gets the new flows.
    Live,
    /// The previous version, kept hot: the rollback target.
    Standby,
    /// The next version being prepared, or one that was taken back.
    Staging,
}

impl Role {
    /// Lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Standby => "standby",
            Self::Staging => "staging",
        }
    }
}

/// Why live changed without an order of the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// An operator's `switch`.
    Switch,
    /// An operator's `rollback`.
    Rollback,
    /// The new side failed while it was watched.
    AutoRollback,
    /// Nobody confirmed in time.
    Unconfirmed,
    /// The live slice had no healthy backend.
    FailOver,
    /// A drill, on the way there or back.
    Drill,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields are explained by their variants and by the types they hold")]
pub enum What {
    /// The daemon took over this deployment; `found` tells what it met: `new`, `as-remembered`, `after-reboot`, `came-back`,
    /// `changed-while-away`, `exchange-completed`, `exchange-not-made`, `went-back-while-away`, `remembered-late`,
    /// `journal-rebuilt`.
    Started {
        found: String,
        word: u64,
    },
    /// Live is about to change. Written before the word is exchanged.
    About {
        cause: Cause,
        from: Colour,
        to: Colour,
        expected: u64,
        new: u64,
        overridden: Vec<String>,
    },
    /// Live has changed.
    Switched {
        cause: Cause,
        switched: Switched,
        overridden: Vec<String>,
    },
    /// Live was about to change, and did not.
    NotSwitched {
        cause: Cause,
        to: Colour,
        why: String,
    },
    /// An order was refused, by which gates.
    Refused {
        order: String,
        gates: Vec<String>,
        why: String,
    },
    /// A switch was watched for its whole bake time and the new side stayed healthy.
    Baked {
        seconds: u64,
    },
    /// A switch was confirmed.
    Confirmed,
    /// What the data plane and the probes prove about a switch, once it is known.
    Proved {
        proof: super::order::Proof,
    },
    /// The last flow of a colour has ended.
    Drained {
        colour: Colour,
    },
    /// The drain's remaining flows get another fate: at the deadline, or by order.
    DrainEnded {
        colour: Colour,
        fate: String,
        left: Option<u64>,
    },
    /// The drain's deadline was moved; seconds from the time of the record.
    DrainExtended {
        seconds: u64,
    },
    /// A slice got another version.
    Staged {
        colour: Colour,
        version: Option<String>,
        gave_up_rollback: bool,
        hotfix: bool,
    },
    /// Switches are refused until `unfreeze`.
    Frozen {
        why: String,
    },
    Unfrozen,
    /// New flows are held; seconds from the time of the record.
    Paused {
        seconds: u64,
    },
    Resumed {
        by_deadline: bool,
    },
    /// Another share of new flows goes to the colour that is not live, in 1/1000; 0: none.
    Canary {
        colour: Colour,
        share: u16,
        was: u16,
        overridden: Vec<String>,
    },
    /// Preview rules have changed: `added`, `removed`, or `begun` and `ended` where the configuration's rules are the
    /// first or the last.
    Preview {
        change: String,
        prefix: Option<Prefix>,
        to: Option<Aim>,
    },
    /// A probe's target has changed its verdict.
    Probe {
        probe: String,
        target: TargetName,
        up: bool,
        why: Option<String>,
    },
    /// A slice has changed its verdict.
    Slice {
        colour: Colour,
        healthy: bool,
        why: String,
    },
    /// An operator has put a slice or backend up or down, or back to what probes say.
    Override {
        colour: Colour,
        backend: Option<std::net::IpAddr>,
        state: String,
    },
    /// Somebody else has changed the word.
    Drift {
        seen: u64,
        actual: u64,
        actual_live: Colour,
    },
    /// The word makes no sense; it was left as it is.
    BrokenWord {
        word: u64,
        why: String,
    },
    /// A drill has ended, well or not.
    Drilled {
        drilled: Box<Drilled>,
    },
    /// A hook was run; `output` is cut.
    Hook {
        hook: String,
        phase: String,
        ok: bool,
        output: String,
        millis: u64,
    },
    /// Entries were lost, since Unix time `since`: they could not be written, or were taken away.
    JournalGap {
        lost: u64,
        since: u64,
        why: String,
    },
    /// The journal was opened anew, because the file was missing, corrupt or of another version.
    JournalRebuilt {
        why: String,
        aside: Option<String>,
    },
}

/// A probe's target, for people and programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TargetName {
    /// `backend`, `slice` or `vip`.
    pub of: String,
    /// Of the slice.
    pub colour: Option<Colour>,
    /// Of the machine.
    pub address: Option<std::net::IpAddr>,
}

impl From<Target> for TargetName {
    fn from(target: Target) -> Self {
        let (of, colour, address) = match target {
            Target::Backend(colour, address) => ("backend", Some(colour), Some(address)),
            Target::Slice(colour) => ("slice", Some(colour), None),
            Target::Vip => ("vip", None, None),
        };
        Self { of: of.to_owned(), colour, address }
    }
}
