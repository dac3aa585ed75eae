//! Reads along with the test harness: what passed, failed, and was skipped for which reason.

use crate::sh::{complain, say};
use anyhow::{Context as _, Result};
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;

/// How a test says that this machine cannot run it; the reason follows.
const SKIP: &str = "SKIP ";

/// The outcome of one level.
#[derive(Default, Debug)]
pub(super) struct Report {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Counts a failure of something that is no test of the harness.
    pub(super) fn fail(&mut self, what: &str) {
        self.failed.push(what.to_owned());
    }

    pub(super) const fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// Runs a test harness, shows what matters of its output, and counts.
    pub(super) fn follow(&mut self, mut tests: Command) -> Result<()> {
        let mut child = tests.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = child.stdout.take().zip(child.stderr.take()).context("no pipes")?;
        let errors = thread::spawn(move || {
            let mut reader = Reader::default();
            lines(stderr, |line| {
                reader.read(line);
                complain(line);
            });
            reader.skipped
        });
        let mut reader = Reader::default();
        lines(stdout, |line| {
            if reader.read(line) {
                say(line);
            }
        });
        let status = child.wait()?;
        reader.skipped.extend(errors.join().unwrap_or_default());
        self.take(reader, status.success());
        Ok(())
    }

    fn take(&mut self, reader: Reader, success: bool) {
        let Reader { passed, failed, skipped, .. } = reader;
        if !success && failed.is_empty() {
            self.fail("build, or a test that took its process down");
        }
        self.passed += passed.saturating_sub(skipped.len());
        self.failed.extend(failed);
        self.skipped.extend(skipped);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {} failed, {} skipped", failed.len(), skipped.len())?;
        for name in failed {
            write!(f, "\n        FAILED {name}")?;
        }
        for reason in skipped {
            write!(f, "\n        SKIPPED {reason}")?;
        }
        Ok(())
    }
}

/// Understands the lines of libtest.
#[derive(Default)]
struct Reader {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
    /// Inside the list of what passing tests printed.
    inside_successes: bool,
    test: String,
}

impl Reader {
    /// Takes one line and tells whether to show it.
    fn read(&mut self, line: &str) -> bool {
        if line == "successes:" {
            self.inside_successes = true;
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.inside_successes = false;
        }
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            test.clone_into(&mut self.test);
        }
        if let Some((test, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            test.clone_into(&mut self.test);
            if outcome.contains("FAILED") {
                self.failed.push(test.to_owned());
            }
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count(result, "passed");
        }
        // What a test writes past the harness ends up behind the name of a test that is still running.
        let said = line.split_once(" ... ").map_or(line, |(_, said)| said);
        if let Some(reason) = said.strip_prefix(SKIP) {
            let skip =
                if self.test.is_empty() { reason.to_owned() } else { format!("{}: {reason}", self.test) };
            self.skipped.push(skip);
        }
        !self.inside_successes
    }
}

fn count(result: &str, what: &str) -> usize {
    let part = result.split(['.', ';']).find_map(|part| part.trim().strip_suffix(what));
    part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Lines as they come, also those that are not text.
fn lines(from: impl Read, mut take: impl FnMut(&str)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        take(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(output: &str, success: bool) -> (Report, String) {
        let mut reader = Reader::default();
        let shown: Vec<&str> = output.lines().filter(|line| reader.read(line)).collect();
        let mut report = Report::default();
        report.take(reader, success);
        (report, shown.join("\n"))
    }

    const OUTPUT: &str = "\
running 3 tests
test a ... ok
test b ... \x1b[31mFAILED\x1b[m
test c ... ok

successes:

---- c stdout ----
SKIP this kernel has no tcx

failures:

---- b stdout ----
assertion failed

failures:
    b

test result: \x1b[31mFAILED\x1b[m. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    #[test]
    fn a_skipped_test_is_not_counted_as_passed() {
        let (report, _) = report(OUTPUT, false);
        assert_eq!(
            (report.passed, report.failed, report.skipped),
            (1, vec!["b".to_owned()], vec!["c: this kernel has no tcx".to_owned()])
        );
    }

    #[test]
    fn only_what_failing_tests_print_is_shown() {
        let (_, shown) = report(OUTPUT, false);
        assert!(shown.contains("assertion failed"), "{shown}");
        assert!(!shown.contains("no tcx"), "{shown}");
    }

    #[test]
    fn a_skip_past_the_harness_is_found() {
        let (report, _) =
            report("test a ... SKIP not on this machine\nok\ntest result: ok. 1 passed; 0 failed", true);
        assert_eq!((report.passed, report.skipped), (0, vec!["a: not on this machine".to_owned()]));
    }

    #[test]
    fn a_harness_that_ends_without_a_word_has_failed() {
        let (report, _) = report("error: could not compile `bg-tests`", false);
        assert!(!report.is_good());
    }
}
