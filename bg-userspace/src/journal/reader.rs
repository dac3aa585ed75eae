//! Questions to the journal. Each has a connection of its own, which can only read, so that neither writers
//! nor other readers wait for it; it works without a daemon, too.

use super::chain::{self, Broken, Verification};
use super::clock;
use super::connect;
use super::open;
use super::place::{self, Place};
use super::refused::{self, Trouble};
use super::row::{self, Row};
use super::schema::{APPLICATION, Label, VERSION};
use crate::model::record::SliceIdentity;
use crate::refusal::Refusal;
use bg_common::Colour;
use sqlx::{Connection as _, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::path::Path;
use std::time::SystemTime;

/// Rows of one answer, at most.
const LIMIT: usize = 10_000;

/// Reads a journal.
#[derive(Clone, Debug)]
pub struct Reader {
    place: Place,
}

/// Which entries are wanted. Those that are not mentioned do not matter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Of this deployment.
    pub deployment: Option<String>,
    /// Of one of these kinds; empty: of any.
    pub kinds: Vec<String>,
    /// Not before this time.
    pub since: Option<SystemTime>,
    /// Not after this time.
    pub until: Option<SystemTime>,
    /// With a smaller number than this.
    pub before_seq: Option<i64>,
    /// With a larger number than this.
    pub after_seq: Option<i64>,
    /// So many; 10,000 at most.
    pub limit: usize,
    /// The newest come first, and the oldest are left out by the limit; else the other way round.
    pub newest_first: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            deployment: None,
            kinds: Vec::new(),
            since: None,
            until: None,
            before_seq: None,
            after_seq: None,
            limit: 100,
            newest_first: true,
        }
    }
}

/// What was live at some time.
#[derive(Clone, PartialEq, Debug)]
pub struct Then {
    /// The time.
    pub at: SystemTime,
    /// Of each deployment of which there are entries from before; in the order of their names.
    pub live: Vec<LiveAt>,
    /// When the oldest entry was made, if that is later than the time: nothing is known of it.
    pub begins: Option<SystemTime>,
    /// Why this must not be relied on: the first entry that is not what was written.
    pub broken: Option<Broken>,
}

/// What was live in a deployment at some time.
#[derive(Clone, PartialEq, Debug)]
pub struct LiveAt {
    /// Its name.
    pub deployment: String,
    /// Who was live.
    pub live: Colour,
    /// Of the word.
    pub generation: u16,
    /// What `[blue, green]` ran; `None` if another version of bg has written what this one does not know.
    pub slices: Option<[SliceIdentity; 2]>,
    /// When that colour became live, as far back as there are entries.
    pub since: SystemTime,
    /// Number of the entry that says so.
    pub since_seq: i64,
    /// There is no entry of the other colour before: it may have been live for longer.
    pub is_oldest: bool,
    /// Number of the entry that tells all this: the last one of the deployment before the time.
    pub seq: i64,
    /// The clock was set back over this time, so that it came twice; this is about the later one.
    pub came_twice: bool,
}

impl Reader {
    /// A reader of the journal at `path`. Nothing is opened before a question.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::at(Place::new(path))
    }

    pub(super) const fn at(place: Place) -> Self {
        Self { place }
    }

    /// Entries, in the order of their numbers or against it.
    ///
    /// # Errors
    ///
    /// When there is no journal, or it cannot be read.
    pub async fn history(&self, query: &Query) -> Result<Vec<Row>, Refusal> {
        self.ask(async |conn| history(conn, query).await).await
    }

    /// Entries behind number `after`, the oldest first: for whoever follows what happens.
    ///
    /// # Errors
    ///
    /// As [`Reader::history`].
    pub async fn tail(&self, after: i64, limit: usize) -> Result<Vec<Row>, Refusal> {
        let query = Query { after_seq: Some(after), limit, newest_first: false, ..Query::default() };
        self.history(&query).await
    }

    /// What was live at `time`. All hashes are looked at, which takes seconds for a million entries.
    ///
    /// # Errors
    ///
    /// As [`Reader::history`].
    pub async fn at_time(&self, time: SystemTime) -> Result<Then, Refusal> {
        self.ask(async |conn| then(conn, time).await).await
    }

    /// Whether everything is as it was written.
    ///
    /// # Errors
    ///
    /// When there is no journal, or nothing of it can be read.
    pub async fn verify(&self) -> Result<Verification, Refusal> {
        self.ask(async |conn| verify(conn).await).await
    }

    /// Asks all of `question` of one state of the journal.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
    ) -> Result<T, Refusal> {
        let Self { place } = self;
        match place.look_only()? {
            place::Found::Nothing => return Err(refused::missing(&place.file)),
            place::Found::Empty => return Err(refused::damaged("the file is empty", &place.file)),
            place::Found::File => {}
        }
        let refusal = |error: sqlx::Error| Trouble::of(&error, place).refusal(place);
        let (mut conn, label) = connect::reader(place).await.map_err(|trouble| trouble.refusal(place))?;
        let answer = async {
            match label {
                Label { application, .. } if application != APPLICATION => {
                    return Err(refused::damaged("it is not a journal of bg", &place.file));
                }
                Label { version, .. } if version > VERSION => {
                    return Err(refused::newer(version, &place.file));
                }
                Label { .. } => {}
            }
            let mut transaction = conn.begin().await.map_err(refusal)?;
            question(&mut transaction).await.map_err(refusal)
        };
        let answer = answer.await;
        // Nothing was written, so nothing can be lost.
        let _ = conn.close().await;
        answer
    }
}

async fn history(conn: &mut SqliteConnection, query: &Query) -> sqlx::Result<Vec<Row>> {
    let Query { deployment, kinds, since, until, before_seq, after_seq, limit, newest_first } = query;
    let mut sql = QueryBuilder::<Sqlite>::new(format!("SELECT {} FROM entry WHERE true", Row::columns()));
    if let Some(deployment) = deployment {
        sql.push(" AND deployment = ").push_bind(deployment);
    }
    if !kinds.is_empty() {
        // As one parameter, because their number is limited.
        let kinds = serde_json::to_string(kinds).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sql.push(" AND kind IN (SELECT value FROM json_each(").push_bind(kinds).push("))");
    }
    for (condition, bound) in [
        (" AND at_ns >= ", since.map(clock::to_ns)),
        (" AND at_ns <= ", until.map(clock::to_ns)),
        (" AND seq < ", *before_seq),
        (" AND seq > ", *after_seq),
    ] {
        if let Some(bound) = bound {
            sql.push(condition).push_bind(bound);
        }
    }
    let limit = i64::try_from((*limit).min(LIMIT)).unwrap_or(i64::MAX);
    sql.push(if *newest_first { " ORDER BY seq DESC LIMIT " } else { " ORDER BY seq LIMIT " })
        .push_bind(limit);
    sql.build().fetch_all(conn).await?.iter().map(Row::read).collect()
}

async fn verify(conn: &mut SqliteConnection) -> sqlx::Result<Verification> {
    let mut found = chain::verify(conn, None).await?;
    open::remembered(conn, &mut found.first_bad).await?;
    Ok(found)
}

async fn then(conn: &mut SqliteConnection, time: SystemTime) -> sqlx::Result<Then> {
    let at_ns = clock::to_ns(time);
    let mut live = Vec::new();
    for deployment in deployments(conn).await? {
        live.extend(live_at(conn, &deployment, at_ns).await?);
    }
    let oldest = "SELECT at_ns FROM entry ORDER BY seq LIMIT 1";
    let oldest: Option<i64> = sqlx::query_scalar(oldest).fetch_optional(&mut *conn).await?;
    let begins = oldest.filter(|oldest| *oldest > at_ns).map(clock::from_ns);
    Ok(Then { at: time, live, begins, broken: verify(conn).await?.first_bad })
}

/// All deployments that there are entries of: one look-up for each.
async fn deployments(conn: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    let sql = "WITH RECURSIVE name (it) AS (
            SELECT min(deployment) FROM entry WHERE deployment > ''
            UNION ALL
            SELECT (SELECT min(deployment) FROM entry WHERE deployment > it) FROM name WHERE it IS NOT NULL
        ) SELECT it FROM name WHERE it IS NOT NULL";
    sqlx::query_scalar(sql).fetch_all(conn).await
}

async fn live_at(conn: &mut SqliteConnection, deployment: &str, at_ns: i64) -> sqlx::Result<Option<LiveAt>> {
    let last = "SELECT seq, live, generation, body FROM entry WHERE deployment = ? AND at_ns <= ? \
                ORDER BY seq DESC LIMIT 1";
    let last = sqlx::query(last).bind(deployment).bind(at_ns).fetch_optional(&mut *conn).await?;
    let Some(last) = last else {
        return Ok(None);
    };
    let (seq, name): (i64, String) = (last.try_get("seq")?, last.try_get("live")?);
    let (generation, body): (i64, String) = (last.try_get("generation")?, last.try_get("body")?);
    let other =
        "SELECT seq FROM entry WHERE deployment = ? AND seq < ? AND live <> ? ORDER BY seq DESC LIMIT 1";
    let other: Option<i64> =
        sqlx::query_scalar(other).bind(deployment).bind(seq).bind(&name).fetch_optional(&mut *conn).await?;
    // What took effect before it could be told comes a few entries behind that of whoever told it.
    let first = "SELECT seq, at_ns FROM (SELECT seq, at_ns FROM entry WHERE deployment = ? AND seq > ? AND seq <= ? \
                 ORDER BY seq LIMIT 8) ORDER BY at_ns, seq LIMIT 1";
    let first = sqlx::query(first).bind(deployment).bind(other.unwrap_or_default()).bind(seq);
    let first = first.fetch_one(&mut *conn).await?;
    let twice = "SELECT EXISTS (SELECT 1 FROM entry WHERE at_ns > ? AND seq < ?)";
    Ok(Some(LiveAt {
        deployment: deployment.to_owned(),
        live: row::colour(&name)?,
        generation: u16::try_from(generation).unwrap_or_default(),
        slices: serde_json::from_str(&body).ok().map(|record: crate::model::record::Record| record.slices),
        since: clock::from_ns(first.try_get("at_ns")?),
        since_seq: first.try_get("seq")?,
        is_oldest: other.is_none(),
        seq,
        came_twice: sqlx::query_scalar(twice).bind(at_ns).bind(seq).fetch_one(conn).await?,
    }))
}
