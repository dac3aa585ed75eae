//! Connections to the file: one that writes, and those that read.

use super::place::Place;
use super::refused::Trouble;
use super::schema::{self, Label};
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

/// For reading, and what the file says that it is. The file must be there.
pub(super) async fn reader(place: &Place) -> Result<(SqliteConnection, Label), Trouble> {
    let options = options(place).read_only(true);
    let first = match labelled(&options).await {
        Ok(found) => return Ok(found),
        Err(error) => Trouble::of(&error, place),
    };
    // Beside a file that may not be written SQLite cannot set up what readers and writers share. Without
    // entries in a log there is nothing to share.
    if !matches!(first, Trouble::Unusable(_)) || place.has_log() {
        return Err(first);
    }
    labelled(&options.immutable(true)).await.map_err(|_| first)
}

/// A file that can be opened may still have a log that cannot be set up: only reading shows it.
async fn labelled(options: &SqliteConnectOptions) -> sqlx::Result<(SqliteConnection, Label)> {
    let mut conn = options.connect().await?;
    let label = schema::label(&mut conn).await?;
    Ok((conn, label))
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
