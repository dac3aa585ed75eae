//! The control socket as a file: made for the daemon's user only, taken over from a daemon that is
//! dead, never from one that lives.

use crate::refusal::Refusal;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// A socket that clients can connect to; the file goes away with it.
#[derive(Debug)]
pub struct Listening {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Listening {
    /// Listens at `path`.
    ///
    /// # Errors
    ///
    /// When a daemon answers there, when something else is in the way, or when the directory is not
    /// writable.
    pub fn bind(path: &Path) -> Result<Self, Refusal> {
        let failed = |why: io::Error| {
            let mend = "run as root, or choose another path with `socket` in [gateway]";
            Refusal::new(
                "socket",
                format!("cannot listen on the control socket: {why}"),
                path.display(),
                mend,
            )
        };
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(failed)?;
        }
        make_way(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        // From here on the file is ours to remove. Who connects before the mode is set is checked by
        // uid like everybody else.
        let this = Self { listener, path: path.to_owned() };
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(this)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have been removed by hand already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what a dead daemon left.
fn make_way(path: &Path) -> Result<(), Refusal> {
    let in_the_way = |what: String, mend: String| Refusal::new("socket", what, path.display(), mend);
    let found = match fs::symlink_metadata(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        Err(why) => {
            return Err(in_the_way(
                format!("cannot look at the control socket: {why}"),
                "run as root".into(),
            ));
        }
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        let mend = format!("move it away: mv {0} {0}.old", path.display());
        return Err(in_the_way("there is a file that is no socket".to_owned(), mend));
    }
    match UnixStream::connect(path) {
        Err(why) if why.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(|why| {
            in_the_way(
                format!("a dead daemon's socket cannot be removed: {why}"),
                format!("rm {}", path.display()),
            )
        }),
        Err(why) => {
            Err(in_the_way(format!("cannot tell whose socket this is: {why}"), "run as root".to_owned()))
        }
        Ok(stream) => {
            let (who, mend) = match getsockopt(&stream, PeerCredentials) {
                Ok(peer) => (format!("process {}", peer.pid()), format!("stop it: kill {}", peer.pid())),
                Err(_) => ("a process".to_owned(), "stop it".to_owned()),
            };
            let what = format!("{who} answers on the control socket already");
            Err(Refusal::new(
                "already-running",
                what,
                path.display(),
                format!("{mend}, or choose another instance"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_the_daemons_user_only_and_goes_away_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/bg.sock");
        let listening = Listening::bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o750);
        drop(listening);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bg.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Listening::bind(&path).unwrap();
    }

    #[tokio::test]
    async fn a_living_daemon_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bg.sock");
        let _first = Listening::bind(&path).unwrap();
        let refusal = Listening::bind(&path).unwrap_err();
        assert_eq!(refusal.code, "already-running");
        assert!(refusal.what.contains(&format!("process {}", std::process::id())), "{refusal}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bg.sock");
        fs::write(&path, "precious").unwrap();
        let refusal = Listening::bind(&path).unwrap_err();
        assert!(refusal.what.contains("no socket") && refusal.mend.contains("mv "), "{refusal}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
