//! Writing: order, groups, memories, what is kept, and who is refused.

use super::*;
use std::sync::mpsc as std_mpsc;

/// The engine and the API use these from tasks of a runtime with several threads.
const _: () = {
    const fn assert_send<T: Send>() {}
    const fn assert_sync<T: Sync>() {}
    assert_send::<Journal>();
    assert_send::<Reader>();
    assert_sync::<Reader>();
    fn futures(journal: Journal, reader: &Reader, query: &Query) -> impl Send {
        let ask = async {
            (reader.history(query).await, reader.at_time(std::time::UNIX_EPOCH).await, reader.verify().await)
        };
        let open = Journal::open(Path::new("/"));
        let offline = offline::append(Path::new("/"), entry("shop", Blue));
        (ask, open, offline, journal.append(entry("shop", Blue), true), journal.close())
    }
    let _ = futures;
};

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart_in_the_order_of_the_appends() {
    let lab = Lab::new();
    let Opened { journal, rebuilt, memories, broken, deaf, news: _ } = lab.open().await;
    let why = "there was no journal".to_owned();
    assert_eq!((rebuilt, memories, broken, deaf), (Some(Rebuilt { why, aside: None }), vec![], None, None));
    let whats = [
        What::Started { found: "new".to_owned(), word: u64::MAX },
        What::Frozen { why: "a\0b \u{1F600} \"quoted\"".to_owned() },
        What::Unfrozen,
        What::DrainEnded { colour: Blue, fate: "reset".to_owned(), left: Some(u64::MAX) },
        What::Proved { proof: crate::model::order::Proof { last_old_us: Some(-5), ..Default::default() } },
    ];
    let mut records: Vec<_> = whats.into_iter().map(|what| record("shop", Green, what)).collect();
    records[1].reason = Some("nul \0 inside".to_owned());
    records[2].deployment = String::new();
    records[3].actor = Actor::default();
    for (number, record) in (2..).zip(&records) {
        let entry = Entry { record: record.clone(), memory: None };
        let stored = journal.append(entry, true).await.unwrap();
        assert_eq!((stored.seq, stored.rebuilt), (number, None));
    }
    journal.close().await;

    let Opened { journal, rebuilt, .. } = lab.open().await;
    assert_eq!(rebuilt, None);
    let rows = journal.reader().tail(1, 100).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.record.clone().unwrap()).collect::<Vec<_>>(), records);
    for (row, record) in rows.iter().zip(&records) {
        let Record { deployment, live, generation, slices: _, actor, reason, what: _, late_ms: _ } = record;
        assert_eq!(
            (&row.deployment, row.generation, &row.actor, &row.reason),
            (deployment, *generation, actor, reason)
        );
        assert_eq!(row.live, (!deployment.is_empty()).then_some(*live));
        assert!(row.at.elapsed().unwrap() < DEADLINE && row.mono.0 > Duration::ZERO && !row.boot.is_empty());
    }
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "frozen", "unfrozen", "drain-ended", "proved"]);
}

#[tokio::test]
async fn the_newest_memory_of_each_deployment_is_found_at_the_next_start() {
    let lab = Lab::new();
    lab.filled([
        remembering("shop", Blue, memory(1)),
        remembering("blog", Blue, memory(2)),
        remembering("shop", Green, memory(u64::MAX)),
        entry("shop", Green),
    ])
    .await;
    let Opened { memories, broken, .. } = lab.open().await;
    let expected = [("blog".to_owned(), memory(2)), ("shop".to_owned(), memory(u64::MAX))];
    assert_eq!((memories.as_slice(), broken), (expected.as_slice(), None));
}

#[tokio::test]
async fn many_at_once_keep_their_order_and_their_chain() {
    let lab = Lab::new();
    let journal = lab.well().await;
    let waiting: Vec<_> =
        (0..900).map(|n| journal.append(entry(&format!("d{n}"), Blue), n % 7 == 0)).collect();
    for (seq, stored) in (2..).zip(waiting) {
        assert_eq!(stored.await.unwrap().seq, seq);
    }
    let rows = journal.reader().tail(1, 1000).await.unwrap();
    assert_eq!(rows.len(), 900);
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row.deployment, format!("d{n}"));
    }
    let found = journal.reader().verify().await.unwrap();
    assert_eq!((found.entries, found.first_bad, found.head_hash), (901, None, rows[899].hash));
}

#[tokio::test]
async fn what_waits_is_written_when_the_journal_is_closed_or_dropped() {
    for close in [true, false] {
        let lab = Lab::new();
        let journal = lab.well().await;
        for _ in 0..300 {
            journal.append_then(entry("shop", Blue), false, |stored| drop(stored.unwrap()));
        }
        if close {
            journal.close().await;
            assert_eq!(lab.reader().verify().await.unwrap().entries, 301);
        } else {
            drop(journal);
            eventually("writing", async || {
                lab.reader().verify().await.ok().filter(|found| found.entries == 301)
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_writer_that_is_held_up_holds_up_nobody_and_refuses_what_does_not_fit() {
    let lab = Lab::quick();
    let journal = lab.well().await;
    let mut other = connect::writer(&Place::new(&lab.path)).await.unwrap();
    let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let (answers, answered) = std_mpsc::channel();
    let start = Instant::now();
    for n in 0..2000 {
        let answers = answers.clone();
        journal.append_then(entry("shop", Blue), true, move |stored| answers.send((n, stored)).unwrap());
    }
    // The other one writes all the time, and waiting for it once takes half a second.
    let took = start.elapsed();
    let (at_once, refused): (Vec<_>, Vec<_>) = answered.try_iter().unzip();
    assert!(at_once.len() >= 2000 - BACKLOG - 256 && at_once.len() < 2000, "{}", at_once.len());
    for stored in refused {
        assert_eq!(stored.unwrap_err().code, "journal-behind");
    }
    assert!(journal.reader().history(&Query::default()).await.is_ok(), "reading waits for nobody");
    transaction.rollback().await.unwrap();
    drop(answers);
    let later: Vec<_> = tokio::task::spawn_blocking(move || answered.iter().collect()).await.unwrap();
    assert_eq!(at_once.len() + later.len(), 2000);
    let (stored, busy): (Vec<_>, Vec<_>) =
        later.into_iter().map(|(_, stored)| stored).partition(Result::is_ok);
    assert!(busy.into_iter().all(|refused| refused.unwrap_err().code == "journal-busy"));
    assert!(!stored.is_empty());
    let gaps = Query { kinds: vec!["journal-gap".to_owned()], ..Query::default() };
    let gaps = journal.reader().history(&gaps).await.unwrap();
    let found = journal.reader().verify().await.unwrap();
    assert_eq!((found.entries, found.first_bad), ((stored.len() + gaps.len()) as u64 + 1, None));
    println!("2000 appends to a writer that waits returned within {took:?}");
}

#[tokio::test]
async fn the_oldest_entries_go_when_there_are_too_many_and_the_chain_still_holds() {
    let lab = Lab::quick();
    let keep = 100;
    let journal = Journal::open_keeping(&lab.path, keep).await.journal;
    journal.append(remembering("old", Green, memory(5)), false).await.unwrap();
    for _ in 0..3 {
        let waiting: Vec<_> = (0..150).map(|_| journal.append(entry("shop", Blue), false)).collect();
        for stored in waiting {
            stored.await.unwrap();
        }
        let found = journal.reader().verify().await.unwrap();
        assert_eq!((found.entries, found.first_bad), (keep, None));
        assert_eq!(found.pruned, found.head_seq - 100);
    }
    journal.close().await;
    // Who keeps less takes the rest away bit by bit.
    let Opened { journal, memories, broken, .. } = Journal::open_keeping(&lab.path, 10).await;
    assert_eq!((memories, broken), (vec![("old".to_owned(), memory(5))], None));
    journal.append(entry("shop", Green), false).await.unwrap();
    let found = journal.reader().verify().await.unwrap();
    assert_eq!((found.entries, found.first_bad, found.pruned), (10, None, found.head_seq - 10));
    let then = journal.reader().at_time(std::time::SystemTime::UNIX_EPOCH).await.unwrap();
    assert!(then.begins.is_some() && then.live.is_empty());
}

#[tokio::test]
async fn without_a_daemon_one_entry_can_be_added_and_with_one_too() {
    let lab = Lab::new();
    let stored = offline::append(&lab.path, remembering("shop", Blue, memory(1))).await.unwrap();
    assert_eq!(
        (stored.seq, stored.rebuilt.map(|rebuilt| rebuilt.why)),
        (2, Some("there was no journal".to_owned()))
    );
    let journal = lab.well().await;
    for n in 0..20 {
        assert_eq!(journal.append(entry("shop", Green), true).await.unwrap().seq, 3 + 2 * n);
        assert_eq!(offline::append(&lab.path, entry("shop", Blue)).await.unwrap().seq, 4 + 2 * n);
    }
    let found = journal.reader().verify().await.unwrap();
    assert_eq!((found.entries, found.first_bad), (42, None));
}

#[tokio::test]
async fn a_daemon_and_commands_that_write_at_the_same_time_lose_nothing() {
    let lab = Lab::quick();
    let journal = lab.well().await;
    let commands = (0..4).map(|_| {
        let path = lab.path.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                offline::append(&path, entry("shop", Blue)).await.unwrap();
            }
        })
    });
    let commands: Vec<_> = commands.collect();
    for _ in 0..100 {
        journal.append(entry("shop", Green), false).await.unwrap();
    }
    for command in commands {
        command.await.unwrap();
    }
    let found = journal.reader().verify().await.unwrap();
    assert_eq!((found.entries, found.first_bad), (201, None));
}

#[tokio::test]
async fn an_append_takes_its_time_on_the_disk_and_not_in_the_caller() {
    let lab = Lab::new();
    let journal = lab.well().await;
    let mut figures = Vec::new();
    for (name, durable) in [("durable", true), ("quick", false)] {
        let mut took = Vec::new();
        for _ in 0..100 {
            let start = Instant::now();
            journal.append(entry("shop", Blue), durable).await.unwrap();
            took.push(start.elapsed());
        }
        took.sort();
        figures.push(format!("\"{name}_us\": [{}, {}]", took[50].as_micros(), took[98].as_micros()));
    }
    let start = Instant::now();
    let waiting: Vec<_> = (0..1000).map(|_| journal.append(entry("shop", Blue), true)).collect();
    let called = start.elapsed();
    for stored in waiting {
        stored.await.unwrap();
    }
    let group = start.elapsed();
    println!(
        "{{\"median_and_p99\": {{{}}}, \"group_of_1000_us\": {}, \"of_that_in_the_caller_us\": {}}}",
        figures.join(", "),
        group.as_micros(),
        called.as_micros()
    );
    assert!(called < group / 2, "appending waits for the disk: {called:?} of {group:?}");
    assert_eq!(journal.reader().verify().await.unwrap().first_bad, None);
}
