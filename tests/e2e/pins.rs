//! Very many flows at once: all that began on a colour stay there, for as long as they speak.

use crate::lab::{Lab, Way};
use bg_common::Colour;
use bg_tests::daemon::{frontends, service};
use bg_tests::servers::Stamp;
use bg_tests::topology::{CLIENT, CLIENT_LINK};
use bg_tests::wait;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Addresses of the client for each family, and ports of each.
const ADDRESSES: u32 = 10;
const PORTS: u16 = 5_000;
const FLOWS: u64 = 2 * ADDRESSES as u64 * PORTS as u64;
/// Before those that the kernel gives away.
const FIRST_PORT: u16 = 10_000;
/// Sockets that are open at once.
const WINDOW: usize = 50;
/// How long a question waits for its answer before it is asked again, and how often it is asked: a busy machine may
/// lose a datagram.
const AGAIN: Duration = Duration::from_millis(200);
const TRIES: usize = 25;
/// How often each flow speaks after the switch.
const ROUNDS: u32 = 3;

#[test]
fn a_hundred_thousand_flows_stay_where_they_began() {
    if !Way::Xdp.is_possible() {
        return;
    }
    let lab = Lab::new(Way::Xdp);
    let flows = flows(&lab);
    // At once twice, so that it is established: more than the half-open table holds would push each other out.
    assert_eq!(answers(&lab, &flows, &["open", "go on"]), [2 * FLOWS, 0], "[blue, green] at first");
    lab.daemon.switch(Colour::Green).unwrap();
    for round in 0..ROUNDS {
        let question = format!("round {round}");
        assert_eq!(answers(&lab, &flows, &[&question]), [FLOWS, 0], "[blue, green] in {question}");
    }
    let [(client, target), ..] = flows[..] else { panic!("there are flows") };
    let new = (SocketAddr::new(client.ip(), FIRST_PORT - 1), target);
    assert_eq!(answers(&lab, &[new], &["new"]), [0, 1], "[blue, green] for a new flow");
    println!("{FLOWS} flows, {} answers after the switch, all by blue", FLOWS * u64::from(ROUNDS));
    lab.forget_capture();
}

/// Gives the client its addresses and tells where each flow goes from and to.
fn flows(lab: &Lab) -> Vec<(SocketAddr, SocketAddr)> {
    let mut flows = Vec::new();
    for (first, target) in CLIENT.into_iter().zip(frontends(service::DATAGRAMS)) {
        for number in 0..ADDRESSES {
            let (address, length) = match first {
                IpAddr::V4(ip) => (IpAddr::from((ip.to_bits() + 100 + number).to_be_bytes()), 24),
                IpAddr::V6(ip) => (IpAddr::from((ip.to_bits() + 100 + u128::from(number)).to_be_bytes()), 64),
            };
            lab.topology
                .client
                .ip(&format!("addr add {address}/{length} dev {CLIENT_LINK} nodad\n"))
                .unwrap();
            flows.extend((0..PORTS).map(|port| (SocketAddr::new(address, FIRST_PORT + port), target)));
        }
    }
    flows
}

/// Who answers on these flows: how often blue and green.
fn answers(lab: &Lab, flows: &[(SocketAddr, SocketAddr)], questions: &[&str]) -> [u64; 2] {
    let mut by = [0; 2];
    lab.topology.client.run(|| {
        for flows in flows.chunks(WINDOW) {
            for stamp in questions.iter().flat_map(|question| ask(flows, question).unwrap()) {
                by[stamp.colour.index()] += 1;
            }
        }
    });
    by
}

/// One question and its answer on each of these flows.
fn ask(flows: &[(SocketAddr, SocketAddr)], question: &str) -> io::Result<Vec<Stamp>> {
    let open = |(from, to): &(SocketAddr, SocketAddr)| {
        let socket = bind(*from);
        socket.connect(to)?;
        socket.set_read_timeout(Some(AGAIN))?;
        socket.send(question.as_bytes())?;
        Ok(socket)
    };
    let sockets = flows.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    sockets.iter().map(|socket| answer(socket, question)).collect()
}

/// A socket on a port that was used before. A process that another test is just starting may hold it for a moment.
fn bind(from: SocketAddr) -> UdpSocket {
    wait::until_some("the port is free", wait::PATIENCE, || UdpSocket::bind(from).ok()).unwrap()
}

fn answer(socket: &UdpSocket, question: &str) -> io::Result<Stamp> {
    let mut buffer = [0; 64];
    for _ in 0..TRIES {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                // An answer to an earlier question is late.
                if let Some(stamp) =
                    text.strip_suffix(question).and_then(|stamp| stamp.trim_end().parse().ok())
                {
                    return Ok(stamp);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                socket.send(question.as_bytes())?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::TimedOut.into())
}
