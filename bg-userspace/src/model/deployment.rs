//! One deployment: its word as last seen, the change that is under way, and how far a drain has come.

use super::Moment;
use super::order::{Done, Order, OrderId, Proof, SwitchOrder, Switched, Verb};
use crate::refusal::Refusal;
use bg_common::{Colour, Fate, Word};
use std::collections::VecDeque;
use std::time::Duration;

/// A drain is over at the earliest so long after the switch: packets that were decided just before it
/// have made their pins by then.
const DRAIN_AT_LEAST: Duration = Duration::from_secs(2);

/// A drain is over when so many sweeps in a row have seen no open flow.
const EMPTY_SWEEPS: u32 = 2;

/// An exchange that is lost so often is refused.
const TRIES: u32 = 8;

/// A deployment as the model knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployment {
    word: Word,
    drain: Option<Drain>,
    open: Option<[u64; 2]>,
    change: Option<Change>,
    waiting: VecDeque<(OrderId, Order)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Drain {
    since: Moment,
    empty: u32,
}

/// A change that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Why.
    pub cause: Cause,
    /// The word that must be there.
    pub expected: Word,
    /// The word that shall be there.
    pub new: Word,
    tries: u32,
}

/// Why a word changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// An order to make `to` live.
    Order {
        /// Which order.
        id: OrderId,
        /// The colour.
        to: Colour,
        /// The order named the colour, so it is fulfilled if somebody else has made it live.
        named: bool,
    },
    /// The last flow of the other colour has ended.
    Drained,
}

/// What follows from an order or a lost exchange.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Try to put this word there.
    Exchange(Change),
    /// The order is answered.
    Answer(OrderId, Result<Done, Refusal>),
    /// Nothing.
    Rest,
}

impl Deployment {
    /// A deployment whose word was just read.
    #[must_use]
    pub fn new(word: Word, now: Moment) -> Self {
        let mut new = Self { word, drain: None, open: None, change: None, waiting: VecDeque::new() };
        new.follow(word, now);
        new
    }

    /// The word as last seen.
    #[must_use]
    pub fn word(&self) -> Word {
        self.word
    }

    /// Open flows of `[blue, green]` at the last count.
    #[must_use]
    pub fn open(&self) -> Option<[u64; 2]> {
        self.open
    }

    /// The change that is under way.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        self.change
    }

    /// Takes over a word that was read or written.
    pub fn follow(&mut self, word: Word, now: Moment) {
        let drain = self.drain.filter(|_| word == self.word).unwrap_or(Drain { since: now, empty: 0 });
        self.drain = word.draining().then_some(drain);
        self.word = word;
    }

    /// Keeps an order until the change that is under way has ended.
    pub fn wait(&mut self, id: OrderId, order: Order) {
        self.waiting.push_back((id, order));
    }

    /// The next order that waits.
    pub fn next_waiting(&mut self) -> Option<(OrderId, Order)> {
        self.waiting.pop_front()
    }

    /// Ends the change that is under way.
    pub fn end_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// Begins what `order` asks for.
    pub fn begin(&mut self, name: &str, id: OrderId, order: &Order) -> Next {
        let live = self.word.live();
        let (to, named) = match &order.verb {
            Verb::Switch(SwitchOrder { to: Some(to), .. }) => (*to, true),
            Verb::Switch(_) => (live.other(), false),
            Verb::Rollback(_) if self.word.generation() == 0 => {
                let refusal = Refusal::new(
                    "nothing-to-roll-back",
                    format!("{name} was never switched, so there is nothing to go back to"),
                    format!("deployment {name}, {live} live"),
                    format!("bgctl switch {name} --to {}", live.other()),
                );
                return Next::Answer(id, Err(refusal));
            }
            Verb::Rollback(_) => (live.other(), false),
            other => {
                let what = format!("{} is not possible yet", other.name());
                let at = format!("deployment {name}");
                return Next::Answer(id, Err(Refusal::new("unsupported", what, at, "bgctl --help")));
            }
        };
        self.attempt(name, Cause::Order { id, to, named }, 0)
    }

    /// Takes notice of a sweep that began at `began`; perhaps the drain is over.
    pub fn swept(&mut self, name: &str, open: [u64; 2], began: Moment, now: Moment) -> Next {
        self.open = Some(open);
        let old = self.word.live().other();
        let Some(drain) = self.drain.as_mut().filter(|drain| began >= drain.since) else { return Next::Rest };
        let [blue, green] = open;
        let left = if old == Colour::Blue { blue } else { green };
        drain.empty = if left == 0 { drain.empty + 1 } else { 0 };
        let over = drain.empty >= EMPTY_SWEEPS && now.since(drain.since) >= DRAIN_AT_LEAST;
        if over && self.change.is_none() { self.attempt(name, Cause::Drained, 0) } else { Next::Rest }
    }

    /// Goes on after `lost` was overtaken by another writer, whose word was followed already.
    pub fn retry(&mut self, name: &str, lost: Change, now_live: Colour) -> Next {
        let Cause::Order { id, to, named } = lost.cause else { return Next::Rest };
        let refuse = |code, what, mend| {
            let at = format!("deployment {name}, generation {}", self.word.generation());
            Next::Answer(id, Err(Refusal::new(code, what, at, mend)))
        };
        if now_live != lost.expected.live() && !named {
            let what = format!("somebody else made {now_live} live in {name} while this order was under way");
            return refuse(
                "changed-meanwhile",
                what,
                "see `bgctl status`, then order again with --to COLOUR",
            );
        }
        if lost.tries + 1 >= TRIES {
            let what = format!("the word of {name} keeps changing under the order");
            return refuse("contended", what, "find out who else switches it, then order again");
        }
        self.attempt(name, Cause::Order { id, to, named }, lost.tries + 1)
    }

    /// Open flows of the colour that is not `live`.
    #[must_use]
    pub fn staying(&self, live: Colour) -> Option<u64> {
        let [blue, green] = self.open?;
        Some(if live == Colour::Blue { green } else { blue })
    }

    fn attempt(&mut self, name: &str, cause: Cause, tries: u32) -> Next {
        let expected = self.word;
        let new = match cause {
            Cause::Order { id, to, .. } if expected.live() == to => {
                let answer = Switched {
                    deployment: name.to_owned(),
                    from: to,
                    to,
                    from_version: None,
                    to_version: None,
                    generation: expected.generation(),
                    took_ns: 0,
                    already: true,
                    staying: self.staying(to),
                    confirm_within_s: None,
                    bake_s: None,
                    proof: Proof::default(),
                };
                return Next::Answer(id, Ok(Done::Switched(answer)));
            }
            Cause::Order { to, .. } => expected.switched(to, Fate::Keep, None),
            Cause::Drained => expected.drained(),
        };
        match (new, cause) {
            (Ok(new), _) => {
                let change = Change { cause, expected, new, tries };
                self.change = Some(change);
                Next::Exchange(change)
            }
            (Err(why), Cause::Order { id, .. }) => {
                let what = format!("the word of {name} makes no sense: {why}");
                let at = format!("deployment {name}, word {:#018x}", expected.bits());
                let mend =
                    "another version of bg wrote it: use that version, or start anew with `bgctl detach`";
                Next::Answer(id, Err(Refusal::new("broken-word", what, at, mend)))
            }
            (Err(_), Cause::Drained) => Next::Rest,
        }
    }
}
