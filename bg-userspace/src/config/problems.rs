//! Collects what is wrong with a configuration, each with its line and column.

use super::Invalid;
use crate::refusal::Refusal;
use std::fmt;
use std::ops::Range;

/// A value with its place in the text and the path of its key.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Where something stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) span: Range<usize>,
    pub(super) key: String,
}

/// What was found so far.
pub(super) struct Problems<'t> {
    text: &'t str,
    file: &'t str,
    found: Vec<(usize, Refusal)>,
    notes: Vec<(usize, Refusal)>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str, file: &'t str) -> Self {
        Self { text, file, found: Vec::new(), notes: Vec::new() }
    }

    /// Notes one problem.
    pub(super) fn add(
        &mut self,
        code: &str,
        place: &Place,
        what: impl fmt::Display,
        mend: impl fmt::Display,
    ) {
        let at = self.show(place);
        self.found.push((place.span.start, Refusal::new(code, what, at, mend)));
    }

    /// Notes a problem that stands in two places.
    pub(super) fn add_pair(
        &mut self,
        code: &str,
        [here, there]: [&Place; 2],
        what: impl fmt::Display,
        mend: impl fmt::Display,
    ) {
        let at = format!("{} and {}", self.show(here), self.show(there));
        self.found.push((here.span.start, Refusal::new(code, what, at, mend)));
    }

    /// Notes what is valid but may not be what was meant.
    pub(super) fn note(
        &mut self,
        code: &str,
        place: &Place,
        what: impl fmt::Display,
        mend: impl fmt::Display,
    ) {
        let at = self.show(place);
        self.notes.push((place.span.start, Refusal::new(code, what, at, mend)));
    }

    /// What was noted so far and is no problem, in the order of the file.
    pub(super) fn take_notes(&mut self) -> Vec<Refusal> {
        self.notes.sort_by_key(|(offset, _)| *offset);
        std::mem::take(&mut self.notes).into_iter().map(|(_, note)| note).collect()
    }

    /// `config`, if there is one and nothing was found.
    pub(super) fn finish<C>(mut self, config: Option<C>) -> Result<C, Invalid> {
        self.found.sort_by_key(|(offset, _)| *offset);
        match config {
            Some(config) if self.found.is_empty() => Ok(config),
            _ => Err(Invalid { problems: self.found.into_iter().map(|(_, problem)| problem).collect() }),
        }
    }

    /// `file:line:column (key)`, counted in characters from 1.
    fn show(&self, Place { span, key }: &Place) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let file = self.file;
        if key.is_empty() {
            format!("{file}:{line}:{column}")
        } else {
            format!("{file}:{line}:{column} ({key})")
        }
    }
}
