//! The journal: what happened to the deployments, in order and chained by hashes, and what the machine has
//! to know again after a restart. One thread writes it to a SQLite file; whoever reads has a connection of
//! its own, and neither waits for the other. It must not know what an entry means.

mod chain;
mod clock;
mod connect;
mod missing;
pub mod offline;
mod open;
mod place;
mod reader;
mod refused;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

pub use chain::{Broken, Hash, Verification};
pub use reader::{LiveAt, Query, Reader, Then};
pub use row::Row;

use crate::model::record::{Memory, Record};
use crate::refusal::Refusal;
use clock::Stamp;
use missing::Missing;
use place::Place;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use writer::Job;

/// Entries that are kept; older ones are taken away.
pub const KEEP: u64 = 1_000_000;

/// Entries that may wait to be written.
const BACKLOG: usize = 1024;

/// Whoever opens a journal waits no longer for it; it is opened all the same.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// What is written in one piece.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// What happened. The name of its deployment is empty if it happened to none.
    pub record: Record,
    /// What is to be known of that deployment after a restart; `None` leaves it as it is.
    pub memory: Option<Memory>,
}

/// An entry that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its number. The first of a file is 1; they go up by one.
    pub seq: i64,
    /// Its hash, which covers all entries before it.
    pub hash: Hash,
    /// The journal had to be begun anew since the entry before: memories may be gone.
    pub rebuilt: Option<Rebuilt>,
}

/// A journal was begun anew. Its first entry, of kind `journal-rebuilt`, says so too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuilt {
    /// What was wrong with the file that was there.
    pub why: String,
    /// Where that file is; `None` if there was none.
    pub aside: Option<PathBuf>,
}

/// What a journal that is kept tells by itself: it works again, or works for the first time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct News {
    /// What it has written about itself, with the numbers: that it was begun anew, and how many entries are missing.
    /// What is remembered may be missing, too.
    pub entries: Vec<(i64, Record)>,
    /// What was found in it, if that took so long that [`Journal::open`] did not wait.
    pub late: Option<Late>,
}

/// What was found in a journal late.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Late {
    /// As in [`Opened`].
    pub memories: Vec<(String, Memory)>,
    /// As in [`Opened`].
    pub broken: Option<Broken>,
}

/// A journal and what was found in it.
#[derive(Debug)]
pub struct Opened {
    /// To write to.
    pub journal: Journal,
    /// Set if it was begun anew.
    pub rebuilt: Option<Rebuilt>,
    /// What is to be known of each deployment, by name. Those that could be saved from a bad file are here, too.
    pub memories: Vec<(String, Memory)>,
    /// The first of the newest entries, or of the memories, that is not what was written.
    pub broken: Option<Broken>,
    /// Why nothing can be written; it is tried again every other second.
    pub deaf: Option<Refusal>,
    /// Tells when that has changed.
    pub news: mpsc::UnboundedReceiver<News>,
}

/// The right to write to a journal, and the thread that does it. Dropped, it writes what waits and ends on
/// its own; [`Journal::close`] waits for that.
#[derive(Debug)]
pub struct Journal {
    place: Place,
    queue: mpsc::Sender<Job>,
    missing: Missing,
    ended: oneshot::Receiver<()>,
}

impl Journal {
    /// Opens the journal at `path`, or begins one there. A bad file is renamed to `<path>.bad-<unix time>`
    /// first; if nothing can be written, every append says why.
    pub async fn open(path: &Path) -> Opened {
        Self::open_keeping(path, KEEP).await
    }

    /// [`Journal::open`] with another number of entries that are kept, at least one.
    pub async fn open_keeping(path: &Path, keep: u64) -> Opened {
        Self::open_within(path, keep, OPEN_WITHIN).await
    }

    async fn open_within(path: &Path, keep: u64, within: Duration) -> Opened {
        let place = Place::new(path);
        let (queue, jobs) = mpsc::channel(BACKLOG);
        let (end, ended) = oneshot::channel();
        let (ready, found) = oneshot::channel();
        let (tell, news) = mpsc::unbounded_channel();
        let missing = Missing::default();
        let started = writer::start((place.clone(), keep.max(1)), missing.clone(), (jobs, tell), ready, end);
        let at = place.clone();
        let journal = Self { place, queue, missing, ended };
        let found = match started {
            Ok(()) => match tokio::time::timeout(within, found).await {
                Ok(found) => found.unwrap_or_else(|_| writer::Found::deaf(refused::ended(&at))),
                Err(_) => writer::Found::deaf(refused::slow(&at, within)),
            },
            Err(refusal) => writer::Found::deaf(refusal),
        };
        let writer::Found { rebuilt, memories, broken, deaf } = found;
        Opened { journal, rebuilt, memories, broken, deaf, news }
    }

    /// Writes `entry` behind all that were appended before, and calls `done` once it is written: on stable
    /// storage if it is to be `durable`, else safe from a crash of the process only. `done` must not block. It
    /// is called by the journal's thread, or, if too many entries wait, by this function itself.
    pub fn append_then(
        &self,
        entry: Entry,
        durable: bool,
        done: impl FnOnce(Result<Stored, Refusal>) + Send + 'static,
    ) {
        let job = Job { entry, stamp: Stamp::now(), durable, done: Box::new(done) };
        let (job, refusal) = match self.queue.try_send(job) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(job)) => (job, refused::behind(&self.place, BACKLOG)),
            Err(mpsc::error::TrySendError::Closed(job)) => (job, refused::ended(&self.place)),
        };
        self.missing.add(1, &refusal.what);
        (job.done)(Err(refusal));
    }

    /// [`Journal::append_then`] as a future. The entry is on its way when this returns, whether or not the
    /// future is polled.
    ///
    /// # Errors
    ///
    /// When the entry was not written: no space, no permission, a full queue. The refusal says what mends it.
    pub fn append(
        &self,
        entry: Entry,
        durable: bool,
    ) -> impl Future<Output = Result<Stored, Refusal>> + Send + use<> {
        let (reply, written) = oneshot::channel();
        self.append_then(entry, durable, move |stored| {
            // Whoever does not wait does not want to know.
            let _ = reply.send(stored);
        });
        let ended = refused::ended(&self.place);
        async move { written.await.unwrap_or(Err(ended)) }
    }

    /// A reader of this journal.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::at(self.place.clone())
    }

    /// Writes what waits, and gives the file back.
    pub async fn close(self) {
        let Self { place: _, queue, missing: _, ended } = self;
        drop(queue);
        // An error means that the thread has ended already.
        let _ = ended.await;
    }
}
