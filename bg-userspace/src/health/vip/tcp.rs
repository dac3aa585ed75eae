//! A TCP connection to a VIP.

use super::Client;
use super::stack::SILENCE;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, State};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection. Dropped before it has been shut down by either side, it is reset.
#[derive(Debug)]
pub(super) struct Tcp {
    client: Client,
    handle: SocketHandle,
    port: u16,
}

impl Tcp {
    pub(super) async fn connect(client: Client, to: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let began = Instant::now();
        let (handle, from) = client.stack().connect(to)?;
        // From here on, whoever stops waiting ends the connection.
        let this = Self { client, handle, port: from.port() };
        this.client.stir();
        std::future::poll_fn(|cx| this.poll_connected(cx, began)).await?;
        Ok((this, from))
    }

    fn poll_connected(&self, cx: &Context<'_>, began: Instant) -> Poll<io::Result<()>> {
        let mut stack = self.client.stack();
        let is_lost = stack.tap().is_none();
        let socket = stack.tcp(self.handle);
        match socket.state() {
            State::SynSent | State::SynReceived => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            State::Closed if is_lost => Poll::Ready(Err(io::ErrorKind::NetworkDown.into())),
            State::Closed if began.elapsed() >= SILENCE => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            State::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            State::Listen
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut stack = self.client.stack();
        let socket = stack.tcp(self.handle);
        match socket.recv_slice(buf.initialize_unfilled()) {
            Ok(0) => {
                socket.register_recv_waker(cx.waker());
                return Poll::Pending;
            }
            Ok(length) => buf.advance(length),
            Err(RecvError::Finished) => {}
            Err(RecvError::InvalidState) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
        drop(stack);
        // The other side may have waited for the room.
        self.client.stir();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut stack = self.client.stack();
        let socket = stack.tcp(self.handle);
        let length = match socket.send_slice(buf) {
            Ok(0) if !buf.is_empty() => {
                socket.register_send_waker(cx.waker());
                return Poll::Pending;
            }
            Ok(length) => length,
            Err(_) if socket.state() == State::Closed => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Err(_) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        drop(stack);
        self.client.stir();
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.client.stack().tcp(self.handle).close();
        self.client.stir();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.client.stack().leave(self.handle, self.port);
        self.client.stir();
    }
}
