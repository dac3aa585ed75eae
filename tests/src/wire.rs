//! Raw access to an interface: whole frames in and out, by AF_PACKET.

use crate::netns::Namespace;
use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const PACKET_STATISTICS: libc::c_int = 6;
const PACKET_AUXDATA: libc::c_int = 8;
const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;
/// Memory for frames that arrive faster than they are read.
const BACKLOG: libc::c_int = 64 << 20;

/// `struct tpacket_auxdata` of linux/if_packet.h.
#[repr(C)]
#[derive(Default)]
struct AuxData {
    status: u32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    vlan_tci: u16,
    vlan_tpid: u16,
}

/// `struct tpacket_stats`.
#[repr(C)]
#[derive(Default)]
struct Stats {
    packets: u32,
    drops: u32,
}

/// A frame as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Bytes in the buffer.
    pub length: usize,
    /// Whether its transport checksum is left to the device, which leaves the sum of the pseudo-header.
    pub partial: bool,
    /// Whether this end sent it.
    pub outgoing: bool,
}

/// All frames of one interface.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens `interface` of `namespace`.
    ///
    /// # Errors
    ///
    /// When there is no such interface.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        namespace
            .run(|| Self::bind(interface))
            .with_context(|| format!("capture {interface} in {}", namespace.name()))
    }

    fn bind(interface: &str) -> io::Result<Self> {
        let ifindex = if_nametoindex(interface)?;
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0 receives nothing until bind names the interface.
        // SAFETY: plain arguments.
        let fd = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: `fd` was just made and has no other owner.
        let this = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        this.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BACKLOG)?;
        this.set(libc::SOL_PACKET, PACKET_AUXDATA, 1)?;
        // SAFETY: sockaddr_ll is plain integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = ifindex.cast_signed();
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is a sockaddr_ll of `length` bytes and outlives the call.
        checked(unsafe { libc::bind(fd, (&raw const address).cast(), length) })?;
        Ok(this)
    }

    /// Sends a whole frame as it is.
    ///
    /// # Errors
    ///
    /// When the interface is down or the frame too long.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and the length are those of `frame`.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Reads a frame; none if none is waiting.
    ///
    /// # Errors
    ///
    /// When the interface is gone or down.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Frame>> {
        let mut control = [0_u64; 8];
        // SAFETY: sockaddr_ll is plain integers, for which zero is a value.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: msghdr is integers and pointers, for which zero is a value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer in `message` is to a local that outlives the call, with its true length.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) };
        let Ok(length) = usize::try_from(length) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        };
        let partial = status(&message) & TP_STATUS_CSUMNOTREADY != 0;
        let outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
        Ok(Some(Frame { length, partial, outgoing }))
    }

    /// Frames that were lost because nobody read them in time, since the last call.
    ///
    /// # Errors
    ///
    /// When the kernel does not count them.
    pub fn drops(&self) -> io::Result<u32> {
        let mut stats = Stats::default();
        let mut length = size_of::<Stats>() as libc::socklen_t;
        let fd = self.0.as_raw_fd();
        let out = (&raw mut stats).cast();
        // SAFETY: `out` points to `length` writable bytes that any content is valid for.
        checked(unsafe { libc::getsockopt(fd, libc::SOL_PACKET, PACKET_STATISTICS, out, &raw mut length) })?;
        Ok(stats.drops)
    }

    fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        let value = (&raw const value).cast();
        // SAFETY: `value` points to `length` bytes that outlive the call.
        checked(unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, value, length) }).map(drop)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The status that the kernel attached to a message.
fn status(message: &libc::msghdr) -> u32 {
    // SAFETY: recvmsg filled in `message`, whose control buffer is still borrowed by it.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    if header.is_null() {
        return 0;
    }
    // SAFETY: CMSG_FIRSTHDR returns null or a whole header.
    let kind = unsafe { *header };
    if (kind.cmsg_level, kind.cmsg_type) != (libc::SOL_PACKET, PACKET_AUXDATA) {
        return 0;
    }
    // SAFETY: `header` is a whole header.
    let data = unsafe { libc::CMSG_DATA(header) }.cast::<AuxData>();
    // SAFETY: the kernel puts a whole tpacket_auxdata behind a header of this type.
    unsafe { data.read_unaligned() }.status
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
