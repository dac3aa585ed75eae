//! The packet cases against the library on the host, and its properties.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where something is not as it must be")]

mod fake;
mod local;
mod nat;

use bg_common::{Reason, Verdict, Via};
use bg_ebpf::packet::Part;
use bg_ebpf::{Detour, Hop, Packet, icmp, parse, parse_rare};
use bg_tests::cases::{self, Case, Hook, Outcome};
use bg_tests::packet::difference;
use bg_tests::world::World;
use fake::{Fake, Frame};

fn fast(fake: &Fake, hook: Hook, frame: &mut Frame) -> Result<(), Detour> {
    let packet = parse(frame)?;
    let rewrite = match hook {
        Hook::ToSlice => bg_ebpf::forward(&packet, fake),
        Hook::Zone => bg_ebpf::zone(&packet, fake),
        Hook::ToClient => bg_ebpf::reply(&packet, fake),
    };
    Ok(rewrite?.ok_or(Reason::NotOurs)?.apply(&packet, frame, Hop::Keep)?)
}

fn rare(fake: &Fake, hook: Hook, frame: &mut Frame) -> Result<(), Reason> {
    let mut packet = parse_rare(frame)?;
    if icmp::read(&mut packet, frame)? == icmp::Message::Error {
        return error(fake, hook, &packet, frame);
    }
    decide(fake, hook, &packet, frame)
}

/// What the fast path has read and left to the slow one.
fn undecided(fake: &Fake, hook: Hook, frame: &mut Frame) -> Result<(), Reason> {
    let (Ok(packet), Ok(mut read)) = (parse(frame), parse_rare(frame)) else {
        panic!("what the fast path could read, both can");
    };
    let packet = packet.for_slow_path();
    if let Some(whole) = read.rare.as_mut().filter(|rare| rare.part == Part::Whole) {
        // Nobody asks for the name of a datagram that came in one piece.
        whole.id = 0;
    }
    assert_eq!(format!("{packet:?}"), format!("{read:?}"), "both paths read the same");
    decide(fake, hook, &packet, frame)
}

fn decide(fake: &Fake, hook: Hook, packet: &Packet, frame: &mut Frame) -> Result<(), Reason> {
    let rewrite = match hook {
        Hook::ToSlice => bg_ebpf::forward_rare(packet, fake),
        Hook::Zone => bg_ebpf::zone_rare(packet, fake),
        Hook::ToClient => bg_ebpf::reply_rare(packet, fake),
    };
    rewrite?.ok_or(packet.none_of_ours())?.apply(packet, frame, Hop::Keep)
}

fn error(fake: &Fake, hook: Hook, packet: &Packet, frame: &mut Frame) -> Result<(), Reason> {
    let quote = icmp::Quote::read(packet, frame)?;
    let rewrite = match hook {
        Hook::ToSlice => icmp::forward(packet, &quote, fake),
        Hook::Zone => icmp::zone(packet, &quote, fake),
        Hook::ToClient => icmp::reply(packet, &quote, fake),
    };
    let rewrite = rewrite?.ok_or(Reason::NotOurs)?;
    icmp::apply(&rewrite, packet, &quote, frame, Hop::Keep)?;
    bg_ebpf::Tables::count(fake, Reason::IcmpError);
    Ok(())
}

/// What the programs do, over the fake tables.
fn run(fake: &Fake, hook: Hook, frame: &mut Frame) -> Outcome {
    let handled = match fast(fake, hook, frame) {
        Err(Detour::Rare) => rare(fake, hook, frame),
        Err(Detour::Undecided) => undecided(fake, hook, frame),
        Err(Detour::Refused(reason)) => Err(reason),
        Ok(()) => Ok(()),
    };
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

fn check(world: &World, case: &Case) -> Result<(), String> {
    let fake = Fake::new(world, case);
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

mod errors;
mod properties;
mod recent;
