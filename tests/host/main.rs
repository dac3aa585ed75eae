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
    if let Some(outcome) = icmp(fake, hook, frame) {
        return outcome;
    }
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

fn icmp(fake: &Fake, hook: Hook, frame: &mut Frame) -> Option<Outcome> {
    use bg_ebpf::View;
    use bg_ebpf::packet::Family;
    let bytes = frame.0.clone();
    let sliced = etherparse::SlicedPacket::from_ethernet(&bytes).ok()?;
    let (family, src, dst, l4, proto, hop_limit) = match sliced.net? {
        etherparse::NetSlice::Ipv4(ip) => (
            Family::V4,
            bg_common::Addr::from_v4(ip.header().source()),
            bg_common::Addr::from_v4(ip.header().destination()),
            34,
            ip.header().protocol().0,
            ip.header().ttl(),
        ),
        etherparse::NetSlice::Ipv6(ip) => (
            Family::V6,
            bg_common::Addr::from_v6(ip.header().source()),
            bg_common::Addr::from_v6(ip.header().destination()),
            54,
            ip.header().next_header().0,
            ip.header().hop_limit(),
        ),
        _ => return None,
    };
    if !matches!(proto, 1 | 58) {
        return None;
    }
    let message = bg_ebpf::icmp::Message { family, src, dst, hop_limit, l3: 14, l4, end: frame.0.len() };
    let [kind] = frame.read::<1>(l4)?;
    if !bg_ebpf::icmp::is_error(family, kind) {
        return None;
    }
    let handled = bg_ebpf::icmp::Quote::read(frame, &message, kind).and_then(|quote| {
        let rewrite = match hook {
            Hook::ToSlice => bg_ebpf::icmp::forward(&message, &quote, fake),
            Hook::Zone => bg_ebpf::icmp::zone(&message, &quote, fake),
            Hook::ToClient => bg_ebpf::icmp::reply(&message, &quote, fake),
        }?
        .ok_or(Reason::NotOurs)?;
        bg_ebpf::Tables::count(fake, Reason::IcmpError);
        bg_ebpf::icmp::apply(&rewrite, &message, &quote, frame, Hop::Keep)
    });
    Some(match handled {
        Ok(()) => Outcome::Becomes(frame.0.clone()),
        Err(reason) => {
            bg_ebpf::Tables::count(fake, reason);
            Outcome::Untouched
        }
    })
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

mod icmp;
mod properties;
