//! bgd's own interface: a tap device whose wire is a file of this process, so that bgd can be a client
//! whose packets come in over an interface like any other's. It goes with the process.
//!
//! Nothing on it waits for a resolution or a negotiation: it has no ARP, so the kernel takes every address
//! behind it for the device's own MAC address, and no IPv6 addresses, so nothing is probed or solicited.

use super::{Net, RouteTo, answer, errno, reason, sysctl};
use crate::refusal::Refusal;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, LinkAttribute,
};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Error, LinkUnspec, RouteMessageBuilder};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const DEVICE: &str = "/dev/net/tun";
const PREFIX: &str = "bgp-";

/// The MAC address of the interface; locally administered, and seen on no other link.
pub const GATEWAY_MAC: [u8; 6] = [0x02, b'b', b'g', 0, 0, 1];

/// Largest packet on the wire, without its Ethernet header.
pub const MTU: u32 = 1500;

/// What mends a device file that cannot be used.
const LET_IN: &str = "modprobe tun; and where the unit confines bgd: DeviceAllow=/dev/net/tun rw, without \
                      PrivateDevices=";

nix::ioctl_readwrite_bad!(
    /// Makes the interface that the file is the wire of.
    tunsetiff,
    libc::TUNSETIFF,
    libc::ifreq
);
nix::ioctl_write_int_bad!(
    /// Says what the reader of the file does in the kernel's place.
    tunsetoffload,
    libc::TUNSETOFFLOAD
);

/// The name of the interface of an instance: at most 15 bytes, as the kernel wants it.
#[must_use]
pub fn name(instance: &str) -> String {
    let whole = format!("{PREFIX}{instance}");
    if whole.len() < libc::IFNAMSIZ {
        return whole;
    }
    let digest: String = Sha256::digest(instance).iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    let start: String = instance.chars().take(4).collect();
    format!("{PREFIX}{start}-{digest}")
}

/// The open wire. Dropping it removes the interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
    ifindex: u32,
    addresses: Vec<IpAddr>,
}

impl Tap {
    /// Makes the interface of `instance` in the current network namespace and routes `addresses` to it. An IPv6
    /// address is left out where IPv6 is switched off.
    ///
    /// # Errors
    ///
    /// When the kernel has no such devices or does not let us have one, when an interface of this name is
    /// there, or when an address is in use.
    pub async fn open(net: &Net, instance: &str, addresses: &[IpAddr]) -> Result<Self, Refusal> {
        let name = name(instance);
        if let Some(address) = addresses.iter().find(|address| !is_one_hosts(**address)) {
            return Err(in_use(*address, &name, "is no address of a single host"));
        }
        net.taken(addresses, &name).await?;
        let file = open_device()?;
        create(&file, &name)?;
        let ifindex = if_nametoindex(name.as_str())
            .map_err(|why| not_made(&name, &io::Error::from(why).to_string()))?;
        let v6 = sysctl::read(&format!("net/ipv6/conf/{name}/disable_ipv6")) == Some(0);
        let mut tap = Self { file, name, ifindex, addresses: Vec::new() };
        net.bring_up(&tap, v6).await.map_err(|why| not_made(&tap.name, &reason(&why)))?;
        for address in addresses.iter().filter(|address| address.is_ipv4() || v6) {
            net.lead_to(&tap, *address).await?;
            tap.addresses.push(*address);
        }
        Ok(tap)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kernel index.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The addresses that are routed to it.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether its addresses still lead to it. They do not once it was switched off, even if it is on again.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub async fn is_in_place(&self, net: &Net) -> Result<bool, Refusal> {
        for address in &self.addresses {
            if !net.leads_to(self, *address).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Has the current runtime watch the wire for `interest`. That the interface was removed is an error there.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch one more file.
    pub fn watch(self: Arc<Self>, interest: Interest) -> io::Result<AsyncFd<Arc<Self>>> {
        // SAFETY: the file stays the same and open as long as the `Arc` that the result owns.
        Ok(unsafe { AsyncFd::register_with_interest(self, interest) }?)
    }

    /// Takes one frame off the wire and returns its length. What does not fit into `buffer` is cut off.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is none; any other means that the interface is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Puts one frame on the wire; the kernel has handled it when this returns.
    ///
    /// # Errors
    ///
    /// When the interface is down or gone.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.file).write(frame).map(drop)
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Net {
    /// Refuses addresses that are this host's own.
    async fn taken(&self, wanted: &[IpAddr], name: &str) -> Result<(), Refusal> {
        let present = self.addresses().await?;
        match present.iter().find(|present| wanted.contains(&present.ip)) {
            None => Ok(()),
            Some(present) => Err(in_use(present.ip, name, "is an address of this host")),
        }
    }

    async fn bring_up(&self, tap: &Tap, v6: bool) -> Result<(), Error> {
        // Forwarding of what comes in over it is asked for here, because a host that forwards between some
        // interfaces only would not do it. `rp_filter` may be as strict as it likes: the way to the sender's
        // address leads over this interface.
        let mut v4 = InetDevConf::default();
        v4.forwarding = 1;
        let mut settings = vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(v4)])];
        if v6 {
            settings.push(AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]));
        }
        // A MAC address that somebody has set is left alone by udev. The kernel looks at flags before it
        // looks at the settings of the families, so the interface comes up by a second message.
        let link = LinkUnspec::new_with_index(tap.ifindex)
            .address(GATEWAY_MAC.to_vec())
            .mtu(MTU)
            .arp(false)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(settings));
        answer(self.handle.link().set(link.build()).execute()).await?;
        let up = LinkUnspec::new_with_index(tap.ifindex).up();
        answer(self.handle.link().set(up.build()).execute()).await
    }

    /// Routes `address` to the tap. The gateway needs no address of its own there: what it sends to the probe
    /// comes from VIPs, but for errors, which have any of its addresses.
    async fn lead_to(&self, tap: &Tap, address: IpAddr) -> Result<(), Refusal> {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(address, prefix)
            .map_err(|why| in_use(address, &tap.name, &format!("cannot be routed: {why}")))?
            .output_interface(tap.ifindex)
            .scope(RouteScope::Link)
            .build();
        match answer(self.handle.route().add(route).execute()).await {
            Ok(()) => {}
            Err(why) if errno(&why) == Some(libc::EEXIST) => {
                return Err(in_use(address, &tap.name, "has a route to somewhere else"));
            }
            Err(why) => {
                return Err(in_use(address, &tap.name, &format!("cannot be routed: {}", reason(&why))));
            }
        }
        // Rules and tables of the operator's may come first.
        if self.leads_to(tap, address).await? {
            Ok(())
        } else {
            Err(in_use(address, &tap.name, "is routed to somewhere else by a rule or another table"))
        }
    }

    async fn leads_to(&self, tap: &Tap, address: IpAddr) -> Result<bool, Refusal> {
        let way = self.route_to(address).await?;
        Ok(matches!(way, RouteTo::Out(route) if route.ifindex == tap.ifindex))
    }
}

fn is_one_hosts(address: IpAddr) -> bool {
    let everybodys = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !(everybodys || address.is_multicast() || address.is_unspecified() || address.is_loopback())
}

fn open_device() -> Result<File, Refusal> {
    let open = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE);
    open.map_err(|why| {
        let what = match why.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => "this kernel has no tap devices".to_owned(),
            Some(libc::EPERM | libc::EACCES) => "bgd may not open the file of tap devices".to_owned(),
            _ => format!("the file of tap devices cannot be opened: {why}"),
        };
        Refusal::new("no-tap", what, DEVICE, LET_IN)
    })
}

fn create(file: &File, name: &str) -> Result<(), Refusal> {
    // Without IFF_TUN_EXCL the kernel would hand us an interface of somebody else's.
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    let mut request = libc::ifreq {
        ifr_name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags as libc::c_short },
    };
    // SAFETY: the request reads and writes one `ifreq`, which outlives the call.
    let made = unsafe { tunsetiff(file.as_raw_fd(), &raw mut request) };
    made.map_err(|why| match why as i32 {
        libc::EBUSY => Refusal::new(
            "interface-taken",
            format_args!("there is an interface {name} already, and bg does not use what is not its own"),
            format_args!("interface {name}"),
            format_args!("look at it by `ip -d link show {name}`; ip link del {name}"),
        ),
        libc::EPERM => Refusal::new(
            "no-tap",
            "bgd may not make an interface",
            DEVICE,
            "give bgd CAP_NET_ADMIN: run it as root or by its unit",
        ),
        _ => not_made(name, &io::Error::from(why).to_string()),
    })?;
    // Said although it is so from the start, because everything rests on it: a reader that takes nothing over
    // gets frames with complete checksums, one packet each, whatever a local sender has left to the device.
    // SAFETY: the request takes a number and no pointer.
    let told = unsafe { tunsetoffload(file.as_raw_fd(), 0) };
    told.map(drop).map_err(|why| not_made(name, &io::Error::from(why).to_string()))
}

fn not_made(name: &str, why: &str) -> Refusal {
    Refusal::new(
        "no-tap",
        format_args!("bgd's own interface cannot be made: {why}"),
        format_args!("interface {name}"),
        format_args!("try it by hand: ip tuntap add dev {name} mode tap"),
    )
}

fn in_use(address: IpAddr, name: &str, how: &str) -> Refusal {
    Refusal::new(
        "probe-address-taken",
        format_args!("probes through VIPs cannot come from {address}: it {how}"),
        format_args!("key `probe_addresses` in [gateway], interface {name}"),
        format_args!("see `ip route get {address}`, and give `probe_addresses` addresses that are nobody's"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_host_can_have_is_an_address_to_come_from() {
        for ours in ["192.0.0.2", "10.0.0.255", "fd62:6770::2", "2001:db8::1"] {
            assert!(is_one_hosts(ours.parse().unwrap()), "{ours}");
        }
        for not in [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_one_hosts(not.parse().unwrap()), "{not}");
        }
    }

    #[test]
    fn the_name_fits_whatever_the_instance_is_called_and_tells_instances_apart() {
        assert_eq!(name("default"), "bgp-default");
        assert_eq!(name("elevenbytes"), "bgp-elevenbytes");
        let long = ["twelve-bytes", "twelve-bytez", &"x".repeat(63), &"x".repeat(62)].map(name);
        for (index, name) in long.iter().enumerate() {
            assert_eq!(name.len(), 15, "{name}");
            assert!(name.starts_with(PREFIX));
            assert!(!long[..index].contains(name), "{name} twice");
        }
        assert_eq!(name("twelve-bytes"), name("twelve-bytes"), "the next daemon looks for the same");
    }
}
