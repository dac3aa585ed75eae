//! Runs a command and gets its answer within a time, whatever it does: floods, hangs, does not read, or
//! leaves children behind. It has no shell, nothing of the daemon's environment, and a process group of its
//! own that ends with it.

use super::answer::{Answer, Beginning};
use crate::group::{Group, PATH};
use crate::health::failure::sentence;
use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// What a command has written when it ends is read within this time.
const REST_WITHIN: Duration = Duration::from_millis(200);

/// Runs the command of these words with `body` as its input. It agrees by exit code 0 within the time.
pub(super) async fn run(
    words: &[String],
    environment: &[(&'static str, String)],
    body: &[u8],
    within: Duration,
) -> Answer {
    let program = words.first().map_or("", String::as_str);
    let mut said = Beginning::default();
    match converse(words, environment, body, within, &mut said).await {
        Ok(Some(status)) if status.success() => Answer::agreed(said.bytes()),
        Ok(Some(status)) => Answer::failed(ending(status), said.bytes()),
        Ok(None) => Answer::failed(format_args!("no answer within {within:?}"), said.bytes()),
        Err(why) => {
            Answer::failed(format_args!("{program:?} cannot be run: {}", sentence(&why)), said.bytes())
        }
    }
}

/// How it has ended; none: it had to be ended.
async fn converse(
    words: &[String],
    environment: &[(&'static str, String)],
    body: &[u8],
    within: Duration,
    said: &mut Beginning,
) -> io::Result<Option<ExitStatus>> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no command"));
    };
    // One pipe for both, so that what is said keeps its order.
    let (output, their_output) = io::pipe()?;
    let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output))?;
    // Before there is a child that could end.
    let mut deaths = signal(SignalKind::child())?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .current_dir("/");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stderr(their_output.try_clone()?).stdout(their_output);
    let mut group = Group::start(&mut command)?;
    // It holds their end of the pipe.
    drop(command);

    let input = group.leader.stdin.take();
    let write = async {
        if let Some(mut input) = input {
            // It may close its input unread.
            let _ = input.write_all(body).await;
        }
    };
    let mut write = std::pin::pin!(write);
    let mut read = std::pin::pin!(said.fill(output));
    let (mut written, mut all_read) = (false, false);
    let ended = timeout(within, async {
        let mut exited = std::pin::pin!(group.exited(&mut deaths));
        loop {
            tokio::select! {
                () = &mut exited => return,
                () = &mut write, if !written => written = true,
                () = &mut read, if !all_read => all_read = true,
            }
        }
    })
    .await;
    // Before it is waited for: until then nobody else can have its number.
    group.kill();
    if ended.is_err() {
        return Ok(None);
    }
    if !all_read {
        // Whoever has left the group may hold the pipe open.
        let _ = timeout(REST_WITHIN, read).await;
    }
    group.end().await.map(Some)
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => format!("ended by signal {number}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
