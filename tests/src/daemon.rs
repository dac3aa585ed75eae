//! `bgd` in the gateway's namespace with a configuration made from the topology, and `bgctl` beside it.
//! Each has an instance of its own; on drop the daemon is killed and its data plane taken down.

mod settings;

use crate::netns::Namespace;
use crate::process::Process;
use crate::run::{self, Scratch};
use crate::topology::Topology;
use crate::wait;
use anyhow::{Context, Result, ensure};
use bg_common::Colour;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub use settings::{DEPLOYMENT, Settings, frontends, service};

/// How a run of `bgctl` ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// The one JSON value it printed.
    ///
    /// # Errors
    ///
    /// When it failed or printed something else.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.code == Some(0), "bgctl: {self:?}");
        serde_json::from_str(&self.stdout).with_context(|| format!("{self:?}"))
    }
}

/// A gateway that bg works on.
#[derive(Debug)]
pub struct Daemon {
    instance: String,
    namespace: Namespace,
    files: Scratch,
    process: Option<Process>,
}

impl Daemon {
    /// Writes the configuration and starts `bgd`; returns when it answers.
    ///
    /// # Errors
    ///
    /// When `bgd` is not built or ends; the message carries its output.
    pub fn start(topology: &Topology, settings: &Settings) -> Result<Self> {
        let mut this = Self::prepare(topology, settings)?;
        this.launch()?;
        Ok(this)
    }

    /// Writes the configuration only.
    ///
    /// # Errors
    ///
    /// When the temporary directory is not writable.
    pub fn prepare(topology: &Topology, settings: &Settings) -> Result<Self> {
        let instance = run::unique();
        let files = Scratch::new()?;
        let journal = files.path().join("journal/journal.db");
        fs::write(files.path().join("bg.toml"), settings::toml(topology, &instance, &journal, settings)?)?;
        Ok(Self { instance, namespace: topology.gateway.clone(), files, process: None })
    }

    /// Starts `bgd`, once more if need be, and waits until it answers.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn launch(&mut self) -> Result<()> {
        let mut process = self.spawn()?;
        let mut ended = false;
        let answers = wait::until("bgd answers", wait::PATIENCE, || {
            ended = process.ended().is_some();
            ended || UnixStream::connect(self.socket()).is_ok()
        });
        answers.with_context(|| process.output())?;
        ensure!(!ended, "bgd ended at once:\n{}", process.output());
        self.process = Some(process);
        Ok(())
    }

    /// Starts another `bgd` on the same configuration and leaves it to the caller.
    ///
    /// # Errors
    ///
    /// When `bgd` is not built.
    pub fn spawn(&self) -> Result<Process> {
        self.spawn_as("bgd", None)
    }

    /// Starts `program` in place of `bgd`, which may end by SIGKILL at a fail point: `name` or `name:turn`.
    ///
    /// # Errors
    ///
    /// When it is not built.
    pub fn spawn_as(&self, program: &str, fail_point: Option<&str>) -> Result<Process> {
        let mut command = self.namespace.command(binary(program)?);
        command.arg("--config").arg(self.config());
        if let Some(point) = fail_point {
            command.env("BG_FAIL_POINT", point);
        }
        Process::start(command, &self.files.path().join(format!("bgd-{}.log", run::unique())))
    }

    /// Runs `bgctl` on this instance.
    ///
    /// # Errors
    ///
    /// When `bgctl` is not built.
    pub fn bgctl(&self, args: &[&str]) -> Result<Outcome> {
        let mut command = self.namespace.command(binary("bgctl")?);
        command.arg("--config").arg(self.config()).args(args).stdin(Stdio::null());
        let done = command.output().context("start bgctl")?;
        Ok(Outcome {
            code: done.status.code(),
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        })
    }

    /// Runs `bgctl --json`, which has to succeed.
    ///
    /// # Errors
    ///
    /// When it does not, or prints no JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        self.bgctl(&[&["--json"], args].concat())?.json()
    }

    /// Switches to `colour` and returns the answer.
    ///
    /// # Errors
    ///
    /// When bg refuses.
    pub fn switch(&self, colour: Colour) -> Result<Value> {
        self.json(&["switch", "--to", colour.as_str()])
    }

    /// The live colour, as `bgctl status` says.
    ///
    /// # Errors
    ///
    /// When there is no such status.
    pub fn live(&self) -> Result<Colour> {
        let status = self.json(&["status"])?;
        let live = status.pointer("/deployments/0/live").and_then(Value::as_str).unwrap_or_default();
        live.parse().map_err(|_| anyhow::anyhow!("no live colour in {status}"))
    }

    /// The running daemon.
    #[must_use]
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Ends the daemon by SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends the daemon by SIGTERM and returns its output.
    ///
    /// # Errors
    ///
    /// When it does not end, or not well.
    pub fn terminate(&mut self) -> Result<String> {
        let mut process = self.process.take().context("no daemon runs")?;
        process.signal(Signal::SIGTERM)?;
        let status = process.wait(wait::PATIENCE)?;
        ensure!(status.success(), "bgd ended with {status}:\n{}", process.output());
        Ok(process.output())
    }

    /// What the running daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// Its instance.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.files.path().join("bg.toml")
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        Path::new(run::RUNTIME).join(&self.instance).join("bg.sock")
    }

    /// The directory of its pins.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new(run::PINS).join(&self.instance)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(process) = &self.process
        {
            crate::say(&format!("--- bgd of {}:\n{}", self.instance, process.output()));
        }
        self.kill();
        drop(self.bgctl(&["detach"]));
        // Whatever a refused or missing `detach` left: an unpinned link takes its program off.
        drop(fs::remove_dir_all(self.pins()));
        drop(fs::remove_dir_all(Path::new(run::RUNTIME).join(&self.instance)));
    }
}

/// Where a binary of the product is: in `$BG_BIN_DIR`, in `$BG_TEST_BIN_DIR` if only tests have it, or where cargo
/// put it beside this program.
///
/// # Errors
///
/// When it is not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let given = ["BG_BIN_DIR", "BG_TEST_BIN_DIR"].into_iter().filter_map(std::env::var_os);
    let mut places: Vec<PathBuf> = given.map(PathBuf::from).collect();
    places.extend(own.ancestors().skip(1).take(2).map(Path::to_owned));
    places
        .iter()
        .map(|place| place.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: run `cargo build`, or set BG_BIN_DIR to where it is"))
}
