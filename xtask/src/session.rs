//! Where a task runs: the workspace, its target directory, the cargo that started it, by whom and with
//! which flags.

use anyhow::{Context as _, Result, bail};
use lexopt::Arg;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

/// What every task needs to know.
#[derive(Debug)]
pub(crate) struct Session {
    /// Root of the workspace.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    cargo: OsString,
}

impl Session {
    pub(crate) fn new() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = PathBuf::from(manifest).parent().context("xtask has no workspace around it")?.to_owned();
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target, cargo: env::var_os("CARGO").unwrap_or_else(|| "cargo".into()) })
    }

    /// The cargo that runs this task, at the root of the workspace.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut cargo = Command::new(&self.cargo);
        cargo.current_dir(&self.root).args(args);
        cargo
    }

    /// Where what tests alone use is.
    pub(crate) fn debug(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// Where release binaries are.
    pub(crate) fn release(&self) -> PathBuf {
        self.target.join("release")
    }
}

/// Sets the flags that a task takes; it takes nothing else.
pub(crate) fn flags<const N: usize>(
    args: &mut lexopt::Parser,
    mut known: [(&str, &mut bool); N],
) -> Result<()> {
    while let Some(arg) = args.next()? {
        match known.iter_mut().find(|(name, _)| arg == Arg::Long(name)) {
            Some((_, flag)) => **flag = true,
            None => return Err(arg.unexpected().into()),
        }
    }
    Ok(())
}

/// Refuses to go on for anybody but root.
pub(crate) fn need_root(what: &str, task: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!(
        "{what}: network namespaces and BPF programs need root\n  \
         mend: sudo env \"HOME=$HOME\" \"PATH=$PATH\" cargo xtask {task}"
    )
}

/// Whether the kernel sees us as root. An unreadable /proc counts as no.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
