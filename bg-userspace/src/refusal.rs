//! The one form in which bg says no: what is wrong, where, and what mends it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A refusal. It is the body of every error answer of the API and what `bgctl` and `bgd` print.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable identifier for programs, such as `unknown-deployment`.
    pub code: String,
    /// What is wrong, in a sentence without a full stop.
    pub what: String,
    /// Where: a file and line, an interface, a pin, a process.
    pub at: String,
    /// What to do about it; a command where there is one.
    pub mend: String,
}

impl Refusal {
    /// Puts the four parts together.
    #[must_use]
    pub fn new(code: &str, what: impl fmt::Display, at: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Self { code: code.to_owned(), what: what.to_string(), at: at.to_string(), mend: mend.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code: _, what, at, mend } = self;
        let [what, mend] = [what, mend].map(|text| text.replace('\n', "\n         "));
        write!(f, "{what}\n  where: {at}\n  mend:  {mend}")
    }
}

impl std::error::Error for Refusal {}
