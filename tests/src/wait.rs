//! Waiting for a condition with a deadline; the only place of the harness that sleeps.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How long anything may take that is not itself under test.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(5);

/// Polls `condition` until it holds.
///
/// # Errors
///
/// When it does not hold within `patience`; the message names `what` was awaited.
pub fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    until_some(what, patience, || condition().then_some(()))
}

/// Polls `look` until it yields something.
///
/// # Errors
///
/// As [`until`].
pub fn until_some<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > patience {
            bail!("waited {patience:?} in vain: {what}");
        }
        std::thread::sleep(POLL);
    }
}
