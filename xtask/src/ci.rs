//! `cargo xtask ci`: what the project's CI runs, so that green here is green there.

use crate::session::Session;
use crate::test;
use anyhow::Result;

pub(crate) fn task(session: &Session, args: lexopt::Parser) -> Result<()> {
    test::task(session, args)
}
