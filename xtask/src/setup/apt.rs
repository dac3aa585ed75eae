//! Debian's package manager, for those who may use it, and the words for those who may not.

use super::Installer;
use crate::session::is_root;
use crate::sh::say;
use crate::toolchain::find_program;
use anyhow::{Context as _, Result, bail};
use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// apt-get, with its package lists brought up to date before the first use.
#[derive(Debug, Default)]
pub(super) struct Apt {
    updated: Cell<bool>,
}

impl Apt {
    /// Installs packages without starting any service that comes with them.
    pub(super) fn install(&self, installer: &Installer<'_>, why: &str, packages: &[&str]) -> Result<()> {
        let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
        if find_program("apt-get").is_none() {
            bail!("there is no apt-get here\n  mend: install what Debian calls {}", packages.join(" "));
        }
        if !is_root() {
            bail!("packages are installed by root\n  mend: sudo {by_hand}");
        }
        if !self.updated.replace(true) {
            // One archive out of reach need not be the one that matters.
            if let Err(error) =
                installer.step("brings the package lists up to date", &mut apt_get(&["update"]))
            {
                say(&format!("         went wrong: {error:#}"));
            }
        }
        let _quiet = Services::hold_back()?;
        let mut install = apt_get(&["install", "--yes", "--no-install-recommends"]);
        installer.step(why, install.args(packages))
    }
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// As long as it lives, packages start no services: the tests want the programs, not a web server
/// on port 80. See Debian's policy on `policy-rc.d`.
struct Services {
    made: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const MARK: &str = "# cargo xtask setup";

impl Services {
    fn hold_back() -> Result<Self> {
        // An administrator's policy stands; one of ours is what a killed set-up left behind.
        let made =
            fs::read_to_string(POLICY).map_or(!Path::new(POLICY).exists(), |policy| policy.contains(MARK));
        if made {
            // Left behind, it forbids nothing.
            let me = std::process::id();
            let script = format!("#!/bin/sh\n{MARK}\nkill -0 {me} 2>/dev/null && exit 101\nexit 0\n");
            fs::write(POLICY, script)
                .and_then(|()| fs::set_permissions(POLICY, Permissions::from_mode(0o755)))
                .with_context(|| format!("cannot write {POLICY}"))?;
        }
        Ok(Self { made })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if self.made {
            // It forbids nothing once this process has ended.
            drop(fs::remove_file(POLICY));
        }
    }
}
