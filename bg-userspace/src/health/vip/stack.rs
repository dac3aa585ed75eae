//! The stack behind the wire: smoltcp's interface and sockets, and who has which port.

use super::link::Link;
use super::ports::{Ports, TCP_RESTS, UDP_RESTS, random};
use crate::net::Tap;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as Moment;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most sockets at a time, those that are about to close included.
const SOCKETS: usize = 64;

/// Most packets that are taken in at a turn.
const BATCH: usize = 64;

/// Bytes that may be on their way to a reader, and to the other side.
pub(super) const RECEIVE: usize = 8 * 1024;
pub(super) const SEND: usize = 4 * 1024;

/// Datagrams that may be on their way, each way.
const DATAGRAMS: usize = 8;

/// How long a connection lives without an answer. Probes are less patient.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// How long the other side may take to a farewell before it gets a RST instead.
const FAREWELL: Duration = Duration::from_secs(2);

/// A turn that comes sooner finds nothing to do, whatever smoltcp says: all there was to send is sent.
const NOT_BEFORE: Duration = Duration::from_millis(1);

/// What one turn has come to.
pub(super) struct Turn {
    /// There was nothing more to receive.
    pub(super) drained: bool,
    /// How long until the next turn, if nothing else happens.
    pub(super) wait: Option<Duration>,
}

/// The interface of smoltcp and its wire.
struct Seat {
    interface: Interface,
    link: Link,
}

/// Everything that the client's handles share.
pub(super) struct Stack {
    epoch: Instant,
    /// None while the tap is lost.
    seat: Option<Seat>,
    sockets: SocketSet<'static>,
    open: usize,
    ports: Ports,
    /// Connections that nobody holds any more, and their ports.
    leaving: Vec<(SocketHandle, u16)>,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("open", &self.open).field("ports", &self.ports).finish_non_exhaustive()
    }
}

impl Stack {
    pub(super) fn new(tap: Tap) -> Self {
        let mut stack = Self {
            epoch: Instant::now(),
            seat: None,
            sockets: SocketSet::new(Vec::new()),
            open: 0,
            ports: Ports::default(),
            leaving: Vec::new(),
        };
        stack.give(tap);
        stack
    }

    /// Takes a tap into use.
    pub(super) fn give(&mut self, tap: Tap) {
        let mut config = Config::new(HardwareAddress::Ip);
        // Sequence numbers follow from it.
        config.random_seed = random();
        let addresses = tap.addresses().to_vec();
        let mut link = Link::new(tap);
        let mut interface = Interface::new(config, &mut link, self.now());
        interface.update_ip_addrs(|list| {
            for address in addresses {
                let prefix = if address.is_ipv4() { 32 } else { 128 };
                // smoltcp has room for two, one of each family.
                let _full = list.push(IpCidr::new(address.into(), prefix));
            }
        });
        self.seat = Some(Seat { interface, link });
    }

    /// The tap in use.
    pub(super) fn tap(&self) -> Option<Arc<Tap>> {
        self.seat.as_ref().map(|seat| Arc::clone(seat.link.tap()))
    }

    /// Gives up the tap and every connection over it.
    pub(super) fn lose(&mut self) {
        self.seat = None;
        for (_, socket) in self.sockets.iter_mut() {
            match socket {
                smoltcp::socket::Socket::Tcp(socket) => socket.abort(),
                smoltcp::socket::Socket::Udp(socket) => socket.close(),
            }
        }
    }

    /// Takes in what has come and sends what is to be sent.
    pub(super) fn turn(&mut self) -> io::Result<Turn> {
        let now = self.now();
        let Some(Seat { interface, link }) = &mut self.seat else {
            return Err(lost());
        };
        link.drained = false;
        interface.poll_maintenance(now);
        for _ in 0..BATCH {
            if interface.poll_ingress_single(now, link, &mut self.sockets) == PollIngressSingleResult::None {
                break;
            }
        }
        while interface.poll_egress(now, link, &mut self.sockets) == PollResult::SocketStateChanged {}
        if let Some(why) = link.lost.take() {
            return Err(why);
        }
        let drained = link.drained;
        self.reap();
        let wait = self.seat.as_mut().and_then(|seat| seat.interface.poll_delay(now, &self.sockets));
        Ok(Turn { drained, wait: wait.map(|wait| Duration::from(wait).max(NOT_BEFORE)) })
    }

    /// Begins to connect.
    pub(super) fn connect(&mut self, to: SocketAddr) -> io::Result<(SocketHandle, SocketAddr)> {
        let buffer = |size| tcp::SocketBuffer::new(vec![0; size]);
        let mut socket = tcp::Socket::new(buffer(RECEIVE), buffer(SEND));
        socket.set_timeout(Some(SILENCE.into()));
        // Requests of probes are small, and each is to be answered at once.
        socket.set_nagle_enabled(false);
        let from = self.source(to)?;
        let Some(Seat { interface, .. }) = &mut self.seat else { return Err(lost()) };
        if let Err(why) = socket.connect(interface.context(), endpoint(to), endpoint(from)) {
            self.ports.give_back(from.port(), Instant::now(), Duration::ZERO);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        self.open += 1;
        Ok((self.sockets.add(socket), from))
    }

    /// Opens a socket for datagrams to `to`.
    pub(super) fn bind(&mut self, to: SocketAddr) -> io::Result<(SocketHandle, SocketAddr)> {
        let buffer =
            |size| udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], vec![0; size]);
        let mut socket = udp::Socket::new(buffer(RECEIVE), buffer(SEND));
        let from = self.source(to)?;
        if let Err(why) = socket.bind(endpoint(from)) {
            self.ports.give_back(from.port(), Instant::now(), Duration::ZERO);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        self.open += 1;
        Ok((self.sockets.add(socket), from))
    }

    pub(super) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(super) fn udp(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Nobody holds this connection any more. One that has said farewell, or was told it, ends in good order;
    /// any other is reset.
    pub(super) fn leave(&mut self, handle: SocketHandle, port: u16) {
        let socket = self.tcp(handle);
        match socket.state() {
            tcp::State::CloseWait | tcp::State::FinWait1 | tcp::State::Closing | tcp::State::LastAck => {
                socket.close();
                socket.set_timeout(Some(FAREWELL.into()));
            }
            tcp::State::TimeWait | tcp::State::Closed => {}
            tcp::State::Listen
            | tcp::State::SynSent
            | tcp::State::SynReceived
            | tcp::State::Established
            | tcp::State::FinWait2 => socket.abort(),
        }
        self.leaving.push((handle, port));
    }

    /// Removes a socket of datagrams.
    pub(super) fn close(&mut self, handle: SocketHandle, port: u16) {
        self.sockets.remove(handle);
        self.open = self.open.saturating_sub(1);
        self.ports.give_back(port, Instant::now(), UDP_RESTS);
    }

    /// Removes connections that have ended.
    fn reap(&mut self) {
        let Self { sockets, leaving, ports, open, .. } = self;
        leaving.retain(|(handle, port)| {
            let socket = sockets.get::<tcp::Socket<'_>>(*handle);
            // One that is closed and still knows the other side has a RST to send.
            let silent = !socket.is_open() && socket.remote_endpoint().is_none();
            let ended = silent || socket.state() == tcp::State::TimeWait;
            if ended {
                sockets.remove(*handle);
                *open = open.saturating_sub(1);
                ports.give_back(*port, Instant::now(), TCP_RESTS);
            }
            !ended
        });
    }

    /// An address and a port to come from.
    fn source(&mut self, to: SocketAddr) -> io::Result<SocketAddr> {
        let Some(Seat { link, .. }) = &self.seat else { return Err(lost()) };
        let same_family = |address: &&IpAddr| address.is_ipv4() == to.is_ipv4();
        let Some(address) = link.tap().addresses().iter().find(same_family).copied() else {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "probes through VIPs have no address of this family to come from",
            ));
        };
        if self.open >= SOCKETS {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("{SOCKETS} connections to VIPs are open already"),
            ));
        }
        let port = self.ports.take(Instant::now());
        let port =
            port.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no port is free to come from"))?;
        Ok(SocketAddr::new(address, port))
    }

    fn now(&self) -> Moment {
        Moment::from_micros(i64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NetworkDown, "bgd's own interface is gone")
}

pub(super) fn endpoint(addr: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(IpAddress::from(addr.ip()), addr.port())
}
