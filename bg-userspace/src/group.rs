//! A command in a process group of its own, which ends whole: with its leader, or when nobody waits any more.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::io;
use std::process::ExitStatus;
use tokio::process::{Child, Command};
use tokio::signal::unix;

/// The search path of commands if the daemon has none.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A group of processes.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its first process.
    pub(crate) leader: Child,
    id: Pid,
    reaped: bool,
}

impl Group {
    /// Starts `command` in a group of its own.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let leader = command.process_group(0).spawn()?;
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or_else(|| io::Error::other("the command has no process id"))?;
        Ok(Self { leader, id: Pid::from_raw(id), reaped: false })
    }

    /// Whether the leader has ended; it stays a zombie, so that nobody else can have its number.
    pub(crate) fn leader_ended(&self) -> io::Result<bool> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.id), flags) {
            Ok(status) => Ok(status != WaitStatus::StillAlive),
            Err(Errno::EINTR) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    /// Waits until the leader has ended. `deaths` were listened to before it was started.
    pub(crate) async fn exited(&self, deaths: &mut unix::Signal) {
        while !self.leader_ended().unwrap_or(true) {
            if deaths.recv().await.is_none() {
                return;
            }
        }
    }

    /// Kills what is left of it.
    pub(crate) fn kill(&self) {
        // There may be nobody left.
        let _ = killpg(self.id, Signal::SIGKILL);
    }

    /// Kills what is left of it, and reaps the leader.
    pub(crate) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.reaped = true;
        self.leader.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            // The runtime reaps the leader, as it does with every child that nobody waits for.
            self.kill();
        }
    }
}
