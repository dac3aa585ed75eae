//! What one run of the harness owns: a prefix for every name it gives out, a directory for its files,
//! and the sweep that removes what dead runs left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "bgt";

/// Where pins of named instances live.
pub const PINS: &str = "/sys/fs/bpf/bg";
/// Where sockets and locks of named instances live.
pub const RUNTIME: &str = "/run/bg";
const NAMESPACES: &str = "/run/netns";

/// A fresh name, `bgt-<pid>-<n>`. The first call sweeps.
#[must_use]
pub fn unique() -> String {
    static SWEPT: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    SWEPT.call_once(sweep);
    format!("{PREFIX}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A directory that is removed on drop.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// When the temporary directory is not writable.
    pub fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(unique());
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover is swept by the next run.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Removes namespaces, control groups, pins, runtime directories and files of runs whose process is gone.
fn sweep() {
    for name in leftovers(Path::new(NAMESPACES)) {
        drop(Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status());
    }
    if let Some(groups) = crate::cgroup::root() {
        for name in leftovers(&groups) {
            drop(fs::remove_dir(groups.join(name)));
        }
    }
    for directory in [Path::new(PINS), Path::new(RUNTIME), &std::env::temp_dir()] {
        for name in leftovers(directory) {
            drop(fs::remove_dir_all(directory.join(name)));
        }
    }
}

fn leftovers(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| owner(name).is_some_and(|pid| !Path::new("/proc").join(pid).exists()))
        .collect()
}

/// The process that a name of ours carries.
fn owner(name: &str) -> Option<&str> {
    let (pid, _) = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split_once('-')?;
    pid.bytes().all(|digit| digit.is_ascii_digit()).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_harness_have_an_owner() {
        for (name, pid) in [
            ("bgt-12-0", Some("12")),
            ("bgt-12-0-gateway", Some("12")),
            ("bgt-x-0", None),
            ("bgt-12", None),
            ("default", None),
        ] {
            assert_eq!(owner(name), pid, "{name}");
        }
    }
}
