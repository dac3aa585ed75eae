//! What was lost is counted, and told as soon as that is possible.

use super::*;
use tokio::sync::mpsc::UnboundedReceiver;

async fn next(news: &mut UnboundedReceiver<News>) -> News {
    tokio::time::timeout(DEADLINE, news.recv()).await.expect("the journal tells nothing").unwrap()
}

fn lost(record: &Record) -> u64 {
    let What::JournalGap { lost, .. } = &record.what else { panic!("{record:?} is no gap") };
    *lost
}

#[tokio::test]
async fn entries_that_were_refused_are_counted_in_the_chain_once_it_works_again_and_nobody_has_to_write() {
    let lab = Lab::quick();
    let Opened { journal, mut news, .. } = lab.open().await;
    journal.append(entry("shop", Blue), true).await.unwrap();
    let mut other = connect::writer(&Place::new(&lab.path)).await.unwrap();
    let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for _ in 0..2 {
        assert_eq!(journal.append(entry("shop", Blue), true).await.unwrap_err().code, "journal-busy");
    }
    assert!(news.try_recv().is_err());
    transaction.rollback().await.unwrap();
    // Nothing more is appended.
    let News { entries, late } = next(&mut news).await;
    let [(3, gap)] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((lost(gap), late), (2, None));
    let What::JournalGap { why, .. } = &gap.what else { panic!("{gap:?}") };
    assert!(why.contains("another program is writing"), "{why}");
    assert_eq!(journal.append(entry("shop", Green), true).await.unwrap().seq, 4, "a gap is told once");
    let rows = journal.reader().tail(0, 10).await.unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["journal-rebuilt", "not-switched", "journal-gap", "not-switched"]);
    assert_eq!(journal.reader().verify().await.unwrap().first_bad, None);
}

#[tokio::test]
async fn the_gap_comes_before_what_is_written_next() {
    let lab = Lab::quick();
    let Opened { journal, mut news, .. } = lab.open().await;
    let mut other = connect::writer(&Place::new(&lab.path)).await.unwrap();
    let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    journal.append(entry("shop", Blue), true).await.unwrap_err();
    transaction.rollback().await.unwrap();
    assert_eq!(journal.append(entry("shop", Green), true).await.unwrap().seq, 3);
    assert_eq!(next(&mut news).await.entries[0].0, 2);
}

#[tokio::test]
async fn a_journal_that_is_taken_away_says_so_and_how_much_is_gone() {
    let lab = Lab::quick();
    let Opened { journal, mut news, .. } = lab.open().await;
    for _ in 0..3 {
        journal.append(entry("shop", Blue), true).await.unwrap();
    }
    std::fs::remove_file(&lab.path).unwrap();
    let stored = journal.append(entry("shop", Blue), true).await.unwrap();
    assert_eq!((stored.seq, stored.rebuilt.is_some()), (3, true));
    let entries = next(&mut news).await.entries;
    let [(1, rebuilt), (2, gap)] = &entries[..] else { panic!("{entries:?}") };
    assert!(matches!(rebuilt.what, What::JournalRebuilt { .. }), "{rebuilt:?}");
    assert_eq!(lost(gap), 4, "the first entry of the file that is gone told of itself");
}

#[tokio::test]
async fn whoever_opens_a_journal_does_not_wait_for_a_disk_that_hangs_and_hears_what_it_remembers_later() {
    let lab = Lab::quick();
    lab.filled([remembering("shop", Green, memory(7))]).await;
    let Opened { journal, memories, deaf, mut news, .. } = loop {
        let opened = Journal::open_within(&lab.path, KEEP, Duration::ZERO).await;
        if opened.deaf.is_some() {
            break opened;
        }
        // It was opened before anybody had begun to wait.
        opened.journal.close().await;
    };
    assert_eq!((memories, deaf.unwrap().code.as_str()), (Vec::new(), "journal-slow"));
    let Late { memories, broken } = next(&mut news).await.late.unwrap();
    assert_eq!((memories, broken), (vec![("shop".to_owned(), memory(7))], None));
    journal.append(entry("shop", Green), true).await.unwrap();
}
