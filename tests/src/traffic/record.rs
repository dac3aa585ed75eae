//! What clients saw: answers by colour over time, every new connection, every failure by kind.

use crate::clock;
use crate::servers::Stamp;
use bg_common::Colour;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// One HTTP request per connection.
    Short,
    /// Many HTTP requests on one connection.
    Kept,
    /// Lines back and forth on one connection.
    Stream,
    /// Datagrams with sequence numbers from one port.
    Datagram,
}

/// How a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Failure {
    /// Nobody listens.
    Refused,
    /// The connection was cut by RST.
    Reset,
    /// No answer within [`TIMEOUT`](super::TIMEOUT).
    Timeout,
    /// The connection ended before the answer did.
    Short,
    /// An answer on a connection came from another machine than the one before.
    Moved,
    /// The answer is not to the question.
    Garbled,
    /// Anything else the kernel reports.
    Other,
}

impl From<&std::io::Error> for Failure {
    fn from(error: &std::io::Error) -> Self {
        const KINDS: [(ErrorKind, Failure); 7] = [
            (ErrorKind::ConnectionRefused, Failure::Refused),
            (ErrorKind::ConnectionReset, Failure::Reset),
            (ErrorKind::BrokenPipe, Failure::Reset),
            (ErrorKind::ConnectionAborted, Failure::Reset),
            (ErrorKind::TimedOut, Failure::Timeout),
            (ErrorKind::UnexpectedEof, Failure::Short),
            (ErrorKind::InvalidData, Failure::Garbled),
        ];
        KINDS.iter().find(|(kind, _)| *kind == error.kind()).map_or(Self::Other, |(_, failure)| *failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Short => "cut short",
            Self::Moved => "moved",
            Self::Garbled => "garbled",
            Self::Other => "other",
        })
    }
}

/// A connection (or a socket of datagrams) that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// What opened it.
    pub kind: Kind,
    /// Who answered.
    pub stamp: Stamp,
    /// The client's port.
    pub port: u16,
    /// CLOCK_MONOTONIC before `connect` was called, so before the SYN.
    pub called: u64,
    /// CLOCK_MONOTONIC after it had returned: the machine was chosen between the two.
    pub connected: u64,
}

/// Everything counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were answered well.
    pub answered: [u64; 2],
    /// Requests that were not.
    pub failures: BTreeMap<Failure, u64>,
    /// The first few failures, in words.
    pub examples: Vec<String>,
    /// Answered connections, in the order of their first answer.
    pub connections: Vec<Connection>,
    /// Connections open now that outlive a request, by colour.
    pub open: BTreeMap<Kind, [u64; 2]>,
    /// Answers in each slot of [`Record::SLOT`] since the start.
    pub slots: Vec<[u32; 2]>,
    /// The longest time from a question to its answer, connecting included.
    pub slowest: Duration,
}

impl Tally {
    /// Requests that ended, well or not.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.answered.iter().sum::<u64>() + self.failed()
    }

    /// Requests that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Connections open now of one kind, by colour.
    #[must_use]
    pub fn open_of(&self, kind: Kind) -> [u64; 2] {
        self.open.get(&kind).copied().unwrap_or_default()
    }

    /// Requests that failed this way.
    #[must_use]
    pub fn failed_by(&self, failure: Failure) -> u64 {
        self.failures.get(&failure).copied().unwrap_or_default()
    }
}

/// A tally that clients write while others read.
#[derive(Debug)]
pub struct Record {
    started: u64,
    tally: Mutex<Tally>,
}

impl Record {
    /// Width of a slot of the time line.
    pub const SLOT: Duration = Duration::from_millis(100);

    const EXAMPLES: usize = 10;

    pub(super) fn new() -> Self {
        Self { started: clock::now(), tally: Mutex::default() }
    }

    /// CLOCK_MONOTONIC at the start of slot 0.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started
    }

    /// A copy of the tally as it is.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().clone()
    }

    /// Reads the tally in place.
    pub fn look<T>(&self, read: impl FnOnce(&Tally) -> T) -> T {
        read(&self.lock())
    }

    pub(super) fn answer(&self, stamp: Stamp, asked: u64) {
        let now = clock::now();
        let slot = (now - self.started) / u64::try_from(Self::SLOT.as_nanos()).unwrap_or(u64::MAX);
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        let mut tally = self.lock();
        *of(&mut tally.answered, stamp.colour) += 1;
        tally.slowest = tally.slowest.max(Duration::from_nanos(now.saturating_sub(asked)));
        if tally.slots.len() <= slot {
            tally.slots.resize(slot + 1, [0; 2]);
        }
        if let Some(slot) = tally.slots.get_mut(slot) {
            *of(slot, stamp.colour) += 1;
        }
    }

    pub(super) fn fail(&self, kind: Kind, failure: Failure, detail: impl fmt::Display) {
        let at = Duration::from_nanos(clock::now() - self.started);
        let mut tally = self.lock();
        *tally.failures.entry(failure).or_default() += 1;
        if tally.examples.len() < Self::EXAMPLES {
            tally.examples.push(format!("{kind:?} at {:.3} s: {failure}: {detail}", at.as_secs_f64()));
        }
    }

    pub(super) fn connection(&self, connection: Connection) {
        self.lock().connections.push(connection);
    }

    /// Counts a connection as open until the guard is dropped.
    pub(super) fn open(&self, kind: Kind, colour: Colour) -> Open<'_> {
        *of(self.lock().open.entry(kind).or_default(), colour) += 1;
        Open { record: self, kind, colour }
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        // Counts are whole after every statement, so those of a thread that panicked are still true.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is open.
pub(super) struct Open<'a> {
    record: &'a Record,
    kind: Kind,
    colour: Colour,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *of(self.record.lock().open.entry(self.kind).or_default(), self.colour) -= 1;
    }
}

fn of<T>(pair: &mut [T; 2], colour: Colour) -> &mut T {
    let [blue, green] = pair;
    match colour {
        Colour::Blue => blue,
        Colour::Green => green,
    }
}
