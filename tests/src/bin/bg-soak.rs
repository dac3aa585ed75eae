//! The soak test's command line.

use bg_tests::soak::{self, HELP, Options};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => return print(HELP),
        Err(error) => {
            bg_tests::say(&format!("error: {error:#}\n\n{HELP}"));
            return ExitCode::from(2);
        }
    };
    soak::run(&options).unwrap_or_else(|error| {
        bg_tests::say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
