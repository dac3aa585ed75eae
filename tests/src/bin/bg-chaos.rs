//! The chaos's command line.

use bg_tests::chaos::{HELP, Options, run};
use bg_tests::command_line;
use std::process::ExitCode;

fn main() -> ExitCode {
    command_line::main(HELP, Options::parse, run)
}
