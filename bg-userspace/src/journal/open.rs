//! Opens a journal: looks whether the file is what was written, puts a bad one aside and begins a new one.

use super::chain::{self, Broken, Ends, Link};
use super::clock::{self, Stamp};
use super::connect;
use super::place::{self, Place};
use super::refused::{self, Trouble};
use super::row::{Draft, Note};
use super::schema::{self, APPLICATION, Label, MIGRATIONS, VERSION};
use super::{Entry, Rebuilt};
use crate::model::order::Actor;
use crate::model::record::{Memory, Record, Role, SliceIdentity, What};
use crate::refusal::Refusal;
use bg_common::Colour;
use sqlx::{Connection as _, Row as _, SqliteConnection};

/// Entries, beginning with the newest, whose hashes are looked at. [`super::Reader::verify`] looks at all.
const NEWEST: i64 = 10_000;

/// Size up to which the whole file is looked at.
const QUICK_BYTES: u64 = 256 << 20;

/// A journal that can be written.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) conn: SqliteConnection,
    pub(super) identity: Option<(u64, u64)>,
    /// Entries in it.
    pub(super) entries: u64,
    pub(super) rebuilt: Option<Rebuilt>,
    pub(super) memories: Vec<(String, Memory)>,
    pub(super) broken: Option<Broken>,
}

/// How much of a file is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// What can be looked at without making anybody wait.
    Quick,
    /// All of it, because something was found wrong with it.
    Thorough,
}

/// What was found in a file that is well.
#[derive(Debug, Default)]
struct Content {
    entries: u64,
    memories: Vec<(String, Memory)>,
    broken: Option<Broken>,
}

/// Opens the journal, or begins one. The caller keeps the lock of the place.
pub(super) async fn open(place: &Place, look: Look) -> Result<Open, Refusal> {
    let mut saved = Vec::new();
    let why = match place.look()? {
        place::Found::Nothing if place.has_any() => "the file is missing, and its log is there",
        place::Found::Nothing => "there was no journal",
        place::Found::Empty => "the file is empty",
        place::Found::File => match existing(place, look, &mut saved).await {
            Ok(open) => return Ok(open),
            Err(Trouble::Bad(why)) => &why.clone(),
            Err(trouble) => return Err(trouble.refusal(place)),
        },
    };
    let rebuilt = begin(place, why, &saved).await?;
    let open =
        existing(place, Look::Quick, &mut Vec::new()).await.map_err(|trouble| trouble.refusal(place))?;
    Ok(Open { rebuilt: Some(rebuilt), ..open })
}

/// Opens a file that is there, without putting anything aside.
pub(super) async fn join(place: &Place) -> Result<Open, Refusal> {
    match place.look()? {
        place::Found::File => {
            existing(place, Look::Quick, &mut Vec::new()).await.map_err(|trouble| trouble.refusal(place))
        }
        place::Found::Nothing | place::Found::Empty => Err(refused::missing(&place.file)),
    }
}

/// What is to be known of each deployment, from a file that cannot be written.
pub(super) async fn memories(place: &Place) -> Vec<(String, Memory)> {
    let Ok((mut conn, label)) = connect::reader(place).await else {
        return Vec::new();
    };
    let found = match label {
        Label { application: APPLICATION, version: VERSION } => remembered(&mut conn, &mut None).await,
        Label { .. } => Ok(Vec::new()),
    };
    // Nothing was written, so nothing can be lost.
    let _ = conn.close().await;
    found.unwrap_or_default()
}

/// Opens a file that is there. From a bad one, what can be saved goes to `saved`.
async fn existing(place: &Place, look: Look, saved: &mut Vec<(String, Memory)>) -> Result<Open, Trouble> {
    let identity = place.identity();
    let mut conn = connect::writer(place).await?;
    match inspect(&mut conn, place, look).await {
        Ok(Content { entries, memories, broken }) => {
            Ok(Open { conn, identity, entries, rebuilt: None, memories, broken })
        }
        Err(trouble) => {
            if matches!(trouble, Trouble::Bad(_)) {
                *saved = salvage(&mut conn).await.unwrap_or_default();
            }
            // On its end a connection removes the log by its name: that must be over before a new file has it.
            let _ = conn.close().await;
            Err(trouble)
        }
    }
}

async fn inspect(conn: &mut SqliteConnection, place: &Place, look: Look) -> Result<Content, Trouble> {
    let trouble = |error: sqlx::Error| Trouble::of(&error, place);
    let label = schema::label(conn).await.map_err(trouble)?;
    let Label { application, version } = label;
    if application != APPLICATION {
        return Err(Trouble::Bad("it is not a journal of bg".to_owned()));
    }
    if !(1..=VERSION).contains(&version) {
        return Err(Trouble::Bad(format!(
            "it has layout {version}; {VERSION} is the newest that is known here"
        )));
    }
    if version < VERSION {
        schema::migrate(conn, &MIGRATIONS).await.map_err(trouble)?;
    }
    if !schema::is_ours(conn).await.map_err(trouble)? {
        return Err(Trouble::Bad("its tables are not those of a journal".to_owned()));
    }
    sound(conn, place, look).await?;
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode = wal").fetch_one(&mut *conn).await.map_err(trouble)?;
    if mode != "wal" {
        let why = "the file system has no shared memory, which its log needs";
        return Err(Trouble::Unusable(refused::failed(why, &place.file)));
    }
    // Shows at once whether anything can be written: to begin says nothing of that.
    let attempt = "BEGIN IMMEDIATE; UPDATE chain SET id = 1; ROLLBACK";
    sqlx::raw_sql(attempt).execute(&mut *conn).await.map_err(trouble)?;
    let mut broken = chain::verify(conn, Some(NEWEST)).await.map_err(trouble)?.first_bad;
    let memories = remembered(conn, &mut broken).await.map_err(trouble)?;
    let entries: i64 =
        sqlx::query_scalar("SELECT count(*) FROM entry").fetch_one(conn).await.map_err(trouble)?;
    Ok(Content { entries: u64::try_from(entries).unwrap_or_default(), memories, broken })
}

/// Refuses a file whose pages do not fit together.
async fn sound(conn: &mut SqliteConnection, place: &Place, look: Look) -> Result<(), Trouble> {
    let trouble = |error: sqlx::Error| Trouble::of(&error, place);
    let check = match look {
        Look::Quick if place.bytes() > QUICK_BYTES => return Ok(()),
        Look::Quick => "PRAGMA quick_check(1)",
        Look::Thorough => "PRAGMA integrity_check(1)",
    };
    let found: String = sqlx::query_scalar(check).fetch_one(conn).await.map_err(trouble)?;
    if found == "ok" { Ok(()) } else { Err(Trouble::Bad(found)) }
}

/// What is to be known of each deployment. What is not as it was written is left out, and is `broken` unless
/// something is already.
pub(super) async fn remembered(
    conn: &mut SqliteConnection,
    broken: &mut Option<Broken>,
) -> sqlx::Result<Vec<(String, Memory)>> {
    let mut memories = Vec::new();
    for Found { seq, note, newest } in notes(conn, true).await? {
        let whole = note.is_whole().then(|| serde_json::from_str(&note.json).ok()).flatten();
        let (memory, why) = match (whole, newest) {
            (None, _) => (None, "is not what was written"),
            (Some(memory), Some((at, _))) if at < seq => {
                (Some(memory), "was written with an entry that is missing")
            }
            (Some(_), Some((_, digest))) if digest != note.digest.bytes() => {
                (None, "is not what was written last")
            }
            // Without an entry it was taken over from a bad file, or the entry was too old to be kept.
            (Some(memory), _) => (Some(memory), ""),
        };
        if !why.is_empty() {
            let why = format!("what is remembered of {} {why}", note.deployment);
            broken.get_or_insert(Broken { seq, why });
        }
        memories.extend(memory.map(|memory| (note.deployment, memory)));
    }
    Ok(memories)
}

/// What can be saved from a bad file: memories that are whole, each by itself.
async fn salvage(conn: &mut SqliteConnection) -> sqlx::Result<Vec<(String, Memory)>> {
    if schema::label(conn).await?.application != APPLICATION {
        return Ok(Vec::new());
    }
    let whole = notes(conn, false).await?.into_iter().map(|found| found.note).filter(Note::is_whole);
    Ok(whole.filter_map(|note| Some((note.deployment, serde_json::from_str(&note.json).ok()?))).collect())
}

/// A memory as it stands in the file.
struct Found {
    seq: i64,
    note: Note,
    /// The newest entry that came with one, and what it says of it.
    newest: Option<(i64, Vec<u8>)>,
}

/// With what the newest entry says, or, from a bad file, of which as little as possible is read, without.
async fn notes(conn: &mut SqliteConnection, with_newest: bool) -> sqlx::Result<Vec<Found>> {
    let sql = if with_newest {
        "SELECT memory.deployment, memory.seq, json, digest, entry.seq AS newest, entry.memory AS noted \
         FROM memory LEFT JOIN entry ON entry.seq = ( \
            SELECT seq FROM entry AS it WHERE it.deployment = memory.deployment AND it.memory IS NOT NULL \
            ORDER BY seq DESC LIMIT 1 \
         ) ORDER BY memory.deployment"
    } else {
        "SELECT deployment, seq, json, digest, NULL AS newest, NULL AS noted FROM memory ORDER BY deployment"
    };
    let rows = sqlx::query(sql).fetch_all(conn).await?;
    let found = rows.iter().map(|row| {
        let digest = chain::Hash::from_row(row, "digest")?;
        let note = Note { deployment: row.try_get("deployment")?, json: row.try_get("json")?, digest };
        let newest: (Option<i64>, Option<Vec<u8>>) = (row.try_get("newest")?, row.try_get("noted")?);
        Ok(Found { seq: row.try_get("seq")?, note, newest: newest.0.zip(newest.1) })
    });
    found.collect()
}

/// Begins a journal. It is made under another name first, so that none is ever half made.
async fn begin(place: &Place, why: &str, saved: &[(String, Memory)]) -> Result<Rebuilt, Refusal> {
    let unfinished = place.unfinished();
    let aside = place.has_any().then(|| place.aside());
    let rebuilt = Rebuilt { why: why.to_owned(), aside: aside.as_ref().map(|aside| aside.file.clone()) };
    unfinished.create()?;
    let made = match connect::writer(&unfinished).await {
        Ok(mut conn) => {
            let filled = fill(&mut conn, &rebuilt, saved).await;
            let closed = conn.close().await;
            filled.and(closed).map_err(|error| Trouble::of(&error, &unfinished))
        }
        Err(trouble) => Err(trouble),
    };
    let put = made.map_err(|trouble| trouble.refusal(&unfinished)).and_then(|()| {
        aside.as_ref().map_or(Ok(()), |aside| place.rename(aside))?;
        unfinished.rename(place)
    });
    if put.is_err() {
        unfinished.remove();
    }
    put.map(|()| rebuilt)
}

/// Makes the tables, and the entry that says why.
async fn fill(
    conn: &mut SqliteConnection,
    rebuilt: &Rebuilt,
    saved: &[(String, Memory)],
) -> sqlx::Result<()> {
    schema::migrate(conn, &MIGRATIONS).await?;
    let mut transaction = conn.begin().await?;
    let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    let entry = Entry { record: record(rebuilt), memory: None };
    let draft = Draft::new(&entry, Stamp::now(), &clock::boot()).map_err(encode)?;
    let head = draft.insert(&mut transaction, Link::default()).await?;
    for (deployment, memory) in saved {
        Note::new(deployment, memory).map_err(encode)?.insert(&mut transaction, head.seq).await?;
    }
    chain::set_ends(&mut transaction, Ends { head, anchor: Link::default() }).await?;
    transaction.commit().await?;
    sqlx::query("PRAGMA journal_mode = wal").execute(conn).await.map(drop)
}

/// What tells that a journal was begun anew.
pub(super) fn record(rebuilt: &Rebuilt) -> Record {
    let Rebuilt { why, aside } = rebuilt;
    let aside = aside.as_ref().map(|aside| aside.display().to_string());
    about_itself(What::JournalRebuilt { why: why.clone(), aside })
}

/// What a journal tells about itself, and of no deployment.
pub(super) fn about_itself(what: What) -> Record {
    let slice =
        |colour| SliceIdentity { colour, role: Role::Staging, version: None, identity: 0, healthy: None };
    Record {
        deployment: String::new(),
        live: Colour::Blue,
        generation: 0,
        slices: Colour::BOTH.map(slice),
        actor: Actor::default(),
        reason: None,
        late_ms: None,
        what,
    }
}

impl Note {
    /// Whether it is what was written.
    fn is_whole(&self) -> bool {
        chain::memory_digest(&self.deployment, &self.json) == self.digest
    }
}
