//! What the demo may be asked for.

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use std::num::NonZero;
use std::str::FromStr;
use std::time::Duration;

/// How to call it.
pub const HELP: &str = "\
cargo xtask demo [--flips N] [--attach xdp|tc] [--json]

Builds a client, a gateway and two slices of two machines each from network namespaces on this
machine, loads them over IPv4 and IPv6, and switches and rolls back under that load.

  --flips N         how often to switch (default 6)
  --attach xdp|tc   where the uplink is hooked (default xdp)
  --json            tell the progress on standard error, and print one JSON object as the last line
                    of standard output
  -h, --help        this text

Exit codes: 0 nothing failed, 1 something did, 2 wrong usage, 130 interrupted.";

/// Where the uplink is hooked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attach {
    /// XDP in the driver of the veth.
    Xdp,
    /// tc ingress.
    Tc,
}

impl Attach {
    /// As it is written in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }
}

impl FromStr for Attach {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "xdp" => Ok(Self::Xdp),
            "tc" => Ok(Self::Tc),
            _ => bail!("`xdp` or `tc`"),
        }
    }
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// How often to switch.
    pub flips: u32,
    /// Where the uplink is hooked.
    pub attach: Attach,
    /// Whether to end with a JSON object.
    pub json: bool,
}

impl Options {
    /// Reads the command line; none if help was asked for.
    ///
    /// # Errors
    ///
    /// When it makes no sense.
    pub fn parse(mut args: Parser) -> Result<Option<Self>> {
        let mut this = Self { flips: 6, attach: Attach::Xdp, json: false };
        while let Some(arg) = args.next()? {
            match arg {
                Arg::Long("flips") => this.flips = args.value()?.parse::<NonZero<u32>>()?.get(),
                Arg::Long("attach") => this.attach = args.value()?.parse()?,
                Arg::Long("json") => this.json = true,
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => return Err(arg.unexpected().into()),
            }
        }
        Ok(Some(this))
    }

    /// Time from one switch to the next: a few can be watched one by one, many take 20 seconds together.
    #[must_use]
    pub fn period(&self) -> Duration {
        const WATCHABLE: Duration = Duration::from_millis(2_200);
        const SHORTEST: Duration = Duration::from_millis(100);
        (Duration::from_secs(20) / self.flips.max(1)).clamp(SHORTEST, WATCHABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_or_refused() {
        let parse = |line: &str| Options::parse(Parser::from_args(line.split_whitespace()));
        let six = Options { flips: 6, attach: Attach::Xdp, json: false };
        assert_eq!(parse("").unwrap(), Some(six.clone()));
        assert_eq!(
            parse("--json --flips 100").unwrap(),
            Some(Options { flips: 100, json: true, ..six.clone() })
        );
        assert_eq!(parse("--attach=tc").unwrap(), Some(Options { attach: Attach::Tc, ..six }));
        assert_eq!(parse("--flips 3 --help").unwrap(), None);
        for wrong in
            ["--flips", "--flips many", "--flips -1", "--flips 0", "--attach magic", "--fast", "green"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
