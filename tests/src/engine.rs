//! What the engines that run packet cases share.

use crate::world::PinRow;

/// Seconds by which ages may differ: the clock ticks coarsely, and goes on while a case runs.
const TOLERANCE: u32 = 2;

/// The same of flows, whose beginning is told in steps of 2.1 s.
const BEGUN_TOLERANCE: u32 = 5;

/// How pins differ from those that a case wants, whatever their order; empty when they do not.
#[must_use]
pub fn pins_differ(want: &[PinRow], got: &[PinRow]) -> String {
    let sorted = |pins: &[PinRow]| {
        let mut pins = pins.to_vec();
        pins.sort_by_key(|pin| (pin.table, format!("{:?}", pin.key), pin.key.asked().get()));
        pins
    };
    let (want, got) = (sorted(want), sorted(got));
    let alike = |want: &PinRow, got: &PinRow| {
        let begun = match (want.begun, got.begun) {
            (Some(want), Some(got)) => want.abs_diff(got) <= BEGUN_TOLERANCE,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let timeless = PinRow { age: want.age, begun: want.begun, ..*got };
        begun && want.age.abs_diff(got.age) <= TOLERANCE && *want == timeless
    };
    if want.len() == got.len() && want.iter().zip(&got).all(|(want, got)| alike(want, got)) {
        String::new()
    } else {
        format!("pins {got:#?}\ninstead of {want:#?}\n")
    }
}
