//! Reading: history, followers, and what was live at a time.

use super::*;
use crate::journal::chain::Hash;
use crate::journal::open::{self, Look};
use crate::journal::row::Draft;
use std::time::{SystemTime, UNIX_EPOCH};

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Writes entries with these times.
async fn written(lab: &Lab, rows: &[(u64, Entry)]) {
    lab.well().await.close().await;
    let mut open = open::open(&Place::new(&lab.path), Look::Quick).await.unwrap();
    for (seconds, entry) in rows {
        let at_ns = i64::try_from(seconds * 1_000_000_000).unwrap();
        let draft = Draft::new(entry, Stamp { at_ns, mono_ns: 0 }, "boot").unwrap();
        open.store(&[draft], false, KEEP).await.unwrap();
    }
    open.conn.close().await.unwrap();
    // The first entry says when the journal was begun, and is as old as these.
    lab.sql("DELETE FROM entry WHERE seq = 1; UPDATE chain SET anchor_seq = 1, anchor_hash = (SELECT previous FROM entry WHERE seq = 2)").await;
}

#[tokio::test]
async fn entries_are_found_by_what_is_asked_for() {
    let lab = Lab::quick();
    let frozen = |deployment| Entry {
        record: record(deployment, Blue, What::Frozen { why: "x".to_owned() }),
        memory: None,
    };
    written(
        &lab,
        &[
            (100, entry("shop", Blue)),
            (200, frozen("blog")),
            (300, frozen("shop")),
            (400, entry("", Blue)),
            (500, entry("shop", Green)),
        ],
    )
    .await;
    let all = Query::default;
    let shop = || Query { deployment: Some("shop".to_owned()), ..all() };
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    for (what, query, seqs) in [
        ("all", all(), vec![6, 5, 4, 3, 2]),
        ("oldest first", Query { newest_first: false, ..all() }, vec![2, 3, 4, 5, 6]),
        ("deployment", shop(), vec![6, 4, 2]),
        ("none", Query { deployment: Some("no'such".to_owned()), ..all() }, vec![]),
        ("of no deployment", Query { deployment: Some(String::new()), ..all() }, vec![5]),
        ("kind", Query { kinds: kinds(&["frozen"]), ..all() }, vec![4, 3]),
        ("kinds", Query { kinds: kinds(&["frozen", "not-switched"]), ..shop() }, vec![6, 4, 2]),
        ("since", Query { since: Some(time(300)), ..all() }, vec![6, 5, 4]),
        ("until", Query { until: Some(time(300)), ..all() }, vec![4, 3, 2]),
        ("between", Query { since: Some(time(150)), until: Some(time(450)), ..shop() }, vec![4]),
        ("limit", Query { limit: 2, ..all() }, vec![6, 5]),
        ("next page", Query { limit: 2, before_seq: Some(5), ..all() }, vec![4, 3]),
        ("after", Query { after_seq: Some(4), newest_first: false, ..all() }, vec![5, 6]),
        ("nothing", Query { limit: 0, ..all() }, vec![]),
    ] {
        let rows = lab.reader().history(&query).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), seqs, "{what}");
    }
}

#[tokio::test]
async fn a_follower_sees_each_entry_once() {
    let lab = Lab::quick();
    let journal = lab.well().await;
    let reader = journal.reader();
    let mut seen = Vec::new();
    for n in 0..30 {
        journal.append(entry(&format!("d{n}"), Blue), false).await.unwrap();
        if n % 4 == 0 {
            let after = seen.last().copied().unwrap_or_default();
            seen.extend(reader.tail(after, 3).await.unwrap().iter().map(|row| row.seq));
        }
    }
    while let Some(row) = reader.tail(*seen.last().unwrap(), 3).await.unwrap().first() {
        seen.push(row.seq);
    }
    assert_eq!(seen, (1..=31).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_took_effect_before_it_could_be_told_is_found_at_its_time() {
    let lab = Lab::quick();
    let mut late = entry("shop", Blue);
    late.record.late_ms = Some(200_000);
    // At 300 a deadline passed; the daemon that was started at 500 found it so.
    let rows =
        [(100, entry("shop", Blue)), (200, entry("shop", Green)), (500, entry("shop", Blue)), (500, late)];
    written(&lab, &rows).await;
    for (at, live, since) in
        [(199, Blue, 100), (299, Green, 200), (300, Blue, 300), (400, Blue, 300), (600, Blue, 300)]
    {
        let then = lab.reader().at_time(time(at)).await.unwrap();
        let [found] = &then.live[..] else { panic!("{then:?}") };
        let found_since = found.since.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!((found.live, found_since), (live, since), "{at}");
    }
}

#[tokio::test]
async fn what_was_live_then_is_what_the_last_entry_before_says() {
    let lab = Lab::quick();
    written(
        &lab,
        &[
            (100, entry("shop", Blue)),
            (200, entry("blog", Green)),
            (300, entry("shop", Green)),
            (350, entry("", Blue)),
            (400, entry("shop", Green)),
            (500, entry("shop", Blue)),
        ],
    )
    .await;
    // (time, [(deployment, live, since, is the oldest known)])
    for (at, expected) in [
        (99, vec![]),
        (100, vec![("shop", Blue, 100, true)]),
        (299, vec![("blog", Green, 200, true), ("shop", Blue, 100, true)]),
        (300, vec![("blog", Green, 200, true), ("shop", Green, 300, false)]),
        (450, vec![("blog", Green, 200, true), ("shop", Green, 300, false)]),
        (9999, vec![("blog", Green, 200, true), ("shop", Blue, 500, false)]),
    ] {
        let then = lab.reader().at_time(time(at)).await.unwrap();
        let live: Vec<_> = then
            .live
            .iter()
            .map(|it| {
                (
                    it.deployment.as_str(),
                    it.live,
                    it.since.duration_since(UNIX_EPOCH).unwrap().as_secs(),
                    it.is_oldest,
                )
            })
            .collect();
        assert_eq!(live, expected, "at {at}");
        assert_eq!(then.begins, (at < 100).then_some(time(100)), "at {at}");
        assert_eq!(then.broken, None);
        for it in then.live {
            let slices = it.slices.unwrap();
            assert_eq!(slices[1].version.as_deref(), Some("1.green"));
            assert!(!it.came_twice);
        }
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_changes_no_order_and_is_told() {
    let lab = Lab::quick();
    written(
        &lab,
        &[
            (1000, entry("shop", Blue)),
            (2000, entry("shop", Green)),
            (1500, entry("shop", Blue)),
            (1600, entry("shop", Green)),
        ],
    )
    .await;
    let seqs: Vec<_> = lab.reader().tail(0, 10).await.unwrap().iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [2, 3, 4, 5]);
    // Before the first entry that was made with the clock set back, nothing says that it was.
    for (at, live, twice) in
        [(1400, Blue, false), (1550, Blue, true), (1700, Green, true), (2000, Green, false)]
    {
        let then = lab.reader().at_time(time(at)).await.unwrap();
        assert_eq!((then.live[0].live, then.live[0].came_twice), (live, twice), "at {at}");
    }
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_shown_as_it_stands() {
    let lab = Lab::quick();
    lab.filled([entry("shop", Blue)]).await;
    lab.sql("UPDATE entry SET kind = 'teleported', body = '{\"kind\":\"teleported\"}' WHERE seq = 2").await;
    let rows = lab.reader().history(&Query::default()).await.unwrap();
    assert_eq!(
        (rows[0].kind.as_str(), &rows[0].record, rows[0].body.as_str()),
        ("teleported", &None, "{\"kind\":\"teleported\"}")
    );
}

#[tokio::test]
async fn who_asks_in_vain_is_told_why() {
    let lab = Lab::quick();
    let code = async || lab.reader().history(&Query::default()).await.unwrap_err().code;
    assert_eq!(code().await, "journal-missing");
    lab.filled([entry("shop", Blue)]).await;
    lab.sql("PRAGMA user_version = 99").await;
    assert_eq!(code().await, "journal-newer");
    lab.sql("PRAGMA application_id = 1").await;
    assert_eq!(code().await, "journal-damaged");
    std::fs::write(&lab.path, b"").unwrap();
    assert_eq!(code().await, "journal-damaged");
    std::fs::remove_file(&lab.path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &lab.path).unwrap();
    assert_eq!(code().await, "journal-untrusted");
}

#[test]
fn hashes_are_those_of_the_documented_encoding() {
    use crate::journal::chain::{Item, entry_hash, memory_digest};
    // From `hashlib.sha256` over the bytes that the documentation describes.
    let hash = entry_hash([Item::Integer(-2), Item::Text("ä".as_bytes()), Item::Null, Item::Blob(&[0, 255])]);
    assert_eq!(hash.to_string(), "d148c7a6b1d57d7d2afc27df3202fe7346888035d6ea014c0d7d665c2581375d");
    assert_eq!(
        memory_digest("shop", "{}").to_string(),
        "fe8195c027067fd10a5692407a2250f8819c65c93cbf4ebc9e42a67722db0b5c"
    );
    assert_eq!(Hash::default().to_string(), "0".repeat(64));
}
