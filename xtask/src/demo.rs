//! `cargo xtask demo`: live traffic, switched back and forth on this machine.

use crate::build;
use crate::session::{self, Session};
use crate::setup::{self, Need};
use anyhow::{Context as _, Result};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

pub(crate) fn task(session: &Session, args: lexopt::Parser) -> Result<()> {
    hand_over(session, "demo", "bg-demo", args)
}

/// Builds `program` with the product in release, and becomes it: so Ctrl-C reaches the one that has to
/// clean up, and nothing stands between its output and the terminal.
pub(crate) fn hand_over(
    session: &Session,
    task: &str,
    program: &str,
    mut args: lexopt::Parser,
) -> Result<()> {
    session::need_root(task, task)?;
    setup::ensure(session, &Need::TESTS)?;
    build::release(session, &["bgd", "bgctl", program])?;
    let path = session.release().join(program);
    let mut command = Command::new(&path);
    command
        .args(args.raw_args()?)
        .env("BG_BIN_DIR", session.release())
        .env("BG_TEST_BIN_DIR", session.debug());
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", path.display()))
}
