//! Why a question has no good answer, as one short sentence.

use nix::errno::Errno;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// Most characters of something foreign that a sentence quotes.
const QUOTE: usize = 200;

/// What is said of a connection that is refused.
pub const REFUSED: &str = "connection refused";

/// Why a question has no good answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It was asked, and this is what was wanted and what came.
    Answer(String),
    /// This host lacks what it takes to ask, which says nothing about who was to be asked.
    Host(String),
}

impl Failure {
    /// What came of an attempt to `what`, such as "connect".
    #[must_use]
    pub fn io(what: &str, why: &io::Error) -> Self {
        let lacking = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EAGAIN];
        let own = [
            ErrorKind::AddrInUse,
            ErrorKind::AddrNotAvailable,
            ErrorKind::NetworkDown,
            ErrorKind::QuotaExceeded,
        ];
        if own.contains(&why.kind()) || why.raw_os_error().is_some_and(|code| lacking.contains(&code)) {
            return Self::Host(format!("this host cannot {what}: {why}"));
        }
        Self::Answer(sentence(why))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Answer(why) | Self::Host(why)) = self;
        f.write_str(why)
    }
}

impl Error for Failure {}

/// An error of IO without the number that the operating system gives it.
#[must_use]
pub fn sentence(why: &io::Error) -> String {
    let known = [
        (ErrorKind::ConnectionRefused, REFUSED),
        (ErrorKind::ConnectionReset, "connection reset"),
        (ErrorKind::BrokenPipe, "connection closed by the other side"),
        (ErrorKind::UnexpectedEof, "connection closed by the other side"),
        (ErrorKind::HostUnreachable, "the host is unreachable"),
        (ErrorKind::NetworkUnreachable, "the network is unreachable"),
        (ErrorKind::TimedOut, "connection timed out"),
    ];
    match (known.iter().find(|(kind, _)| *kind == why.kind()), why.raw_os_error()) {
        (Some((_, text)), _) => (*text).to_owned(),
        (None, Some(code)) => Errno::from_raw(code).desc().to_owned(),
        (None, None) => quoted(&chain(why)),
    }
}

/// An error and its causes, each once.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

/// Something foreign, fit to stand in a log, a terminal and a page: one line, short, without control characters.
#[must_use]
pub fn quoted(foreign: &str) -> String {
    let mut text: String = foreign
        .trim()
        .chars()
        .take(QUOTE)
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect();
    if foreign.trim().chars().nth(QUOTE).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_host_lacks_is_not_held_against_the_target() {
        for (code, host) in [(libc::EMFILE, true), (libc::ENOBUFS, true), (libc::ECONNREFUSED, false)] {
            let failure = Failure::io("connect", &io::Error::from_raw_os_error(code));
            assert_eq!(matches!(failure, Failure::Host(_)), host, "{failure}");
        }
    }

    #[test]
    fn errors_are_told_without_numbers_and_foreign_texts_in_one_short_line() {
        assert_eq!(sentence(&io::Error::from_raw_os_error(libc::ECONNREFUSED)), "connection refused");
        assert_eq!(sentence(&io::Error::from_raw_os_error(libc::ENOENT)), "No such file or directory");
        assert_eq!(quoted(" a\u{1b}[31m\nb "), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(quoted(&"x".repeat(10_000)).chars().count(), QUOTE + 1);
    }
}
