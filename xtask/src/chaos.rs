//! `cargo xtask chaos`: whether bg can be trusted, on this machine.

use crate::demo::hand_over;
use crate::session::Session;
use crate::sh;
use anyhow::Result;

pub(crate) fn task(session: &Session, args: lexopt::Parser) -> Result<()> {
    daemon(session)?;
    hand_over(session, "chaos", "bg-chaos", args)
}

/// Builds the daemon that has fail points, under another name and beside the tests: what is shipped has none.
pub(crate) fn daemon(session: &Session) -> Result<()> {
    sh::run(&mut session.cargo([
        "build",
        "--workspace",
        "--features",
        "bg-userspace/fail-points",
        "--bin",
        "bgd-chaos",
    ]))
}
