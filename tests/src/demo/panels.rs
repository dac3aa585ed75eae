//! The picture and the summary, as lines.

use super::chart::{Chart, MARGIN};
use super::figures::{Figures, Flip, on};
use super::options::Options;
use super::stage::{MACHINES, STREAMS};
use crate::paint::{Paint, count, span};
use crate::topology::VIPS;
use crate::traffic::{Failure, Kind, Record, Tally};
use bg_common::Colour;
use std::time::Duration;

/// Rows of everything but the bars of the chart.
const AROUND: usize = 19;
/// Switches listed; older ones scroll away.
const LISTED: usize = 6;
/// Answers are averaged over this many slots.
const RECENT: usize = 5;

/// All that the picture shows.
pub(super) struct View<'a> {
    pub options: &'a Options,
    pub tally: &'a Tally,
    pub flips: &'a [Flip],
    /// CLOCK_MONOTONIC of slot 0.
    pub started: u64,
    pub now: u64,
    pub columns: usize,
    pub rows: usize,
    pub paint: Paint,
}

impl View<'_> {
    /// Who is live, as the last answer of bg had it.
    pub(super) fn live(&self) -> Colour {
        self.flips.last().map_or(Colour::Blue, |flip| flip.to)
    }

    /// The whole picture.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.title(), self.way(), String::new()];
        lines.extend(self.chart());
        lines.push(String::new());
        lines.extend(self.slices());
        lines.push(String::new());
        lines.extend(self.table());
        lines.push(String::new());
        lines.push(self.totals());
        lines
    }

    fn title(&self) -> String {
        let Self { options, flips, paint, .. } = self;
        let elapsed = Duration::from_nanos(self.now - self.started).as_secs();
        let left = format!(" bg demo   uplink by {}, {MACHINES} machines per slice", options.attach.as_str());
        let right =
            format!("switch {} of {}   {:02}:{:02}", flips.len(), options.flips, elapsed / 60, elapsed % 60);
        let gap = self.columns.saturating_sub(left.chars().count() + right.chars().count() + 1);
        format!("{}{}{right}", paint.bold(left), " ".repeat(gap))
    }

    fn way(&self) -> String {
        let [v4, v6] = VIPS;
        let live = self.live();
        let slice = self.paint.strong(live, format!("{live} machines"));
        format!(" clients ─▶ {v4}, {v6} ─▶ new ones to the {slice}")
    }

    fn chart(&self) -> Vec<String> {
        let slot = |flip: &Flip| (flip.returned.saturating_sub(self.started) / slot_nanos()) as usize;
        let marks: Vec<_> = self.flips.iter().map(|flip| (slot(flip), flip.to)).collect();
        let width = self.columns.saturating_sub(MARGIN + 1);
        let height = self.rows.saturating_sub(AROUND).clamp(4, 16);
        let chart = Chart { slots: &self.tally.slots, marks: &marks, width, height };
        let head = format!("{}   {} a switch", self.legend(), "▲");
        [format!(" requests per second   {head}")].into_iter().chain(chart.draw(self.paint)).collect()
    }

    fn legend(&self) -> String {
        let glyph = |colour| if self.paint.on || colour == Colour::Green { "█" } else { "░" };
        let entry = |colour| format!("{} {colour}", self.paint.of(colour, glyph(colour)));
        format!("{}   {}", entry(Colour::Blue), entry(Colour::Green))
    }

    /// One line per slice: what it answers and what is open on it.
    fn slices(&self) -> Vec<String> {
        let Self { tally, paint, .. } = self;
        let head = format!(
            " {:<22}{:>11}{:>14}{:>18}{:>12}",
            "", "requests/s", "long streams", "kept connections", "UDP flows"
        );
        let rows = Colour::BOTH.map(|colour| {
            let live = colour == self.live();
            let name = format!(" {} {colour:<6} {:<11}", if live { "●" } else { "○" }, self.role(colour));
            let name = if live { paint.strong(colour, name) } else { paint.of(colour, name) };
            let open = |kind| count(on(tally.open_of(kind), colour));
            format!(
                "{name}  {:>11}{:>14}{:>18}{:>12}",
                count(self.rate(colour)),
                open(Kind::Stream),
                open(Kind::Kept),
                open(Kind::Datagram)
            )
        });
        [paint.dim(head)].into_iter().chain(rows).collect()
    }

    fn role(&self, colour: Colour) -> &'static str {
        if colour == self.live() {
            return "live";
        }
        let old = [Kind::Kept, Kind::Stream, Kind::Datagram].map(|kind| on(self.tally.open_of(kind), colour));
        if old.iter().sum::<u64>() > 0 { "draining" } else { "standby" }
    }

    /// Requests per second of the last half second.
    pub(super) fn rate(&self, colour: Colour) -> u64 {
        let slots = self.tally.slots.iter().rev().skip(1).take(RECENT);
        let answers: u64 = slots.map(|slot| u64::from(on(*slot, colour))).sum();
        answers * 1_000_000_000 / (RECENT as u64 * slot_nanos())
    }

    fn table(&self) -> Vec<String> {
        let paint = self.paint;
        let head = format!(
            " {:>4}  {:<17}{:>11}{:>12}{:>14}{:>18}",
            "", "order", "exchange", "bgctl took", "late on old", "kept ones drained"
        );
        let mut rows = vec![paint.dim(head)];
        let first = self.flips.len().saturating_sub(LISTED);
        for (at, flip) in self.flips.iter().enumerate().skip(first) {
            rows.push(self.row(flip, self.flips.get(at + 1)));
        }
        rows.resize(LISTED + 1, String::new());
        rows
    }

    fn row(&self, flip: &Flip, next: Option<&Flip>) -> String {
        let late = flip.last_old(next, &self.tally.connections);
        let late_text = if late.is_zero() { "none".to_owned() } else { span(late) };
        let late_text = format!("{late_text:>14}");
        let order = format!("{:<17}", format!("{} → {}", flip.order, flip.to));
        format!(
            " {:>4}  {}{:>11}{:>12}{}{:>18}",
            flip.number,
            self.paint.of(flip.to, order),
            span(Duration::from_nanos(flip.took)),
            span(flip.wall()),
            if late.is_zero() { late_text } else { self.paint.red(late_text) },
            flip.drained.map_or("…".to_owned(), |after| format!("after {}", span(after)))
        )
    }

    fn totals(&self) -> String {
        let Self { tally, paint, .. } = self;
        let (failed, resets) = (tally.failed(), tally.failed_by(Failure::Reset));
        let failures = format!("{} failed, {} reset", count(failed), count(resets));
        format!(
            " {} requests on {} connections   {}   slowest {}",
            count(tally.requests()),
            count(tally.connections.len() as u64),
            if failed == 0 { paint.bold(failures) } else { paint.red(failures) },
            span(tally.slowest)
        )
    }
}

/// What is left to read when the demo is over.
pub(super) fn summary(figures: &Figures, tally: &Tally, paint: Paint) -> Vec<String> {
    let Figures { requests, failed, resets, flips, exchange, wall: [median, worst], last_old, attach } =
        figures;
    let verdict = format!("{} failed, {} reset", count(*failed), count(*resets));
    let verdict = if figures.clean() { paint.strong(Colour::Green, verdict) } else { paint.red(verdict) };
    let last_old = if last_old.is_zero() {
        "none".to_owned()
    } else {
        format!("some, up to {} later,", span(*last_old))
    };
    let long = tally.connections.iter().filter(|connection| connection.kind == Kind::Stream).count() as u32;
    let mut lines = vec![
        format!(
            " {flips} switches under load by {}: {} requests, {verdict}",
            attach.as_str(),
            count(*requests)
        ),
        format!("   exchange of the word   {} median", span(*exchange)),
        format!(
            "   bgctl switch           {} median, {} p99, from start to exit",
            span(*median),
            span(*worst)
        ),
        format!("   late on old colour     {last_old} of the connections started after a switch"),
        format!(
            "   long streams           {STREAMS} opened before the first switch, {} cut or moved",
            long.saturating_sub(STREAMS)
        ),
    ];
    if *failed == 0 {
        // No failure in N trials leaves room for a rate of 3/N at this confidence.
        let bound = format!("fewer than 1 request in {}, with 95 % confidence", count(requests / 3));
        lines.push(format!("   what may still fail    {bound}"));
    }
    lines.extend(tally.examples.iter().map(|example| paint.red(format!("   failed: {example}"))));
    lines
}

fn slot_nanos() -> u64 {
    Record::SLOT.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Attach;

    #[test]
    fn the_picture_fits_its_terminal() {
        let options = Options { flips: 100, attach: Attach::Xdp, json: false };
        let slowest = Duration::from_micros(999_990);
        let tally =
            Tally { slots: vec![[123, 456]; 2_000], answered: [99_999; 2], slowest, ..Tally::default() };
        let flip = |number: usize| Flip {
            number,
            order: "rollback",
            to: Colour::Green,
            called: 0,
            returned: 999_990_000,
            took: 999_900,
            drained: Some(Duration::from_millis(999)),
        };
        let flips: Vec<_> = (1..=100).map(flip).collect();
        for (columns, rows) in [(80, 24), (100, 30), (120, 60)] {
            let paint = Paint { on: false };
            let view = View {
                options: &options,
                tally: &tally,
                flips: &flips,
                started: 0,
                now: 0,
                columns,
                rows,
                paint,
            };
            let lines = view.lines();
            assert!(lines.len() <= rows, "{} of {rows}", lines.len());
            let figures = Figures::new(&options, &tally, &flips);
            for line in lines.into_iter().chain(summary(&figures, &tally, paint)) {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
        }
    }
}
