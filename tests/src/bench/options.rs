//! What the benchmark may be asked for, and how much work that is.

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use std::str::FromStr;
use std::time::Duration;

/// How to call it.
pub const HELP: &str = "\
cargo xtask bench [--quick] [--only PART]… [--rounds N] [--json]

Measures bg on this machine, each figure beside the same work without bg. What is compared takes turns
within one run, round by round; a figure is the median of its rounds, and a ratio is the median of the
ratios of each round, so that a machine that is busy for a while does not bend it. Nothing is asserted.

  programs   nanoseconds per packet of the packet programs, beside a program that does nothing
  network    connections, requests, bytes and packets through a gateway, beside plain routing and
             an nftables DNAT map
  switch     time of a switch of 1, 100 and 10,000 services, beside nftables replacing its map
  memory     of the tables and of the daemon

  --quick        fewer and shorter rounds: three minutes instead of ten
  --only PART    one of the parts above; may be repeated
  --rounds N     rounds of programs and network
  --json         tell everything on standard error, and print one flat JSON object as the last line of
                 standard output
  -h, --help     this text

Exit codes: 0 all was measured, 1 something could not be, 2 wrong usage, 130 interrupted.";

/// What is measured together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Single packets through the programs.
    Programs,
    /// Real traffic through a gateway.
    Network,
    /// Orders to `bgctl`.
    Switch,
    /// Tables and daemon at rest.
    Memory,
}

impl Part {
    /// Every part, in the order of a whole run.
    pub const ALL: [Self; 4] = [Self::Programs, Self::Network, Self::Switch, Self::Memory];

    /// As it is typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Network => "network",
            Self::Switch => "switch",
            Self::Memory => "memory",
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether time matters more than precision.
    pub quick: bool,
    /// Whether to end with a JSON object.
    pub json: bool,
    /// What to measure.
    pub parts: Vec<Part>,
    /// Rounds of programs and network, instead of the usual number.
    pub rounds: Option<u32>,
}

impl Options {
    /// Reads the command line; none if help was asked for.
    ///
    /// # Errors
    ///
    /// When it makes no sense.
    pub fn parse(mut args: Parser) -> Result<Option<Self>> {
        let mut this = Self { quick: false, json: false, parts: Vec::new(), rounds: None };
        while let Some(arg) = args.next()? {
            match arg {
                Arg::Long("quick") => this.quick = true,
                Arg::Long("json") => this.json = true,
                Arg::Long("only") => this.parts.push(args.value()?.parse()?),
                Arg::Long("rounds") => match args.value()?.parse()? {
                    0 => bail!("--rounds: at least 1"),
                    rounds => this.rounds = Some(rounds),
                },
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
    /// Switches of each number of services.
    pub switches: u32,
    /// Replacements of each nftables map.
    pub replacements: u32,
}

impl Effort {
    const FULL: Self = Self {
        program_rounds: 15,
        packets: 1_000_000,
        network_rounds: 9,
        seconds: 2,
        burst: Duration::from_secs(1),
        switches: 300,
        replacements: 60,
    };
    const QUICK: Self = Self {
        program_rounds: 5,
        packets: 1_000_000,
        network_rounds: 5,
        seconds: 1,
        burst: Duration::from_millis(250),
        switches: 100,
        replacements: 15,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_or_refused() {
        let parse = |line: &str| Options::parse(Parser::from_args(line.split_whitespace()));
        let all = Options { quick: false, json: false, parts: Part::ALL.to_vec(), rounds: None };
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
        assert_eq!(parse("--rounds 5").unwrap(), Some(Options { rounds: Some(5), ..all }));
        assert_eq!(parse("--quick --help").unwrap(), None);
        for wrong in
            ["--only", "--only speed", "--rounds", "--rounds 0", "--rounds many", "--slow", "network"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
