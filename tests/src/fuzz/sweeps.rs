//! What chance would need too long for: every length of a frame, every checksum, every way there and back.

use super::frames::{Wanted, frame};
use super::generate::runs;
use super::machine::Sizes;
use super::network::{self, ip};
use super::options::Options;
use super::play::Player;
use super::report::Report;
use super::shrink::Found;
use super::step::{Step, hex};
use crate::dice::Dice;
use crate::model::{Backend, Frontend, Program, Service, Tables, Word, mirrored};
use anyhow::Result;
use bg_common::{Aim, Colour, Fate, Via};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From so many packets on, sweeps leave nothing out where the programs compute checksums themselves.
const WHOLE: u64 = 1_000_000;

/// So many of the ways have edges that the others have not: the first.
const WHOLE_WAYS: usize = 8;

pub(super) fn run(player: &mut Player, options: &Options, report: &mut Report) -> Result<()> {
    lengths(player, report)?;
    there_and_back(player, options, report)?;
    checksums(options, report)
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

/// Whatever the programs do to a packet on its way there, they undo on the way back: the slice's answer, which is the
/// packet that it got with both ends exchanged, reaches the client as the packet that it sent with both ends
/// exchanged.
fn there_and_back(player: &mut Player, options: &Options, report: &mut Report) -> Result<()> {
    let mut dice = Dice::new(options.seed ^ 0xbac);
    player.reset()?;
    for number in 0..(options.packets / 100).clamp(500, 20_000) {
        let v6 = dice.below(2) == 0;
        let (port, proto) =
            dice.one_of(&[(80, 6), (90, 6), (443, 6), (53, 17), (91, 17)]).copied().unwrap_or((80, 6));
        let client = (ip(v6, 9, 2 + dice.below(200) as u8), 1_024 + dice.below(60_000) as u16);
        let mut wanted = wanted(client, (ip(v6, 0, 10 + dice.below(2) as u8), port), proto, 2);
        wanted.payload = (0..dice.below(30)).map(|_| dice.below(256) as u8).collect();
        let sent = frame(&wanted);
        let there = if number % 2 == 0 { Program::Xdp } else { Program::Egress };
        let there = if there == Program::Egress { Program::Ingress } else { there };
        let steps = |program, frame: Vec<u8>| Step::Packet { program, frame, segments: (0, 0) };
        let first = steps(there, sent.clone());
        let outcome = player.play(&first).and_then(|()| {
            let answer = mirrored(player.out()).ok_or("it cannot be read any more")?;
            player.play(&steps(Program::Egress, answer.clone()))?;
            let want = mirrored(&sent).ok_or("it cannot be mirrored")?;
            // A redirected packet has taken a hop.
            let same = [player.out(), &want].map(without_hops);
            if same[0] == same[1] {
                Ok(())
            } else {
                Err(format!("there and back {}\n{}", hex(&want), hex(player.out())))
            }
        });
        if let Err(difference) = outcome {
            report.count(player);
            report.differ(options.seed, &Found { steps: vec![first], difference, again: false });
            return Ok(());
        }
        if number % 1_000 == 999 {
            // Before the table has to make room.
            report.count(player);
            player.reset()?;
        }
    }
    report.count(player);
    Ok(())
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

/// Every value of a transport checksum and of an IPv4 header's, with words on the edges before and after: zero, all
/// ones, the same, one that carries.
fn checksums(options: &Options, report: &mut Report) -> Result<()> {
    let sizes = Sizes::default();
    let (tables, ways) = edges(sizes);
    let mut player = Player::with(sizes, tables)?;
    for (number, (vip, port, proto)) in ways.into_iter().enumerate() {
        let client = if vip.is_ipv6() { ip(true, 9, 7) } else { ip(false, 9, 7) };
        let plain = frame(&wanted((client, 40_000), (vip, port), proto, 16));
        let l4 = if vip.is_ipv6() { 54 } else { 34 };
        let field = l4 + if proto == 6 { 16 } else { 6 };
        for program in [Program::Xdp, Program::Ingress] {
            let step = match (program, options.packets >= WHOLE) {
                (Program::Xdp, true) if number < WHOLE_WAYS => 1,
                // The kernel computes them, or they are no edges.
                (_, true) => 13,
                (_, false) => 251,
            };
            let values = (0..=u16::MAX).step_by(step);
            let steps = values.map(|value| {
                let mut frame = plain.clone();
                frame[field..field + 2].copy_from_slice(&value.to_be_bytes());
                if !vip.is_ipv6() {
                    frame[24..26].copy_from_slice(&value.to_be_bytes());
                }
                Step::Packet { program, frame, segments: (0, 0) }
            });
            play(&mut player, steps, report)?;
            if report.mismatches > 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

type At = (IpAddr, u16, u8);

/// Services whose addresses and ports lie on the edges of a checksum's words.
fn edges(sizes: Sizes) -> (Tables, Vec<At>) {
    let v4 = |high: u16, low: u16| IpAddr::from(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let v6 = |word: u16| IpAddr::from(Ipv6Addr::new(0xfd00, word, word, 0, 0, 0, word, 1));
    let ends = [
        ((v4(0, 1), 0), (v4(0xffff, 0xfffe), 0xffff)),
        ((v4(0xffff, 0xfffd), 0xffff), (v4(0, 2), 0)),
        ((v4(0x0a00, 10), 80), (v4(0x0a00, 10), 80)),
        ((v6(0), 0), (v6(0xffff), 0xffff)),
        ((v6(0xfffe), 0xffff), (v6(1), 0)),
        ((v4(0x0a00, 11), 80), (v4(0x0a01, 2), 80)),
    ];
    let mut tables = Tables { room: sizes.room(), ..Tables::default() };
    let mut ways = Vec::new();
    for deployment in 0..network::DEPLOYMENTS {
        tables.words.insert(deployment, Word(0));
    }
    for (id, (((vip, port), (ip, backend_port)), proto)) in
        (0..).zip(ends.into_iter().flat_map(|end| [(end, 6), (end, 17)]))
    {
        let backend = Backend {
            ip,
            port: backend_port,
            proto,
            service: id,
            deployment: 0,
            colour: Colour::Blue,
            via: if id % 4 < 2 { Via::Stack } else { Via::Neighbour },
            ifindex: 1,
            down: None,
            on_switch: Fate::Keep,
        };
        tables.backends.insert(id + 1, backend);
        tables.backends_by_addr.insert((ip, backend_port, proto), id + 1);
        let rings = [((Colour::Blue, ip.is_ipv6()), vec![id + 1])].into();
        tables.services.insert(id, Service { rings, ..Service::default() });
        tables.frontend_addrs.insert(id, (vip, port));
        tables.frontends.insert((vip, port, proto), Frontend { service: id, id, aim: Aim::Live });
        ways.push((vip, port, proto));
    }
    (tables, ways)
}
