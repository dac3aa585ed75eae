//! The packet cases against the library on the host, and its properties.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where something is not as it must be")]

mod fake;

use bg_common::{Reason, Verdict, Via};
use bg_ebpf::{Hop, parse};
use bg_tests::cases::{self, Case, Hook, Outcome};
use bg_tests::packet::difference;
use bg_tests::world::World;
use fake::{Fake, Frame};

/// What the programs do, over the fake tables.
fn run(fake: &Fake, hook: Hook, frame: &mut Frame) -> Outcome {
    let handled = parse(frame).and_then(|packet| {
        let rewrite = match hook {
            Hook::ToSlice => bg_ebpf::forward(&packet, fake),
            Hook::Zone => bg_ebpf::zone(&packet, fake),
            Hook::ToClient => bg_ebpf::reply(&packet, fake),
        };
        rewrite?.ok_or(Reason::NotOurs)?.apply(&packet, frame, Hop::Keep)
    });
    match handled {
        Ok(()) => Outcome::Becomes(frame.0.clone()),
        Err(reason) => {
            bg_ebpf::Tables::count(fake, reason);
            match reason.verdict() {
                Verdict::Drop => Outcome::Dropped,
                Verdict::Pass | Verdict::Forward => Outcome::Untouched,
                Verdict::Answer => match bg_ebpf::reset(frame) {
                    Ok(()) => Outcome::Answered(frame.0.clone()),
                    Err(_) => Outcome::Dropped,
                },
            }
        }
    }
}

fn check(case: &Case) -> Result<(), String> {
    let fake = Fake::new(&World::new(Via::Stack, 0), case);
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
    let failures: Vec<String> = cases::all().iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

mod properties;
mod recent;
