//! What the engines that run packet cases share.

use crate::world::PinRow;

/// Seconds by which ages may differ: the clock ticks coarsely, and goes on while a case runs.
const TOLERANCE: u32 = 2;

/// How pins differ from those that a case wants, whatever their order; empty when they do not.
#[must_use]
pub fn pins_differ(want: &[PinRow], got: &[PinRow]) -> String {
    let sorted = |pins: &[PinRow]| {
        let mut pins = pins.to_vec();
        pins.sort_by_key(|pin| (pin.table, format!("{:?}", pin.key)));
        pins
    };
    let (want, got) = (sorted(want), sorted(got));
    let alike = |want: &PinRow, got: &PinRow| {
        want.age.abs_diff(got.age) <= TOLERANCE && *want == PinRow { age: want.age, ..*got }
    };
    if want.len() == got.len() && want.iter().zip(&got).all(|(want, got)| alike(want, got)) {
        String::new()
    } else {
        format!("pins {got:#?}\ninstead of {want:#?}\n")
    }
}
