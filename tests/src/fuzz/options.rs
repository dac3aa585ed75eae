//! What the fuzzer may be asked for.

use anyhow::Result;
use lexopt::{Arg, Parser, ValueExt};

/// How to call it.
pub const HELP: &str = "\
cargo xtask fuzz [--packets N] [--seed S] [--nft N] [--json]

Runs the packet programs in this machine's kernel, by BPF_PROG_TEST_RUN, and a plain model of them on the same
packets, and compares what both say: action, bytes, pins, counters. Packets come in sequences, in which flows open,
close, expire and are cut, while words, backends and clocks change. No packet leaves, and nothing is attached but to
a control group of its own, whose sockets connect to themselves.

  --packets N    compare so many packets (default 1000000) after sweeps: every length, every checksum
  --seed S       the same seed gives the same packets (default 1)
  --nft N        before, compare the model with nftables' DNAT on so many (default 100000); 0 leaves it out
  --json         for programs: this is how it always ends, with one JSON object as the last line of standard
                 output
  -h, --help     this text

With --coverage it is another fuzzer, of the packet library on the host; --coverage --help tells of it.

Exit codes: 0 all agree, 1 otherwise, 2 wrong usage.";

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// How many packets to compare.
    pub packets: u64,
    /// What chance begins with.
    pub seed: u64,
    /// How many to compare the model with nftables on.
    pub against: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { packets: 1_000_000, seed: 1, against: 100_000 }
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
                Arg::Long("packets") => options.packets = args.value()?.parse()?,
                Arg::Long("seed") => options.seed = args.value()?.parse()?,
                Arg::Long("nft") => options.against = args.value()?.parse()?,
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
        let asked = Options { packets: 5000, seed: 7, against: 0 };
        assert_eq!(parse("--packets 5000 --seed=7 --nft 0 --json").unwrap(), Some(asked));
        assert_eq!(parse("--help").unwrap(), None);
        for wrong in ["--packets", "--packets many", "--packet 3", "now"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
