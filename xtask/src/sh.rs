//! What tasks say, and the programs they run.

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing that a task waits for takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
const POLL: Duration = Duration::from_millis(20);
/// Lines of a failed program's output that are shown.
const TAIL: usize = 15;

/// Prints to standard output. That nobody listens any more is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints to standard error, as [`say`] does.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Runs `command` in view of the user.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Runs `command` with its output in the log, and returns how long it took.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<Duration> {
    let mut file = open_log(log)?;
    writeln!(file, "\n$ {}", line(command))?;
    let name = command.get_program().to_string_lossy().into_owned();
    let before = file.metadata()?.len();
    let start = Instant::now();
    let mut child = command
        // The lines that count come last, and a backtrace would push them out.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status.to_string();
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            break format!("stopped after {PATIENCE:?}");
        }
        thread::sleep(POLL);
    };
    if status == "exit status: 0" {
        return Ok(start.elapsed());
    }
    let (last, before) = tail(log, before);
    bail!("{name}: {status}: {last}{before}\n    all of it: {}", log.display())
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn open_log(log: &Path) -> Result<File> {
    log.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| File::options().create(true).append(true).open(log))
        .with_context(|| format!("cannot write {}", log.display()))
}

/// The last line written since `from`, and those before it, indented.
fn tail(log: &Path, from: u64) -> (String, String) {
    let log = std::fs::read(log).unwrap_or_default();
    let new = log.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default();
    let new = String::from_utf8_lossy(new);
    let mut lines: Vec<&str> = new.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.pop().unwrap_or("it said nothing").to_owned();
    let shown = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    (last, shown.iter().map(|line| format!("\n    {line}")).collect())
}
