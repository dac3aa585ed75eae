//! The short form of what `cargo xtask chaos` does at length.

use bg_tests::chaos::{self, Options, POINTS};
use std::collections::BTreeSet;

#[test]
fn no_client_notices_that_the_daemon_is_killed_and_all_accounts_of_who_is_live_agree() {
    let report = chaos::kill(&Options::default()).unwrap();
    assert_eq!((report.failed, report.state_mismatch), (0, 0), "{report:#?}");
    assert!(report.kills >= 50 && report.flips >= 5 && report.requests > 1000, "{report:#?}");
    let reached: BTreeSet<_> = report.reached.iter().copied().collect();
    let all: BTreeSet<_> = POINTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(reached, all, "{report:#?}");
}

#[test]
fn switches_that_nothing_speaks_against_stay() {
    let healthy = chaos::healthy(30).unwrap();
    assert_eq!((healthy.false_rollbacks, healthy.failed), (0, 0), "{healthy:#?}");
    assert_eq!(healthy.switches, 30, "{healthy:#?}");
}
