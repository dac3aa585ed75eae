//! The journal as its users know it.

mod append;
mod ask;
mod crash;
mod files;
mod gaps;
mod mounts;
mod mutate;
mod tamper;

use super::*;
use crate::model::order::{Actor, Who};
use crate::model::record::{Cause, Freeze, Role, SliceIdentity, What};
use bg_common::Colour::{self, Blue, Green};
use sqlx::{AssertSqlSafe, Connection as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Every wait ends within this.
const DEADLINE: Duration = Duration::from_secs(30);

/// A directory that is gone with it, and the journal in there.
struct Lab {
    dir: TempDir,
    path: PathBuf,
}

impl Lab {
    fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In memory, where nothing waits for a disk.
    fn quick() -> Self {
        let memory = Path::new("/dev/shm");
        Self::below(if memory.is_dir() { memory } else { Path::new("/tmp") })
    }

    fn below(base: &Path) -> Self {
        let dir = TempDir::with_prefix_in("bg-journal-", base).unwrap();
        let path = dir.path().join("lab/journal.db");
        Self { dir, path }
    }

    async fn open(&self) -> Opened {
        Journal::open(&self.path).await
    }

    /// Opens a journal in which there must be nothing wrong.
    async fn well(&self) -> Journal {
        let Opened { journal, broken, deaf, .. } = self.open().await;
        assert_eq!((broken, deaf), (None, None));
        journal
    }

    /// A journal of `entries`, closed.
    async fn filled(&self, entries: impl IntoIterator<Item = Entry>) {
        let journal = self.well().await;
        for entry in entries {
            journal.append(entry, false).await.unwrap();
        }
        journal.close().await;
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.path)
    }

    /// Changes the file as somebody would who knows SQLite.
    async fn sql(&self, statements: &str) {
        let mut conn = connect::writer(&Place::new(&self.path)).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    /// Names of the files beside and including the journal.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path.parent().unwrap()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Names of the databases that were put aside.
    fn aside(&self) -> Vec<String> {
        let is_bad =
            |name: &String| name.contains(".bad-") && !name.ends_with("-wal") && !name.ends_with("-shm");
        self.files().into_iter().filter(is_bad).collect()
    }
}

fn record(deployment: &str, live: Colour, what: What) -> Record {
    let slice = |colour| SliceIdentity {
        colour,
        role: if colour == live { Role::Live } else { Role::Standby },
        version: Some(format!("1.{colour}")),
        identity: 7,
        healthy: Some(true),
    };
    Record {
        deployment: deployment.to_owned(),
        live,
        generation: 3,
        slices: [slice(Blue), slice(Green)],
        actor: Actor {
            who: Who::Operator,
            uid: Some(1000),
            pid: Some(4711),
            user: Some("ada".to_owned()),
            client: Some("bgctl 0.1.0".to_owned()),
        },
        reason: Some("release".to_owned()),
        late_ms: None,
        what,
    }
}

fn entry(deployment: &str, live: Colour) -> Entry {
    let why = "the probe through the VIP failed".to_owned();
    let what = What::NotSwitched { cause: Cause::Switch, to: live.other(), why };
    Entry { record: record(deployment, live, what), memory: None }
}

fn remembering(deployment: &str, live: Colour, memory: Memory) -> Entry {
    Entry { memory: Some(memory), ..entry(deployment, live) }
}

fn memory(word: u64) -> Memory {
    let frozen = Some(Freeze { why: "quarter's end".to_owned(), since: 1_700_000_000, automatic: false });
    Memory { word, frozen, boot: "b".to_owned(), ..Memory::default() }
}

async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs `test` of this binary in another process, which finds `role` in `BG_JOURNAL_ROLE` and the path of
/// the journal in `BG_JOURNAL_PATH`.
fn other_process(test: &str, role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("BG_JOURNAL_ROLE", role)
        .env("BG_JOURNAL_PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What this process is to do as the other one of a test.
fn role() -> Option<(String, PathBuf)> {
    let role = std::env::var("BG_JOURNAL_ROLE").ok()?;
    Some((role, std::env::var_os("BG_JOURNAL_PATH")?.into()))
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Random numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
