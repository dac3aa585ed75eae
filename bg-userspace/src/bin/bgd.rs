//! `bgd`, the daemon: arguments, log, exit code.

use bg_userspace::config::Invalid;
use bg_userspace::refusal::Refusal;
use bg_userspace::{daemon, paths};
use clap::Parser;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Keeps the kernel's tables and programs in line with the configuration, and obeys `bgctl`.
///
/// Traffic flows without it: stopping, killing or upgrading it costs no packet. `bgctl detach` takes
/// the data plane down.
#[derive(Debug, Parser)]
#[command(name = "bgd", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "BG_CONFIG", default_value = paths::DEFAULT_CONFIG)]
    config: PathBuf,
    /// What to log on standard error: error, warn, info, debug, trace, or directives by module
    #[arg(long, value_name = "LEVEL", env = "BG_LOG", default_value = "info")]
    log_level: EnvFilter,
}

const AFTER_HELP: &str = "\
Needs root, or CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_NET_RAW.

Signals:
  SIGTERM, SIGINT  end; the data plane works on
  SIGHUP           read the configuration again; a wrong one is refused and changes nothing

Exit codes:
  0  ended by a signal or by `bgctl detach`
  1  refused to start: the message says what is wrong, where, and what mends it
  2  the command line was not understood";

pub(crate) fn main() -> ExitCode {
    let Args { config, log_level } = Args::parse();
    // Nothing that is made here is for others, from the first moment.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o027));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = Layer::new().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false);
    let log = tracing_subscriber::registry().with(log_level);
    // The journal has a clock of its own.
    if journal {
        log.with(layer.without_time()).init()
    } else {
        log.with(layer).init()
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(daemon::run(&config)),
        Err(why) => {
            Err(Refusal::new("no-runtime", why, "bgd", "raise the limit of open files: ulimit -n").into())
        }
    };
    let Err(Invalid { problems }) = ended else { return ExitCode::SUCCESS };
    for problem in problems {
        // Without a standard error there is nobody to tell.
        let _ = writeln!(io::stderr(), "bgd: {problem}");
    }
    ExitCode::FAILURE
}
