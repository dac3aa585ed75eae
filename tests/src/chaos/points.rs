//! The fail points of the daemon, by name.

/// When the daemon comes by a fail point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// When it makes the data plane, which happens once.
    Making,
    /// When its configuration is read again.
    Reload,
    /// At every start or order.
    Often,
}

/// All of them.
pub const POINTS: &[(&str, Passed)] = &[
    ("after-tables-pinned", Passed::Making),
    ("before-pins-renamed", Passed::Making),
    ("after-pins-renamed", Passed::Making),
    ("before-reload", Passed::Reload),
    ("after-reload", Passed::Reload),
    ("before-attach", Passed::Often),
    ("between-links", Passed::Often),
    ("after-attach", Passed::Often),
    ("after-apply", Passed::Often),
    ("before-journal", Passed::Often),
    ("after-journal", Passed::Often),
    ("before-commit", Passed::Often),
    ("after-commit", Passed::Often),
    ("before-exchange", Passed::Often),
    ("after-exchange", Passed::Often),
    ("before-record", Passed::Often),
    ("before-answer", Passed::Often),
    ("before-role-renamed", Passed::Often),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn no_fail_point_of_the_daemon_is_forgotten() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bg-userspace/src");
        let mut found = BTreeSet::new();
        for path in sources(&root) {
            let text = fs::read_to_string(path).unwrap();
            for call in text.split("crate::fail_point!(\"").skip(1) {
                let name = call.split('"').next().unwrap();
                assert!(
                    found.insert(name.to_owned()),
                    "{name} is in two places: they could not be told apart"
                );
            }
        }
        assert_eq!(found, POINTS.iter().map(|(name, _)| (*name).to_owned()).collect());
    }
}
