//! Where things are pinned: `/sys/fs/bpf/bg/<instance>/v<ABI>/`, with the tables on the top level,
//! programs in `programs/` and attachments in `links/`.

use crate::refusal::Refusal;
use aya::maps::MapInfo;
use bg_common::ABI_VERSION;
use bg_common::names;
use bg_common::table::{TABLES, Table};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

const BPFFS: &str = "/sys/fs/bpf";

/// Prefix of directories that are being filled. bpffs reserves names with a dot.
const UNFINISHED: &str = "new-";

/// Where an instance's things are pinned.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    instance: String,
    base: PathBuf,
}

impl Pins {
    pub(super) fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), base: Path::new(BPFFS).join("bg").join(instance) }
    }

    /// The directory of this version's layout.
    pub(super) fn dir(&self) -> PathBuf {
        self.base.join(format!("v{ABI_VERSION}"))
    }

    /// A directory to fill before it becomes [`Pins::dir`] by one rename.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.base.join(format!("{UNFINISHED}{}", std::process::id()))
    }

    pub(super) fn exists(&self) -> Result<bool, Refusal> {
        match fs::symlink_metadata(self.dir()) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(refused(&self.dir(), &error)),
        }
    }

    /// Whether there is nothing of the instance at all.
    pub(super) fn is_empty(&self) -> bool {
        file_names(&self.base).is_empty()
    }

    /// What to type to take everything of this instance down.
    pub(super) fn detach_command(&self) -> String {
        format!("bgctl --instance {} detach", self.instance)
    }

    /// Refuses unless there is a BPF file system to pin to.
    pub(super) fn require_bpffs() -> Result<(), Refusal> {
        match statfs(BPFFS) {
            Ok(stat) if stat.filesystem_type() == BPF_FS_MAGIC => Ok(()),
            _ => Err(Refusal::new(
                "no-bpffs",
                "no BPF file system is mounted, so nothing can outlive the daemon",
                BPFFS,
                format!(
                    "mount -t bpf -o mode=0700 bpf {BPFFS}; `ip netns exec` hides one that is there: enter a \
                     network namespace by nsenter --net=/run/netns/NAME"
                ),
            )),
        }
    }

    /// Refuses unless what is there of the way to the pins is a directory of our own that nobody else can
    /// change: on a BPF file system that is open to all, anybody may have been here first.
    pub(super) fn require_own(&self) -> Result<(), Refusal> {
        for path in [self.base.parent().unwrap_or(&self.base), &self.base, &self.dir()] {
            let Ok(found) = fs::symlink_metadata(path) else {
                continue;
            };
            let ours = found.uid() == nix::unistd::geteuid().as_raw();
            if !found.is_dir() || !ours || found.mode() & 0o022 != 0 {
                return Err(Refusal::new(
                    "untrusted-pins",
                    "this is not a directory that only the daemon's user can change",
                    path.display(),
                    format!("look who made it, then: rm -r {}", path.display()),
                ));
            }
        }
        Ok(())
    }

    /// Removes what an interrupted start left, and refuses when another version's pins are there.
    pub(super) fn tidy_up(&self) -> Result<(), Refusal> {
        for name in file_names(&self.base) {
            let path = self.base.join(&name);
            if name.starts_with(UNFINISHED) && path.is_dir() && !path.is_symlink() {
                remove_tree(&path).map_err(|error| refused(&path, &error))?;
            } else if path != self.dir() {
                return Err(Refusal::new(
                    "other-layout",
                    format!(
                        "these pins are not of layout v{ABI_VERSION}, which is all that this version reads"
                    ),
                    path.display(),
                    format!("take them down with the version that made them, or: {}", self.detach_command()),
                ));
            }
        }
        Ok(())
    }

    /// Refuses unless every table is pinned in the form of the contract, and nothing else is.
    pub(super) fn check_layout(&self) -> Result<(), Refusal> {
        for table in &TABLES {
            let path = self.dir().join(table.name);
            let found = MapInfo::from_pin(&path).map_err(|error| {
                let why = format!("the table {} cannot be opened: {error}", table.name);
                Refusal::new("broken-pins", why, path.display(), self.detach_command())
            })?;
            if let Some(difference) = difference(table, &found) {
                let why = format!("the table {} has another form: {difference}", table.name);
                return Err(Refusal::new("broken-pins", why, path.display(), self.detach_command()));
            }
        }
        for name in file_names(&self.dir()) {
            let ours = TABLES.iter().any(|table| table.name == name);
            if !ours && name != "programs" && name != "links" {
                let path = self.dir().join(&name);
                let why = format!("{name} is pinned here, but it is none of bg's");
                return Err(Refusal::new(
                    "foreign-pin",
                    why,
                    path.display(),
                    format!("rm {}", path.display()),
                ));
            }
        }
        Ok(())
    }

    /// Tells of flow tables that have another size than is configured: it counts when they are made.
    pub(super) fn compare_sizes(&self, flows: u32, half_open: u32) {
        for (name, wanted) in [(names::FLOWS, flows), (names::HALF_OPEN, half_open)] {
            let Ok(found) = MapInfo::from_pin(self.dir().join(name)) else {
                continue;
            };
            if found.max_entries() != wanted {
                let (has, mend) = (found.max_entries(), self.detach_command());
                tracing::warn!(table = name, has, wanted, %mend, "a table keeps the size that it was made with");
            }
        }
    }

    /// Removes every pin of the instance, of any version. Returns how many there were.
    pub(super) fn remove(&self) -> Result<usize, Refusal> {
        let removed = remove_tree(&self.base).map_err(|error| refused(&self.base, &error))?;
        // Other instances may have theirs beside ours.
        let _ = self.base.parent().map(fs::remove_dir);
        Ok(removed)
    }
}

/// How a pinned table differs from its form.
fn difference(table: &Table, found: &MapInfo) -> Option<String> {
    let kind = found.map_type().map_or(0, |kind| kind as u32);
    let configurable = [names::FLOWS, names::HALF_OPEN].contains(&table.name);
    let entries = if configurable { found.max_entries() } else { table.max_entries };
    [
        ("type", table.kind as u32, kind),
        ("key size", table.key_size, found.key_size()),
        ("value size", table.value_size, found.value_size()),
        ("entries", entries, found.max_entries()),
        ("flags", table.flags, found.map_flags()),
    ]
    .into_iter()
    .find(|(_, want, have)| want != have)
    .map(|(what, want, have)| format!("{what} is {have}, not {want}"))
}

/// File names in a directory; none if there is no such directory.
pub(super) fn file_names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

pub(super) fn create_dir(path: &Path) -> Result<(), Refusal> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| refused(path, &error))
}

pub(super) fn refused(path: &Path, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        "pin-refused",
        format!("the BPF file system refuses: {error}"),
        path.display(),
        "run as root, or with CAP_BPF and write access to /sys/fs/bpf",
    )
}

/// Removes a directory with all that is in it, following no symbolic link.
fn remove_tree(path: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for name in file_names(path) {
        let child = path.join(name);
        if fs::symlink_metadata(&child)?.is_dir() {
            removed += remove_tree(&child)?;
        } else {
            fs::remove_file(&child)?;
            removed += 1;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(removed),
    }
}
