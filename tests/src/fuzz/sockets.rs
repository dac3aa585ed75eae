//! The reason that no packet comes to: programs on a control group of our own, real sockets in it, and a table of
//! connected sockets with room for one.

use super::machine::{StandIn, fill, table};
use super::network;
use super::report::Report;
use super::shrink::Found;
use crate::cgroup::Group;
use crate::model::{Backend, Frontend, Service, Tables, Word};
use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use aya::programs::links::CgroupAttachMode;
use aya::programs::{CgroupSock, CgroupSockAddr};
use aya::{Ebpf, EbpfLoader};
use bg_common::{Aim, Colour, Connected, Fate, Flow, FlowKey, Reason, SliceId, Traffic, Via, local, names};
use bg_userspace::dataplane::kernel::OBJECT;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// Where sockets ask for the service.
const PORT: u16 = 80;
const TCP: u8 = 6;
const SERVICE: u32 = 7;

/// The cookie of a socket's network namespace (Linux 5.14).
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Pins that fit.
const FLOWS: u32 = 8;

/// The programs that see addresses, of those that TCP comes to.
const ADDRESS_PROGRAMS: [&str; 4] =
    [names::CONNECT4, names::CONNECT6, names::GETPEERNAME4, names::GETPEERNAME6];

/// What the programs remember and count.
struct Machine {
    connected: HashMap<MapData, u64, Connected>,
    flows: HashMap<MapData, FlowKey, Flow>,
    reasons: PerCpuArray<MapData, u64>,
    traffic: PerCpuArray<MapData, Traffic>,
    ebpf: Ebpf,
}

/// What a socket is to find, in the order in which they connect.
const SOCKETS: [(&str, bool); 3] = [
    ("the first is remembered", true),
    ("for the second there is no room", false),
    ("the third has the room of the first", true),
];

pub(super) fn run(report: &mut Report) -> Result<()> {
    let group = match Group::new() {
        Ok(Some(group)) => group,
        Ok(None) => {
            report.skip(Reason::LocalFull, "no cgroup2 file system is mounted".to_owned());
            return Ok(());
        }
        Err(error) => {
            report.skip(Reason::LocalFull, format!("no control group can be made: {error:#}"));
            return Ok(());
        }
    };
    let servers = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let servers: Vec<_> =
        servers.into_iter().map(|ip| TcpListener::bind((ip, 0))).collect::<Result<_, _>>()?;
    let backends: Vec<_> = servers.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let mut machine = Machine::load(&backends)?;
    if let Err(error) = machine.attach(&group) {
        report.skip(
            Reason::LocalFull,
            format!("the kernel attaches no programs to a control group: {error:#}"),
        );
        return Ok(());
    }
    // In a thread that ends, so that the group is empty then.
    let connects = || {
        group.enter()?;
        let connect = |(server, at): (&TcpListener, &SocketAddr)| machine.connect(server, *at);
        servers.iter().zip(&backends).map(connect).collect::<Result<String>>()
    };
    let differences = std::thread::scope(|scope| scope.spawn(connects).join());
    let differences = differences.ok().context("the thread with the sockets ends")??;
    if !differences.is_empty() {
        report.differ(0, &Found { steps: Vec::new(), difference: differences, again: false });
    }
    let count = machine.counted(Reason::LocalFull)?;
    if count > 0 {
        report.met(Reason::LocalFull, count);
    }
    Ok(())
}

/// What the kernel calls a socket, or where it is.
fn cookie(socket: &impl AsRawFd, which: libc::c_int) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    let place = (&raw mut cookie).cast();
    // SAFETY: the kernel writes at most `size` bytes there, which is an integer's size.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, which, place, &raw mut size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}

/// Where the service is asked for.
fn vip(backend: SocketAddr) -> SocketAddr {
    (network::ip(backend.is_ipv6(), 0, 10), PORT).into()
}

/// One service, with the servers as its backends.
fn tables(backends: &[SocketAddr]) -> Tables {
    let mut tables = Tables::default();
    let mut service = Service::default();
    tables.words.insert(0, Word(0));
    for (id, at) in (1..).zip(backends) {
        let backend = Backend {
            ip: at.ip(),
            port: at.port(),
            proto: TCP,
            service: SERVICE,
            deployment: 0,
            colour: Colour::Blue,
            via: Via::Stack,
            ifindex: 1,
            down: None,
            on_switch: Fate::Keep,
        };
        tables.backends.insert(id, backend);
        tables.backends_by_addr.insert((at.ip(), at.port(), TCP), id);
        service.rings.insert((Colour::Blue, at.is_ipv6()), vec![id]);
        let vip = (vip(*at).ip(), PORT, TCP);
        tables.frontends.insert(vip, Frontend { service: SERVICE, id, aim: Aim::Live });
        tables.frontend_addrs.insert(id, vip);
    }
    tables.services.insert(SERVICE, service);
    tables
}

impl Machine {
    fn load(backends: &[SocketAddr]) -> Result<Self> {
        let room = StandIn::new(names::CONNECTED, 1, [size_of::<u64>(), size_of::<Connected>()])?;
        let mut loader = EbpfLoader::new();
        loader.map_max_entries(names::FLOWS, FLOWS).map_pin_path(names::CONNECTED, &room.0);
        let mut ebpf = loader.load(OBJECT).context("load the socket programs")?;
        fill(&mut ebpf, &tables(backends))?;
        let gateway = ebpf.map_mut(names::GATEWAY).context(names::GATEWAY)?;
        let mut gateway: Array<_, u64> = gateway.try_into()?;
        gateway.set(0, cookie(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, SO_NETNS_COOKIE)?, 0)?;
        for name in ADDRESS_PROGRAMS {
            let program: &mut CgroupSockAddr = ebpf.program_mut(name).context(name)?.try_into()?;
            program.load().with_context(|| format!("load {name}"))?;
        }
        let release = ebpf.program_mut(names::SOCK_RELEASE).context(names::SOCK_RELEASE)?;
        TryInto::<&mut CgroupSock>::try_into(release)?.load()?;
        Ok(Self {
            connected: table(&mut ebpf, names::CONNECTED)?,
            flows: table(&mut ebpf, names::FLOWS)?,
            reasons: table(&mut ebpf, names::REASONS)?,
            traffic: table(&mut ebpf, names::TRAFFIC)?,
            ebpf,
        })
    }

    /// Attaches the programs, as long as this machine exists.
    fn attach(&mut self, group: &Group) -> Result<()> {
        let group = File::open(group.path())?;
        for name in ADDRESS_PROGRAMS {
            let program: &mut CgroupSockAddr = self.ebpf.program_mut(name).context(name)?.try_into()?;
            program.attach(&group, CgroupAttachMode::Single)?;
        }
        let release = self.ebpf.program_mut(names::SOCK_RELEASE).context(names::SOCK_RELEASE)?;
        TryInto::<&mut CgroupSock>::try_into(release)?.attach(&group, CgroupAttachMode::Single)?;
        Ok(())
    }

    /// Lets sockets connect to a service whose one backend is this server, and says what differs.
    fn connect(&self, server: &TcpListener, backend: SocketAddr) -> Result<String> {
        let mut how = String::new();
        let mut open = Vec::new();
        for (which, fits) in SOCKETS {
            if open.len() == 2 {
                // The room of the first.
                drop(open.remove(0));
            }
            let before = (self.counted(Reason::LocalFull)?, self.flows()?);
            let stream = TcpStream::connect(vip(backend)).with_context(|| format!("{which}: connect"))?;
            let (_, from) = server.accept()?;
            let key = local::flow_key(cookie(&stream, libc::SO_COOKIE)?, bg_common::Proto(TCP), SERVICE);
            let got = (
                stream.local_addr()? == from,
                stream.peer_addr()?,
                self.counted(Reason::LocalFull)? - before.0,
                self.flows()? - before.1,
                self.flows.get(&key, 0).map(|pin| pin.answered()).ok(),
                self.connected.keys().count(),
            );
            let shown = if fits { vip(backend) } else { backend };
            let want = (true, shown, u64::from(!fits), 1, Some(true), 1);
            if got != want {
                how += &format!("{backend}: {which}: {got:?} instead of {want:?}\n");
            }
            open.push(stream);
        }
        drop(open);
        let left = self.connected.keys().count();
        if left > 0 {
            how += &format!("{backend}: {left} sockets are remembered that are closed\n");
        }
        Ok(how)
    }

    fn counted(&self, reason: Reason) -> Result<u64> {
        Ok(self.reasons.get(&reason.index(), 0)?.iter().sum())
    }

    /// Flows that were given to the slice.
    fn flows(&self) -> Result<u64> {
        let slice = SliceId::new(0, Colour::Blue);
        Ok(self.traffic.get(&slice.index(), 0)?.iter().map(|cpu| cpu.flows).sum())
    }
}
