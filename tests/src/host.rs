//! What the programs do, on the host: the same library, the same turns, over tables in ordinary memory.

#![expect(clippy::panic, reason = "a test ends where something is not as it must be")]

mod fake;

use crate::cases::{Hook, Outcome};
use bg_common::{Reason, Verdict};
use bg_ebpf::packet::Part;
use bg_ebpf::{Detour, Hop, Packet, icmp, parse, parse_rare};

pub use fake::{Fake, FakePin, Frame};

fn fast(fake: &Fake, hook: Hook, hop: Hop, frame: &mut Frame) -> Result<(), Detour> {
    let packet = parse(frame)?;
    let rewrite = match hook {
        Hook::ToSlice => bg_ebpf::forward(&packet, fake),
        Hook::Zone => bg_ebpf::zone(&packet, fake),
        Hook::ToClient => bg_ebpf::reply(&packet, fake),
    };
    Ok(rewrite?.ok_or(Reason::NotOurs)?.apply(&packet, frame, hop)?)
}

fn rare(fake: &Fake, hook: Hook, hop: Hop, frame: &mut Frame) -> Result<(), Reason> {
    let mut packet = parse_rare(frame)?;
    if icmp::read(&mut packet, frame)? == icmp::Message::Error {
        return error(fake, hook, hop, &packet, frame);
    }
    decide(fake, hook, hop, &packet, frame)
}

/// What the fast path has read and left to the slow one.
fn undecided(fake: &Fake, hook: Hook, hop: Hop, frame: &mut Frame) -> Result<(), Reason> {
    let (Ok(packet), Ok(mut read)) = (parse(frame), parse_rare(frame)) else {
        panic!("what the fast path could read, both can");
    };
    let packet = packet.for_slow_path();
    if let Some(whole) = read.rare.as_mut().filter(|rare| rare.part == Part::Whole) {
        // Nobody asks for the name of a datagram that came in one piece.
        whole.id = 0;
    }
    assert_eq!(format!("{packet:?}"), format!("{read:?}"), "both paths read the same");
    decide(fake, hook, hop, &packet, frame)
}

fn decide(fake: &Fake, hook: Hook, hop: Hop, packet: &Packet, frame: &mut Frame) -> Result<(), Reason> {
    let rewrite = match hook {
        Hook::ToSlice => bg_ebpf::forward_rare(packet, fake),
        Hook::Zone => bg_ebpf::zone_rare(packet, fake),
        Hook::ToClient => bg_ebpf::reply_rare(packet, fake),
    };
    rewrite?.ok_or(packet.none_of_ours())?.apply(packet, frame, hop)
}

fn error(fake: &Fake, hook: Hook, hop: Hop, packet: &Packet, frame: &mut Frame) -> Result<(), Reason> {
    let quote = icmp::Quote::read(packet, frame)?;
    let rewrite = match hook {
        Hook::ToSlice => icmp::forward(packet, &quote, fake),
        Hook::Zone => icmp::zone(packet, &quote, fake),
        Hook::ToClient => icmp::reply(packet, &quote, fake),
    };
    let rewrite = rewrite?.ok_or(Reason::NotOurs)?;
    icmp::apply(&rewrite, packet, &quote, frame, hop)?;
    bg_ebpf::Tables::count(fake, Reason::IcmpError);
    Ok(())
}

/// What the programs do with a frame that the kernel still routes.
pub fn run(fake: &Fake, hook: Hook, frame: &mut Frame) -> Outcome {
    play(fake, hook, Hop::Keep, frame)
}

/// What the programs do with a frame.
pub fn play(fake: &Fake, hook: Hook, hop: Hop, frame: &mut Frame) -> Outcome {
    let handled = match fast(fake, hook, hop, frame) {
        Err(Detour::Rare) => rare(fake, hook, hop, frame),
        Err(Detour::Undecided) => undecided(fake, hook, hop, frame),
        Err(Detour::Refused(reason)) => Err(reason),
        Ok(()) => Ok(()),
    };
    outcome(fake, handled, frame)
}

/// What the slow path does with a frame, whether or not the fast one would take it.
pub fn play_slowly(fake: &Fake, hook: Hook, hop: Hop, frame: &mut Frame) -> Outcome {
    let handled = rare(fake, hook, hop, frame);
    outcome(fake, handled, frame)
}

fn outcome(fake: &Fake, handled: Result<(), Reason>, frame: &mut Frame) -> Outcome {
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
