//! One client at a time, for tests that order every step.

use crate::netns::Namespace;
use crate::servers::Stamp;
use crate::traffic::{TIMEOUT, parse_answer};
use nix::sys::socket::sockopt::{Linger, ReceiveTimeout, ReuseAddr, SendTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
};
use nix::sys::time::TimeVal;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

/// Connects from `port`, or from any if it is 0. Every later read and write has a time limit, too.
///
/// # Errors
///
/// Whatever `connect` reports; [`ErrorKind::WouldBlock`] or [`ErrorKind::TimedOut`] if nobody answers.
pub fn dial(namespace: &Namespace, target: SocketAddr, port: u16) -> io::Result<TcpStream> {
    let (family, any): (_, IpAddr) = match target {
        SocketAddr::V4(_) => (AddressFamily::Inet, Ipv4Addr::UNSPECIFIED.into()),
        SocketAddr::V6(_) => (AddressFamily::Inet6, Ipv6Addr::UNSPECIFIED.into()),
    };
    namespace.run(|| {
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let limit = TimeVal::new(TIMEOUT.as_secs().cast_signed(), 0);
        setsockopt(&socket, ReuseAddr, &true)?;
        // The time limit for sending is the one for connecting as well.
        setsockopt(&socket, SendTimeout, &limit)?;
        setsockopt(&socket, ReceiveTimeout, &limit)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(any, port)))?;
        connect(socket.as_raw_fd(), &SockaddrStorage::from(target))?;
        Ok(TcpStream::from(socket))
    })
}

/// Asks for `/` and leaves the connection open, unless the server is told to close it.
///
/// # Errors
///
/// When the answer does not come or is not one of the servers'.
pub fn get(stream: &mut TcpStream, close: bool) -> io::Result<Stamp> {
    let header = if close { "Connection: close\r\n" } else { "" };
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: bg.test\r\n{header}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 512];
        let length = stream.read(&mut part)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(part.get(..length).unwrap_or_default());
        if let Some(stamp) = parse_answer(&answer)? {
            return Ok(stamp);
        }
    }
}

/// Asks on a connection of its own.
///
/// # Errors
///
/// As [`dial`] and [`get`].
pub fn request(namespace: &Namespace, target: SocketAddr) -> io::Result<Stamp> {
    get(&mut dial(namespace, target, 0)?, true)
}

/// Waits until the other side has closed its half.
///
/// # Errors
///
/// When it does not, or sends data instead.
pub fn await_end(stream: &mut TcpStream) -> io::Result<()> {
    if stream.read(&mut [0; 1])? == 0 { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

/// Ends a connection by RST.
///
/// # Errors
///
/// When the socket cannot be told to.
pub fn reset(stream: TcpStream) -> io::Result<()> {
    // Closing a socket that lingers for no time sends RST.
    setsockopt(&stream, Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    drop(stream);
    Ok(())
}
