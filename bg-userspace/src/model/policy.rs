//! How a deployment wants to be treated: what its configuration says about probes, gates, bake time,
//! drains and failures. Plain values; `config` makes them, the machine obeys them.

pub use bg_common::PinnedFlows as DeadFlows;
pub use bg_common::word::Fate as FateChoice;

use crate::prefix::Prefix;
use bg_common::{Aim, Colour};
use std::net::IpAddr;
use std::time::Duration;

/// Everything that the machine has to know about one deployment, besides its word.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// The addresses of `[blue, green]`.
    pub slices: [Vec<IpAddr>; 2],
    /// What happens to flows of the old colour at a switch, unless the order says otherwise.
    pub fate: FateChoice,
    /// When the remaining flows of a drain get another fate, and which.
    pub drain_limit: Option<DrainLimit>,
    /// How long a switch is watched, and taken back if the new side fails.
    pub bake: Option<Duration>,
    /// Whether each switch goes back by itself unless it is confirmed within this time.
    pub confirm_within: Option<Duration>,
    /// Whether a person has to agree to each switch.
    pub ask: bool,
    /// What happens when the live slice is not healthy.
    pub no_backend: NoBackend,
    /// What happens to flows that are pinned to a backend which has failed.
    pub dead_flows: DeadFlows,
    /// Share of a probe's targets that must be up for the slice to be healthy, in percent, and the lower
    /// share below which a healthy slice is unhealthy again.
    pub quorum: Quorum,
    /// When a slice counts as flapping.
    pub flap: Flap,
    /// When real traffic speaks against a slice.
    pub passive: Option<Passive>,
    /// How long the previous version is promised to be kept after a switch.
    pub standby_for: Option<Duration>,
    /// How often the way to the standby and back is tried out.
    pub drill: Option<DrillSchedule>,
    /// Probes of the slices.
    pub probes: Vec<ProbePolicy>,
    /// Whether there are hooks that must agree before a switch.
    pub gating_hooks: bool,
    /// Whether there are hooks that are asked during the bake time.
    pub watching_hooks: bool,
    /// Which clients are led elsewhere than to the live colour; orders add others.
    pub previews: Vec<(Prefix, Aim)>,
    /// Where bg's own probes through the VIPs come from: no rule leads them elsewhere.
    pub probe_addresses: Vec<IpAddr>,
    /// Machines of weight 0: they get no new flows, whatever probes say.
    pub drained: Vec<IpAddr>,
    /// Whether flows of some service leave at a switch, although the deployment's stay.
    pub leaves: bool,
}

/// The end of a drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainLimit {
    /// So long after the switch.
    pub after: Duration,
    /// The flows that are left get this fate.
    pub fate: FateChoice,
}

/// What happens when no backend of the live slice is healthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NoBackend {
    /// New flows go on to the backends that were there last.
    #[default]
    Stay,
    /// The standby becomes live if it is healthy; there is no automatic way back.
    FailOver,
    /// New flows are refused: TCP by reset.
    Refuse,
}

/// Hysteresis of a slice, in percent of the targets of each probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quorum {
    /// From this share on an unhealthy slice is healthy.
    pub up: u8,
    /// Below this share a healthy slice is unhealthy; at most `up`.
    pub down: u8,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { up: 100, down: 51 }
    }
}

/// A target whose answers change between good and bad so often counts as down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flap {
    /// So many changes of its answers
    pub changes: u32,
    /// within so long.
    pub within: Duration,
}

impl Default for Flap {
    fn default() -> Self {
        Self { changes: 10, within: Duration::from_secs(300) }
    }
}

/// Limits for what the data plane counts of real flows. Shares are in percent of the handshakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passive {
    /// Over which time.
    pub window: Duration,
    /// Fewer handshakes in the window tell nothing.
    pub least: u64,
    /// Most handshakes without an answer.
    pub unanswered: u8,
    /// Most handshakes that the backend refused.
    pub refused: u8,
    /// Most flows that the backend reset after it had answered.
    pub resets: u8,
}

/// A drill that runs by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrillSchedule {
    /// Time between two drills.
    pub every: Duration,
    /// How long the standby is live.
    pub hold: Duration,
}

/// Of a probe what the machine has to know. How it asks is the prober's business.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbePolicy {
    /// Its name, unique within the deployment.
    pub name: String,
    /// The service whose backends it speaks for; none: the whole machine, or slice.
    pub service: Option<String>,
    /// What it asks.
    pub level: Level,
    /// So many successes in a row make a target up.
    pub rise: u32,
    /// So many failures in a row make it down.
    pub fall: u32,
    /// What a target is before it was asked.
    pub start_up: bool,
    /// Whether it also goes through the VIP, from the client's side.
    pub vip: bool,
}

/// What one probe asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Each address of a slice.
    Backend,
    /// The slice as a whole: a command.
    Slice,
}

/// Whom one answer of a probe speaks about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Target {
    /// One machine of a slice.
    Backend(Colour, IpAddr),
    /// A slice as a whole.
    Slice(Colour),
    /// Whoever serves the VIP.
    Vip,
}

/// What came of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It answered as it should.
    Good {
        /// Through the VIP: the colour that answered, as the data plane's pin says.
        answered: Option<Colour>,
    },
    /// It did not, and why: a short text of what was wanted and what came.
    Bad {
        /// Why.
        why: String,
        /// As in [`Finding::Good`], if anybody answered at all.
        answered: Option<Colour>,
    },
}
