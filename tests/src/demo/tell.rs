//! Tells what happens: as a picture on a terminal, as lines elsewhere.

use super::figures::{Figures, Flip};
use super::options::Options;
use super::panels::{View, summary};
use super::stage::Stage;
use super::terminal::{self, Terminal};
use crate::clock;
use crate::paint::{Paint, count, span};
use crate::traffic::{Record, Tally};
use anyhow::Result;
use bg_common::Colour;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// A line of progress at least this often.
const LINE: Duration = Duration::from_secs(1);
/// Rows for what is said at the end, and for the prompt.
const SUMMARY: usize = 9;
/// Columns of the picture on a terminal that is wider.
const WIDEST: usize = 120;

/// Whoever tells.
pub(super) struct Teller<'a> {
    options: &'a Options,
    paint: Paint,
    picture: bool,
    terminal: Option<Terminal>,
    /// The last picture, small enough to be read together with the summary.
    last: Vec<String>,
    told: usize,
    due: Instant,
}

impl<'a> Teller<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = if options.json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        Self {
            options,
            paint: Paint { on: terminal && !refused },
            picture: !options.json && terminal::suits(),
            terminal: None,
            last: Vec::new(),
            told: 0,
            due: Instant::now(),
        }
    }

    /// A step of the setup.
    pub(super) fn step(&self, name: &str, detail: &str) -> Result<()> {
        self.line(&format!(" {}{detail}", self.paint.bold(format!("{name:<9}"))))
    }

    /// How things are.
    pub(super) fn progress(&mut self, stage: &Stage, flips: &[Flip]) -> Result<()> {
        let Some(record) = stage.record() else { return Ok(()) };
        if self.picture {
            if self.terminal.is_none() {
                self.terminal = Some(Terminal::enter()?);
            }
            let (lines, last) = record.look(|tally| {
                let mut view = self.view(record, tally, flips);
                let lines = view.lines();
                view.rows = view.rows.saturating_sub(SUMMARY);
                (lines, view.lines())
            });
            if let Some(terminal) = &self.terminal {
                terminal.show(&lines)?;
            }
            self.last = last;
            return Ok(());
        }
        for flip in flips.iter().skip(self.told) {
            self.line(&format!(
                " {:>3} {} → {}: exchange {}, bgctl {}",
                flip.number,
                flip.order,
                self.paint.strong(flip.to, flip.to),
                span(Duration::from_nanos(flip.took)),
                span(flip.wall())
            ))?;
        }
        self.told = flips.len();
        if Instant::now() >= self.due {
            self.due = Instant::now() + LINE;
            let line = record.look(|tally| self.view(record, tally, flips).line());
            self.line(&line)?;
        }
        Ok(())
    }

    /// The end: the last picture stays, with the summary below it.
    pub(super) fn end(&mut self, figures: &Figures, tally: &Tally) -> Result<()> {
        drop(self.terminal.take());
        for line in std::mem::take(&mut self.last) {
            self.line(&line)?;
        }
        self.line("")?;
        for line in summary(figures, tally, self.paint) {
            self.line(&line)?;
        }
        if self.options.json {
            writeln!(io::stdout(), "{}", serde_json::to_string(&figures.json())?)?;
        }
        Ok(())
    }

    fn view<'v>(&'v self, record: &Record, tally: &'v Tally, flips: &'v [Flip]) -> View<'v> {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        let columns = columns.min(WIDEST);
        let Self { options, paint, .. } = self;
        View {
            options,
            tally,
            flips,
            started: record.started(),
            now: clock::now(),
            columns,
            rows,
            paint: *paint,
        }
    }

    fn line(&self, line: &str) -> Result<()> {
        if self.options.json {
            writeln!(io::stderr(), "{line}")?;
        } else {
            writeln!(io::stdout(), "{line}")?;
        }
        Ok(())
    }
}

impl View<'_> {
    /// Progress in one line.
    fn line(&self) -> String {
        let rate = |colour| format!("{colour} {:>5}/s", count(self.rate(colour)));
        format!(
            "     {:>5.1} s   {} is live   {}   {}   {} requests, {} failed",
            Duration::from_nanos(self.now - self.started).as_secs_f64(),
            self.live(),
            rate(Colour::Blue),
            rate(Colour::Green),
            count(self.tally.requests()),
            count(self.tally.failed())
        )
    }
}
