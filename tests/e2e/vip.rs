//! bgd's own client, beyond an interface of its own: it meets what clients meet, and nothing else does.

use crate::lab::{Lab, Way, assert_unharmed, await_new, ways};
use bg_common::Colour;
use bg_tests::client::request;
use bg_tests::daemon::{DEPLOYMENT, frontends, service};
use bg_tests::foreign::tcx_programs;
use bg_tests::netns::Namespace;
use bg_tests::servers::{BIG, Stamp, port};
use bg_tests::topology::{GATEWAY, Plan, Topology, VIPS};
use bg_tests::wait;
use bg_userspace::health::connect::{Connector as _, Stream};
use bg_userspace::health::vip::{Client, Interface};
use bg_userspace::net::tap;
use bg_userspace::refusal::Refusal;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Where the client's packets come from: the addresses that are configured unless others are.
const OWN: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfd62, 0x6770, 0, 0, 0, 0, 0, 2))];

/// Longer than any question takes that is answered, shorter than any that is not.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// Whoever has not answered by then will not: a SYN has been sent a second time.
const SILENT_FOR: Duration = Duration::from_millis(1500);

/// A client whose packets are moved on a thread in the gateway's namespace, and used from outside.
struct Probe {
    client: Client,
    interface: Interface,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    mover: Option<JoinHandle<io::Result<()>>>,
}

impl Probe {
    fn open(gateway: &Namespace, instance: &str, addresses: &[IpAddr]) -> Result<Self, Refusal> {
        Self::prepared(gateway, instance, addresses, || {})
    }

    /// One whose thread does something else first.
    fn prepared(
        gateway: &Namespace,
        instance: &str,
        addresses: &[IpAddr],
        prepare: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Refusal> {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (instance, addresses) = (instance.to_owned(), addresses.to_vec());
        let mover = gateway.spawn("mover", move || {
            prepare();
            move_packets(&instance, &addresses, &tell, stopped);
        });
        let (client, interface) = told.recv().unwrap_or_else(|_| panic!("nothing is told"))?;
        Ok(Self { client, interface, runtime: runtime(), stop: Some(stop), mover: mover.ok() })
    }

    /// One for the lab's instance, when the daemon has hooked it.
    fn hooked(lab: &Lab) -> Self {
        let this = Self::open(&lab.topology.gateway, lab.daemon.instance(), &OWN).unwrap();
        this.await_hooked(lab);
        this
    }

    fn await_hooked(&self, lab: &Lab) {
        let both = || hooks(lab, &self.interface.name).len() == 2;
        wait::until("bgd hooks its own interface", wait::PATIENCE, both).unwrap();
    }

    fn ask<T>(&self, question: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        self.runtime.block_on(async {
            tokio::time::timeout(ANSWERED_WITHIN, question)
                .await
                .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
        })
    }

    /// The body of an answer by HTTP, and the port that the question came from.
    fn get(&self, target: SocketAddr, path: &str) -> io::Result<(Vec<u8>, u16)> {
        self.ask(async {
            let (mut stream, own) = self.client.tcp(target).await?;
            let question = format!("GET {path} HTTP/1.1\r\nHost: bg.test\r\nConnection: close\r\n\r\n");
            stream.write_all(question.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            let head = answer.windows(4).position(|end| end == b"\r\n\r\n").ok_or(ErrorKind::InvalidData)?;
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..head]));
            Ok((answer.split_off(head + 4), own.port()))
        })
    }

    /// Who answers by HTTP.
    fn web(&self, target: SocketAddr) -> io::Result<Stamp> {
        let (body, _) = self.get(target, "/")?;
        String::from_utf8_lossy(&body).trim().parse().map_err(io::Error::other)
    }

    /// Who answers a datagram.
    fn datagram(&self, target: SocketAddr) -> io::Result<Stamp> {
        self.ask(async {
            let (mut socket, own) = self.client.udp(target).await?;
            assert!(OWN.contains(&own.ip()), "{own}");
            socket.send(b"who?").await?;
            let mut answer = [0; 64];
            let length = socket.receive(&mut answer).await?;
            stamp(&answer[..length])
        })
    }

    /// An open connection to the echo of lines.
    fn lines(&self, target: SocketAddr) -> io::Result<Box<dyn Stream>> {
        self.ask(async { Ok(self.client.tcp(target).await?.0) })
    }

    /// Who answers on an open connection.
    fn line(&self, stream: &mut Box<dyn Stream>) -> io::Result<Stamp> {
        self.ask(async {
            stream.write_all(b"who?\n").await?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\n") {
                answer.push(stream.read_u8().await?);
            }
            stamp(&answer)
        })
    }

    /// How an attempt to connect ends, if it does before the second SYN has had its time.
    fn connect(&self, target: SocketAddr) -> Option<io::Result<()>> {
        self.runtime.block_on(async {
            let connected = tokio::time::timeout(SILENT_FOR, self.client.tcp(target)).await;
            connected.ok().map(|connected| connected.map(drop))
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(mover) = self.mover.take() {
            drop(mover.join());
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Opens a client, tells what has come of it, and moves its packets until it is to stop.
fn move_packets(
    instance: &str,
    addresses: &[IpAddr],
    tell: &mpsc::Sender<Result<(Client, Interface), Refusal>>,
    stopped: oneshot::Receiver<()>,
) {
    runtime().block_on(async {
        let opened = Client::open(instance, addresses).await;
        tell.send(opened.clone()).unwrap();
        if let Ok((client, _)) = opened {
            tokio::select! {
                () = client.serve() => {}
                _ = stopped => {}
            }
        }
    });
}

fn stamp(answer: &[u8]) -> io::Result<Stamp> {
    let text = String::from_utf8_lossy(answer);
    let (stamp, question) = text.trim().split_once(' ').ok_or(ErrorKind::InvalidData)?;
    assert_eq!(question, "who?");
    stamp.parse().map_err(io::Error::other)
}

/// Where the daemon says that an interface is hooked.
fn hooks(lab: &Lab, interface: &str) -> Vec<String> {
    let status = lab.daemon.json(&["status"]).unwrap();
    let attachments = status["attachments"].as_array().unwrap();
    let ours = attachments.iter().filter(|attachment| attachment["interface"] == interface);
    ours.filter(|attachment| attachment["ifindex"] != 0)
        .map(|attachment| attachment["hook"].as_str().unwrap().to_owned())
        .collect()
}

/// The pin of the link at a hook; none where this kernel has no such links.
fn pin(lab: &Lab, interface: &str, hook: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(lab.daemon.pins()).unwrap();
    let mut pins = versions.map(|version| version.unwrap().path().join(format!("links/{interface}@{hook}")));
    let pin = pins.find(|pin| pin.exists());
    if pin.is_none() {
        println!("SKIP this kernel has no TCX links");
    }
    pin
}

/// Takes a program off an interface.
fn take_off(lab: &Lab, interface: &str, pin: &Path) {
    let programs = || lab.topology.gateway.run(|| tcx_programs(interface)).unwrap();
    let before = programs();
    std::fs::remove_file(pin).unwrap();
    wait::until("the program is off", wait::PATIENCE, || programs() < before).unwrap();
}

ways!(it_meets_what_clients_meet);

fn it_meets_what_clients_meet(lab: Lab) {
    // As unfriendly as a gateway may be that still forwards.
    for (key, value) in [("all/rp_filter", "1"), ("default/rp_filter", "1"), ("default/forwarding", "0")] {
        lab.topology.gateway.sysctl(&format!("net/ipv4/conf/{key}"), value).unwrap();
    }
    let probe = Probe::hooked(&lab);
    let mut open = frontends(service::LINES).map(|target| probe.lines(target).unwrap());
    for live in [Colour::Blue, Colour::Green, Colour::Blue] {
        lab.daemon.switch(live).unwrap();
        for target in frontends(service::WEB) {
            assert_eq!(probe.web(target).unwrap().colour, live, "HTTP through {target}");
            assert_eq!(request(&lab.topology.client, target).unwrap().colour, live, "a client of {target}");
        }
        for target in frontends(service::DATAGRAMS) {
            assert_eq!(probe.datagram(target).unwrap().colour, live, "datagrams through {target}");
        }
        for (target, stream) in frontends(service::LINES).into_iter().zip(&mut open) {
            assert_eq!(probe.line(stream).unwrap().colour, Colour::Blue, "an open connection to {target}");
        }
    }
    let doctor = lab.daemon.bgctl(&["doctor"]).unwrap();
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    let seen = format!("{}: bg_tc_egress by", probe.interface.name);
    assert!(doctor.stdout.contains(&seen), "{seen:?} is missing in: {doctor:?}");
    let flows = lab.daemon.json(&["flows"]).unwrap();
    for (own, vip) in OWN.into_iter().zip(VIPS) {
        let at = |row: &serde_json::Value, key: &str, ip: IpAddr| {
            row[key].as_str().unwrap().parse::<SocketAddr>().unwrap().ip() == ip
        };
        let ours = flows["flows"].as_array().unwrap().iter();
        let ours = ours.filter(|row| at(row, "client", own) && at(row, "frontend", vip));
        assert!(ours.count() >= 3, "the flows of {own} are pinned like others: {flows}");
    }
}

ways!(what_is_refused_is_told_at_once_and_what_is_silent_is_not_answered_by_others);

fn what_is_refused_is_told_at_once_and_what_is_silent_is_not_answered_by_others(mut lab: Lab) {
    let probe = Probe::hooked(&lab);
    // Nobody listens there on any machine.
    for target in frontends(service::BULK) {
        let why = probe.connect(target).unwrap().unwrap_err();
        assert_eq!(why.kind(), ErrorKind::ConnectionRefused, "{target}");
    }
    let machine = lab.topology.slice(Colour::Blue).next().unwrap();
    let ways_back = [(probe.interface.name.as_str(), "tcx-egress"), (machine.link.as_str(), "tcx-ingress")];
    let Some(pins) =
        ways_back.map(|(interface, hook)| pin(&lab, interface, hook)).into_iter().collect::<Option<Vec<_>>>()
    else {
        return;
    };
    // A daemon would put them back as soon as it looks.
    lab.daemon.kill();
    for ((interface, _), pin) in ways_back.into_iter().zip(pins) {
        take_off(&lab, interface, &pin);
    }
    // Replies keep the machine's own address: to a client they are nobody's.
    for target in frontends(service::WEB) {
        let answer = probe.connect(target);
        assert!(answer.is_none(), "{target}: {answer:?}");
    }
    for target in frontends(service::DATAGRAMS) {
        assert_eq!(probe.datagram(target).unwrap_err().kind(), ErrorKind::TimedOut, "{target}");
    }
    for addr in machine.addrs {
        let direct = request(&lab.topology.gateway, SocketAddr::new(addr, port::WEB));
        assert_eq!(direct.unwrap().colour, Colour::Blue, "the machine itself is well");
    }
    let Some(ingress) = pin(&lab, &probe.interface.name, "tcx-ingress") else { return };
    take_off(&lab, &probe.interface.name, &ingress);
    // Unhooked, a VIP is an address of the gateway, where nobody listens.
    for target in frontends(service::WEB) {
        let why = probe.connect(target).unwrap().unwrap_err();
        assert_eq!(why.kind(), ErrorKind::ConnectionRefused, "{target}");
    }
}

/// A probe of each protocol, which asks the machines and through the VIPs, for the live colour by name.
const PROBES: &str = r#"
[deployment.shop.probe.page]
kind = "http"
service = "web"
interval = "300ms"
timeout = "300ms"
fall = 5
body = "{colour}"
[deployment.shop.probe.echo]
kind = "udp"
service = "datagrams"
interval = "300ms"
timeout = "300ms"
fall = 5
send = "who?"
expect = "{colour}"
"#;

ways!(the_daemon_itself_asks_through_the_vip_and_notices_what_no_machine_can_tell);

fn the_daemon_itself_asks_through_the_vip_and_notices_what_no_machine_can_tell(mut lab: Lab) {
    let config = std::fs::read_to_string(lab.daemon.config()).unwrap();
    std::fs::write(lab.daemon.config(), config + PROBES).unwrap();
    lab.daemon.process().unwrap().signal(nix::sys::signal::Signal::SIGHUP).unwrap();
    let own = tap::name(lab.daemon.instance());
    wait::until("bgd makes its own interface", wait::PATIENCE, || hooks(&lab, &own).len() == 2).unwrap();
    for live in [Colour::Blue, Colour::Green] {
        if live == Colour::Green {
            lab.daemon.switch(live).unwrap();
        }
        let well = || verdicts(&lab, |_| true) == [Some(true); 10];
        wait::until(&format!("{live} and every machine answer"), wait::PATIENCE, well).unwrap();
    }
    let Some(ingress) = pin(&lab, &own, "tcx-ingress") else { return };
    take_off(&lab, &own, &ingress);
    let ill = || verdicts(&lab, |colour| colour.is_none()) == [Some(false); 2];
    wait::until("bgd notices that VIPs lead nowhere", wait::PATIENCE, ill).unwrap();
    let machines = verdicts(&lab, |colour| colour.is_some());
    assert_eq!(machines, [Some(true); 8], "the machines are well: {}", health(&lab));
}

fn health(lab: &Lab) -> serde_json::Value {
    lab.daemon.json(&["health"]).unwrap()
}

/// What the probes say, of those whose colour is chosen.
fn verdicts(lab: &Lab, of: impl Fn(Option<&str>) -> bool) -> Vec<Option<bool>> {
    let health = health(lab);
    let probes = health["deployments"][0]["probes"].as_array().unwrap();
    let chosen = probes.iter().filter(|probe| of(probe["colour"].as_str()));
    chosen.map(|probe| probe["up"].as_bool()).collect()
}

#[test]
fn what_a_local_sender_has_left_to_the_device_arrives_whole() {
    for way in [Way::Redirect, Way::Stack] {
        let lab = Lab::idle(&Plan { offload: true, ..Plan::default() }, &way.settings());
        let mut lab = lab;
        lab.daemon.launch().unwrap();
        let probe = Probe::hooked(&lab);
        for target in frontends(service::LINES) {
            let mut stream = probe.lines(target).unwrap();
            // More than a packet each way, and more than a window.
            let long = vec![b'x'; 48 << 10];
            let echoed = probe.ask(async {
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let send = async {
                    write.write_all(&long).await?;
                    write.write_all(b"\n").await
                };
                let mut answer = Vec::new();
                let receive = async {
                    while !answer.ends_with(b"\n") {
                        if read.read_buf(&mut answer).await? == 0 {
                            return Err(ErrorKind::UnexpectedEof.into());
                        }
                    }
                    Ok(())
                };
                tokio::try_join!(send, receive)?;
                Ok(answer)
            });
            let echoed = echoed.unwrap();
            let (stamp, text) = echoed.split_at(b"blue/1 ".len());
            assert_eq!((stamp, text.len()), (&b"blue/1 "[..], long.len() + 1), "{way:?} {target}");
            assert!(text.iter().all(|byte| *byte == b'x' || *byte == b'\n'));
        }
        for target in frontends(service::WEB) {
            let started = Instant::now();
            let read = probe.ask(async {
                let (mut stream, _) = probe.client.tcp(target).await?;
                stream.write_all(b"GET /big HTTP/1.0\r\n\r\n").await?;
                let mut answer = vec![0; 1 << 20];
                stream.read_exact(&mut answer).await
            });
            assert_eq!(read.unwrap(), 1 << 20, "the first of {BIG} bytes, {way:?} {target}");
            println!("1 MiB in {:?}, {way:?} {target}", started.elapsed());
        }
        lab.forget_capture();
    }
}

ways!(its_coming_and_going_is_noticed_and_disturbs_nobody);

fn its_coming_and_going_is_noticed_and_disturbs_nobody(mut lab: Lab) {
    let traffic = lab.load();
    // Streams, kept connections and exchanges of datagrams, eight of each.
    let drains = |lab: &Lab| {
        let deployment = lab.daemon.json(&["status"]).unwrap()["deployments"][0].clone();
        deployment["draining"] == true && deployment["open"]["blue"].as_u64().unwrap() >= 24
    };
    let probe = Probe::hooked(&lab);
    assert_eq!(probe.web(frontends(service::WEB)[0]).unwrap().colour, Colour::Blue);
    let hooked = |lab: &Lab| hooks(lab, &tap::name(lab.daemon.instance())).len();

    // bgd's process ends.
    let first = probe.interface.clone();
    drop(probe);
    let forgotten =
        || !lab.daemon.json(&["status"]).unwrap()["attachments"].to_string().contains(&first.name);
    wait::until("nothing is left of its hooks", wait::PATIENCE, forgotten).unwrap();
    lab.daemon.switch(Colour::Green).unwrap();
    wait::until("at least 24 flows of blue are open", wait::PATIENCE, || drains(&lab)).unwrap();

    // Another one begins.
    let probe = Probe::hooked(&lab);
    assert_eq!(probe.interface.name, first.name);
    assert_ne!(probe.interface.ifindex, first.ifindex);
    for target in frontends(service::WEB) {
        assert_eq!(probe.web(target).unwrap().colour, Colour::Green);
    }

    // The daemon that reads the network is replaced by one that finds the interface in place.
    lab.daemon.kill();
    lab.daemon.launch().unwrap();
    probe.await_hooked(&lab);
    for target in frontends(service::WEB) {
        assert_eq!(probe.web(target).unwrap().colour, Colour::Green);
    }

    // Somebody removes it: connections end, and it is made again.
    let mut stream = probe.lines(frontends(service::LINES)[0]).unwrap();
    assert_eq!(probe.line(&mut stream).unwrap().colour, Colour::Green);
    lab.topology.gateway.ip(&format!("link del {}\n", first.name)).unwrap();
    let why = probe.line(&mut stream).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::ConnectionReset);
    let answers = || frontends(service::WEB).into_iter().all(|target| probe.web(target).is_ok());
    wait::until("it is back", wait::PATIENCE, || hooked(&lab) == 2 && answers()).unwrap();

    // Switched off it loses its routes, and they would not come back with it.
    lab.topology.gateway.ip(&format!("link set {} down\n", first.name)).unwrap();
    wait::until("it is lost", wait::PATIENCE, || !answers()).unwrap();
    wait::until("it is back once more", wait::PATIENCE, || hooked(&lab) == 2 && answers()).unwrap();

    wait::until("the drain goes on as if nothing had been", wait::PATIENCE, || drains(&lab)).unwrap();
    await_new(&traffic, Colour::Green, 50);
    assert_unharmed(&traffic.stop().unwrap());
}

#[test]
fn a_connection_that_nobody_holds_any_more_is_over_for_the_other_side_too() {
    let lab = Lab::new(Way::Redirect);
    let probe = Probe::hooked(&lab);
    let [target, _] = frontends(service::LINES);
    let open = || {
        let flows = lab.daemon.json(&["flows", "--limit", "1000"]).unwrap();
        let rows = flows["flows"].as_array().unwrap().clone();
        rows.iter().filter(|row| row["state"] == "established").count()
    };
    let mut streams: Vec<_> = (0..64).map(|_| probe.lines(target).unwrap()).collect();
    for stream in &mut streams {
        probe.line(stream).unwrap();
    }
    assert_eq!(open(), 64, "{DEPLOYMENT}");
    let why = probe.lines(target).map(drop).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::QuotaExceeded, "{why}");
    drop(streams);
    wait::until("every connection is reset", wait::PATIENCE, || open() == 0).unwrap();
    // There is room again, and no port comes back at once.
    let ports: Vec<_> = (0..80).map(|_| probe.get(frontends(service::WEB)[0], "/").unwrap().1).collect();
    let distinct: std::collections::HashSet<_> = ports.iter().collect();
    assert_eq!(distinct.len(), ports.len());
}

#[test]
fn what_is_somebody_elses_is_not_used() {
    let topology = Topology::new(&Plan::default()).unwrap();
    let open = |instance: &str, addresses: &[IpAddr]| Probe::open(&topology.gateway, instance, addresses);
    let refused = |instance: &str, addresses: &[IpAddr]| open(instance, addresses).map(drop).unwrap_err();
    let [v4, v6] = OWN;

    topology.gateway.ip("link add bgp-taken type bridge\n").unwrap();
    let rows = [
        (refused("taken", &OWN), "interface-taken", "ip link del bgp-taken"),
        (refused("a", &[GATEWAY[0], v6]), "probe-address-taken", "is an address of this host"),
        (refused("a", &[v4, GATEWAY[1]]), "probe-address-taken", "is an address of this host"),
    ];
    for (refusal, code, names) in rows {
        assert_eq!(refusal.code, code, "{refusal}");
        assert!(refusal.to_string().contains(names), "{names:?} is missing in: {refusal}");
    }
    let first = open("a", &OWN).unwrap();
    let second = refused("a", &OWN);
    assert_eq!(second.code, "interface-taken", "{second}");
    let other = refused("b", &OWN);
    assert_eq!(other.code, "probe-address-taken", "{other}");
    assert!(other.what.contains("somewhere else"), "{other}");
    drop(open("b", &["192.0.0.3".parse().unwrap(), "fd62:6770::3".parse().unwrap()]).unwrap());

    // Nothing is left of those that were refused, nor of those that are over.
    let present = || topology.gateway.output("ip", ["-br", "link"]).unwrap();
    assert_eq!(present().matches("bgp-").count(), 2, "{}", present());
    drop(first);
    assert_eq!(present().matches("bgp-").count(), 1, "{}", present());

    // A rule of the operator's that leads elsewhere is noticed.
    topology
        .gateway
        .ip("rule add to 192.0.0.0/29 table 7 pref 7\nroute add unreachable 192.0.0.2 table 7\n")
        .unwrap();
    let refusal = refused("a", &OWN);
    assert!(refusal.what.contains("by a rule or another table"), "{refusal}");
    topology.gateway.ip("rule del pref 7\n").unwrap();

    // Without IPv6 there is IPv4.
    topology.gateway.sysctl("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    let only = open("a", &OWN).unwrap();
    let why = only.connect(SocketAddr::new(VIPS[1], service::WEB)).unwrap().unwrap_err();
    assert_eq!(why.kind(), ErrorKind::AddrNotAvailable, "{why}");
}

#[test]
fn the_capabilities_of_the_unit_are_enough() {
    let lab = Lab::new(Way::Redirect);
    let probe = Probe::prepared(&lab.topology.gateway, lab.daemon.instance(), &OWN, keep_those_of_the_unit);
    let probe = probe.unwrap();
    probe.await_hooked(&lab);
    assert_eq!(probe.web(frontends(service::WEB)[0]).unwrap().colour, Colour::Blue);
}

#[test]
fn a_machine_without_tap_devices_is_told_what_it_lacks() {
    let hide = || {
        use nix::mount::{MsFlags, mount};
        // Only this thread sees another /dev/net.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        mount(Some("none"), "/dev/net", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    };
    let topology = Topology::new(&Plan::default()).unwrap();
    let refusal = Probe::prepared(&topology.gateway, "a", &OWN, hide).map(drop).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.at.as_str()), ("no-tap", "/dev/net/tun"), "{refusal}");
    assert!(refusal.mend.contains("modprobe tun") && refusal.mend.contains("DeviceAllow="), "{refusal}");
}

/// Has the calling thread give up every capability but those that `bgd.service` grants.
fn keep_those_of_the_unit() {
    const VERSION_3: u32 = 0x2008_0522;
    const NET_ADMIN: u32 = 12;
    const NET_RAW: u32 = 13;
    const PERFMON: u32 = 38;
    const BPF: u32 = 39;
    let low = 1_u32 << NET_ADMIN | 1 << NET_RAW;
    let high = 1_u32 << (PERFMON - 32) | 1 << (BPF - 32);
    let header = [VERSION_3, 0];
    // Effective, permitted, inheritable; twice.
    let sets = [low, low, 0, high, high, 0];
    // SAFETY: both arrays are as long as this version of the call says, and it writes to neither.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
