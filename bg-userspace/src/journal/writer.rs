//! The thread that writes. What waits is written in one transaction; when the file cannot be used, every
//! entry is refused, and opening is tried again with a later one.

use super::chain::{self, Broken, Ends, Hash, Link};
use super::clock::{self, Stamp};
use super::missing::Missing;
use super::open::{self, Look, Open};
use super::place::{Lock, Place};
use super::refused::{self, Trouble};
use super::row::Draft;
use super::{Entry, Late, News, Rebuilt, Stored};
use crate::model::record::Memory;
use crate::refusal::Refusal;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Entries written in one transaction.
const BATCH: usize = 256;

/// Entries beyond what is kept that are taken away with one transaction, besides as many as were added.
const SHED: u64 = 512;

/// How long opening is not tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long it is not tried again to write what is owed: it must be longer than that.
const RETRY: Duration = Duration::from_secs(2);

/// How long whoever keeps the journal gets to finish: a command that adds one entry.
const PATIENCE: Duration = Duration::from_secs(1);

/// An entry that is to be written.
pub(super) struct Job {
    pub(super) entry: Entry,
    pub(super) stamp: Stamp,
    pub(super) durable: bool,
    pub(super) done: Box<dyn FnOnce(Result<Stored, Refusal>) + Send>,
}

/// What was found when the journal was opened for the first time.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rebuilt: Option<Rebuilt>,
    pub(super) memories: Vec<(String, Memory)>,
    pub(super) broken: Option<Broken>,
    pub(super) deaf: Option<Refusal>,
}

impl Found {
    pub(super) fn deaf(refusal: Refusal) -> Self {
        Self { deaf: Some(refusal), ..Self::default() }
    }
}

/// Starts the thread. It ends when nobody can send any more, and lets go of `ended` then.
pub(super) fn start(
    (place, keep): (Place, u64),
    missing: Missing,
    (jobs, news): (mpsc::Receiver<Job>, mpsc::UnboundedSender<News>),
    ready: oneshot::Sender<Found>,
    ended: oneshot::Sender<()>,
) -> Result<(), Refusal> {
    let file = place.file.clone();
    let refuse = |why: std::io::Error| {
        let mend = "raise the limit of tasks: TasksMax= of the unit, or `ulimit -u`; then restart bgd";
        let what = format!("the journal cannot be written: its thread cannot be started: {why}");
        Refusal::new("no-thread", what, file.display(), mend)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(refuse)?;
    let run = move || {
        runtime.block_on(Writer::new(place, keep, missing, news).run(jobs, ready));
        drop(ended);
    };
    thread::Builder::new().name("bg-journal".to_owned()).spawn(run).map(drop).map_err(refuse)
}

struct Writer {
    place: Place,
    keep: u64,
    boot: String,
    lock: Option<Lock>,
    state: State,
    /// To be told with the next entry that is written.
    rebuilt: Option<Rebuilt>,
    missing: Missing,
    news: mpsc::UnboundedSender<News>,
    /// Whoever keeps the journal has been told what is remembered, as far as it could be read.
    lent: bool,
}

enum State {
    Open(Box<Open>),
    Deaf { why: Refusal, since: Option<Instant> },
}

impl Writer {
    fn new(place: Place, keep: u64, missing: Missing, news: mpsc::UnboundedSender<News>) -> Self {
        let state = State::Deaf { why: refused::ended(&place), since: None };
        Self {
            place,
            keep,
            boot: clock::boot(),
            lock: None,
            state,
            rebuilt: None,
            missing,
            news,
            lent: false,
        }
    }

    async fn run(mut self, mut jobs: mpsc::Receiver<Job>, ready: oneshot::Sender<Found>) {
        let found = self.first().await;
        // Whoever opens may have gone on without it.
        if let Err(Found { memories, broken, .. }) = ready.send(found)
            && self.lent
        {
            self.tell(News { late: Some(Late { memories, broken }), ..News::default() });
        }
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let owes = self.missing.any() || matches!(self.state, State::Deaf { .. });
            let wait = if owes { RETRY } else { Duration::MAX };
            match tokio::time::timeout(wait, jobs.recv_many(&mut batch, BATCH)).await {
                Ok(0) => break,
                Ok(_) => self.write(batch.drain(..)).await,
                Err(_) => self.catch_up().await,
            }
        }
        if let State::Open(open) = self.state {
            // All is written; what does not go into the file stays in its log.
            let _ = open.conn.close().await;
        }
    }

    async fn first(&mut self) -> Found {
        if let Err(refusal) = self.reopen(Look::Quick).await {
            let memories = open::memories(&self.place).await;
            return Found { memories, ..Found::deaf(refusal) };
        }
        let State::Open(open) = &mut self.state else {
            return Found::default();
        };
        self.rebuilt = None;
        self.lent = true;
        let (rebuilt, broken) = (open.rebuilt.take(), open.broken.take());
        Found { rebuilt, memories: std::mem::take(&mut open.memories), broken, deaf: None }
    }

    /// Tries to write what is owed although nobody wants anything written: others wait until it works again.
    async fn catch_up(&mut self) {
        if self.store(&[], true).await.is_ok() {
            self.rebuilt = None;
        }
    }

    /// What was found when the journal could be opened for the first time, and not at once.
    fn late(&mut self) -> Option<Late> {
        let State::Open(open) = &mut self.state else { return None };
        let (memories, broken) = (std::mem::take(&mut open.memories), open.broken.take());
        (!std::mem::replace(&mut self.lent, true)).then_some(Late { memories, broken })
    }

    fn tell(&self, news: News) {
        // Whoever keeps the journal may not want to know.
        let _ = self.news.send(news);
    }

    /// Writes entries, and tells each how that went.
    async fn write(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut drafts = Vec::new();
        let mut replies = Vec::new();
        let mut durable = false;
        for Job { entry, stamp, durable: is_durable, done } in jobs {
            match Draft::new(&entry, stamp, &self.boot) {
                Ok(draft) => {
                    drafts.push(draft);
                    replies.push(done);
                    durable |= is_durable;
                }
                Err(why) => {
                    let refusal = refused::failed(why, &self.place.file);
                    self.missing.add(1, &refusal.what);
                    done(Err(refusal));
                }
            }
        }
        if drafts.is_empty() {
            return;
        }
        match self.store(&drafts, durable).await {
            Ok(links) => {
                for (done, Link { seq, hash }) in replies.into_iter().zip(links) {
                    done(Ok(Stored { seq, hash, rebuilt: self.rebuilt.take() }));
                }
            }
            Err(refusal) => {
                self.missing.add(u64::try_from(replies.len()).unwrap_or(u64::MAX), &refusal.what);
                replies.into_iter().for_each(|done| done(Err(refusal.clone())));
            }
        }
    }

    /// Writes entries, and before them how many are missing. Their links.
    async fn store(&mut self, drafts: &[Draft], durable: bool) -> Result<Vec<Link>, Refusal> {
        let mut look = Look::Quick;
        loop {
            let (keep, boot, missing) = (self.keep, self.boot.clone(), self.missing.clone());
            let was_deaf = matches!(self.state, State::Deaf { .. });
            let open = self.opened(look).await?;
            let lost = missing.take();
            let gap = lost.as_ref().map(super::missing::Lost::entry);
            // It is made of numbers and a sentence, which always are JSON.
            let gap_draft = gap.as_ref().and_then(|gap| Draft::new(gap, Stamp::now(), &boot).ok());
            let all: Vec<_> = gap_draft.iter().chain(drafts).cloned().collect();
            let error = match open.store(&all, durable, keep).await {
                Ok(mut links) => {
                    let seq = gap_draft.map(|_| links.remove(0).seq);
                    let gap = seq.zip(gap.map(|gap| gap.record));
                    let rebuilt = self.rebuilt.as_ref().map(|rebuilt| (1, open::record(rebuilt)));
                    let entries: Vec<_> = rebuilt.into_iter().chain(gap).collect();
                    let late = self.late();
                    if was_deaf || !entries.is_empty() {
                        self.tell(News { entries, late });
                    }
                    return Ok(links);
                }
                Err(error) => error,
            };
            missing.put_back(lost);
            let trouble = Trouble::of(&error, &self.place);
            if let Trouble::Busy(refusal) = trouble {
                // Nothing was begun, and the other one will be gone soon.
                return Err(refusal);
            }
            self.shut().await;
            if matches!(trouble, Trouble::Bad(_)) && look == Look::Quick {
                // The first look may not have seen what is bad.
                look = Look::Thorough;
                self.reopen(look).await?;
                continue;
            }
            let refusal = trouble.refusal(&self.place);
            self.state = State::Deaf { why: refusal.clone(), since: Some(Instant::now()) };
            return Err(refusal);
        }
    }

    /// The journal, opened again if need be.
    async fn opened(&mut self, look: Look) -> Result<&mut Open, Refusal> {
        if let State::Open(open) = &self.state
            && open.identity != self.place.identity()
        {
            // What is written to a file that has lost its name is lost with it.
            self.missing.add(open.entries, "the journal's file was taken away while it was kept");
            self.shut().await;
        }
        if let State::Deaf { why, since } = &self.state {
            if since.is_some_and(|since| since.elapsed() < PAUSE) {
                return Err(why.clone());
            }
            self.reopen(look).await?;
        }
        match &mut self.state {
            State::Open(open) => Ok(open),
            State::Deaf { why, .. } => Err(why.clone()),
        }
    }

    async fn reopen(&mut self, look: Look) -> Result<(), Refusal> {
        match self.try_open(look).await {
            Ok(open) => {
                self.rebuilt = open.rebuilt.clone().or(self.rebuilt.take());
                self.state = State::Open(Box::new(open));
                Ok(())
            }
            Err(refusal) => {
                self.state = State::Deaf { why: refusal.clone(), since: Some(Instant::now()) };
                Err(refusal)
            }
        }
    }

    async fn try_open(&mut self, look: Look) -> Result<Open, Refusal> {
        self.place.prepare()?;
        if !self.lock.as_ref().is_some_and(|lock| self.place.is_of(lock)) {
            self.lock = None;
            self.lock = Some(lock(&self.place).await?);
        }
        open::open(&self.place, look).await
    }

    /// Lets go of the file.
    async fn shut(&mut self) {
        let deaf = State::Deaf { why: refused::ended(&self.place), since: None };
        if let State::Open(open) = std::mem::replace(&mut self.state, deaf) {
            // Whatever was written is in the file or in its log.
            let _ = open.conn.close().await;
        }
    }
}

/// Waits for the lock of a place, but not long.
async fn lock(place: &Place) -> Result<Lock, Refusal> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(lock) = place.lock()? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(refused::held(place));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Open {
    /// Writes entries in one transaction; on stable storage if they are to be `durable`. After an error the
    /// connection may be in the middle of it, and is of no more use.
    pub(super) async fn store(
        &mut self,
        drafts: &[Draft],
        durable: bool,
        keep: u64,
    ) -> sqlx::Result<Vec<Link>> {
        let Self { conn, entries, .. } = self;
        let synchronous = if durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
        sqlx::query(synchronous).execute(&mut *conn).await?;
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        let Ends { head, mut anchor } = chain::ends(&mut transaction).await?;
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT max(seq) FROM entry").fetch_one(&mut *transaction).await?;
        // After a break numbers go on behind all that is there, and the break can be seen for good.
        let mut last = Link { seq: newest.unwrap_or_default().max(head.seq), hash: head.hash };
        let mut links = Vec::with_capacity(drafts.len());
        for draft in drafts {
            last = draft.insert(&mut transaction, last).await?;
            links.push(last);
        }
        let added = u64::try_from(links.len()).unwrap_or_default();
        let total = *entries + added;
        let excess = total.saturating_sub(keep).min(added + SHED);
        if excess > 0
            && let Some(pruned) = prune(&mut transaction, excess).await?
        {
            anchor = pruned;
        }
        chain::set_ends(&mut transaction, Ends { head: last, anchor }).await?;
        crate::fail_point!("before-commit");
        transaction.commit().await?;
        crate::fail_point!("after-commit");
        *entries = total - excess;
        Ok(links)
    }
}

/// Takes the `excess` oldest entries away. The newest of them.
async fn prune(conn: &mut SqliteConnection, excess: u64) -> sqlx::Result<Option<Link>> {
    let before = i64::try_from(excess.saturating_sub(1)).unwrap_or(i64::MAX);
    let sql = "SELECT seq, hash FROM entry ORDER BY seq LIMIT 1 OFFSET ?";
    let Some(row) = sqlx::query(sql).bind(before).fetch_optional(&mut *conn).await? else {
        return Ok(None);
    };
    let link = Link { seq: row.try_get("seq")?, hash: Hash::from_row(&row, "hash")? };
    sqlx::query("DELETE FROM entry WHERE seq <= ?").bind(link.seq).execute(conn).await?;
    Ok(Some(link))
}
