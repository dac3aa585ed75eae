//! Where bg keeps things on a machine: one function or constant for each place.

use std::path::PathBuf;

/// The configuration that `bgd` and `bgctl` read unless told otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/bg/bg.toml";

/// The instance of a machine that runs one gateway.
pub const DEFAULT_INSTANCE: &str = "default";

const RUNTIME: &str = "/run/bg";

const STATE: &str = "/var/lib/bg";

/// The directory of an instance's socket and lock.
#[must_use]
pub fn runtime_dir(instance: &str) -> PathBuf {
    PathBuf::from(RUNTIME).join(instance)
}

/// The control socket of an instance, unless configured.
#[must_use]
pub fn socket(instance: &str) -> PathBuf {
    runtime_dir(instance).join("bg.sock")
}

/// The lock that the daemon of an instance holds.
#[must_use]
pub fn lock(instance: &str) -> PathBuf {
    runtime_dir(instance).join("lock")
}

/// The directory of what an instance remembers across reboots.
#[must_use]
pub fn state_dir(instance: &str) -> PathBuf {
    PathBuf::from(STATE).join(instance)
}

/// The journal of an instance.
#[must_use]
pub fn journal(instance: &str) -> PathBuf {
    state_dir(instance).join("journal.db")
}
