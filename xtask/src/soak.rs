//! `cargo xtask soak`: mixed load while live changes all the time, on this machine.

use crate::demo::hand_over;
use crate::session::Session;
use anyhow::Result;

pub(crate) fn task(session: &Session, args: lexopt::Parser) -> Result<()> {
    hand_over(session, "soak", "bg-soak", args)
}
