//! The pure core: what the deployments are, what was ordered, and what follows. It names no runtime,
//! no IO and no clock; time comes in as an argument, effects come out as values.

mod admin;
mod adopt;
mod before;
pub mod canary;
mod change;
mod check;
pub mod deployment;
mod drain;
mod drill;
pub mod event;
mod gates;
mod health;
pub mod machine;
mod made;
mod memory;
mod onward;
pub mod order;
mod orders;
mod passive;
pub mod plan;
pub mod policy;
mod preview;
mod proof;
pub mod record;
mod restore;
mod rings;
mod verdict;
pub mod view;
mod watch;
mod word;

pub use before::HOOKS_WITHIN;
pub use event::{Effect, Event, Now, Outcome};
pub use machine::Machine;
pub use order::{Order, OrderId, Switched};
pub use record::Record;

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

    /// The moment so much later.
    #[must_use]
    pub(in crate::model) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}
