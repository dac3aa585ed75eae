//! Files that are not what was written, by the thousand: whatever is in them, a journal opens.

use super::*;
use std::collections::BTreeMap;
use std::fs;

/// Mutated files; with a fixed seed, so that a failure can be repeated.
const FILES: usize = 10_000;
const SEED: u64 = 20_261_124;
const THREADS: usize = 2;

/// A journal's files, and what is in them.
struct Original {
    files: Vec<(&'static str, Vec<u8>)>,
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
    let files = if with_log { killed } else { read(&["db"]) };
    let memories = vec![("blog".to_owned(), memory(3)), ("shop".to_owned(), memory(2))];
    Original { files, bodies, memories }
}

/// Changes one of the files; says how.
fn mutate(files: &mut [(&'static str, Vec<u8>)], dice: &mut Dice) -> String {
    let which = dice.below(files.len());
    let (name, bytes) = &mut files[which];
    let length = bytes.len();
    // Half of the places are where something is: most of a page is empty.
    let used: Vec<usize> = (0..length).filter(|at| bytes[*at] != 0).collect();
    let place =
        |dice: &mut Dice| if dice.below(2) == 0 { used[dice.below(used.len())] } else { dice.below(length) };
    match dice.below(12) {
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
    let how = mutate(&mut files, dice);
    let dir = lab.path.parent().unwrap();
    for name in lab.files() {
        fs::remove_file(dir.join(name)).unwrap();
    }
    for (suffix, bytes) in &files {
        fs::write(lab.path.with_extension(suffix), bytes).unwrap();
    }
    let Opened { journal, rebuilt, memories, broken, deaf } = lab.open().await;
    assert_eq!(deaf, None, "{how}");
    for known in &memories {
        let (name, found) = known;
        // With a log that was cut, those of the entries that are left.
        let is_whole = original.memories.contains(known) || (0..4).any(|word| *found == memory(word));
        assert!(is_whole, "{how}: {name} {found:?}");
    }
    let stored =
        journal.append(entry("shop", Green), false).await.unwrap_or_else(|why| panic!("{how}: {why}"));
    let outcome = if let Some(Rebuilt { why, aside }) = rebuilt.or(stored.rebuilt) {
        let aside = aside.unwrap_or_else(|| panic!("{how}: nothing was put aside"));
        assert_eq!(fs::read(&aside).unwrap().is_empty(), files[0].1.is_empty(), "{how}: {why}");
        assert_eq!(stored.seq, 2, "{how}");
        assert_eq!(journal.reader().verify().await.unwrap().first_bad, None, "{how}");
        "begun anew"
    } else if broken.is_some() {
        "kept, and reported"
    } else {
        // Nothing was reported, so everything there must be as it was written.
        let found = journal.reader().verify().await.unwrap();
        assert_eq!(found.first_bad, None, "{how}");
        let rows = journal.reader().tail(0, 100).await.unwrap_or_else(|why| panic!("{how}: {why}"));
        let bodies: Vec<_> =
            rows.into_iter().map(|row| row.body).take_while(|body| !body.contains("green\",\"gen")).collect();
        assert!(original.bodies.starts_with(&bodies), "{how}");
        if bodies.len() == original.bodies.len() {
            assert_eq!(memories, original.memories, "{how}");
            "kept, and whole"
        } else {
            assert!(how.starts_with("db-wal") || files.len() == 2, "{how}: {} entries", bodies.len());
            "kept, without the end of the log"
        }
    };
    journal.close().await;
    outcome
}

#[test]
fn whatever_is_in_the_file_a_journal_opens_and_can_be_written() {
    let thread = |thread: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let originals = [original(false).await, original(true).await];
            let lab = Lab::quick();
            lab.filled([]).await;
            let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
            for number in (0..FILES).filter(|number| number % THREADS == thread) {
                let mut dice = Dice(SEED + number as u64);
                let checked =
                    std::panic::AssertUnwindSafe(check(&originals[number / THREADS % 2], &lab, &mut dice));
                match futures_util::FutureExt::catch_unwind(checked).await {
                    Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
                    Err(panic) => {
                        println!("file {number} of seed {SEED}");
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
    println!("{FILES} files, seed {SEED}: {total:?}");
    assert_eq!(total.len(), 4, "every outcome is met: {total:?}");
}
