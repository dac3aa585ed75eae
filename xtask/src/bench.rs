//! `cargo xtask bench`: figures, each beside the same traffic without bg.

use crate::demo::hand_over;
use crate::session::{self, Session};
use crate::setup::{self, Need};
use anyhow::Result;

pub(crate) fn task(session: &Session, args: lexopt::Parser) -> Result<()> {
    session::need_root("bench", "bench")?;
    setup::ensure(session, &[Need::Peers])?;
    hand_over(session, "bench", "bg-bench", args)
}
