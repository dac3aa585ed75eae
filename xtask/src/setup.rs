//! `cargo xtask setup`: finds or installs what building and testing need. Whatever is there is left
//! alone, and looking costs a few system calls, so that every task can look first.

mod apt;
mod bpffs;
mod ebpf;
mod linker;
mod peers;
mod probe;
mod programs;

use crate::session::{Session, flags};
use crate::sh::{complain, line, run_logged, say};
use anyhow::{Result, bail};
use apt::Apt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// Something that a task cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// To build the packet programs.
    Toolchain,
    /// To make networks, servers and traffic.
    Programs,
    /// To keep programs and tables in the kernel.
    Bpffs,
    /// To measure beside.
    Peers,
}

impl Need {
    /// Everything.
    const ALL: [Self; 4] = [Self::Toolchain, Self::Programs, Self::Bpffs, Self::Peers];

    /// What tests and demonstrations need.
    pub(crate) const TESTS: [Self; 3] = [Self::Toolchain, Self::Programs, Self::Bpffs];

    const fn name(self) -> &'static str {
        match self {
            Self::Toolchain => "eBPF toolchain",
            Self::Programs => "test programs",
            Self::Bpffs => "bpffs",
            Self::Peers => "bench peers",
        }
    }

    /// What is there, or else what is missing.
    fn look(self, session: &Session) -> Result<String, String> {
        match self {
            Self::Toolchain => ebpf::look(session),
            Self::Programs => programs::look(),
            Self::Bpffs => bpffs::look(),
            Self::Peers => peers::look(),
        }
    }

    /// Whether a task goes on without it and says what it leaves out.
    const fn is_optional(self) -> bool {
        matches!(self, Self::Peers)
    }

    fn provide(self, installer: &Installer<'_>) -> Result<()> {
        match self {
            Self::Toolchain => ebpf::provide(installer),
            Self::Programs => programs::provide(installer),
            Self::Bpffs => bpffs::provide(installer),
            Self::Peers => peers::provide(installer),
        }
    }
}

pub(crate) fn task(session: &Session, mut args: lexopt::Parser) -> Result<()> {
    let mut only_look = false;
    flags(&mut args, [("check", &mut only_look)])?;
    let missing = Need::ALL.into_iter().filter(|need| !report(session, *need)).collect::<Vec<_>>();
    match (missing.as_slice(), only_look) {
        ([], _) => Ok(()),
        (missing, false) => install(session, missing),
        (missing, true) if missing.iter().all(|need| need.is_optional()) => Ok(()),
        (_, true) => bail!("something is missing; `cargo xtask setup` installs it"),
    }
}

/// Installs what is missing of `needs`; says nothing when all is there.
pub(crate) fn ensure(session: &Session, needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| need.look(session).is_err()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        report(session, *need);
    }
    install(session, &missing)
}

fn report(session: &Session, need: Need) -> bool {
    let (state, what, ready) = match need.look(session) {
        Ok(what) => ("ready", what, true),
        Err(what) => ("missing", what, false),
    };
    say(&format!("setup: {:<15}{state:<9}{what}", need.name()));
    ready
}

fn install(session: &Session, missing: &[Need]) -> Result<()> {
    let installer = Installer::new(session);
    let start = Instant::now();
    let mut failed = 0;
    // All of them, so that whoever has to help reads everything at once.
    for need in missing {
        let done = need.provide(&installer);
        match done.and_then(|()| need.look(session).map_err(anyhow::Error::msg)) {
            Ok(what) => say(&format!("setup: {:<15}{:<9}{what}", need.name(), "ready")),
            Err(error) if need.is_optional() => {
                complain(&format!("setup: {:<15}{:<9}{error:#}", need.name(), "left out"));
            }
            Err(error) => {
                failed += 1;
                complain(&format!("setup: {:<15}{:<9}{error:#}", need.name(), "failed"));
            }
        }
    }
    match failed {
        0 => say(&format!("setup: done in {} s", start.elapsed().as_secs())),
        _ => bail!("setup is not complete; do what is said above, then run `cargo xtask setup` again"),
    }
    Ok(())
}

/// What the parts of an installation share.
#[derive(Debug)]
struct Installer<'a> {
    session: &'a Session,
    log: PathBuf,
    apt: Apt,
}

impl<'a> Installer<'a> {
    fn new(session: &'a Session) -> Self {
        let log = session.target.join("setup.log");
        // It tells of one installation; if it cannot be removed, writing it will say why.
        drop(fs::remove_file(&log));
        Self { session, log, apt: Apt::default() }
    }

    /// Runs one command of the installation and says what, why and for how long.
    fn step(&self, why: &str, command: &mut Command) -> Result<()> {
        say(&format!("setup:   {}\n         {why} …", line(command)));
        let took = run_logged(command, &self.log)?;
        say(&format!("         done in {:.1} s", took.as_secs_f64()));
        Ok(())
    }
}
