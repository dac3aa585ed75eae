//! The signals that the daemon obeys.

use crate::refusal::Refusal;
use std::io;
use tokio::signal::unix::{self, SignalKind};

/// Listens for signals.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Signal {
    /// End, by this signal.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
}

impl Signals {
    pub(super) fn open() -> Result<Self, Refusal> {
        let open = || -> io::Result<Self> {
            Ok(Self {
                terminate: unix::signal(SignalKind::terminate())?,
                interrupt: unix::signal(SignalKind::interrupt())?,
                hangup: unix::signal(SignalKind::hangup())?,
            })
        };
        open().map_err(|why| {
            let what = format!("signals cannot be handled: {why}");
            Refusal::new("no-signals", what, "bgd", "raise the limit of open files: ulimit -n")
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
