//! The files: who may touch them, what lies in the way, and who else has them open.

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Opens a journal that cannot be written, and expects every append to say so.
async fn deaf(lab: &Lab, what: &str) -> (Journal, Refusal) {
    let Opened { journal, rebuilt, deaf, .. } = lab.open().await;
    let refusal = deaf.unwrap_or_else(|| panic!("{what}: it can be written"));
    assert_eq!(rebuilt, None, "{what}");
    assert_eq!(journal.append(entry("shop", Blue), true).await.unwrap_err(), refusal, "{what}");
    assert!(!refusal.mend.is_empty() && !refusal.at.is_empty());
    (journal, refusal)
}

/// Appends until it works; what stood in the way is gone.
async fn heard(journal: &Journal, what: &str) -> Stored {
    eventually(what, async || journal.append(entry("shop", Blue), true).await.ok()).await
}

#[tokio::test]
async fn nobody_else_can_read_a_journal() {
    let lab = Lab::new();
    let journal = lab.well().await;
    let dir = lab.path.parent().unwrap();
    journal.append(entry("shop", Blue), true).await.unwrap();
    let modes: Vec<_> = lab.files().iter().map(|name| (name.clone(), mode(&dir.join(name)))).collect();
    assert_eq!(
        modes,
        ["journal.db", "journal.db-shm", "journal.db-wal"].map(|name| (name.to_owned(), 0o600))
    );
    assert_eq!(mode(dir), 0o700);
    journal.close().await;
    // What was opened to others is closed again.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&lab.path, fs::Permissions::from_mode(0o644)).unwrap();
    let _journal = lab.well().await;
    assert_eq!((mode(dir), mode(&lab.path)), (0o700, 0o600));
}

#[tokio::test]
async fn what_others_could_have_made_is_not_used() {
    type Make = fn(&Lab);
    let dir = |lab: &Lab| lab.path.parent().unwrap().to_owned();
    let rows: [(&str, Make); 6] = [
        ("a link to a file", |lab| {
            let real = lab.dir.path().join("real");
            fs::rename(&lab.path, &real).unwrap();
            symlink(real, &lab.path).unwrap();
        }),
        ("a link to nothing", |lab| {
            fs::remove_file(&lab.path).unwrap();
            symlink("/nowhere/at/all", &lab.path).unwrap();
        }),
        ("a link to a directory", |lab| {
            let (dir, real) = (lab.path.parent().unwrap(), lab.dir.path().join("real"));
            fs::rename(dir, &real).unwrap();
            symlink(real, dir).unwrap();
        }),
        ("a log that is a link", |lab| symlink("/etc/passwd", lab.path.with_extension("db-wal")).unwrap()),
        ("a directory", |lab| {
            fs::remove_file(&lab.path).unwrap();
            fs::create_dir(&lab.path).unwrap();
        }),
        ("a directory of everybody", |lab| {
            fs::set_permissions(lab.path.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (what, make) in rows {
        let lab = Lab::quick();
        lab.filled([entry("shop", Blue)]).await;
        let before = fs::read(&lab.path).unwrap();
        make(&lab);
        let (journal, refusal) = deaf(&lab, what).await;
        assert_eq!(refusal.code, "journal-untrusted", "{what}");
        let offline = offline::append(&lab.path, entry("shop", Blue)).await.unwrap_err();
        assert_eq!(offline.code, "journal-untrusted", "{what}");
        // It is moved away, as the refusal says.
        if what == "a directory of everybody" {
            fs::set_permissions(dir(&lab), fs::Permissions::from_mode(0o700)).unwrap();
            assert_eq!(fs::read(&lab.path).unwrap(), before);
        } else {
            fs::rename(&refusal.at, format!("{}.old", refusal.at)).unwrap();
        }
        heard(&journal, what).await;
        assert_eq!(journal.reader().verify().await.unwrap().first_bad, None, "{what}");
    }
}

#[tokio::test]
async fn somebody_elses_file_is_not_used() {
    let lab = Lab::quick();
    lab.filled([entry("shop", Blue)]).await;
    if chown(&lab.path, Some(65534), None).is_err() {
        println!("SKIP only root can give a file away");
        return;
    }
    let (_, refusal) = deaf(&lab, "somebody else's").await;
    assert_eq!((refusal.code.as_str(), refusal.at), ("journal-untrusted", lab.path.display().to_string()));
}

#[tokio::test]
async fn an_empty_or_foreign_file_is_put_aside_whole_and_under_a_name_of_its_own() {
    let lab = Lab::quick();
    lab.filled([]).await;
    let mut contents: Vec<Vec<u8>> = vec![vec![], b"not a database, but text\n".repeat(400), vec![0; 8192]];
    for content in &contents {
        fs::write(&lab.path, content).unwrap();
        let Opened { journal, rebuilt, deaf, .. } = lab.open().await;
        let aside = rebuilt.unwrap().aside.unwrap();
        assert_eq!((&fs::read(&aside).unwrap(), deaf), (content, None));
        journal.append(entry("shop", Blue), true).await.unwrap();
        journal.close().await;
    }
    let mut kept: Vec<_> =
        lab.aside().iter().map(|name| fs::read(lab.path.with_file_name(name)).unwrap()).collect();
    kept.sort();
    contents.sort();
    assert_eq!(kept, contents);
}

#[tokio::test]
async fn a_log_without_its_file_is_not_taken_for_the_next_journals() {
    let lab = Lab::quick();
    let journal = lab.well().await;
    journal.append(entry("shop", Blue), true).await.unwrap();
    let (log, copy) = (lab.path.with_extension("db-wal"), lab.dir.path().join("copy"));
    fs::copy(&log, &copy).unwrap();
    journal.close().await;
    fs::remove_file(&lab.path).unwrap();
    fs::copy(&copy, &log).unwrap();
    let Opened { journal, rebuilt, .. } = lab.open().await;
    assert_eq!(rebuilt.unwrap().why, "the file is missing, and its log is there");
    assert_eq!(journal.reader().verify().await.unwrap().entries, 1);
}

#[tokio::test]
async fn a_journal_that_is_taken_away_while_it_is_written_is_begun_anew() {
    let lab = Lab::quick();
    let journal = lab.well().await;
    journal.append(remembering("shop", Blue, memory(1)), true).await.unwrap();
    fs::remove_dir_all(lab.path.parent().unwrap()).unwrap();
    let stored = journal.append(remembering("shop", Blue, memory(2)), true).await.unwrap();
    assert_eq!(
        (stored.seq, stored.rebuilt.map(|rebuilt| rebuilt.why)),
        (3, Some("there was no journal".to_owned()))
    );
    assert_eq!(journal.append(entry("shop", Blue), true).await.unwrap().rebuilt, None);
    journal.close().await;
    assert_eq!(lab.open().await.memories, [("shop".to_owned(), memory(2))]);
}

#[tokio::test]
async fn a_journal_that_goes_bad_while_it_is_written_is_begun_anew_at_the_next_append() {
    let lab = Lab::quick();
    let journal = lab.well().await;
    journal.append(remembering("shop", Blue, memory(1)), true).await.unwrap();
    lab.sql("DELETE FROM chain").await;
    let stored = journal.append(entry("shop", Green), true).await.unwrap();
    assert!(stored.rebuilt.is_some_and(|rebuilt| rebuilt.aside.is_some()));
    assert_eq!(journal.reader().verify().await.unwrap().first_bad, None);
    journal.close().await;
    assert_eq!(lab.open().await.memories, [("shop".to_owned(), memory(1))]);
}

const ANOTHER: &str = "journal::tests::files::two_processes_do_not_keep_one_journal";

#[tokio::test]
async fn two_processes_do_not_keep_one_journal() {
    if let Some((role, path)) = role() {
        let ready = path.with_extension("ready");
        if role == "keep" {
            let journal = Journal::open(&path).await.journal;
            journal.append(remembering("shop", Blue, memory(1)), true).await.unwrap();
            fs::write(&ready, "").unwrap();
            std::future::pending::<()>().await;
        }
        let (mut reader, _) = connect::reader(&Place::new(&path)).await.unwrap();
        let _read = reader.begin().await.unwrap();
        fs::write(&ready, "").unwrap();
        std::future::pending::<()>().await;
    }
    let lab = Lab::new();
    let ready = lab.path.with_extension("ready");
    let start = async |role| {
        let child = other_process(ANOTHER, role, &lab.path);
        eventually("the other process", async || ready.exists().then_some(())).await;
        fs::remove_file(&ready).unwrap();
        child
    };

    let keeper = start("keep").await;
    let Opened { journal, memories, deaf, .. } = lab.open().await;
    assert_eq!(deaf.unwrap().code, "journal-held");
    assert_eq!(memories, [("shop".to_owned(), memory(1))], "reading is for everybody");
    assert_eq!(journal.append(entry("shop", Blue), true).await.unwrap_err().code, "journal-held");
    assert_eq!(offline::append(&lab.path, entry("shop", Blue)).await.unwrap().seq, 3);
    kill(keeper);
    assert_eq!(heard(&journal, "writing in its place").await.seq, 5, "behind the gap");
    journal.close().await;

    // On its end the other one would remove the log of the next journal.
    let reader = start("read").await;
    fs::write(&lab.path, "bad").unwrap();
    let (journal, refusal) = deaf_now(&lab).await;
    assert_eq!(refusal.code, "journal-in-use");
    assert_eq!(lab.aside(), Vec::<String>::new());
    kill(reader);
    assert!(heard(&journal, "putting it aside").await.rebuilt.is_some());
    assert_eq!(lab.aside().len(), 1);
}

async fn deaf_now(lab: &Lab) -> (Journal, Refusal) {
    deaf(lab, "in use").await
}
