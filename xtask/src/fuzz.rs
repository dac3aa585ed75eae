//! `cargo xtask fuzz`: the packet programs against a plain model of them, in this machine's kernel.

use crate::demo::hand_over;
use crate::session::Session;
use anyhow::Result;

pub(crate) fn task(session: &Session, args: lexopt::Parser) -> Result<()> {
    hand_over(session, "fuzz", "bg-fuzz", args)
}
