//! Where the past and the present are told: the journal, and the events. The server knows them by these
//! traits only.

use super::protocol::{History, HistoryQuery, Remembered, Verified};
use crate::refusal::Refusal;
use std::pin::Pin;
use std::sync::Arc;

/// An answer that takes its time.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What happened.
pub trait Archive: Send + Sync {
    /// The entries of `query`, the oldest first: of all that match the newest [`HistoryQuery::wanted`].
    fn history(&self, query: HistoryQuery) -> Answering<'_, Result<History, Refusal>>;

    /// Whether it is whole.
    fn verify(&self) -> Answering<'_, Result<Verified, Refusal>>;

    /// How each deployment stood at `time`, Unix time in seconds.
    fn at(&self, time: u64) -> Answering<'_, Result<Remembered, Refusal>>;
}

/// What happens.
pub trait Feed: Send + Sync {
    /// Follows it from here on.
    fn subscribe(&self) -> Box<dyn Follow>;
}

/// Somebody who follows what happens.
pub trait Follow: Send {
    /// The next [`Entry`](super::protocol::Entry) as a line of JSON with its newline, or
    /// `{"kind":"lagged","lost":N}` in place of lines that came too fast; none at the end. Nothing is lost when
    /// it is given up half-way.
    fn next(&mut self) -> Answering<'_, Option<Arc<str>>>;
}

/// There is no journal.
#[derive(Clone, Copy, Debug)]
pub struct NoArchive;

/// There are no events.
#[derive(Clone, Copy, Debug)]
pub struct NoFeed;

impl Archive for NoArchive {
    fn history(&self, _: HistoryQuery) -> Answering<'_, Result<History, Refusal>> {
        Box::pin(async { Err(no_journal()) })
    }

    fn verify(&self) -> Answering<'_, Result<Verified, Refusal>> {
        Box::pin(async { Err(no_journal()) })
    }

    fn at(&self, _: u64) -> Answering<'_, Result<Remembered, Refusal>> {
        Box::pin(async { Err(no_journal()) })
    }
}

impl Feed for NoFeed {
    fn subscribe(&self) -> Box<dyn Follow> {
        Box::new(*self)
    }
}

impl Follow for NoFeed {
    fn next(&mut self) -> Answering<'_, Option<Arc<str>>> {
        Box::pin(std::future::pending())
    }
}

fn no_journal() -> Refusal {
    Refusal::new("no-journal", "there is no journal", "bgd", "see `journalctl -u bgd` for why it keeps none")
}
