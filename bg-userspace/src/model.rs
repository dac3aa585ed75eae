//! The pure core: what the deployments are, what was ordered, and what follows. It names no runtime,
//! no IO and no clock; time comes in as an argument, effects come out as values.

pub mod deployment;
pub mod event;
pub mod machine;
pub mod order;
pub mod plan;
pub mod policy;
pub mod record;

pub use event::{Effect, Event, Outcome, Record};
pub use machine::Machine;
pub use order::{Order, OrderId, Switched};

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A point in time on CLOCK_MONOTONIC, which the programs read, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub Duration);

impl Moment {
    /// Time since `earlier`; none if that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
