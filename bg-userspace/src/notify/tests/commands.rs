//! Commands that do everything but what they are asked.

use super::{DEADLINE, lives, shell, until};
use crate::notify::answer::{Answer, KEPT};
use crate::notify::command::run;
use std::time::Duration;
use tokio::time::Instant;

async fn answer(words: &[String], body: &[u8], within: Duration) -> Answer {
    run(words, &[("BG_DEPLOYMENT", "shop".to_owned()), ("BG_FROM", String::new())], body, within).await
}

#[tokio::test]
async fn a_command_agrees_by_its_exit_code_and_is_quoted() {
    for (script, ok, output) in [
        ("echo fine", true, "fine"),
        ("echo one; echo two >&2; echo three", true, "one\ntwo\nthree"),
        ("true", true, ""),
        ("echo schema is behind >&2; exit 3", false, "exit code 3: schema is behind"),
        ("exit 1", false, "exit code 1"),
        ("kill -9 $$", false, "ended by signal 9"),
        ("printf 'a\\033[31mb\\a'", true, "a\u{fffd}[31mb\u{fffd}"),
        ("pwd", true, "/"),
        ("cat", true, "{\"body\":1}"),
        ("exec <&-; echo closed", true, "closed"),
        ("exec >&- 2>&-; cat >/dev/null; exit 4", false, "exit code 4"),
    ] {
        let answer = answer(&shell(script), b"{\"body\":1}", DEADLINE).await;
        assert_eq!(answer, Answer { ok, output: output.to_owned() }, "{script}");
    }
}

#[tokio::test]
async fn a_command_gets_its_words_and_a_clean_environment() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let said = answer(&words(&["echo", "$(id) *  ", "; ls"]), b"", DEADLINE).await.output;
    assert_eq!(said, "$(id) *   ; ls", "there is no shell");
    let said = answer(&words(&["env"]), b"", DEADLINE).await.output;
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    assert_eq!(lines, ["BG_DEPLOYMENT=shop", "BG_FROM=", &path]);
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let no_program = file.path().to_str().unwrap();
    for (program, why) in [
        ("bg-there-is-no-such-program", "No such file or directory"),
        ("/nowhere/hook", "No such file or directory"),
        (no_program, "Permission denied"),
        ("/", "Permission denied"),
        ("a\0b", "nul byte"),
    ] {
        let answer = answer(&[program.to_owned()], b"", DEADLINE).await;
        assert!(!answer.ok && answer.output.contains(why), "{program}: {}", answer.output);
    }
    let answer = answer(&[], b"", DEADLINE).await;
    assert!(!answer.ok && answer.output.contains("there is no command"), "{}", answer.output);
}

#[tokio::test]
async fn input_that_is_never_read_blocks_nobody() {
    let large = vec![b'x'; 1 << 20];
    for script in ["exit 0", "exec <&-; exit 0", "head -c 10 >/dev/null", "sleep 0.1"] {
        let began = Instant::now();
        let answer = answer(&shell(script), &large, DEADLINE).await;
        assert!(answer.ok && began.elapsed() < DEADLINE / 2, "{script}: {answer:?}");
    }
    let answer = answer(&shell("wc -c"), &large, DEADLINE).await;
    assert_eq!(answer.output.trim(), large.len().to_string(), "one who reads gets everything");
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_its_whole_group() {
    for script in [
        "echo $$; sleep 1000",
        "echo $$; trap '' TERM INT HUP; while :; do sleep 1000; done",
        "sleep 1000 & echo $!; wait",
        "(sleep 1000 & echo $!; wait) & wait",
        "sleep 1000 & echo $!; exec >&- 2>&-; wait",
    ] {
        let began = Instant::now();
        let answer = answer(&shell(script), b"", Duration::from_millis(300)).await;
        assert!(began.elapsed() < DEADLINE / 2, "{script}");
        let pid =
            answer.output.strip_prefix("no answer within 300ms: ").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(!answer.ok);
        until("the process is gone", || !lives(pid)).await;
    }
}

#[tokio::test]
async fn a_child_that_keeps_the_pipe_open_is_not_waited_for() {
    let began = Instant::now();
    let said = answer(&shell("sleep 1000 & echo $!"), b"", DEADLINE).await;
    assert!(said.ok && began.elapsed() < DEADLINE / 2, "{said:?}");
    until("what it left in its group is gone", || !lives(&said.output)).await;

    // One that has left the group is somebody else's, but is not waited for either.
    let said =
        answer(&shell("setsid sh -c 'echo $$; exec sleep 60' & read x; sleep 0.2"), b"\n", DEADLINE).await;
    assert!(said.ok && began.elapsed() < DEADLINE / 2, "{said:?}");
    let pid = nix::unistd::Pid::from_raw(said.output.trim().parse().unwrap());
    assert!(lives(&said.output));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_flood_is_read_and_thrown_away() {
    let said = answer(&shell("head -c 5000000 /dev/zero | tr '\\0' x"), b"", DEADLINE).await;
    assert!(
        said.ok && said.output.len() > KEPT - 4 && said.output.len() <= KEPT,
        "{} bytes",
        said.output.len()
    );

    // Others on the same thread are answered meanwhile.
    let within = Duration::from_secs(1);
    let yes = ["yes".to_owned()];
    let flood = answer(&yes, b"", within);
    let others = async {
        let began = Instant::now();
        for _ in 0..5 {
            assert!(answer(&shell("echo here"), b"", DEADLINE).await.ok);
        }
        began.elapsed()
    };
    let (flood, others) = tokio::join!(flood, others);
    assert!(!flood.ok && flood.output.starts_with("no answer within 1s: y\ny\n"), "{:.60}", flood.output);
    assert!(flood.output.len() <= KEPT);
    assert!(others < DEADLINE / 2, "{others:?}");
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000", file.display());
    let task = tokio::spawn(async move { answer(&shell(&script), b"", DEADLINE).await });
    until("it runs", || file.exists()).await;
    let pid = std::fs::read_to_string(&file).unwrap();
    assert!(lives(&pid));
    task.abort();
    until("it is gone", || !lives(&pid)).await;
}
