//! The process is killed while it writes.

use super::*;
use std::fs;

const THIS: &str = "journal::tests::crash::killed_at_any_time_it_opens_with_all_that_was_acknowledged";
const ROUNDS: usize = 50;

/// Appends until it is killed, and writes the number of each entry that was acknowledged to a file.
async fn append_for_ever(path: &Path) {
    use std::io::Write as _;
    let mut acknowledged = fs::File::create(path.ancestors().nth(2).unwrap().join("acknowledged")).unwrap();
    let Opened { journal, rebuilt, broken, deaf, .. } = Journal::open(path).await;
    assert_eq!((broken, deaf), (None, None));
    assert!(rebuilt.is_none_or(|rebuilt| rebuilt.aside.is_none()));
    loop {
        let waiting: Vec<_> =
            (0..5).map(|n| journal.append(remembering("shop", Blue, memory(n)), n % 2 == 0)).collect();
        for stored in waiting {
            writeln!(acknowledged, "{}", stored.await.unwrap().seq).unwrap();
        }
    }
}

#[tokio::test]
async fn killed_at_any_time_it_opens_with_all_that_was_acknowledged() {
    if let Some((_, path)) = role() {
        append_for_ever(&path).await;
    }
    let lab = Lab::new();
    let file = lab.dir.path().join("acknowledged");
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut dice = Dice(seed);
    let mut newest = 0;
    for round in 0..ROUNDS {
        let _ = fs::remove_file(&file);
        let child = other_process(THIS, "append", &lab.path);
        // Some die while they open the journal, the others after so many acknowledgements.
        let wanted = if round % 5 == 0 { 0 } else { 1 + dice.below(30) };
        let acknowledged = || fs::read_to_string(&file).unwrap_or_default();
        let start = Instant::now();
        while !file.exists() || acknowledged().lines().count() < wanted {
            assert!(start.elapsed() < DEADLINE, "round {round}, seed {seed}: it does not write");
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..dice.below(2_000_000) * usize::from(wanted == 0) {
            std::hint::spin_loop();
        }
        kill(child);
        let numbers = acknowledged();
        // The last line may be cut.
        let whole = numbers.rsplit_once('\n').map_or("", |(whole, _)| whole);
        newest = whole.lines().map(|line| line.parse::<i64>().unwrap()).max().unwrap_or(newest).max(newest);

        let Opened { journal, rebuilt, memories, broken, deaf, news: _ } = lab.open().await;
        assert_eq!((broken, deaf), (None, None), "round {round}, seed {seed}");
        assert!(newest == 0 || rebuilt.is_none(), "round {round}, seed {seed}: {rebuilt:?}");
        assert!(newest == 0 || memories.len() == 1, "round {round}, seed {seed}");
        let found = journal.reader().verify().await.unwrap();
        assert_eq!(found.first_bad, None, "round {round}, seed {seed}");
        assert!(found.entries >= newest as u64, "round {round}, seed {seed}: {newest} of {}", found.entries);
        newest = found.head_seq;
        journal.close().await;
    }
    assert_eq!(lab.aside(), Vec::<String>::new());
    println!("{ROUNDS} kills, {newest} entries, none that was acknowledged is lost");
}
