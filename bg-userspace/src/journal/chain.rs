//! The chain that makes changes visible: each entry holds the hash of the one before.
//!
//! The hash of an entry is the SHA-256 of these items, one after the other: the text `bg-journal-entry-1`,
//! then the columns of the entry in the order of [`COLUMNS`]. `previous`, the last of them, is the hash of the
//! entry before, or 32 zero bytes for the first. An item is one byte for its type, its length in bytes as 8
//! bytes, most significant first, and its bytes: `n` and nothing for NULL, `i` and 8 bytes in two's complement,
//! most significant first, for an integer, `t` and UTF-8 for a text, `b` and the bytes of a blob. `memory` is the
//! digest of what was to be remembered with the entry, or NULL: the SHA-256 of the text `bg-journal-memory-1`,
//! the name of the deployment and the JSON, as items.
//!
//! The table `chain` has number and hash of the newest entry, so that entries that are missing at the end are
//! seen, and of the newest that was taken away (0 and zeros if none was), where the chain begins. Whoever can
//! write the file can write all of it anew; that only a hash that was noted elsewhere shows.

use super::refused;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{AssertSqlSafe, Decode, Row as _, Sqlite, SqliteConnection, TypeInfo as _, ValueRef as _};
use std::fmt;

/// The columns that an entry's hash covers.
pub(super) const COLUMNS: &str = "seq, at_ns, mono_ns, boot, deployment, kind, generation, live, who, uid, pid, \
                                  user, client, reason, body, memory, previous";

const COVERED: usize = 17;

/// Entries read at a time.
const PAGE: i64 = 500;

const CORRUPT: u32 = 11;
const NOT_A_DATABASE: u32 = 26;

/// A SHA-256, printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

/// What is wrong with a journal that can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Number of the first entry that is not what was written, or that is missing.
    pub seq: i64,
    /// What is wrong there.
    pub why: String,
}

/// What a walk along the chain has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// Entries that are as they were written, up to the first that is not.
    pub entries: u64,
    /// The first that is not.
    pub first_bad: Option<Broken>,
    /// Hash of the newest entry, as noted beside the entries: it stands for all of them.
    pub head_hash: Hash,
    /// Number of the newest entry, as noted beside the entries.
    pub head_seq: i64,
    /// Number of the newest entry that was taken away to save space; 0 if none was.
    pub pruned: i64,
}

/// A value of a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'a> {
    Null,
    Integer(i64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// The table `chain`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ends {
    pub(super) head: Link,
    pub(super) anchor: Link,
}

/// One end of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Link {
    pub(super) seq: i64,
    pub(super) hash: Hash,
}

/// The hash of an entry.
pub(super) fn entry_hash<'a>(columns: impl IntoIterator<Item = Item<'a>>) -> Hash {
    hash(std::iter::once(Item::Text(b"bg-journal-entry-1")).chain(columns))
}

/// The digest of what is to be remembered of a deployment.
pub(super) fn memory_digest(deployment: &str, json: &str) -> Hash {
    hash([Item::Text(b"bg-journal-memory-1"), Item::Text(deployment.as_bytes()), Item::Text(json.as_bytes())])
}

/// Reads the ends of the chain.
pub(super) async fn ends(conn: &mut SqliteConnection) -> sqlx::Result<Ends> {
    let sql = "SELECT head_seq, head_hash, anchor_seq, anchor_hash FROM chain";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let link = |seq, hash| {
        let seq: i64 = row.try_get(seq)?;
        // No journal gets this far, and numbers go on from here.
        if !(0..=i64::MAX / 2).contains(&seq) {
            return Err(sqlx::Error::Decode("a number is out of range".into()));
        }
        Ok(Link { seq, hash: Hash::from_row(&row, hash)? })
    };
    Ok(Ends { head: link("head_seq", "head_hash")?, anchor: link("anchor_seq", "anchor_hash")? })
}

/// Writes the ends of the chain.
pub(super) async fn set_ends(conn: &mut SqliteConnection, ends: Ends) -> sqlx::Result<()> {
    let Ends { head, anchor } = ends;
    let sql = "INSERT OR REPLACE INTO chain (id, head_seq, head_hash, anchor_seq, anchor_hash) \
               VALUES (1, ?, ?, ?, ?)";
    let query = sqlx::query(sql).bind(head.seq).bind(head.hash.bytes());
    query.bind(anchor.seq).bind(anchor.hash.bytes()).execute(conn).await.map(drop)
}

/// Walks along the newest `limit` entries, or all. Content that cannot be read counts as broken.
pub(super) async fn verify(conn: &mut SqliteConnection, limit: Option<i64>) -> sqlx::Result<Verification> {
    let Ends { head, anchor } = ends(conn).await?;
    let start = match limit {
        Some(limit) if head.seq - anchor.seq > limit => link(conn, head.seq - limit).await?,
        _ => Some(anchor),
    };
    let mut at = start.unwrap_or(anchor);
    let begin = at.seq;
    let mut first_bad = match limit {
        None => stray(conn, anchor.seq).await?,
        Some(_) => None,
    };
    while first_bad.is_none() {
        let rows = match page(conn, at.seq).await {
            Ok(rows) => rows,
            Err(error) if matches!(refused::code(&error), Some(CORRUPT | NOT_A_DATABASE)) => {
                first_bad = Some(Broken { seq: at.seq + 1, why: format!("it cannot be read: {error}") });
                break;
            }
            Err(error) => return Err(error),
        };
        let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < PAGE);
        for row in rows {
            match follow(&row, at) {
                Ok(next) => at = next,
                Err(broken) => {
                    first_bad = Some(broken);
                    break;
                }
            }
        }
        if is_last {
            first_bad = first_bad.or_else(|| at.difference(head));
            break;
        }
    }
    let entries = u64::try_from(at.seq - begin).unwrap_or_default();
    Ok(Verification { entries, first_bad, head_hash: head.hash, head_seq: head.seq, pruned: anchor.seq })
}

async fn page(conn: &mut SqliteConnection, after: i64) -> sqlx::Result<Vec<SqliteRow>> {
    let sql = format!("SELECT {COLUMNS}, hash FROM entry WHERE seq > ? ORDER BY seq LIMIT {PAGE}");
    sqlx::query(AssertSqlSafe(sql)).bind(after).fetch_all(conn).await
}

async fn link(conn: &mut SqliteConnection, seq: i64) -> sqlx::Result<Option<Link>> {
    let row = sqlx::query("SELECT hash FROM entry WHERE seq = ?").bind(seq).fetch_optional(conn).await?;
    Ok(row.and_then(|row| Hash::from_row(&row, "hash").ok()).map(|hash| Link { seq, hash }))
}

/// An entry that was taken away, and is there.
async fn stray(conn: &mut SqliteConnection, anchor: i64) -> sqlx::Result<Option<Broken>> {
    let sql = "SELECT seq FROM entry WHERE seq <= ? ORDER BY seq LIMIT 1";
    let seq: Option<i64> = sqlx::query_scalar(sql).bind(anchor).fetch_optional(conn).await?;
    Ok(seq.map(|seq| Broken { seq, why: "it was added: entries that old were taken away".to_owned() }))
}

/// The link that `row` makes behind `at`.
fn follow(row: &SqliteRow, at: Link) -> Result<Link, Broken> {
    let wanted = at.seq + 1;
    let broken = |seq, why: &str| Broken { seq, why: why.to_owned() };
    let unreadable = |error: sqlx::Error| broken(wanted, &format!("it cannot be read: {error}"));
    let seq: i64 = row.try_get("seq").map_err(unreadable)?;
    if seq != wanted {
        return Err(broken(wanted, &format!("it is missing: entry {seq} comes next")));
    }
    let hash = Hash::from_row(row, "hash").map_err(unreadable)?;
    let values = (0..COVERED).map(|column| row.try_get_raw(column)).collect::<Result<Vec<_>, _>>();
    let items = values.map_err(unreadable)?.into_iter().map(item).collect::<Result<Vec<_>, _>>();
    if entry_hash(items.map_err(unreadable)?) != hash {
        return Err(broken(seq, "it is not what was written"));
    }
    if Hash::from_row(row, "previous").map_err(unreadable)? != at.hash {
        return Err(broken(seq, &format!("it does not follow entry {}", at.seq)));
    }
    Ok(Link { seq, hash })
}

fn item(value: SqliteValueRef<'_>) -> sqlx::Result<Item<'_>> {
    if value.is_null() {
        return Ok(Item::Null);
    }
    let kind = value.type_info().name().to_owned();
    let decode = sqlx::Error::Decode;
    match kind.as_str() {
        "INTEGER" => <i64 as Decode<Sqlite>>::decode(value).map(Item::Integer).map_err(decode),
        "TEXT" => <&[u8] as Decode<Sqlite>>::decode(value).map(Item::Text).map_err(decode),
        "BLOB" => <&[u8] as Decode<Sqlite>>::decode(value).map(Item::Blob).map_err(decode),
        other => Err(decode(format!("a value is a {other}").into())),
    }
}

fn hash<'a>(items: impl IntoIterator<Item = Item<'a>>) -> Hash {
    let mut digest = Sha256::new();
    for item in items {
        let number;
        let (tag, bytes) = match item {
            Item::Null => (b'n', [].as_slice()),
            Item::Integer(value) => {
                number = value.to_be_bytes();
                (b'i', number.as_slice())
            }
            Item::Text(text) => (b't', text),
            Item::Blob(blob) => (b'b', blob),
        };
        digest.update([tag]);
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    }
    Hash(digest.finalize().into())
}

impl Link {
    /// How the newest entry that is there differs from the one that was noted.
    fn difference(self, head: Self) -> Option<Broken> {
        let (seq, why) = if self.seq < head.seq {
            (
                self.seq + 1,
                format!("it is missing, with all behind it: {} is the newest that was written", head.seq),
            )
        } else if self.seq > head.seq {
            (head.seq + 1, format!("it was added: {} is the newest that was written", head.seq))
        } else if self.hash != head.hash {
            (self.seq, "it is not the newest that was written".to_owned())
        } else {
            return None;
        };
        Some(Broken { seq, why })
    }
}

impl Hash {
    pub(super) fn from_row(row: &SqliteRow, column: &str) -> sqlx::Result<Self> {
        let bytes: Vec<u8> = row.try_get(column)?;
        let wrong = |bytes: Vec<u8>| format!("a hash has {} bytes", bytes.len()).into();
        bytes.try_into().map(Self).map_err(|bytes| sqlx::Error::Decode(wrong(bytes)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let Self(bytes) = self;
        bytes
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, why } = self;
        write!(f, "entry {seq}: {why}")
    }
}
