//! The role of each slice as a file of its own, `<deployment>.<colour>`: whole at any time, and written only
//! when it changes. Whoever mounts the directory sees the next file as soon as it is there.

use super::{RoleState, States};
use bg_common::Colour;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What could not be written is tried again after this time.
const AGAIN: Duration = Duration::from_secs(5);

/// Ends the name of a file that is not whole yet.
const NEW: &str = ".new";

/// Keeps the files in `dir` as `states` says, and tells `done` what they say, until nobody says anything more.
/// `written` is what they say already.
pub(super) async fn follow(
    dir: PathBuf,
    mut written: Vec<RoleState>,
    mut states: watch::Receiver<States>,
    done: watch::Sender<States>,
) {
    let mut failing = false;
    while states.changed().await.is_ok() {
        loop {
            let wanted = Arc::clone(&states.borrow_and_update());
            match write_all(&dir, &wanted, &mut written) {
                Ok(()) => {
                    failing = false;
                    done.send_replace(wanted);
                    break;
                }
                Err(why) => {
                    if !failing {
                        let dir = dir.display();
                        tracing::error!(%why, %dir, "slices cannot be told their roles; it is tried again");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

/// What the files of a former daemon say.
pub(super) fn read(dir: &Path) -> Vec<RoleState> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let state = |entry: fs::DirEntry| -> Option<RoleState> {
        let state: RoleState = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
        (entry.file_name().to_str() == Some(&name(&state))).then_some(state)
    };
    entries.filter_map(|entry| state(entry.ok()?)).collect()
}

/// Writes what differs from what was `written`, and removes what is not wanted.
fn write_all(dir: &Path, wanted: &[RoleState], written: &mut Vec<RoleState>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    // Whatever the mask is: a zone's users are to read it.
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    for state in wanted {
        let file = name(state);
        if !written.iter().any(|before| told_alike(before, state)) {
            written.retain(|before| name(before) != file);
            write(dir, &file, state)?;
            written.push(state.clone());
        }
    }
    written.retain(|before| wanted.iter().any(|state| name(state) == name(before)));
    sweep(dir, wanted)
}

/// Removes the files of slices that are not wanted, and what a daemon that died has left half written.
fn sweep(dir: &Path, wanted: &[RoleState]) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file = entry.file_name();
        let Some(file) = file.to_str() else { continue };
        let ours = file.strip_suffix(NEW).unwrap_or(file);
        let ours = Colour::BOTH.iter().any(|colour| ours.ends_with(&format!(".{}", colour.as_str())));
        if ours && !wanted.iter().any(|state| name(state) == file) {
            match fs::remove_file(entry.path()) {
                Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

fn write(dir: &Path, file: &str, state: &RoleState) -> io::Result<()> {
    let new = dir.join(format!("{file}{NEW}"));
    match fs::remove_file(&new) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
        Ok(()) | Err(_) => {}
    }
    let mut text = serde_json::to_string(state)?;
    text.push('\n');
    let mut out: File = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
    out.set_permissions(Permissions::from_mode(0o644))?;
    out.write_all(text.as_bytes())?;
    crate::fail_point!("before-role-renamed");
    fs::rename(&new, dir.join(file))
}

fn name(state: &RoleState) -> String {
    format!("{}.{}", state.deployment, state.colour.as_str())
}

/// Whether the two make the same file.
fn told_alike(one: &RoleState, other: &RoleState) -> bool {
    RoleState { addresses: Vec::new(), ..one.clone() } == RoleState { addresses: Vec::new(), ..other.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::samples;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_written_is_tried_again() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("role");
        fs::write(&dir, "in the way").unwrap();
        let (states, watched) = watch::channel(States::from([]));
        let (done, mut written) = watch::channel(States::from([]));
        tokio::spawn(follow(dir.clone(), Vec::new(), watched, done));
        states.send_replace([samples::role(&[])].into());
        assert!(tokio::time::timeout(10 * AGAIN, written.changed()).await.is_err());
        fs::remove_file(&dir).unwrap();
        tokio::time::timeout(2 * AGAIN, written.changed()).await.unwrap().unwrap();
        assert_eq!(read(&dir), [samples::role(&[])]);
    }
}
