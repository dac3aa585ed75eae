//! What an interface does in place of the processor: read by the ethtool ioctl, never changed.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const GET_TX_CHECKSUM: u32 = 0x16;
const GET_GRO: u32 = 0x2b;
const GET_FLAGS: u32 = 0x25;
const FLAG_RX_VLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// The offloads that matter to bg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offloads {
    /// Checksums of packets sent are completed by the device: on a veth pair, by nobody.
    pub tx_checksum: bool,
    /// Received packets are merged by the kernel.
    pub gro: bool,
    /// Received packets are merged by the device.
    pub lro: bool,
    /// The VLAN tag of received frames is taken off by the device.
    pub rx_vlan: bool,
}

/// The kernel's `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

nix::ioctl_readwrite_bad!(
    /// The ethtool request of netdevice(7).
    siocethtool,
    libc::SIOCETHTOOL,
    libc::ifreq
);

/// Reads the offloads of `interface`. What a driver does not know is off.
///
/// # Errors
///
/// When there is no such interface, or no socket to ask by.
pub fn read(interface: &str) -> io::Result<Offloads> {
    let asking = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let flags = value(&asking, interface, GET_FLAGS)?;
    Ok(Offloads {
        tx_checksum: value(&asking, interface, GET_TX_CHECKSUM)? != 0,
        gro: value(&asking, interface, GET_GRO)? != 0,
        lro: flags & FLAG_LRO != 0,
        rx_vlan: flags & FLAG_RX_VLAN != 0,
    })
}

fn value(asking: &OwnedFd, interface: &str, command: u32) -> io::Result<u32> {
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    let mut value = EthtoolValue { command, data: 0 };
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut value).cast() },
    };
    // SAFETY: the commands of this file read and write one `ethtool_value`, which `ifru_data` points
    // to and which outlives the call, as does `request`.
    match unsafe { siocethtool(asking.as_raw_fd(), &raw mut request) } {
        Ok(_) => Ok(value.data),
        Err(nix::errno::Errno::EOPNOTSUPP) => Ok(0),
        Err(why) => Err(why.into()),
    }
}
