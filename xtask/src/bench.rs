//! `cargo xtask bench`: figures, each beside the same traffic without bg.

use crate::demo::hand_over;
use crate::session::Session;
use anyhow::Result;

pub(crate) fn task(session: &Session, args: lexopt::Parser) -> Result<()> {
    hand_over(session, "bench", "bg-bench", args)
}
