//! `cargo xtask fuzz --coverage`: builds the packet library with a counter in every branch and libFuzzer around it, lets
//! it look for inputs that reach more, and tells what came of it. It needs neither root nor the BPF toolchain.

use crate::session::Session;
use crate::sh::{self, complain, say};
use crate::toolchain::find_program;
use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HELP: &str = "\
cargo xtask fuzz --coverage [--minutes M] [--json]

Looks for inputs (tables' state, pins, a few frames) that reach new code of the packet library on the host, beginning
with the packet cases, and checks what must hold of each: no panic, the fast and the slow path come to the same, nothing
of a frame changes that may not, checksums stay as right as they were, every refusal has one reason. Needs a C++
compiler, and no root. What was found is kept in target/coverage/corpus, where the next run goes on.

  --minutes M    how long (default 3)
  --json         for programs: this is how it always ends, with one JSON object as the last line of standard
                 output
  -h, --help     this text

Exit codes: 0 all holds, 1 otherwise.";

/// What cargo-fuzz builds with, but for a sanitizer, which stable Rust has not: a counter for each edge, the table that
/// names them, and calls at comparisons.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Options {
    minutes: u64,
}

impl Options {
    /// Reads the command line; none if help was asked for.
    fn parse(mut args: Parser) -> Result<Option<Self>> {
        let mut options = Self { minutes: 3 };
        while let Some(arg) = args.next()? {
            match arg {
                Arg::Long("coverage" | "json") => {}
                Arg::Long("minutes") => options.minutes = args.value()?.parse()?,
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                    return Err(other.unexpected().into());
                }
            }
        }
        if options.minutes == 0 {
            bail!("--minutes 0 is no time at all; give 1 or more");
        }
        Ok(Some(options))
    }
}

pub(super) fn task(session: &Session, args: Parser) -> Result<()> {
    let Some(options) = Options::parse(args)? else {
        say(HELP);
        return Ok(());
    };
    let home = session.target.join("coverage");
    let program = build(session, &home)?;
    let [corpus, seeds] = ["corpus", "seeds"].map(|name| home.join(name));
    // Seeds are those of these sources, whatever was there.
    drop(fs::remove_dir_all(&seeds));
    for directory in [&corpus, &seeds] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut fuzzer = Command::new(&program);
    fuzzer
        .arg(format!("-max_total_time={}", options.minutes.saturating_mul(60)))
        .args(["-print_final_stats=1", "-timeout=20"])
        .arg(format!("-artifact_prefix={}/", home.display()))
        .args([&corpus, &seeds])
        .env("BG_SEEDS", &seeds);
    let mut report = Report::default();
    let good = follow(&mut fuzzer, &mut report)?;
    report.failures = u64::from(!good);
    if let Some(input) = &report.input {
        complain(&found(&program, input));
    }
    say(&report.json());
    if good { Ok(()) } else { bail!("something does not hold, see above") }
}

/// Builds the fuzzer, in a directory where nothing else is built with these flags.
fn build(session: &Session, home: &Path) -> Result<PathBuf> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if find_program(&compiler).is_none() && !Path::new(&compiler).is_file() {
        bail!(
            "libFuzzer is built with a C++ compiler, and there is no `{compiler}`\n  mend: apt-get install g++"
        );
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let host = Command::new(rustc).args(["--print", "host-tuple"]).output().context("cannot run rustc")?;
    let host = String::from_utf8(host.stdout)?.trim().to_owned();
    let mut build = session.cargo(["build", "--package", "bg-tests", "--bin", "bg-coverage"]);
    build
        .args(["--no-default-features", "--features", "coverage", "--profile", "coverage"])
        // Named, the target is not that of build scripts, which have no libFuzzer to link with.
        .args(["--target", &host, "--target-dir"])
        .arg(home)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS.join(" "));
    sh::run(&mut build)?;
    Ok(home.join(host).join("coverage/bg-coverage"))
}

/// Runs the fuzzer, shows what it says now and then, and reads its figures. Whether it found nothing.
fn follow(fuzzer: &mut Command, report: &mut Report) -> Result<bool> {
    let mut child =
        fuzzer.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run the fuzzer")?;
    let output = child.stderr.take().context("the fuzzer says nothing")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if report.read(&line) {
            complain(&line);
        }
    }
    Ok(child.wait()?.success())
}

/// The input that something does not hold of, and how to play it again.
fn found(program: &Path, input: &Path) -> String {
    let bytes = fs::read(input).unwrap_or_default();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let [program, input] = [program, input].map(Path::display);
    format!("input: {input}\nhex:   {hex}\nagain: {program} {input}")
}

/// What the fuzzer has done.
#[derive(PartialEq, Eq, Debug, Default)]
struct Report {
    executions: u64,
    features: u64,
    corpus: u64,
    failures: u64,
    input: Option<PathBuf>,
}

impl Report {
    /// Reads a line of libFuzzer's output; whether it is one to show.
    fn read(&mut self, line: &str) -> bool {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.input = Some(path.trim().into());
        }
        let executions = line.strip_prefix("stat::number_of_executed_units:");
        if let Some(number) = executions.and_then(|number| number.trim().parse().ok()) {
            self.executions = number;
        }
        // The dictionary that it recommends at the end is for others.
        if line.starts_with("#####") || line.starts_with('"') {
            return false;
        }
        let Some(event) = line.strip_prefix('#') else { return true };
        let words: Vec<&str> = event.split_whitespace().collect();
        // `#1024 pulse cov: 97 ft: 131 corp: 20/3kb …`
        let number = |word: &&str| word.split('/').next().and_then(|number| number.parse::<u64>().ok());
        let after = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).and_then(number);
        self.executions = words.first().and_then(number).unwrap_or(self.executions);
        self.features = after("ft:").unwrap_or(self.features);
        self.corpus = after("corp:").unwrap_or(self.corpus);
        words.get(1).is_none_or(|kind| !["NEW", "REDUCE", "RELOAD"].contains(kind))
    }

    fn json(&self) -> String {
        let Self { executions, features, corpus, failures, .. } = self;
        format!(
            "{{\"executions\":{executions},\"features\":{features},\"corpus\":{corpus},\"failures\":{failures}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strange_ones_refused() {
        let parse = |line: &str| Options::parse(Parser::from_args(line.split_whitespace()));
        for (line, minutes) in
            [("--coverage", 3), ("--minutes 7 --coverage --json", 7), ("--coverage --minutes=1", 1)]
        {
            assert_eq!(parse(line).unwrap(), Some(Options { minutes }), "{line}");
        }
        assert_eq!(parse("--coverage --help").unwrap(), None);
        for wrong in ["--minutes", "--minutes some", "--minutes 0", "--packets 3", "now"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn figures_are_read_from_what_the_fuzzer_says() {
        let mut report = Report::default();
        for (line, shown) in [
            ("INFO: Seed: 3101391937", true),
            ("#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 27Mb", true),
            ("#16034\tREDUCE cov: 9 ft: 12 corp: 3/11b lim: 156 exec/s: 0 rss: 27Mb L: 6/6", false),
            ("#22135\tNEW    cov: 11 ft: 14 corp: 5/17b lim: 212 exec/s: 0 rss: 27Mb L: 4/4", false),
            ("artifact_prefix='t/'; Test unit written to t/crash-21", true),
            ("###### End of recommended dictionary. ######", false),
            ("stat::number_of_executed_units: 313012", true),
        ] {
            assert_eq!(report.read(line), shown, "{line}");
        }
        assert_eq!(report.json(), r#"{"executions":313012,"features":14,"corpus":5,"failures":0}"#);
        assert_eq!(report.input, Some("t/crash-21".into()));
    }
}
