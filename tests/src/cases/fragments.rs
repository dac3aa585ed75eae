//! Datagrams in fragments: the first is decided, the others follow it.

use super::{Case, Hook, dns_pin, web_pin};
use crate::packet::{self, flag, fragments as cut, patched, settled};
use crate::world::{DNS_BLUE, DNS_GREEN, Family, In, WEB_BLUE};
use bg_common::{Flow, Reason};

const SIZE: usize = 64;

pub(super) fn fragments(family: Family) -> Vec<Case> {
    [to_slice(family), to_client(family), hidden(family)].concat()
}

fn question() -> Vec<u8> {
    (0..200).collect()
}

fn to_slice(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 53));
    let to = |at| cut(&packet::udp(client, at, &question()), SIZE);
    let (sent, want) = (to(vip), to(family.backend(DNS_BLUE)));
    let [first, second, .., last] = sent.as_slice() else { return Vec::new() };
    let half = dns_pin(family, In::HalfOpen, DNS_BLUE);
    let own = cut(&packet::udp(client, family.vip(1, 5000), &question()), SIZE);
    let direct = to(family.backend(DNS_BLUE));
    let no_sum = |frame: &[u8]| {
        let at = if family == Family::V4 { 34 } else { 62 } + 6;
        patched(frame.to_vec(), at, &[0, 0])
    };
    let case = |name, frame: &[u8]| Case::new(name, Hook::ToSlice, frame.to_vec());
    vec![
        case("the first fragment is decided like a whole packet", first)
            .becomes(want[0].clone())
            .after([half]),
        case("a later fragment goes where the first one went", second)
            .earlier([first.clone()])
            .becomes(want[1].clone())
            .after([half]),
        case("and so does the last", last)
            .earlier([first.clone(), second.clone()])
            .becomes(want[want.len() - 1].clone())
            .after([half]),
        case("a checksum of zero stays zero in the first fragment", &no_sum(first))
            .becomes(no_sum(&want[0]))
            .after([half]),
        case("a later fragment without a first one is dropped", second).dropped(Reason::Orphan),
        case("a later fragment of another datagram is dropped", &other(family, second))
            .earlier([first.clone()])
            .dropped(Reason::Orphan)
            .after([half]),
        case("a new first fragment with an old identification decides anew", second)
            .before([dns_pin(family, In::Established, DNS_GREEN).state(Flow::ANSWERED).begun(0)])
            .earlier([first.clone()])
            .becomes(to(family.backend(DNS_GREEN))[1].clone())
            .after([dns_pin(family, In::Established, DNS_GREEN).state(Flow::ANSWERED).begun(0)]),
        case("the gateway's own datagram stays its own: the first fragment", &own[0])
            .because(Reason::NotOurs),
        Case {
            reasons: vec![Reason::NotOurs, Reason::Fragment],
            ..case("the gateway's own datagram stays its own: a later one", &own[1]).earlier([own[0].clone()])
        },
        case("a later fragment to nobody of ours passes", &direct[1]).because(Reason::Fragment),
    ]
}

/// The same fragment with another identification.
fn other(family: Family, frame: &[u8]) -> Vec<u8> {
    match family {
        Family::V4 => settled(patched(frame.to_vec(), 18, &[0x47, 0x12])),
        Family::V6 => patched(frame.to_vec(), 54 + 6, &[0x47, 0x12]),
    }
}

fn to_client(family: Family) -> Vec<Case> {
    let client = family.client();
    let from = |at| cut(&packet::udp(at, client, &question()), SIZE);
    let (sent, want) = (from(family.backend(DNS_BLUE)), from(family.vip(1, 53)));
    let pin = dns_pin(family, In::Established, DNS_BLUE).state(Flow::ANSWERED);
    let mut rows = Vec::new();
    for hook in [Hook::Zone, Hook::ToClient] {
        let case = |name: &str, nth: usize| Case::new(format!("{name} ({hook:?})"), hook, sent[nth].clone());
        rows.extend([
            case("the first fragment of a reply is one", 0)
                .before([pin])
                .becomes(want[0].clone())
                .after([pin]),
            case("a later fragment of a reply leaves as the first one did", 2)
                .before([pin])
                .earlier([sent[0].clone()])
                .becomes(want[2].clone())
                .after([pin]),
            case("a later fragment of a backend's own passes", 1)
                .before([pin])
                .because(Reason::Fragment)
                .after([pin]),
            Case {
                reasons: vec![Reason::Fragment, Reason::DirectReply],
                ..case("nothing is remembered of a direct conversation", 1).earlier([sent[0].clone()])
            },
        ]);
    }
    rows.iter_mut().for_each(|row| row.reasons.sort_by_key(|reason| reason.index()));
    rows
}

/// What only an attacker sends.
fn hidden(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let to = |at| packet::tcp(client, at, flag::SYN, &[0; 64]);
    let case = |name, frame: &[u8]| Case::new(name, Hook::ToSlice, frame.to_vec());
    let [tiny, over] = [cut(&to(vip), 16), cut(&to(vip), 8)];
    let mut rows = vec![
        case("a first fragment that hides the flags is dropped", &tiny[0]).dropped(Reason::TinyFragment),
        case("to nobody of ours it passes", &cut(&to(family.backend(WEB_BLUE)), 16)[0])
            .because(Reason::Fragment),
    ];
    if family == Family::V4 {
        rows.push(
            case("a later fragment that would overwrite the flags is dropped", &over[2])
                .dropped(Reason::TinyFragment),
        );
    }
    let whole = cut(&to(vip), 24);
    let want = cut(&to(family.backend(WEB_BLUE)), 24);
    rows.push(
        case("TCP comes in fragments, too", &whole[1])
            .earlier([whole[0].clone()])
            .becomes(want[1].clone())
            .after([web_pin(family, In::HalfOpen, WEB_BLUE).state(Flow::HANDSHAKE).begun(0)]),
    );
    rows
}
