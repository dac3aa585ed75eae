//! The probe that runs a command: no shell, a process group of its own that never outlives the
//! question, a clean environment, and output of which little is kept.

use super::course::Course;
use super::failure::{Failure, quoted, sentence};
use super::names::Names;
use crate::group::{Group, PATH};
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Bytes that are kept of each output; the rest is read and thrown away.
const KEPT: usize = 4096;

/// Runs `command`, with what it stands for in its arguments and environment, and wants exit code 0.
///
/// # Errors
///
/// When it cannot be started or ends otherwise. The caller bounds the time; dropping the future kills
/// the command and what it has started.
pub async fn ask(command: &[String], names: &Names, course: &mut Course) -> Result<(), Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Answer("there is no command".to_owned()));
    };
    course.awaits = "exit";
    let mut command = Command::new(program);
    command
        .args(arguments.iter().map(|argument| names.fill(argument)))
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH)))
        .env("BG_DEPLOYMENT", &names.deployment)
        .env("BG_COLOUR", names.colour.to_string())
        .env("BG_ADDRESS", names.address());
    let Ended { status, output, errors } =
        run(command).await.map_err(|why| match Failure::io("run it", &why) {
            Failure::Answer(_) => {
                Failure::Answer(format!("{} cannot be run: {}", quoted(program), sentence(&why)))
            }
            host @ Failure::Host(_) => host,
        })?;
    if status.success() {
        return Ok(());
    }
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}, and 0 is wanted"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    };
    let said = first_line(&errors).or_else(|| first_line(&output));
    Err(Failure::Answer(said.map_or_else(|| ended.clone(), |said| format!("{ended}: {said}"))))
}

fn first_line(output: &[u8]) -> Option<String> {
    String::from_utf8_lossy(output).lines().map(quoted).find(|line| !line.is_empty())
}

/// How a command ended, and the beginning of what it said.
struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    errors: Vec<u8>,
}

async fn run(mut command: Command) -> io::Result<Ended> {
    // Before the start, so that no end is missed.
    let mut ends = signal(SignalKind::child())?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(&mut command)?;
    let (stdout, stderr) = (group.leader.stdout.take(), group.leader.stderr.take());
    let (mut output, mut errors) = (Output::of(stdout), Output::of(stderr));
    while !group.leader_ended()? {
        tokio::select! {
            _ = ends.recv() => {}
            () = output.read(), if output.open() => {}
            () = errors.read(), if errors.open() => {}
        }
    }
    output.rest();
    errors.rest();
    let status = group.end().await?;
    Ok(Ended { status, output: output.kept, errors: errors.kept })
}

/// One output of a command.
struct Output<R> {
    pipe: Option<R>,
    kept: Vec<u8>,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + AsFd + Unpin> Output<R> {
    fn of(pipe: Option<R>) -> Self {
        Self { pipe, kept: Vec::new(), buffer: vec![0; KEPT] }
    }

    fn open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Waits for something.
    async fn read(&mut self) {
        let Self { pipe: Some(pipe), buffer, .. } = self else { return };
        match pipe.read(buffer).await {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(length) => self.keep(length),
        }
    }

    /// Reads what is there, without waiting: whoever inherited the pipe may keep it open for ever.
    fn rest(&mut self) {
        while self.kept.len() < KEPT {
            let Self { pipe: Some(pipe), buffer, .. } = self else { return };
            match nix::unistd::read(pipe, buffer) {
                Ok(length @ 1..) => self.keep(length),
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Keeps what was read if there is room.
    fn keep(&mut self, length: usize) {
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(self.buffer.get(..length.min(room)).unwrap_or_default());
    }
}
