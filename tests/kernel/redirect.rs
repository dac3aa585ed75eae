//! What the tc programs do beyond rewriting: redirecting and taking the hop.

use crate::machine::{Machine, Program, TC_ACT_REDIRECT};
use bg_common::{Colour, Flow, Proto, Reason, Via, Word};
use bg_tests::cases::{self, Hook, Outcome};
use bg_tests::netns::Namespace;
use bg_tests::packet::{flag, one_hop_on, patched, tcp};
use bg_tests::world::{Family, In, PinRow, WEB, WEB_BLUE, World};

const TC_ACT_UNSPEC: i32 = -1;
/// Any interface: the test run does not send.
const IFINDEX: u32 = 1;

/// Offset of TTL and hop limit.
fn hop_limit(family: Family) -> usize {
    if family == Family::V4 { 14 + 8 } else { 14 + 7 }
}

#[test]
fn redirected_packets_lose_a_hop_and_keep_valid_checksums() {
    for via in [Via::Peer, Via::Neighbour] {
        let mut machine = Machine::new(&World::new(via, IFINDEX));
        for family in Family::BOTH {
            machine.set(Word::initial(Colour::Blue), &[]);
            let syn = |to| tcp(family.client(), to, flag::SYN, b"");
            let ran = machine.run(Program::TcIngress, &syn(family.vip(1, 80)));
            assert_eq!(ran.action, TC_ACT_REDIRECT, "{via:?} {family:?}");
            let want = one_hop_on(syn(family.backend(WEB_BLUE)));
            assert_eq!(ran.frame, want, "{via:?} {family:?}");
        }
    }
}

#[test]
fn a_packet_on_its_last_hop_goes_to_the_kernel_which_tells_its_sender() {
    let mut machine = Machine::new(&World::new(Via::Peer, IFINDEX));
    let family = Family::V6;
    for hops in [0, 1] {
        machine.set(Word::initial(Colour::Blue), &[]);
        let syn = |to| patched(tcp(family.client(), to, flag::SYN, b""), hop_limit(family), &[hops]);
        let ran = machine.run(Program::TcIngress, &syn(family.vip(1, 80)));
        assert_eq!((ran.action, ran.frame), (TC_ACT_UNSPEC, syn(family.backend(WEB_BLUE))));
        assert_eq!(machine.reasons(), [Reason::HopLimit]);
    }
}

#[test]
fn a_reply_without_a_route_to_redirect_to_is_left_to_the_kernel_as_the_backend_sent_it() {
    let mut machine = Machine::new(&World::new(Via::Peer, IFINDEX));
    for family in Family::BOTH {
        let pin = PinRow::new(In::Established, family, Proto::TCP, WEB, WEB_BLUE).state(Flow::ANSWERED);
        machine.set(Word::initial(Colour::Blue), &[pin]);
        let reply = tcp(family.backend(WEB_BLUE), family.client(), flag::ACK, b"data");
        let ran = machine.run(Program::TcZone, &reply);
        assert_eq!((ran.action, ran.frame), (TC_ACT_UNSPEC, reply));
        assert_eq!(machine.reasons(), [Reason::NoRoute]);
    }
}

#[test]
fn the_last_reply_hop_is_left_to_the_kernel_as_the_backend_sent_it() {
    let mut machine = Machine::new(&World::new(Via::Peer, IFINDEX));
    let family = Family::V6;
    let pin = PinRow::new(In::Established, family, Proto::TCP, WEB, WEB_BLUE).state(Flow::ANSWERED);
    machine.set(Word::initial(Colour::Blue), &[pin]);
    let reply =
        patched(tcp(family.backend(WEB_BLUE), family.client(), flag::ACK, b""), hop_limit(family), &[1]);
    let ran = machine.run(Program::TcZone, &reply);
    assert_eq!((ran.action, ran.frame), (TC_ACT_UNSPEC, reply));
    assert_eq!(machine.reasons(), [Reason::HopLimit]);
}

#[test]
fn what_is_larger_than_its_link_takes_goes_to_the_kernel_which_tells_its_sender() {
    const MTU: usize = 1400;
    let gateway = Namespace::new(&format!("t{}-narrow", std::process::id())).unwrap();
    gateway
        .ip(&format!(
            "link add zone0 mtu {MTU} type veth peer name far0\nlink set zone0 up\nlink set far0 up"
        ))
        .unwrap();
    gateway.run(|| {
        let ifindex = nix::net::if_::if_nametoindex("zone0").unwrap();
        for via in [Via::Peer, Via::Neighbour] {
            let mut machine = Machine::new(&World::new(via, ifindex));
            for family in Family::BOTH {
                let headers = if family == Family::V4 { 40 } else { 60 };
                for (len, fits) in [(MTU - 1, true), (MTU, true), (MTU + 1, false), (1500, false)] {
                    machine.set(Word::initial(Colour::Blue), &[]);
                    let syn = |to| tcp(family.client(), to, flag::SYN, &vec![7; len - headers]);
                    let ran = machine.run(Program::TcIngress, &syn(family.vip(1, 80)));
                    let rewritten = syn(family.backend(WEB_BLUE));
                    let (want, reasons) = if fits {
                        ((TC_ACT_REDIRECT, one_hop_on(rewritten)), vec![])
                    } else {
                        ((TC_ACT_UNSPEC, rewritten), vec![Reason::TooBig])
                    };
                    assert_eq!((ran.action, ran.frame), want, "{via:?} {family:?} {len}");
                    assert_eq!(machine.reasons(), reasons, "{via:?} {family:?} {len}");
                }
            }
        }
    });
}

#[test]
fn errors_are_redirected_to_a_slice_as_its_packets_are() {
    for via in [Via::Peer, Via::Neighbour] {
        let mut machine = Machine::new(&World::new(via, IFINDEX));
        let cases = cases::all().into_iter().filter(|case| {
            case.hook == Hook::ToSlice && case.reasons == [Reason::IcmpError] && case.earlier.is_empty()
        });
        let mut played = 0;
        for case in cases {
            let Outcome::Becomes(want) = case.outcome else { continue };
            machine.set(case.word, &case.before);
            let ran = machine.run(Program::TcIngress, &case.packet);
            assert_eq!(ran.action, TC_ACT_REDIRECT, "{via:?} {}", case.name);
            assert_eq!(ran.frame, one_hop_on(want), "{via:?} {}", case.name);
            played += 1;
        }
        assert!(played > 50, "{played}");
    }
}
