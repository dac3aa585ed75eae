//! The project's tasks. One file each; this one knows only their names.

mod bench;
mod build;
mod chaos;
mod ci;
mod demo;
mod fuzz;
mod session;
mod setup;
mod sh;
mod soak;
mod test;
mod tidy;
mod toolchain;

use anyhow::{Result, bail};
use lexopt::Arg;
use session::Session;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask TASK

  setup [--check]                   install what building and testing need; --check only looks
  build [--release] [--stats]       build everything; --stats counts instructions of the packet programs, and
                                    as root those that the verifier looked at, and bytes of machine code
  test [host|kernel|e2e] [FILTER…]  run all tests, or those of one level; kernel and e2e need root
  tidy [--bless]                    check the source tree; --bless records a new table layout
  demo [ARGS…]                      switch live traffic in namespaces on this machine; needs root
  bench [ARGS…]                     measure in namespaces on this machine; needs root
  chaos [ARGS…]                     kill the daemon under load, over and over; needs root
  fuzz [ARGS…]                      compare the packet programs with a plain model of them; needs root
  fuzz --coverage [ARGS…]           look for inputs that reach new code of the packet library; needs a C++ compiler
  soak [ARGS…]                      load and switch for a long time, and look for any harm; needs root
  ci                                what the project's CI runs

Every task sets up first what it misses.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            sh::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = lexopt::Parser::from_env();
    let task = match args.next()? {
        Some(Arg::Value(task)) => task.to_string_lossy().into_owned(),
        None | Some(Arg::Short('h') | Arg::Long("help")) => "help".to_owned(),
        Some(other) => return Err(other.unexpected().into()),
    };
    let session = Session::new()?;
    match task.as_str() {
        "setup" => setup::task(&session, args),
        "build" => build::task(&session, args),
        "test" => test::task(&session, args),
        "tidy" => tidy::task(&session, args),
        "demo" => demo::task(&session, args),
        "bench" => bench::task(&session, args),
        "chaos" => chaos::task(&session, args),
        "fuzz" => fuzz::task(&session, args),
        "soak" => soak::task(&session, args),
        "ci" => ci::task(&session, args),
        "help" => {
            sh::say(HELP);
            Ok(())
        }
        other => bail!("there is no task `{other}`; `cargo xtask help` lists them"),
    }
}
