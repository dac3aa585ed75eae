//! Where a journal lies: its directory and files, who may touch them, and how a bad file is put aside. No
//! descriptor of the database is opened here while it may be in use: closing one would drop SQLite's locks.

use super::refused::{self, Refuse as _};
use crate::refusal::Refusal;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::unistd::{AccessFlags, eaccess, geteuid};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// SQLite's files of one database, by what is added to its name.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Where a journal lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) file: PathBuf,
}

/// What lies there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Nothing,
    /// A file without content.
    Empty,
    File,
}

/// The right to be the one who keeps a journal; given back when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    dir: Flock<File>,
}

impl Place {
    pub(super) fn new(path: &Path) -> Self {
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
        Self { dir, file }
    }

    /// Makes the directory if it is missing, and sees to it that nobody else can use it.
    pub(super) fn prepare(&self) -> Result<(), Refusal> {
        let Self { dir, .. } = self;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).refuse("make its directory", dir)?;
        let found = fs::symlink_metadata(dir).refuse("look at its directory", dir)?;
        if !found.is_dir() {
            return Err(refused::untrusted("its directory is a symbolic link", dir));
        }
        require_own(&found, dir)?;
        if found.mode() & 0o022 != 0 {
            return Err(refused::untrusted("others can write to its directory", dir));
        }
        if found.mode() & 0o077 != 0 {
            fs::set_permissions(dir, Permissions::from_mode(0o700)).refuse("close its directory", dir)?;
        }
        Ok(())
    }

    /// Takes the lock, unless somebody has it.
    pub(super) fn lock(&self) -> Result<Option<Lock>, Refusal> {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let dir = OpenOptions::new().read(true).custom_flags(flags).open(&self.dir);
        match Flock::lock(dir.refuse("open its directory", &self.dir)?, FlockArg::LockExclusiveNonblock) {
            Ok(dir) => Ok(Some(Lock { dir })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(refused::io("lock its directory", &self.dir, &error.into())),
        }
    }

    /// Whether `lock` is still one of this place: the directory may have been replaced.
    pub(super) fn is_of(&self, lock: &Lock) -> bool {
        let locked = lock.dir.metadata().ok().map(|found| (found.dev(), found.ino()));
        locked.is_some() && locked == identity(&self.dir)
    }

    /// What lies there; refused if it may be somebody else's or cannot be written, and kept from others.
    pub(super) fn look(&self) -> Result<Found, Refusal> {
        let found = self.look_only()?;
        require_writable(&self.dir)?;
        for path in SUFFIXES.map(|suffix| self.with(suffix)) {
            let Ok(found) = fs::symlink_metadata(&path) else {
                continue;
            };
            require_own(&found, &path)?;
            require_writable(&path)?;
            if found.mode() & 0o077 != 0 {
                fs::set_permissions(&path, Permissions::from_mode(0o600)).refuse("close it", &path)?;
            }
        }
        Ok(found)
    }

    /// What lies there, if it is made of files.
    pub(super) fn look_only(&self) -> Result<Found, Refusal> {
        let mut outcome = Found::Nothing;
        for suffix in SUFFIXES {
            let path = self.with(suffix);
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(refused::io("look at it", &path, &error)),
            };
            if found.is_symlink() {
                return Err(refused::untrusted("it is a symbolic link", &path));
            }
            if !found.is_file() {
                return Err(refused::untrusted("it is not a file", &path));
            }
            if suffix.is_empty() {
                outcome = if found.len() == 0 { Found::Empty } else { Found::File };
            }
        }
        Ok(outcome)
    }

    /// Which file lies there; `None` if none does.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        identity(&self.file)
    }

    /// Length of the file.
    pub(super) fn bytes(&self) -> u64 {
        fs::symlink_metadata(&self.file).map_or(0, |found| found.len())
    }

    /// Whether the file system and the permissions allow to write to the file.
    pub(super) fn is_writable(&self) -> bool {
        [&self.dir, &self.file].into_iter().all(|path| require_writable(path).is_ok())
    }

    /// Whether entries wait in a log beside the file.
    pub(super) fn has_log(&self) -> bool {
        fs::symlink_metadata(self.with("-wal")).is_ok_and(|found| found.len() > 0)
    }

    /// Where the next journal is made before it gets its name.
    pub(super) fn unfinished(&self) -> Self {
        Self { dir: self.dir.clone(), file: self.with(".new") }
    }

    /// Makes an empty file that was not there.
    pub(super) fn create(&self) -> Result<(), Refusal> {
        self.remove();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        options.open(&self.file).map(drop).refuse("make it", &self.file)
    }

    /// Removes the files, as far as they are there and can be removed.
    pub(super) fn remove(&self) {
        for suffix in SUFFIXES {
            // What is left stands in the way of the next step, which says so.
            let _ = fs::remove_file(self.with(suffix));
        }
    }

    /// Where bad files of this moment go: a name that is not in use.
    pub(super) fn aside(&self) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let first = self.with(&format!(".bad-{now}"));
        let others = (1_u64..).map(|n| self.with(&format!(".bad-{now}-{n}")));
        let names = std::iter::once(first).chain(others);
        let places = names.map(|file| Self { dir: self.dir.clone(), file });
        let is_free =
            |place: &Self| SUFFIXES.iter().all(|suffix| fs::symlink_metadata(place.with(suffix)).is_err());
        places.into_iter().find(is_free).unwrap_or_else(|| self.unfinished())
    }

    /// Whether there is anything to put aside.
    pub(super) fn has_any(&self) -> bool {
        SUFFIXES.iter().any(|suffix| fs::symlink_metadata(self.with(suffix)).is_ok())
    }

    /// Renames the files that are there to those of `to`. Nobody may be using them: on its end a connection
    /// removes the log by its name, which would be the next journal's.
    pub(super) fn rename(&self, to: &Self) -> Result<(), Refusal> {
        let _unused = self.require_unused()?;
        for suffix in SUFFIXES {
            let (from, to) = (self.with(suffix), to.with(suffix));
            match fs::rename(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(refused::io("put it aside", &from, &error));
                }
                _ => {}
            }
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).refuse("write its directory", &self.dir)
    }

    /// Refuses while another process has the database open; keeps it from being opened until dropped.
    fn require_unused(&self) -> Result<Option<File>, Refusal> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        let file = match options.open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused::io("open it", &self.file, &error)),
        };
        // The bytes that SQLite locks as long as a connection to a database with a log lives.
        let shared = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0x4000_0002,
            l_len: 510,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_SETLK(&shared)) {
            Ok(_) => Ok(Some(file)),
            Err(Errno::EACCES | Errno::EAGAIN) => Err(refused::in_use(&self.file)),
            Err(error) => Err(refused::io("lock it", &self.file, &error.into())),
        }
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.file);
        name.push(suffix);
        name.into()
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn require_writable(path: &Path) -> Result<(), Refusal> {
    eaccess(path, AccessFlags::W_OK).map_err(io::Error::from).refuse("write to it", path)
}

fn require_own(found: &fs::Metadata, path: &Path) -> Result<(), Refusal> {
    if found.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(refused::untrusted(&format!("it belongs to user {}", found.uid()), path))
}
