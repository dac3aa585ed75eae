//! What must hold of any input, without a fuzzer that looks for one.

use bg_tests::cases;
use bg_tests::coverage::{Input, check, seeds};
use proptest::prelude::*;

#[test]
fn every_packet_case_is_an_input_of_which_all_holds_that_must() {
    let failures: Vec<String> =
        seeds().iter().filter_map(|(name, seed)| Some(format!("{name}: {}", check(seed).err()?))).collect();
    assert!(failures.is_empty(), "{} seeds fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn an_input_is_read_as_it_was_written() {
    for case in cases::all() {
        let mut input = Input::of(&case);
        input.pins.iter_mut().for_each(|pin| pin.begun = pin.begun.or(Some(pin.age)));
        assert_eq!(Input::read(&input.write()), input, "{}", case.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_of_a_case_all_holds_that_must(
        seed in prop::sample::select(seeds()),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (_, mut bytes) = seed;
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert_eq!(check(&bytes), Ok(()));
    }
}
