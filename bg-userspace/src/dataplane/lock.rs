//! One daemon for one instance.

use crate::paths;
use crate::refusal::Refusal;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

/// The right to change an instance's attachments and tables; given back when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock, or names who has it.
    pub(super) fn take(instance: &str) -> Result<Self, Refusal> {
        let path = paths::lock(instance);
        let refused = |error: &dyn std::fmt::Display| {
            let why = format!("the lock file cannot be used: {error}");
            Refusal::new("no-lock", why, path.display(), "run as root, or make the directory writable")
        };
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(|error| refused(&error))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(|error| refused(&error))?;
        let mut holder = String::new();
        // What cannot be read names nobody.
        let _ = file.read_to_string(&mut holder);
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                file.set_len(0).map_err(|error| refused(&error))?;
                let id = format!("{}\n", std::process::id());
                let written = io::Seek::rewind(&mut *file).and_then(|()| file.write_all(id.as_bytes()));
                written.map_err(|error| refused(&error))?;
                Ok(Self { _file: file })
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                let pid = holder.trim();
                Err(Refusal::new(
                    "second-daemon",
                    format!("another bgd already runs instance {instance} (pid {pid})"),
                    path.display(),
                    "stop it first (systemctl stop bgd); a second gateway needs an `instance` and VIPs of its own",
                ))
            }
            Err((_, error)) => Err(refused(&error)),
        }
    }
}

/// Whether a daemon runs the instance.
#[must_use]
pub fn is_held(instance: &str) -> bool {
    let Ok(file) = File::open(paths::lock(instance)) else {
        return false;
    };
    matches!(Flock::lock(file, FlockArg::LockExclusiveNonblock), Err((_, nix::errno::Errno::EWOULDBLOCK)))
}
