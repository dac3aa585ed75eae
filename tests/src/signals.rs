//! Ctrl-C and its like set a flag, so that a program can clean up in the ordinary way.

use anyhow::Result;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::atomic::{AtomicBool, Ordering};

static SEEN: AtomicBool = AtomicBool::new(false);

/// Starts to watch.
///
/// # Errors
///
/// When the kernel refuses a handler.
pub(crate) fn watch() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: `note` only stores to an atomic, which a handler may do.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Whether one has come.
pub(crate) fn seen() -> bool {
    SEEN.load(Ordering::Relaxed)
}

extern "C" fn note(_: libc::c_int) {
    SEEN.store(true, Ordering::Relaxed);
}
