//! Datagrams to a VIP and back.

use super::Client;
use super::link::PACKET;
use super::stack::endpoint;
use crate::health::connect::{Datagrams, Promise};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::SendError;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// IPv6's header and UDP's.
const HEADERS: usize = 40 + 8;

/// A socket whose datagrams go to one address and port, and come from there.
#[derive(Debug)]
pub(super) struct Udp {
    client: Client,
    handle: SocketHandle,
    port: u16,
    to: SocketAddr,
}

impl Udp {
    /// Longest datagram that is sent, in bytes.
    const LONGEST: usize = PACKET - HEADERS;

    pub(super) fn open(client: Client, to: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let (handle, from) = client.stack().bind(to)?;
        Ok((Self { client, handle, port: from.port(), to }, from))
    }

    fn poll_send(&self, cx: &Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        let mut stack = self.client.stack();
        let socket = stack.udp(self.handle);
        match socket.send_slice(datagram, endpoint(self.to)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(SendError::BufferFull) => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            Err(SendError::Unaddressable) => Poll::Ready(Err(io::ErrorKind::NetworkDown.into())),
        }
    }

    fn poll_recv(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut stack = self.client.stack();
        let socket = stack.udp(self.handle);
        let wanted = endpoint(self.to);
        while let Ok((datagram, from)) = socket.recv() {
            if from.endpoint != wanted {
                continue;
            }
            let length = datagram.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..length), datagram.get(..length)) {
                to.copy_from_slice(from);
            }
            return Poll::Ready(Ok(length));
        }
        if !socket.is_open() {
            return Poll::Ready(Err(io::ErrorKind::NetworkDown.into()));
        }
        socket.register_recv_waker(cx.waker());
        Poll::Pending
    }
}

impl Datagrams for Udp {
    /// Besides: [`io::ErrorKind::InvalidInput`] for one that is longer than 1232 bytes. ICMP is not heard.
    fn send<'a>(&'a mut self, payload: &'a [u8]) -> Promise<'a, ()> {
        Box::pin(async move {
            if payload.len() > Self::LONGEST {
                let what = "the datagram is longer than a packet";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            std::future::poll_fn(|cx| self.poll_send(cx, payload)).await?;
            self.client.stir();
            Ok(())
        })
    }

    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Promise<'a, usize> {
        Box::pin(std::future::poll_fn(move |cx| self.poll_recv(cx, buffer)))
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.client.stack().close(self.handle, self.port);
    }
}
