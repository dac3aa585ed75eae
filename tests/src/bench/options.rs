//! What the benchmark may be asked for, and how much work that is.

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How to call it.
pub const HELP: &str = "\
cargo xtask bench [--quick] [--only PART]… [--rounds N] [--json] [--chart FILE]

Measures bg on this machine, each figure beside the same work without bg. What is compared takes turns
within one run, round by round; a figure is the median of its rounds, and a ratio is the median of the
ratios of each round, so that a machine that is busy for a while does not bend it. Nothing is asserted.

  programs   nanoseconds per packet of the packet programs, with one flow or a million, one service or
             10,000, beside a program that does nothing
  network    connections, requests, bytes and packets through a gateway, beside plain routing, an
             nftables DNAT map, HAProxy, nginx, and programs that only send on: the limit
  latency    of requests at a steady rate, while nothing happens and with ten switches a second
  switch     time of a switch of 1, 100 and 10,000 services, beside nftables replacing its map
  memory     of the tables and of the daemon
  expiry     CPU time of a sweep over a million flows

What is to be compared and is not installed is skipped, and said to be. Where several ways of bg to hook
into a gateway were measured, a figure without the name of one is that of the best of this run.

  --quick        fewer and shorter rounds: four minutes instead of a quarter of an hour
  --only PART    one of the parts above; may be repeated
  --rounds N     rounds of programs, network and latency
  --json         tell everything on standard error, and print one flat JSON object as the last line of
                 standard output
  --chart FILE   draw what was measured into an SVG
  --sizes        measure nothing; print the size of the packet programs, and what the verifier made of them
  -h, --help     this text

Exit codes: 0 all was measured, 1 something could not be, 2 wrong usage, 130 interrupted.";

/// What is measured together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Single packets through the programs.
    Programs,
    /// Real traffic through a gateway.
    Network,
    /// Requests while switches go on.
    Latency,
    /// Orders to `bgctl`.
    Switch,
    /// Tables and daemon at rest.
    Memory,
    /// Sweeps over a full table.
    Expiry,
}

impl Part {
    /// Every part, in the order of a whole run.
    pub const ALL: [Self; 6] =
        [Self::Programs, Self::Network, Self::Latency, Self::Switch, Self::Memory, Self::Expiry];

    /// As it is typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Network => "network",
            Self::Latency => "latency",
            Self::Switch => "switch",
            Self::Memory => "memory",
            Self::Expiry => "expiry",
        }
    }
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|part| part.as_str() == text) {
            Some(part) => Ok(part),
            None => bail!("one of {}", Self::ALL.map(Self::as_str).join(", ")),
        }
    }
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Whether time matters more than precision.
    pub quick: bool,
    /// Whether to end with a JSON object.
    pub json: bool,
    /// What to measure.
    pub parts: Vec<Part>,
    /// Rounds of programs, network and latency, instead of the usual number.
    pub rounds: Option<u32>,
    /// Where to draw the chart.
    pub chart: Option<PathBuf>,
    /// Whether only the size of the programs is asked for.
    pub sizes: bool,
}

impl Options {
    /// Reads the command line; none if help was asked for.
    ///
    /// # Errors
    ///
    /// When it makes no sense.
    pub fn parse(mut args: Parser) -> Result<Option<Self>> {
        let mut this = Self::default();
        while let Some(arg) = args.next()? {
            match arg {
                Arg::Long("quick") => this.quick = true,
                Arg::Long("json") => this.json = true,
                Arg::Long("only") => this.parts.push(args.value()?.parse()?),
                Arg::Long("rounds") => match args.value()?.parse()? {
                    0 => bail!("--rounds: at least 1"),
                    rounds => this.rounds = Some(rounds),
                },
                Arg::Long("chart") => this.chart = Some(args.value()?.into()),
                Arg::Long("sizes") => this.sizes = true,
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => return Err(arg.unexpected().into()),
            }
        }
        if this.parts.is_empty() {
            this.parts = Part::ALL.to_vec();
        }
        Ok(Some(this))
    }

    /// How much work that is.
    pub(super) fn effort(&self) -> Effort {
        let usual = if self.quick { Effort::QUICK } else { Effort::FULL };
        let rounds = |usual| self.rounds.unwrap_or(usual);
        Effort {
            program_rounds: rounds(usual.program_rounds),
            network_rounds: rounds(usual.network_rounds),
            latency_rounds: rounds(usual.latency_rounds),
            ..usual
        }
    }
}

/// How much work each part does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Effort {
    /// Rounds through all programs.
    pub program_rounds: u32,
    /// Packets of each case in a round.
    pub packets: u32,
    /// Rounds through all variants of the network.
    pub network_rounds: u32,
    /// Whole seconds of each load of connections, because wrk and iperf3 know no others.
    pub seconds: u32,
    /// Length of each burst of small packets.
    pub burst: Duration,
    /// Rounds of requests, quiet and with switches.
    pub latency_rounds: u32,
    /// Length of each of those.
    pub latency: Duration,
    /// Switches of each number of services.
    pub switches: u32,
    /// Replacements of each nftables map.
    pub replacements: u32,
    /// Sweeps of a full table.
    pub sweeps: u32,
}

impl Effort {
    const FULL: Self = Self {
        program_rounds: 15,
        packets: 1_000_000,
        network_rounds: 7,
        seconds: 2,
        burst: Duration::from_secs(1),
        latency_rounds: 9,
        latency: Duration::from_secs(4),
        switches: 300,
        replacements: 60,
        sweeps: 15,
    };
    const QUICK: Self = Self {
        program_rounds: 5,
        packets: 1_000_000,
        network_rounds: 3,
        seconds: 1,
        burst: Duration::from_millis(250),
        latency_rounds: 5,
        latency: Duration::from_millis(1_500),
        switches: 100,
        replacements: 15,
        sweeps: 5,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_or_refused() {
        let parse = |line: &str| Options::parse(Parser::from_args(line.split_whitespace()));
        let all = Options { parts: Part::ALL.to_vec(), ..Options::default() };
        assert_eq!(parse("").unwrap(), Some(all.clone()));
        assert_eq!(
            parse("--quick --json").unwrap(),
            Some(Options { quick: true, json: true, ..all.clone() })
        );
        let two = vec![Part::Switch, Part::Memory];
        assert_eq!(
            parse("--only switch --only=memory").unwrap(),
            Some(Options { parts: two, ..all.clone() })
        );
        assert_eq!(parse("--rounds 5").unwrap(), Some(Options { rounds: Some(5), ..all.clone() }));
        assert_eq!(
            parse("--chart a.svg --sizes").unwrap(),
            Some(Options { chart: Some("a.svg".into()), sizes: true, ..all })
        );
        assert_eq!(parse("--quick --help").unwrap(), None);
        for wrong in [
            "--only",
            "--only speed",
            "--chart",
            "--rounds",
            "--rounds 0",
            "--rounds many",
            "--slow",
            "network",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
