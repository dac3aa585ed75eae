//! What the ends of real connections notice: resets, refusals, pauses and deadlines, on each way through a gateway and
//! with no daemon there.

use crate::instance::Instance;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use bg_common::{Colour, Fate, PinnedFlows, Reason, Tick, Via, Word, names};
use bg_tests::netns::Namespace;
use bg_tests::topology::{CLIENT_LINK, Plan, Topology, UPLINK, VIPS};
use bg_tests::wait::{PATIENCE, until, until_some};
use bg_userspace::dataplane::kernel::{Kernel, OBJECT};
use bg_userspace::dataplane::{
    AttachPlan, AttachSpec, BackendSpec, Dataplane as _, DeploymentSpec, Exchange, FlowState, Hook, Path,
    Protocol, ServiceSpec, Side,
};
use nix::net::if_::if_nametoindex;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WEB: u16 = 80;
const CLOSED: u16 = 81;
const SERVER: u16 = 8080;

/// A way through the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Xdp,
    Stack,
    Redirect,
}

pub(crate) const WAYS: [Way; 3] = [Way::Xdp, Way::Stack, Way::Redirect];

/// A gateway that is set up but has no daemon, with one listening machine in each slice.
pub(crate) struct Lab {
    kernel: Kernel,
    spec: DeploymentSpec,
    /// By colour, then by address family.
    listeners: [[TcpListener; 2]; 2],
    pub(crate) topology: Topology,
    _awake: Option<Ebpf>,
    _instance: Instance,
}

/// The two ends of a connection through the gateway.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Lab {
    fn new(name: &str, way: Way, offload: bool) -> Self {
        let service = |name: &str, port, backends, refuse| ServiceSpec {
            name: name.to_owned(),
            protocol: Protocol::Tcp,
            frontends: VIPS.map(|vip| (vip, port).into()).to_vec(),
            backends,
            refuse,
            ..ServiceSpec::default()
        };
        Self::with(name, way, &Plan { offload, ..Plan::default() }, |backends| {
            vec![
                service("web", WEB, Colour::BOTH.map(|colour| backends(colour, SERVER)), false),
                service("closed", CLOSED, [vec![], vec![]], true),
            ]
        })
    }

    /// One with other services, made from the backends of a colour on a port.
    pub(crate) fn with(
        name: &str,
        way: Way,
        plan: &Plan,
        services: impl FnOnce(&dyn Fn(Colour, u16) -> Vec<BackendSpec>) -> Vec<ServiceSpec>,
    ) -> Self {
        let instance = Instance::new(name);
        let topology = Topology::new(plan).unwrap();
        let gateway = &topology.gateway;
        let [vip4, vip6] = VIPS;
        gateway
            .ip(&format!("addr add {vip4}/32 dev {UPLINK}\naddr add {vip6}/128 dev {UPLINK} nodad\n"))
            .unwrap();
        let awake = (way == Way::Xdp).then(|| awaken(&topology.client));
        let index = |link: &str| gateway.run(|| if_nametoindex(link)).unwrap();
        let link =
            |name: &str, side, hook| AttachSpec { ifindex: index(name), name: name.to_owned(), side, hook };
        let uplink = link(UPLINK, Side::Uplink, if way == Way::Xdp { Hook::Xdp } else { Hook::Tc });
        let zones = topology.machines.iter().map(|machine| link(&machine.link, Side::Zone, Hook::Tc));
        let path = if way == Way::Redirect { Path::Redirect } else { Path::Stack };
        let plan = AttachPlan::new(path, [uplink].into_iter().chain(zones).collect());
        let via = if way == Way::Redirect { Via::Peer } else { Via::Stack };
        let backends = |colour, port| {
            let machine = topology.slice(colour).next().expect("a slice has a machine");
            machine
                .addrs
                .map(|ip| BackendSpec::serving((ip, port).into(), via, index(&machine.link)))
                .to_vec()
        };
        let spec = DeploymentSpec {
            name: "shop".to_owned(),
            initial: Word::initial(Colour::Blue),
            services: services(&backends),
            previews: Vec::new(),
        };
        let listeners = Colour::BOTH.map(|colour| {
            let machine = topology.slice(colour).next().expect("a slice has a machine");
            machine.addrs.map(|ip| machine.namespace.run(|| TcpListener::bind((ip, SERVER))).unwrap())
        });
        let mut kernel = instance.open();
        kernel.apply(std::slice::from_ref(&spec)).unwrap();
        gateway.run(|| kernel.attach(&plan)).unwrap();
        Self { kernel, spec, listeners, topology, _awake: awake, _instance: instance }
    }

    pub(crate) fn word(&self) -> Word {
        self.kernel.words().unwrap().first().expect("there is a deployment").1
    }

    pub(crate) fn change(&self, change: impl FnOnce(Word) -> Result<Word, bg_common::word::Invalid>) {
        let before = self.word();
        let done = self.kernel.exchange("shop", before, change(before).unwrap()).unwrap();
        assert!(matches!(done, Exchange::Done { .. }), "{done:?}");
    }

    fn dial(&self, vip: IpAddr, port: u16) -> io::Result<TcpStream> {
        dial(&self.topology.client, vip, port)
    }

    /// Opens a connection, which must be served by `colour`, and uses it in both directions.
    fn connect(&self, family: usize, colour: Colour) -> Connection {
        let client = self.dial(VIPS[family], WEB).expect("the connection opens");
        let listener = &self.listeners[colour.index()][family];
        listener.set_nonblocking(true).unwrap();
        let waited = format!("a connection for {colour}");
        let (server, _) = until_some(&waited, PATIENCE, || listener.accept().ok()).unwrap();
        server.set_nonblocking(false).unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(PATIENCE)).unwrap();
            end.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        let connection = Connection { client, server };
        connection.talk();
        connection
    }

    pub(crate) fn counted(&self, reason: Reason) -> u64 {
        let counters = self.kernel.observer().unwrap().counters().unwrap();
        counters.reasons.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }

    /// How many packets have gone to a slice.
    pub(crate) fn packets(&self, colour: Colour) -> u64 {
        let counters = self.kernel.observer().unwrap().counters().unwrap();
        let shop = counters.traffic.iter().find(|(name, _)| name == "shop");
        shop.map_or(0, |(_, slices)| slices[colour.index()].packets_in)
    }
}

impl Connection {
    /// Asserts that it works both ways.
    fn talk(&self) {
        let (mut client, mut server) = (&self.client, &self.server);
        let mut byte = [0];
        client.write_all(b"?").unwrap();
        server.read_exact(&mut byte).unwrap();
        server.write_all(b"!").unwrap();
        client.read_exact(&mut byte).unwrap();
    }
}

/// Puts an XDP program on the client's end of the veth pair: what XDP sends out of the gateway's end is else left lying
/// there until something else comes (`veth_xdp_flush`).
fn awaken(client: &Namespace) -> Ebpf {
    let mut programs = EbpfLoader::new().load(OBJECT).unwrap();
    let xdp: &mut Xdp = programs.program_mut(names::XDP_INGRESS).unwrap().try_into().unwrap();
    xdp.load().unwrap();
    client.run(|| xdp.attach(CLIENT_LINK, XdpMode::Driver)).unwrap();
    programs
}

fn dial(client: &Namespace, vip: IpAddr, port: u16) -> io::Result<TcpStream> {
    client.run(|| TcpStream::connect_timeout(&SocketAddr::new(vip, port), PATIENCE))
}

/// Reads once, whatever interrupts it: a socket with a timeout does not do so by itself.
fn read(mut end: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match end.read(into) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Asserts that an end notices at its next packet that the connection was reset.
fn assert_reset(mut end: &TcpStream, who: &str) {
    assert!(end.write_all(b"x").is_ok(), "{who} cannot even try");
    let error = read(end, &mut [0]).expect_err("the connection is over");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{who}: {error}");
}

/// The tick that is `ahead` of now.
fn tick(ahead: Duration) -> Option<u32> {
    let nanos = bg_tests::clock::now() + u64::try_from(ahead.as_nanos()).unwrap();
    Some(Tick::from_nanos(nanos).0)
}

#[test]
fn both_ends_of_a_fated_connection_are_reset_at_their_next_packet() {
    for way in WAYS {
        let lab = Lab::new("reset", way, false);
        for family in [0, 1] {
            let mut first_to_speak = [lab.connect(family, Colour::Blue), lab.connect(family, Colour::Blue)];
            lab.change(|word| word.switched(Colour::Green, Fate::Reset, None));
            let [client_first, server_first] = &mut first_to_speak;
            assert_reset(&client_first.client, &format!("{way:?} {family} client, first"));
            assert_reset(&client_first.server, &format!("{way:?} {family} server, second"));
            assert_reset(&server_first.server, &format!("{way:?} {family} server, first"));
            // The word may forget in between: the drain is over when no flow is open.
            lab.change(Word::drained);
            assert_reset(&server_first.client, &format!("{way:?} {family} client, second"));
            lab.connect(family, Colour::Green).talk();
            lab.change(|word| word.switched(Colour::Blue, Fate::Keep, None));
        }
        assert!(lab.counted(Reason::ResetByFate) >= 8, "{way:?}");
        let flows = lab.kernel.observer().unwrap().flows().unwrap();
        let over = flows.iter().filter(|flow| flow.state == FlowState::Closed && flow.colour == Colour::Blue);
        assert_eq!(over.count(), 4, "{way:?} {flows:?}");
    }
}

#[test]
fn a_backend_that_is_down_lets_its_connections_know() {
    for way in WAYS {
        let mut lab = Lab::new("down", way, false);
        let connections = [0, 1].map(|family| lab.connect(family, Colour::Blue));
        let mut spec = lab.spec.clone();
        for backend in spec.services.iter_mut().flat_map(|service| service.backends[0].iter_mut()) {
            (backend.serving, backend.pinned) = (false, PinnedFlows::Reset);
        }
        lab.kernel.apply(&[spec]).unwrap();
        for Connection { client, server } in &connections {
            assert_reset(client, &format!("{way:?} client"));
            assert_reset(server, &format!("{way:?} server"));
        }
        assert!(lab.counted(Reason::BackendDown) >= 4, "{way:?}");
        lab.kernel.apply(std::slice::from_ref(&lab.spec)).unwrap();
        lab.connect(0, Colour::Blue).talk();
    }
}

#[test]
fn a_connection_that_nobody_can_serve_is_refused_at_once() {
    for way in WAYS {
        let lab = Lab::new("refuse", way, false);
        for vip in VIPS {
            let error = lab.dial(vip, CLOSED).expect_err("nobody serves it");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{way:?} {vip}: {error}");
        }
        assert_eq!(lab.counted(Reason::Refused), 2, "{way:?}");
    }
}

/// Sends as fast as the other end takes it; ends with the error that stops it.
fn pour(mut end: TcpStream, sent: &AtomicU64) -> io::Error {
    let chunk = vec![0; 1 << 16];
    loop {
        match end.write(&chunk) {
            Ok(bytes) => sent.fetch_add(bytes as u64, Ordering::Relaxed),
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return error,
        };
    }
}

/// Reads until an error stops it.
fn drink(end: &TcpStream) -> io::Error {
    let mut chunk = vec![0; 1 << 16];
    loop {
        match read(end, &mut chunk) {
            Ok(0) => return ErrorKind::UnexpectedEof.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

#[test]
fn a_transfer_of_segments_that_no_device_has_cut_yet_is_reset_at_both_ends() {
    for way in [Way::Stack, Way::Redirect] {
        let lab = Lab::new("bulk", way, true);
        // The answers leave by devices that complete no checksum, so that the ends check what was written.
        for link in [UPLINK, &lab.topology.machines[0].link, &lab.topology.machines[1].link] {
            lab.topology.gateway.output("ethtool", ["-K", link, "tx", "off"]).unwrap();
        }
        for (family, upload) in [(0, true), (0, false), (1, true), (1, false)] {
            let what = format!("{way:?} {family} {}", if upload { "upload" } else { "download" });
            let Connection { client, server } = lab.connect(family, Colour::Blue);
            let (from, to) = if upload { (client, server) } else { (server, client) };
            let sent = AtomicU64::new(0);
            let (wrote, spoke, read) = thread::scope(|scope| {
                let (writer, reader) = (scope.spawn(|| pour(from, &sent)), scope.spawn(|| drink(&to)));
                until("the transfer is under way", PATIENCE, || sent.load(Ordering::Relaxed) > 4 << 20)
                    .unwrap();
                lab.change(|word| word.switched(Colour::Green, Fate::Reset, None));
                let wrote = writer.join().unwrap();
                // Who only listens has nothing to be told about until it speaks; unless it has just acknowledged.
                let spoke = (&to).write(b"x").err().map(|error| error.kind());
                (wrote, spoke, reader.join().unwrap())
            });
            assert_eq!(wrote.kind(), ErrorKind::ConnectionReset, "{what}, sender: {wrote}");
            // A socket tells its error once: to whichever call comes first.
            let told = [spoke, Some(read.kind())].contains(&Some(ErrorKind::ConnectionReset));
            assert!(told, "{what}, receiver: {spoke:?} to its writer, {read} to its reader");
            lab.change(|word| word.switched(Colour::Blue, Fate::Keep, None));
        }
    }
}

#[test]
fn new_connections_wait_for_the_end_of_a_pause_and_open_ones_do_not() {
    for way in [Way::Xdp, Way::Redirect] {
        let lab = Lab::new("pause", way, false);
        let open = lab.connect(0, Colour::Blue);
        let end = tick(Duration::from_millis(700));
        lab.change(|word| word.paused(end));
        let start = Instant::now();
        let from = &lab.topology.client;
        let client = thread::scope(|scope| {
            let dialled = scope.spawn(|| dial(from, VIPS[0], WEB));
            until("the new connection is held", PATIENCE, || lab.counted(Reason::Paused) > 0).unwrap();
            open.talk();
            dialled.join().unwrap()
        });
        // Nobody has touched the word: it ends by itself, and the SYN is sent again after a second.
        client.expect("the connection opens when the pause is over");
        assert!(lab.word().is_paused() && lab.word().deadline() == end.unwrap());
        assert!(start.elapsed() >= Duration::from_millis(500), "{way:?}: it was not held");
    }
}

#[test]
fn a_switch_that_nobody_confirms_is_taken_back_without_anybody() {
    for way in [Way::Xdp, Way::Redirect] {
        let lab = Lab::new("revert", way, false);
        lab.change(|word| word.switched(Colour::Green, Fate::Keep, tick(Duration::from_secs(1))));
        let start = Instant::now();
        let green = lab.connect(1, Colour::Green);
        let accepts = |colour: Colour| lab.listeners[colour.index()][1].accept().is_ok();
        lab.listeners[Colour::Blue.index()][1].set_nonblocking(true).unwrap();
        until("connections go to blue again", PATIENCE, || {
            lab.dial(VIPS[1], WEB).expect("a switch drops nobody");
            // So that green's queue does not fill up meanwhile.
            accepts(Colour::Green);
            accepts(Colour::Blue)
        })
        .unwrap();
        assert!(start.elapsed() >= Duration::from_millis(700), "{way:?}: it was taken back early");
        assert_eq!(lab.word().live(), Colour::Green, "{way:?}: somebody has touched the word");
        green.talk();
    }
}
