//! What happens to flows that may not stay: their colour is not live, their backend is down, or there is none.

use super::{AGE, Case, Family, Hook, begun, dns_pin, green, web_pin};
use crate::packet::{self, SEQUENCE, flag};
use crate::world::{
    CLOSED, DNS_BLUE, DNS_GREEN, DOWN, GREEN, In, PinRow, SICK, SICK_BLUE, SICK_DNS, SICK_DNS_BLUE, WEB_BLUE,
    WEB_GREEN,
};
use bg_common::{Colour, Fate, Flow, PinnedFlows, Proto, Reason, Word};

/// Hooks that packets to a slice meet, and those that replies meet.
const TO_SLICE: [Hook; 2] = [Hook::ToSlice, Hook::Zone];
const TO_CLIENT: [Hook; 2] = [Hook::Zone, Hook::ToClient];

const DATA: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// Green is live, and this is what flows of blue meet.
fn fated(fate: Fate) -> Word {
    Word::initial(Colour::Blue).switched(Colour::Green, fate, None).expect("an initial word can be switched")
}

/// After a segment of so many bytes and flags that take a number each.
fn after(len: usize) -> Option<u32> {
    Some(SEQUENCE.wrapping_add(len as u32))
}

pub(super) fn fates(family: Family) -> Vec<Case> {
    [reset_by_client(family), reset_by_backend(family), cut(family), kept(family), moved(family)].concat()
}

/// The client of a flow that is to be reset speaks.
fn reset_by_client(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let to = |at, flags| packet::tcp(client, at, flags, DATA);
    let (blue, green_at) = (family.backend(WEB_BLUE), family.backend(WEB_GREEN));
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED).begun(80);
    let half = web_pin(family, In::HalfOpen, WEB_BLUE).state(Flow::HANDSHAKE);
    let over = |pin: PinRow| PinRow { state: pin.state | Flow::CUT, age: 0, ..pin };
    let mut rows = Vec::new();
    for hook in TO_SLICE {
        let case = |name: &str, flags| {
            Case::new(format!("{name} ({hook:?})"), hook, to(vip, flags))
                .word(fated(Fate::Reset))
                .before([pin.age(AGE)])
                .after([over(pin)])
        };
        let answer = |acknowledge| packet::rst(vip, client, acknowledge);
        let by_fate = Reason::ResetByFate;
        rows.extend([
            case("a packet of a flow that is to be reset is answered", flag::ACK | flag::PSH)
                .answered(by_fate, answer(None)),
            case("a FIN is answered as well", flag::FIN | flag::ACK).answered(by_fate, answer(None)),
            case("a packet without an acknowledgment is acknowledged, payload and all", flag::PSH)
                .answered(by_fate, answer(after(DATA.len()))),
            case("a FIN without an acknowledgment takes a number of its own", flag::FIN)
                .answered(by_fate, answer(after(DATA.len() + 1))),
            Case {
                packet: to(family.vip(2, 80), flag::ACK),
                ..case("the answer comes from the VIP that the client used", flag::ACK)
            }
            .before([pin.second_vip().age(AGE)])
            .after([over(pin.second_vip())])
            .answered(by_fate, packet::rst(family.vip(2, 80), client, None)),
            case("a flow that begins is reset, too", flag::ACK)
                .before([half.state(Flow::HANDSHAKE | Flow::ANSWERED).age(AGE)])
                .after([over(half.state(Flow::HANDSHAKE | Flow::ANSWERED))])
                .answered(by_fate, answer(None)),
            case("a SYN that is sent again goes to the live colour instead", flag::SYN)
                .before([half.age(AGE)])
                .becomes(to(green_at, flag::SYN))
                .after([begun(family, WEB_GREEN)]),
            case("a RST is never answered", flag::RST)
                .becomes(to(blue, flag::RST))
                .after([pin.state(Flow::ANSWERED | Flow::RESET)]),
            case("a flow of the live colour has no fate", flag::ACK)
                .before([PinRow { backend: WEB_GREEN + family.offset(), ..pin }])
                .becomes(to(green_at, flag::ACK))
                .after([PinRow { backend: WEB_GREEN + family.offset(), ..pin }]),
        ]);
    }
    rows
}

/// The backend of a flow that is to be reset speaks.
fn reset_by_backend(family: Family) -> Vec<Case> {
    let (client, vip, blue) = (family.client(), family.vip(1, 80), family.backend(WEB_BLUE));
    let from = |at, flags| packet::tcp(at, client, flags, DATA);
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED).begun(80);
    let half = web_pin(family, In::HalfOpen, WEB_BLUE).state(Flow::HANDSHAKE);
    let over = |pin: PinRow| PinRow { state: pin.state | Flow::CUT, age: 0, ..pin };
    let mut rows = Vec::new();
    for hook in TO_CLIENT {
        let case = |name: &str, flags| {
            Case::new(format!("{name} ({hook:?})"), hook, from(blue, flags))
                .word(fated(Fate::Reset))
                .before([pin.age(AGE)])
                .after([over(pin)])
        };
        let answer = packet::rst(client, blue, None);
        rows.extend([
            case("a reply of a flow that is to be reset is answered in the client's name", flag::ACK)
                .answered(Reason::ResetByFate, answer.clone()),
            case("the answer to a handshake is answered, too", flag::SYN | flag::ACK)
                .before([half.age(AGE)])
                .after([over(half)])
                .answered(Reason::ResetByFate, answer.clone()),
            case("a RST of the backend reaches the client", flag::RST | flag::ACK)
                .becomes(from(vip, flag::RST | flag::ACK))
                .after([pin.state(Flow::ANSWERED | Flow::RESET)]),
            case("a direct conversation with the backend has no fate", flag::ACK)
                .before([])
                .because(Reason::DirectReply)
                .after([]),
        ]);
    }
    rows
}

/// The second side of a flow that was cut, when the word says nothing of it any more.
fn cut(family: Family) -> Vec<Case> {
    let (client, vip, blue) = (family.client(), family.vip(1, 80), family.backend(WEB_BLUE));
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED | Flow::CUT).age(3);
    let to = |at, flags| packet::tcp(client, at, flags, DATA);
    let mut rows = Vec::new();
    for word in [green(), Word::initial(Colour::Blue)] {
        let live = word.live();
        let case = |name: &str, hook, packet| {
            Case::new(format!("{name} ({hook:?}, {live} live)"), hook, packet)
                .word(word)
                .before([pin])
                .after([pin])
        };
        rows.extend(TO_SLICE.map(|hook| {
            case(
                "the client of a flow that was cut is told, whatever the word says",
                hook,
                to(vip, flag::ACK),
            )
            .answered(Reason::ResetByFate, packet::rst(vip, client, None))
        }));
        rows.extend(TO_CLIENT.map(|hook| {
            let reply = packet::tcp(blue, client, flag::ACK, DATA);
            case("the backend of a flow that was cut is told, whatever the word says", hook, reply)
                .answered(Reason::ResetByFate, packet::rst(client, blue, None))
        }));
        let next = if live == Colour::Blue { WEB_BLUE } else { WEB_GREEN };
        rows.push(
            case("a port whose flow was cut can be used again", Hook::ToSlice, to(vip, flag::SYN))
                .becomes(to(family.backend(next), flag::SYN))
                .after([begun(family, next)]),
        );
    }
    rows
}

/// TCP that stays.
fn kept(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let to = |at, flags| packet::tcp(client, at, flags, DATA);
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED).begun(80);
    let case = |name, word: Word| {
        Case::new(name, Hook::ToSlice, to(vip, flag::ACK))
            .word(word)
            .before([pin.age(AGE)])
            .becomes(to(family.backend(WEB_BLUE), flag::ACK))
            .after([pin])
    };
    let half = web_pin(family, In::HalfOpen, WEB_BLUE).state(Flow::HANDSHAKE).age(AGE);
    vec![
        case("TCP stays where datagrams move", fated(Fate::Move)),
        case("a fate that does not exist keeps", Word::from_bits(fated(Fate::Keep).bits() | 0b11 << 4)),
        Case { packet: to(vip, flag::SYN), ..case("a SYN that is sent again stays, too", fated(Fate::Move)) }
            .before([half])
            .becomes(to(family.backend(WEB_BLUE), flag::SYN))
            .after([half]),
    ]
}

fn moved(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 53));
    let (blue, green_at) = (family.backend(DNS_BLUE), family.backend(DNS_GREEN));
    let to = |at| packet::udp(client, at, b"question");
    let pin = dns_pin(family, In::Established, DNS_BLUE).state(Flow::ANSWERED).begun(80);
    let asked = pin.state(Flow::ANSWERED | Flow::ASKED);
    let half = dns_pin(family, In::HalfOpen, DNS_BLUE);
    let new = dns_pin(family, In::HalfOpen, DNS_GREEN).begun(0);
    let mut rows = Vec::new();
    for fate in [Fate::Move, Fate::Reset] {
        let case = |name: &str, hook| {
            Case::new(format!("{name} ({fate:?}, {hook:?})"), hook, to(vip))
                .word(fated(fate))
                .before([pin.age(AGE)])
        };
        rows.extend(TO_SLICE.map(|hook| {
            case("a datagram takes its flow to the live colour", hook)
                .because(Reason::Moved)
                .becomes(to(green_at))
                .after([new])
        }));
        rows.extend([
            case("so does one of a flow that is not answered yet", Hook::ToSlice)
                .before([half.age(AGE)])
                .because(Reason::Moved)
                .becomes(to(green_at))
                .after([new]),
            case("a flow does not move while new flows are held", Hook::ToSlice)
                .word(fated(fate).paused(None).expect("a valid word can be paused"))
                .becomes(to(blue))
                .after([asked]),
        ]);
        rows.extend(TO_CLIENT.map(|hook| {
            let answer = |at| packet::udp(at, client, b"answer");
            Case { packet: answer(blue), ..case("an answer that is under way arrives", hook) }
                .becomes(answer(vip))
                .after([pin])
        }));
    }
    let keep = Case::new("a datagram stays where flows are kept", Hook::ToSlice, to(vip));
    rows.push(keep.word(fated(Fate::Keep)).before([pin.age(AGE)]).becomes(to(blue)).after([asked]));
    rows
}

/// Flows that are pinned to backends which are down, of the live colour.
pub(super) fn down(family: Family) -> Vec<Case> {
    let client = family.client();
    let (tcp_vip, udp_vip) = (family.vip(1, 83), family.vip(1, 54));
    let tcp = |at, flags| packet::tcp(client, at, flags, DATA);
    let udp = |at| packet::udp(client, at, b"question");
    let tcp_pin =
        |nth| PinRow::new(In::Established, family, Proto::TCP, SICK, SICK_BLUE + nth).state(Flow::ANSWERED);
    let udp_pin = |nth| {
        PinRow::new(In::Established, family, Proto::UDP, SICK_DNS, SICK_DNS_BLUE + nth).state(Flow::ANSWERED)
    };
    let mut rows = Vec::new();
    for (nth, pinned) in DOWN {
        let (there, udp_there) = (family.backend(SICK_BLUE + nth), family.backend(SICK_DNS_BLUE + nth));
        let (healthy, udp_healthy) = (family.backend(SICK_BLUE), family.backend(SICK_DNS_BLUE));
        let pin = tcp_pin(nth);
        let over = pin.state(Flow::ANSWERED | Flow::CUT);
        let case = |name: &str, hook, packet| {
            Case::new(format!("{name} ({pinned:?}, {hook:?})"), hook, packet)
                .before([pin.age(AGE)])
                .after([pin])
        };
        for hook in TO_SLICE {
            let packet = case("TCP to a backend that is down", hook, tcp(tcp_vip, flag::ACK));
            rows.push(match pinned {
                PinnedFlows::Keep | PinnedFlows::Move => packet.becomes(tcp(there, flag::ACK)),
                PinnedFlows::Reset => {
                    packet.answered(Reason::BackendDown, packet::rst(tcp_vip, client, None)).after([over])
                }
            });
        }
        for hook in TO_CLIENT {
            let from = |at| packet::tcp(at, client, flag::ACK, DATA);
            let packet = case("TCP from a backend that is down", hook, from(there));
            rows.push(match pinned {
                PinnedFlows::Keep | PinnedFlows::Move => packet.becomes(from(tcp_vip)),
                PinnedFlows::Reset => {
                    packet.answered(Reason::BackendDown, packet::rst(client, there, None)).after([over])
                }
            });
        }
        let pin = PinRow { table: In::HalfOpen, ..pin }.state(Flow::HANDSHAKE).age(AGE);
        let again = case(
            "a SYN that a backend which is down has not answered",
            Hook::ToSlice,
            tcp(tcp_vip, flag::SYN),
        );
        let again = again.before([pin]).after([pin]);
        rows.push(match pinned {
            PinnedFlows::Keep | PinnedFlows::Move => again.becomes(tcp(there, flag::SYN)),
            PinnedFlows::Reset => again
                .becomes(tcp(healthy, flag::SYN))
                .after([PinRow { backend: SICK_BLUE + family.offset(), ..pin.age(0) }]),
        });
        let datagram = case("a datagram to a backend that is down", Hook::ToSlice, udp(udp_vip));
        let datagram = datagram.before([udp_pin(nth).age(AGE)]);
        rows.push(match pinned {
            PinnedFlows::Keep => {
                datagram.becomes(udp(udp_there)).after([udp_pin(nth).state(Flow::ANSWERED | Flow::ASKED)])
            }
            PinnedFlows::Reset | PinnedFlows::Move => datagram
                .because(Reason::Moved)
                .becomes(udp(udp_healthy))
                .after([PinRow { table: In::HalfOpen, ..udp_pin(0).state(0).begun(0) }]),
        });
    }
    let both = Case::new(
        "a fate of the colour holds for backends that are down as well",
        Hook::ToSlice,
        tcp(tcp_vip, flag::ACK),
    );
    let move_nth = DOWN.map(|(nth, _)| nth)[2];
    rows.push(
        both.word(fated(Fate::Reset))
            .before([tcp_pin(move_nth).age(AGE)])
            .answered(Reason::ResetByFate, packet::rst(tcp_vip, client, None))
            .after([tcp_pin(move_nth).state(Flow::ANSWERED | Flow::CUT)]),
    );
    let elsewhere =
        Case::new("a new flow goes to a backend that serves", Hook::ToSlice, tcp(tcp_vip, flag::SYN));
    rows.push(elsewhere.word(green()).becomes(tcp(family.backend(SICK_BLUE + GREEN), flag::SYN)).after([
        PinRow::new(In::HalfOpen, family, Proto::TCP, SICK, SICK_BLUE + GREEN).state(Flow::HANDSHAKE),
    ]));
    rows
}

/// Connections that no backend can serve, to a service that says so.
pub(super) fn refusals(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 82));
    let mut rows = Vec::new();
    for hook in TO_SLICE {
        let case = |name: &str, flags, payload| {
            Case::new(format!("{name} ({hook:?})"), hook, packet::tcp(client, vip, flags, payload))
        };
        rows.extend([
            case("a connection that nobody serves is refused", flag::SYN, b"")
                .answered(Reason::Refused, packet::rst(vip, client, after(1))),
            case("a SYN with data is acknowledged as a whole", flag::SYN | flag::PSH, DATA)
                .answered(Reason::Refused, packet::rst(vip, client, after(DATA.len() + 1))),
            Case {
                reasons: vec![Reason::NoBackend, Reason::Midstream],
                ..case("TCP of no known flow is dropped", flag::ACK, DATA).dropped(Reason::NoBackend)
            },
        ]);
    }
    let pin = PinRow::new(In::HalfOpen, family, Proto::TCP, CLOSED, WEB_BLUE);
    rows.push(
        Case::new(
            "a port that was used before is refused as well",
            Hook::ToSlice,
            packet::tcp(client, vip, flag::SYN, b""),
        )
        .before([pin.age(61)])
        .answered(Reason::Refused, packet::rst(vip, client, after(1)))
        .after([pin.age(61)]),
    );
    rows
}
