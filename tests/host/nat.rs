//! Clients whose address is replaced, on the way to the backend and back.

use bg_common::nat::{FIRST_PORT, TRIES, port};
use bg_common::{Colour, Flow, FlowKey, NatKey, Proto, Reason, Source, Via, Word};
use bg_ebpf::{Detour, Hop, forward, forward_rare, nat, parse, reply};
use bg_tests::host::{Fake, Frame};
use bg_tests::packet::{flag, tcp, udp};
use bg_tests::world::{Family, WEB, WEB_BLUE, World};
use std::net::{IpAddr, SocketAddr};

/// A gateway whose address stands for neighbours of blue's web server.
fn fake(family: Family, prefix: u8) -> Fake {
    let mut fake = Fake::empty(&World::new(Via::Stack, 0), Word::initial(Colour::Blue));
    fake.set_source(WEB_BLUE + family.offset(), Source::new(gateway(family).into(), prefix));
    fake
}

/// The first address of the backend's network.
fn gateway(family: Family) -> IpAddr {
    match family.backend(WEB_BLUE).ip() {
        IpAddr::V4(ip) => IpAddr::from([ip.octets()[0], ip.octets()[1], ip.octets()[2], 1]),
        IpAddr::V6(ip) => (ip.to_bits() & !0xffff | 1).to_be_bytes().into(),
    }
}

fn bits(family: Family) -> u8 {
    if family == Family::V4 { 24 } else { 64 }
}

/// A client beside the backend.
fn neighbour(family: Family) -> SocketAddr {
    let IpAddr::V4(ip) = gateway(family) else {
        let IpAddr::V6(ip) = gateway(family) else { unreachable!() };
        return SocketAddr::new((ip.to_bits() + 8).to_be_bytes().into(), 40_000);
    };
    SocketAddr::new((ip.to_bits() + 8).to_be_bytes().into(), 40_000)
}

/// The frame as it leaves the uplink's program, and then the link to the backend.
fn to_backend(fake: &Fake, frame: Vec<u8>) -> Result<Vec<u8>, Detour> {
    let mut frame = Frame(frame);
    let packet = parse(&frame)?;
    let rewrite = match forward(&packet, fake) {
        Err(Detour::Undecided) => forward_rare(&packet.for_slow_path(), fake)?,
        decided => decided?,
    };
    rewrite.ok_or(Reason::NotOurs)?.apply(&packet, &mut frame, Hop::Keep)?;
    let packet = parse(&frame)?;
    if let Some(rewrite) = nat::hide(&packet, fake)? {
        rewrite.apply(&packet, &mut frame, Hop::Keep)?;
    }
    Ok(frame.0)
}

/// The frame as it reaches the client.
fn to_client(fake: &Fake, frame: Vec<u8>) -> Result<Vec<u8>, Detour> {
    let mut frame = Frame(frame);
    let packet = parse(&frame)?;
    let (packet, rewrite) = match nat::reveal(&packet, fake) {
        Some((packet, rewrite)) => (packet, Some(rewrite)),
        None => (packet, None),
    };
    if let Some(rewrite) = rewrite {
        rewrite.apply(&parse(&frame)?, &mut frame, Hop::Keep)?;
    }
    reply(&packet, fake)?.ok_or(Reason::NotOurs)?.apply(&packet, &mut frame, Hop::Keep)?;
    Ok(frame.0)
}

/// The port that a flow to blue's web server is to get first.
fn first_port(client: SocketAddr, nth: u16) -> u16 {
    let key = FlowKey::new(client.ip().into(), client.port().into(), Proto::TCP, WEB);
    port(&key, nth).get()
}

#[test]
fn a_neighbour_and_the_backend_itself_meet_the_gateway() {
    for family in Family::BOTH {
        let backend = family.backend(WEB_BLUE);
        for client in [neighbour(family), SocketAddr::new(backend.ip(), 40_000)] {
            let fake = fake(family, bits(family));
            let vip = family.vip(1, 80);
            let stand_in = SocketAddr::new(gateway(family), first_port(client, 0));
            assert!(stand_in.port() >= FIRST_PORT);
            for flags in [flag::SYN, flag::ACK] {
                let sent = to_backend(&fake, tcp(client, vip, flags, b"data"));
                assert_eq!(sent, Ok(tcp(stand_in, backend, flags, b"data")), "{client}");
                let got = to_client(&fake, tcp(backend, stand_in, flag::SYN | flag::ACK, b"answer"));
                assert_eq!(got, Ok(tcp(vip, client, flag::SYN | flag::ACK, b"answer")), "{client}");
            }
            assert_eq!(fake.hidden.borrow().len(), 1, "a flow has one port");
        }
    }
}

#[test]
fn clients_from_elsewhere_keep_their_address_unless_all_lose_it() {
    for family in Family::BOTH {
        let (client, vip, backend) = (family.client(), family.vip(1, 80), family.backend(WEB_BLUE));
        let syn = || tcp(client, vip, flag::SYN, b"");
        assert_eq!(to_backend(&fake(family, bits(family)), syn()), Ok(tcp(client, backend, flag::SYN, b"")));
        let stand_in = SocketAddr::new(gateway(family), first_port(client, 0));
        assert_eq!(to_backend(&fake(family, 0), syn()), Ok(tcp(stand_in, backend, flag::SYN, b"")));
    }
}

#[test]
fn a_direct_conversation_stays_as_it_is() {
    let family = Family::V4;
    let fake = fake(family, 0);
    for client in [neighbour(family), SocketAddr::new(gateway(family), 61_234)] {
        let frame = Frame(tcp(client, family.backend(WEB_BLUE), flag::SYN, b""));
        assert_eq!(nat::hide(&parse(&frame).expect("it is whole"), &fake), Ok(None), "{client}");
        let back = Frame(tcp(family.backend(WEB_BLUE), client, flag::ACK, b""));
        assert!(nat::reveal(&parse(&back).expect("it is whole"), &fake).is_none(), "{client}");
    }
    let other = Frame(udp(family.client(), neighbour(family), b""));
    assert_eq!(nat::hide(&parse(&other).expect("it is whole"), &fake), Ok(None));
}

#[test]
fn a_taken_port_is_left_to_its_flow_and_when_all_are_taken_it_is_told() {
    let family = Family::V4;
    let fake = fake(family, bits(family));
    let client = neighbour(family);
    let stranger = FlowKey::new(family.client().ip().into(), 1.into(), Proto::TCP, WEB);
    let at = |nth| NatKey::new(WEB_BLUE, first_port(client, nth).into(), Proto::TCP);
    for nth in 0..TRIES {
        let syn = tcp(client, family.vip(1, 80), flag::SYN, b"");
        let stand_in = SocketAddr::new(gateway(family), first_port(client, nth));
        assert_eq!(
            to_backend(&fake, syn),
            Ok(tcp(stand_in, family.backend(WEB_BLUE), flag::SYN, b"")),
            "{nth}"
        );
        fake.hidden.borrow_mut().insert(at(nth), stranger);
    }
    let syn = tcp(client, family.vip(1, 80), flag::SYN, b"");
    assert_eq!(to_backend(&fake, syn), Err(Detour::Refused(Reason::NatFull)));
    // A flow finds its port behind one that has become free meanwhile.
    let own = FlowKey::new(client.ip().into(), client.port().into(), Proto::TCP, WEB);
    fake.hidden.borrow_mut().insert(at(5), own);
    fake.hidden.borrow_mut().remove(&at(2));
    let syn = tcp(client, family.vip(1, 80), flag::ACK, b"");
    let stand_in = SocketAddr::new(gateway(family), first_port(client, 5));
    assert_eq!(to_backend(&fake, syn), Ok(tcp(stand_in, family.backend(WEB_BLUE), flag::ACK, b"")));
}

#[test]
fn a_flow_that_is_pinned_elsewhere_gets_no_port() {
    use bg_tests::world::{In, PinRow, WEB_GREEN};
    let family = Family::V4;
    let world = World::new(Via::Stack, 0);
    let pin = PinRow::new(In::Established, family, Proto::TCP, WEB, WEB_GREEN).state(Flow::ANSWERED);
    let case = bg_tests::cases::all().into_iter().next().expect("there are cases");
    let case = bg_tests::cases::Case { before: vec![pin], ..case };
    let mut fake = Fake::new(&world, case.word, &case.before);
    fake.set_source(WEB_BLUE, Source::new(gateway(family).into(), 0));
    let frame = Frame(tcp(family.client(), family.backend(WEB_BLUE), flag::ACK, b""));
    assert_eq!(nat::hide(&parse(&frame).expect("it is whole"), &fake), Ok(None));
}
