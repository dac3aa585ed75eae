//! Files that are not what was written, by the thousand: whatever is in them, a journal opens.

use super::*;
use std::collections::BTreeMap;
use std::fs;

/// Mutated files, unless `BG_JOURNAL_FILES` names another number: without optimisation one takes four times
/// as long.
const FILES: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
/// Fixed, so that a failure can be repeated; `BG_JOURNAL_SEED` names another one.
const SEED: usize = 20_261_124;
const THREADS: usize = 2;

/// A journal's files, and what is in them.
struct Original {
    files: Vec<(&'static str, Vec<u8>)>,
    /// Of each file, where something is: most of a page is empty.
    used: Vec<Vec<usize>>,
    /// Each entry's JSON.
    bodies: Vec<String>,
    memories: Vec<(String, Memory)>,
}

/// A journal that was closed, or, with a log, one whose process was killed.
async fn original(with_log: bool) -> Original {
    let lab = Lab::quick();
    let journal = lab.well().await;
    for n in 0..4 {
        let deployment = if n % 2 == 0 { "shop" } else { "blog" };
        journal.append(remembering(deployment, Blue, memory(n)), false).await.unwrap();
    }
    let bodies = journal.reader().tail(0, 100).await.unwrap().into_iter().map(|row| row.body).collect();
    let read = |suffixes: &[&'static str]| {
        let files =
            suffixes.iter().map(|suffix| (*suffix, fs::read(lab.path.with_extension(suffix)).unwrap()));
        files.collect()
    };
    let killed = read(&["db", "db-wal"]);
    journal.close().await;
    let files: Vec<(&str, Vec<u8>)> = if with_log { killed } else { read(&["db"]) };
    let used =
        |bytes: &[u8]| bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
    let used = files.iter().map(|(_, bytes)| used(bytes)).collect();
    let memories = vec![("blog".to_owned(), memory(3)), ("shop".to_owned(), memory(2))];
    Original { files, used, bodies, memories }
}

/// Changes one of the files; says how.
fn mutate(files: &mut [(&'static str, Vec<u8>)], used: &[Vec<usize>], dice: &mut Dice) -> String {
    let which = dice.below(files.len());
    let ((name, bytes), used) = (&mut files[which], &used[which]);
    let length = bytes.len();
    let place =
        |dice: &mut Dice| if dice.below(2) == 0 { used[dice.below(used.len())] } else { dice.below(length) };
    match dice.below(13) {
        0..=4 => {
            let flips: Vec<_> = (0..=dice.below(3)).map(|_| (place(dice), dice.below(8))).collect();
            for (at, bit) in &flips {
                bytes[*at] ^= 1 << bit;
            }
            format!("{name}: bits {flips:?} flipped")
        }
        5 => {
            let (at, bit) = (dice.below(100), dice.below(8));
            bytes[at] ^= 1 << bit;
            format!("{name}: bit {bit} of byte {at} of the header flipped")
        }
        6 => {
            let (at, byte) = (place(dice), dice.next() as u8);
            bytes[at] = byte;
            format!("{name}: byte {at} is {byte}")
        }
        7 => {
            let at = dice.below(length + 1);
            bytes.truncate(at);
            format!("{name}: cut at {at}")
        }
        8 => {
            let at = dice.below(length / 4096) * 4096;
            bytes.truncate(at);
            format!("{name}: cut at page {at}")
        }
        9 => {
            let (at, count) = (dice.below(length), 1 + dice.below(5000));
            for byte in bytes.iter_mut().skip(at).take(count) {
                *byte = dice.next() as u8;
            }
            format!("{name}: noise of {count} at {at}")
        }
        10 => {
            *bytes = (0..dice.below(20_000)).map(|_| dice.next() as u8).collect();
            format!("{name}: nothing but noise")
        }
        11 => {
            let pages = length / 4096;
            let (from, to) = (dice.below(pages) * 4096, dice.below(pages) * 4096);
            bytes.copy_within(from..from + 4096, to);
            format!("{name}: page at {from} copied to {to}")
        }
        _ => {
            let (layout, at) = (dice.below(4) as u8, [60, 68, 92, 96][dice.below(4)] + 3);
            if at < length {
                bytes[at] = layout;
            }
            format!("{name}: number at {at} is {layout}")
        }
    }
}

/// Opens one mutated journal. What came of it, in a word.
async fn check(original: &Original, lab: &Lab, dice: &mut Dice) -> &'static str {
    let mut files = original.files.clone();
    let how = mutate(&mut files, &original.used, dice);
    let dir = lab.path.parent().unwrap();
    for name in lab.files() {
        fs::remove_file(dir.join(name)).unwrap();
    }
    for (suffix, bytes) in &files {
        fs::write(lab.path.with_extension(suffix), bytes).unwrap();
    }
    let found =
        if dice.below(10) == 0 { by_the_front_door(lab, &how).await } else { directly(lab, &how).await };
    let Found { rebuilt, memories, broken, bodies } = found;
    // With a log that was cut, memories are those of the entries that are left.
    for (name, found) in &memories {
        assert!((0..4).any(|word| *found == memory(word)), "{how}: {name} {found:?}");
    }
    if let Some(Rebuilt { why, aside }) = rebuilt {
        let aside = aside.unwrap_or_else(|| panic!("{how}: nothing was put aside"));
        assert_eq!(fs::read(&aside).unwrap().is_empty(), files[0].1.is_empty(), "{how}: {why}");
        assert_eq!(bodies.len(), 1, "{how}: {bodies:?}");
        "begun anew"
    } else if broken.is_some() {
        "kept, and reported"
    } else if bodies == original.bodies {
        assert_eq!(memories, original.memories, "{how}");
        "kept, and whole"
    } else {
        // Nothing was reported, so everything there must be as it was written.
        assert!(original.bodies.starts_with(&bodies), "{how}: {bodies:?}");
        assert_eq!(files.len(), 2, "{how}: {} entries", bodies.len());
        "kept, without the end of the log"
    }
}

struct Found {
    rebuilt: Option<Rebuilt>,
    memories: Vec<(String, Memory)>,
    broken: Option<Broken>,
    /// Of what was there before anything was appended.
    bodies: Vec<String>,
}

/// As the daemon does it, with a thread and a reader.
async fn by_the_front_door(lab: &Lab, how: &str) -> Found {
    let Opened { journal, rebuilt, memories, broken, deaf, news: _ } = lab.open().await;
    assert_eq!(deaf, None, "{how}");
    let stored =
        journal.append(entry("last", Green), false).await.unwrap_or_else(|why| panic!("{how}: {why}"));
    assert_eq!(stored.rebuilt, None, "{how}: the first look has not seen it");
    let found = journal.reader().verify().await.unwrap();
    assert_eq!(found.first_bad.is_some(), broken.is_some(), "{how}: {:?} {broken:?}", found.first_bad);
    let rows = if broken.is_none() { journal.reader().tail(0, 100).await.unwrap() } else { Vec::new() };
    journal.close().await;
    let bodies = rows.into_iter().filter(|row| row.deployment != "last").map(|row| row.body).collect();
    Found { rebuilt, memories, broken, bodies }
}

/// What the thread does, without one: most of the time goes into threads.
async fn directly(lab: &Lab, how: &str) -> Found {
    let opened = open::open(&Place::new(&lab.path), open::Look::Quick).await;
    let mut open = opened.unwrap_or_else(|why| panic!("{how}: {why}"));
    let bodies = match open.broken {
        Some(_) => Vec::new(),
        None => {
            sqlx::query_scalar("SELECT body FROM entry ORDER BY seq").fetch_all(&mut open.conn).await.unwrap()
        }
    };
    let draft = row::Draft::new(&entry("last", Green), Stamp::now(), "boot").unwrap();
    open.store(&[draft], false, KEEP).await.unwrap_or_else(|why| panic!("{how}: {why}"));
    open.conn.close().await.unwrap();
    Found { rebuilt: open.rebuilt, memories: open.memories, broken: open.broken, bodies }
}

#[test]
fn whatever_is_in_the_file_a_journal_opens_and_can_be_written() {
    let number = |name, default| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let (files, seed) = (number("BG_JOURNAL_FILES", FILES), number("BG_JOURNAL_SEED", SEED));
    let thread = move |thread: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let originals = [original(false).await, original(true).await];
            let lab = Lab::quick();
            lab.filled([]).await;
            let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
            for number in (0..files).filter(|number| number % THREADS == thread) {
                let mut dice = Dice((seed + number) as u64);
                let checked =
                    std::panic::AssertUnwindSafe(check(&originals[number / THREADS % 2], &lab, &mut dice));
                match futures_util::FutureExt::catch_unwind(checked).await {
                    Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
                    Err(panic) => {
                        println!("file {number} of seed {seed}");
                        std::panic::resume_unwind(panic);
                    }
                }
            }
            outcomes
        })
    };
    let mut total: BTreeMap<&str, usize> = BTreeMap::new();
    let threads: Vec<_> = (0..THREADS).map(|number| std::thread::spawn(move || thread(number))).collect();
    for found in threads {
        for (outcome, count) in found.join().unwrap() {
            *total.entry(outcome).or_default() += count;
        }
    }
    println!("{files} files, seed {seed}: {total:?}");
    assert_eq!(total.len(), 4, "every outcome is met: {total:?}");
}
