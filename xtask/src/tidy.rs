//! `cargo xtask tidy`: the rules of the source tree that a program can check. Each complaint says
//! where, what and how to mend it.

mod abi;
mod boundaries;
mod form;
mod rust;
mod words;

use crate::session::{Session, flags};
use crate::sh::say;
use anyhow::{Context as _, Result, bail};
use std::fmt;
use std::fs;
use std::path::Path;

/// Directories that hold nothing of ours.
const FOREIGN: [&str; 2] = ["target", ".git"];

pub(crate) fn task(session: &Session, mut args: lexopt::Parser) -> Result<()> {
    let mut bless = false;
    flags(&mut args, [("bless", &mut bless)])?;
    if bless {
        abi::bless(&session.root)?;
    }
    check(session)?;
    say("tidy: ok");
    Ok(())
}

/// Checks the whole tree and prints each complaint.
pub(crate) fn check(session: &Session) -> Result<()> {
    let sources = read_tree(&session.root)?;
    let mut complaints: Vec<Complaint> = Vec::new();
    for source in &sources {
        complaints.extend(words::check(source));
        if source.path.ends_with(".rs") {
            complaints.extend(form::check(source));
            complaints.extend(boundaries::check(source));
        }
    }
    complaints.extend(boundaries::check_unsafe(&sources));
    complaints.extend(abi::check(&sources));
    complaints.sort();
    for complaint in &complaints {
        say(&complaint.to_string());
    }
    match complaints.len() {
        0 => Ok(()),
        1 => bail!("1 rule of the source tree is broken, see above"),
        n => bail!("{n} rules of the source tree are broken, see above"),
    }
}

/// A text file of the project.
#[derive(Debug)]
struct Source {
    /// Relative to the workspace, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// A complaint about what stands at byte `offset`.
    fn complain(&self, offset: usize, what: impl fmt::Display, mend: &str) -> Complaint {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Complaint { path: self.path.clone(), line, what: what.to_string(), mend: mend.to_owned() }
    }
}

/// One broken rule.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Complaint {
    path: String,
    line: usize,
    what: String,
    mend: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, mend } = self;
        write!(f, "{path}:{line}: {what}; {mend}")
    }
}

fn read_tree(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let foreign = FOREIGN.iter().any(|name| entry.file_name() == *name);
            if kind.is_dir() && !foreign {
                directories.push(path);
            } else if kind.is_file() && !foreign {
                let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
                // What is not text has no rules.
                sources.extend(String::from_utf8(bytes).ok().map(|text| Source { path: relative, text }));
            }
        }
    }
    Ok(sources)
}

#[cfg(test)]
fn sample(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}
