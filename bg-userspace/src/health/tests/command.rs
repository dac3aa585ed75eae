//! Commands: how they end is told, and nothing of them is left.

use super::{SHORT, SOON, check, probe};
use crate::health::spec::{Ask, ProbeSpec};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn sh(script: &str, arguments: &[&str]) -> Ask {
    let words = ["sh", "-c", script, "sh"].into_iter().chain(arguments.iter().copied());
    Ask::Command(words.map(ToOwned::to_owned).collect())
}

async fn run(ask: Ask, timeout: Duration) -> Result<(), String> {
    super::ask(ProbeSpec { timeout, port: None, ..probe("p", 0, ask) }).await
}

/// Whether a process runs: one that has ended may still wait for its parent.
pub(super) fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(stat.rsplit(')').next().map(str::trim_start), None | Some("")) && !stat.contains(") Z ")
}

/// The process ids in a file, once there are so many.
pub(super) fn pids(file: &Path, many: usize) -> Vec<String> {
    let deadline = Instant::now() + SOON;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        let pids: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        if pids.len() >= many && text.ends_with('\n') {
            return pids;
        }
        assert!(Instant::now() < deadline, "{many} processes never started: {text}");
        std::thread::yield_now();
    }
}

/// Waits until none of these runs.
pub(super) fn gone(pids: &[String]) {
    let deadline = Instant::now() + SOON;
    while let Some(pid) = pids.iter().find(|pid| runs(pid)) {
        assert!(Instant::now() < deadline, "{pid} runs on");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_command_is_good_if_it_ends_with_0() {
    let environment = "test \"$(env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e '^_$' | sort | tr '\\n' ' ')\" = \
                       'BG_ADDRESS BG_COLOUR BG_DEPLOYMENT PATH ' && \
                       test \"$BG_ADDRESS $BG_COLOUR $BG_DEPLOYMENT\" = '127.0.0.1 blue shop' || { env >&2; false; }";
    for (row, command, expected) in [
        ("0", sh("exit 0", &[]), Ok(())),
        ("1", sh("exit 1", &[]), Err("exit code 1, and 0 is wanted")),
        (
            "errors are quoted",
            sh("echo out; echo err >&2; exit 3", &[]),
            Err("exit code 3, and 0 is wanted: err"),
        ),
        ("or else output", sh("echo; echo out; exit 3", &[]), Err("exit code 3, and 0 is wanted: out")),
        ("a signal", sh("kill -9 $$", &[]), Err("killed by signal 9")),
        (
            "no such command",
            Ask::Command(vec!["/no/such".to_owned()]),
            Err("/no/such cannot be run: No such file"),
        ),
        ("no command", Ask::Command(vec![]), Err("there is no command")),
        ("the environment", sh(environment, &[]), Ok(())),
        (
            "placeholders",
            sh("test \"$1\" = 'shop blue 127.0.0.1 $HOME;'", &["{deployment} {colour} {address} $HOME;"]),
            Ok(()),
        ),
        ("stdin is empty", sh("test -z \"$(cat)\"", &[]), Ok(())),
        (
            "a flood of both outputs",
            sh("head -c 20000000 /dev/zero | tr '\\0' a; head -c 20000000 /dev/zero >&2; exit 4", &[]),
            Err("exit code 4, and 0 is wanted: \u{fffd}"),
        ),
    ] {
        check(row, &run(command, SOON).await, expected);
    }
}

#[tokio::test]
async fn whatever_a_command_has_started_ends_with_the_question() {
    let directory = tempfile::tempdir().unwrap();
    let late = Err("no exit within 300ms");
    for (row, script, timeout, expected) in [
        ("sleeps", "sleep 600 & echo $! >> $1; echo $$ >> $1; wait", SHORT, late),
        ("floods", "yes & echo $! >> $1; yes >&2 & echo $! >> $1; wait", SHORT, late),
        (
            "does not want to end",
            "trap '' TERM INT HUP; sleep 600 & echo $! >> $1; echo $$ >> $1; wait",
            SHORT,
            late,
        ),
        ("leaves somebody behind", "sleep 600 & echo $! >> $1; yes & echo $! >> $1; exit 0", SOON, Ok(())),
    ] {
        let file = directory.path().join(row);
        let came = run(sh(script, &[&file.display().to_string()]), timeout).await;
        check(row, &came, expected);
        gone(&pids(&file, 2));
    }
}

#[tokio::test]
async fn no_connection_of_the_daemon_is_open_in_a_command() {
    let _ours = std::net::TcpListener::bind((super::HERE, 0)).unwrap();
    check("sockets", &run(sh("! ls -l /proc/self/fd | grep socket", &[]), SOON).await, Ok(()));
}
