//! Notices changes of links, addresses, routes and rules. It says what kind of thing has changed, not
//! how: whoever waits reads the kernel's present state again, which is right even when messages
//! were lost (the kernel drops them when the socket's buffer is full).

use super::no_socket;
use crate::refusal::Refusal;
use futures_util::FutureExt;
use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use std::io;

/// What to listen to. Each number is below 32, so one mask takes them all.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Larger than any message that the kernel multicasts on these groups.
const DATAGRAM: usize = 64 * 1024;

/// Bytes of a netlink header.
const HEADER: usize = 16;

/// What has changed since the last look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changed {
    /// An interface came, went or was altered.
    pub links: bool,
    /// An address came or went.
    pub addresses: bool,
    /// A route or rule came or went.
    pub routes: bool,
    /// Messages were lost: anything may have changed.
    pub lost: bool,
}

impl Changed {
    fn any(self) -> bool {
        self != Self::default()
    }

    /// Adds what a datagram tells: one netlink header (RFC 3549 section 2.3.2) after another, of which
    /// only length and type are of interest.
    fn read(&mut self, mut datagram: &[u8]) {
        while let [a, b, c, d, high, low, ..] = *datagram {
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            match u16::from_ne_bytes([high, low]) {
                libc::RTM_NEWLINK | libc::RTM_DELLINK => self.links = true,
                libc::RTM_NEWADDR | libc::RTM_DELADDR => self.addresses = true,
                libc::RTM_NEWROUTE | libc::RTM_DELROUTE | libc::RTM_NEWRULE | libc::RTM_DELRULE => {
                    self.routes = true;
                }
                _ => {}
            }
            let step = length.max(HEADER).next_multiple_of(4);
            datagram = datagram.get(step..).unwrap_or_default();
        }
    }
}

/// Listens for changes. The kernel's socket buffer is the only queue.
pub struct Watch {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Watch {
    /// Begins to listen in the current network namespace. To miss nothing, open it before the first
    /// reading of the kernel's state.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket.
    pub fn open() -> Result<Self, Refusal> {
        let open = || -> io::Result<TokioSocket> {
            let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
            let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
            socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
            Ok(socket)
        };
        let socket = open().map_err(|why| no_socket("a netlink socket for notifications", &why))?;
        Ok(Self { socket, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Waits until something has changed, and returns everything that has been reported by then.
    /// Dropping the future loses nothing but what the next call would have to say anyway.
    ///
    /// # Errors
    ///
    /// When the socket fails for good.
    pub async fn changed(&mut self) -> Result<Changed, Refusal> {
        let mut changed = Changed::default();
        loop {
            let received = if changed.any() {
                match self.receive().now_or_never() {
                    Some(received) => received,
                    None => return Ok(changed),
                }
            } else {
                self.receive().await
            };
            match received {
                Ok(()) => changed.read(&self.buffer),
                Err(why) if why.raw_os_error() == Some(libc::ENOBUFS) => changed.lost = true,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(no_socket("further notifications", &why)),
            }
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, length: u32, padding: usize) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(length as usize + padding, 0);
        bytes
    }

    #[test]
    fn every_message_of_a_datagram_counts() {
        let datagram = [message(libc::RTM_NEWLINK, 33, 3), message(libc::RTM_DELROUTE, 28, 0)].concat();
        let mut changed = Changed::default();
        changed.read(&datagram);
        assert_eq!(changed, Changed { links: true, routes: true, ..Changed::default() });
    }

    #[test]
    fn a_datagram_cut_anywhere_ends_the_reading() {
        let whole = [message(libc::RTM_NEWADDR, 20, 0), message(0, 0, 16)].concat();
        for end in 0..whole.len() {
            Changed::default().read(&whole[..end]);
        }
        let mut changed = Changed::default();
        changed.read(&whole);
        assert_eq!(changed, Changed { addresses: true, ..Changed::default() });
    }

    #[test]
    fn other_news_is_no_change() {
        let mut changed = Changed::default();
        changed.read(&message(libc::RTM_NEWNEIGH, 28, 0));
        assert!(!changed.any());
    }
}
