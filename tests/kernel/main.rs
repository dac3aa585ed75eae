//! The programs in this kernel, run on single packets by BPF_PROG_TEST_RUN, and the contract between
//! the built object, the tables and user space. Needs root; touches nothing that is pinned or attached.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it must be"
)]

mod contract;
mod fates;
mod fuzz;
mod headers;
mod instance;
mod local;
mod machine;
mod pins;
mod redirect;

use bg_common::{Colour, Fate, Via, Word};
use bg_tests::cases::{self, Case, Hook, Outcome};
use bg_tests::netns::Namespace;
use bg_tests::packet::{difference, one_hop_on};
use bg_tests::world::World;
use machine::{Machine, Program, TC_ACT_REDIRECT, XDP_TX};

fn check(machine: &mut Machine, program: Program, case: &Case) -> Result<(), String> {
    machine.set(case.word, &case.before);
    for earlier in &case.earlier {
        machine.run(program, earlier);
    }
    let ran = machine.run(program, &case.packet);
    let mut wrong = String::new();
    match (&case.outcome, &ran.outcome) {
        (Outcome::Becomes(want), Outcome::Becomes(got)) => {
            let want = if ran.action == TC_ACT_REDIRECT { one_hop_on(want.clone()) } else { want.clone() };
            wrong += &difference(&want, got);
        }
        (Outcome::Answered(want), Outcome::Becomes(got)) => {
            let sent = if program == Program::Xdp { XDP_TX } else { TC_ACT_REDIRECT };
            if ran.action != sent {
                wrong += &format!("action {} instead of {sent}\n", ran.action);
            }
            wrong += &difference(want, got);
        }
        (want, got) if want != got => wrong += &format!("{got:?} instead of {want:?}\n"),
        _ => {}
    }
    let reasons = machine.reasons();
    if reasons != case.reasons {
        wrong += &format!("reasons {reasons:?} instead of {:?}\n", case.reasons);
    }
    wrong += &bg_tests::engine::pins_differ(&case.after, &machine.pins());
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} ({program:?})\n{wrong}", case.name)) }
}

/// A network in which the client of the cases is a neighbour, so that replies can be redirected.
fn gateway() -> Namespace {
    let gateway = Namespace::new(&format!("t{}-cases", std::process::id())).unwrap();
    gateway.ip("link add up0 type veth peer name far0\nlink set up0 up\nlink set far0 up").unwrap();
    gateway.ip("addr add 10.9.0.1/24 dev up0\naddr add fd00:9::1/64 dev up0 nodad").unwrap();
    gateway.sysctl("net/ipv4/ip_forward", "1").unwrap();
    gateway.sysctl("net/ipv6/conf/all/forwarding", "1").unwrap();
    gateway
}

fn check_all(program: Program, hook: Hook) {
    // An answer to a backend is sent out of the interface that leads to it: any, since a test run does not send.
    check_in(&World::new(Via::Stack, 1), program, hook);
    check_in(&World::of_ports(Via::Stack, 1), program, hook);
}

fn check_in(world: &World, program: Program, hook: Hook) {
    let mut machine = Machine::new(world);
    let (cases, refused): (Vec<Case>, Vec<Case>) = cases::all()
        .into_iter()
        .filter(|case| case.hook == hook && (world.settings.whole_addresses() || !case.whole))
        .partition(|case| Machine::can_run(program, &case.packet));
    assert!(!cases.is_empty());
    if !refused.is_empty() {
        bg_tests::say(&format!(
            "SKIP {} of {} frames through {program:?}: the kernel makes no test run of a frame that ends inside its \
             network header",
            refused.len(),
            refused.len() + cases.len()
        ));
    }
    let failures: Vec<String> =
        cases.iter().filter_map(|case| check(&mut machine, program, case).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[test]
fn every_packet_case_holds_on_the_xdp_program() {
    check_all(Program::Xdp, Hook::ToSlice);
}

#[test]
fn every_packet_case_holds_on_the_tc_ingress_program() {
    check_all(Program::TcIngress, Hook::ToSlice);
}

#[test]
fn every_packet_case_holds_on_the_tc_zone_program() {
    gateway().run(|| check_all(Program::TcZone, Hook::Zone));
}

#[test]
fn every_packet_case_holds_on_the_tc_egress_program() {
    check_all(Program::TcEgress, Hook::ToClient);
}

#[test]
fn a_switch_is_seen_by_the_very_next_packet() {
    use bg_tests::packet::{flag, tcp};
    use bg_tests::world::{Family, WEB_BLUE, WEB_GREEN};
    let mut machine = Machine::new(&World::new(Via::Stack, 0));
    let mut word = Word::initial(Colour::Blue);
    for port in 0..1000_u16 {
        machine.set_word(word);
        let client = std::net::SocketAddr::new(Family::V4.client().ip(), 20_000 + port);
        let ran = machine.run(Program::Xdp, &tcp(client, Family::V4.vip(1, 80), flag::SYN, b""));
        let live = if word.live() == Colour::Blue { WEB_BLUE } else { WEB_GREEN };
        let want = Outcome::Becomes(tcp(client, Family::V4.backend(live), flag::SYN, b""));
        assert_eq!(ran.outcome, want, "flow {port}");
        word = word.switched(word.live().other(), Fate::Keep, None).expect("a valid word can be switched");
    }
}
