//! `cargo xtask fuzz`: the packet programs against a plain model of them, in this machine's kernel; or, led by coverage,
//! the packet library on the host.

mod coverage;

use crate::demo::hand_over;
use crate::session::Session;
use anyhow::Result;
use std::ffi::OsString;

pub(crate) fn task(session: &Session, mut args: lexopt::Parser) -> Result<()> {
    let words: Vec<OsString> = args.raw_args()?.collect();
    let by_coverage = words.iter().any(|word| word == "--coverage");
    let args = lexopt::Parser::from_args(words);
    if by_coverage { coverage::task(session, args) } else { hand_over(session, "fuzz", "bg-fuzz", args) }
}
