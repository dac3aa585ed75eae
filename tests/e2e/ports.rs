//! A client's port that is used again: the new connection is a new one, whatever became of the old.

use crate::lab::{Lab, ways};
use bg_common::Colour;
use bg_tests::client::{await_end, dial, get, reset};
use bg_tests::daemon::{frontends, service};
use bg_tests::packet::{self, flag};
use bg_tests::servers::port;
use bg_tests::topology::{CLIENT, MACHINE_LINK, VIPS};
use bg_tests::wait;
use bg_tests::wire::Socket;
use std::net::{Shutdown, SocketAddr, TcpStream};

ways!(a_reused_port_goes_to_the_live_colour_and_hears_nothing_of_the_old);

const PORT: u16 = 1_234;
/// The sequence number of built segments, which no kernel happens to choose.
const LATE: u32 = 0x1000_0000;

/// How the first connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Client,
    Server,
    Reset,
}

fn a_reused_port_goes_to_the_live_colour_and_hears_nothing_of_the_old(lab: Lab) {
    for (number, end) in [End::Client, End::Server, End::Reset].into_iter().enumerate() {
        let [old, new] = if number % 2 == 0 { Colour::BOTH } else { [Colour::Green, Colour::Blue] };
        for (family, target) in frontends(service::WEB).into_iter().enumerate() {
            let case = format!("{end:?} {target}");
            // Another port for each row: what an earlier one left in TIME_WAIT is not under test.
            let from = PORT + number as u16;
            lab.daemon.switch(old).unwrap();
            let mut first = dial(&lab.topology.client, target, from).unwrap();
            assert_eq!(get(&mut first, matches!(end, End::Server)).unwrap().colour, old, "{case}");
            finish(first, end);
            lab.daemon.switch(new).unwrap();
            let mut second = redial(&lab, target, from);
            assert_eq!(get(&mut second, false).unwrap().colour, new, "{case}");
            late_packet(&lab, family, old, from);
            assert_eq!(get(&mut second, false).unwrap().colour, new, "{case}");
        }
    }
}

fn finish(mut stream: TcpStream, end: End) {
    match end {
        End::Reset => return reset(stream).unwrap(),
        End::Client => stream.shutdown(Shutdown::Write).unwrap(),
        End::Server => (),
    }
    await_end(&mut stream).unwrap();
}

/// Connects from a port that the client's own TIME_WAIT may hold for a second.
fn redial(lab: &Lab, target: SocketAddr, from: u16) -> TcpStream {
    wait::until_some("the port is free", wait::PATIENCE, || dial(&lab.topology.client, target, from).ok())
        .unwrap()
}

/// Lets the old colour speak up once more on the old connection, and checks that this does not reach
/// the client as a packet of the VIP.
fn late_packet(lab: &Lab, family: usize, old: Colour, from: u16) {
    let machine = lab.topology.slice(old).next().unwrap();
    let wire = Socket::open(&machine.namespace, MACHINE_LINK).unwrap();
    let source = SocketAddr::new(machine.addrs[family], port::WEB);
    let client = SocketAddr::new(CLIENT[family], from);
    let late = packet::tcp(source, client, flag::ACK | flag::PSH, b"late");
    wire.send(&lab.topology.framed(machine, &late)).unwrap();
    // Frames keep their order, so the late one has been dealt with when this one arrives.
    let mark = SocketAddr::new(source.ip(), 40_000);
    wire.send(&lab.topology.framed(machine, &packet::udp(mark, client, b"mark"))).unwrap();
    let marked = || {
        lab.capture().any(|packet| {
            packet.interface == bg_tests::topology::CLIENT_LINK
                && packet.segment().is_some_and(|it| {
                    it.protocol == 17 && (it.src_port, it.dst_port) == (40_000, from) && it.src == mark.ip()
                })
        })
    };
    wait::until("what the old colour sent passes the gateway", wait::PATIENCE, marked).unwrap();
    let leaked = lab.capture().any(|packet| {
        packet.interface == bg_tests::topology::CLIENT_LINK
            && packet.segment().is_some_and(|it| it.src == VIPS[family] && it.sequence == LATE)
    });
    assert!(!leaked, "the client heard {old} on a connection of the other colour");
}
