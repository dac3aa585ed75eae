//! What the command lines of this package's programs have in common.

use crate::say;
use anyhow::Result;
use lexopt::Parser;
use std::io::Write;
use std::process::ExitCode;

/// Reads the command line and runs what it asks for; help, if it asks for none. A command line that makes no sense
/// ends with 2, and a failure with 1.
pub fn main<O>(
    help: &str,
    parse: impl FnOnce(Parser) -> Result<Option<O>>,
    run: impl FnOnce(&O) -> Result<ExitCode>,
) -> ExitCode {
    let options = match parse(Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => return print(help),
        Err(error) => {
            say(&format!("error: {error:#}\n\n{help}"));
            return ExitCode::from(2);
        }
    };
    run(&options).unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
