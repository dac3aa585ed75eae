//! What the engines that run packet cases share.

use crate::world::PinRow;

/// How pins differ from those that a case wants, whatever their order; empty when they do not.
#[must_use]
pub fn pins_differ(want: &[PinRow], got: &[PinRow]) -> String {
    let key = |pin: &PinRow| {
        let (table, (key, backend, frontend, state)) = pin.identity();
        format!("{table:?} {key:?} backend {backend} frontend {frontend} state {state:#06b}")
    };
    let (mut want, mut got): (Vec<_>, Vec<_>) =
        (want.iter().map(key).collect(), got.iter().map(key).collect());
    want.sort();
    got.sort();
    if want == got { String::new() } else { format!("pins {got:#?}\ninstead of {want:#?}\n") }
}
