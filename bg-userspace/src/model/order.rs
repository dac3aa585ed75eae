//! What operators order, and how an order is answered.

use crate::refusal::Refusal;
use bg_common::Colour;
use std::time::Duration;

/// Ties an answer to its order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OrderId(pub u64);

/// An order. Without a name it is for the only deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Make a colour live.
    Switch {
        /// Name of the deployment.
        deployment: Option<String>,
        /// The colour; none: the one that is not live.
        to: Option<Colour>,
    },
    /// Make live who was live before the last switch.
    Rollback {
        /// Name of the deployment.
        deployment: Option<String>,
    },
}

/// An order that was carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Switched {
    /// Name of the deployment.
    pub deployment: String,
    /// Who was live before.
    pub from: Colour,
    /// Who is live.
    pub to: Colour,
    /// Of the word that says so.
    pub generation: u16,
    /// Duration of the exchange.
    pub took: Duration,
    /// `to` was live already; nothing was changed.
    pub already: bool,
    /// Open flows of the other colour at the last count.
    pub staying: Option<u64>,
}

/// How an order is answered.
pub type Answer = Result<Switched, Refusal>;

impl Order {
    /// The name that was given.
    #[must_use]
    pub fn deployment(&self) -> Option<&str> {
        match self {
            Self::Switch { deployment, .. } | Self::Rollback { deployment } => deployment.as_deref(),
        }
    }
}
