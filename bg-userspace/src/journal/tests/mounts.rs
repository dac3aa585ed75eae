//! Places that cannot be written: full, read-only, somebody else's. The file systems are small ones, in a mount
//! namespace of their own.

use super::*;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::io::Write as _;

/// Calls `test` on a thread that has `lab` on a file system of its own, of one megabyte. Threads that it
/// starts see the same.
fn on_a_small_disk(test: impl AsyncFnOnce(&Lab, &Path) + Send + 'static) {
    let inside = || {
        let lab = Lab::quick();
        let disk = lab.path.parent().unwrap().to_owned();
        fs::create_dir(&disk).unwrap();
        let none = None::<&str>;
        if let Err(why) = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
            .and_then(|()| {
                mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=1m,mode=0700"))
            })
        {
            println!("SKIP no file system of its own: {why}");
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(&lab, &disk));
        drop(runtime);
        nix::mount::umount2(&disk, nix::mount::MntFlags::MNT_DETACH).unwrap();
    };
    std::thread::spawn(inside).join().unwrap();
}

/// Fills the disk to the last byte.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    path
}

fn remount(disk: &Path, read_only: bool) {
    let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    mount(None::<&str>, disk, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_room_and_never_reading() {
    on_a_small_disk(async |lab, disk| {
        let journal = lab.well().await;
        journal.append(remembering("shop", Green, memory(1)), true).await.unwrap();
        let filler = fill(disk);
        let mut stored = 0_u64;
        let refusal = loop {
            match journal.append(entry("shop", Green), true).await {
                Ok(_) => stored += 1,
                Err(refusal) => break refusal,
            }
            assert!(stored < 10_000, "the disk is not full");
        };
        assert_eq!(refusal.code, "journal-full", "{refusal}");
        assert!(refusal.mend.contains("df -h"), "{refusal}");
        let found = journal.reader().verify().await.unwrap();
        assert_eq!((found.entries, found.first_bad), (stored + 2, None));
        assert_eq!(journal.append(entry("shop", Green), true).await.unwrap_err().code, "journal-full");
        fs::remove_file(filler).unwrap();
        let later = eventually("room", async || journal.append(entry("shop", Blue), true).await.ok()).await;
        assert_eq!((later.seq, later.rebuilt), (found.head_seq + 2, None), "behind the gap");
        assert_eq!(journal.reader().verify().await.unwrap().first_bad, None);
        journal.close().await;
    });
}

#[test]
fn a_start_on_a_full_disk_knows_what_was_remembered() {
    on_a_small_disk(async |lab, disk| {
        lab.filled([remembering("shop", Green, memory(1))]).await;
        let filler = fill(disk);
        let Opened { journal, rebuilt, memories, broken, deaf, news: _ } = lab.open().await;
        assert_eq!(memories, [("shop".to_owned(), memory(1))], "{deaf:?}");
        assert_eq!((rebuilt, broken), (None, None));
        assert_eq!(journal.reader().tail(0, 10).await.unwrap().len(), 2);
        let refusal =
            eventually("a full disk", async || journal.append(entry("shop", Green), true).await.err()).await;
        assert_eq!(refusal.code, "journal-full", "{refusal}");
        fs::remove_file(filler).unwrap();
        eventually("room", async || journal.append(entry("shop", Blue), true).await.ok()).await;
        assert_eq!(journal.reader().verify().await.unwrap().first_bad, None);
        journal.close().await;
    });
}

#[test]
fn a_full_disk_on_which_there_is_no_journal_yet_or_a_bad_one_is_left_as_it_is() {
    for content in [None, Some("bad")] {
        on_a_small_disk(async move |lab, disk| {
            if let Some(content) = content {
                fs::write(&lab.path, content).unwrap();
            }
            let filler = fill(disk);
            let Opened { journal, deaf, .. } = lab.open().await;
            assert_eq!(deaf.unwrap().code, "journal-full");
            let expected = [Some("filler"), content.map(|_| "journal.db")];
            assert_eq!(lab.files(), expected.into_iter().flatten().collect::<Vec<_>>());
            fs::remove_file(filler).unwrap();
            let stored =
                eventually("room", async || journal.append(entry("shop", Blue), true).await.ok()).await;
            assert_eq!((stored.seq, stored.rebuilt.unwrap().aside.is_some()), (3, content.is_some()));
            journal.close().await;
        });
    }
}

#[test]
fn where_nothing_may_be_written_what_was_remembered_is_known_and_appends_say_why_not() {
    // With a log from a process that was killed, and without one.
    for killed in [false, true] {
        on_a_small_disk(async move |lab, disk| {
            lab.filled([remembering("shop", Green, memory(1))]).await;
            if killed {
                let journal = lab.well().await;
                journal.append(remembering("shop", Green, memory(2)), true).await.unwrap();
                let copies = [("journal.db", "a"), ("journal.db-wal", "b")];
                for (from, to) in copies {
                    fs::copy(disk.join(from), disk.join(to)).unwrap();
                }
                journal.close().await;
                for (from, to) in copies {
                    fs::rename(disk.join(to), disk.join(from)).unwrap();
                }
                fs::write(disk.join("journal.db-shm"), vec![0; 32768]).unwrap();
            }
            remount(disk, true);
            let word = if killed { 2 } else { 1 };
            let Opened { journal, rebuilt, memories, deaf, .. } = lab.open().await;
            assert_eq!((memories, rebuilt), (vec![("shop".to_owned(), memory(word))], None), "{deaf:?}");
            let refusal = deaf.unwrap();
            assert_eq!(refusal.code, "journal-read-only", "{refusal}");
            assert_eq!(journal.append(entry("shop", Green), true).await.unwrap_err(), refusal);
            assert_eq!(
                offline::append(&lab.path, entry("shop", Green)).await.unwrap_err().code,
                "journal-read-only"
            );
            let found = journal.reader().verify().await.unwrap();
            assert_eq!((found.entries, found.first_bad), (word + 1, None));
            remount(disk, false);
            let stored =
                eventually("writing", async || journal.append(entry("shop", Blue), true).await.ok()).await;
            assert_eq!((stored.seq, stored.rebuilt), (found.head_seq + 2, None), "behind the gap");
            journal.close().await;
        });
    }
}

/// Calls `test` on a thread that is nobody's: it has no capability. Threads that it starts are so, too.
fn as_nobody(test: impl AsyncFnOnce(&Lab) + Send + 'static) {
    const NOBODY: u32 = 65534;
    let inside = || {
        let lab = Lab::quick();
        let dir = lab.path.parent().unwrap();
        fs::create_dir(dir).unwrap();
        // Unlike the function of libc, the system call changes this thread only.
        // SAFETY: it takes numbers, and what runs on this thread needs no other identity.
        let changed = std::os::unix::fs::chown(lab.dir.path(), Some(NOBODY), None)
            .and_then(|()| std::os::unix::fs::chown(dir, Some(NOBODY), None))
            .is_ok_and(|()| unsafe { libc::syscall(libc::SYS_setresuid, -1, NOBODY, -1) } == 0);
        if !changed {
            println!("SKIP only root can become somebody else");
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(&lab));
    };
    std::thread::spawn(inside).join().unwrap();
}

#[test]
fn without_permission_what_was_remembered_is_known_and_appends_say_what_is_missing() {
    use std::os::unix::fs::PermissionsExt as _;
    for is_known in [true, false] {
        as_nobody(async move |lab| {
            let dir = lab.path.parent().unwrap();
            let set = |mode| fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
            if is_known {
                lab.filled([remembering("shop", Green, memory(1))]).await;
            }
            set(0o500);
            let Opened { journal, memories, rebuilt, deaf, .. } = lab.open().await;
            assert_eq!((memories.len(), rebuilt), (usize::from(is_known), None));
            let refusal = deaf.unwrap();
            assert_eq!(refusal.code, "journal-forbidden", "{refusal}");
            assert!(refusal.mend.contains("StateDirectory"), "{refusal}");
            assert_eq!(journal.append(entry("shop", Green), true).await.unwrap_err(), refusal);
            set(0o700);
            let stored =
                eventually("writing", async || journal.append(entry("shop", Blue), true).await.ok()).await;
            assert_eq!(stored.rebuilt.is_none(), is_known);
            journal.close().await;
        });
    }
}
