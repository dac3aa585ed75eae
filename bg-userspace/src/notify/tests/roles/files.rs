//! Roles by file.

use super::*;
use serde_json::json;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

#[tokio::test]
async fn each_slice_has_a_file_that_says_what_it_is() {
    let house = House::new();
    house
        .update(&[blue(), RoleState { since: Some("2026-01-02T03:04:05Z".parse().unwrap()), ..green() }])
        .await;
    assert_eq!(house.files(), ["shop.blue", "shop.green"]);
    let told = json!({
        "deployment": "shop", "colour": "green", "role": "standby", "version": "1.4.2", "live": "blue",
        "generation": 7, "draining": true, "since": "2026-01-02T03:04:05Z",
    });
    assert_eq!(house.file("shop.green"), told);
    assert!(house.file("shop.blue")["since"].is_string());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(house.dir.clone()), mode(house.dir.join("shop.blue"))), (0o755, 0o644));
}

#[tokio::test]
async fn only_what_has_changed_is_written_and_always_as_a_new_file() {
    let house = House::new();
    let inode = |name: &str| fs::metadata(house.dir.join(name)).unwrap().ino();
    house.update(&[blue(), green()]).await;
    let (old_blue, old_green) = (inode("shop.blue"), inode("shop.green"));
    // Whoever has the old file open reads the old file.
    let reader = fs::File::open(house.dir.join("shop.green")).unwrap();
    let moved = RoleState { addresses: vec![STRANGER], ..blue() };
    house.update(&[moved, RoleState { version: None, ..green() }]).await;
    assert_eq!(inode("shop.blue"), old_blue, "addresses are not told");
    assert_ne!(inode("shop.green"), old_green);
    assert_eq!(std::io::read_to_string(reader).unwrap().matches("1.4.2").count(), 1);
    assert_eq!(house.file("shop.green")["version"], Value::Null);
    house.update(&[blue()]).await;
    assert_eq!(house.files(), ["shop.blue"]);
    house.update(&[]).await;
    assert_eq!(house.files(), [""; 0]);
}

#[tokio::test]
async fn a_slice_keeps_its_time_as_long_as_it_keeps_its_role() {
    let house = House::new();
    fs::create_dir_all(&house.dir).unwrap();
    let since = |time: &str| Some(time.parse().unwrap());
    for state in [blue(), green()] {
        let state = RoleState { since: since("2026-01-02T03:04:05Z"), ..state };
        let name = format!("{}.{}", state.deployment, state.colour);
        fs::write(house.dir.join(name), serde_json::to_vec(&state).unwrap()).unwrap();
    }
    for (name, content) in [("gone.blue", "{}"), ("shop.blue.new", "{\"half"), ("README", "by somebody")] {
        fs::write(house.dir.join(name), content).unwrap();
    }
    let inode = || fs::metadata(house.dir.join("shop.blue")).unwrap().ino();
    let before = inode();
    // The next daemon.
    let roles = Roles::start(&house.thread, house.dir.clone());
    roles.update(&[blue(), RoleState { role: Role::Staging, ..green() }]);
    assert!(roles.written(DEADLINE).await);
    assert_eq!(house.files(), ["README", "shop.blue", "shop.green"], "what a dead daemon left is gone");
    assert_eq!(inode(), before, "what says so already is not written");
    assert_eq!(house.file("shop.blue")["since"], "2026-01-02T03:04:05Z");
    assert_ne!(house.file("shop.green")["since"], "2026-01-02T03:04:05Z");
}
