//! The demo: a cut-over under load, told while it happens. Everything it makes lives in namespaces of
//! its own and is gone when it returns, however it returns.

mod chart;
mod figures;
mod options;
mod panels;
mod stage;
mod tell;
mod terminal;

use crate::{clock, signals};
use anyhow::Result;
use figures::{Figures, Flip};
use stage::Stage;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tell::Teller;

pub use options::{Attach, HELP, Options};

const FRAME: Duration = Duration::from_millis(100);

/// Runs the demo to its end and says with what success.
///
/// # Errors
///
/// When the network or the daemon cannot be set up, or bg refuses a switch.
pub fn run(options: &Options) -> Result<ExitCode> {
    signals::watch()?;
    let mut teller = Teller::new(options);
    let Some(mut stage) = Stage::new(options, &mut teller)? else { return Ok(interrupted(options)) };
    let mut flips = Vec::new();
    let played = play(options, &stage, &mut flips, &mut teller);
    stage.rest()?;
    let figures = Figures::new(options, &stage.tally(), &flips);
    teller.end(&figures, &stage.tally())?;
    played?;
    if signals::seen() {
        return Ok(interrupted(options));
    }
    Ok(if figures.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Switches, rolls back, and redraws in between.
fn play(options: &Options, stage: &Stage, flips: &mut Vec<Flip>, teller: &mut Teller) -> Result<()> {
    let period = options.period();
    let mut next = Instant::now() + period;
    loop {
        if signals::seen() {
            return Ok(());
        }
        if Instant::now() >= next {
            if flips.len() == options.flips as usize {
                return Ok(());
            }
            flips.push(stage.flip(flips.len() + 1)?);
            next += period;
        }
        stage.look(|tally| figures::note_drained(flips, tally, clock::now()));
        teller.progress(stage, flips)?;
        std::thread::sleep(FRAME.min(next.saturating_duration_since(Instant::now())));
    }
}

fn interrupted(options: &Options) -> ExitCode {
    if !options.json {
        crate::say("interrupted; everything is cleaned up");
    }
    // What a shell reports for a process that ended by SIGINT.
    ExitCode::from(130)
}
