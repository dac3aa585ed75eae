//! Entries as rows of the table: how they are put there, and how they are read.

use super::Entry;
use super::chain::{self, COLUMNS, Hash, Item, Link};
use super::clock::{self, Stamp};
use crate::model::Moment;
use crate::model::order::{Actor, Who};
use crate::model::record::{Memory, Record};
use bg_common::Colour;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use std::time::SystemTime;

/// An entry as it stands in the journal.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Its number: the order in which things happened, whatever the clock said.
    pub seq: i64,
    /// When it happened, by the clock that people set.
    pub at: SystemTime,
    /// When it happened, on CLOCK_MONOTONIC of `boot`.
    pub mono: Moment,
    /// Which boot of the machine that was.
    pub boot: String,
    /// Name of its deployment; empty if it is about none.
    pub deployment: String,
    /// What happened, such as `switched`: the tag of [`crate::model::record::What`].
    pub kind: String,
    /// Of the word after it.
    pub generation: u16,
    /// Who is live after it; `None` if it is about no deployment.
    pub live: Option<Colour>,
    /// Who caused it.
    pub actor: Actor,
    /// Why.
    pub reason: Option<String>,
    /// All of it; `None` if another version of bg has written what this one does not know.
    pub record: Option<Record>,
    /// All of it, as JSON.
    pub body: String,
    /// Its hash.
    pub hash: Hash,
}

/// An entry that is ready to be written.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    stamp: Stamp,
    boot: String,
    deployment: String,
    kind: String,
    generation: u16,
    live: Option<Colour>,
    actor: Actor,
    reason: Option<String>,
    body: String,
    memory: Option<Note>,
}

/// What is to be remembered of a deployment, as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Note {
    pub(super) deployment: String,
    pub(super) json: String,
    pub(super) digest: Hash,
}

impl Draft {
    /// Puts an entry into the form of a row.
    pub(super) fn new(entry: &Entry, stamp: Stamp, boot: &str) -> serde_json::Result<Self> {
        let Entry { record, memory } = entry;
        let Record { deployment, live, generation, slices: _, actor, reason, late_ms, what } = record;
        let what = serde_json::to_value(what)?;
        let kind = what.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default();
        // Looked up by time, it is to be found when it took effect.
        let stamp = stamp.before(late_ms.unwrap_or_default());
        Ok(Self {
            stamp,
            boot: boot.to_owned(),
            deployment: deployment.clone(),
            kind: kind.to_owned(),
            generation: *generation,
            live: (!deployment.is_empty()).then_some(*live),
            actor: actor.clone(),
            reason: reason.clone(),
            body: serde_json::to_string(record)?,
            memory: memory.as_ref().map(|memory| Note::new(deployment, memory)).transpose()?,
        })
    }

    /// Writes it behind `before`, and what is to be remembered with it.
    pub(super) async fn insert(&self, conn: &mut SqliteConnection, before: Link) -> sqlx::Result<Link> {
        let Self { stamp, boot, deployment, kind, generation, live, actor, reason, body, memory } = self;
        let Actor { who, uid, pid, user, client } = actor;
        let seq = before.seq.saturating_add(1);
        let digest = memory.as_ref().map(|note| note.digest);
        let (live, who) = (live.map(Colour::as_str), name(*who));
        let hash = chain::entry_hash([
            Item::Integer(seq),
            Item::Integer(stamp.at_ns),
            Item::Integer(stamp.mono_ns),
            text(boot),
            text(deployment),
            text(kind),
            Item::Integer((*generation).into()),
            live.map_or(Item::Null, text),
            text(who),
            uid.map_or(Item::Null, |uid| Item::Integer(uid.into())),
            pid.map_or(Item::Null, |pid| Item::Integer(pid.into())),
            user.as_deref().map_or(Item::Null, text),
            client.as_deref().map_or(Item::Null, text),
            reason.as_deref().map_or(Item::Null, text),
            text(body),
            digest.as_ref().map_or(Item::Null, |digest| Item::Blob(digest.bytes())),
            Item::Blob(before.hash.bytes()),
        ]);
        let sql = format!(
            "INSERT INTO entry ({COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(seq)
            .bind(stamp.at_ns)
            .bind(stamp.mono_ns)
            .bind(boot)
            .bind(deployment)
            .bind(kind)
            .bind(i64::from(*generation))
            .bind(live)
            .bind(who)
            .bind(uid.map(i64::from))
            .bind(pid.map(i64::from))
            .bind(user)
            .bind(client)
            .bind(reason)
            .bind(body)
            .bind(digest.as_ref().map(Hash::bytes))
            .bind(before.hash.bytes())
            .bind(hash.bytes())
            .execute(&mut *conn)
            .await?;
        if let Some(note) = memory {
            note.insert(conn, seq).await?;
        }
        Ok(Link { seq, hash })
    }
}

impl Note {
    pub(super) fn new(deployment: &str, memory: &Memory) -> serde_json::Result<Self> {
        let json = serde_json::to_string(memory)?;
        let digest = chain::memory_digest(deployment, &json);
        Ok(Self { deployment: deployment.to_owned(), json, digest })
    }

    /// Writes it in the place of the one before, as part of entry `seq`.
    pub(super) async fn insert(&self, conn: &mut SqliteConnection, seq: i64) -> sqlx::Result<()> {
        let Self { deployment, json, digest } = self;
        let sql = "INSERT OR REPLACE INTO memory (deployment, seq, json, digest) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(deployment).bind(seq).bind(json).bind(digest.bytes());
        query.execute(conn).await.map(drop)
    }
}

impl Row {
    /// The columns that [`Row::read`] wants.
    pub(super) fn columns() -> String {
        format!("{COLUMNS}, hash")
    }

    pub(super) fn read(row: &SqliteRow) -> sqlx::Result<Self> {
        let body: String = row.try_get("body")?;
        let live: Option<String> = row.try_get("live")?;
        let who: String = row.try_get("who")?;
        let generation: i64 = row.try_get("generation")?;
        Ok(Self {
            seq: row.try_get("seq")?,
            at: clock::from_ns(row.try_get("at_ns")?),
            mono: clock::moment(row.try_get("mono_ns")?),
            boot: row.try_get("boot")?,
            deployment: row.try_get("deployment")?,
            kind: row.try_get("kind")?,
            generation: u16::try_from(generation).unwrap_or_default(),
            live: live.map(|live| colour(&live)).transpose()?,
            actor: Actor {
                who: [Who::Operator, Who::Bgd]
                    .into_iter()
                    .find(|it| name(*it) == who)
                    .unwrap_or(Who::Unknown),
                uid: row.try_get("uid")?,
                pid: row.try_get("pid")?,
                user: row.try_get("user")?,
                client: row.try_get("client")?,
            },
            reason: row.try_get("reason")?,
            record: serde_json::from_str(&body).ok(),
            body,
            hash: Hash::from_row(row, "hash")?,
        })
    }
}

/// The colour that a column names.
pub(super) fn colour(name: &str) -> sqlx::Result<Colour> {
    name.parse().map_err(|_| sqlx::Error::Decode(format!("{name:?} is no colour").into()))
}

const fn name(who: Who) -> &'static str {
    match who {
        Who::Operator => "operator",
        Who::Bgd => "bgd",
        Who::Unknown => "unknown",
    }
}

const fn text(text: &str) -> Item<'_> {
    Item::Text(text.as_bytes())
}
