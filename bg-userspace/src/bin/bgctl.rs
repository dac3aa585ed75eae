//! `bgctl`, the command line: what was typed, where it prints, exit code.

use bg_userspace::cli::{self, Cli, Env, ThisKernel};
use clap::Parser;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(io::stdout());
    let mut err = io::stderr();
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(err, "bgctl: the runtime cannot be started: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut env = Env { out: &mut out, err: &mut err, colour, kernel: &ThisKernel };
    let code = runtime.block_on(cli::run(cli, &mut env));
    match out.flush() {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(err, "bgctl: cannot print: {why}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(code),
    }
}
