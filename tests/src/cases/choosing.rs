//! Where new flows go that do not simply go to the live colour, and what holds for them afterwards.

use super::{AGE, Case, Family, Hook, begun, dns_pin, green, web_pin};
use crate::packet::{self, flag};
use crate::world::{
    DNS_BLUE, DNS_GREEN, DOWN, In, PREVIEW_VIPS, PinRow, SICK_DNS, SICK_DNS_BLUE, STICKY, STICKY_GREEN,
    SWIFT, SWIFT_BLUE, SWIFT_GREEN, WEB_BLUE, WEB_GREEN,
};
use bg_common::{Aim, Colour, Fate, Flow, PinnedFlows, Proto, Reason, Word};

fn blue() -> Word {
    Word::initial(Colour::Blue)
}

fn changed(word: Word, canary: u16, previews: bool) -> Word {
    let word = word.with_canary(canary).and_then(|word| word.with_previews(previews));
    word.expect("a valid word can be changed")
}

/// Green is live, and this is what flows of blue meet.
fn fated(fate: Fate) -> Word {
    blue().switched(Colour::Green, fate, None).expect("an initial word can be switched")
}

fn web(colour: Colour) -> u32 {
    if colour == Colour::Blue { WEB_BLUE } else { WEB_GREEN }
}

pub(super) fn previews(family: Family) -> Vec<Case> {
    [preview_vips(family), preview_rules(family), preview_fates(family)].concat()
}

/// VIPs that do not follow the live colour.
fn preview_vips(family: Family) -> Vec<Case> {
    let client = family.client();
    let to = |at, flags| packet::tcp(client, at, flags, b"");
    let mut rows = Vec::new();
    for (nth, (vip, aim)) in (0..).zip(PREVIEW_VIPS) {
        let name = aim.as_str();
        for (word, live) in
            [(blue(), Colour::Blue), (green(), Colour::Green), (fated(Fate::Keep), Colour::Green)]
        {
            let there = web(aim.colour(live));
            rows.push(
                Case::new(
                    format!(
                        "a VIP for {name} leads there when {live} is live (generation {})",
                        word.generation()
                    ),
                    Hook::ToSlice,
                    to(family.vip(vip, 80), flag::SYN),
                )
                .word(changed(word, 1000, false))
                .because(Reason::Preview)
                .becomes(to(family.backend(there), flag::SYN))
                .after([begun(family, there).state(Flow::HANDSHAKE | Flow::PREVIEW).preview_vip(nth)]),
            );
        }
        // Blue was live when it began.
        let there = web(aim.colour(Colour::Blue));
        let mut older = Case::new(
            format!("a VIP for {name} leads what is older than the switch to where it went"),
            Hook::ToSlice,
            to(family.vip(vip, 80), flag::ACK),
        )
        .word(fated(Fate::Keep))
        .becomes(to(family.backend(there), flag::ACK))
        .after([web_pin(family, In::HalfOpen, there).state(Flow::PREVIEW).preview_vip(nth)]);
        older.reasons = vec![Reason::MidstreamDrain, Reason::Preview];
        rows.push(older);
    }
    let (vip, client) = (family.vip(PREVIEW_VIPS[0].0, 80), family.client());
    let pin =
        web_pin(family, In::Established, WEB_GREEN).state(Flow::ANSWERED | Flow::PREVIEW).preview_vip(0);
    let reply = |from| packet::tcp(from, client, flag::ACK, b"");
    rows.extend([Hook::Zone, Hook::ToClient].map(|hook| {
        Case::new(format!("a reply leaves with the preview VIP as its source ({hook:?})"), hook, {
            reply(family.backend(WEB_GREEN))
        })
        .before([pin.age(AGE)])
        .becomes(reply(vip))
        .after([pin])
    }));
    rows.push(
        Case::new("new flows to a preview VIP are held as well", Hook::ToSlice, to(vip, flag::SYN))
            .word(blue().paused(None).expect("an initial word can be paused"))
            .dropped(Reason::Paused),
    );
    rows
}

/// Clients that are led elsewhere on the VIP of all others.
fn preview_rules(family: Family) -> Vec<Case> {
    let vip = family.vip(1, 80);
    let mut rows = Vec::new();
    for hook in [Hook::ToSlice, Hook::Zone] {
        let case = |name: &str, client| {
            Case::new(format!("{name} ({hook:?})"), hook, packet::tcp(client, vip, flag::SYN, b""))
        };
        for (host, aim) in [(0, Aim::Other), (127, Aim::Other), (128, Aim::Green), (255, Aim::Green)] {
            for (word, live) in [(blue(), Colour::Blue), (green(), Colour::Green)] {
                let (client, there) = (family.office(host), web(aim.colour(live)));
                let name = format!("host {host} of the office sees {} when {live} is live", aim.as_str());
                rows.push(
                    case(&name, client)
                        .word(changed(word, 0, true))
                        .because(Reason::Preview)
                        .becomes(packet::tcp(client, family.backend(there), flag::SYN, b""))
                        .after([begun(family, there).state(Flow::HANDSHAKE | Flow::PREVIEW).of(client)]),
                );
            }
        }
        let (office, other) = (family.office(1), family.client());
        rows.extend([
            case("others see the live colour on the same VIP", other)
                .word(changed(blue(), 0, true))
                .becomes(packet::tcp(other, family.backend(WEB_BLUE), flag::SYN, b""))
                .after([begun(family, WEB_BLUE)]),
            case("rules that the word does not speak of are not looked at", office)
                .becomes(packet::tcp(office, family.backend(WEB_BLUE), flag::SYN, b""))
                .after([begun(family, WEB_BLUE).of(office)]),
        ]);
    }
    rows
}

/// Flows of a preview do not leave with a switch.
fn preview_fates(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(PREVIEW_VIPS[1].0, 80));
    let to = |at| packet::tcp(client, at, flag::ACK, b"data");
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED | Flow::PREVIEW).preview_vip(1);
    let case = |name: String, word| {
        Case::new(name, Hook::ToSlice, to(vip))
            .word(word)
            .before([pin.age(AGE)])
            .becomes(to(family.backend(WEB_BLUE)))
            .after([pin])
    };
    [Fate::Keep, Fate::Reset, Fate::Move]
        .map(|fate| case(format!("a preview of blue stays there when blue is left ({fate:?})"), fated(fate)))
        .to_vec()
}

pub(super) fn canaries(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 80));
    let to = |at, flags| packet::tcp(client, at, flags, b"");
    let case = |name, flags| Case::new(name, Hook::ToSlice, to(vip, flags));
    let all = |word| changed(word, 1000, false);
    let half = |backend| [web_pin(family, In::HalfOpen, backend)];
    let (blue_at, green_at) = (family.backend(WEB_BLUE), family.backend(WEB_GREEN));
    let pinned = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED);
    let mut midstream = case("TCP of no known flow goes by the canary, too", flag::ACK)
        .word(all(blue()))
        .becomes(to(green_at, flag::ACK))
        .after(half(WEB_GREEN));
    midstream.reasons = vec![Reason::Midstream, Reason::Canary];
    let mut sticky = case("a canary of everything takes whole clients as well", flag::SYN)
        .word(all(blue()))
        .because(Reason::Canary)
        .becomes(to(family.backend(STICKY_GREEN), flag::SYN));
    sticky.packet = to(family.vip(1, 84), flag::SYN);
    let mut rows = vec![
        midstream,
        sticky.after([
            PinRow::new(In::HalfOpen, family, Proto::TCP, STICKY, STICKY_GREEN).state(Flow::HANDSHAKE)
        ]),
        case("a canary of everything leads a SYN to the colour that is not live", flag::SYN)
            .word(all(blue()))
            .because(Reason::Canary)
            .becomes(to(green_at, flag::SYN))
            .after([begun(family, WEB_GREEN)]),
        case("what is older than a switch goes by no canary", flag::ACK)
            .word(all(fated(Fate::Keep)))
            .because(Reason::MidstreamDrain)
            .becomes(to(blue_at, flag::ACK))
            .after(half(WEB_BLUE)),
        case("a new flow goes by the canary during a drain", flag::SYN)
            .word(all(fated(Fate::Keep)))
            .because(Reason::Canary)
            .becomes(to(blue_at, flag::SYN))
            .after([begun(family, WEB_BLUE)]),
        case("no canary moves a flow that is pinned", flag::ACK)
            .word(all(blue()))
            .before([pinned.age(AGE)])
            .becomes(to(blue_at, flag::ACK))
            .after([pinned]),
        case("a flow of the canary stays when it has ended", flag::ACK)
            .before([PinRow { backend: WEB_GREEN + family.offset(), ..pinned }])
            .becomes(to(green_at, flag::ACK))
            .after([PinRow { backend: WEB_GREEN + family.offset(), ..pinned }]),
    ];
    rows.extend([(0, WEB_BLUE), (1000, WEB_GREEN)].map(|(share, there)| {
        let to = |at| packet::tcp(client, at, flag::SYN, b"");
        let mut row =
            Case::new(format!("a canary of {share} with previews for others"), Hook::ToSlice, to(vip))
                .word(changed(blue(), share, true))
                .becomes(to(family.backend(there)))
                .after([begun(family, there)]);
        row.reasons = if share == 0 { Vec::new() } else { vec![Reason::Canary] };
        row
    }));
    rows
}

/// Datagrams to backends that do not answer.
pub(super) fn forsaken(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 53));
    let to = |at| packet::udp(client, at, b"question");
    let (blue_at, green_at) = (family.backend(DNS_BLUE), family.backend(DNS_GREEN));
    let pin = dns_pin(family, In::Established, DNS_BLUE).state(Flow::ANSWERED).begun(300);
    let asked = pin.state(Flow::ANSWERED | Flow::ASKED);
    let case = |name, word, age| Case::new(name, Hook::ToSlice, to(vip)).word(word).before([asked.age(age)]);
    let stays = |case: Case, age| case.becomes(to(blue_at)).after([asked.age(age)]);
    let new = dns_pin(family, In::HalfOpen, DNS_GREEN).begun(0);
    let sick_vip = family.vip(1, 54);
    let sick = |nth| {
        PinRow::new(In::Established, family, Proto::UDP, SICK_DNS, SICK_DNS_BLUE + nth)
            .state(Flow::ANSWERED | Flow::ASKED)
            .begun(300)
    };
    let (down, _) =
        DOWN.into_iter().find(|(_, fate)| *fate == PinnedFlows::Keep).expect("one keeps its flows");
    let (dead, well) = (family.backend(SICK_DNS_BLUE + down), family.backend(SICK_DNS_BLUE));
    let sick_case = |name, age| {
        let mut case = case(name, blue(), 0).before([sick(down).age(age)]);
        case.packet = to(sick_vip);
        case
    };
    vec![
        stays(
            case("the first question after an answer refreshes the pin", blue(), 0).before([pin.age(AGE)]),
            0,
        ),
        stays(case("a further question does not", blue(), AGE), AGE),
        stays(
            case("both sides may be silent for as long as they like", green(), 0).before([pin.age(170)]),
            0,
        ),
        Case::new(
            "an answer is one to all questions",
            Hook::ToClient,
            packet::udp(blue_at, client, b"answer"),
        )
        .word(green())
        .before([asked.age(AGE)])
        .becomes(packet::udp(vip, client, b"answer"))
        .after([pin.age(0)]),
        stays(case("a backend of the live colour that does not answer keeps its flows", blue(), 100), 100),
        stays(case("one of the old colour that was asked in the last minute does, too", green(), 55), 55),
        case("one of the old colour that was asked before and has not answered is left", green(), 61)
            .because(Reason::Moved)
            .becomes(to(green_at))
            .after([new]),
        stays(
            case(
                "nothing is left while new flows are held",
                green().paused(None).expect("a valid word can be paused"),
                61,
            ),
            61,
        ),
        sick_case("a backend that is down and was asked in the last minute keeps its flows", 55)
            .becomes(to(dead))
            .after([sick(down).age(55)]),
        sick_case("one that is down and was asked before is left", 61)
            .because(Reason::Moved)
            .becomes(to(well))
            .after([PinRow { table: In::HalfOpen, ..sick(0).state(0).begun(0) }]),
    ]
}

/// A service whose datagrams do not stay, whatever the deployment's do.
pub(super) fn swift(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client(), family.vip(1, 55));
    let to = |at| packet::udp(client, at, b"question");
    let row = |table, backend| PinRow::new(table, family, Proto::UDP, SWIFT, backend);
    let pin = row(In::Established, SWIFT_BLUE).state(Flow::ANSWERED).begun(80).age(AGE);
    let case = |name, word| Case::new(name, Hook::ToSlice, to(vip)).word(word).before([pin]);
    let asked = pin.state(Flow::ANSWERED | Flow::ASKED).age(0);
    let stays = |case: Case| case.becomes(to(family.backend(SWIFT_BLUE))).after([asked]);
    let moves = |case: Case| {
        case.because(Reason::Moved).becomes(to(family.backend(SWIFT_GREEN))).after([row(
            In::HalfOpen,
            SWIFT_GREEN,
        )
        .begun(0)])
    };
    vec![
        moves(case("a service's own fate holds where the word keeps", fated(Fate::Keep))),
        moves(case("and where the word moves", fated(Fate::Move))),
        stays(case("it holds for what is left by a switch, and not for a canary", green())),
        stays(case("nothing moves while its colour is live", blue())),
    ]
}
