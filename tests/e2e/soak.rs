//! The short form of what `cargo xtask soak` does at length.

use bg_tests::soak::{self, Options};
use std::time::Duration;

#[test]
fn nobody_notices_a_switch_that_comes_all_the_time() {
    let report = soak::soak(&Options::lasting(Duration::from_secs(20))).unwrap();
    report.skipped.iter().for_each(|why| println!("{why}"));
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.flips >= 200 && report.requests > 1_000, "{report:#?}");
    assert!(report.judged > 100 && report.packets > 10_000, "{report:#?}");
}
