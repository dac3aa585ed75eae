//! `cargo xtask test`: every test, level by level, and one summary that hides nothing: a test that
//! could not run here is named with its reason.

mod report;

use crate::build;
use crate::chaos;
use crate::session::{self, Session};
use crate::setup::{self, Need};
use crate::sh::{self, complain, say};
use crate::tidy;
use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, ValueExt as _};
use report::Report;
use std::env;
use std::io::{IsTerminal as _, stderr, stdout};
use std::process::Command;
use std::time::Instant;

/// What a test touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    /// Nothing but memory; formatting and lints belong here too.
    Host,
    /// BPF programs in this machine's kernel.
    Kernel,
    /// Namespaces, servers and clients.
    E2e,
}

impl Level {
    const ALL: [Self; 3] = [Self::Host, Self::Kernel, Self::E2e];

    const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Kernel => "kernel",
            Self::E2e => "e2e",
        }
    }

    const fn needs(self) -> &'static [Need] {
        match self {
            Self::Host => &[Need::Toolchain],
            Self::Kernel => &[Need::Toolchain, Need::Bpffs],
            Self::E2e => &Need::TESTS,
        }
    }
}

pub(crate) fn task(session: &Session, mut args: lexopt::Parser) -> Result<()> {
    let mut words = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Value(word) => words.push(word.string()?),
            Arg::Short(_) | Arg::Long(_) => return Err(arg.unexpected().into()),
        }
    }
    let (levels, filter) = parse(&words);
    if levels.iter().any(|level| *level != Level::Host) {
        let task = format!("test {}", words.join(" "));
        session::need_root("the levels kernel and e2e (`cargo xtask test host` does without)", task.trim())?;
    }
    // At once and first, so that nobody waits for the lints to learn that a program is missing.
    let needed = |need: &Need| levels.iter().any(|level| level.needs().contains(need));
    setup::ensure(session, &Need::TESTS.into_iter().filter(needed).collect::<Vec<_>>())?;
    let mut done = Vec::new();
    for level in levels {
        let start = Instant::now();
        let mut report = Report::default();
        match level {
            Level::Host => host(session, filter, &mut report)?,
            Level::Kernel => kernel(session, filter, &mut report)?,
            Level::E2e => e2e(session, filter, &mut report)?,
        }
        done.push((level, report, start.elapsed()));
    }
    say("");
    for (level, report, took) in &done {
        say(&format!("{:<8}{:>4} s  {report}", level.name(), took.as_secs()));
    }
    if done.iter().all(|(_, report, _)| report.is_good()) { Ok(()) } else { bail!("the tests have failed") }
}

/// A first word that is a level chooses it; all others filter tests by name.
fn parse(words: &[String]) -> (Vec<Level>, &[String]) {
    let chosen = |word: &String| Level::ALL.into_iter().find(|level| level.name() == word);
    match words.split_first().and_then(|(word, rest)| Some((chosen(word)?, rest))) {
        Some((level, filter)) => (vec![level], filter),
        None => (Level::ALL.to_vec(), words),
    }
}

fn host(session: &Session, filter: &[String], report: &mut Report) -> Result<()> {
    if filter.is_empty() {
        check(report, "tidy", tidy::check(session));
        check(report, "format", sh::run(&mut session.cargo(["fmt", "--all", "--check"])));
        let mut clippy = session.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        check(report, "clippy", sh::run(&mut clippy));
    }
    let units = session.cargo(["test", "--workspace", "--lib", "--bins", "--test", "host"]);
    run_tests(units, filter, report)
}

fn kernel(session: &Session, filter: &[String], report: &mut Report) -> Result<()> {
    run_tests(session.cargo(["test", "--workspace", "--test", "kernel"]), filter, report)
}

fn e2e(session: &Session, filter: &[String], report: &mut Report) -> Result<()> {
    if let Err(error) = build::release(session, &["bgd", "bgctl"]) {
        check(report, "bgd and bgctl", Err(error));
        return Ok(());
    }
    if let Err(error) = chaos::daemon(session) {
        check(report, "bgd-chaos", Err(error));
        return Ok(());
    }
    let mut tests = session.cargo(["test", "--workspace", "--test", "e2e"]);
    tests.env("BG_BIN_DIR", session.release()).env("BG_TEST_BIN_DIR", session.debug());
    // Each test loads the whole machine, and some measure time.
    if env::var_os("RUST_TEST_THREADS").is_none() {
        tests.env("RUST_TEST_THREADS", "1");
    }
    run_tests(tests, filter, report)
}

fn check(report: &mut Report, name: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => say(&format!("{name}: ok")),
        Err(error) => {
            complain(&format!("{name}: {error:#}"));
            report.fail(name);
        }
    }
}

fn run_tests(mut tests: Command, filter: &[String], report: &mut Report) -> Result<()> {
    // What a passing test prints is not shown, and is read for its `SKIP`.
    tests.args(["--no-fail-fast", "--", "--show-output"]).args(filter);
    if stdout().is_terminal() {
        tests.arg("--color=always");
    }
    if stderr().is_terminal() {
        tests.env("CARGO_TERM_COLOR", "always");
    }
    let line = sh::line(&tests);
    report.follow(tests).with_context(|| format!("cannot run {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_comes_first_and_filters_after() {
        for (words, levels, filter) in [
            ("", &Level::ALL[..], 0),
            ("e2e", &[Level::E2e][..], 0),
            ("kernel parse rewrite", &[Level::Kernel][..], 2),
            ("parse", &Level::ALL[..], 1),
        ] {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            assert_eq!(parse(&words).0, levels, "{words:?}");
            assert_eq!(parse(&words).1.len(), filter, "{words:?}");
        }
    }
}
