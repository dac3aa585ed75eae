//! The layout of the file, and how an older one becomes this one.
//!
//! A new layout is a new item at the end of [`MIGRATIONS`]; what is there stays as it is.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

/// Tells a journal of bg from other databases: "bgJr".
pub(super) const APPLICATION: i64 = 0x6267_4a72;

/// What makes layout `n` of layout `n - 1`, beginning with layout 1 out of nothing.
pub(super) const MIGRATIONS: [&[&str]; 1] = [&[ENTRY, ENTRY_DEPLOYMENT, ENTRY_AT, MEMORY, CHAIN]];

/// Everything that a file of the last layout holds, as SQLite tells it.
const SCHEMA: [&str; 5] = [ENTRY, ENTRY_DEPLOYMENT, ENTRY_AT, MEMORY, CHAIN];

/// The layout that this version writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// What happened. Entries are added at the end, and taken away at the beginning.
const ENTRY: &str = "CREATE TABLE entry (
    seq INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL,
    boot TEXT NOT NULL,
    deployment TEXT NOT NULL,
    kind TEXT NOT NULL,
    generation INTEGER NOT NULL,
    live TEXT,
    who TEXT NOT NULL,
    uid INTEGER,
    pid INTEGER,
    user TEXT,
    client TEXT,
    reason TEXT,
    body TEXT NOT NULL,
    memory BLOB,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT";

/// Holds all that "what was live then" asks for.
const ENTRY_DEPLOYMENT: &str = "CREATE INDEX entry_deployment ON entry (deployment, seq, at_ns, live)";

const ENTRY_AT: &str = "CREATE INDEX entry_at ON entry (at_ns)";

/// The newest memory of each deployment, and the entry that it was written with.
const MEMORY: &str = "CREATE TABLE memory (
    deployment TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    json TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID";

/// One row: the newest entry, and the newest of those that were taken away.
const CHAIN: &str = "CREATE TABLE chain (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    head_seq INTEGER NOT NULL,
    head_hash BLOB NOT NULL,
    anchor_seq INTEGER NOT NULL,
    anchor_hash BLOB NOT NULL
) STRICT";

/// What a file says that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label {
    pub(super) application: i64,
    pub(super) version: i64,
}

/// Reads what a file says that it is.
pub(super) async fn label(conn: &mut SqliteConnection) -> sqlx::Result<Label> {
    let sql = "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version";
    let (application, version) = sqlx::query_as(sql).fetch_one(conn).await?;
    Ok(Label { application, version })
}

/// Brings a file from its layout to the last of `migrations`, wholly or not at all.
pub(super) async fn migrate(conn: &mut SqliteConnection, migrations: &[&[&'static str]]) -> sqlx::Result<()> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let Label { version, .. } = label(&mut transaction).await?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let statements: Vec<&str> = migrations.iter().skip(done).copied().flatten().copied().collect();
    // A pragma takes no parameters.
    let label = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}", migrations.len());
    let sql = statements.into_iter().chain([label.as_str()]).collect::<Vec<_>>().join(";\n");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Whether the file has exactly the tables of this layout: what is changed or added, a trigger perhaps,
/// would change what is written.
pub(super) async fn is_ours(conn: &mut SqliteConnection) -> sqlx::Result<bool> {
    let found: Vec<String> =
        sqlx::query_scalar("SELECT sql FROM sqlite_schema ORDER BY rowid").fetch_all(conn).await?;
    Ok(found.iter().map(String::as_str).eq(SCHEMA))
}
