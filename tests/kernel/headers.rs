//! Datagrams in fragments, whole addresses and long frames over real links, on each way through a gateway.

use crate::fates::{Lab, WAYS, Way};
use bg_common::{Colour, Fate, Reason};
use bg_tests::packet::{echo_request, fragments, patched, raw, settled, udp};
use bg_tests::topology::{CLIENT, CLIENT_LINK, CLIENT_MAC, MACHINE_LINK, Plan, UPLINK_MAC, VIPS};
use bg_tests::wait::{PATIENCE, until};
use bg_tests::wire::Socket;
use bg_userspace::dataplane::{Protocol, ServiceSpec};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

const PORT: u16 = 53;
const SERVER: u16 = 5353;
const LARGE: usize = 8192;

fn datagrams(name: &str, way: Way, plan: &Plan) -> Lab {
    Lab::with(name, way, plan, |backends| {
        vec![ServiceSpec {
            name: "names".to_owned(),
            protocol: Protocol::Udp,
            frontends: VIPS.map(|vip| (vip, PORT).into()).to_vec(),
            backends: Colour::BOTH.map(|colour| backends(colour, SERVER)),
            ..ServiceSpec::default()
        }]
    })
}

/// A socket of the first machine of a slice.
fn server(lab: &Lab, colour: Colour, family: usize, port: u16) -> UdpSocket {
    let machine = lab.topology.slice(colour).next().expect("a slice has a machine");
    let socket = machine.namespace.run(|| UdpSocket::bind((machine.addrs[family], port))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn client(lab: &Lab, family: usize) -> UdpSocket {
    let socket = lab.topology.client.run(|| UdpSocket::bind((CLIENT[family], 0))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// A question from the client and its answer, both whole, the answer from where the question went.
fn converse(client: &UdpSocket, server: &UdpSocket, to: SocketAddr, len: usize) {
    let (question, mut buffer) = (payload(len), vec![0; len + 1]);
    client.send_to(&question, to).unwrap();
    let (got, from) = server.recv_from(&mut buffer).expect("the question arrives");
    assert!(buffer[..got] == question, "{got} bytes of {len} arrive");
    assert_eq!(from, client.local_addr().unwrap(), "the slice sees its client");
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    server.send_to(&answer, from).unwrap();
    let (got, from) = client.recv_from(&mut buffer).expect("the answer arrives");
    assert_eq!((got, from), (len, to));
    assert!(buffer[..got] == answer, "the answer is another");
}

#[test]
fn datagrams_larger_than_a_frame_go_there_and_back_whole() {
    for way in WAYS {
        let lab = datagrams(&format!("large-{way:?}").to_lowercase(), way, &Plan::default());
        for (family, address) in VIPS.into_iter().enumerate() {
            let servers = Colour::BOTH.map(|colour| server(&lab, colour, family, SERVER));
            let old = client(&lab, family);
            let vip = SocketAddr::new(address, PORT);
            let word = lab.word();
            let (live, other) = (word.live(), word.live().other());
            converse(&old, &servers[live.index()], vip, LARGE);
            converse(&old, &servers[live.index()], vip, 60_000);
            lab.change(|word| word.switched(other, Fate::Keep, None));
            converse(&old, &servers[live.index()], vip, LARGE);
            converse(&client(&lab, family), &servers[other.index()], vip, LARGE);
            for socket in &servers {
                socket.set_nonblocking(true).unwrap();
                assert_eq!(
                    socket.recv_from(&mut [0; 16]).unwrap_err().kind(),
                    ErrorKind::WouldBlock,
                    "misdirected"
                );
            }
        }
        assert_eq!(lab.counted(Reason::Orphan), 0, "{way:?}");
    }
}

/// A question from a port of the client, and the frames that it comes in.
fn in_pieces(family: usize, port: u16) -> (Vec<u8>, Vec<Vec<u8>>) {
    let question = payload(2000 + usize::from(port));
    let from = SocketAddr::new(CLIENT[family], port);
    let frame = udp(from, SocketAddr::new(VIPS[family], PORT), &question);
    let frame = patched(frame, 0, &[UPLINK_MAC, CLIENT_MAC].concat());
    // Each a datagram of its own.
    let identified = |piece| {
        let number = port.to_be_bytes();
        if family == 0 { settled(patched(piece, 18, &number)) } else { patched(piece, 54 + 6, &number) }
    };
    (question, fragments(&frame, 1024).into_iter().map(identified).collect())
}

/// A later fragment that begins eight bytes too early, inside the one before.
fn too_early(family: usize, piece: Vec<u8>) -> Vec<u8> {
    let at = if family == 0 { 20 } else { 54 + 2 };
    let field = u16::from_be_bytes([piece[at], piece[at + 1]]) - if family == 0 { 1 } else { 8 };
    let piece = patched(piece, at, &field.to_be_bytes());
    if family == 0 { settled(piece) } else { piece }
}

/// The next datagram that a server gets is this one, from this port of the client.
fn arrives(server: &UdpSocket, family: usize, port: u16, question: &[u8]) {
    let mut buffer = vec![0; 65_536];
    let (got, from) = server.recv_from(&mut buffer).expect("the datagram arrives");
    assert_eq!((got, from), (question.len(), SocketAddr::new(CLIENT[family], port)));
    assert!(buffer[..got] == *question, "another datagram arrives");
}

#[test]
fn a_later_fragment_waits_for_nobody_and_goes_nowhere_without_the_first() {
    for way in WAYS {
        let lab = datagrams(&format!("order-{way:?}").to_lowercase(), way, &Plan::default());
        let wire = Socket::open(&lab.topology.client, CLIENT_LINK).unwrap();
        for (family, vip) in VIPS.into_iter().enumerate() {
            let blue = server(&lab, Colour::Blue, family, SERVER);
            // The kernel behind has to know its neighbours.
            converse(&client(&lab, family), &blue, SocketAddr::new(vip, PORT), 8);
            let send = |port, order: &[usize]| {
                let (question, pieces) = in_pieces(family, port);
                order.iter().for_each(|nth| wire.send(&pieces[*nth]).unwrap());
                question
            };
            let orphans = lab.counted(Reason::Orphan);
            for (port, order) in [(1001, [0, 1, 2]), (1002, [0, 2, 1])] {
                arrives(&blue, family, port, &send(port, &order));
            }
            assert_eq!(lab.counted(Reason::Orphan), orphans, "{way:?}");
            // In reverse, and without the first one: both are lost, and nothing else is.
            send(1003, &[2, 1, 0]);
            send(1004, &[1, 2]);
            until("four orphans are counted", PATIENCE, || lab.counted(Reason::Orphan) == orphans + 4)
                .unwrap();
            arrives(&blue, family, 1005, &send(1005, &[0, 1, 2]));
        }
    }
}

#[test]
fn fragments_of_a_datagram_stay_together_when_they_overlap_and_when_a_switch_comes_between() {
    for way in WAYS {
        let lab = datagrams(&format!("between-{way:?}").to_lowercase(), way, &Plan::default());
        let wire = Socket::open(&lab.topology.client, CLIENT_LINK).unwrap();
        for (family, vip) in VIPS.into_iter().enumerate() {
            let live = lab.word().live();
            let [old, new] = [live, live.other()].map(|colour| server(&lab, colour, family, SERVER));
            converse(&client(&lab, family), &old, SocketAddr::new(vip, PORT), 8);
            // A slice drops a datagram whose fragments overlap (RFC 5722, and the kernel's way with IPv4), or waits
            // for the rest: it has got them all, and nobody else any.
            let seen = lab.packets(live);
            let mut pieces = in_pieces(family, 1006).1;
            let second = pieces.remove(1);
            pieces.insert(1, too_early(family, second));
            let (whole, after) = in_pieces(family, 1007);
            pieces.iter().chain(&after).for_each(|piece| wire.send(piece).unwrap());
            arrives(&old, family, 1007, &whole);
            assert_eq!(lab.packets(live), seen + 6, "{way:?}");
            // A datagram that has begun ends where it began.
            let (question, pieces) = in_pieces(family, 1008);
            let [first, rest @ ..] = pieces.as_slice() else { panic!("there are pieces") };
            wire.send(first).unwrap();
            until("the first fragment has passed", PATIENCE, || lab.packets(live) == seen + 7).unwrap();
            lab.change(|word| word.switched(live.other(), Fate::Keep, None));
            rest.iter().for_each(|piece| wire.send(piece).unwrap());
            arrives(&old, family, 1008, &question);
            converse(&client(&lab, family), &new, SocketAddr::new(vip, PORT), LARGE);
            for socket in [old, new] {
                socket.set_nonblocking(true).unwrap();
                let nothing = socket.recv_from(&mut [0; 16]).unwrap_err().kind();
                assert_eq!(nothing, ErrorKind::WouldBlock, "misdirected");
            }
        }
        assert_eq!(lab.counted(Reason::Orphan), 0, "{way:?}");
    }
}

/// A service with the VIPs as a whole.
fn whole(name: &str, way: Way) -> Lab {
    Lab::with(name, way, &Plan::default(), |backends| {
        vec![ServiceSpec {
            name: "all".to_owned(),
            protocol: Protocol::Any,
            frontends: VIPS.map(|vip| (vip, 0).into()).to_vec(),
            backends: Colour::BOTH.map(|colour| backends(colour, 0)),
            ..ServiceSpec::default()
        }]
    })
}

fn stream(lab: &Lab, colour: Colour, family: usize, port: u16) -> TcpStream {
    let machine = lab.topology.slice(colour).next().expect("a slice has a machine");
    let listener = machine.namespace.run(|| TcpListener::bind((machine.addrs[family], port))).unwrap();
    let to = SocketAddr::new(VIPS[family], port);
    let client = lab.topology.client.run(|| TcpStream::connect_timeout(&to, PATIENCE)).expect("it connects");
    listener.set_nonblocking(true).unwrap();
    let mut server = until_accepted(&listener);
    server.set_nonblocking(false).unwrap();
    server.write_all(b"hello").unwrap();
    let mut greeting = [0; 5];
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    (&client).read_exact(&mut greeting).unwrap();
    client
}

fn until_accepted(listener: &TcpListener) -> TcpStream {
    bg_tests::wait::until_some("a connection", PATIENCE, || listener.accept().ok()).unwrap().0
}

/// Sends a packet of the client's, and waits for `want` to come by where `ear` listens; MAC addresses and hop limit may
/// be any.
fn heard(lab: &Lab, sent: &[u8], ear: &Socket, want: &[u8]) {
    let wire = Socket::open(&lab.topology.client, CLIENT_LINK).unwrap();
    wire.send(&patched(sent.to_vec(), 0, &[UPLINK_MAC, CLIENT_MAC].concat())).unwrap();
    let bare = |frame: &[u8]| {
        let v4 = frame.get(12..14) == Some(&[8, 0]);
        let frame = patched(frame.to_vec(), if v4 { 14 + 8 } else { 14 + 7 }, &[64]);
        if v4 { patched(frame, 24, &[0, 0])[14..].to_vec() } else { frame[14..].to_vec() }
    };
    let mut buffer = vec![0; 2048];
    until("the packet arrives", PATIENCE, || {
        std::iter::from_fn(|| ear.receive(&mut buffer).unwrap().map(|frame| buffer[..frame.length].to_vec()))
            .any(|frame| frame.len() >= want.len() && bare(&frame) == bare(want))
    })
    .unwrap();
}

/// GRE, which has no ports, arrives at a machine of the colour.
fn tunnels(lab: &Lab, colour: Colour, family: usize) {
    let machine = lab.topology.slice(colour).next().expect("a slice has a machine");
    let ear = Socket::open(&machine.namespace, MACHINE_LINK).unwrap();
    let packet = |to| {
        raw(CLIENT[family], to, 47, b"\0\0\x08\0 and something large enough for a frame to need no padding")
    };
    heard(lab, &packet(VIPS[family]), &ear, &packet(machine.addrs[family]));
}

/// An echo request reaches a machine of the colour, by which it is answered from the VIP.
fn echoes(lab: &Lab, colour: Colour, family: usize) {
    let machine = lab.topology.slice(colour).next().expect("a slice has a machine");
    let ear = Socket::open(&machine.namespace, MACHINE_LINK).unwrap();
    let request = |to| echo_request(CLIENT[family], to);
    let mut answer = echo_request(VIPS[family], CLIENT[family]);
    let client = Socket::open(&lab.topology.client, CLIENT_LINK).unwrap();
    heard(lab, &request(VIPS[family]), &ear, &request(machine.addrs[family]));
    let at = if family == 0 { 34 } else { 54 };
    answer[at] = if family == 0 { 0 } else { 129 };
    let mut buffer = vec![0; 2048];
    until("the answer arrives", PATIENCE, || {
        std::iter::from_fn(|| {
            client.receive(&mut buffer).unwrap().map(|frame| buffer[..frame.length].to_vec())
        })
        .any(|frame| {
            // Type, and all behind the checksum; addresses.
            let addresses = if family == 0 { 26..34 } else { 22..54 };
            frame.len() >= answer.len()
                && frame[addresses.clone()] == answer[addresses]
                && frame[at] == answer[at]
                && frame[at + 4..answer.len()] == answer[at + 4..]
        })
    })
    .unwrap();
}

#[test]
fn a_whole_address_is_switched_with_all_its_ports_and_protocols() {
    for way in WAYS {
        let lab = whole(&format!("whole-{way:?}").to_lowercase(), way);
        for (family, address) in VIPS.into_iter().enumerate() {
            let word = lab.word();
            let (live, other) = (word.live(), word.live().other());
            for port in [22, 8443] {
                drop(stream(&lab, live, family, port));
                let servers = Colour::BOTH.map(|colour| server(&lab, colour, family, port));
                converse(&client(&lab, family), &servers[live.index()], (address, port).into(), 3000);
            }
            tunnels(&lab, live, family);
            echoes(&lab, live, family);
            lab.change(|word| word.switched(other, Fate::Keep, None));
            for port in [22, 8443] {
                drop(stream(&lab, other, family, port));
                let servers = Colour::BOTH.map(|colour| server(&lab, colour, family, port));
                converse(&client(&lab, family), &servers[other.index()], (address, port).into(), 3000);
            }
            // What has a pin stays, with ports or without; another client's goes to the new colour.
            tunnels(&lab, live, family);
        }
        assert_eq!(lab.counted(Reason::Orphan), 0, "{way:?}");
    }
}

#[test]
fn frames_of_nine_thousand_bytes_pass_on_each_way() {
    let plan = Plan { mtu: 9000, ..Plan::default() };
    for way in WAYS {
        let lab = datagrams(&format!("jumbo-{way:?}").to_lowercase(), way, &plan);
        for (family, address) in VIPS.into_iter().enumerate() {
            let blue = server(&lab, Colour::Blue, family, SERVER);
            let vip = SocketAddr::new(address, PORT);
            for len in [1000, 3000, 5000, 8900, 20_000] {
                converse(&client(&lab, family), &blue, vip, len);
            }
        }
    }
}
