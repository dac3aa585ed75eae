//! Any input is a world, a few pins and frames; whatever the packet library makes of it on the host, some things hold.
//!
//! A fuzzer that is told which code an input has reached finds the inputs (`cargo xtask fuzz --coverage`); without one the
//! same checks run on the packet cases.

#![expect(clippy::expect_used, reason = "what cannot be written ends the fuzzer")]

mod input;
mod judge;

use crate::cases::{self, Outcome};
use crate::engine::pins_differ;
use crate::host::{Fake, Frame, play, play_slowly};
use crate::world::{PinRow, World};
use bg_common::{Endpoint, Reason, Tick, Via, Word};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

pub use input::{Input, Step};
pub use judge::judge;

/// With whole addresses and without.
static WORLDS: LazyLock<[World; 2]> =
    LazyLock::new(|| [World::of_ports(Via::Stack, 0), World::new(Via::Stack, 0)]);

/// Plays an input, and says what of it is not as it must be.
///
/// # Errors
///
/// What that is.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let input = Input::read(bytes);
    let [ports, whole] = &*WORLDS;
    let world = if input.whole { whole } else { ports };
    let (ours, slow) = (fake(world, &input), fake(world, &input));
    for (number, step) in input.steps.iter().enumerate() {
        let [got, other] = [(&ours, false), (&slow, true)].map(|(fake, slowly)| take(fake, step, slowly));
        let wrong = |what: String| format!("step {number}: {what}\n{input:#?}");
        judge(&step.frame, &got.0, &got.1).map_err(wrong)?;
        // What is remembered of a packet makes the next one's pin a little older on one of the paths.
        if !input.remembers && got != other {
            return Err(wrong(format!("the fast path says {got:?}, the slow one {other:?}")));
        }
    }
    let differ = pins_differ(&ours.pins(), &slow.pins());
    if input.remembers || differ.is_empty() { Ok(()) } else { Err(format!("{differ}{input:#?}")) }
}

/// Whether programs make such a pin: what it names, if that exists, is of its service and its client's family.
fn is_possible(world: &World, pin: &PinRow) -> bool {
    let fits = |at: &Endpoint, service: u32| {
        service == pin.key.service() && at.addr().is_v4() == pin.key.client().is_v4()
    };
    let backend = world.backends.iter().find(|(id, _)| *id == pin.backend);
    let frontend = world.frontends.iter().find(|(_, at)| !at.is_vip() && u32::from(at.id) == pin.frontend);
    backend.is_none_or(|(_, backend)| fits(&backend.endpoint(), backend.service()))
        && frontend.is_none_or(|(at, frontend)| fits(at, frontend.service))
}

fn fake(world: &World, input: &Input) -> Fake {
    let pins: Vec<PinRow> = input.pins.iter().filter(|pin| is_possible(world, pin)).copied().collect();
    let fake = Fake::new(world, input.word, &pins);
    fake.forgets.set(!input.remembers);
    if input.full {
        fake.room.set(0);
    }
    fake
}

/// What becomes of a step's frame, and the reasons that were counted for it.
fn take(fake: &Fake, step: &Step, slowly: bool) -> (Outcome, Vec<Reason>) {
    let ticks = Tick::in_seconds(step.wait.into());
    fake.now.set(Tick(fake.now.get().0 + ticks));
    fake.jiffies.set(fake.jiffies.get() + u64::from(step.wait) * 250);
    if step.switches {
        fake.word.set(Word::from_bits(fake.word.get().bits() ^ 1));
    }
    fake.start_counting();
    let mut frame = Frame(step.frame.clone());
    let run = if slowly { play_slowly } else { play };
    let outcome = run(fake, step.hook, step.hop, &mut frame);
    (outcome, fake.reasons())
}

/// The packet cases as inputs, each under its name.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    cases::all().iter().map(|case| (case.name.clone(), Input::of(case).write())).collect()
}

/// Writes the seeds into a directory, a file for each.
///
/// # Panics
///
/// When a file cannot be written.
pub fn plant(directory: &Path) {
    for (number, (_, seed)) in seeds().iter().enumerate() {
        fs::write(directory.join(format!("case-{number:04}")), seed).expect("a seed can be written");
    }
}
