//! How the journal says no, and what its errors mean: a bad file, a busy one, or a place that cannot be
//! used.

use super::place::Place;
use crate::refusal::Refusal;
use nix::sys::statvfs::statvfs;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Why SQLite did not do what it was told.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Trouble {
    /// What is in the file is not what was written to it.
    Bad(String),
    /// Somebody else writes at the moment.
    Busy(Refusal),
    /// The file cannot be used, whatever is in it.
    Unusable(Refusal),
}

impl Trouble {
    /// Tells what an error means.
    pub(super) fn of(error: &sqlx::Error, place: &Place) -> Self {
        let is_content = matches!(
            error,
            sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. }
                | sqlx::Error::RowNotFound
                | sqlx::Error::TypeNotFound { .. }
        );
        match code(error) {
            None if is_content => Self::Bad(error.to_string()),
            None => Self::Unusable(failed(error, &place.file)),
            Some(5 | 6) => Self::Busy(busy(&place.file)),
            Some(8) if place.is_writable() => Self::Bad("it says that it must not be written".to_owned()),
            Some(8) => Self::Unusable(read_only(&place.file)),
            Some(13) => Self::Unusable(full(&place.file)),
            Some(10) if is_full(&place.dir) => Self::Unusable(full(&place.file)),
            Some(3 | 4 | 7 | 9 | 10 | 14 | 15 | 22 | 23) => Self::Unusable(failed(error, &place.file)),
            Some(_) => Self::Bad(error.to_string()),
        }
    }

    /// As a refusal, for whoever cannot put a bad file aside.
    pub(super) fn refusal(self, place: &Place) -> Refusal {
        match self {
            Self::Bad(why) => damaged(&why, &place.file),
            Self::Busy(refusal) | Self::Unusable(refusal) => refusal,
        }
    }
}

/// SQLite's primary result code; <https://www.sqlite.org/rescode.html> has the list.
pub(super) fn code(error: &sqlx::Error) -> Option<u32> {
    // The rest of the number says more about the kind that the low byte names.
    Some(error.as_database_error()?.code()?.parse::<u32>().ok()? & 0xff)
}

/// Makes a refusal of an error of the file system.
pub(super) trait Refuse<T> {
    /// `what` completes "cannot …".
    fn refuse(self, what: &str, path: &Path) -> Result<T, Refusal>;
}

impl<T> Refuse<T> for io::Result<T> {
    fn refuse(self, what: &str, path: &Path) -> Result<T, Refusal> {
        self.map_err(|error| io(what, path, &error))
    }
}

pub(super) fn io(what: &str, path: &Path, error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => full(path),
        Some(libc::EROFS) => read_only(path),
        Some(libc::ELOOP) => untrusted("it is a symbolic link", path),
        Some(libc::EACCES | libc::EPERM) => Refusal::new(
            "journal-forbidden",
            format!("the journal cannot be written: cannot {what}: {error}"),
            path.display(),
            "run as the user that owns it (root), or let the unit write there: StateDirectory=bg",
        ),
        _ => failed(format_args!("cannot {what}: {error}"), path),
    }
}

pub(super) fn full(path: &Path) -> Refusal {
    Refusal::new(
        "journal-full",
        "the journal cannot be written: there is no space left",
        path.display(),
        format!("make room on its file system: df -h {0}; df -i {0}", dir(path)),
    )
}

pub(super) fn read_only(path: &Path) -> Refusal {
    Refusal::new(
        "journal-read-only",
        "the journal cannot be written: it may only be read there",
        path.display(),
        format!(
            "look what the kernel says about the disk (dmesg), then: mount -o remount,rw $(findmnt -no TARGET -T {})",
            dir(path)
        ),
    )
}

pub(super) fn untrusted(why: &str, path: &Path) -> Refusal {
    Refusal::new(
        "journal-untrusted",
        format!("the journal is not used: {why}"),
        path.display(),
        format!(
            "look who made it: ls -ld {0}; then mend it (chown, chmod) or move it away: mv {0} {0}.old",
            path.display()
        ),
    )
}

pub(super) fn held(place: &Place) -> Refusal {
    Refusal::new(
        "journal-held",
        "the journal cannot be written: another process keeps it",
        place.dir.display(),
        format!("end one of the two; this names the other: fuser -v {}", place.dir.display()),
    )
}

pub(super) fn in_use(path: &Path) -> Refusal {
    Refusal::new(
        "journal-in-use",
        "the journal is bad and cannot be put aside: another program has it open",
        path.display(),
        format!("end that program; this names it: fuser -v {}", path.display()),
    )
}

pub(super) fn busy(path: &Path) -> Refusal {
    Refusal::new(
        "journal-busy",
        "the journal cannot be written: another program is writing to it",
        path.display(),
        format!("try again, or end that program; this names it: fuser -v {}", path.display()),
    )
}

pub(super) fn behind(place: &Place, waiting: usize) -> Refusal {
    Refusal::new(
        "journal-behind",
        format!("the journal cannot keep up: {waiting} entries wait to be written"),
        place.file.display(),
        "look what keeps the disk busy (iostat -x 1), then try again",
    )
}

pub(super) fn slow(place: &Place, within: Duration) -> Refusal {
    Refusal::new(
        "journal-slow",
        format!("the journal could not be opened within {} s; it is still tried", within.as_secs()),
        place.file.display(),
        "look at the disk that it is on (dmesg, iostat -x 1); what it remembers comes when it answers",
    )
}

pub(super) fn ended(place: &Place) -> Refusal {
    Refusal::new(
        "journal-ended",
        "the journal cannot be written: its thread has ended",
        place.file.display(),
        "systemctl restart bgd; traffic flows meanwhile",
    )
}

pub(super) fn damaged(why: &str, path: &Path) -> Refusal {
    Refusal::new(
        "journal-damaged",
        format!("the journal is damaged: {why}"),
        path.display(),
        "systemctl restart bgd: it puts the file aside and begins a new one",
    )
}

pub(super) fn newer(version: i64, path: &Path) -> Refusal {
    Refusal::new(
        "journal-newer",
        format!("the journal has layout {version}, which a newer version of bg has written"),
        path.display(),
        "use the version of bgctl that belongs to the daemon",
    )
}

pub(super) fn missing(path: &Path) -> Refusal {
    Refusal::new("journal-missing", "there is no journal", path.display(), "start bgd, which begins one")
}

pub(super) fn failed(why: impl Display, path: &Path) -> Refusal {
    let what = format!("the journal cannot be used: {why}");
    let mend = format!("look at the file system and the disk below it: dmesg; ls -la {}", dir(path));
    Refusal::new("journal-failed", what, path.display(), mend)
}

fn dir(path: &Path) -> std::path::Display<'_> {
    path.parent().unwrap_or(path).display()
}

fn is_full(dir: &Path) -> bool {
    statvfs(dir).is_ok_and(|found| {
        found.blocks_available() == 0 || (found.files() > 0 && found.files_available() == 0)
    })
}
