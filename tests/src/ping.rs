//! Echo requests as a client sends them: raw ICMP sockets, because `ping` is not everywhere.

use crate::netns::Namespace;
use crate::packet;
use crate::wait;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, setsockopt,
    socket,
};
use nix::sys::time::TimeVal;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

/// Types of an echo reply, of ICMP and of ICMPv6.
const REPLY: [u8; 2] = [0, 129];

/// Sends an echo request to `to`, and waits until somebody who has that address answers it.
///
/// # Errors
///
/// When nobody does in time.
pub fn ping(namespace: &Namespace, to: IpAddr, id: u16) -> std::io::Result<()> {
    let (family, protocol, network) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 20),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 40),
    };
    let socket = namespace.run(|| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol))?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(1, 0))?;
    // The kernel writes the network header, and the checksum of ICMPv6.
    let frame = packet::echo(to, to, packet::Echo::Request, id);
    let request = frame.get(14 + network..).unwrap_or_default();
    let target = SockaddrStorage::from(SocketAddr::new(to, 0));
    wait::until_some("an echo reply", wait::PATIENCE, || {
        if let Err(why) = sendto(socket.as_raw_fd(), request, &target, MsgFlags::empty()) {
            return Some(Err(why.into()));
        }
        loop {
            let mut buffer = [0; 256];
            let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) else { return None };
            // IPv4 hands out its header, too.
            let skipped = if to.is_ipv4() { 20 } else { 0 };
            let message = buffer.get(skipped..length).unwrap_or_default();
            if let [kind, 0, _, _, high, low, ..] = message
                && REPLY.contains(kind)
                && u16::from_be_bytes([*high, *low]) == id
            {
                return Some(Ok(()));
            }
        }
    })
    .map_err(|why| Error::new(ErrorKind::TimedOut, why))?
}
