//! What the soak may be asked for.

use anyhow::Result;
use lexopt::{Arg, Parser, ValueExt};
use std::time::Duration;

/// How to call it.
pub const HELP: &str = "\
cargo xtask soak [--minutes M] [--flips N] [--json]

Builds a client, a gateway and two slices from network namespaces on this machine, three times: for XDP, for tc with
replies by redirect, for tc with the stack. Loads them over IPv4 and IPv6 with short and kept connections, long
streams and datagrams, and makes the other colour live over and over. Every answer is looked at, every new flow is
compared with who was live, every packet's checksums are computed anew.

  --minutes M    for so long, all three together (default 2)
  --flips N      change who is live so often, spread over the time; if that is not enough, longer
                 (default 10 a second)
  --json         for programs: this is how it always ends, with one JSON object as the last line of standard
                 output
  -h, --help     this text

Exit codes: 0 nobody noticed anything, 1 otherwise, 2 wrong usage.";

/// Flips a second, unless asked otherwise.
const PACE: u64 = 10;

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// For how long.
    pub time: Duration,
    /// How often live is to change.
    pub flips: u64,
}

impl Options {
    /// So long, at the usual pace.
    #[must_use]
    pub const fn lasting(time: Duration) -> Self {
        Self { time, flips: time.as_secs() * PACE }
    }

    /// Reads the command line; none if help was asked for.
    ///
    /// # Errors
    ///
    /// When it was not understood.
    pub fn parse(mut args: Parser) -> Result<Option<Self>> {
        let (mut minutes, mut flips) = (2.0, None);
        while let Some(arg) = args.next()? {
            match arg {
                Arg::Long("minutes") => minutes = args.value()?.parse()?,
                Arg::Long("flips") => flips = Some(args.value()?.parse()?),
                Arg::Long("json") => {}
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                    return Err(other.unexpected().into());
                }
            }
        }
        let usual = Self::lasting(Duration::try_from_secs_f64(minutes * 60.0)?);
        Ok(Some(Self { flips: flips.unwrap_or(usual.flips), ..usual }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strange_ones_refused() {
        let parse = |line: &str| Options::parse(Parser::from_args(line.split_whitespace()));
        assert_eq!(parse("").unwrap(), Some(Options { time: Duration::from_secs(120), flips: 1_200 }));
        let asked = Options { time: Duration::from_secs(500 * 60), flips: 10_000 };
        assert_eq!(parse("--minutes 500 --flips=10000 --json").unwrap(), Some(asked));
        assert_eq!(parse("--minutes 0.5").unwrap().unwrap().flips, 300);
        assert_eq!(parse("--help").unwrap(), None);
        for wrong in ["--minutes", "--minutes -1", "--flips many", "--flip 3", "now"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
