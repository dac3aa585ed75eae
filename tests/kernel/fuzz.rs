//! The programs against the reference model, and that against nftables. `cargo xtask fuzz` does it at length.

use bg_tests::fuzz::{self, Against, Options, UNREACHABLE};

#[test]
fn programs_and_model_agree_on_a_million_packets_that_come_to_every_reason() {
    let report = fuzz::fuzz(&Options::default()).unwrap();
    assert_eq!(report.mismatches, 0, "{}", report.differences.join("\n"));
    assert!(report.packets >= 1_000_000, "{report:?}");
    let unreachable = UNREACHABLE.iter().map(|(reason, _)| *reason);
    let mut missed: Vec<_> = unreachable.chain(report.skipped.iter().map(|(reason, _)| *reason)).collect();
    missed.sort_by_key(|reason| reason.index());
    assert_eq!(report.missed(), missed);
}

#[test]
fn model_and_nftables_agree_on_a_hundred_thousand_packets() {
    match fuzz::against_nft(100_000, 1).unwrap() {
        Against::Compared { packets, differences } => {
            assert!(differences.is_empty(), "{}", differences.join("\n"));
            assert!(packets >= 100_000, "{packets}");
        }
        Against::Skipped(why) => bg_tests::say(&format!("SKIP the model against nftables: {why}")),
    }
}
