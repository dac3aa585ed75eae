//! Routers that a test puts into the way, and paths that take less than their ends' links do. Before `bgd` starts.
//!
//! ```text
//!  client ─ up0 ═══ out ─ router ─ in ═══ uplink ─ gateway ─ blue1 ═══ in ─ router ─ out ═══ eth0 ─ blue-1
//! ```

use super::{CLIENT, CLIENT_LINK, GATEWAY, MACHINE_LINK, Machine, Topology, UPLINK, UPLINK_MAC, VIPS};
use super::{mac, zone_addrs};
use crate::netns::Namespace;
use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What one packet may have on a narrow path.
pub const NARROW: u16 = 1400;

/// The gateway's and the router's addresses between them, on the client's side.
const UPLINK_NET: [[IpAddr; 2]; 2] = [
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2))],
    [
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 2)),
    ],
];

/// The network between the gateway and a router in front of a machine.
const ZONE_NET: u8 = 200;

impl Topology {
    /// Puts a router between client and gateway. It sends nothing on that is larger than [`NARROW`], in either
    /// direction, and says so.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a link or a route.
    pub fn route_client(&self) -> Result<Namespace> {
        let router = self.router("far", UPLINK, GATEWAY, UPLINK_MAC)?;
        let [[near4, far4], [near6, far6]] = UPLINK_NET;
        let ([client4, client6], [vip4, vip6], [home4, home6]) = (CLIENT, VIPS, GATEWAY);
        self.gateway.ip(&format!(
            "addr add {near4}/24 dev {UPLINK}\naddr add {near6}/64 dev {UPLINK} nodad\nlink set {UPLINK} up\n"
        ))?;
        router.ip(&format!(
            "addr add {far4}/24 dev in\naddr add {far6}/64 dev in nodad\nlink set in up\n\
             route add {client4}/32 dev out mtu {NARROW}\nroute add {client6}/128 dev out mtu {NARROW}\n\
             route add {vip4}/32 via {near4} mtu {NARROW}\nroute add {vip6}/128 via {near6} mtu {NARROW}\n"
        ))?;
        self.gateway
            .ip(&format!("route add {client4}/32 via {far4}\nroute add {client6}/128 via {far6}\n"))?;
        self.client.ip(&format!("route add {vip4}/32 via {home4}\nroute add {vip6}/128 via {home6}\n"))?;
        Ok(router)
    }

    /// Puts such a router between the gateway and a machine on a veth pair of its own.
    ///
    /// # Errors
    ///
    /// As [`Topology::route_client`].
    pub fn route_machine(&self, machine: &Machine) -> Result<Namespace> {
        let Machine { colour, number, ref port, addrs: [host4, host6], .. } = *machine;
        let home = zone_addrs(colour, number, 1);
        let router = self.router(&format!("to-{port}"), port, home, mac(colour, number, 1))?;
        let ([near4, near6], [far4, far6]) =
            (zone_addrs(colour, ZONE_NET, 1), zone_addrs(colour, ZONE_NET, 2));
        self.gateway.ip(&format!(
            "addr add {near4}/24 dev {port}\naddr add {near6}/64 dev {port} nodad\nlink set {port} up\n"
        ))?;
        router.ip(&format!(
            "addr add {far4}/24 dev in\naddr add {far6}/64 dev in nodad\nlink set in up\n\
             route add {host4}/32 dev out mtu {NARROW}\nroute add {host6}/128 dev out mtu {NARROW}\n\
             route add default via {near4} mtu {NARROW}\nroute add default via {near6} mtu {NARROW}\n"
        ))?;
        self.gateway.ip(&format!("route add {host4}/32 via {far4}\nroute add {host6}/128 via {far6}\n"))?;
        Ok(router)
    }

    /// Lets the gateway's link to a machine take no more than [`NARROW`], which the machine knows and does not tell.
    ///
    /// # Errors
    ///
    /// As [`Topology::route_client`].
    pub fn narrow_machine(&self, machine: &Machine) -> Result<()> {
        let [home4, home6] = zone_addrs(machine.colour, machine.number, 1);
        self.gateway.ip(&format!("link set {} mtu {NARROW}\n", machine.port))?;
        machine.namespace.ip(&format!(
            "route replace default via {home4} dev {MACHINE_LINK} mtu {NARROW} advmss 1460\n\
             route replace default via {home6} dev {MACHINE_LINK} mtu {NARROW} advmss 1440\n"
        ))
    }

    /// The same of the gateway's uplink and the client.
    ///
    /// # Errors
    ///
    /// As [`Topology::route_client`].
    pub fn narrow_client(&self) -> Result<()> {
        let [vip4, vip6] = VIPS;
        self.gateway.ip(&format!("link set {UPLINK} mtu {NARROW}\n"))?;
        self.client.ip(&format!(
            "route add {vip4}/32 dev {CLIENT_LINK} mtu {NARROW} advmss 1460\n\
             route add {vip6}/128 dev {CLIENT_LINK} mtu {NARROW} advmss 1440\n"
        ))
    }

    /// Takes the gateway's end of a pair, with its addresses, for the `out` of a router, and gives the gateway another
    /// link of that name to the router's `in`.
    fn router(&self, name: &str, port: &str, home: [IpAddr; 2], near_mac: [u8; 6]) -> Result<Namespace> {
        let router = Namespace::new(&format!("{}-{name}", self.name))?;
        router.sysctl("net/ipv4/ip_forward", "1")?;
        router.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        self.gateway.ip(&format!("link set {port} netns {}\n", router.name()))?;
        let [home4, home6] = home;
        router.ip(&format!(
            "link set {port} name out\naddr add {home4}/24 dev out\naddr add {home6}/64 dev out nodad\n\
             link set out up\n"
        ))?;
        let [a, b, c, d, e, _] = near_mac;
        self.pair(&self.gateway, (port, near_mac), &router, ("in", [a, b, c, d, e, 0xee]))?;
        Ok(router)
    }
}
