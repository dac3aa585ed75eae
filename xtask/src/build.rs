//! `cargo xtask build`: everything, the packet programs included.

use crate::session::{Session, flags};
use crate::setup::{self, Need};
use crate::sh;
use anyhow::Result;

mod stats;

pub(crate) fn task(session: &Session, mut args: lexopt::Parser) -> Result<()> {
    let (mut release, mut stats) = (false, false);
    flags(&mut args, [("release", &mut release), ("stats", &mut stats)])?;
    setup::ensure(session, &[Need::Toolchain])?;
    let mut build = session.cargo(["build", "--workspace", "--all-targets"]);
    if release {
        build.arg("--release");
    }
    sh::run(&mut build)?;
    let programs = if release { session.release() } else { session.debug() };
    if stats { stats::print(session, &programs) } else { Ok(()) }
}

/// Builds some programs as they are delivered. Always out of the whole workspace, because that decides
/// on the features of what they depend on: all tasks share what one of them has built.
pub(crate) fn release(session: &Session, programs: &[&str]) -> Result<()> {
    let mut build = session.cargo(["build", "--release", "--workspace"]);
    sh::run(build.args(programs.iter().flat_map(|program| ["--bin", program])))
}
