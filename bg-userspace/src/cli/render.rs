//! How things look: tables without lines, the two colours, verdicts.

use super::env::Env;
use super::run::Result;
use super::say::clean;
use crate::refusal::Refusal;
use bg_common::Colour;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, presets,
};
use serde::Serialize;

/// Prints one JSON value on a line.
pub(super) fn json(value: &impl Serialize, env: &mut Env<'_>) -> Result {
    let text = serde_json::to_string(value).map_err(std::io::Error::from)?;
    Ok(writeln!(env.out, "{text}")?)
}

/// An empty table with these headings. Numbers stand right under a heading that begins with `>`.
pub(super) fn table(headings: &[&str], env: &Env<'_>) -> Table {
    let mut table = plain(env);
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

fn plain(env: &Env<'_>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if env.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

/// Lets the last columns break where the terminal ends. To be called when all rows are there.
pub(super) fn fold(table: &mut Table, last: usize, env: &Env<'_>) {
    let Some(width) = env.width else { return };
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    let whole = table.column_count().saturating_sub(last);
    for column in table.column_iter_mut().take(whole) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

/// Prints what there is to say, each behind a word that tells what it is about. A word that stands above is
/// not repeated.
pub(super) fn facts(facts: &[(String, String)], env: &mut Env<'_>) -> Result {
    let mut table = plain(env);
    let mut above = "";
    for (about, text) in facts {
        let shown = if about == above { "" } else { about };
        above = about;
        table.add_row([Cell::new(shown).add_attribute(Attribute::Dim), Cell::new(text)]);
    }
    lay_out(&mut table, env);
    if facts.is_empty() { Ok(()) } else { print(&table, env) }
}

/// Prints a line, in pieces and without its shades if the terminal is too narrow for it.
pub(super) fn line(text: &str, env: &mut Env<'_>) -> Result {
    let bare = text.split("\x1b[").enumerate().map(|(index, part)| match index {
        0 => part,
        _ => part.split_once('m').map_or(part, |(_, rest)| rest),
    });
    let bare: String = bare.collect();
    if env.width.is_none_or(|width| bare.chars().count() <= usize::from(width)) {
        return Ok(writeln!(env.out, "{text}")?);
    }
    let mut table = plain(env);
    table.add_row([bare]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 0));
    }
    fold(&mut table, 1, env);
    print(&table, env)
}

/// A refusal, as a person reads it.
pub(super) fn refusal(refusal: &Refusal, env: &Env<'_>) -> String {
    if !env.watched || env.width.is_none() {
        return format!("bgctl: {refusal}");
    }
    let Refusal { code: _, what, at, mend } = refusal;
    let mut table = plain(env);
    table.force_no_tty();
    table.add_row(["bgctl:", what]).add_row(["where:", at]).add_row(["mend:", mend]);
    lay_out(&mut table, env);
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn lay_out(table: &mut Table, env: &Env<'_>) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    fold(table, 1, env);
}

/// Columns that a table takes, without blanks at the ends of its lines.
pub(super) fn width(table: &Table) -> usize {
    table
        .column_max_content_widths()
        .iter()
        .map(|width| usize::from(*width) + 2)
        .sum::<usize>()
        .saturating_sub(2)
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

/// Whether something is as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    /// It is.
    Good,
    /// It is not.
    Bad,
    /// Nobody knows, or it is worth a look.
    Odd,
}

impl Mood {
    /// Of a verdict.
    pub(super) const fn of(verdict: Option<bool>) -> Self {
        match verdict {
            Some(true) => Self::Good,
            Some(false) => Self::Bad,
            None => Self::Odd,
        }
    }
}

/// A cell that shows at a glance whether all is well.
pub(super) fn verdict(text: impl ToString, mood: Mood) -> Cell {
    let cell = Cell::new(text);
    match mood {
        Mood::Good => cell.fg(Color::Green),
        Mood::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Mood::Odd => cell.fg(Color::Yellow),
    }
}

/// A cell with a text from elsewhere, or a dash.
pub(super) fn text(text: Option<&str>) -> Cell {
    Cell::new(text.map_or_else(|| "-".to_owned(), clean))
}
