//! Which packets go through which program, and what proves that they made the whole way.

use super::super::asm;
use super::super::bpf::{self, Kind};
use super::machine::{
    CLIENT4, CLIENT6, CROWD, Count, FLOWS, FURTHER, LAST4, Machine, NAMES, NEAR, WEB4, WEB6,
};
use crate::packet::{self, flag};
use anyhow::{Result, ensure};
use bg_common::names;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

/// What a case has to be counted as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Proof {
    /// Nothing: the program is not ours.
    None,
    /// Each packet as one of the slice.
    Packets,
    /// Nearly each packet as a new flow; a client may come twice.
    Flows,
    /// Each packet as none of ours.
    NotOurs,
}

/// Kept alike between a case and the empty program that it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// All packets in one go.
    Through(Kind),
    /// Few packets at a time, because each takes one from the hop limit.
    Hops,
    /// All in one go, each made a packet of another one of so many flows.
    Spread(u32),
    /// All in one go, each sent to another one of so many ports from there on.
    Ports(u16, u16),
}

/// One program, one packet.
pub(super) struct Case {
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) manner: Manner,
    pub(super) proof: Proof,
    /// Whether it is done with the machine that has many services.
    pub(super) versatile: bool,
    pub(super) program: OwnedFd,
    pub(super) frame: Vec<u8>,
    /// What the program has to return.
    pub(super) action: i32,
    /// Kept as long as the program hands packets on to the one in it.
    _table: Option<OwnedFd>,
}

const XDP_PASS: i32 = 2;
const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_REDIRECT: i32 = 7;

/// A client of the crowd; the program changes port and last byte.
const ONE_OF_MANY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(CROWD[0], CROWD[1], CROWD[2], 0)), 40_000);
/// A server that is not ours.
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99)), 80);
/// More clients than any table holds.
const NEWCOMERS: u32 = 1 << 24;
/// As many as a small site has at once.
const SOME: u32 = 1 << 16;
/// Services that packets are spread over, all of the machine that has a few more.
const SOME_SERVICES: u16 = 1 << 13;
/// So that the IPv4 frames are 60 bytes long, the shortest of Ethernet.
const TCP_PAYLOAD: [u8; 6] = [0; 6];
const UDP_PAYLOAD: [u8; 18] = [0; 18];

/// Every case, each empty program before those that are compared with it.
pub(super) fn all(machine: &Machine, versatile: &Machine) -> Result<Vec<Case>> {
    let through = Manner::Through;
    let data = |from, to| packet::tcp(from, to, flag::ACK | flag::PSH, &TCP_PAYLOAD);
    let syn = packet::tcp(ONE_OF_MANY, WEB4, flag::SYN, &TCP_PAYLOAD);
    let datagram = packet::udp(CLIENT4, NAMES, &UDP_PAYLOAD);
    let empty = |key, title, manner, kind| -> Result<Case> {
        let (code, action) = match kind {
            Kind::Xdp => (asm::xdp_empty(), XDP_PASS),
            Kind::Tc => (asm::tc_empty(), TC_ACT_UNSPEC),
        };
        let (program, table) = wrap(bpf::load(kind, &code)?, manner)?;
        let frame = data(CLIENT4, WEB4);
        let (proof, versatile) = (Proof::None, false);
        Ok(Case { key, title, manner, proof, versatile, program, frame, action, _table: table })
    };
    let ours = |key, title, name: &str, manner, frame, action, proof| -> Result<Case> {
        let (program, table) = wrap(machine.program(name)?, manner)?;
        Ok(Case { key, title, manner, proof, versatile: false, program, frame, action, _table: table })
    };
    let serving = |key, title, manner, to| -> Result<Case> {
        let (program, table) = wrap(versatile.program(names::XDP_INGRESS)?, manner)?;
        let (frame, action, proof) = (data(CLIENT4, to), XDP_PASS, Proof::Packets);
        Ok(Case { key, title, manner, proof, versatile: true, program, frame, action, _table: table })
    };
    let xdp = |key, title, frame, proof| {
        ours(key, title, names::XDP_INGRESS, through(Kind::Xdp), frame, XDP_PASS, proof)
    };
    let spread = |key, title, flows, frame, proof| {
        ours(key, title, names::XDP_INGRESS, Manner::Spread(flows), frame, XDP_PASS, proof)
    };
    let tc = |key, title, name, frame| {
        ours(key, title, name, through(Kind::Tc), frame, TC_ACT_UNSPEC, Proof::Packets)
    };
    let hops = |key, title, name, frame| {
        ours(
            key,
            title,
            name,
            Manner::Hops,
            packet::patched(packet::patched(frame, TTL, &[255]), 0, &ZONE_MAC),
            TC_ACT_REDIRECT,
            Proof::Packets,
        )
    };
    [
        empty("empty", "XDP  empty program", through(Kind::Xdp), Kind::Xdp),
        xdp("tcp4_established", "XDP  TCP/IPv4, established", data(CLIENT4, WEB4), Proof::Packets),
        xdp("tcp6_established", "XDP  TCP/IPv6, established", data(CLIENT6, WEB6), Proof::Packets),
        xdp("udp4_established", "XDP  UDP/IPv4, established", datagram, Proof::Packets),
        xdp("not_ours", "XDP  TCP/IPv4, not for a frontend", data(CLIENT4, OTHER), Proof::NotOurs),
        empty("spread_empty_65536", "", Manner::Spread(SOME), Kind::Xdp),
        spread(
            "tcp4_established_65536",
            "XDP  TCP/IPv4, 65,536 flows at random",
            SOME,
            data(ONE_OF_MANY, WEB4),
            Proof::Packets,
        ),
        empty("spread_empty_1m", "", Manner::Spread(FLOWS), Kind::Xdp),
        spread(
            "tcp4_1m_flows",
            "XDP  TCP/IPv4, 1,048,576 flows at random",
            FLOWS,
            data(ONE_OF_MANY, WEB4),
            Proof::Packets,
        ),
        serving("tcp4_10000_services", "XDP  TCP/IPv4, one of 10,000 services", through(Kind::Xdp), LAST4),
        empty("ports_empty", "", Manner::Ports(FURTHER, SOME_SERVICES), Kind::Xdp),
        serving(
            "tcp4_8192_of_10000_services",
            "XDP  TCP/IPv4, 8,192 of 10,000 services at random",
            Manner::Ports(FURTHER, SOME_SERVICES),
            LAST4,
        ),
        empty("spread_empty_syn", "", Manner::Spread(NEWCOMERS), Kind::Xdp),
        spread("tcp4_syn", "XDP  TCP/IPv4, SYN of a new flow each", NEWCOMERS, syn, Proof::Flows),
        empty("tc_empty", "tc   empty program", through(Kind::Tc), Kind::Tc),
        tc("tc4_established", "tc   TCP/IPv4, to the slice by stack", names::TC_INGRESS, data(CLIENT4, WEB4)),
        tc("tc6_established", "tc   TCP/IPv6, to the slice by stack", names::TC_INGRESS, data(CLIENT6, WEB6)),
        tc("tc4_reply", "tc   TCP/IPv4, reply by stack (egress)", names::TC_EGRESS, data(WEB4, CLIENT4)),
        empty("tc_empty_hops", "", Manner::Hops, Kind::Tc),
        hops(
            "tc4_redirect",
            "tc   TCP/IPv4, to the slice by redirect",
            names::TC_INGRESS,
            data(CLIENT4, NEAR),
        ),
        hops(
            "tc4_redirect_reply",
            "tc   TCP/IPv4, reply by redirect (zone)",
            names::TC_ZONE,
            data(NEAR, CLIENT4),
        ),
    ]
    .into_iter()
    .collect()
}

/// Address of the interface that those by redirect come in over: others' frames are left alone.
pub(super) const ZONE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

/// Offset of the IPv4 hop limit. Its header's checksum is not put right: nobody looks at it.
const TTL: usize = 14 + 8;

/// The program as a case runs it, and the table that it needs for that.
fn wrap(program: OwnedFd, manner: Manner) -> Result<(OwnedFd, Option<OwnedFd>)> {
    let table = bpf::program_table(program.as_fd())?;
    let code = match manner {
        Manner::Spread(flows) => asm::spread(flows, table.as_fd()),
        Manner::Ports(first, ports) => asm::spread_ports(first, ports, table.as_fd()),
        Manner::Through(_) | Manner::Hops => return Ok((program, None)),
    };
    Ok((bpf::load(Kind::Xdp, &code)?, Some(table)))
}

impl Proof {
    /// Holds what was counted against the number of packets.
    pub(super) fn check(self, before: Count, after: Count, packets: u64) -> Result<()> {
        let (counted, wanted) = match self {
            Self::None => return Ok(()),
            Self::Packets => (after.packets - before.packets, packets),
            Self::NotOurs => (after.not_ours - before.not_ours, packets),
            Self::Flows => (after.flows - before.flows, packets - packets / 50),
        };
        ensure!(counted >= wanted, "only {counted} of {packets} packets made the whole way ({self:?})");
        Ok(())
    }
}
