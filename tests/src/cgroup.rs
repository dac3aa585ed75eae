//! Control groups of a test's own: what is attached to them meets nobody else's processes.

use crate::run;
use crate::wait;
use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A control group for single threads; gone on drop.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// Makes one below the root of the cgroup2 file system; `None` where there is no such file system.
    ///
    /// # Errors
    ///
    /// When the caller is not root.
    pub fn new() -> Result<Option<Self>> {
        let Some(root) = root() else { return Ok(None) };
        let path = root.join(run::unique());
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        let this = Self(path);
        fs::write(this.0.join("cgroup.type"), "threaded")?;
        Ok(Some(this))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the calling thread in. Sockets that it opens from here on belong to the group.
    ///
    /// # Errors
    ///
    /// When the group is gone.
    pub fn enter(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.threads"), "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A thread that was joined may not have left yet.
        drop(wait::until("the control group is empty", wait::PATIENCE, || fs::remove_dir(&self.0).is_ok()));
    }
}

/// Where the cgroup2 file system is mounted.
#[must_use]
pub fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.find_map(|fields| (*fields.get(2)? == "cgroup2").then_some(PathBuf::from(*fields.get(1)?)))
}
