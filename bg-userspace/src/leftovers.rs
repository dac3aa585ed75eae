//! What a daemon leaves in its runtime directory for whoever comes after it: the VIPs that it has
//! added, so that the next daemon or `bgctl detach` knows them whatever the configuration says by
//! then; the lock; and, when it was killed, its socket.

use crate::paths;
use crate::refusal::Refusal;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The VIPs that a daemon of one instance has added.
#[derive(Clone, Debug)]
pub struct Vips {
    path: PathBuf,
}

impl Vips {
    /// Those of `instance`.
    #[must_use]
    pub fn of(instance: &str) -> Self {
        Self { path: paths::runtime_dir(instance).join("vips") }
    }

    /// What was remembered last; lines that are no address were written by nobody of ours.
    #[must_use]
    pub fn read(&self) -> Vec<IpAddr> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Remembers `vips` and nothing else.
    ///
    /// # Errors
    ///
    /// When the directory is not writable.
    pub fn write(&self, vips: &[IpAddr]) -> Result<(), Refusal> {
        let result = if vips.is_empty() { self.remove() } else { self.replace(vips) };
        result.map_err(|why| {
            let what = format!("cannot remember which VIPs were added: {why}");
            let mend = "make the directory writable for bgd, or free some space";
            Refusal::new("vips-not-remembered", what, self.path.display(), mend)
        })
    }

    fn replace(&self, vips: &[IpAddr]) -> io::Result<()> {
        let text: String = vips.iter().map(|vip| format!("{vip}\n")).collect();
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.path)
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(why) if why.kind() != ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }
}

/// Removes the socket at `path` if nobody listens on it any more.
pub fn remove_dead_socket(path: &Path) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    // The kernel refuses a connection to an ordinary file in the same words.
    if is_socket && UnixStream::connect(path).is_err_and(|why| why.kind() == ErrorKind::ConnectionRefused) {
        // Somebody else may have removed it first.
        let _ = fs::remove_file(path);
    }
}

/// Removes the lock of an instance that is down, and its directory if nothing else is in it.
pub fn remove_lock(instance: &str) {
    // Neither has to be there, and other things may be beside the lock.
    let _ = fs::remove_file(paths::lock(instance));
    let _ = fs::remove_dir(paths::runtime_dir(instance));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vips_are_remembered_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let vips = Vips { path: dir.path().join("vips") };
        assert_eq!(vips.read(), [] as [IpAddr; 0]);
        let some: [IpAddr; 2] = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
        vips.write(&some).unwrap();
        assert_eq!(vips.read(), some);
        vips.write(&[]).unwrap();
        vips.write(&[]).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        let nowhere = Vips { path: dir.path().join("missing/vips") };
        assert!(nowhere.write(&some).unwrap_err().at.ends_with("missing/vips"));
    }

    #[test]
    fn only_a_dead_socket_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bg.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        remove_dead_socket(&path);
        assert!(path.exists());
        drop(listener);
        remove_dead_socket(&path);
        assert!(!path.exists());

        fs::write(&path, "no socket").unwrap();
        remove_dead_socket(&path);
        assert!(path.exists());
    }
}
