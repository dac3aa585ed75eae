//! Entries that were lost: counted until the journal works again, and told there in an entry of their own.

use super::Entry;
use super::open;
use crate::model::record::What;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Counts what is lost. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Missing(Arc<Mutex<Option<Lost>>>);

/// What is missing since the entry before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lost {
    entries: u64,
    since: u64,
    why: String,
}

impl Missing {
    /// So many were lost, for this reason.
    pub(super) fn add(&self, entries: u64, why: &str) {
        if entries > 0 {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            self.put(Some(Lost { entries, since, why: why.to_owned() }), false);
        }
    }

    /// Whether any is missing.
    pub(super) fn any(&self) -> bool {
        self.lock().is_some()
    }

    /// What is missing, to be told.
    pub(super) fn take(&self) -> Option<Lost> {
        self.lock().take()
    }

    /// It could not be told.
    pub(super) fn put_back(&self, lost: Option<Lost>) {
        self.put(lost, true);
    }

    /// The reason of the earlier ones stays.
    fn put(&self, lost: Option<Lost>, is_earlier: bool) {
        let mut slot = self.lock();
        let (earlier, later) = if is_earlier { (lost, slot.take()) } else { (slot.take(), lost) };
        *slot = match (earlier, later) {
            (Some(earlier), Some(later)) => {
                Some(Lost { entries: earlier.entries.saturating_add(later.entries), ..earlier })
            }
            (earlier, later) => earlier.or(later),
        };
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lost>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lost {
    /// The entry that tells it.
    pub(super) fn entry(&self) -> Entry {
        let Self { entries, since, why } = self.clone();
        Entry { record: open::about_itself(What::JournalGap { lost: entries, since, why }), memory: None }
    }
}
