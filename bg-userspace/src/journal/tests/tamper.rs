//! Somebody has changed the file: it is told, and the journal goes on.

use super::*;

const FOUR: usize = 4;

/// A journal with entries 1 to 5: that it was begun, and four more.
async fn lab() -> Lab {
    let lab = Lab::quick();
    lab.filled((0..FOUR).map(|n| remembering("shop", Blue, memory(n as u64)))).await;
    lab
}

/// What makes a copy of the last entry that is one more.
const ADD: &str = "INSERT INTO entry SELECT seq + 1, at_ns, mono_ns, boot, deployment, kind, generation, live, who, \
                   uid, pid, user, client, reason, body, memory, hash, randomblob(32) FROM entry WHERE seq = 5;";

#[tokio::test]
async fn every_change_is_found_at_the_entry_that_it_was_made_to() {
    let swap = "UPDATE entry SET seq = -1 WHERE seq = 3; UPDATE entry SET seq = 3 WHERE seq = 4; \
                UPDATE entry SET seq = 4 WHERE seq = -1";
    let cut = "DELETE FROM entry WHERE seq > 3;";
    let cut_well = "UPDATE chain SET head_seq = 3, head_hash = (SELECT hash FROM entry WHERE seq = 3)";
    let rows = [
        ("untouched", "", None),
        ("a time", "UPDATE entry SET at_ns = at_ns - 1 WHERE seq = 3", Some(3)),
        ("a number", "UPDATE entry SET generation = 4 WHERE seq = 2", Some(2)),
        ("who", "UPDATE entry SET who = 'bgd' WHERE seq = 4", Some(4)),
        ("a user", "UPDATE entry SET user = NULL WHERE seq = 4", Some(4)),
        ("text becomes none", "UPDATE entry SET reason = '' WHERE seq = 4", Some(4)),
        ("live", "UPDATE entry SET live = 'green' WHERE seq = 5", Some(5)),
        ("the body", "UPDATE entry SET body = replace(body, 'failed', 'passed') WHERE seq = 5", Some(5)),
        (
            "text moves on",
            "UPDATE entry SET user = user || 'x', client = substr(client, 2) WHERE seq = 3",
            Some(3),
        ),
        ("the hash", "UPDATE entry SET hash = zeroblob(32) WHERE seq = 3", Some(3)),
        ("a short hash", "UPDATE entry SET hash = x'00' WHERE seq = 3", Some(3)),
        ("the hash before", "UPDATE entry SET previous = zeroblob(32) WHERE seq = 3", Some(3)),
        ("no text at all", "UPDATE entry SET body = CAST(x'ff' AS TEXT) WHERE seq = 3", Some(3)),
        ("removed", "DELETE FROM entry WHERE seq = 3", Some(3)),
        ("removed at the start", "DELETE FROM entry WHERE seq <= 2", Some(1)),
        (
            "removed and renumbered",
            "DELETE FROM entry WHERE seq = 3; UPDATE entry SET seq = seq - 1 WHERE seq > 3",
            Some(3),
        ),
        ("all removed", "DELETE FROM entry", Some(1)),
        ("exchanged", swap, Some(3)),
        ("added at the end", ADD, Some(6)),
        (
            "added at the start",
            "INSERT INTO entry SELECT 0, at_ns, mono_ns, boot, deployment, kind, generation, live, \
            who, uid, pid, user, client, reason, body, memory, previous, hash FROM entry WHERE seq = 1",
            Some(0),
        ),
        ("cut off", cut, Some(4)),
        ("the head", "UPDATE chain SET head_hash = zeroblob(32)", Some(5)),
        ("the head's number", "UPDATE chain SET head_seq = 7", Some(6)),
        ("the anchor", "UPDATE chain SET anchor_hash = randomblob(32)", Some(1)),
        ("the anchor's number", "UPDATE chain SET anchor_seq = 2", Some(1)),
        ("cut off with the head", &format!("{cut}{cut_well}"), Some(5)),
        ("what is remembered", "UPDATE memory SET json = replace(json, 'quarter', 'Quarter')", Some(5)),
        (
            "what is remembered, from before",
            "UPDATE memory SET json = replace(json, '\"word\":3', '\"word\":2'), seq = 4, \
             digest = (SELECT memory FROM entry WHERE seq = 4)",
            Some(4),
        ),
    ];
    for (what, statements, seq) in rows {
        let lab = lab().await;
        lab.sql(statements).await;
        let found = lab.reader().verify().await.unwrap();
        assert_eq!(found.first_bad.as_ref().map(|bad| bad.seq), seq, "{what}: {:?}", found.first_bad);
        let then = lab.reader().at_time(std::time::SystemTime::now()).await;
        if what != "no text at all" {
            assert_eq!(then.unwrap().broken, found.first_bad, "{what}");
        }
        let Opened { journal, rebuilt, memories, broken, deaf, news: _ } = lab.open().await;
        // What lies before the anchor is only looked for by `verify`.
        if !["added at the start", "the anchor's number"].contains(&what) {
            assert_eq!(broken, found.first_bad, "{what}");
        }
        assert_eq!((rebuilt, deaf), (None, None), "{what}: it is kept");
        assert_eq!(memories.is_empty(), what.contains("remembered"), "{what}");
        for known in &memories {
            assert_eq!(known, &("shop".to_owned(), memory(3)), "{what}");
        }
        let stored = journal.append(entry("shop", Green), true).await.unwrap();
        assert!(stored.seq > 3, "{what}");
        let later = journal.reader().verify().await.unwrap();
        if !what.contains("head") && !what.contains("remembered") {
            assert_eq!(later.first_bad.as_ref().map(|bad| bad.seq), seq, "{what}: it stays visible");
        }
    }
}

#[tokio::test]
async fn a_break_is_seen_for_good_although_the_journal_goes_on() {
    let lab = lab().await;
    lab.sql("DELETE FROM entry WHERE seq >= 5").await;
    let journal = lab.open().await.journal;
    for n in 6..20 {
        assert_eq!(journal.append(entry("shop", Green), false).await.unwrap().seq, n);
    }
    let found = journal.reader().verify().await.unwrap();
    assert_eq!(found.first_bad.unwrap().seq, 5);
    assert_eq!(found.entries, 4);
}

#[tokio::test]
async fn tables_that_were_changed_are_not_written_to() {
    for (what, statements) in [
        ("a trigger", "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END"),
        ("a table", "CREATE TABLE more (x)"),
        ("a column", "ALTER TABLE entry ADD COLUMN x INTEGER"),
        ("no table", "DROP TABLE memory"),
        ("no index", "DROP INDEX entry_at"),
        ("no ends", "DELETE FROM chain"),
        ("a number without end", "UPDATE chain SET head_seq = 9223372036854775807"),
        ("another program's", "PRAGMA application_id = 0"),
        ("a newer layout", "PRAGMA user_version = 2"),
        ("an older layout that never was", "PRAGMA user_version = 0"),
        ("a negative layout", "PRAGMA user_version = -1"),
    ] {
        let lab = lab().await;
        lab.sql(statements).await;
        let Opened { journal, rebuilt, memories, broken, deaf, news: _ } = lab.open().await;
        let Rebuilt { why, aside } = rebuilt.unwrap_or_else(|| panic!("{what}"));
        assert!(aside.as_ref().is_some_and(|aside| aside.is_file()), "{what}");
        assert_eq!((broken, deaf), (None, None), "{what}");
        // What has to be known is taken over where it is whole.
        let is_lost = ["no table", "another program's"].contains(&what);
        assert_eq!(memories.len(), usize::from(!is_lost), "{what}");
        let rows = journal.reader().tail(0, 10).await.unwrap();
        let told = What::JournalRebuilt { why, aside: aside.map(|aside| aside.display().to_string()) };
        assert_eq!(rows[0].record.as_ref().map(|record| &record.what), Some(&told), "{what}");
        assert_eq!((rows.len(), rows[0].live, rows[0].deployment.as_str()), (1, None, ""));
        journal.append(entry("shop", Blue), true).await.unwrap();
        journal.close().await;
        assert_eq!(lab.open().await.memories, memories, "{what}");
    }
}

#[tokio::test]
async fn an_older_layout_becomes_the_newest_or_stays_as_it_was() {
    use crate::journal::schema::{MIGRATIONS, label, migrate};
    let lab = lab().await;
    let next = ["CREATE TABLE extra (x INTEGER) STRICT", "INSERT INTO extra VALUES (1)"];
    let mut conn = connect::writer(&Place::new(&lab.path)).await.unwrap();
    let broken = ["CREATE TABLE extra (x INTEGER) STRICT", "INSERT INTO nothing VALUES (1)"];
    assert!(migrate(&mut conn, &[MIGRATIONS[0], &broken]).await.is_err());
    conn.close().await.unwrap();
    let mut conn = connect::writer(&Place::new(&lab.path)).await.unwrap();
    assert_eq!(label(&mut conn).await.unwrap().version, 1);
    migrate(&mut conn, &[MIGRATIONS[0], &next]).await.unwrap();
    assert_eq!(label(&mut conn).await.unwrap().version, 2);
    let extra: i64 = sqlx::query_scalar("SELECT count(*) FROM extra").fetch_one(&mut conn).await.unwrap();
    let entries: i64 = sqlx::query_scalar("SELECT count(*) FROM entry").fetch_one(&mut conn).await.unwrap();
    assert_eq!((extra, entries), (1, 5));
}
