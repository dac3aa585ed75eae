//! Requests per second over time: bars of blue with green on top.

use crate::paint::{Paint, count};
use bg_common::Colour;
use std::iter;

/// Slots of the record in one column.
pub(super) const SLOTS_PER_COLUMN: usize = 2;
const COLUMNS_PER_SECOND: u32 = 5;
const GLYPHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Columns left of the bars, for the scale.
pub(super) const MARGIN: usize = 9;

/// What is drawn.
pub(super) struct Chart<'a> {
    /// Answers of blue and green in each slot since the start.
    pub slots: &'a [[u32; 2]],
    /// Slot and new live colour of each switch.
    pub marks: &'a [(usize, Colour)],
    /// Columns of bars.
    pub width: usize,
    /// Rows of bars.
    pub height: usize,
}

impl Chart<'_> {
    /// The rows, from the top, with the axis below them.
    pub(super) fn draw(&self, paint: Paint) -> Vec<String> {
        let columns = self.columns();
        let top = round_up(columns.iter().map(|[blue, green]| blue + green).max().unwrap_or(0));
        let levels: Vec<_> = columns
            .iter()
            .map(|[blue, green]| [*blue, blue + green].map(|value| self.level(value, top)))
            .collect();
        let rows = (0..self.height).rev().map(|row| {
            let label = match row {
                _ if row + 1 == self.height => count(top.into()),
                0 => "0".to_owned(),
                _ => String::new(),
            };
            let bars: String = levels.iter().map(|level| cell(*level, row * 8, paint)).collect();
            format!("{} {bars}", paint.dim(format!("{label:>width$}", width = MARGIN - 1)))
        });
        rows.chain([self.axis(paint)]).collect()
    }

    /// Requests per second in each column that is complete and fits.
    fn columns(&self) -> Vec<[u32; 2]> {
        // The last slot is still being filled.
        let complete = self.slots.len().saturating_sub(1) / SLOTS_PER_COLUMN;
        self.slots
            .chunks_exact(SLOTS_PER_COLUMN)
            .take(complete)
            .skip(self.first())
            .map(|slots| {
                slots.iter().fold([0; 2], |[blue, green], [more_blue, more_green]| {
                    [blue + more_blue * COLUMNS_PER_SECOND, green + more_green * COLUMNS_PER_SECOND]
                })
            })
            .collect()
    }

    /// The column at the left edge.
    fn first(&self) -> usize {
        (self.slots.len().saturating_sub(1) / SLOTS_PER_COLUMN).saturating_sub(self.width)
    }

    /// Height in eighths of a row.
    fn level(&self, value: u32, top: u32) -> usize {
        let full = self.height * 8;
        (value as usize * full).div_ceil(top.max(1) as usize).min(full)
    }

    fn axis(&self, paint: Paint) -> String {
        let mut axis: Vec<String> = iter::repeat_n(paint.dim("─"), self.width).collect();
        for (slot, colour) in self.marks {
            let column = (slot / SLOTS_PER_COLUMN).checked_sub(self.first());
            if let Some(place) = column.and_then(|column| axis.get_mut(column)) {
                *place = paint.strong(*colour, "▲");
            }
        }
        format!("{} {}", " ".repeat(MARGIN - 1), axis.concat())
    }
}

/// One character: the part of a column between `floor` and eight eighths above it.
fn cell([blue, total]: [usize; 2], floor: usize, paint: Paint) -> String {
    let within = |level: usize| level.saturating_sub(floor).min(8);
    let (blue, total) = (within(blue), within(total));
    let glyph = |eighths: usize| GLYPHS.get(eighths).copied().unwrap_or(" ");
    if !paint.on {
        return match (blue, total) {
            (_, 0..4) => " ",
            (4.., _) => "░",
            _ => "█",
        }
        .to_owned();
    }
    match (blue, total) {
        (_, 0) => " ".to_owned(),
        (0, _) => paint.of(Colour::Green, glyph(total)),
        (1..8, 8) => paint.upon(Colour::Blue, Colour::Green, glyph(blue)),
        // A character has room for two colours only, and the ground is the third.
        _ if blue * 2 < total => paint.of(Colour::Green, glyph(total)),
        _ => paint.of(Colour::Blue, glyph(total)),
    }
}

/// The next round number, for the scale.
fn round_up(value: u32) -> u32 {
    let mut unit = 10;
    loop {
        for step in [10, 15, 20, 25, 30, 40, 50, 60, 80] {
            if value <= unit * step / 10 {
                return unit * step / 10;
            }
        }
        unit *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Paint = Paint { on: false };

    fn rows(slots: &[[u32; 2]], marks: &[(usize, Colour)]) -> Vec<String> {
        let drawn = Chart { slots, marks, width: 4, height: 2 }.draw(PLAIN);
        drawn.iter().map(|row| row.chars().skip(MARGIN).collect()).collect()
    }

    #[test]
    fn green_stands_on_blue() {
        // 40 blue and 40 green answers a second; then green alone; the last column is not complete.
        let slots = [[4, 4], [4, 4], [0, 8], [0, 8], [9, 9]];
        assert_eq!(rows(&slots, &[(2, Colour::Green)]), ["██", "░█", "─▲──"]);
    }

    #[test]
    fn what_does_not_fit_leaves_at_the_left() {
        let slots: Vec<_> = (0..13).map(|at| if at < 8 { [8, 0] } else { [0, 8] }).collect();
        assert_eq!(rows(&slots, &[(0, Colour::Blue), (8, Colour::Green)]), ["░░██", "░░██", "──▲─"]);
    }

    #[test]
    fn the_scale_is_round_and_never_too_low() {
        for (value, top) in [(0, 10), (10, 10), (11, 15), (2_431, 2_500), (80_001, 100_000)] {
            assert_eq!(round_up(value), top);
        }
    }
}
