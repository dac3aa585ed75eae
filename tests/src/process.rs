//! Child processes that cannot outlive the harness: started inside a namespace, killed on drop, and by
//! the kernel when the thread that started them ends.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running child whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    what: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command` with both outputs in `log`. The child dies with the calling thread, but not by
    /// Ctrl-C: the terminal sends that to the harness alone.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let what = command.get_program().to_string_lossy().into_owned();
        let out = File::options().create(true).append(true).open(log).context("open the log of a child")?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
        let child = command.spawn().with_context(|| format!("start {what}"))?;
        Ok(Self { what, log: log.to_owned(), child })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("signal {}", self.what))
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it has not ended in time; the message carries its output.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        match crate::wait::until_some("the process ends", patience, || self.ended()) {
            Ok(status) => Ok(status),
            Err(_) => bail!("{} has not ended after {patience:?}; it printed:\n{}", self.what, self.output()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `command` to its end and returns its standard output.
///
/// # Errors
///
/// When it cannot be started or fails; the message carries its standard error.
pub fn output(mut command: Command) -> Result<String> {
    let line = format!("{command:?}");
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("start {line}"))?;
    if !done.status.success() {
        bail!("{line}: {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
