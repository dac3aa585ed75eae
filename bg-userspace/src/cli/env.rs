//! What a command touches besides the daemon: where it prints, who may answer, the clock, the kernel and the
//! journal. Tests bring their own.

use crate::api::archive::{Answering, Archive};
use crate::daemon::past::Past;
use crate::dataplane::{self, Dataplane, Detached};
use crate::journal::{Entry, Reader, offline};
use crate::refusal::Refusal;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

/// The surroundings of a command.
pub struct Env<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Standard input.
    pub answers: &'a mut dyn BufRead,
    /// Whether to colour what is printed.
    pub colour: bool,
    /// Columns of the terminal that is printed on; none: it is none, and lines are as long as they are.
    pub width: Option<u16>,
    /// Whether a person can be asked: input and output are a terminal.
    pub asks: bool,
    /// Whether a person looks on: errors go to a terminal.
    pub watched: bool,
    /// The time.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Where times are read and printed.
    pub zone: TimeZone,
    /// How long to wait between two looks at something that takes its time.
    pub poll: Duration,
    /// The user behind `sudo`, for the record.
    pub user: Option<String>,
    /// The kernel's pinned tables.
    pub kernel: &'a dyn Kernel,
    /// The journals on this machine.
    pub journals: &'a dyn Journals,
}

/// The way to the data plane without the daemon.
pub trait Kernel {
    /// Opens what is pinned of `instance`.
    ///
    /// # Errors
    ///
    /// When there is nothing, or it is of another version.
    fn open(&self, instance: &str) -> Result<Box<dyn Dataplane>, Refusal>;

    /// Takes down what is pinned of `instance`.
    ///
    /// # Errors
    ///
    /// When a daemon runs the instance, or a pin cannot be removed.
    fn remove(&self, instance: &str) -> Result<Detached, Refusal>;
}

/// The way to the journal without the daemon.
pub trait Journals {
    /// The journal at `path`, to be read. Whether it is there shows when it is asked.
    fn open(&self, path: &Path) -> Box<dyn Archive>;

    /// Writes an entry to the journal at `path`.
    fn append<'a>(&'a self, path: &'a Path, entry: Entry) -> Answering<'a, Result<(), Refusal>>;
}

/// This machine's kernel.
pub struct ThisKernel;

impl Kernel for ThisKernel {
    fn open(&self, instance: &str) -> Result<Box<dyn Dataplane>, Refusal> {
        Ok(Box::new(dataplane::kernel::Kernel::open_pinned(instance)?))
    }

    fn remove(&self, instance: &str) -> Result<Detached, Refusal> {
        dataplane::kernel::Kernel::remove(instance)
    }
}

/// This machine's files.
pub struct TheseFiles;

impl Journals for TheseFiles {
    fn open(&self, path: &Path) -> Box<dyn Archive> {
        Box::new(Past::new(Reader::new(path)))
    }

    fn append<'a>(&'a self, path: &'a Path, entry: Entry) -> Answering<'a, Result<(), Refusal>> {
        Box::pin(async move { offline::append(path, entry).await.map(|_| ()) })
    }
}
