//! THE TABLE: what the product promises about single packets. The same rows run against the host
//! library, the XDP program and the tc programs.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a wrong fixture shall end the test that uses it"
)]

mod choosing;
mod fates;
mod fragments;
mod headers;
mod icmp;
mod pauses;
mod whole;

use crate::packet::{self, flag, patched};
use crate::world::{
    DNS, DNS_BLUE, DNS_GREEN, Family, In, POOL, POOL_GREEN, PinRow, WEB, WEB_BLUE, WEB_GREEN,
};
use bg_common::{Colour, Fate, Flow, FlowKey, Proto, Reason, Word};
use std::net::SocketAddr;

/// Which program a packet meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Ingress of an uplink.
    ToSlice,
    /// Ingress of a zone link, when replies are redirected.
    Zone,
    /// Egress, when replies go by the stack.
    ToClient,
}

/// What becomes of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It goes on, untouched.
    Untouched,
    /// It goes on as this.
    Becomes(Vec<u8>),
    /// It is dropped.
    Dropped,
    /// It goes no further; this goes back.
    Answered(Vec<u8>),
}

/// One row.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows, as a sentence.
    pub name: String,
    /// The program.
    pub hook: Hook,
    /// The deployment's word.
    pub word: Word,
    /// Pins before.
    pub before: Vec<PinRow>,
    /// The packet.
    pub packet: Vec<u8>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The reasons that count it.
    pub reasons: Vec<Reason>,
    /// Pins after; all of them.
    pub after: Vec<PinRow>,
    /// Packets that the program has met before this one. Their reasons and pins count.
    pub earlier: Vec<Vec<u8>>,
    /// Whether a frontend has a whole address. Without one the outcome is the same, unless this is said.
    pub whole: bool,
}

impl Case {
    fn new(name: impl Into<String>, hook: Hook, packet: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            hook,
            word: Word::initial(Colour::Blue),
            before: Vec::new(),
            packet,
            outcome: Outcome::Untouched,
            reasons: Vec::new(),
            after: Vec::new(),
            earlier: Vec::new(),
            whole: false,
        }
    }

    fn word(self, word: Word) -> Self {
        Self { word, ..self }
    }

    fn before(self, pins: impl Into<Vec<PinRow>>) -> Self {
        Self { before: pins.into(), ..self }
    }

    fn becomes(self, packet: Vec<u8>) -> Self {
        Self { outcome: Outcome::Becomes(packet), ..self }
    }

    fn dropped(self, reason: Reason) -> Self {
        Self { outcome: Outcome::Dropped, reasons: vec![reason], ..self }
    }

    fn answered(self, reason: Reason, packet: Vec<u8>) -> Self {
        Self { outcome: Outcome::Answered(packet), reasons: vec![reason], ..self }
    }

    fn earlier(self, packets: impl Into<Vec<Vec<u8>>>) -> Self {
        Self { earlier: packets.into(), ..self }
    }

    fn because(self, reason: Reason) -> Self {
        Self { reasons: vec![reason], ..self }
    }

    fn after(self, pins: impl Into<Vec<PinRow>>) -> Self {
        Self { after: pins.into(), ..self }
    }
}

/// Green is live and blue drains.
fn green_draining() -> Word {
    Word::initial(Colour::Blue)
        .switched(Colour::Green, Fate::Keep, None)
        .expect("an initial word can be switched")
}

/// Green is live and nothing drains.
fn green() -> Word {
    green_draining().drained().expect("a draining word can be settled")
}

/// Age of pins before most cases, in seconds: those that a packet touches are young afterwards.
const AGE: u32 = 20;

/// Every row.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for mut case in [
            new_flows(family),
            pinned(family),
            half_open(family),
            replies(family),
            udp(family),
            not_ours(family),
            choosing::previews(family),
            choosing::canaries(family),
            choosing::forsaken(family),
            choosing::swift(family),
            fates::fates(family),
            fates::down(family),
            fates::refusals(family),
            pauses::pauses(family),
            pauses::deadlines(family),
            icmp::to_slice(family),
            icmp::to_client(family),
            icmp::whole(family),
            headers::headers(family),
            fragments::fragments(family),
            whole::whole(family),
        ]
        .concat()
        {
            case.name = format!("{family:?}: {}", case.name);
            cases.push(case);
        }
    }
    cases.extend(malformed());
    cases.extend(truncated());
    cases
}

/// The key of another client's flow to [`WEB`].
fn key_of(client: SocketAddr) -> FlowKey {
    FlowKey::new(client.ip().into(), client.port().into(), Proto::TCP, WEB)
}

fn web_pin(family: Family, table: In, backend: u32) -> PinRow {
    PinRow::new(table, family, Proto::TCP, WEB, backend)
}

/// The pin that a SYN makes.
fn begun(family: Family, backend: u32) -> PinRow {
    web_pin(family, In::HalfOpen, backend).state(Flow::HANDSHAKE).begun(0)
}

fn dns_pin(family: Family, table: In, backend: u32) -> PinRow {
    PinRow::new(table, family, Proto::UDP, DNS, backend)
}

fn new_flows(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let (blue, green_at) = (family.backend(WEB_BLUE), family.backend(WEB_GREEN));
    let to = |at, flags| packet::tcp(client, at, flags, b"");
    let case = |name, flags| Case::new(name, Hook::ToSlice, to(vip, flags));
    let half = |backend| [web_pin(family, In::HalfOpen, backend)];
    let opened = |backend| [begun(family, backend)];
    vec![
        case("a SYN goes to the live colour and makes a half-open pin", flag::SYN)
            .becomes(to(blue, flag::SYN))
            .after(opened(WEB_BLUE)),
        case("a SYN after a switch goes to the new colour", flag::SYN)
            .word(green_draining())
            .becomes(to(green_at, flag::SYN))
            .after(opened(WEB_GREEN)),
        case("a SYN after a drain goes to the new colour", flag::SYN)
            .word(green())
            .becomes(to(green_at, flag::SYN))
            .after(opened(WEB_GREEN)),
        case("TCP of no known flow goes to the live colour", flag::ACK)
            .because(Reason::Midstream)
            .becomes(to(blue, flag::ACK))
            .after(half(WEB_BLUE)),
        case("TCP of no known flow goes to the old colour during a drain", flag::ACK)
            .word(green_draining())
            .because(Reason::MidstreamDrain)
            .becomes(to(blue, flag::ACK))
            .after(half(WEB_BLUE)),
        case("a SYN-ACK from a client opens nothing", flag::SYN | flag::ACK)
            .word(green_draining())
            .because(Reason::MidstreamDrain)
            .becomes(to(blue, flag::SYN | flag::ACK))
            .after(half(WEB_BLUE)),
        case("a RST of no known flow goes on but makes no pin", flag::RST)
            .because(Reason::Midstream)
            .becomes(to(blue, flag::RST)),
        Case::new(
            "the second VIP leads to the same service",
            Hook::ToSlice,
            to(family.vip(2, 80), flag::SYN),
        )
        .becomes(to(blue, flag::SYN))
        .after([begun(family, WEB_BLUE).second_vip()]),
        Case::new("a service without backends drops", Hook::ToSlice, to(family.vip(1, 81), flag::SYN))
            .dropped(Reason::NoBackend),
        Case::new(
            "a pool of one in the new colour takes every flow",
            Hook::ToSlice,
            to(family.vip(1, 90), flag::SYN),
        )
        .word(green())
        .becomes(to(family.backend(POOL_GREEN), flag::SYN))
        .after([PinRow::new(In::HalfOpen, family, Proto::TCP, POOL, POOL_GREEN).state(Flow::HANDSHAKE)]),
        Case::new(
            "a slice that is a client of the VIP is served like any other",
            Hook::Zone,
            to(vip, flag::SYN),
        )
        .becomes(to(blue, flag::SYN))
        .after(opened(WEB_BLUE)),
    ]
}

fn pinned(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let to = |at, flags| packet::tcp(client, at, flags, b"GET / HTTP/1.1\r\n\r\n");
    let (blue, green_at) = (family.backend(WEB_BLUE), family.backend(WEB_GREEN));
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED).begun(80);
    let aged = pin.age(AGE);
    let case =
        |name, flags| Case::new(name, Hook::ToSlice, to(vip, flags)).before([aged]).word(green_draining());
    vec![
        case("an established flow stays on its colour after a switch", flag::ACK | flag::PSH)
            .becomes(to(blue, flag::ACK | flag::PSH))
            .after([pin]),
        case("it stays after the drain is declared over, too", flag::ACK)
            .word(green())
            .becomes(to(blue, flag::ACK))
            .after([pin]),
        case("a FIN of the client is noted", flag::FIN | flag::ACK)
            .becomes(to(blue, flag::FIN | flag::ACK))
            .after([pin.state(Flow::ANSWERED | Flow::CLIENT_FIN)]),
        case("a RST of the client is noted", flag::RST)
            .becomes(to(blue, flag::RST))
            .after([pin.state(Flow::ANSWERED | Flow::RESET)]),
        case("a packet after a RST takes the RST back", flag::ACK)
            .before([aged.state(Flow::ANSWERED | Flow::RESET)])
            .becomes(to(blue, flag::ACK))
            .after([pin]),
        case("a reused port is a new connection and goes to the new colour", flag::SYN)
            .becomes(to(green_at, flag::SYN))
            .after([begun(family, WEB_GREEN)]),
        case("a reused port on the same backend begins anew, too", flag::SYN)
            .word(Word::initial(Colour::Blue))
            .before([aged.state(Flow::ANSWERED | Flow::CLIENT_FIN | Flow::BACKEND_FIN)])
            .becomes(to(blue, flag::SYN))
            .after([begun(family, WEB_BLUE)]),
        Case::new(
            "one port on two VIPs: the first one keeps it",
            Hook::ToSlice,
            to(family.vip(2, 80), flag::SYN),
        )
        .before([aged])
        .word(green_draining())
        .because(Reason::SharedPort)
        .becomes(to(blue, flag::SYN))
        .after([aged]),
        Case::new(
            "one port on two VIPs, one after the other",
            Hook::ToSlice,
            to(family.vip(2, 80), flag::SYN),
        )
        .before([aged.state(Flow::ANSWERED | Flow::CLIENT_FIN | Flow::BACKEND_FIN)])
        .word(green_draining())
        .becomes(to(green_at, flag::SYN))
        .after([begun(family, WEB_GREEN).second_vip()]),
        case("a pin that names no backend drops", flag::ACK)
            .before([PinRow { backend: 99, ..aged }])
            .dropped(Reason::BrokenTable)
            .after([PinRow { backend: 99, ..aged }]),
    ]
}

fn half_open(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let to = |at, flags| packet::tcp(client, at, flags, b"");
    let (blue, green_at) = (family.backend(WEB_BLUE), family.backend(WEB_GREEN));
    let pin = web_pin(family, In::HalfOpen, WEB_BLUE).age(AGE);
    let answered = pin.state(Flow::ANSWERED);
    let full = pin.state(Flow::ANSWERED | Flow::CONFIRMED);
    let case =
        |name, flags| Case::new(name, Hook::ToSlice, to(vip, flags)).before([pin]).word(green_draining());
    vec![
        case("a repeated SYN stays where the first one went", flag::SYN)
            .becomes(to(blue, flag::SYN))
            .after([pin]),
        case("a repeated SYN stays when its answer was lost", flag::SYN)
            .before([answered])
            .becomes(to(blue, flag::SYN))
            .after([answered]),
        case("a SYN a minute later is decided anew", flag::SYN)
            .before([pin.age(61)])
            .becomes(to(green_at, flag::SYN))
            .after([begun(family, WEB_GREEN)]),
        case("a SYN of a minute ago still counts", flag::SYN)
            .before([pin.age(55)])
            .becomes(to(blue, flag::SYN))
            .after([pin.age(55)]),
        case("a SYN after a refusal is decided anew", flag::SYN)
            .before([pin.state(Flow::RESET)])
            .becomes(to(green_at, flag::SYN))
            .after([begun(family, WEB_GREEN)]),
        case("a SYN to the other VIP does not take the port from a flow that begins", flag::SYN)
            .before([pin.second_vip()])
            .because(Reason::SharedPort)
            .becomes(to(blue, flag::SYN))
            .after([pin.second_vip()]),
        case("a RST does not renew a pin that counts no more", flag::RST)
            .before([pin.age(61)])
            .because(Reason::MidstreamDrain)
            .becomes(to(blue, flag::RST))
            .after([pin.age(61)]),
        case("a flow that found no room is established all the same, and moves when there is", flag::ACK)
            .before([full.age(90)])
            .becomes(to(blue, flag::ACK))
            .after([web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED)]),
        case("a reused port begins anew there, too", flag::SYN)
            .before([full])
            .becomes(to(green_at, flag::SYN))
            .after([begun(family, WEB_GREEN)]),
        case(
            "the client's answer to the backend's establishes the flow, which is as old as it was",
            flag::ACK,
        )
        .before([answered.state(Flow::HANDSHAKE | Flow::ANSWERED).begun(80)])
        .becomes(to(blue, flag::ACK))
        .after([web_pin(family, In::Established, WEB_BLUE)
            .state(Flow::HANDSHAKE | Flow::ANSWERED)
            .begun(80)]),
        case("an answer with data and FIN establishes it, half closed", flag::ACK | flag::FIN)
            .before([answered])
            .becomes(to(blue, flag::ACK | flag::FIN))
            .after([web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED | Flow::CLIENT_FIN)]),
        case("a RST in answer establishes nothing", flag::RST)
            .before([answered])
            .becomes(to(blue, flag::RST))
            .after([answered.state(Flow::ANSWERED | Flow::RESET).age(0)]),
        case("an ACK that no backend asked for establishes nothing", flag::ACK)
            .becomes(to(blue, flag::ACK))
            .after([pin]),
    ]
}

fn replies(family: Family) -> Vec<Case> {
    let (client, vip, blue) = (family.client(), family.vip(1, 80), family.backend(WEB_BLUE));
    let from = |at, flags| packet::tcp(at, client, flags, b"");
    let half = web_pin(family, In::HalfOpen, WEB_BLUE);
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED);
    let mut rows = Vec::new();
    for hook in [Hook::Zone, Hook::ToClient] {
        let case = |name: &str, flags| {
            Case::new(format!("{name} ({hook:?})"), hook, from(blue, flags))
                .before([pin])
                .word(green_draining())
        };
        rows.extend([
            case("a reply leaves with the VIP as its source", flag::ACK)
                .becomes(from(vip, flag::ACK))
                .after([pin]),
            case("a reply leaves with the VIP that the client used", flag::ACK)
                .before([pin.second_vip().age(AGE)])
                .becomes(from(family.vip(2, 80), flag::ACK))
                .after([pin.second_vip()]),
            case("the first answer is noted", flag::SYN | flag::ACK)
                .before([half.age(AGE)])
                .becomes(from(vip, flag::SYN | flag::ACK))
                .after([half.state(Flow::ANSWERED)]),
            case("a refusal is no answer", flag::RST | flag::ACK)
                .before([half])
                .becomes(from(vip, flag::RST | flag::ACK))
                .after([half.state(Flow::RESET)]),
            case("a FIN of the backend is noted", flag::FIN | flag::ACK)
                .becomes(from(vip, flag::FIN | flag::ACK))
                .after([pin.state(Flow::ANSWERED | Flow::BACKEND_FIN)]),
            case("a direct conversation with a backend is left alone", flag::ACK)
                .before([])
                .because(Reason::DirectReply),
            case("a late reply of the backend that the flow has left does not become the VIP's", flag::ACK)
                .before([web_pin(family, In::Established, WEB_GREEN).age(AGE)])
                .because(Reason::StaleReply)
                .after([web_pin(family, In::Established, WEB_GREEN).age(AGE)]),
        ]);
    }
    rows
}

fn udp(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 53));
    let (blue, green_at) = (family.backend(DNS_BLUE), family.backend(DNS_GREEN));
    let to = |at| packet::udp(client, at, b"question");
    let from = |at| packet::udp(at, client, b"answer");
    let half = dns_pin(family, In::HalfOpen, DNS_BLUE);
    let pin = dns_pin(family, In::Established, DNS_BLUE).state(Flow::ANSWERED);
    let case = |name| Case::new(name, Hook::ToSlice, to(vip)).word(green_draining());
    vec![
        case("a datagram of no known flow goes to the live colour, drain or not")
            .becomes(to(green_at))
            .after([dns_pin(family, In::HalfOpen, DNS_GREEN)]),
        case("an unanswered flow stays for a minute")
            .before([half.age(55)])
            .becomes(to(blue))
            .after([half.age(55)]),
        case("an unanswered flow does not hold out on its own refreshes")
            .before([half.age(61)])
            .becomes(to(green_at))
            .after([dns_pin(family, In::HalfOpen, DNS_GREEN)]),
        case("a datagram after an answer establishes the flow")
            .before([half.state(Flow::ANSWERED)])
            .becomes(to(blue))
            .after([pin]),
        case("an established flow stays on its colour")
            .before([pin.age(AGE)])
            .becomes(to(blue))
            .after([pin.state(Flow::ANSWERED | Flow::ASKED)]),
        Case::new("an answer leaves with the VIP as its source", Hook::ToClient, from(blue))
            .before([half])
            .becomes(from(vip))
            .after([half.state(Flow::ANSWERED)]),
    ]
}

fn not_ours(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let untouched = |name, packet| Case::new(name, Hook::ToSlice, packet).because(Reason::NotOurs);
    vec![
        untouched(
            "a port of a VIP that no frontend claims stays the gateway's own",
            packet::tcp(client, family.vip(1, 22), flag::SYN, b""),
        ),
        untouched("the port of another protocol is not claimed", packet::udp(client, vip, b"x")),
        untouched(
            "a backend can be reached directly",
            packet::tcp(client, family.backend(WEB_BLUE), flag::SYN, b""),
        ),
        Case::new(
            "forwarded traffic passes egress",
            Hook::ToClient,
            packet::tcp(vip, client, flag::ACK, b""),
        )
        .because(Reason::NotOurs),
        Case::new(
            "a zone's own traffic passes",
            Hook::Zone,
            packet::tcp(family.backend(DNS_BLUE), vip, flag::ACK, b""),
        )
        .before([])
        .because(Reason::Midstream)
        .becomes(packet::tcp(family.backend(DNS_BLUE), family.backend(WEB_BLUE), flag::ACK, b""))
        .after([PinRow { key: key_of(family.backend(DNS_BLUE)), ..web_pin(family, In::HalfOpen, WEB_BLUE) }]),
        Case::new(
            "a machine that would get its own packet back gets none",
            Hook::Zone,
            packet::tcp(SocketAddr::new(family.backend(WEB_BLUE).ip(), 40_000), vip, flag::SYN, b""),
        )
        .dropped(Reason::OwnAddress)
        .after([PinRow {
            key: key_of(SocketAddr::new(family.backend(WEB_BLUE).ip(), 40_000)),
            ..begun(family, WEB_BLUE)
        }]),
        Case::new(
            "an echo request to a VIP is the gateway's",
            Hook::ToSlice,
            packet::echo_request(client.ip(), vip.ip()),
        )
        .because(Reason::OtherProtocol),
    ]
}

/// What is not read passes untouched and is counted under a reason of its own.
fn malformed() -> Vec<Case> {
    let syn = |family: Family| packet::tcp(family.client(), family.vip(1, 80), flag::SYN, b"");
    let v4 = || syn(Family::V4);
    let v6 = || syn(Family::V6);
    let datagram = |family: Family| packet::udp(family.client(), family.vip(1, 53), b"question");
    let dns = |family: Family| packet::udp(family.client(), family.backend(DNS_BLUE), b"question");
    let untouched = |name, packet, reason| Case::new(name, Hook::ToSlice, packet).because(reason);
    let mut rows = vec![
        untouched("ARP", patched(v4(), 12, &[0x08, 0x06]), Reason::NotIp),
        untouched("IPv4 with the version of IPv6", patched(v4(), 14, &[0x65]), Reason::Truncated),
        untouched("an IPv4 header shorter than one", patched(v4(), 14, &[0x44]), Reason::Truncated),
        untouched("an IPv4 total length below its header", patched(v4(), 16, &[0, 19]), Reason::Truncated),
        untouched("an IPv4 total length past the frame", patched(v4(), 16, &[0xff, 0xff]), Reason::Truncated),
        untouched("IPv6 with the version of IPv4", patched(v6(), 14, &[0x45]), Reason::Truncated),
        untouched("an IPv6 payload past the frame", patched(v6(), 18, &[0xff, 0xff]), Reason::Truncated),
        untouched("an IPv6 payload without room for TCP", patched(v6(), 18, &[0, 19]), Reason::Truncated),
        untouched("ESP", patched(v4(), 23, &[50]), Reason::OtherProtocol),
        Case::new("Don't Fragment is no fragment", Hook::ToSlice, patched(v4(), 20, &[0x40, 0x00]))
            .becomes(patched(
                packet::tcp(Family::V4.client(), Family::V4.backend(WEB_BLUE), flag::SYN, b""),
                20,
                &[0x40, 0x00],
            ))
            .after([begun(Family::V4, WEB_BLUE)]),
    ];
    for (name, at) in [("source", 14 + 8), ("destination", 14 + 24)] {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 0, 7];
        let packet = patched(v6(), at, &mapped);
        let name = format!("an IPv6 {name} that stands for an IPv4 address");
        rows.push(Case::new(name, Hook::ToSlice, packet).because(Reason::MappedAddress));
    }
    for family in Family::BOTH {
        let at = 14 + if family == Family::V4 { 20 } else { 40 } + 6;
        rows.push(
            Case::new(
                format!("{family:?}: a UDP checksum of zero stays zero"),
                Hook::ToSlice,
                patched(datagram(family), at, &[0, 0]),
            )
            .becomes(patched(dns(family), at, &[0, 0]))
            .after([dns_pin(family, In::HalfOpen, DNS_BLUE)]),
        );
    }
    // The kernel recomputes neither: what is wrong before is wrong afterwards, and by as much.
    rows.iter_mut().for_each(|row| row.name = format!("headers: {}", row.name));
    rows
}

/// A frame cut anywhere passes untouched, and nothing is learnt from it.
fn truncated() -> Vec<Case> {
    let frames = Family::BOTH.into_iter().flat_map(|family| {
        [
            packet::tcp(family.client(), family.vip(1, 80), flag::SYN, b""),
            packet::udp(family.client(), family.vip(1, 53), b""),
        ]
    });
    frames
        .flat_map(|frame| {
            // The kernel runs no program on less than an Ethernet header.
            (14..frame.len()).map(move |len| {
                let name = format!("a frame of {} bytes cut to {len}", frame.len());
                Case::new(name, Hook::ToSlice, frame[..len].to_vec()).because(Reason::Truncated)
            })
        })
        .collect()
}
