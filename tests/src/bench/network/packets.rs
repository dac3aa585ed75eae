//! Datagrams of 60 bytes, the shortest frames of Ethernet, as fast as one CPU makes and forwards them.
//!
//! They are made by an XDP program that runs on live frames and redirects them to the client's link, so
//! that the gateway's driver receives them as from a wire. At the slice's ingress nftables counts and
//! drops them, before its stack, and lets everything else pass: without ARP there would soon be no way.
//!
//! Time is that of the CPU: to begin and to end such a run takes the kernel tens of milliseconds of
//! waiting, and whatever else the machine does is not the gateway's.

use super::super::{asm, bpf, stay_on_one_cpu};
use super::lab::{Lab, blue};
use crate::daemon::service;
use crate::packet;
use crate::servers::port;
use crate::topology::{CLIENT, CLIENT_LINK, CLIENT_MAC, MACHINE_LINK, Machine, UPLINK, UPLINK_MAC};
use anyhow::{Context, Result, anyhow, ensure};
use nix::net::if_::if_nametoindex;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Flows of the case with many; a power of two.
pub(super) const MANY: u16 = 1 << 14;
/// Source port of the first flow.
const FIRST: u16 = 20_000;
/// Of the shortest frame, without its checksum.
const FRAME: usize = 60;
const PAYLOAD: [u8; 18] = [0; 18];
/// Frames of one system call; between two of them time is looked at.
const BATCH: u32 = 1 << 16;
/// Sockets that are open at once while flows are established: fewer than the ring of a veth holds.
const SOCKETS: usize = 64;
/// How long a question waits for its answer before it is asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often it is asked.
const TRIES: usize = 25;

/// Makes `machine` count and drop datagrams of just this length.
pub(super) fn count_at(machine: &Machine) -> Result<()> {
    machine.namespace.nft(&format!(
        "table netdev bench {{\n  counter arrived {{ }}\n  chain in {{\n    \
         type filter hook ingress device {MACHINE_LINK} priority 0\n    \
         meta protocol ip udp dport {} meta length {} counter name arrived drop\n  }}\n}}\n",
        port::DATAGRAMS,
        FRAME - 14
    ))
}

/// Lets client and slice speak on each flow, so that nobody takes it for half-open.
pub(super) fn establish(lab: &Lab) -> Result<()> {
    let target = lab.target(service::DATAGRAMS, port::DATAGRAMS)?;
    let ports: Vec<u16> = (FIRST..FIRST + MANY).collect();
    lab.topology.client.run(|| ports.chunks(SOCKETS).try_for_each(|ports| speak(ports, target)))
}

/// Two questions and answers on each port.
fn speak(ports: &[u16], target: SocketAddr) -> Result<()> {
    let [client, _] = CLIENT;
    let open = |port: &u16| {
        let socket = UdpSocket::bind(SocketAddr::new(client, *port))?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(AGAIN))?;
        Ok::<_, io::Error>(socket)
    };
    let sockets = ports.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..2 {
        for socket in &sockets {
            socket.send(b"?")?;
        }
        for socket in &sockets {
            await_answer(socket).with_context(|| format!("no answer from {target}"))?;
        }
    }
    Ok(())
}

/// A busy machine may lose a datagram.
fn await_answer(socket: &UdpSocket) -> io::Result<()> {
    let mut answer = socket.recv(&mut [0; 64]);
    for _ in 1..TRIES {
        match answer {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                socket.send(b"?")?;
                answer = socket.recv(&mut [0; 64]);
            }
            done => return done.map(drop),
        }
    }
    answer.map(drop)
}

/// Packets that arrive at the slice per second of CPU time.
pub(super) fn rate(lab: &Lab, flows: u16, burst: Duration) -> Result<f64> {
    let target = lab.target(service::DATAGRAMS, port::DATAGRAMS)?;
    let polls = |on| lab.topology.gateway.output("ethtool", ["-K", UPLINK, "gro", on]);
    polls("on")?;
    let machine = blue(&lab.topology)?;
    let before = counted(machine)?;
    let took = lab.topology.client.run(|| send(target, flows, burst))?;
    let arrived = counted(machine)? - before;
    polls("off")?;
    ensure!(arrived > 0, "no packet arrived");
    Ok(arrived as f64 / took.as_secs_f64())
}

/// Sends for `burst` of CPU time; how long it was.
fn send(target: SocketAddr, flows: u16, burst: Duration) -> Result<Duration> {
    let helper = softirq_thread(stay_on_one_cpu()?)?;
    let ifindex = if_nametoindex(CLIENT_LINK)?;
    let [client, _] = CLIENT;
    let mut frame = packet::udp(SocketAddr::new(client, FIRST), target, &PAYLOAD);
    frame.splice(..12, UPLINK_MAC.into_iter().chain(CLIENT_MAC));
    let frame: [u8; FRAME] = frame.try_into().map_err(|_| anyhow!("the frame is not {FRAME} bytes long"))?;
    let program = bpf::load(bpf::Kind::Xdp, &asm::generate(&frame, FIRST, flows, ifindex))?;
    let start = busy(&helper)?;
    let mut took = Duration::ZERO;
    while took < burst {
        bpf::send(program.as_fd(), &frame, BATCH)?;
        took = busy(&helper)?.saturating_sub(start);
    }
    Ok(took)
}

/// CPU time of this thread, which forwards what it sends, and of the one that helps it out.
fn busy(helper: &Path) -> Result<Duration> {
    let own = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    let text = fs::read_to_string(helper)?;
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Ok(own + Duration::from_nanos(nanos.with_context(|| text.clone())?))
}

/// The account of the kernel's thread that forwards packets of a CPU when they are too many at once.
fn softirq_thread(cpu: usize) -> Result<PathBuf> {
    let name = format!("ksoftirqd/{cpu}\n");
    fs::read_dir("/proc")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|process| fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm == name))
        .map(|process| process.join("schedstat"))
        .with_context(|| format!("there is no {name}"))
}

/// Packets that a machine has counted so far.
fn counted(machine: &Machine) -> Result<u64> {
    let said = machine.namespace.output("nft", ["--json", "list", "counters"])?;
    let answer: Value = serde_json::from_str(&said)?;
    let objects = answer.get("nftables").and_then(Value::as_array);
    let packets =
        objects.into_iter().flatten().find_map(|object| object.pointer("/counter/packets")?.as_u64());
    packets.with_context(|| said.clone())
}
