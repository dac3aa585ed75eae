//! How things look: tables without lines, the two colours, durations and sizes.

use super::env::Env;
use super::run::Result;
use bg_common::Colour;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use serde::Serialize;
use std::time::Duration;

/// Prints one JSON value on a line.
pub(super) fn json(value: &impl Serialize, env: &mut Env<'_>) -> Result {
    let text = serde_json::to_string(value).map_err(std::io::Error::from)?;
    Ok(writeln!(env.out, "{text}")?)
}

/// An empty table with these headings. Numbers stand right under a heading that begins with `>`.
pub(super) fn table(headings: &[&str], env: &Env<'_>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if env.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let heading = |text: &&str| Cell::new(text.trim_start_matches('>')).add_attribute(Attribute::Dim);
    table.set_header(headings.iter().map(heading));
    for (column, heading) in table.column_iter_mut().zip(headings) {
        column.set_padding((0, 2));
        if heading.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Prints a table without the blanks at the ends of its lines.
pub(super) fn print(table: &Table, env: &mut Env<'_>) -> Result {
    for line in table.lines() {
        writeln!(env.out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A colour's name in its colour, as a cell.
pub(super) fn cell(colour: Colour) -> Cell {
    Cell::new(colour).fg(shade(colour))
}

/// A cell in the colour of a slice.
pub(super) fn shaded(text: impl ToString, colour: Colour) -> Cell {
    Cell::new(text).fg(shade(colour))
}

/// A colour's name in its colour, inside a text.
pub(super) fn paint(colour: Colour, env: &Env<'_>) -> String {
    let code = match colour {
        Colour::Blue => 94,
        Colour::Green => 92,
    };
    if env.colour { format!("\x1b[{code}m{colour}\x1b[0m") } else { colour.to_string() }
}

fn shade(colour: Colour) -> Color {
    match colour {
        Colour::Blue => Color::Blue,
        Colour::Green => Color::Green,
    }
}

/// A short time: `501 ns`, `3.1 µs`, `2.0 ms`.
pub(super) fn short_time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{}.{} µs", nanos / 1_000, nanos % 1_000 / 100),
        _ => format!("{}.{} ms", nanos / 1_000_000, nanos % 1_000_000 / 100_000),
    }
}

/// A long time: `0.1s`, `42.0s`, `3m 20s`.
pub(super) fn long_time(millis: u64) -> String {
    match millis {
        0..60_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        _ => humantime::format_duration(Duration::from_secs(millis / 1_000)).to_string(),
    }
}

/// A size: `999 B`, `1.2 kB`, `3.4 GB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut rest = bytes;
    let mut unit = "B";
    let mut tenth = 0;
    for next in UNITS {
        if rest < 1_000 {
            break;
        }
        (tenth, rest, unit) = (rest % 1_000 / 100, rest / 1_000, next);
    }
    format!("{rest}.{tenth} {unit}")
}

/// `1 flow`, `2 flows`.
pub(super) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        for (nanos, text) in [(0, "0 ns"), (999, "999 ns"), (3_140, "3.1 µs"), (2_000_000, "2.0 ms")] {
            assert_eq!(short_time(nanos), text);
        }
        for (millis, text) in [(134, "0.1s"), (59_900, "59.9s"), (200_000, "3m 20s")] {
            assert_eq!(long_time(millis), text);
        }
        let sizes =
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_234_567, "1.2 MB"), (u64::MAX, "18.4 EB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
    }
}
