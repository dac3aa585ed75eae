//! What the benchmark says: text while it goes on, and all figures under their keys at the end.

use super::chart::{self, Panel};
use super::figures::rounded;
use crate::paint::Paint;
use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// Whoever tells.
pub(super) struct Report {
    json: bool,
    chart: Option<PathBuf>,
    paint: Paint,
    figures: Map<String, Value>,
    panels: Vec<Panel>,
    /// Where and how it is measured, line by line.
    circumstances: Vec<String>,
}

impl Report {
    /// Tells on standard output, or beside the JSON object on standard error; draws a chart into a file.
    pub(super) fn new(json: bool, chart: Option<PathBuf>) -> Self {
        let terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            chart,
            paint: Paint { on: terminal && !refused },
            figures: Map::new(),
            panels: Vec::new(),
            circumstances: Vec::new(),
        }
    }

    pub(super) fn line(&self, text: &str) -> Result<()> {
        if self.json {
            writeln!(io::stderr(), "{text}")?
        } else {
            writeln!(io::stdout(), "{text}")?
        }
        Ok(())
    }

    /// The beginning of a part.
    pub(super) fn title(&self, name: &str, about: &str) -> Result<()> {
        self.line(&format!("\n{}  {about}", self.paint.bold(name)))
    }

    /// What is going on.
    pub(super) fn progress(&self, text: &str) -> Result<()> {
        self.line(&self.paint.dim(format!("  {text}")))
    }

    /// A table; its first row is the heading, its first column the names. A row without columns is a
    /// remark.
    pub(super) fn table(&self, rows: &[Vec<String>]) -> Result<()> {
        self.line("")?;
        for (index, line) in aligned(rows).into_iter().enumerate() {
            self.line(&if index == 0 { self.paint.bold(line) } else { line })?;
        }
        self.line("")
    }

    /// A figure; what could not be measured has none.
    pub(super) fn put(&mut self, key: impl Into<String>, value: f64) {
        if !value.is_finite() {
            return;
        }
        let value = rounded(value);
        let whole = value.fract() == 0.0 && value.abs() < 1e15;
        self.figures.insert(key.into(), if whole { Value::from(value as i64) } else { Value::from(value) });
    }

    /// A word beside the figures.
    pub(super) fn name(&mut self, key: impl Into<String>, value: &str) {
        self.figures.insert(key.into(), Value::from(value));
    }

    /// A part of the chart.
    pub(super) fn panel(&mut self, panel: Panel) {
        self.panels.push(panel);
    }

    /// A line of the chart that says where or how it was measured.
    pub(super) fn circumstance(&mut self, text: String) {
        self.circumstances.push(text);
    }

    /// The end: the chart and the object, where they were asked for.
    pub(super) fn end(self) -> Result<()> {
        if let Some(path) = &self.chart {
            let picture = chart::svg(
                "What bg costs, beside the same work without it",
                &self.circumstances,
                &self.panels,
            );
            fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))?;
            self.line(&format!("the chart is {}", path.display()))?;
        }
        if self.json {
            writeln!(io::stdout(), "{}", Value::Object(self.figures))?;
        }
        Ok(())
    }
}

/// Names to the left, figures to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &Vec<String>| {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let fill = " ".repeat(width(column).saturating_sub(cell.chars().count()));
            match column {
                0 => text += &format!("  {cell}{fill}"),
                _ => text += &format!("   {fill}{cell}"),
            }
        }
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A number with so many decimals, or a dash.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}") } else { "–".to_owned() }
}

/// A row of a table.
pub(super) fn row<S: Into<String>>(cells: impl IntoIterator<Item = S>) -> Vec<String> {
    cells.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_figures_right() {
        let rows =
            [row(["", "ns"]), row(["empty", "9.5"]), row(["a remark that is long"]), row(["tcp", "101.0"])];
        assert_eq!(
            aligned(&rows),
            ["             ns", "  empty     9.5", "  a remark that is long", "  tcp     101.0"]
        );
    }

    #[test]
    fn whole_figures_are_written_without_a_fraction() {
        let mut report = Report::new(true, None);
        report.put("a", 3.0);
        report.put("b", 0.123_456);
        report.put("c", f64::NAN);
        assert_eq!(Value::Object(report.figures).to_string(), r#"{"a":3,"b":0.1235}"#);
    }
}
