//! The model against another implementation: nftables' DNAT in this kernel.

use super::frames::{Wanted, frame};
use super::network::ip;
use crate::clock;
use crate::dice::Dice;
use crate::model::{Backend, Frontend, Input, Model, Program, Routes, Tables, Word, verifies};
use crate::netns::Namespace;
use crate::packet::difference;
use crate::run;
use crate::wait;
use crate::wire::Socket;
use anyhow::{Context, Result, ensure};
use bg_common::{Aim, Colour, Fate, Via};
use std::collections::HashMap;
use std::net::IpAddr;
use std::process::Command;

/// How a comparison ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Against {
    /// What came out of the kernel was compared.
    Compared {
        /// Packets.
        packets: u64,
        /// The first few that the model says otherwise.
        differences: Vec<String>,
    },
    /// It could not be.
    Skipped(String),
}

/// Differences that are enough.
const ENOUGH: usize = 5;
/// Conversations that are under way at once: as many packets fit into any queue on the way.
const AT_ONCE: u64 = 64;
/// Address of both gateway's interfaces, and of both ends.
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A service: VIP's port, backend's port, protocol.
const SERVICES: [(u16, u16, u8); 3] = [(80, 8080, 6), (53, 53, 17), (443, 9443, 6)];

/// A gateway with rules, and both ends of its cables.
struct Rig {
    _far: Namespace,
    gateway: Namespace,
    client: Socket,
    slice: Socket,
}

/// Sends `packets` through a gateway with DNAT rules, and compares what leaves it with what the model says.
///
/// # Errors
///
/// When the network cannot be set up, or a packet is lost on the way.
pub fn against_nft(packets: u64, seed: u64) -> Result<Against> {
    if Command::new("nft").arg("--version").output().is_err() {
        return Ok(Against::Skipped("there is no nft here".to_owned()));
    }
    let rig = Rig::new()?;
    let probe = "table ip probe {\nchain prerouting {\ntype nat hook prerouting priority -100\n}\n}\n";
    if let Err(why) = rig.gateway.nft(probe) {
        return Ok(Against::Skipped(format!("this kernel translates no addresses: {why:#}")));
    }
    rig.gateway.nft(&rules())?;
    let mut comparison = Comparison {
        model: Model::new(
            tables(),
            Routes {
                networks: vec![(ip(false, 9, 0), 24), (ip(true, 9, 0), 64)],
                not_hosts: Vec::new(),
                mtu: 1500,
            },
        ),
        rig,
        dice: Dice::new(seed),
        packets: 0,
        differences: Vec::new(),
    };
    let mut conversation = 0;
    while comparison.packets < packets && comparison.differences.len() < ENOUGH && !crate::signals::seen() {
        comparison.batch(conversation)?;
        conversation += AT_ONCE;
    }
    Ok(Against::Compared { packets: comparison.packets, differences: comparison.differences })
}

impl Rig {
    fn new() -> Result<Self> {
        let name = run::unique();
        let (far, gateway) =
            (Namespace::new(&format!("{name}-far"))?, Namespace::new(&format!("{name}-nft"))?);
        let mac = |bytes: [u8; 6]| bytes.map(|byte| format!("{byte:02x}")).join(":");
        let (here, there) = (mac(GATEWAY_MAC), mac(FAR_MAC));
        let mut lines = String::new();
        for (link, net) in [("clients", 9), ("slices", 1)] {
            lines += &format!(
                "link add {link} address {here} type veth peer name {link} netns {} address {there}\n\
                 link set {link} up\naddr add 10.{net}.0.1/24 dev {link}\n\
                 addr add fd00:{net}::1/64 dev {link} nodad\n",
                far.name()
            );
        }
        gateway.ip(&lines)?;
        // Nobody there but who reads and writes frames.
        far.ip("link set clients arp off up\nlink set slices arp off up")?;
        let mut neighbours = String::new();
        for v6 in [false, true] {
            for host in HOSTS {
                neighbours += &format!("neigh add {} lladdr {there} dev clients\n", ip(v6, 9, host));
            }
            neighbours += &format!("neigh add {} lladdr {there} dev slices\n", ip(v6, 1, 2));
        }
        gateway.ip(&neighbours)?;
        for (key, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/clients/rp_filter", "0"),
            ("net/ipv4/conf/slices/rp_filter", "0"),
        ] {
            gateway.sysctl(key, value)?;
        }
        let (client, slice) = (Socket::open(&far, "clients")?, Socket::open(&far, "slices")?);
        Ok(Self { _far: far, gateway, client, slice })
    }
}

/// The clients' hosts.
const HOSTS: std::ops::RangeInclusive<u8> = 7..=16;

fn rules() -> String {
    let mut rules = String::new();
    for (v6, family) in [(false, "ip"), (true, "ip6")] {
        rules +=
            &format!("table {family} vips {{\nchain prerouting {{\ntype nat hook prerouting priority -100\n");
        for (port, backend_port, proto) in SERVICES {
            let proto = if proto == 6 { "tcp" } else { "udp" };
            let (vip, backend) = (ip(v6, 0, 10), ip(v6, 1, 2));
            let to = if v6 { format!("[{backend}]") } else { backend.to_string() };
            rules += &format!("{family} daddr {vip} {proto} dport {port} dnat to {to}:{backend_port}\n");
        }
        rules += "}\n}\n";
    }
    rules
}

/// The same in the model's words.
fn tables() -> Tables {
    let mut tables = Tables { room: [usize::MAX; 2], fragment_room: usize::MAX, ..Tables::default() };
    tables.words.insert(0, Word(0));
    for v6 in [false, true] {
        for (service, (port, backend_port, proto)) in (0..).zip(SERVICES) {
            let id = service + 10 * u32::from(v6);
            let (vip, ip) = (ip(v6, 0, 10), ip(v6, 1, 2));
            let backend = Backend {
                ip,
                port: backend_port,
                proto,
                service,
                deployment: 0,
                colour: Colour::Blue,
                via: Via::Neighbour,
                ifindex: 1,
                down: None,
                on_switch: Fate::Keep,
            };
            tables.backends.insert(id, backend);
            tables.backends_by_addr.insert((ip, backend_port, proto), id);
            let entry = tables.services.entry(service).or_default();
            entry.rings.insert((Colour::Blue, v6), vec![id]);
            tables.frontend_addrs.insert(id, (vip, port, proto));
            tables.frontends.insert((vip, port, proto), Frontend { service, id, aim: Aim::Live });
        }
    }
    tables
}

struct Comparison {
    model: Model,
    rig: Rig,
    dice: Dice,
    packets: u64,
    differences: Vec<String>,
}

/// One client's conversation.
struct Talk {
    client: (IpAddr, u16),
    service: (u16, u16, u8),
    numbers: [u32; 2],
}

/// Of a plain conversation: whether it is the client's, and the flags.
const LINES: [(bool, u8); 6] = [(true, 2), (false, 18), (true, 16), (false, 24), (true, 24), (true, 17)];

impl Comparison {
    /// Some conversations, step by step side by side.
    fn batch(&mut self, first: u64) -> Result<()> {
        let mut talks = Vec::new();
        for number in first..first + AT_ONCE {
            let v6 = number % 2 == 0;
            let host = *HOSTS.start() + (number % 10) as u8;
            // No two conversations of a run have the same ends.
            let port = 1_024 + (number / 10 % 64_000) as u16;
            let service = self.dice.one_of(&SERVICES).copied().context("there are services")?;
            let numbers = [(); 2].map(|()| self.dice.below(1 << 32) as u32);
            talks.push(Talk { client: (ip(v6, 9, host), port), service, numbers });
        }
        for (by_client, flags) in LINES {
            let payload = if flags & 8 != 0 { self.dice.below(40) as u32 } else { 0 };
            let mut expected = HashMap::new();
            for talk in &mut talks {
                let frame = self.line(talk, by_client, flags, payload);
                let want = self.expect(by_client, &frame)?;
                let socket = if by_client { &self.rig.client } else { &self.rig.slice };
                socket.send(&frame)?;
                let key = want.get(26..).map(|_| key(&want)).context("the model gives a whole frame")?;
                ensure!(
                    expected.insert(key, (frame, want)).is_none(),
                    "two conversations have the same ends"
                );
                // Sequence numbers go on as they would, so that connection tracking follows.
                let step = payload + u32::from(flags & 3 != 0);
                let whose = usize::from(!by_client);
                talk.numbers[whose] = talk.numbers[whose].wrapping_add(step);
            }
            self.collect(by_client, expected)?;
        }
        Ok(())
    }

    fn line(&mut self, talk: &Talk, by_client: bool, flags: u8, payload: u32) -> Vec<u8> {
        let v6 = talk.client.0.is_ipv6();
        let (port, backend_port, proto) = talk.service;
        let (vip, backend) = ((ip(v6, 0, 10), port), (ip(v6, 1, 2), backend_port));
        let (src, dst) = if by_client { (talk.client, vip) } else { (backend, talk.client) };
        let [client, server] = talk.numbers;
        let mut numbers = if by_client { [client, server] } else { [server, client] };
        if flags & 16 == 0 {
            numbers[1] = 0;
        }
        let hops = 2 + self.dice.below(254) as u8;
        let payload = (0..payload).map(|_| self.dice.below(256) as u8).collect();
        let mut frame = frame(&Wanted { src, dst, proto, flags, numbers, hops, options: 0, payload });
        frame[..6].copy_from_slice(&GATEWAY_MAC);
        frame[6..12].copy_from_slice(&FAR_MAC);
        // A datagram may do without a checksum.
        if proto == 17 && !v6 && self.dice.below(4) == 0 {
            frame[40..42].fill(0);
        }
        frame
    }

    /// What the model says that leaves the gateway.
    fn expect(&mut self, by_client: bool, frame: &[u8]) -> Result<Vec<u8>> {
        // The model knows an interface without an address; to it a frame for another one is a stranger's.
        let mut seen = frame.to_vec();
        seen[..6].fill(0);
        let now = (clock::now() >> 27) as u32;
        let input = Input { frame: &seen, segments: (0, 0), now, span: (0, 0) };
        let program = if by_client { Program::Ingress } else { Program::Zone };
        let output = self.model.run(program, &input);
        let mut want = output.frame.with_context(|| format!("the model drops it: {:?}", output.reasons))?;
        want[..6].copy_from_slice(&FAR_MAC);
        want[6..12].copy_from_slice(&GATEWAY_MAC);
        Ok(want)
    }

    /// Reads what has left the gateway, and compares.
    fn collect(&mut self, by_client: bool, mut expected: HashMap<Vec<u8>, (Vec<u8>, Vec<u8>)>) -> Result<()> {
        let socket = if by_client { &self.rig.slice } else { &self.rig.client };
        let mut buffer = vec![0; 2048];
        let (packets, differences) = (&mut self.packets, &mut self.differences);
        let all = wait::until("every packet has passed the gateway", wait::PATIENCE, || {
            while let Ok(Some(read)) = socket.receive(&mut buffer) {
                let got = buffer.get(..read.length).unwrap_or_default();
                if read.outgoing || got.len() < 42 {
                    continue;
                }
                let Some((sent, want)) = expected.remove(&key(got)) else { continue };
                *packets += 1;
                if !verifies(&sent, &want, got) && differences.len() < ENOUGH {
                    differences.push(difference(&want, got));
                }
            }
            expected.is_empty()
        });
        all.with_context(|| {
            let left = expected.values().next().map(|(_, want)| super::step::hex(want)).unwrap_or_default();
            format!(
                "{} of them are missing, {} have passed before; the first: {left}",
                expected.len(),
                packets
            )
        })
    }
}

/// What tells a packet from all others that are under way: ends and protocol.
fn key(frame: &[u8]) -> Vec<u8> {
    let v6 = frame.get(12) == Some(&0x86);
    let (addresses, ports) = if v6 { (22..54, 54..58) } else { (26..34, 34..38) };
    let proto = frame.get(if v6 { 20 } else { 23 }).copied().unwrap_or_default();
    let part = |range| frame.get::<std::ops::Range<usize>>(range).unwrap_or_default();
    [part(addresses), part(ports), &[proto]].concat()
}
