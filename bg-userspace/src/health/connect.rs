//! How a conversation is opened: by the gateway's own stack, or by whatever else plays a client. All
//! kinds of questions run over either.

use super::tls::Trust;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};

/// The promise of a result of IO that ends with what it was made from.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Both directions of a TCP connection, or of what is layered on one. Dropping it closes it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Datagrams exchanged with one peer. Dropping it closes it.
pub trait Datagrams: Send {
    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ConnectionRefused`] also tells that an earlier one was refused by ICMP.
    fn send<'a>(&'a mut self, payload: &'a [u8]) -> Promise<'a, ()>;

    /// Waits for one datagram of the peer and returns its length; what does not fit the buffer is lost.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ConnectionRefused`] when an ICMP error came back.
    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Promise<'a, usize>;
}

/// Opens conversations, each from an address and port of its own, which it tells.
pub trait Connector: Send + Sync {
    /// A TCP connection to `to`, and the own address.
    ///
    /// # Errors
    ///
    /// As `connect(2)`: refused, unreachable, no descriptor.
    fn tcp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Stream>, SocketAddr)>;

    /// Datagrams to and from `to`, and the own address.
    ///
    /// # Errors
    ///
    /// As [`tcp`](Self::tcp).
    fn udp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Datagrams>, SocketAddr)>;
}

/// The name under which a client beyond the uplink is handed to the prober.
pub use Connector as VipConnector;

/// How questions get out, and whom they trust.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// What opens their conversations.
    pub connector: &'a dyn Connector,
    /// The authorities for TLS.
    pub trust: &'a Trust,
}

/// The gateway's own stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Connector for Kernel {
    fn tcp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            // Closing resets: thousands of probes would otherwise leave tens of thousands of ports in TIME_WAIT.
            stream.set_zero_linger()?;
            stream.set_nodelay(true)?;
            let own = stream.local_addr()?;
            Ok((Box::new(stream) as Box<dyn Stream>, own))
        })
    }

    fn udp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Datagrams>, SocketAddr)> {
        Box::pin(async move {
            let any: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(to).await?;
            let own = socket.local_addr()?;
            Ok((Box::new(socket) as Box<dyn Datagrams>, own))
        })
    }
}

impl Datagrams for UdpSocket {
    fn send<'a>(&'a mut self, payload: &'a [u8]) -> Promise<'a, ()> {
        Box::pin(async move { Self::send(self, payload).await.map(drop) })
    }

    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Promise<'a, usize> {
        Box::pin(self.recv(buffer))
    }
}
