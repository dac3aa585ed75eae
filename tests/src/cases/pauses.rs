//! New flows that are held, and words whose deadline passes.

use super::{AGE, Case, Family, Hook, begun, dns_pin, green_draining, web_pin};
use crate::packet::{self, flag};
use crate::world::{DNS_BLUE, In, WEB_BLUE, WEB_GREEN};
use bg_common::{Colour, Fate, Flow, Reason, Word};

/// A deadline that has passed on any machine, and one that no machine has come to.
const PASSED: Option<u32> = Some(1);
const AHEAD: Option<u32> = Some(u32::MAX);

fn paused(until: Option<u32>) -> Word {
    Word::initial(Colour::Blue).paused(until).expect("an initial word can be paused")
}

/// Green is live until the deadline.
fn pending(fate: Fate, until: Option<u32>) -> Word {
    Word::initial(Colour::Blue).switched(Colour::Green, fate, until).expect("an initial word can be switched")
}

pub(super) fn pauses(family: Family) -> Vec<Case> {
    let (client, vip, dns) = (family.client(), family.vip(1, 80), family.vip(1, 53));
    let (blue, dns_blue) = (family.backend(WEB_BLUE), family.backend(DNS_BLUE));
    let tcp = |at, flags| packet::tcp(client, at, flags, b"");
    let udp = |at| packet::udp(client, at, b"question");
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED).begun(80);
    let half = web_pin(family, In::HalfOpen, WEB_BLUE);
    let dns_open = dns_pin(family, In::Established, DNS_BLUE).state(Flow::ANSWERED);
    let mut rows = Vec::new();
    for (until, word) in [("for good", paused(None)), ("for a while", paused(AHEAD))] {
        let case = |name: &str, packet| {
            Case::new(format!("{name}, paused {until}"), Hook::ToSlice, packet).word(word)
        };
        rows.extend([
            case("a SYN is held", tcp(vip, flag::SYN)).dropped(Reason::Paused),
            case("a datagram of no known flow is held", udp(dns)).dropped(Reason::Paused),
            Case { hook: Hook::Zone, ..case("a SYN of a slice is held", tcp(vip, flag::SYN)) }
                .dropped(Reason::Paused),
            case("a reused port is held, and its old flow stays", tcp(vip, flag::SYN))
                .before([pin.age(AGE)])
                .dropped(Reason::Paused)
                .after([pin.age(AGE)]),
            case("a pinned flow goes on", tcp(vip, flag::ACK))
                .before([pin.age(AGE)])
                .becomes(tcp(blue, flag::ACK))
                .after([pin]),
            case("a SYN that is sent again goes on", tcp(vip, flag::SYN))
                .before([half.age(AGE)])
                .becomes(tcp(blue, flag::SYN))
                .after([half.age(AGE)]),
            case("a pinned datagram goes on", udp(dns))
                .before([dns_open.age(AGE)])
                .becomes(udp(dns_blue))
                .after([dns_open.state(Flow::ANSWERED | Flow::ASKED)]),
            case("TCP of no known flow goes on", tcp(vip, flag::ACK))
                .because(Reason::Midstream)
                .becomes(tcp(blue, flag::ACK))
                .after([half]),
            case("a RST of no known flow goes on", tcp(vip, flag::RST))
                .because(Reason::Midstream)
                .becomes(tcp(blue, flag::RST)),
            Case {
                hook: Hook::ToClient,
                ..case("a reply goes on", packet::tcp(blue, client, flag::ACK, b""))
            }
            .before([pin.age(AGE)])
            .becomes(packet::tcp(vip, client, flag::ACK, b""))
            .after([pin]),
        ]);
    }
    rows.push(
        Case::new("a SYN that would be reset with its colour is held", Hook::ToSlice, tcp(vip, flag::SYN))
            .word(pending(Fate::Reset, None).paused(None).expect("a valid word can be paused"))
            .before([half.age(AGE)])
            .dropped(Reason::Paused)
            .after([half.age(AGE)]),
    );
    rows
}

pub(super) fn deadlines(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let to = |at, flags| packet::tcp(client, at, flags, b"");
    let (blue, green) = (family.backend(WEB_BLUE), family.backend(WEB_GREEN));
    let case = |name, flags| Case::new(name, Hook::ToSlice, to(vip, flags));
    let taken_back = web_pin(family, In::Established, WEB_GREEN).state(Flow::ANSWERED).begun(80);
    let reply = packet::tcp(green, client, flag::ACK, b"");
    vec![
        case("a pause is over at its deadline", flag::SYN)
            .word(paused(PASSED))
            .becomes(to(blue, flag::SYN))
            .after([begun(family, WEB_BLUE)]),
        case("a switch holds until its deadline", flag::SYN)
            .word(pending(Fate::Keep, AHEAD))
            .becomes(to(green, flag::SYN))
            .after([begun(family, WEB_GREEN)]),
        case("a switch that nobody confirmed is taken back at its deadline", flag::SYN)
            .word(pending(Fate::Keep, PASSED))
            .becomes(to(blue, flag::SYN))
            .after([begun(family, WEB_BLUE)]),
        case("then the colour that was taken back drains", flag::ACK)
            .word(pending(Fate::Keep, PASSED).drained().expect("a valid word can be drained"))
            .because(Reason::MidstreamDrain)
            .becomes(to(green, flag::ACK))
            .after([web_pin(family, In::HalfOpen, WEB_GREEN)]),
        case("its flows stay where they are kept", flag::ACK)
            .word(pending(Fate::Keep, PASSED))
            .before([taken_back.age(AGE)])
            .becomes(to(green, flag::ACK))
            .after([taken_back]),
        case("its flows meet the fate of the switch, now from the other side", flag::ACK)
            .word(pending(Fate::Reset, PASSED))
            .before([taken_back.age(AGE)])
            .answered(Reason::ResetByFate, packet::rst(vip, client, None))
            .after([taken_back.state(Flow::ANSWERED | Flow::CUT)]),
        Case { hook: Hook::ToClient, packet: reply, ..case("and so do its replies", flag::ACK) }
            .word(pending(Fate::Reset, PASSED))
            .before([taken_back.age(AGE)])
            .answered(Reason::ResetByFate, packet::rst(client, green, None))
            .after([taken_back.state(Flow::ANSWERED | Flow::CUT)]),
        case("flows of the colour that is live again have no fate", flag::ACK)
            .word(pending(Fate::Reset, PASSED))
            .before([web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED).age(AGE)])
            .becomes(to(blue, flag::ACK))
            .after([web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED)]),
        case("a deadline that nothing hangs on changes nothing", flag::SYN)
            .word(Word::from_bits(green_draining().bits() | 1 << 32))
            .becomes(to(green, flag::SYN))
            .after([begun(family, WEB_GREEN)]),
    ]
}
