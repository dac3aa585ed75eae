//! The addresses of this network namespace, and the VIPs that bg adds to it and takes away again.
//!
//! Each address that bg adds carries bg's mark in IFA_PROTO (Linux 5.18 and later keep it), so that an
//! address which somebody else configured is never removed, not even after a crash. An older kernel
//! drops the mark: there a VIP stays until it is removed by hand, and [`Owned::unmarked`] says so.

use super::{Net, answer, collect, errno, reason, unreadable};
use crate::refusal::Refusal;
use nix::net::if_::if_indextoname;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use std::net::IpAddr;

/// bg's value of IFA_PROTO. The kernel reserves 0 to 3; routing daemons do not set it.
const MARK: u8 = 0xb6;

/// An address of this network namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The interface that has it.
    pub ifindex: u32,
    /// The address.
    pub ip: IpAddr,
    /// Length of its subnet's prefix.
    pub prefix: u8,
    /// Whether bg has added it.
    pub ours: bool,
}

impl Address {
    /// Whether `ip` lies in the subnet of this address.
    #[must_use]
    pub fn subnet_has(&self, ip: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                (own.to_bits() ^ ip.to_bits()).checked_shr(32_u32.saturating_sub(prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                (own.to_bits() ^ ip.to_bits()).checked_shr(128_u32.saturating_sub(prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Where a VIP belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VipHome {
    /// The VIP.
    pub vip: IpAddr,
    /// The uplink that shall have it.
    pub ifindex: u32,
}

/// What [`Net::own_vips`] found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Owned {
    /// Added in this call: these are to be announced.
    pub added: Vec<VipHome>,
    /// Were there already, added by bg.
    pub kept: Vec<VipHome>,
    /// Were there already, configured by somebody else; left alone wherever they are.
    pub foreign: Vec<VipHome>,
    /// Why the kernel did not take some.
    pub failed: Vec<Refusal>,
    /// The kernel keeps no mark, so bg will not know again which VIPs it has added.
    pub unmarked: bool,
}

impl Net {
    /// Every address of the network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub async fn addresses(&self) -> Result<Vec<Address>, Refusal> {
        let messages = collect(self.handle.address().get().execute())
            .await
            .map_err(|why| unreadable("addresses", "ip address", &why))?;
        Ok(messages.iter().filter_map(read).collect())
    }

    /// Adds each VIP that no interface has to its home, as a host address. One that bg has added to
    /// another interface before moves. Nothing else is touched, so a second call changes nothing.
    ///
    /// # Errors
    ///
    /// When the addresses cannot be read. One that the kernel does not take is in [`Owned::failed`].
    pub async fn own_vips(&self, homes: &[VipHome]) -> Result<Owned, Refusal> {
        let present = self.addresses().await?;
        let mut owned = Owned::default();
        for home in homes {
            let mut ours_elsewhere = Vec::new();
            let mut found = None;
            for address in present.iter().filter(|address| address.ip == home.vip) {
                if !address.ours {
                    found = Some(address);
                } else if address.ifindex == home.ifindex {
                    found = found.or(Some(address));
                } else {
                    ours_elsewhere.push(*address);
                }
            }
            match found {
                Some(address) if address.ours => owned.kept.push(*home),
                Some(address) => owned.foreign.push(VipHome { ifindex: address.ifindex, ..*home }),
                None => match self.add(home).await {
                    Ok(()) => owned.added.push(*home),
                    Err(refusal) => {
                        owned.failed.push(refusal);
                        continue;
                    }
                },
            }
            for address in &ours_elsewhere {
                self.remove(address).await?;
            }
        }
        if !owned.added.is_empty() {
            let marked = self.addresses().await?;
            owned.unmarked = owned
                .added
                .iter()
                .any(|home| !marked.iter().any(|address| address.ours && address.ip == home.vip));
        }
        Ok(owned)
    }

    /// Removes those of `vips` that bg has added, and returns them.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to remove one; the ones before it are gone.
    pub async fn release_vips(&self, vips: &[IpAddr]) -> Result<Vec<VipHome>, Refusal> {
        let mut released = Vec::new();
        for address in self.addresses().await? {
            if address.ours && vips.contains(&address.ip) {
                self.remove(&address).await?;
                released.push(VipHome { vip: address.ip, ifindex: address.ifindex });
            }
        }
        Ok(released)
    }

    async fn add(&self, home: &VipHome) -> Result<(), Refusal> {
        let mut request = self.handle.address().add(home.ifindex, home.vip, host_prefix(home.vip));
        let attributes = &mut request.message_mut().attributes;
        attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
        if home.vip.is_ipv6() {
            // Another gateway may hold the VIP until this moment, so duplicate address detection
            // would disable it here. Deprecated from the start, it is no source address: RFC 6724
            // would else prefer a /128 for the gateway's own connections to its neighbours.
            attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute));
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_valid = u32::MAX;
            attributes.push(AddressAttribute::CacheInfo(lifetime));
        }
        match answer(request.execute()).await {
            Ok(()) => Ok(()),
            Err(why) if errno(&why) == Some(libc::EEXIST) => Ok(()),
            Err(why) => Err(Refusal::new(
                "vip-not-added",
                format_args!("cannot add VIP {}: {}", home.vip, reason(&why)),
                interface(home.ifindex),
                if home.vip.is_ipv6() {
                    "check that the interface is up and that IPv6 is on: \
                     sysctl net.ipv6.conf.all.disable_ipv6"
                } else {
                    "check that bgd has CAP_NET_ADMIN, or set `own_vips = false` and add the VIP yourself"
                },
            )),
        }
    }

    async fn remove(&self, address: &Address) -> Result<(), Refusal> {
        let mut message = AddressMessage::default();
        message.header.family = match address.ip {
            IpAddr::V4(_) => rtnetlink::packet_route::AddressFamily::Inet,
            IpAddr::V6(_) => rtnetlink::packet_route::AddressFamily::Inet6,
        };
        message.header.index = address.ifindex;
        message.header.prefix_len = address.prefix;
        message.attributes = vec![AddressAttribute::Local(address.ip), AddressAttribute::Address(address.ip)];
        match answer(self.handle.address().del(message).execute()).await {
            Ok(()) => Ok(()),
            // Gone already, or with its interface.
            Err(why) if matches!(errno(&why), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(()),
            Err(why) => Err(Refusal::new(
                "vip-not-removed",
                format_args!("cannot remove VIP {}: {}", address.ip, reason(&why)),
                interface(address.ifindex),
                format_args!("ip address del {}/{} dev INTERFACE", address.ip, address.prefix),
            )),
        }
    }
}

/// The interface as a refusal names it.
fn interface(index: u32) -> String {
    match if_indextoname(index) {
        Ok(name) => format!("interface {}", name.to_string_lossy()),
        Err(_) => format!("an interface that is gone (index {index})"),
    }
}

fn host_prefix(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn read(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut peer, mut ours) = (None, None, false);
    for attribute in &message.attributes {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest of an address says nothing to bg")]
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => peer = Some(*ip),
            AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == MARK,
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end's; IPv6 has IFA_LOCAL only then.
    let ip = local.or(peer)?;
    Some(Address { ifindex: message.header.index, ip, prefix: message.header.prefix_len, ours })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_has_what_shares_its_prefix() {
        let rows = [
            ("192.0.2.1", 24, "192.0.2.200", true),
            ("192.0.2.1", 24, "192.0.3.1", false),
            ("192.0.2.1", 32, "192.0.2.1", true),
            ("192.0.2.1", 32, "192.0.2.0", false),
            ("192.0.2.1", 0, "203.0.113.9", true),
            ("2001:db8::1", 64, "2001:db8::ffff", true),
            ("2001:db8::1", 64, "2001:db8:0:1::1", false),
            ("2001:db8::1", 0, "fd00::1", true),
            ("::1", 0, "192.0.2.1", false),
        ];
        for (own, prefix, ip, want) in rows {
            let address = Address { ifindex: 1, ip: own.parse().unwrap(), prefix, ours: false };
            assert_eq!(address.subnet_has(ip.parse().unwrap()), want, "{ip} in {own}/{prefix}");
        }
    }

    #[test]
    fn on_a_point_to_point_link_the_own_end_counts() {
        let mut message = AddressMessage::default();
        let (own, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        message.attributes = vec![AddressAttribute::Address(other), AddressAttribute::Local(own)];
        assert_eq!(read(&message).unwrap().ip, own);
    }

    #[test]
    fn only_the_mark_makes_an_address_ours() {
        for (mark, want) in [(MARK, true), (4, false)] {
            let mut message = AddressMessage::default();
            message.attributes = vec![
                AddressAttribute::Address("192.0.2.1".parse().unwrap()),
                AddressAttribute::Protocol(AddressProtocol::Other(mark)),
            ];
            assert_eq!(read(&message).unwrap().ours, want, "IFA_PROTO {mark}");
        }
    }
}
