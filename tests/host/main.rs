//! The packet cases against the library on the host, and its properties.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where something is not as it must be")]

mod local;
mod nat;

use bg_common::Via;
use bg_tests::cases::{self, Case, Outcome};
use bg_tests::host::{Fake, Frame, run};
use bg_tests::packet::difference;
use bg_tests::world::World;

fn check(world: &World, case: &Case) -> Result<(), String> {
    let fake = Fake::new(world, case.word, &case.before);
    for earlier in &case.earlier {
        run(&fake, case.hook, &mut Frame(earlier.clone()));
    }
    let mut frame = Frame(case.packet.clone());
    let outcome = run(&fake, case.hook, &mut frame);
    let mut wrong = String::new();
    match (&case.outcome, &outcome) {
        (Outcome::Becomes(want), Outcome::Becomes(got))
        | (Outcome::Answered(want), Outcome::Answered(got)) => wrong += &difference(want, got),
        (want, got) if want != got => wrong += &format!("{got:?} instead of {want:?}\n"),
        _ => wrong += &difference(&case.packet, &frame.0),
    }
    if fake.reasons() != case.reasons {
        wrong += &format!("reasons {:?} instead of {:?}\n", fake.reasons(), case.reasons);
    }
    wrong += &bg_tests::engine::pins_differ(&case.after, &fake.pins());
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{wrong}", case.name)) }
}

#[test]
fn every_packet_case_holds_on_the_host_library() {
    let worlds = [World::new(Via::Stack, 0), World::of_ports(Via::Stack, 0)];
    let failures: Vec<String> = cases::all()
        .iter()
        .flat_map(|case| worlds.iter().map(move |world| (case, world)))
        .filter(|(case, world)| world.settings.whole_addresses() || !case.whole)
        .filter_map(|(case, world)| check(world, case).err())
        .collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

mod coverage;
mod errors;
mod properties;
mod recent;
