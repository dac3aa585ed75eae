//! What goes into the machine and what comes out of it.

use super::Moment;
use super::order::{Answer, Order, OrderId, Switched};
use crate::refusal::Refusal;
use bg_common::{Colour, Word};
use std::time::Duration;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The words of all deployments were read.
    Words(Vec<(String, Word)>),
    /// An operator ordered something.
    Order {
        /// Returns with the answer.
        id: OrderId,
        /// What.
        order: Order,
    },
    /// An exchange that was asked for has ended.
    Exchanged {
        /// Whose word it was.
        deployment: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// The flows were counted.
    Swept {
        /// When the count began.
        began: Moment,
        /// For each deployment, open flows of `[blue, green]`.
        open: Vec<(String, [u64; 2])>,
    },
}

/// How an exchange ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The new word is there.
    Done {
        /// Duration of the exchange.
        took: Duration,
    },
    /// Another word than expected was there, and still is.
    Lost {
        /// That word.
        actual: Word,
    },
    /// It could not be tried.
    Failed(Refusal),
}

/// What shall be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Replace the word if it is as expected, and tell how that ended.
    Exchange {
        /// Whose word.
        deployment: String,
        /// What must be there.
        expected: Word,
        /// What shall be there.
        new: Word,
    },
    /// Answer an order.
    Answer {
        /// Which.
        id: OrderId,
        /// How.
        answer: Box<Answer>,
    },
    /// Remember what happened.
    Record(Record),
}

/// What is worth remembering.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// An order has changed who is live.
    Switched(Switched),
    /// The last flow of a colour has ended.
    Drained {
        /// Where.
        deployment: String,
        /// The colour.
        colour: Colour,
        /// Of the word that says so.
        generation: u16,
    },
    /// Somebody else has changed the word.
    Drift {
        /// Where.
        deployment: String,
        /// As last seen.
        seen: Word,
        /// As it is.
        actual: Word,
    },
}
