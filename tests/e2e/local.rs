//! The gateway's own processes as clients: they get where everybody else gets, and are shown what they asked for.

use crate::lab::{Lab, Way};
use bg_common::Colour;
use bg_tests::cgroup::Group;
use bg_tests::client;
use bg_tests::daemon::{Settings, frontends, service};
use bg_tests::servers::Stamp;
use bg_tests::topology::{CLIENT, Plan};
use bg_tests::wait;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

/// A gateway that serves the processes of a group of the test's own; `None`, and it is said why, where that cannot be.
fn lab(way: Way) -> Option<(Lab, Group)> {
    let Some(group) = Group::new().unwrap() else {
        println!("SKIP no cgroup2 file system is mounted");
        return None;
    };
    let settings = Settings { cgroup: Some(group.path().to_owned()), ..way.settings() };
    Some((Lab::of(&Plan::default(), &settings), group))
}

/// Calls `f` as a process of the gateway's would.
fn on_gateway<T: Send>(lab: &Lab, group: &Group, f: impl FnOnce() -> T + Send) -> T {
    lab.topology.gateway.run(|| {
        group.enter().unwrap();
        f()
    })
}

fn http(target: SocketAddr) -> io::Result<(TcpStream, Stamp)> {
    let mut stream = TcpStream::connect_timeout(&target, wait::PATIENCE)?;
    let stamp = client::get(&mut stream, false)?;
    Ok((stream, stamp))
}

/// A datagram with an answer, and where that seems to come from.
fn ask(socket: &UdpSocket, target: SocketAddr) -> io::Result<(Stamp, SocketAddr)> {
    socket.set_read_timeout(Some(wait::PATIENCE))?;
    socket.send_to(b"who?", target)?;
    let mut answer = [0; 64];
    let (length, from) = socket.recv_from(&mut answer)?;
    Ok((stamp(&answer[..length]), from))
}

fn stamp(answer: &[u8]) -> Stamp {
    let text = String::from_utf8_lossy(answer);
    text.split(' ').next().unwrap().parse().unwrap()
}

fn unbound(family: SocketAddr) -> UdpSocket {
    let any: IpAddr = if family.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).unwrap()
}

/// How many flows of the gateway's own are open on a colour.
fn open(lab: &Lab, colour: Colour) -> usize {
    let flows = lab.daemon.json(&["flows"]).unwrap();
    let own = |flow: &&Value| {
        let client: SocketAddr = flow["client"].as_str().unwrap().parse().unwrap();
        client.ip().is_loopback() && flow["colour"] == colour.as_str()
    };
    flows["flows"].as_array().unwrap().iter().filter(own).count()
}

#[test]
fn connections_of_the_gateway_follow_a_switch_and_open_ones_stay() {
    for way in [Way::Redirect, Way::Stack] {
        let Some((lab, group)) = lab(way) else { return };
        let mut kept: Vec<_> = frontends(service::WEB)
            .into_iter()
            .map(|target| {
                let (stream, stamp) = on_gateway(&lab, &group, || http(target)).unwrap();
                assert_eq!(stamp.colour, Colour::Blue, "{target}");
                assert_eq!(stream.peer_addr().unwrap(), target, "it is shown whom it asked for");
                stream
            })
            .collect();
        assert_eq!(open(&lab, Colour::Blue), 2);
        lab.daemon.switch(Colour::Green).unwrap();
        for target in frontends(service::WEB) {
            let (stream, stamp) = on_gateway(&lab, &group, || http(target)).unwrap();
            assert_eq!((stamp.colour, stream.peer_addr().unwrap()), (Colour::Green, target));
        }
        for stream in &mut kept {
            assert_eq!(client::get(stream, false).unwrap().colour, Colour::Blue, "an open one stays");
        }
        assert_eq!([open(&lab, Colour::Blue), open(&lab, Colour::Green)], [2, 0], "closed ones are gone");
        drop(kept);
        assert_eq!(open(&lab, Colour::Blue), 0);
        let counters = lab.daemon.json(&["counters"]).unwrap();
        for colour in Colour::BOTH {
            let counted = &counters["deployments"][0][colour.as_str()];
            assert_eq!((&counted["flows"], &counted["local"]), (&2.into(), &2.into()), "{colour}");
            assert_eq!(counted["handshakes"], 0, "nobody sees their handshakes: {counted}");
        }
    }
}

#[test]
fn a_socket_for_both_families_reaches_either() {
    let Some((lab, group)) = lab(Way::Redirect) else { return };
    let [v4, _] = frontends(service::WEB);
    let IpAddr::V4(vip) = v4.ip() else { panic!("the first is of IPv4") };
    let mapped = SocketAddr::new(vip.to_ipv6_mapped().into(), v4.port());
    let (stream, stamp) = on_gateway(&lab, &group, || http(mapped)).unwrap();
    assert_eq!((stamp.colour, stream.peer_addr().unwrap()), (Colour::Blue, mapped));

    let SocketAddr::V4(datagrams) = frontends(service::DATAGRAMS)[0] else { panic!("as above") };
    let mapped = SocketAddr::new(datagrams.ip().to_ipv6_mapped().into(), datagrams.port());
    let (stamp, from) = on_gateway(&lab, &group, || ask(&unbound(mapped), mapped)).unwrap();
    assert_eq!((stamp.colour, from), (Colour::Blue, mapped));
}

#[test]
fn lines_go_on_over_a_switch() {
    let Some((lab, group)) = lab(Way::Redirect) else { return };
    for target in frontends(service::LINES) {
        let stream = on_gateway(&lab, &group, || TcpStream::connect(target)).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        let live: Colour = lab.daemon.json(&["status"]).unwrap()["deployments"][0]["live"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let mut lines = BufReader::new(&stream);
        for turn in 0..2 {
            (&stream).write_all(b"still there?\n").unwrap();
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            assert_eq!(stamp(line.as_bytes()).colour, live, "turn {turn}");
            if turn == 0 {
                lab.daemon.switch(live.other()).unwrap();
            }
        }
    }
}

#[test]
fn datagrams_without_a_connection_stay_with_their_socket_and_come_back_from_the_vip() {
    let Some((lab, group)) = lab(Way::Redirect) else { return };
    let old = frontends(service::DATAGRAMS).map(|target| (unbound(target), target));
    let both = |sockets: &[(UdpSocket, SocketAddr)], colour| {
        for (socket, target) in sockets {
            let (stamp, from) = on_gateway(&lab, &group, || ask(socket, *target)).unwrap();
            assert_eq!((stamp.colour, from), (colour, *target));
        }
    };
    // Sockets belong to the group that they were opened in, and these were not.
    for (socket, target) in &old {
        socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        assert!(
            lab.topology
                .gateway
                .run(|| socket.send_to(b"who?", target).and_then(|_| socket.recv(&mut [0])))
                .is_err()
        );
    }
    let open =
        || on_gateway(&lab, &group, || frontends(service::DATAGRAMS).map(|target| (unbound(target), target)));
    let old = open();
    both(&old, Colour::Blue);
    both(&old, Colour::Blue);
    lab.daemon.switch(Colour::Green).unwrap();
    both(&old, Colour::Blue);
    both(&open(), Colour::Green);
    lab.daemon.json(&["rollback"]).unwrap();
    both(&open(), Colour::Blue);
}

#[test]
fn a_datagram_socket_that_connects_is_shown_the_vip() {
    let Some((lab, group)) = lab(Way::Stack) else { return };
    for target in frontends(service::DATAGRAMS) {
        let socket = on_gateway(&lab, &group, || {
            let socket = unbound(target);
            socket.connect(target).unwrap();
            socket
        });
        assert_eq!(socket.peer_addr().unwrap(), target);
        socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        for _ in 0..2 {
            socket.send(b"who?").unwrap();
            let mut answer = [0; 64];
            let (length, from) = socket.recv_from(&mut answer).unwrap();
            assert_eq!((stamp(&answer[..length]).colour, from), (Colour::Blue, target));
        }
    }
}

#[test]
fn a_pause_is_told_to_the_caller_and_passes() {
    let Some((lab, group)) = lab(Way::Redirect) else { return };
    lab.daemon.json(&["pause", "--for", "1h"]).unwrap();
    for target in frontends(service::WEB) {
        let refused = on_gateway(&lab, &group, || TcpStream::connect(target)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "{target}: {refused}");
    }
    lab.daemon.json(&["resume"]).unwrap();
    for target in frontends(service::WEB) {
        assert_eq!(on_gateway(&lab, &group, || http(target)).unwrap().1.colour, Colour::Blue);
    }
    let counters = lab.daemon.json(&["counters"]).unwrap();
    let paused = counters["reasons"].as_array().unwrap().iter().find(|reason| reason["name"] == "paused");
    assert_eq!(paused.unwrap()["count"], 2);
}

#[test]
fn processes_elsewhere_are_none_of_ours() {
    let Some((lab, group)) = lab(Way::Redirect) else { return };
    let [target, _] = frontends(service::WEB);
    // In the same control group, like a container on the gateway, but in another network: it is a client beyond
    // the uplink, and its packets are decided about.
    let stream = lab.topology.client.run(|| {
        group.enter().unwrap();
        TcpStream::connect(target).unwrap()
    });
    assert_eq!(stream.peer_addr().unwrap(), target);
    let flows = lab.daemon.json(&["flows"]).unwrap();
    let client: SocketAddr = flows["flows"][0]["client"].as_str().unwrap().parse().unwrap();
    assert_eq!(client.ip(), CLIENT[0]);
    // In the gateway's network, but in another control group: it is not covered.
    assert!(lab.topology.gateway.run(|| TcpStream::connect(target)).is_err());
    // Ports that no frontend claims stay the gateway's own.
    let own = SocketAddr::new(target.ip(), 4711);
    let listener = lab.topology.gateway.run(|| std::net::TcpListener::bind(own)).unwrap();
    let stream = on_gateway(&lab, &group, || TcpStream::connect(own)).unwrap();
    assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
}

#[test]
fn the_daemon_is_not_needed_and_detach_leaves_nothing() {
    let Some((mut lab, group)) = lab(Way::Redirect) else { return };
    let [target, _] = frontends(service::WEB);
    lab.daemon.kill();
    assert_eq!(on_gateway(&lab, &group, || http(target)).unwrap().1.colour, Colour::Blue);
    lab.daemon.launch().unwrap();
    assert_eq!(on_gateway(&lab, &group, || http(target)).unwrap().1.colour, Colour::Blue);
    let status = lab.daemon.bgctl(&["status"]).unwrap();
    assert!(status.stdout.contains("(own processes)"), "{status:?}");
    lab.daemon.bgctl(&["detach"]).unwrap();
    assert!(on_gateway(&lab, &group, || TcpStream::connect(target)).is_err());
    assert!(!lab.daemon.pins().exists());
}
