//! What chance would need too long for: every length of a frame, every checksum, every way there and back.

use super::frames::{Wanted, frame};
use super::generate::runs;
use super::network::{self, ip};
use super::options::Options;
use super::play::Player;
use super::report::Report;
use super::shrink::Found;
use super::step::{Made, Step, hex};
use crate::dice::Dice;
use crate::model::{Place, Program, mirrored, ports, state};
use anyhow::Result;
use std::net::IpAddr;

/// From so many packets on, sweeps leave nothing out where the programs compute checksums themselves.
const WHOLE: u64 = 1_000_000;

/// So many of the ways have edges that the others have not: the first.
const WHOLE_WAYS: usize = 8;

pub(super) fn run(player: &mut Player, options: &Options, report: &mut Report) -> Result<()> {
    lengths(player, report)?;
    there_and_back(player, options, report)?;
    checksums(player, options, report)
}

fn wanted(src: (IpAddr, u16), dst: (IpAddr, u16), proto: u8, flags: u8) -> Wanted {
    let payload = b"payload".to_vec();
    Wanted { src, dst, proto, flags, numbers: [1, 2], hops: 64, options: 0, payload }
}

/// Plays steps, and reports the first difference.
fn play(player: &mut Player, steps: impl IntoIterator<Item = Step>, report: &mut Report) -> Result<()> {
    player.reset()?;
    for step in steps {
        if let Err(difference) = player.play(&step) {
            report.count(player);
            report.differ(0, &Found { steps: vec![step], difference, again: false });
            return Ok(());
        }
    }
    let compared = player.compare_all();
    report.count(player);
    if let Err(difference) = compared {
        report.differ(0, &Found { steps: Vec::new(), difference, again: false });
    }
    Ok(())
}

/// Each kind of frame, cut at every byte, through every program.
fn lengths(player: &mut Player, report: &mut Report) -> Result<()> {
    let mut steps = Vec::new();
    for v6 in [false, true] {
        for (proto, port) in [(6, 80), (17, 53)] {
            let whole = frame(&wanted((ip(v6, 9, 7), 40_000), (ip(v6, 0, 10), port), proto, 2));
            for program in Program::ALL {
                let cut = (0..=whole.len()).map(|end| whole[..end].to_vec());
                steps.extend(cut.filter(|frame| runs(program, frame)).map(|frame| Step::Packet {
                    program,
                    frame,
                    segments: (0, 0),
                }));
            }
        }
    }
    play(player, steps, report)
}

/// What there and back asks for: port, protocol, whether of the address that one service owns. An echo request is
/// one of either family.
const ASKED: [(u16, u8, bool); 9] = [
    (80, 6, false),
    (90, 6, false),
    (443, 6, false),
    (53, 17, false),
    (91, 17, false),
    (22, 6, true),
    (5_060, SCTP, true),
    (0, GRE, true),
    (0, ICMP, true),
];
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const GRE: u8 = 47;
const SCTP: u8 = 132;

/// Whatever the programs do to a packet on its way there, they undo on the way back: the slice's answer, which is the
/// packet that it got with both ends exchanged, reaches the client as the packet that it sent with both ends
/// exchanged. So it does when the link to the slice replaces the client.
fn there_and_back(player: &mut Player, options: &Options, report: &mut Report) -> Result<()> {
    let mut dice = Dice::new(options.seed ^ 0xbac);
    let mut replaced = 0;
    player.reset()?;
    for number in 0..(options.packets / 100).clamp(500, 20_000) {
        let sent = frame(&asking(&mut dice));
        let there = [Program::Xdp, Program::Ingress, Program::Zone][(number % 3) as usize];
        let back = [Program::Egress, Program::Zone][(number / 3 % 2) as usize];
        if let Err(difference) = go_and_return(player, &sent, there, back) {
            report.count(player);
            let first = Step::Packet { program: there, frame: sent, segments: (0, 0) };
            report.differ(options.seed, &Found { steps: vec![first], difference, again: false });
            return Ok(());
        }
        if number % 1_000 == 999 {
            // Before the table has to make room.
            replaced += player.model().tables.hidden.len();
            report.count(player);
            player.reset()?;
        }
    }
    replaced += player.model().tables.hidden.len();
    report.count(player);
    if replaced == 0 {
        let difference = "no client was replaced".to_owned();
        report.differ(options.seed, &Found { steps: Vec::new(), difference, again: false });
    }
    Ok(())
}

/// Some client's packet to some frontend.
fn asking(dice: &mut Dice) -> Wanted {
    let v6 = dice.below(2) == 0;
    let (port, proto, owned) = dice.one_of(&ASKED).copied().unwrap_or((80, 6, false));
    let host = if owned { network::OWNED } else { 10 + dice.below(2) as u8 };
    let client = ip(v6, 9, 2 + dice.below(200) as u8);
    let number = 1_024 + dice.below(60_000) as u16;
    // What stands where others have a port: of an echo request the type, of GRE nothing.
    let (own, proto) = match (proto, v6) {
        (ICMP, false) => (8 << 8, ICMP),
        (ICMP, true) => (128 << 8, ICMP6),
        (GRE, _) => (0, GRE),
        _ => (number, proto),
    };
    let mut wanted = wanted((client, own), (ip(v6, 0, host), port), proto, 2);
    wanted.numbers = [number.into(), 2];
    // The rest of an SCTP header, at least.
    wanted.payload = (0..4 + dice.below(30)).map(|_| dice.below(256) as u8).collect();
    wanted
}

fn go_and_return(player: &mut Player, sent: &[u8], there: Program, back: Program) -> Result<(), String> {
    let step = |program, frame: &[u8]| Step::Packet { program, frame: frame.to_vec(), segments: (0, 0) };
    player.play(&step(there, sent))?;
    let to_slice = player.out().to_vec();
    player.play(&step(Program::NatEgress, &to_slice))?;
    let answer = mirrored(player.out()).ok_or("it cannot be read any more")?;
    let want = mirrored(sent).ok_or("it cannot be mirrored")?;
    // A redirected packet has taken a hop.
    let arrived = |player: &Player| without_hops(player.out()) == without_hops(&want);
    player.play(&step(Program::NatIngress, &answer))?;
    // That may have sent it all of the way.
    if !arrived(player) {
        let to_client = player.out().to_vec();
        player.play(&step(back, &to_client))?;
    }
    if arrived(player) {
        Ok(())
    } else {
        Err(format!("there by {there:?} and back by {back:?} {}\n{}", hex(&want), hex(player.out())))
    }
}

/// A frame without its hop limit and the checksum that covers it.
fn without_hops(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let fields: &[usize] = if frame.get(12) == Some(&0x86) { &[21] } else { &[22, 24, 25] };
    for at in fields {
        frame[*at] = 0;
    }
    frame
}

/// Words that are always among the values of a checksum.
const EDGES: [u16; 6] = [0, 1, 0x00ff, 0xff00, 0xfffe, 0xffff];

/// Every value of a transport checksum and of an IPv4 header's, with words on the edges before and after: zero, all
/// ones, the same, one that carries. In both directions, and where the link replaces the client.
fn checksums(player: &mut Player, options: &Options, report: &mut Report) -> Result<()> {
    for (number, (vip, backend)) in network::edges().into_iter().enumerate() {
        let client = (ip(vip.0.is_ipv6(), 9, 7), 40_000);
        let key = (client.0, client.1, vip.2, network::FIRST_EDGE + number as u32, 0);
        let tables = &player.model().tables;
        let (id, frontend) = (tables.backends_by_addr[&backend], tables.frontends[&vip].id);
        let gateway = (tables.sources[&id].0, ports(&key)[0]);
        let pin = Made { backend: id, frontend, state: state::ANSWERED, age: 0, begun: 0 };
        let pinned = |place| Step::Pin { place, key, pin };
        // What is established is remembered by the programs beside the table, and the rest is not.
        let places = if number / 2 % 2 == 0 { Place::BOTH } else { [Place::HalfOpen, Place::Established] };
        let port = Step::Port { at: (id, gateway.1, vip.2), flow: Some(key) };
        let (vip, backend, proto) = ((vip.0, vip.1), (backend.0, backend.1), vip.2);
        let sweeps = [
            (Program::Xdp, client, vip, vec![]),
            (Program::Ingress, client, vip, vec![]),
            (Program::Egress, backend, client, vec![pinned(places[0])]),
            (Program::Zone, backend, client, vec![pinned(places[1])]),
            (Program::NatEgress, client, backend, vec![pinned(places[0])]),
            (Program::NatIngress, backend, gateway, vec![pinned(places[1]), port]),
        ];
        for (program, src, dst, before) in sweeps {
            let step = match (program, options.packets >= WHOLE) {
                (Program::Xdp, true) if number < WHOLE_WAYS => 1,
                // The kernel computes them, or they are no edges.
                (Program::Xdp | Program::Ingress, true) => 13,
                (_, true) => 31,
                (_, false) => 251,
            };
            let plain = frame(&wanted(src, dst, proto, 16));
            let values = (0..=u16::MAX).step_by(step).chain(EDGES);
            let packets = values.map(|value| with_checksum(&plain, proto, value));
            let packets = packets.map(|frame| Step::Packet { program, frame, segments: (0, 0) });
            play(player, before.into_iter().chain(packets), report)?;
            if report.mismatches > 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The frame with this as its checksums.
fn with_checksum(plain: &[u8], proto: u8, value: u16) -> Vec<u8> {
    let mut frame = plain.to_vec();
    let v6 = frame[12] == 0x86;
    let field = if v6 { 54 } else { 34 } + if proto == 6 { 16 } else { 6 };
    frame[field..field + 2].copy_from_slice(&value.to_be_bytes());
    if !v6 {
        frame[24..26].copy_from_slice(&value.to_be_bytes());
    }
    frame
}
