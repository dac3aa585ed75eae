//! ICMP errors about packets of flows, in both directions.

use super::{AGE, Case, Hook, green_draining, web_pin};
use crate::packet::{self, flag};
use crate::world::{DNS, DNS_BLUE, Family, In, PinRow, WEB_BLUE, WEB_GREEN, WHOLE_BLUE};
use bg_common::{Colour, Fate, Flow, Proto, Reason, Word};
use std::net::{IpAddr, SocketAddr};

type Kind = (u8, u8, [u8; 4]);

/// Length of the network header.
const fn header(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

/// Port unreachable.
const fn unreachable(family: Family) -> Kind {
    match family {
        Family::V4 => (3, 3, [0; 4]),
        Family::V6 => (1, 4, [0; 4]),
    }
}

/// Every error that quotes a packet, with something in its own fields.
fn kinds(family: Family) -> [(&'static str, Kind); 5] {
    match family {
        Family::V4 => [
            ("host unreachable", (3, 1, [0; 4])),
            ("port unreachable", unreachable(family)),
            ("fragmentation needed", (3, 4, [0, 0, 0x05, 0x78])),
            ("time exceeded", (11, 0, [0; 4])),
            ("parameter problem", (12, 0, [9, 0, 0, 0])),
        ],
        Family::V6 => [
            ("no route", (1, 0, [0; 4])),
            ("port unreachable", unreachable(family)),
            ("packet too big", (2, 0, [0, 0, 0x05, 0x78])),
            ("time exceeded", (3, 0, [0; 4])),
            ("parameter problem", (4, 1, [0, 0, 0, 40])),
        ],
    }
}

/// The beginning of a packet: its network header and so much of what follows.
fn begin(family: Family, packet: &[u8], transport: usize) -> Vec<u8> {
    packet[14..14 + header(family) + transport].to_vec()
}

fn segment(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    packet::tcp(from, to, flag::ACK | flag::PSH, b"some payload of an odd length")
}

/// A router on the client's side, or on the slice's: of no network that bg knows.
fn router(family: Family) -> IpAddr {
    match family {
        Family::V4 => [172, 16, 0, 1].into(),
        Family::V6 => "fd00:77::1".parse().expect("an address of a test can be read"),
    }
}

/// What is played: errors about replies, to the VIP, and about packets to a slice, to the client.
struct Play {
    family: Family,
    client: SocketAddr,
    vip: SocketAddr,
    blue: SocketAddr,
    pin: PinRow,
}

impl Play {
    fn of(family: Family) -> Self {
        Self {
            family,
            client: family.client(),
            vip: family.vip(1, 80),
            blue: family.backend(WEB_BLUE),
            pin: web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED).age(AGE),
        }
    }

    /// From a router to `from`, about a segment that it has sent to the client.
    fn about_reply(&self, kind: Kind, from: SocketAddr, transport: usize) -> Vec<u8> {
        let quote = begin(self.family, &segment(from, self.client), transport);
        packet::icmp_error(router(self.family), from.ip(), kind, &quote)
    }

    /// From `sender` to the client, about a segment that it has sent to `to`.
    fn about_request(&self, kind: Kind, sender: IpAddr, to: SocketAddr, transport: usize) -> Vec<u8> {
        let quote = begin(self.family, &segment(self.client, to), transport);
        packet::icmp_error(sender, self.client.ip(), kind, &quote)
    }

    fn case(&self, name: impl Into<String>, hook: Hook, packet: Vec<u8>) -> Case {
        Case::new(name, hook, packet).before([self.pin]).after([self.pin])
    }

    /// One that is translated.
    fn translated(&self, name: impl Into<String>, hook: Hook, packet: Vec<u8>, to: Vec<u8>) -> Case {
        self.case(name, hook, packet).because(Reason::IcmpError).becomes(to)
    }
}

/// Length of a segment of [`segment`].
const WHOLE: usize = 20 + 29;

/// Errors from the clients' side.
pub(super) fn to_slice(family: Family) -> Vec<Case> {
    let play = Play::of(family);
    let Play { client, vip, blue, pin, .. } = play;
    let own = unreachable(family);
    let mut rows = Vec::new();
    for (what, kind) in kinds(family) {
        for (how, transport) in [("eight bytes", 8), ("a whole segment", WHOLE)] {
            rows.push(play.translated(
                format!("{what}, quoting {how} of a reply, goes to the backend that sent it"),
                Hook::ToSlice,
                play.about_reply(kind, vip, transport),
                play.about_reply(kind, blue, transport),
            ));
        }
    }
    for transport in [16, 18, 20, 21] {
        rows.push(play.translated(
            format!("a quote of {transport} bytes is translated as far as it reaches"),
            Hook::ToSlice,
            play.about_reply(own, vip, transport),
            play.about_reply(own, blue, transport),
        ));
    }
    let half = |quote: &[u8], to: IpAddr| packet::icmp_error(router(family), to, own, quote);
    let quoted = begin(family, &segment(vip, client), 17);
    let known = [&begin(family, &segment(blue, client), 16), &quoted[quoted.len() - 1..]].concat();
    rows.push(play.translated(
        "a quote that ends inside the TCP checksum keeps what there is of it",
        Hook::ToSlice,
        half(&quoted, vip.ip()),
        half(&known, blue.ip()),
    ));
    let error = |at| play.about_reply(own, at, 8);
    let case = |name: &str| play.translated(name, Hook::ToSlice, error(vip), error(blue));
    let pinned = |name: &str, pin: PinRow| case(name).before([pin]).after([pin]);
    rows.extend([
        pinned("it follows a half-open pin, and does not renew it", PinRow { table: In::HalfOpen, ..pin }),
        pinned("it takes back no RST", pin.state(Flow::ANSWERED | Flow::RESET)),
        pinned("it is translated although the flow was cut", pin.state(Flow::ANSWERED | Flow::CUT)),
        case("it follows the pin after a switch").word(green_draining()),
        case("no fate applies to it").word(
            Word::initial(Colour::Blue)
                .switched(Colour::Green, Fate::Reset, None)
                .expect("an initial word can be switched"),
        ),
        play.translated(
            "a slice that is a client of the VIP tells of its troubles, too",
            Hook::Zone,
            error(vip),
            error(blue),
        ),
    ]);
    let passes = |name: &str, reason, packet| play.case(name, Hook::ToSlice, packet).because(reason);
    let other = SocketAddr::new(client.ip(), client.port() + 1);
    let about = |from: SocketAddr, to| begin(family, &segment(from, to), 8);
    let to_vip = |quote: &[u8]| packet::icmp_error(router(family), vip.ip(), own, quote);
    rows.extend([
        passes("an error about a flow that is unknown reaches no slice", Reason::IcmpNoFlow, error(vip))
            .before([])
            .after([]),
        passes(
            "an error about another port of the client reaches no slice",
            Reason::IcmpNoFlow,
            to_vip(&about(vip, other)),
        ),
        passes(
            "an error about another VIP than the flow came through reaches no slice",
            Reason::IcmpNoFlow,
            play.about_reply(own, family.vip(2, 80), 8),
        ),
        passes(
            "an error to another than who sent the packet reaches no slice",
            Reason::IcmpNoFlow,
            packet::icmp_error(router(family), family.vip(2, 80).ip(), own, &about(vip, client)),
        ),
        passes(
            "an error about the gateway's own traffic is its own",
            Reason::NotOurs,
            to_vip(&about(family.vip(1, 22), client)),
        ),
        passes("a redirect is for the gateway", Reason::OtherProtocol, {
            let kind = if family == Family::V4 { (5, 1, [10, 9, 0, 7]) } else { (137, 0, [0; 4]) };
            play.about_reply(kind, vip, 8)
        }),
    ]);
    for len in [0, 7, header(family) - 1, header(family), header(family) + 7] {
        rows.push(passes(
            &format!("a quote of {len} bytes is too short"),
            Reason::IcmpQuote,
            to_vip(&segment(vip, client)[14..14 + len]),
        ));
    }
    let stranger = packet::patched(about(vip, client), 0, &[0x55]);
    rows.push(passes("a quote of no IP packet", Reason::IcmpQuote, to_vip(&stranger)));
    rows.extend(datagrams(&play));
    rows.extend(extended(&play));
    if family == Family::V4 {
        rows.extend(odd_v4(&play));
    }
    rows
}

/// UDP has its checksum in the first eight bytes, and may have none.
fn datagrams(play: &Play) -> Vec<Case> {
    let family = play.family;
    let (vip, blue) = (family.vip(1, 53), family.backend(DNS_BLUE));
    let pin = PinRow::new(In::Established, family, Proto::UDP, DNS, DNS_BLUE).state(Flow::ANSWERED).age(AGE);
    let quote = |from| begin(family, &packet::udp(from, play.client, b"answer"), 8);
    let blank = |from| packet::patched(quote(from), header(family) + 6, &[0, 0]);
    let error = |to: SocketAddr, quote: Vec<u8>| {
        packet::icmp_error(play.client.ip(), to.ip(), unreachable(family), &quote)
    };
    let case =
        |name: &str, from, to| play.translated(name, Hook::ToSlice, from, to).before([pin]).after([pin]);
    vec![
        case(
            "a client without a listener tells the backend",
            error(vip, quote(vip)),
            error(blue, quote(blue)),
        ),
        case("a quoted UDP checksum of zero stays zero", error(vip, blank(vip)), error(blue, blank(blue))),
    ]
}

/// Errors with extensions behind the quote (RFC 4884), which are not to be taken for a part of it.
fn extended(play: &Play) -> Vec<Case> {
    let family = play.family;
    // In words of four or eight bytes.
    let word = |bytes: usize| match family {
        Family::V4 => [0, (bytes / 4) as u8, 0, 0],
        Family::V6 => [(bytes / 8) as u8, 0, 0, 0],
    };
    let kind = |bytes| match family {
        Family::V4 => (11, 0, word(bytes)),
        Family::V6 => (3, 0, word(bytes)),
    };
    const EXTENSION: [u8; 16] = [0x20, 0, 0xaa, 0x55, 0, 12, 1, 1, 9, 8, 7, 6, 5, 4, 3, 2];
    let error = |to: SocketAddr, quoted: usize, said: usize| {
        let mut quote = begin(family, &segment(to, play.client), quoted);
        quote.resize(said.min(quote.len() + 128), 0);
        quote.extend(EXTENSION);
        packet::icmp_error(router(family), to.ip(), kind(said), &quote)
    };
    let eight = header(family) + 8;
    let case = |name: &str, quoted, said| {
        let (from, to) = (error(play.vip, quoted, said), error(play.blue, quoted, said));
        play.translated(name, Hook::ToSlice, from, to)
    };
    let longer = |to: SocketAddr| {
        let quote = begin(family, &segment(to, play.client), WHOLE);
        packet::icmp_error(router(family), to.ip(), kind(255 * 4), &quote)
    };
    vec![
        case("a padded quote with an extension behind it", WHOLE, 128),
        case("an extension right behind eight bytes is left alone", 8, eight),
        play.translated(
            "a length that reaches past the packet is not believed",
            Hook::ToSlice,
            longer(play.vip),
            longer(play.blue),
        ),
    ]
}

/// Quoted IPv4 headers that are not 20 bytes, and quoted fragments.
fn odd_v4(play: &Play) -> Vec<Case> {
    let options = |packet: &[u8], words: usize| {
        let mut quote = packet[14..34].to_vec();
        quote[0] = 0x45 + words as u8;
        quote.extend(std::iter::repeat_n(1, words * 4));
        let parsed = etherparse::Ipv4HeaderSlice::from_slice(&quote).expect("the header can be read");
        let sum = parsed.to_header().calc_header_checksum();
        quote[10..12].copy_from_slice(&sum.to_be_bytes());
        quote.extend(&packet[34..42]);
        quote
    };
    let error = |to: SocketAddr, quote: &[u8]| {
        packet::icmp_error(router(play.family), to.ip(), unreachable(play.family), quote)
    };
    let mut rows = Vec::new();
    for words in [1, 10] {
        let of = |from: SocketAddr| error(from, &options(&segment(from, play.client), words));
        rows.push(play.translated(
            format!("a quoted header with {words} words of options"),
            Hook::ToSlice,
            of(play.vip),
            of(play.blue),
        ));
    }
    let short = options(&segment(play.vip, play.client), 10);
    let later = packet::patched(begin(play.family, &segment(play.vip, play.client), 8), 6, &[0x20, 0x10]);
    let passes = |name: &str, quote: &[u8]| {
        play.case(name, Hook::ToSlice, error(play.vip, quote)).because(Reason::IcmpQuote)
    };
    rows.extend([
        passes("a quoted header whose options are cut off", &short[..50]),
        passes("a quoted header that is too short", &packet::patched(short.clone(), 0, &[0x44])),
        passes("a quoted later fragment has no ports", &later),
    ]);
    rows
}

/// Errors from slices, from routers on the way to them, and from the gateway itself.
pub(super) fn to_client(family: Family) -> Vec<Case> {
    let play = Play::of(family);
    let Play { client, vip, blue, pin, .. } = play;
    let own = unreachable(family);
    let mut rows = Vec::new();
    for hook in [Hook::Zone, Hook::ToClient] {
        for (what, kind) in kinds(family) {
            for (how, transport) in [("eight bytes", 8), ("a whole segment", WHOLE)] {
                rows.push(play.translated(
                    format!("{what} from a router, quoting {how}, keeps the router's address ({hook:?})"),
                    hook,
                    play.about_request(kind, router(family), blue, transport),
                    play.about_request(kind, router(family), vip, transport),
                ));
            }
        }
        let named = |name: &str| format!("{name} ({hook:?})");
        let error = |at: SocketAddr| play.about_request(own, at.ip(), at, 8);
        let second = family.vip(2, 80);
        let passes = |name: &str, reason, packet| play.case(named(name), hook, packet).because(reason);
        let green = web_pin(family, In::Established, WEB_GREEN).age(AGE);
        rows.extend([
            play.translated(
                named("an error of the backend itself is the VIP's"),
                hook,
                error(blue),
                error(vip),
            ),
            play.translated(
                named("it is that of the VIP that the client used"),
                hook,
                error(blue),
                error(second),
            )
            .before([pin.second_vip()])
            .after([pin.second_vip()]),
            play.translated(named("no fate applies to it"), hook, error(blue), error(vip)).word(
                Word::initial(Colour::Blue)
                    .switched(Colour::Green, Fate::Reset, None)
                    .expect("an initial word can be switched"),
            ),
            passes("an error of a direct conversation is left alone", Reason::IcmpNoFlow, error(blue))
                .before([])
                .after([]),
            passes(
                "an error of a backend that the flow has left is its own",
                Reason::IcmpNoFlow,
                error(blue),
            )
            .before([green])
            .after([green]),
            passes(
                "an error to another than who sent the packet is left alone",
                Reason::IcmpNoFlow,
                packet::icmp_error(
                    blue.ip(),
                    family.vip(2, 1).ip(),
                    own,
                    &begin(family, &segment(client, blue), 8),
                ),
            ),
            passes("an error about somebody else's packet is left alone", Reason::NotOurs, {
                play.about_request(own, router(family), SocketAddr::new(router(family), 80), 8)
            }),
            passes("an error that quotes too little is left alone", Reason::IcmpQuote, {
                let quote = begin(family, &segment(client, blue), 7);
                packet::icmp_error(blue.ip(), client.ip(), own, &quote)
            }),
        ]);
        let (dns, dns_vip) = (family.backend(DNS_BLUE), family.vip(1, 53));
        let question = PinRow::new(In::HalfOpen, family, Proto::UDP, DNS, DNS_BLUE).age(AGE);
        let closed = |at: SocketAddr| {
            let quote = begin(family, &packet::udp(client, at, b"question"), 16);
            packet::icmp_error(at.ip(), client.ip(), own, &quote)
        };
        rows.push(
            play.translated(
                named("a slice without a listener tells the client"),
                hook,
                closed(dns),
                closed(dns_vip),
            )
            .before([question])
            .after([question]),
        );
    }
    rows
}

/// Errors about flows of a VIP that owns every port and protocol, echoes among them.
pub(super) fn whole(family: Family) -> Vec<Case> {
    let play = Play::of(family);
    let (client, vip, blue) = (family.client(), family.vip(3, 0).ip(), family.backend(WHOLE_BLUE).ip());
    let own = unreachable(family);
    let icmp = Proto(if family == Family::V4 { 1 } else { 58 });
    const ID: u16 = 0x4711;
    let echo = |from, to, half| packet::echo(from, to, half, ID);
    type Speech<'a> = (&'a str, Proto, [u16; 2], Box<dyn Fn(IpAddr, bool) -> Vec<u8> + 'a>);
    let speeches: [Speech<'_>; 4] = [
        (
            "TCP",
            Proto::TCP,
            [40_000, 22],
            Box::new(|at, back| {
                let at = SocketAddr::new(at, 22);
                if back { segment(at, client) } else { segment(client, at) }
            }),
        ),
        (
            "an echo",
            icmp,
            [ID, 0],
            Box::new(|at, back| {
                if back {
                    echo(at, client.ip(), packet::Echo::Reply)
                } else {
                    echo(client.ip(), at, packet::Echo::Request)
                }
            }),
        ),
        (
            "GRE",
            Proto(47),
            [0, 0],
            Box::new(|at, back| {
                let (from, to) = if back { (at, client.ip()) } else { (client.ip(), at) };
                packet::raw(from, to, 47, b"\0\0\x08\0whatever it carries")
            }),
        ),
        (
            "SCTP",
            Proto::SCTP,
            [40_000, 22],
            Box::new(|at, back| {
                let (from, to) = if back { (at, client.ip()) } else { (client.ip(), at) };
                let [source, destination] = if back { [22, 40_000_u16] } else { [40_000, 22] };
                let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
                packet::raw(from, to, Proto::SCTP.0, &[&ports[..], &[7; 24]].concat())
            }),
        ),
    ];
    let mut rows = Vec::new();
    for (what, proto, [from, to], speech) in speeches {
        let pin = PinRow::whole(In::Established, family, proto, from, to, WHOLE_BLUE)
            .state(Flow::ANSWERED)
            .age(AGE);
        let pinned = |case: Case| Case { whole: true, ..case.before([pin]).after([pin]) };
        for transport in [8, 13] {
            let about = |at: IpAddr, back| begin(family, &speech(at, back), transport);
            let to_vip = |at| packet::icmp_error(router(family), at, own, &about(at, true));
            rows.push(pinned(play.translated(
                format!("an error about {what} ({transport}) from a whole address goes to the backend"),
                Hook::ToSlice,
                to_vip(vip),
                to_vip(blue),
            )));
            let to_client = |at| packet::icmp_error(at, client.ip(), own, &about(at, false));
            for hook in [Hook::Zone, Hook::ToClient] {
                rows.push(pinned(play.translated(
                    format!("an error about {what} ({transport}) to a whole address is the VIP's ({hook:?})"),
                    hook,
                    to_client(blue),
                    to_client(vip),
                )));
            }
        }
        let error = packet::icmp_error(router(family), vip, own, &begin(family, &speech(vip, true), 8));
        let unknown = play.case(
            format!("an error about {what} of no flow from a whole address reaches no slice"),
            Hook::ToSlice,
            error,
        );
        rows.push(Case { whole: true, ..unknown.because(Reason::IcmpNoFlow).before([]).after([]) });
    }
    let other = packet::echo(client.ip(), vip, packet::Echo::Reply, ID);
    let kind = 14 + header(family);
    let timestamp = packet::patched(other, kind, &[if family == Family::V4 { 13 } else { 130 }]);
    let passes = play
        .case("other ICMP to a whole address is the gateway's", Hook::ToSlice, timestamp)
        .because(Reason::OtherProtocol);
    rows.push(Case { whole: true, ..passes });
    rows
}
