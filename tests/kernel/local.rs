//! Programs on a control group: what calls return, whose sockets are looked at, and that links are kept.

use crate::instance::Instance;
use aya::programs::CgroupSockAddr;
use aya::programs::links::{FdLink, PinnedLink};
use bg_common::{Colour, Connected, Flow, FlowKey, Via, Word, names};
use bg_tests::cgroup::Group;
use bg_tests::netns::Namespace;
use bg_userspace::dataplane::kernel::{Kernel, OBJECT};
use bg_userspace::dataplane::{
    AttachPlan, Attachment, BackendSpec, Dataplane as _, DeploymentSpec, Path, Protocol, ServiceSpec,
};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

/// A gateway without interfaces, with a server of either family on its loopback.
struct Gateway {
    kernel: Kernel,
    instance: Instance,
    group: Group,
    network: Namespace,
    servers: [TcpListener; 2],
}

const VIPS: [&str; 2] = ["192.0.2.10", "[2001:db8::10]"];

fn vip(family: usize, port: u16) -> SocketAddr {
    format!("{}:{port}", VIPS[family]).parse().unwrap()
}

impl Gateway {
    fn new(name: &str) -> Option<Self> {
        let Some(group) = Group::new().unwrap() else {
            bg_tests::say("SKIP no cgroup2 file system is mounted");
            return None;
        };
        let instance = Instance::new(name);
        let network = Namespace::new(&format!("t{}-{name}", std::process::id())).unwrap();
        let servers = network.run(|| ["127.0.0.1:0", "[::1]:0"].map(|at| TcpListener::bind(at).unwrap()));
        let mut kernel = instance.open();
        let backends: Vec<_> = servers
            .iter()
            .map(|server| BackendSpec::serving(server.local_addr().unwrap(), Via::Stack, 1))
            .collect();
        let service = |name: &str, port, backends: Vec<_>, refuse| ServiceSpec {
            name: name.to_owned(),
            protocol: Protocol::Tcp,
            frontends: [0, 1].map(|family| vip(family, port)).to_vec(),
            backends: [backends, vec![]],
            refuse,
            ..ServiceSpec::default()
        };
        let shop = DeploymentSpec {
            name: "shop".to_owned(),
            initial: Word::initial(Colour::Blue),
            services: vec![
                service("web", 80, backends, false),
                service("silent", 81, vec![], false),
                service("closed", 82, vec![], true),
            ],
            previews: Vec::new(),
        };
        kernel.apply(&[shop]).unwrap();
        let mut this = Self { kernel, instance, group, network, servers };
        this.attach();
        Some(this)
    }

    fn attach(&mut self) -> Vec<Attachment> {
        let plan =
            AttachPlan { cgroup: Some(self.group.path().to_owned()), ..AttachPlan::new(Path::Stack, vec![]) };
        let Self { kernel, network, .. } = self;
        // Whose processes are served is where the daemon is.
        let kernel = std::sync::Mutex::new(kernel);
        network.run(|| kernel.lock().unwrap().attach(&plan).unwrap())
    }

    fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.inside(|| TcpStream::connect(to))
    }

    fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let Self { network, group, .. } = self;
        network.run(|| {
            group.enter().unwrap();
            f()
        })
    }

    /// Sockets that are remembered, and pins.
    fn remembered(&self) -> (usize, usize) {
        let open = |name: &str| {
            let map = aya::maps::MapData::from_pin(self.instance.dir().join(name)).unwrap();
            aya::maps::Map::from_map_data(map).unwrap()
        };
        let connected: aya::maps::HashMap<_, u64, Connected> = open(names::CONNECTED).try_into().unwrap();
        let flows: aya::maps::HashMap<_, FlowKey, Flow> = open(names::FLOWS).try_into().unwrap();
        (connected.keys().count(), flows.keys().count())
    }
}

#[test]
fn a_local_socket_reaches_the_backend_and_sees_the_vip_until_it_is_closed() {
    let Some(gateway) = Gateway::new("local") else { return };
    for family in [0, 1] {
        let stream = gateway.connect(vip(family, 80)).unwrap();
        let (_, from) = gateway.servers[family].accept().unwrap();
        assert_eq!((stream.peer_addr().unwrap(), stream.local_addr().unwrap()), (vip(family, 80), from));
        assert_eq!(gateway.remembered(), (1, 1));
        let twin = stream.try_clone().unwrap();
        drop(stream);
        assert_eq!(gateway.remembered(), (1, 1), "another descriptor has it open");
        drop(twin);
        assert_eq!(gateway.remembered(), (0, 0));
    }
}

#[test]
fn a_call_that_is_refused_says_so_in_its_own_words() {
    let Some(gateway) = Gateway::new("local-no") else { return };
    for family in [0, 1] {
        for port in [81, 82] {
            let refused = gateway.connect(vip(family, port)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
        }
    }
    let word = gateway.kernel.words().unwrap()[0].1;
    gateway.kernel.exchange("shop", word, word.paused(None).unwrap()).unwrap();
    for family in [0, 1] {
        let refused = gateway.connect(vip(family, 80)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    }
    assert_eq!(gateway.remembered(), (0, 0));
}

#[test]
fn a_connection_that_fails_leaves_nothing_when_its_socket_is_closed() {
    let Some(gateway) = Gateway::new("local-fail") else { return };
    // Whoever is not there refuses.
    for server in &gateway.servers {
        nix::sys::socket::shutdown(server.as_raw_fd(), nix::sys::socket::Shutdown::Read).unwrap();
    }
    for family in [0, 1] {
        assert_eq!(gateway.connect(vip(family, 80)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(gateway.remembered(), (0, 0));
}

#[test]
fn sockets_of_other_networks_and_other_groups_are_not_looked_at() {
    let Some(gateway) = Gateway::new("local-else") else { return };
    // Nobody has the VIP, so that whoever is not sent elsewhere gets nowhere at once.
    let elsewhere = Namespace::new(&format!("t{}-elsewhere", std::process::id())).unwrap();
    let group = &gateway.group;
    let of_a_container = elsewhere.run(|| {
        group.enter().unwrap();
        TcpStream::connect(vip(0, 80))
    });
    assert!(of_a_container.is_err());
    assert!(gateway.network.run(|| TcpStream::connect(vip(0, 80))).is_err());
    assert_eq!(gateway.remembered(), (0, 0));
}

#[test]
fn links_are_kept_updated_and_taken_off() {
    let Some(mut gateway) = Gateway::new("local-links") else { return };
    let pins = gateway.instance.dir().join("links");
    let link_ids = || {
        let id = |entry: std::fs::DirEntry| {
            let link = PinnedLink::from_pin(entry.path()).unwrap();
            FdLink::from(link).info().unwrap().id()
        };
        let mut ids: Vec<u32> = std::fs::read_dir(&pins).unwrap().map(|entry| id(entry.unwrap())).collect();
        ids.sort_unstable();
        ids
    };
    let first = link_ids();
    assert_eq!(first.len(), names::SOCKET_PROGRAMS.len());
    let attached = gateway.attach();
    assert!(attached.iter().all(|it| it.is_on_cgroup() && it.program != "unknown"), "{attached:?}");
    assert_eq!(link_ids(), first, "the same links");

    // The pinned program is of another build: the link stays, and gets it.
    let programs = gateway.instance.dir().join("programs");
    let mut object = aya::EbpfLoader::new().load(OBJECT).unwrap();
    let program: &mut CgroupSockAddr = object.program_mut(names::CONNECT4).unwrap().try_into().unwrap();
    program.load().unwrap();
    let id = program.info().unwrap().id();
    std::fs::rename(programs.join(names::CONNECT4), programs.join("aside")).unwrap();
    program.pin(programs.join(names::CONNECT4)).unwrap();
    gateway.attach();
    assert_eq!(link_ids(), first, "the same links");
    let link = FdLink::from(PinnedLink::from_pin(pins.join("cgroup@cgroup-connect4")).unwrap());
    assert_eq!(link.info().unwrap().program_id(), id);
    drop(link);
    // That one has tables of its own, which are empty.
    assert!(gateway.connect(vip(0, 80)).is_err());
    std::fs::rename(programs.join("aside"), programs.join(names::CONNECT4)).unwrap();
    gateway.attach();
    assert!(gateway.connect(vip(0, 80)).is_ok());

    // The group goes, and comes back under its name.
    let path = gateway.group.path().to_owned();
    std::fs::remove_dir(&path).unwrap();
    // The kernel takes its links off when nothing holds it any more.
    let gone = || gateway.kernel.attachments().unwrap().is_empty();
    bg_tests::wait::until("nothing is attached", bg_tests::wait::PATIENCE, gone).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("cgroup.type"), "threaded").unwrap();
    assert_eq!(gateway.attach().len(), names::SOCKET_PROGRAMS.len());
    assert!(gateway.connect(vip(0, 80)).is_ok());

    // Not wanted any more.
    gateway.kernel.attach(&AttachPlan::new(Path::Stack, vec![])).unwrap();
    assert_eq!(link_ids(), Vec::<u32>::new());
    assert!(gateway.connect(vip(0, 80)).is_err());
    gateway.attach();
    let detached = gateway.kernel.detach().unwrap();
    assert_eq!(detached.attachments.len(), names::SOCKET_PROGRAMS.len());
    assert!(gateway.connect(vip(0, 80)).is_err());
}
