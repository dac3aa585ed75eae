//! ICMP through a VIP: path MTU discovery both ways, errors of either side, and who answers an echo request.

use crate::lab::{Lab, Way, ways};
use bg_common::Colour;
use bg_tests::daemon::{DEPLOYMENT, Settings, frontends, service};
use bg_tests::ping::ping;
use bg_tests::topology::{Machine, Plan, VIPS};
use bg_tests::wait;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};

/// What every path is asked to carry, in both directions.
const BYTES: usize = 1 << 20;

/// The machine that serves.
fn blue(lab: &Lab) -> &Machine {
    lab.topology.slice(Colour::Blue).next().unwrap()
}

/// Has a line of a megabyte sent back by blue, which is live or was so when the connection began.
fn carry(lab: &Lab, target: SocketAddr, switched: bool) {
    let stream = lab.topology.client.run(|| TcpStream::connect_timeout(&target, wait::PATIENCE)).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    stream.set_write_timeout(Some(wait::PATIENCE)).unwrap();
    let ask = |line: &str| {
        (&stream).write_all(format!("{line}\n").as_bytes()).unwrap_or_else(|why| panic!("{target}: {why}"));
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap_or_else(|why| panic!("{target}: {why}"));
        assert_eq!(answer, format!("blue/1 {line}\n"), "{target}");
    };
    ask("short");
    if switched {
        lab.daemon.switch(Colour::Green).unwrap();
    }
    ask(&(0..BYTES).map(|at| char::from(b'a' + (at % 23) as u8)).collect::<String>());
}

/// Makes a path, starts bg on it, and has a megabyte carried over both families, in one of them on a connection that a
/// switch has left behind; each has to meet `reason`.
fn discovers<T>(way: Way, offload: bool, reason: Option<&str>, make: impl Fn(&Lab) -> T) {
    if !way.is_possible() {
        return;
    }
    let mut lab = Lab::idle(&Plan { offload, ..Plan::default() }, &way.settings());
    let _path = make(&lab);
    lab.daemon.launch().unwrap();
    for (target, switched) in frontends(service::LINES).into_iter().zip([false, true]) {
        let before = reason.map(|reason| lab.counted(reason));
        carry(&lab, target, switched);
        if let (Some(reason), Some(before)) = (reason, before) {
            assert!(lab.counted(reason) > before, "{target}: no {reason}");
        }
    }
}

const WAYS: [Way; 3] = [Way::Xdp, Way::Stack, Way::Redirect];

/// Segments that the sender's device would cut up stay in one piece through the whole gateway, except by XDP.
const LARGE: [Way; 2] = [Way::Stack, Way::Redirect];

#[test]
fn a_narrow_path_to_the_client_is_discovered_by_the_slice() {
    for (way, offload) in WAYS.map(|way| (way, false)).into_iter().chain(LARGE.map(|way| (way, true))) {
        discovers(way, offload, Some("icmp-error"), |lab| lab.topology.route_client().unwrap());
    }
}

#[test]
fn a_narrow_path_behind_the_gateway_is_discovered_by_the_client() {
    for (way, offload) in WAYS.map(|way| (way, false)).into_iter().chain(LARGE.map(|way| (way, true))) {
        discovers(way, offload, Some("icmp-error"), |lab| lab.topology.route_machine(blue(lab)).unwrap());
    }
}

#[test]
fn a_narrow_zone_link_is_discovered_by_the_client() {
    for (way, offload) in WAYS.map(|way| (way, false)).into_iter().chain(LARGE.map(|way| (way, true))) {
        discovers(way, offload, Some("icmp-error"), |lab| lab.topology.narrow_machine(blue(lab)).unwrap());
    }
}

#[test]
fn a_narrow_uplink_is_discovered_by_the_slice() {
    for (way, offload) in WAYS.map(|way| (way, false)).into_iter().chain(LARGE.map(|way| (way, true))) {
        // On the other ways it is the kernel that finds them too large, and nothing of ours.
        let reason = (way == Way::Redirect).then_some("too-big");
        discovers(way, offload, reason, |lab| lab.topology.narrow_client().unwrap());
    }
}

const CLOSED: u16 = 99;
const CLOSED_BACKEND: u16 = 7999;

/// A lab with a service that nobody listens for.
fn with_a_closed_port(way: Way) -> Lab {
    let vips = VIPS.map(|vip| vip.to_string());
    let tables = format!(
        "[deployment.{DEPLOYMENT}.service.closed]\nvips = {vips:?}\nport = {CLOSED}\nprotocol = \"udp\"\n\
         backend_port = {CLOSED_BACKEND}\n"
    );
    Lab::of(&Plan::default(), &Settings { tables, ..way.settings() })
}

fn refused(socket: &UdpSocket) {
    let heard = socket.recv(&mut [0; 16]).map_err(|why| why.kind());
    assert_eq!(heard, Err(ErrorKind::ConnectionRefused));
}

#[test]
fn a_client_hears_that_no_slice_listens() {
    for way in WAYS.into_iter().filter(|way| way.is_possible()) {
        let lab = with_a_closed_port(way);
        for target in frontends(CLOSED) {
            let any = if target.is_ipv4() { "0.0.0.0" } else { "::" };
            let socket = lab.topology.client.run(|| UdpSocket::bind((any, 0))).unwrap();
            socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
            socket.connect(target).unwrap();
            socket.send(b"is anybody there?").unwrap();
            refused(&socket);
        }
        assert!(lab.counted("icmp-error") >= 2, "{way:?}");
    }
}

#[test]
fn a_slice_hears_that_its_client_is_gone() {
    for way in WAYS.into_iter().filter(|way| way.is_possible()) {
        let lab = with_a_closed_port(way);
        for target in frontends(CLOSED) {
            let any = if target.is_ipv4() { "0.0.0.0" } else { "::" };
            let server = blue(&lab).namespace.run(|| UdpSocket::bind((any, CLOSED_BACKEND))).unwrap();
            server.set_read_timeout(Some(wait::PATIENCE)).unwrap();
            let client = lab.topology.client.run(|| UdpSocket::bind((any, 0))).unwrap();
            client.send_to(b"good-bye", target).unwrap();
            let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
            drop(client);
            server.connect(from).unwrap();
            server.send(b"wait!").unwrap();
            refused(&server);
        }
        assert!(lab.counted("icmp-error") >= 2, "{way:?}");
    }
}

ways!(the_gateway_answers_an_echo_request_to_a_vip);

fn the_gateway_answers_an_echo_request_to_a_vip(lab: Lab) {
    for vip in VIPS {
        ping(&lab.topology.client, vip, 7).unwrap_or_else(|why| panic!("{vip}: {why}"));
    }
}

#[test]
fn a_slice_answers_an_echo_request_to_a_whole_address() {
    const WHOLE: [&str; 2] = ["198.51.100.11", "2001:db8:c::11"];
    for way in WAYS.into_iter().filter(|way| way.is_possible()) {
        let tables =
            format!("[deployment.{DEPLOYMENT}.service.everything]\nvips = {WHOLE:?}\nport = \"any\"\n");
        let lab = Lab::of(&Plan::default(), &Settings { tables, ..way.settings() });
        // The gateway itself stays silent.
        lab.topology.gateway.sysctl("net/ipv4/icmp_echo_ignore_all", "1").unwrap();
        lab.topology.gateway.sysctl("net/ipv6/icmp/echo_ignore_all", "1").unwrap();
        for vip in WHOLE {
            let vip = vip.parse().unwrap();
            ping(&lab.topology.client, vip, 7).unwrap_or_else(|why| panic!("{way:?} {vip}: {why}"));
        }
    }
}
