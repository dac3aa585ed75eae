//! A VIP that owns every port and protocol.

#![expect(clippy::expect_used, reason = "a wrong fixture shall end the test that uses it")]

use super::{Case, Hook, green, green_draining};
use crate::packet::{self, flag, fragments, raw, summed};
use crate::world::{Family, In, PinRow, WHOLE_BLUE, WHOLE_GREEN};
use bg_common::{Fate, Flow, Proto, Reason, Word};
use std::net::{IpAddr, SocketAddr};

const GRE: u8 = 47;
const ESP: u8 = 50;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// What stands in the first four bytes of an SCTP, UDP-Lite or DCCP packet, and something behind it.
fn with_ports(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 12], b"hello"].concat()
}

fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

/// A protocol, how it is sent, and the ports that its flow has.
type Speech = (&'static str, u8, Box<dyn Fn(IpAddr, IpAddr, bool) -> Vec<u8>>, [u16; 2]);

/// Packets from one address to another, or back.
fn speeches(family: Family) -> Vec<Speech> {
    let ports = |back: bool| if back { [7000, 40_000] } else { [40_000, 7000] };
    let plain = move |proto: u8| -> Box<dyn Fn(IpAddr, IpAddr, bool) -> Vec<u8>> {
        Box::new(move |from, to, _| raw(from, to, proto, b"\0\0\x08\0whatever it carries"))
    };
    let covered = move |proto: u8| -> Box<dyn Fn(IpAddr, IpAddr, bool) -> Vec<u8>> {
        Box::new(move |from, to, back| {
            let [source, destination] = ports(back);
            summed(from, to, proto, &with_ports(source, destination), 6)
        })
    };
    vec![
        (
            "UDP",
            Proto::UDP.0,
            Box::new(move |from, to, back| {
                let [source, destination] = ports(back);
                packet::udp(at(from, source), at(to, destination), b"hello")
            }),
            [40_000, 7000],
        ),
        (
            "SCTP",
            Proto::SCTP.0,
            Box::new(move |from, to, back| {
                let [source, destination] = ports(back);
                raw(from, to, Proto::SCTP.0, &with_ports(source, destination))
            }),
            [40_000, 7000],
        ),
        ("UDP-Lite", Proto::UDP_LITE.0, covered(Proto::UDP_LITE.0), [40_000, 7000]),
        ("DCCP", Proto::DCCP.0, covered(Proto::DCCP.0), [40_000, 7000]),
        ("GRE", GRE, plain(GRE), [0, 0]),
        ("ESP", ESP, plain(ESP), [0, 0]),
        (
            "an echo request",
            if family == Family::V4 { ICMP } else { ICMP6 },
            Box::new(|from, to, _| packet::echo_request(from, to)),
            [0, 0],
        ),
    ]
}

pub(super) fn whole(family: Family) -> Vec<Case> {
    let mut rows = [tcp(family), others(family), edges(family)].concat();
    rows.iter_mut().for_each(|row| row.whole = true);
    rows
}

fn tcp(family: Family) -> Vec<Case> {
    let client = family.client();
    let (blue, green_at) = (family.backend(WHOLE_BLUE).ip(), family.backend(WHOLE_GREEN).ip());
    let to = |ip, port, flags| packet::tcp(client, at(ip, port), flags, b"");
    let from = |ip, port, flags| packet::tcp(at(ip, port), client, flags, b"");
    let vip = family.vip(3, 0).ip();
    let pin = |table, port, backend| PinRow::whole(table, family, Proto::TCP, 40_000, port, backend);
    let open = pin(In::Established, 22, WHOLE_BLUE).state(Flow::ANSWERED);
    let begun = |port, backend| pin(In::HalfOpen, port, backend).state(Flow::HANDSHAKE).begun(0);
    vec![
        Case::new(
            "a SYN to any port goes to the live colour and keeps the port",
            Hook::ToSlice,
            to(vip, 22, flag::SYN),
        )
        .becomes(to(blue, 22, flag::SYN))
        .after([begun(22, WHOLE_BLUE)]),
        Case::new("after a switch to the other one", Hook::ToSlice, to(vip, 65_535, flag::SYN))
            .word(green())
            .becomes(to(green_at, 65_535, flag::SYN))
            .after([begun(65_535, WHOLE_GREEN)]),
        Case::new("an open connection stays", Hook::ToSlice, to(vip, 22, flag::ACK))
            .before([open])
            .word(green_draining())
            .becomes(to(blue, 22, flag::ACK))
            .after([open]),
        Case::new(
            "another port from the same port of the client is another flow",
            Hook::ToSlice,
            to(vip, 80, flag::SYN),
        )
        .before([open])
        .word(green_draining())
        .becomes(to(green_at, 80, flag::SYN))
        .after([open, begun(80, WHOLE_GREEN)]),
        Case::new("a reply leaves with the VIP as its source", Hook::ToClient, from(blue, 22, flag::ACK))
            .before([open])
            .becomes(from(vip, 22, flag::ACK))
            .after([open]),
        Case::new("and past the stack", Hook::Zone, from(blue, 22, flag::ACK))
            .before([open])
            .becomes(from(vip, 22, flag::ACK))
            .after([open]),
        Case::new(
            "a conversation with the backend itself is left alone",
            Hook::ToClient,
            from(blue, 23, flag::ACK),
        )
        .before([open])
        .because(Reason::DirectReply)
        .after([open]),
        Case::new(
            "a late reply of the colour that was left is left alone",
            Hook::ToClient,
            from(green_at, 22, flag::ACK),
        )
        .before([open])
        .because(Reason::StaleReply)
        .after([open]),
        Case::new("a fate is met there, too", Hook::ToSlice, to(vip, 22, flag::ACK))
            .before([open.age(1)])
            .word(reset_by_fate())
            .answered(Reason::ResetByFate, packet::rst(at(vip, 22), client, None))
            .after([open.state(Flow::ANSWERED | Flow::CUT)]),
    ]
}

fn reset_by_fate() -> Word {
    let blue = Word::initial(bg_common::Colour::Blue);
    blue.switched(bg_common::Colour::Green, Fate::Reset, None).expect("an initial word can be switched")
}

fn others(family: Family) -> Vec<Case> {
    let (client, vip) = (family.client().ip(), family.vip(3, 0).ip());
    let (blue, green_at) = (family.backend(WHOLE_BLUE).ip(), family.backend(WHOLE_GREEN).ip());
    let mut rows = Vec::new();
    for (name, proto, speech, [from, to]) in speeches(family) {
        let pin = |table, backend| PinRow::whole(table, family, Proto(proto), from, to, backend);
        let open = pin(In::Established, WHOLE_BLUE).state(Flow::ANSWERED);
        rows.extend([
            Case::new(format!("{name} goes to the live colour"), Hook::ToSlice, speech(client, vip, false))
                .word(green())
                .becomes(speech(client, green_at, false))
                .after([pin(In::HalfOpen, WHOLE_GREEN)]),
            Case::new(
                format!("{name} of a flow stays where it is"),
                Hook::ToSlice,
                speech(client, vip, false),
            )
            .before([open])
            .word(green_draining())
            .becomes(speech(client, blue, false))
            .after([open]),
            Case::new(format!("{name} is answered from the VIP"), Hook::ToClient, speech(blue, client, true))
                .before([open])
                .becomes(speech(vip, client, true))
                .after([open]),
            Case::new(
                format!("{name} is answered from the VIP, past the stack"),
                Hook::Zone,
                speech(blue, client, true),
            )
            .before([open])
            .becomes(speech(vip, client, true))
            .after([open]),
        ]);
        if !["UDP"].contains(&name) {
            rows.push(
                Case::new(
                    format!("{name} to a VIP of single ports is the gateway's"),
                    Hook::ToSlice,
                    speech(client, family.vip(1, 0).ip(), false),
                )
                .because(Reason::OtherProtocol),
            );
        }
    }
    rows
}

fn edges(family: Family) -> Vec<Case> {
    let (client, vip, blue) = (family.client(), family.vip(3, 0).ip(), family.backend(WHOLE_BLUE).ip());
    let to = |ip| fragments(&raw(client.ip(), ip, GRE, &[7; 200]), 64);
    let pin = PinRow::whole(In::HalfOpen, family, Proto(GRE), 0, 0, WHOLE_BLUE);
    let mut rows = vec![
        Case::new("fragments without ports follow the first one", Hook::ToSlice, to(vip)[1].clone())
            .earlier([to(vip)[0].clone()])
            .becomes(to(blue)[1].clone())
            .after([pin]),
        Case::new("and are dropped without one", Hook::ToSlice, to(vip)[1].clone()).dropped(Reason::Orphan),
    ];
    if family == Family::V6 {
        for kind in 133..=137 {
            let packet = summed(client.ip(), vip, ICMP6, &[&[kind][..], &[0; 23]].concat(), 2);
            let name = format!("neighbour discovery ({kind}) is the gateway's, whoever has the address");
            rows.push(Case::new(name, Hook::ToSlice, packet).because(Reason::OtherProtocol));
        }
    }
    rows
}
