//! Floods: far more new flows than a table holds, while others go on, a switch happens, and new ones are to be served.

use crate::lab::{Lab, Way, assert_unharmed, await_new, ways};
use bg_common::Colour;
use bg_tests::capture::Packet;
use bg_tests::client::{dial, get, request};
use bg_tests::daemon::{Settings, frontends, service};
use bg_tests::packet::{self, flag};
use bg_tests::ping::ping;
use bg_tests::servers::{Stamp, port};
use bg_tests::topology::{CLIENT, CLIENT_LINK, CLIENT_MAC, Plan, UPLINK, UPLINK_MAC, VIPS};
use bg_tests::traffic::{Kind, Load, Tally, Traffic};
use bg_tests::wait;
use bg_tests::wire::Socket;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;

/// Entries of a small table: the fewest that can be configured.
const TABLE: u32 = 1024;
/// How often a flood fills it.
const TIMES: u32 = 20;
/// Datagrams that wait for their answers: no more than the slice's socket has room for.
const WINDOW: usize = 32;
/// Everybody whose address begins like this is a stranger; they are behind the client.
const STRANGERS: [&str; 2] = ["198.18.0.0/15", "2001:db8:f::/48"];

/// A lab where few flows can be half-open.
fn few_half_open(way: Way) -> Lab {
    lab(way, &format!("half_open = {TABLE}"))
}

/// A lab where few flows can be established, and are so to the end.
fn few_established(way: Way) -> Lab {
    lab(way, &format!("flows = {TABLE}\n[gateway.lifetimes]\nudp = \"1h\""))
}

/// A lab where both tables are small.
fn few(way: Way) -> Lab {
    lab(way, &format!("flows = {TABLE}\nhalf_open = {TABLE}\n[gateway.lifetimes]\nudp = \"1h\""))
}

fn lab(way: Way, sizes: &str) -> Lab {
    let lab = Lab::of(&Plan::default(), &Settings { more: sizes.to_owned(), ..way.settings() });
    for ((strangers, client), vip) in STRANGERS.into_iter().zip(CLIENT).zip(VIPS) {
        lab.topology.gateway.ip(&format!("route add {strangers} via {client} dev {UPLINK}\n")).unwrap();
        // The gateway has to know the client's link-layer address before strangers are to be answered.
        ping(&lab.topology.client, vip, 7).unwrap();
    }
    lab
}

/// A client that does not exist: each number has an address and a port of its own, in families by turns.
fn stranger(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    let ip = if number.is_multiple_of(2) {
        IpAddr::from(Ipv4Addr::new(198, 18 + (a & 1), b, c))
    } else {
        IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, a.into(), u16::from_be_bytes([b, c])))
    };
    SocketAddr::new(ip, 1024 + (number * 7919 % 60_000) as u16)
}

/// Frames of strangers, put on the client's cable.
struct Strangers {
    wire: Socket,
    met: u32,
}

impl Strangers {
    fn new(lab: &Lab) -> Self {
        Self { wire: Socket::open(&lab.topology.client, CLIENT_LINK).unwrap(), met: 0 }
    }

    /// So many who were never seen before.
    fn more(&mut self, count: u32) -> Range<u32> {
        let first = self.met;
        self.met += count;
        first..self.met
    }

    /// A SYN of each of so many new strangers, at once; whoever answers waits in vain.
    fn flood(&mut self, port: u16, count: u32) {
        let frames: Vec<_> = self
            .more(count)
            .map(|number| framed(&packet::tcp(stranger(number), frontend(number, port), flag::SYN, &[])))
            .collect();
        for frame in frames {
            self.send(&frame);
        }
    }

    /// Sends a frame, as soon as the cable takes it: that is no more than the gateway gets done.
    fn send(&self, frame: &[u8]) {
        wait::until("the cable takes a frame", wait::PATIENCE, || self.wire.send(frame).is_ok()).unwrap();
    }

    /// A datagram of each of these, and who has answered it.
    fn ask(&self, who: Range<u32>) -> Vec<Stamp> {
        let all: Vec<_> = who.collect();
        let mut stamps = Vec::new();
        for some in all.chunks(WINDOW) {
            // Answers to others are not waited for.
            while self.read().is_some() {}
            for number in some {
                let target = frontend(*number, service::DATAGRAMS);
                self.send(&framed(&packet::udp(stranger(*number), target, b"who?")));
            }
            let mut answers = BTreeMap::new();
            wait::until("each stranger is answered", wait::PATIENCE, || {
                while let Some(answer) = self.read() {
                    answers.extend(answer);
                }
                some.iter().all(|number| answers.contains_key(&stranger(*number)))
            })
            .unwrap_or_else(|why| panic!("{why:#}: {} of {}", answers.len(), some.len()));
            stamps.extend(some.iter().map(|number| answers[&stranger(*number)]));
        }
        stamps
    }

    /// What is next on the cable, if anything: an answer of the slices to a stranger, or something else.
    fn read(&self) -> Option<Option<(SocketAddr, Stamp)>> {
        let mut buffer = [0; 2048];
        let frame = self.wire.receive(&mut buffer).unwrap()?;
        let bytes = &buffer[..frame.length.min(buffer.len())];
        Some(answer(bytes).filter(|_| !frame.outgoing))
    }
}

/// Whom a datagram of the echo service answers, and who has sent it.
fn answer(frame: &[u8]) -> Option<(SocketAddr, Stamp)> {
    let packet = Packet::parse("", false, frame, false);
    let segment = packet.segment().filter(|segment| segment.src_port == service::DATAGRAMS)?;
    let headers = 14 + if segment.dst.is_ipv4() { 20 } else { 40 } + 8;
    let text = str::from_utf8(frame.get(headers..)?).ok()?;
    Some((SocketAddr::new(segment.dst, segment.dst_port), text.strip_suffix(" who?")?.parse().ok()?))
}

/// Where a stranger goes.
fn frontend(number: u32, port: u16) -> SocketAddr {
    frontends(port)[(number % 2) as usize]
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&UPLINK_MAC[..], &CLIENT_MAC, &frame[12..]].concat()
}

fn load(kind: Kind, port: u16, clients: u32, rate: f64) -> Load {
    Load { kind, targets: frontends(port).to_vec(), clients, rate, life: None }
}

/// Starts clients that keep their connections, and waits until blue has answered each.
fn start(lab: &Lab, loads: Vec<Load>) -> Traffic {
    let wanted: Vec<_> = loads.iter().map(|load| (load.kind, u64::from(load.clients))).collect();
    let traffic = lab.start(loads);
    let open = |tally: &Tally| wanted.iter().all(|(kind, clients)| tally.open_of(*kind) == [*clients, 0]);
    wait::until("blue has answered every client", wait::PATIENCE, || traffic.record().look(open))
        .unwrap_or_else(|why| panic!("{why:#}; failures: {:?}", traffic.record().tally().examples));
    traffic
}

/// Waits until each of these clients has had some more answers.
fn await_answers(traffic: &Traffic) {
    let all = |tally: &Tally| tally.answered.iter().sum::<u64>();
    let clients = traffic.record().look(|tally| tally.connections.len() as u64);
    let before = traffic.record().look(all);
    wait::until("the clients go on", wait::PATIENCE, || traffic.record().look(all) > before + 3 * clients)
        .unwrap();
}

/// Every pin there is.
fn flows(lab: &Lab) -> Vec<Value> {
    let flows = lab.daemon.json(&["flows", "--limit", "1000000"]).unwrap();
    flows["flows"].as_array().unwrap().clone()
}

fn client_of(flow: &Value) -> SocketAddr {
    flow["client"].as_str().unwrap().parse().unwrap()
}

fn is_stranger(flow: &Value) -> bool {
    !CLIENT.contains(&client_of(flow).ip())
}

/// Fails unless all of a load's requests were answered, by blue alone, and each client had one connection from
/// beginning to end, which has a pin.
fn assert_stayed(lab: &Lab, traffic: Traffic) {
    let pins = flows(lab);
    let tally = traffic.stop().unwrap();
    assert_unharmed(&tally);
    assert_eq!(tally.answered[Colour::Green.index()], 0);
    for connection in &tally.connections {
        let service = match connection.kind {
            Kind::Stream => "lines",
            Kind::Datagram => "datagrams",
            Kind::Kept | Kind::Short => "web",
        };
        let of_client = |flow: &&Value| !is_stranger(flow) && client_of(flow).port() == connection.port;
        let mut pins = pins.iter().filter(of_client).filter(|flow| flow["service"] == service);
        // Another one may have the same port in the other family.
        let stays = pins.any(|flow| flow["state"] == "established" && flow["colour"] == "blue");
        assert!(stays, "{connection:?} has no pin");
    }
}

/// Fails if strangers have more than a pin in the half-open table.
fn assert_kept_out(lab: &Lab) {
    let strangers: Vec<_> = flows(lab).into_iter().filter(is_stranger).collect();
    assert!(strangers.len() <= TABLE as usize, "{} pins of strangers", strangers.len());
    for flow in strangers {
        assert_eq!(flow["state"], "half-open", "{flow}");
    }
}

/// A counter of both slices together.
fn counted(lab: &Lab, what: &str) -> u64 {
    let counters = lab.daemon.json(&["counters"]).unwrap();
    Colour::BOTH
        .map(|colour| counters["deployments"][0][colour.as_str()][what].as_u64().unwrap())
        .iter()
        .sum()
}

ways!(a_syn_flood_costs_no_connection, crate::floods::few_half_open);

fn a_syn_flood_costs_no_connection(lab: Lab) {
    let kept = start(
        &lab,
        vec![load(Kind::Stream, service::LINES, 100, 5.0), load(Kind::Kept, service::WEB, 100, 5.0)],
    );
    let before = counted(&lab, "handshakes");
    let short = lab.start(vec![load(Kind::Short, service::WEB, 8, 20.0)]);
    await_new(&short, Colour::Blue, 10);
    let mut strangers = Strangers::new(&lab);
    let arrived = || {
        let others = short.record().look(|tally| tally.connections.len() as u64);
        counted(&lab, "handshakes") - before - others
    };
    for (live, half) in [(Colour::Blue, 1), (Colour::Green, 2)] {
        lab.daemon.switch(live).unwrap();
        while arrived() < u64::from(half * TIMES * TABLE / 2) {
            assert!(strangers.met < 2 * TIMES * TABLE, "{} of {} SYNs arrived", arrived(), strangers.met);
            strangers.flood(service::WEB, TABLE);
            await_new(&short, live, 1);
        }
    }
    await_answers(&kept);
    await_new(&short, Colour::Green, 10);
    assert_kept_out(&lab);
    assert_stayed(&lab, kept);
    let tally = short.stop().unwrap();
    assert_unharmed(&tally);
    assert_eq!(counted(&lab, "resets"), 0);
    // No pin was missed by a packet of a connection that had one.
    assert_eq!(["flows-full", "midstream", "midstream-drain"].map(|reason| lab.counted(reason)), [0; 3]);
}

ways!(a_spray_of_datagrams_moves_no_conversation, crate::floods::few_half_open);

fn a_spray_of_datagrams_moves_no_conversation(lab: Lab) {
    let kept = start(&lab, vec![load(Kind::Datagram, service::DATAGRAMS, 100, 5.0)]);
    await_answers(&kept);
    let before = (counted(&lab, "flows"), counted(&lab, "answered"));
    let mut strangers = Strangers::new(&lab);
    for live in Colour::BOTH {
        lab.daemon.switch(live).unwrap();
        let some = strangers.more(TIMES * TABLE / 2);
        assert!(strangers.ask(some).iter().all(|stamp| stamp.colour == live));
        await_answers(&kept);
    }
    assert_kept_out(&lab);
    assert_stayed(&lab, kept);
    let after = (counted(&lab, "flows"), counted(&lab, "answered"));
    let spray = u64::from(TIMES * TABLE);
    assert_eq!((after.0 - before.0, after.1 - before.1), (spray, spray));
    assert_eq!((lab.counted("moved"), lab.counted("flows-full")), (0, 0));
}

ways!(flows_beyond_a_full_table_are_served_and_stay, crate::floods::few_established);

fn flows_beyond_a_full_table_are_served_and_stay(lab: Lab) {
    let both = || {
        vec![load(Kind::Stream, service::LINES, 50, 5.0), load(Kind::Datagram, service::DATAGRAMS, 50, 5.0)]
    };
    let first = start(&lab, both());
    await_answers(&first);
    let mut strangers = Strangers::new(&lab);
    let old = fill(&lab, &mut strangers);
    let before = lab.counted("flows-full");
    let beyond = start(&lab, both());
    await_answers(&beyond);
    assert!(lab.counted("flows-full") >= before + 100);
    lab.daemon.switch(Colour::Green).unwrap();
    for target in frontends(service::WEB) {
        assert_eq!(request(&lab.topology.client, target).unwrap().colour, Colour::Green);
    }
    let new = strangers.more(100);
    assert!(strangers.ask(new).iter().all(|stamp| stamp.colour == Colour::Green));
    assert!(strangers.ask(old).iter().all(|stamp| stamp.colour == Colour::Blue));
    await_answers(&first);
    await_answers(&beyond);
    assert_stayed(&lab, first);
    assert_stayed(&lab, beyond);
    assert_eq!(["half-open-full", "midstream", "midstream-drain"].map(|reason| lab.counted(reason)), [0; 3]);
}

/// Has strangers converse until the established table is full and some of them are beyond it.
fn fill(lab: &Lab, strangers: &mut Strangers) -> Range<u32> {
    let some = WINDOW as u32;
    let first = strangers.met;
    while lab.counted("flows-full") < u64::from(some) {
        assert!(strangers.met - first <= 2 * TABLE, "{} conversations do not fill it", strangers.met - first);
        let new = strangers.more(some);
        for _ in 0..3 {
            assert!(strangers.ask(new.clone()).iter().all(|stamp| stamp.colour == Colour::Blue));
        }
    }
    first..strangers.met
}

ways!(a_connection_that_loses_its_half_open_pin_goes_by_word_and_hash, crate::floods::few);

/// The client's answer to the slice's SYN is so late that a flood has pushed its pin out.
fn a_connection_that_loses_its_half_open_pin_goes_by_word_and_hash(lab: Lab) {
    let mut strangers = Strangers::new(&lab);
    pushed_out(&lab, &mut strangers, |target, port| {
        let hold = format!(
            "table inet hold {{\nchain out {{\ntype filter hook output priority 0\n\
             tcp sport {port} tcp flags & syn == 0 drop\n}}\n}}\n"
        );
        lab.topology.client.nft(&hold).unwrap();
        let stream = dial(&lab.topology.client, target, port).unwrap();
        stop_hearing(&lab, port);
        stream
    });
}

/// Makes the client deaf to a SYN to this port. The slice repeats its own after a second; without a pin it comes from an
/// address that the client has never asked, and its kernel would end the connection.
fn stop_hearing(lab: &Lab, port: u16) {
    let deaf = format!(
        "table inet deaf{port} {{\nchain in {{\ntype filter hook input priority 0\n\
         tcp dport {port} tcp flags & syn == syn drop\n}}\n}}\n"
    );
    lab.topology.client.nft(&deaf).unwrap();
}

ways!(a_connection_beyond_a_full_table_that_loses_its_pin_goes_by_word_and_hash, crate::floods::few);

/// There was no room among the established pins, and a flood has pushed out the half-open one, too.
fn a_connection_beyond_a_full_table_that_loses_its_pin_goes_by_word_and_hash(lab: Lab) {
    let mut strangers = Strangers::new(&lab);
    fill(&lab, &mut strangers);
    pushed_out(&lab, &mut strangers, |target, port| {
        let mut stream = dial(&lab.topology.client, target, port).unwrap();
        get(&mut stream, false).unwrap();
        stream
    });
}

/// Opens connections by `open`, has floods push their pins out, and holds against each other who serves them then.
fn pushed_out(lab: &Lab, strangers: &mut Strangers, open: impl Fn(SocketAddr, u16) -> TcpStream) {
    // Keeps the drain going.
    let mut anchor = dial(&lab.topology.client, frontends(service::WEB)[0], 0).unwrap();
    get(&mut anchor, false).unwrap();
    let mut lose = |target: SocketAddr, port: u16, switch: bool| {
        let mut stream = open(target, port);
        if switch {
            lab.daemon.switch(Colour::Green).unwrap();
        }
        push_out(lab, strangers, &stream);
        // Only where something is held back.
        drop(lab.topology.client.nft("delete table inet hold"));
        get(&mut stream, false)
    };
    let [four, six] = frontends(service::WEB);
    let reasons = || ["midstream", "midstream-drain"].map(|reason| lab.counted(reason));
    let mut now = reasons();
    for (what, target, port, switch, drains, served) in [
        ("opened under the word that holds", four, 1_901, false, false, true),
        ("by IPv6", six, 1_902, false, false, true),
        ("opened before a switch", four, 1_903, true, true, true),
        ("opened after it, of which the drain knows nothing", six, 1_904, false, true, false),
    ] {
        match lose(target, port, switch) {
            Ok(stamp) => assert!(served && stamp.colour == Colour::Blue, "{what}: {stamp}"),
            Err(why) => assert!(!served && why.kind() == ErrorKind::ConnectionReset, "{what}: {why}"),
        }
        let before = std::mem::replace(&mut now, reasons());
        assert!(now[usize::from(drains)] > before[usize::from(drains)], "{what}: {before:?}, {now:?}");
        // A client that tries again is served.
        request(&lab.topology.client, target).unwrap();
    }
}

/// Floods until a connection has no pin any more.
fn push_out(lab: &Lab, strangers: &mut Strangers, stream: &TcpStream) {
    let client = stream.local_addr().unwrap();
    let is_there = || flows(lab).iter().any(|flow| client_of(flow) == client);
    assert!(is_there(), "{client} has no pin");
    for _ in 0..TIMES {
        strangers.flood(service::LINES, TABLE);
        if !is_there() {
            return;
        }
    }
    panic!("{client} keeps its pin");
}

ways!(a_slice_that_speaks_first_without_a_pin_ends_the_connection, crate::floods::few);

/// Nothing tells what it says from a conversation that never was with the VIP.
fn a_slice_that_speaks_first_without_a_pin_ends_the_connection(lab: Lab) {
    let blue = lab.topology.slice(Colour::Blue).next().unwrap();
    let listener = blue.namespace.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port::BULK))).unwrap();
    let mut strangers = Strangers::new(&lab);
    fill(&lab, &mut strangers);
    for target in frontends(service::BULK) {
        let mut client = dial(&lab.topology.client, target, 0).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        client.write_all(b"?").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"!").unwrap();
        client.read_exact(&mut [0]).unwrap();
        push_out(&lab, &mut strangers, &client);
        let before = lab.counted("direct-reply");
        server.write_all(b"!").unwrap();
        let ended = server.read(&mut [0]).unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::ConnectionReset, "{target}");
        assert!(lab.counted("direct-reply") > before, "{target}");
    }
}
