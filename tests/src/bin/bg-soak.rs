//! The soak test's command line.

use bg_tests::command_line;
use bg_tests::soak::{HELP, Options, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    command_line::main(HELP, Options::parse, run)
}
