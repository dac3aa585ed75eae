//! Network namespaces that exist as long as their guard, and ways to be inside one.
//!
//! Only the network changes: a process started here still sees the bpffs under `/sys`, which
//! `ip netns exec` would hide.

use crate::process::output;
use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A network namespace; deleted with its last clone.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Guard>);

#[derive(Debug)]
struct Guard {
    name: String,
    file: File,
}

impl Namespace {
    /// Makes one with a loopback that is up and an IPv6 that neither probes nor solicits.
    ///
    /// # Errors
    ///
    /// When the caller is not root, or the name is taken.
    pub fn new(name: &str) -> Result<Self> {
        let mut add = Command::new("ip");
        add.args(["netns", "add", name]);
        output(add).context("network namespaces need root")?;
        let file = File::open(format!("/run/netns/{name}"))?;
        let this = Self(Arc::new(Guard { name: name.to_owned(), file }));
        for (key, value) in [
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
        ] {
            this.sysctl(key, value)?;
        }
        this.ip("link set lo up")?;
        Ok(this)
    }

    /// Its name under `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Calls `f` on a thread inside the namespace. Sockets it opens stay in the namespace wherever they
    /// are used later.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter()?;
            Ok::<T, io::Error>(f())
        };
        match thread::scope(|scope| scope.spawn(inside).join()) {
            Ok(Ok(value)) => value,
            // Entering needs what making the namespace needed; a failure here has no caller to handle it.
            Ok(Err(error)) => std::panic::resume_unwind(Box::new(format!("enter {}: {error}", self.name()))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Starts a thread inside the namespace.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<io::Result<T>>> {
        let this = self.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            this.enter()?;
            // The thread keeps the network alive by being inside; the guard is for those outside.
            drop(this);
            Ok(f())
        })
    }

    /// A command that will run inside and die with the thread that starts it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let fd = self.0.file.as_raw_fd();
        let guard = Arc::clone(&self.0);
        let prepare = move || {
            let _open = &guard;
            // SAFETY: setns and prctl are plain system calls without pointers, which a child may make
            // between fork and exec; `guard` keeps `fd` open until the command is dropped.
            let done = unsafe { libc::setns(fd, libc::CLONE_NEWNET) };
            if done != 0 {
                return Err(io::Error::last_os_error());
            }
            die_with_parent()
        };
        // SAFETY: `prepare` neither allocates nor locks.
        unsafe { command.pre_exec(prepare) };
        command
    }

    /// Runs a program inside to its end.
    ///
    /// # Errors
    ///
    /// When it fails; the message carries its standard error.
    pub fn output<S: AsRef<std::ffi::OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let mut command = self.command(program);
        command.args(args);
        output(command)
    }

    /// Runs lines of `ip` commands inside, in one process.
    ///
    /// # Errors
    ///
    /// When one fails; those before it have taken effect.
    pub fn ip(&self, lines: &str) -> Result<()> {
        self.feed("ip", &["-batch", "-"], lines)
    }

    /// Loads an nftables script inside.
    ///
    /// # Errors
    ///
    /// When nft refuses it.
    pub fn nft(&self, script: &str) -> Result<()> {
        self.feed("nft", &["-f", "-"], script)
    }

    /// Writes a file below `/proc/sys` as the namespace has it.
    ///
    /// # Errors
    ///
    /// When there is no such key.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.run(|| fs::write(format!("/proc/sys/{key}"), value)).with_context(|| format!("set {key}"))
    }

    fn feed(&self, program: &str, args: &[&str], input: &str) -> Result<()> {
        let mut command = self.command(program);
        let mut child =
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let done = child.wait_with_output()?;
        anyhow::ensure!(
            done.status.success(),
            "{program} in {}: {}\n{input}",
            self.name(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(())
    }

    fn enter(&self) -> io::Result<()> {
        setns(&self.0.file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut delete = Command::new("ip");
        delete.args(["netns", "del", &self.name]);
        // A leftover is swept by the next run.
        drop(output(delete));
    }
}

/// Asks the kernel to kill the calling process when the thread that forked it ends. For `pre_exec`.
///
/// # Errors
///
/// Never on Linux.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
    let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
