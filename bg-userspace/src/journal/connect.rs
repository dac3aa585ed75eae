//! Connections to the file: one that writes, and those that read.

use super::place::Place;
use super::refused::Trouble;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection};
use std::time::Duration;

/// How long a writer waits for another one, which writes single entries.
const PATIENCE: Duration = Duration::from_millis(500);

/// The log is cut to this many bytes when its content has gone into the file.
const LOG_BYTES: &str = "4194304";

/// For reading and writing. The file must be there.
pub(super) async fn writer(place: &Place) -> Result<SqliteConnection, Trouble> {
    let options = options(place).synchronous(SqliteSynchronous::Full).pragma("journal_size_limit", LOG_BYTES);
    options.connect().await.map_err(|error| Trouble::of(&error, place))
}

/// For reading. The file must be there.
pub(super) async fn reader(place: &Place) -> Result<SqliteConnection, Trouble> {
    let options = options(place).read_only(true).pragma("query_only", "ON");
    let first = match options.connect().await {
        // A file that can be opened may still have a log that cannot be set up.
        Ok(mut conn) => {
            match sqlx::query_scalar::<_, i64>("PRAGMA schema_version").fetch_one(&mut conn).await {
                Ok(_) => return Ok(conn),
                Err(error) => Trouble::of(&error, place),
            }
        }
        Err(error) => Trouble::of(&error, place),
    };
    // Beside a file that may not be written SQLite cannot set up what readers and writers share. Without
    // entries in a log there is nothing to share.
    if !matches!(first, Trouble::Unusable(_)) || place.has_log() {
        return Err(first);
    }
    options.immutable(true).connect().await.map_err(|_| first)
}

fn options(place: &Place) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&place.file)
        .busy_timeout(PATIENCE)
        .thread_name(|id| format!("bg-sql-{id}"))
        .pragma("cell_size_check", "ON")
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}
