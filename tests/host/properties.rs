//! What holds for all packets, not only for those of the cases.

use bg_common::{Colour, Fate, Reason, SliceId, Tick, Via, Word};
use bg_tests::cases::{Hook, Outcome};
use bg_tests::host::{Fake, Frame, run};
use bg_tests::packet::{self, flag};
use bg_tests::world::{DNS_BLUE, DNS_GREEN, Family, In, POOL_SIZE, WEB_BLUE, World};
use etherparse::SlicedPacket;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

fn world() -> World {
    World::new(Via::Stack, 0)
}

fn blue() -> Word {
    Word::initial(Colour::Blue)
}

fn any_client() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>()
            .prop_filter("IPv4 in disguise", |octets| !bg_common::Addr::from_v6(*octets).is_v4())
            .prop_map(IpAddr::from),
    ];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

fn family(at: &SocketAddr) -> Family {
    if at.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// Random bytes behind as much of a valid header as some of them need to be read that far.
fn with_a_beginning((kind, mut bytes): (usize, Vec<u8>)) -> Vec<u8> {
    let beginning: &[(usize, u8)] = match kind {
        0 => &[],
        1 => &[(12, 0x08), (13, 0x00), (14, 0x45), (20, 0), (21, 0), (23, 6)],
        2 => &[(12, 0x08), (13, 0x00), (14, 0x45), (16, 0), (20, 0x40), (21, 0), (23, 17)],
        3 => &[(12, 0x86), (13, 0xdd), (14, 0x60), (18, 0), (20, 6)],
        4 => &[(12, 0x08), (13, 0x00), (14, 0x45), (16, 0), (20, 0), (21, 0), (23, 1), (34, 3), (42, 0x46)],
        _ => &[(12, 0x86), (13, 0xdd), (14, 0x60), (18, 0), (20, 58), (54, 1), (62, 0x60)],
    };
    for (at, value) in beginning {
        if let Some(byte) = bytes.get_mut(*at) {
            *byte = *value;
        }
    }
    bytes
}

/// Whether the transport checksum is what etherparse computes from scratch.
fn checksum_is_right(frame: &[u8]) -> bool {
    let sliced = SlicedPacket::from_ethernet(frame).expect("a rewritten frame can be read");
    let transport = sliced.transport.expect("it has a transport header");
    match (sliced.net.expect("it has a network header"), transport) {
        (etherparse::NetSlice::Ipv4(ip), etherparse::TransportSlice::Tcp(tcp)) => {
            let header_is_right =
                ip.header().to_header().calc_header_checksum() == ip.header().header_checksum();
            let sum = tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination());
            header_is_right && sum.expect("it fits") == tcp.checksum()
        }
        (etherparse::NetSlice::Ipv6(ip), etherparse::TransportSlice::Tcp(tcp)) => {
            let (from, to) = (ip.header().source(), ip.header().destination());
            tcp.calc_checksum_ipv6(from, to).expect("it fits") == tcp.checksum()
        }
        (etherparse::NetSlice::Ipv4(ip), etherparse::TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            let sum = header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload());
            sum.expect("it fits") == udp.checksum()
        }
        (etherparse::NetSlice::Ipv6(ip), etherparse::TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            let sum = header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload());
            sum.expect("it fits") == udp.checksum()
        }
        other => panic!("{other:?} was not sent"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn every_rewritten_frame_has_the_checksums_of_one_built_from_scratch(
        client in any_client(),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        datagram in any::<bool>(),
    ) {
        let family = family(&client);
        let fake = Fake::empty(&world(), blue());
        let mut frame = Frame(if datagram {
            packet::udp(client, family.vip(1, 53), &payload)
        } else {
            packet::tcp(client, family.vip(1, 80), flag::SYN, &payload)
        });
        prop_assert!(matches!(run(&fake, Hook::ToSlice, &mut frame), Outcome::Becomes(_)));
        prop_assert!(checksum_is_right(&frame.0));
    }

    #[test]
    fn every_answer_is_the_reset_that_the_standard_asks_for(
        client in any_client(),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        flags in any::<u8>().prop_map(|flags| flags & 0x1f & !flag::RST),
        seq in any::<u32>(),
        ack in any::<u32>(),
        reply in any::<bool>(),
    ) {
        let family = family(&client);
        let (vip, backend) = (family.vip(1, 80), family.backend(WEB_BLUE));
        prop_assume!(client.ip() != backend.ip());
        let word = blue().switched(Colour::Green, Fate::Reset, None).unwrap();
        let fake = Fake::empty(&world(), blue());
        run(&fake, Hook::ToSlice, &mut Frame(packet::tcp(client, vip, flag::SYN, b"")));
        fake.word.set(word);
        let (hook, from, to) = if reply { (Hook::ToClient, backend, client) } else { (Hook::ToSlice, client, vip) };
        let l4 = 14 + if client.is_ipv4() { 20 } else { 40 };
        let segment = packet::tcp(from, to, flags, &payload);
        let segment = packet::patched(segment, l4 + 4, &[seq.to_be_bytes(), ack.to_be_bytes()].concat());
        let outcome = run(&fake, hook, &mut Frame(segment));
        if flags & (flag::SYN | flag::FIN | flag::ACK) == flag::SYN {
            // It asks for a connection, and a client gets one of the live colour.
            prop_assert!(matches!(outcome, Outcome::Becomes(_)));
            return Ok(());
        }
        let Outcome::Answered(frame) = outcome else { panic!("{outcome:?} is no answer") };
        prop_assert!(checksum_is_right(&frame));
        let answer = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(etherparse::TransportSlice::Tcp(tcp)) = answer.transport else { panic!("no TCP") };
        prop_assert_eq!((tcp.source_port(), tcp.destination_port()), (to.port(), from.port()));
        prop_assert!(tcp.rst() && !tcp.syn() && !tcp.fin() && tcp.payload().is_empty());
        let numbers = (tcp.sequence_number(), tcp.ack(), tcp.acknowledgment_number());
        if flags & flag::ACK != 0 {
            prop_assert_eq!(numbers, (ack, false, 0));
        } else {
            let taken = payload.len() + (flags & (flag::SYN | flag::FIN)).count_ones() as usize;
            prop_assert_eq!(numbers, (0, true, seq.wrapping_add(taken as u32)));
        }
        prop_assert_eq!(frame.len(), l4 + 20);
    }

    #[test]
    fn a_new_flow_goes_by_what_the_word_says_at_that_moment(bits in any::<u64>(), now in any::<u32>()) {
        let (client, vip) = (Family::V4.client(), Family::V4.vip(1, 53));
        let word = Word::from_bits(bits);
        let fake = Fake::empty(&world(), word);
        fake.now.set(Tick(now));
        let holds = word.effective(Tick(now));
        let canary = bg_ebpf::hash::part(&client.ip().into(), client.port().into()) < holds.canary();
        let colour = if canary { holds.live().other() } else { holds.live() };
        let live = if colour == Colour::Blue { DNS_BLUE } else { DNS_GREEN };
        let outcome = run(&fake, Hook::ToSlice, &mut Frame(packet::udp(client, vip, b"?")));
        prop_assert_eq!(outcome, if holds.is_paused() {
            Outcome::Dropped
        } else {
            Outcome::Becomes(packet::udp(client, Family::V4.backend(live), b"?"))
        });
    }

    #[test]
    fn a_reply_undoes_what_was_done_to_the_request(
        client in any_client(),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        second in any::<bool>(),
    ) {
        let family = family(&client);
        let fake = Fake::empty(&world(), blue());
        let vip = family.vip(if second { 2 } else { 1 }, 80);
        let mut there = Frame(packet::tcp(client, vip, flag::SYN, &payload));
        run(&fake, Hook::ToSlice, &mut there);
        let mut back = Frame(packet::tcp(family.backend(0), client, flag::SYN | flag::ACK, &payload));
        prop_assert_eq!(
            run(&fake, Hook::ToClient, &mut back),
            Outcome::Becomes(packet::tcp(vip, client, flag::SYN | flag::ACK, &payload))
        );
    }

    #[test]
    fn any_bytes_are_handled_and_only_what_is_ours_is_touched(
        bytes in (0_usize..6, proptest::collection::vec(any::<u8>(), 0..128)).prop_map(with_a_beginning),
        hook in prop_oneof![Just(Hook::ToSlice), Just(Hook::Zone), Just(Hook::ToClient)],
    ) {
        let fake = Fake::empty(&world(), blue());
        let mut frame = Frame(bytes.clone());
        let outcome = run(&fake, hook, &mut frame);
        prop_assert_eq!(outcome, Outcome::Untouched);
        prop_assert_eq!(frame.0, bytes);
    }

    #[test]
    fn a_mutated_packet_changes_nothing_but_addresses_ports_and_checksums(
        client in any_client(),
        flips in proptest::collection::vec((0_usize..74, any::<u8>()), 1..4),
    ) {
        let mut bytes = packet::tcp(client, family(&client).vip(1, 80), flag::SYN, b"payload");
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let fake = Fake::empty(&world(), blue());
        let mut frame = Frame(bytes.clone());
        if let Outcome::Becomes(after) = run(&fake, Hook::ToSlice, &mut frame) {
            let l4 = if bytes[12] == 8 { 34 } else { 54 };
            let destination = if l4 == 34 { 30..34 } else { 38..54 };
            for (at, (before, after)) in bytes.iter().zip(&after).enumerate() {
                let may_change = destination.contains(&at)
                    || (l4 == 34 && (24..26).contains(&at))
                    || (l4 + 2..l4 + 4).contains(&at)
                    || (l4 + 16..l4 + 18).contains(&at);
                prop_assert!(may_change || before == after, "offset {}", at);
            }
        }
    }
}

#[test]
fn the_flows_of_many_clients_spread_evenly_over_a_pool_and_stay_put() {
    let fake = Fake::empty(&world(), blue());
    let mut counts = HashMap::new();
    for port in 1024..u16::MAX {
        let client = SocketAddr::new(Family::V4.client().ip(), port);
        let packet = packet::tcp(client, Family::V4.vip(1, 90), flag::SYN, b"");
        let Outcome::Becomes(first) = run(&fake, Hook::ToSlice, &mut Frame(packet.clone())) else {
            panic!("a SYN of {client} is not forwarded");
        };
        assert_eq!(run(&fake, Hook::ToSlice, &mut Frame(packet)), Outcome::Becomes(first.clone()));
        *counts.entry(first[30..34].to_vec()).or_insert(0_u32) += 1;
    }
    assert_eq!(counts.len() as u32, POOL_SIZE);
    let mean = f64::from(u16::MAX - 1024) / f64::from(POOL_SIZE);
    for count in counts.values() {
        assert!((f64::from(*count) - mean).abs() < 6.0 * mean.sqrt(), "{counts:?}");
    }
}

#[test]
fn a_full_flow_table_still_serves_and_says_so() {
    let fake = Fake::empty(&world(), blue());
    fake.room.set(0);
    let (client, vip, backend) = (Family::V4.client(), Family::V4.vip(1, 80), Family::V4.backend(0));
    let exchange = [
        (Hook::ToSlice, packet::tcp(client, vip, flag::SYN, b"")),
        (Hook::ToClient, packet::tcp(backend, client, flag::SYN | flag::ACK, b"")),
        (Hook::ToSlice, packet::tcp(client, vip, flag::ACK, b"")),
        (Hook::ToClient, packet::tcp(backend, client, flag::ACK, b"data")),
    ];
    for (hook, packet) in exchange {
        assert!(matches!(run(&fake, hook, &mut Frame(packet)), Outcome::Becomes(_)));
    }
    assert_eq!(fake.reasons(), [Reason::FlowsFull]);
    let pins = fake.pins();
    assert_eq!(pins.len(), 1);
    assert_eq!(pins[0].table, In::HalfOpen);
    assert_ne!(pins[0].state & bg_common::Flow::CONFIRMED, 0, "it would be forgotten after a minute");
}

#[test]
fn a_slice_is_credited_with_what_it_carries() {
    let fake = Fake::empty(&world(), blue());
    let (client, vip, backend) = (Family::V4.client(), Family::V4.vip(1, 80), Family::V4.backend(0));
    let there = packet::tcp(client, vip, flag::SYN, b"");
    let back = packet::tcp(backend, client, flag::SYN | flag::ACK, b"");
    let refusal = packet::tcp(backend, client, flag::RST, b"");
    let (in_len, out_len) = (there.len() as u64, (back.len() + refusal.len()) as u64);
    for (hook, packet) in [(Hook::ToSlice, there), (Hook::ToClient, back), (Hook::ToClient, refusal)] {
        run(&fake, hook, &mut Frame(packet));
    }
    let traffic = fake.traffic_of(SliceId::new(0, Colour::Blue));
    assert_eq!((traffic.packets_in, traffic.bytes_in), (1, in_len));
    assert_eq!((traffic.packets_out, traffic.bytes_out), (2, out_len));
    assert_eq!((traffic.flows, traffic.handshakes, traffic.answered, traffic.resets), (1, 1, 1, 1));
    assert_eq!(fake.traffic_of(SliceId::new(0, Colour::Green)), bg_common::Traffic::default());
}

#[test]
fn a_slice_is_credited_with_its_new_flows_and_with_what_became_of_them() {
    let fake = Fake::empty(&world(), blue());
    let (client, vip) = (Family::V4.client(), Family::V4.vip(1, 80));
    let at = |port| SocketAddr::new(client.ip(), port);
    let blue_slice = || fake.traffic_of(SliceId::new(0, Colour::Blue));
    let green_slice = || fake.traffic_of(SliceId::new(0, Colour::Green));
    let send = |hook, packet| run(&fake, hook, &mut Frame(packet));
    let later = || fake.now.set(Tick(fake.now.get().0 + 100));
    let ns = || u64::from(fake.now.get().0) * Tick::NANOS;
    let answer = |flags| packet::tcp(Family::V4.backend(0), at(1), flags, b"");

    // A connection that is answered, one that is refused, and one of nobody knows when.
    let first = ns();
    send(Hook::ToSlice, packet::tcp(at(1), vip, flag::SYN, b""));
    send(Hook::ToClient, answer(flag::SYN | flag::ACK));
    send(Hook::ToClient, answer(flag::RST));
    later();
    send(Hook::ToSlice, packet::tcp(at(2), vip, flag::SYN, b""));
    let refusal = packet::tcp(Family::V4.backend(0), at(2), flag::RST | flag::ACK, b"");
    send(Hook::ToClient, refusal.clone());
    send(Hook::ToClient, refusal);
    let last = ns();
    later();
    send(Hook::ToSlice, packet::tcp(at(3), vip, flag::ACK, b""));
    send(Hook::ToClient, packet::tcp(Family::V4.backend(0), at(3), flag::RST, b""));
    let traffic = blue_slice();
    assert_eq!((traffic.flows, traffic.handshakes), (3, 2));
    assert_eq!((traffic.answered, traffic.handshakes_answered, traffic.refused), (1, 1, 1));
    assert_eq!((traffic.first_new_ns, traffic.first_new_generation, traffic.last_new_ns), (first, 0, last));

    // A datagram is a new flow, too; a switch begins a new count for whom it makes live.
    later();
    fake.word.set(blue().switched(Colour::Green, Fate::Keep, None).unwrap());
    let first = ns();
    send(Hook::ToSlice, packet::udp(at(4), Family::V4.vip(1, 53), b"?"));
    later();
    send(Hook::ToSlice, packet::tcp(at(4), vip, flag::SYN, b""));
    let traffic = green_slice();
    assert_eq!((traffic.flows, traffic.handshakes), (2, 1));
    assert_eq!((traffic.first_new_ns, traffic.first_new_generation, traffic.last_new_ns), (first, 1, ns()));
    assert_eq!(blue_slice().last_new_ns, last, "no new flow has come to blue since the switch");
}

#[test]
fn a_pin_that_another_cpu_is_just_moving_is_found() {
    let fake = Fake::empty(&world(), blue());
    let (client, vip, backend) = (Family::V4.client(), Family::V4.vip(1, 80), Family::V4.backend(0));
    run(&fake, Hook::ToSlice, &mut Frame(packet::tcp(client, vip, flag::SYN, b"")));
    run(&fake, Hook::ToClient, &mut Frame(packet::tcp(backend, client, flag::SYN | flag::ACK, b"")));
    fake.promotes.set(true);
    let reply = packet::tcp(backend, client, flag::ACK, b"data");
    let want = packet::tcp(vip, client, flag::ACK, b"data");
    assert_eq!(run(&fake, Hook::ToClient, &mut Frame(reply)), Outcome::Becomes(want));
    assert!(!fake.promotes.get(), "nothing was moved");
}
