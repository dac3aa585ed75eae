//! What the chaos may be asked for.

use anyhow::Result;
use lexopt::{Arg, Parser, ValueExt};
use std::time::Duration;

/// How to call it.
pub const HELP: &str = "\
cargo xtask chaos [--kills N] [--flips N] [--minutes M] [--seed S] [--healthy N] [--json]

Builds a client, a gateway and two slices from network namespaces on this machine, loads them over IPv4 and
IPv6, gives orders, and kills the daemon by SIGKILL while it carries them out: at random moments and at each
of its fail points. After each start, what kernel, daemon, journal, roles and clients say of who is live is
compared.

  --kills N      kill the daemon so often (default 60)
  --flips N      and go on until live has changed so often (default 0)
  --minutes M    but not longer than this (default 30)
  --seed S       the same seed gives the same orders (default 1)
  --healthy N    instead: N switches with probes and a bake time, which nothing speaks against
  --json         for programs: this is how it always ends, with one JSON object as the last line of standard
                 output
  -h, --help     this text

Exit codes: 0 no request failed and all agreed, 1 otherwise, 2 wrong usage.";

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// How often to kill the daemon.
    pub kills: u64,
    /// How often live has to change at least.
    pub flips: u64,
    /// When to stop whatever was done.
    pub time: Duration,
    /// What chance begins with.
    pub seed: u64,
    /// Count false rollbacks of so many switches instead.
    pub healthy: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { kills: 60, flips: 0, time: Duration::from_secs(30 * 60), seed: 1, healthy: None }
    }
}

impl Options {
    /// Reads the command line; none if help was asked for.
    ///
    /// # Errors
    ///
    /// When it was not understood.
    pub fn parse(mut args: Parser) -> Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(arg) = args.next()? {
            match arg {
                Arg::Long("kills") => options.kills = args.value()?.parse()?,
                Arg::Long("flips") => options.flips = args.value()?.parse()?,
                Arg::Long("minutes") => {
                    options.time = Duration::from_secs(args.value()?.parse::<u64>()?.saturating_mul(60));
                }
                Arg::Long("seed") => options.seed = args.value()?.parse()?,
                Arg::Long("healthy") => options.healthy = Some(args.value()?.parse()?),
                Arg::Long("json") => {}
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                    return Err(other.unexpected().into());
                }
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strange_ones_refused() {
        let parse = |line: &str| Options::parse(Parser::from_args(line.split_whitespace()));
        assert_eq!(parse("").unwrap(), Some(Options::default()));
        let asked = parse("--kills 1000 --flips=10 --minutes 2 --seed 7 --json").unwrap().unwrap();
        assert_eq!((asked.kills, asked.flips, asked.time.as_secs(), asked.seed), (1000, 10, 120, 7));
        assert_eq!(parse("--healthy 30").unwrap().unwrap().healthy, Some(30));
        assert_eq!(parse("--help").unwrap(), None);
        for wrong in ["--kills", "--kills many", "--kill 3", "now"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
