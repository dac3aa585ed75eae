//! One entry without a daemon. Where one keeps the journal all the same, the entry goes in between its own.

use super::clock::{self, Stamp};
use super::open::{self, Look};
use super::place::Place;
use super::refused::{self, Trouble};
use super::row::Draft;
use super::{Entry, KEEP, Stored};
use crate::refusal::Refusal;
use sqlx::Connection as _;
use std::path::Path;

/// Writes one entry to stable storage in the journal at `path`. A missing or bad file is begun anew, unless
/// a daemon keeps it, which does that itself.
///
/// # Errors
///
/// When it was not written: no space, no permission, somebody else writes for longer than half a second.
pub async fn append(path: &Path, entry: Entry) -> Result<Stored, Refusal> {
    let stamp = Stamp::now();
    let place = Place::new(path);
    place.prepare()?;
    let draft = Draft::new(&entry, stamp, &clock::boot()).map_err(|why| refused::failed(why, &place.file))?;
    // Held until the end, so that a daemon that starts meanwhile waits.
    let lock = place.lock()?;
    let mut open = match &lock {
        Some(_) => open::open(&place, Look::Quick).await?,
        None => open::join(&place).await?,
    };
    let stored = open.store(&[draft], true, KEEP).await;
    let rebuilt = open.rebuilt.take();
    // What was written stays written; what does not go into the file stays in its log.
    let _ = open.conn.close().await;
    let links = stored.map_err(|error| Trouble::of(&error, &place).refusal(&place))?;
    let link = links.first().copied().ok_or_else(|| refused::failed("nothing was written", &place.file))?;
    Ok(Stored { seq: link.seq, hash: link.hash, rebuilt })
}
