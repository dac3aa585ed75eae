//! Notifications against real servers, commands and clients on the loopback interface.

mod commands;
mod hooks;
mod posts;
mod roles;
pub(super) mod samples;

use std::time::Duration;
use tokio::time::Instant;

/// Longer than anything takes that is not broken.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until something is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < DEADLINE, "not so within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A command of the shell.
fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).into()
}

/// Whether there is a process of this id.
fn lives(pid: &str) -> bool {
    let pid: u32 = pid.trim().parse().expect("a process id");
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
