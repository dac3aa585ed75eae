//! What the machine has to know again after a restart: the journal keeps it beside its entries. Fields are added,
//! never renamed or taken away: old journals are read by new versions.

use super::Moment;
use super::order::Switched;
use super::record::Cause;
use crate::prefix::Prefix;
use bg_common::{Aim, Colour, Word};
use serde::{Deserialize, Serialize};

/// What the machine has to know again after a restart. The journal keeps the newest of each deployment
/// beside its entries; the word in the kernel goes before it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The word as last seen, as bits.
    pub word: u64,
    /// What `[blue, green]` run.
    pub slices: [SliceMemory; 2],
    /// Who would be live again by a rollback.
    pub rollback: Option<RollbackTarget>,
    /// Why switches are refused.
    pub frozen: Option<Freeze>,
    /// What operators have put up or down.
    pub overrides: Vec<Override>,
    /// Which clients operators lead elsewhere than to the live colour.
    pub previews: Vec<(Prefix, Aim)>,
    /// The canary leads to a side that was not healthy when it was ordered: that does not end it.
    pub canary_forced: bool,
    /// The exchange that was about to be made.
    pub pending: Option<Pending>,
    /// The switch that is being watched.
    pub watch: Option<WatchMemory>,
    /// When the flows that are left of a drain get their fate: CLOCK_MONOTONIC of `boot`.
    pub drain_until: Option<(Moment, String)>,
    /// Which boot of the machine this was: `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// Unix time in seconds of the last drill that ended well or not.
    pub drilled: Option<u64>,
    /// Backends that got no new flows.
    pub down: Vec<super::event::Down>,
    /// Whether `[blue, green]` were healthy.
    pub healthy: [Option<bool>; 2],
    /// The last change of who is live, and the Unix time of it in seconds.
    pub last: Option<(Switched, u64)>,
    /// Generation of the last change that a plan has to know of.
    pub material: Option<u16>,
}

impl Memory {
    /// The word as last seen.
    #[must_use]
    pub const fn word(&self) -> Word {
        Word::from_bits(self.word)
    }

    /// Whether a drill was under way.
    pub(super) fn is_drill(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.cause == Cause::Drill)
            || self.pending.as_ref().is_some_and(|pending| pending.cause == Cause::Drill)
    }

    /// The word that a machine begins with after a reboot, which has emptied the tables: nothing drains, a
    /// switch that was never confirmed has gone back, and what was being left because it fails is left.
    #[must_use]
    pub fn after_reboot(&self) -> Word {
        let word = self.word();
        let reverts = word.unpack().is_ok_and(|fields| fields.revert_at_deadline);
        let live = match (&self.watch, &self.pending) {
            (_, Some(pending)) if pending.leaves_trouble() => Word::from_bits(pending.new).live(),
            (Some(watch), _) if watch.cause == Cause::Drill => watch.from,
            _ if reverts => word.live().other(),
            _ => word.live(),
        };
        let fields = bg_common::word::Fields {
            live,
            draining: false,
            paused: false,
            preview: word.has_previews(),
            fate: bg_common::word::Fate::Keep,
            revert_at_deadline: false,
            resume_at_deadline: false,
            canary: 0,
            generation: word.generation(),
            deadline: 0,
        };
        fields.pack().and_then(|word| word.change(|_| {})).unwrap_or(Word::initial(live))
    }
}

/// What runs in a slice.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SliceMemory {
    /// As named by `bgctl stage`.
    pub version: Option<String>,
    /// Counts stagings.
    pub identity: u64,
}

/// The side that was live before the last switch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RollbackTarget {
    /// Its colour.
    pub colour: Colour,
    /// Its identity at that time.
    pub identity: u64,
    /// Its version at that time.
    pub version: Option<String>,
    /// Unix time in seconds of that switch.
    pub since: u64,
}

/// Why switches are refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Freeze {
    /// In a sentence.
    pub why: String,
    /// Unix time in seconds.
    pub since: u64,
    /// Whether bg did it itself, after it had to act.
    pub automatic: bool,
}

/// What an operator says of a slice or backend, whatever probes say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Override {
    /// Of the slice.
    pub colour: Colour,
    /// The machine; none: the whole slice.
    pub backend: Option<std::net::IpAddr>,
    /// Up or down.
    pub up: bool,
}

/// An exchange that was about to be made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pending {
    /// Why.
    pub cause: Cause,
    /// The word that must be there.
    pub expected: u64,
    /// The word that shall be there.
    pub new: u64,
    /// How long it was to be watched.
    #[serde(default)]
    pub bake: Option<std::time::Duration>,
    /// Gates that were overridden for it.
    #[serde(default)]
    pub overridden: Vec<String>,
}

impl Pending {
    /// Whether it leaves a side that fails or was given up, and is made whatever else happens.
    pub(super) fn leaves_trouble(&self) -> bool {
        matches!(self.cause, Cause::Rollback | Cause::AutoRollback | Cause::FailOver)
    }
}

/// A switch that is being watched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WatchMemory {
    /// Why live was changed.
    pub cause: Cause,
    /// Who was live before.
    pub from: Colour,
    /// When the word was changed, in CLOCK_MONOTONIC.
    pub since: Moment,
    /// When the bake time ends.
    pub bake_until: Option<Moment>,
    /// When the word itself goes back unless confirmed.
    pub confirm_until: Option<Moment>,
}
