//! Names of things: what may stand in a command, a table and a file name without quoting.

use std::fmt;
use std::ops::Deref;

/// Name of a deployment or service: 1 to 63 of `a-z 0-9 - _ .`, a letter or digit first.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Name(String);

/// Name of an instance: as [`Name`], but without dots, which file names on a bpffs may not have.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Instance(String);

/// Longest name in bytes.
const MAX: usize = 63;

fn check(text: &str, extra: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c);
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > MAX {
        return Err(format!("is {} bytes long, and {MAX} is the most", text.len()));
    }
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        return Err(format!("has a {bad:?} in it"));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("starts with neither a letter nor a digit".to_owned());
    }
    Ok(())
}

impl Name {
    /// What a name is made of.
    pub const RULE: &str = "use 1 to 63 of a-z 0-9 - _ . with a letter or digit first";

    /// Takes `text` as a name.
    ///
    /// # Errors
    ///
    /// With the end of a sentence that begins with the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text, "-_.").map(|()| Self(text.to_owned()))
    }
}

impl Instance {
    /// What an instance's name is made of.
    pub const RULE: &str = "use 1 to 63 of a-z 0-9 - _ with a letter or digit first";

    /// Takes `text` as a name.
    ///
    /// # Errors
    ///
    /// With the end of a sentence that begins with the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text, "-_").map(|()| Self(text.to_owned()))
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self(crate::paths::DEFAULT_INSTANCE.to_owned())
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for Instance {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}
