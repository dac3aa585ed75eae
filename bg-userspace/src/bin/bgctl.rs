//! `bgctl`, the command line: what was typed, where it prints, exit code.

use bg_userspace::cli::{self, Cli, Env, TheseFiles, ThisKernel};
use clap::Parser;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Between two looks at something that takes its time.
const POLL: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    cli.global = cli.global.or_from(|name| std::env::var_os(name));
    let mut out = BufWriter::new(io::stdout());
    let mut err = io::stderr();
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let terminal = io::stdout().is_terminal();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(err, "bgctl: the runtime cannot be started: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut env = Env {
        colour: terminal && !set("NO_COLOR") && !dumb,
        width: comfy_table::Table::new().width().filter(|_| terminal),
        asks: terminal && io::stdin().is_terminal(),
        watched: err.is_terminal() && !dumb,
        out: &mut out,
        err: &mut err,
        answers: &mut io::stdin().lock(),
        now: &jiff::Timestamp::now,
        zone: jiff::tz::TimeZone::system(),
        poll: POLL,
        user: std::env::var("SUDO_USER").ok().filter(|user| is_name(user)),
        kernel: &ThisKernel,
        journals: &TheseFiles,
    };
    let code = runtime.block_on(cli::run(cli, &mut env));
    match out.flush() {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(err, "bgctl: cannot print: {why}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(code),
    }
}

/// Whether a user may be called so; what travels in a header is plain.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}
