//! Client – gateway – blue and green, each machine in a namespace of its own, joined by veth pairs.
//!
//! ```text
//!  client ─ up0 ═══ uplink ─ gateway ─ blue1 ═══ eth0 ─ blue-1
//!  198.51.100.2/24      .1           10.1.1.1    10.1.1.2/24
//! ```
//!
//! With taps, whoever stands for the hypervisor carries frames between the gateway's and the machine's. Remote machines hang on
//! a router behind the gateway's second uplink, `wan`. With bridged zones the gateway's ends are ports of `br-blue` and `br-green`, one network per slice.

use crate::hypervisor::Hypervisor;
use crate::netns::Namespace;
use crate::run;
use anyhow::Result;
use bg_common::Colour;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// The client's addresses.
pub const CLIENT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 2)),
];
/// The gateway's addresses on the uplink.
pub const GATEWAY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1)),
];
/// Virtual addresses in the client's network, so that clients ask for them by ARP and ND. They are
/// nobody's until a gateway owns them.
pub const VIPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x10)),
];
/// The gateway's interface towards the client.
pub const UPLINK: &str = "uplink";
/// The gateway's interface towards the router of remote machines.
pub const WAN: &str = "wan";
/// The client's only interface.
pub const CLIENT_LINK: &str = "up0";
/// The only interface of a slice's machine.
pub const MACHINE_LINK: &str = "eth0";
/// Link-layer address of the gateway's uplink.
pub const UPLINK_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Link-layer address of the client.
pub const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// How machines hang on the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zones {
    /// One veth pair and one network per machine.
    Veth,
    /// One bridge and one network per slice.
    Bridge,
    /// One tap and one network per machine, as a virtual machine has it.
    Tap,
    /// As [`Zones::Veth`], on a router that is one hop away: machines elsewhere.
    Remote,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Machines per slice, at most 250.
    pub machines: u8,
    /// How they hang on the gateway.
    pub zones: Zones,
    /// MTU of every link.
    pub mtu: u16,
    /// Whether the ends of links leave checksums and segmentation to the other side. Off, every packet
    /// looks as it would on a wire.
    pub offload: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { machines: 1, zones: Zones::Veth, mtu: 1500, offload: false }
    }
}

/// One machine of a slice.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its slice.
    pub colour: Colour,
    /// Its number within the slice, from 1.
    pub number: u8,
    /// Its network.
    pub namespace: Namespace,
    /// IPv4 and IPv6 address.
    pub addrs: [IpAddr; 2],
    /// The gateway's interface that leads to it: the veth end, or the bridge.
    pub link: String,
    /// The gateway's end of its veth pair.
    pub port: String,
}

/// The whole network. Dropped, it is gone.
#[derive(Debug)]
pub struct Topology {
    /// Prefix of its namespaces, free to be used for other names.
    pub name: String,
    /// What was built.
    pub plan: Plan,
    /// Where clients are.
    pub client: Namespace,
    /// Where `bgd` is at home.
    pub gateway: Namespace,
    /// What machines hang on: the gateway, or the router in front of them.
    near: Namespace,
    hypervisors: Mutex<Vec<Hypervisor>>,
    /// Blue's machines first, then green's.
    pub machines: Vec<Machine>,
}

impl Topology {
    /// Builds what `plan` says.
    ///
    /// # Errors
    ///
    /// When the caller is not root or the kernel refuses a link.
    pub fn new(plan: &Plan) -> Result<Self> {
        let name = run::unique();
        let client = Namespace::new(&format!("{name}-client"))?;
        let gateway = Namespace::new(&format!("{name}-gateway"))?;
        let near = match plan.zones {
            Zones::Remote => Namespace::new(&format!("{name}-router"))?,
            Zones::Veth | Zones::Bridge | Zones::Tap => gateway.clone(),
        };
        let (hypervisors, machines) = (Mutex::default(), Vec::new());
        let mut this = Self { name, plan: plan.clone(), client, gateway, near, hypervisors, machines };
        for (key, value) in [("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")] {
            this.gateway.sysctl(key, value)?;
            this.near.sysctl(key, value)?;
        }
        for (key, value) in [("net/ipv4/ip_local_port_range", "2000 65000"), ("net/ipv4/tcp_tw_reuse", "1")] {
            this.client.sysctl(key, value)?;
        }
        this.link_uplink()?;
        if plan.zones == Zones::Remote {
            this.link_router()?;
        }
        for colour in Colour::BOTH {
            if plan.zones == Zones::Bridge {
                this.link_bridge(colour)?;
            }
            for number in 1..=plan.machines {
                let machine = this.link_machine(colour, number)?;
                this.machines.push(machine);
            }
        }
        Ok(this)
    }

    /// The machines of one slice.
    pub fn slice(&self, colour: Colour) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(move |machine| machine.colour == colour)
    }

    /// Makes the pair between client and gateway and gives both ends their addresses; again, after
    /// the gateway's end was deleted.
    ///
    /// # Errors
    ///
    /// When the link exists.
    pub fn link_uplink(&self) -> Result<()> {
        let [client4, client6] = CLIENT;
        let [gateway4, gateway6] = GATEWAY;
        self.pair(&self.gateway, (UPLINK, UPLINK_MAC), &self.client, (CLIENT_LINK, CLIENT_MAC))?;
        self.gateway.ip(&format!(
            "addr add {gateway4}/24 dev {UPLINK}\naddr add {gateway6}/64 dev {UPLINK} nodad\nlink set {UPLINK} up\n"
        ))?;
        self.client.ip(&format!(
            "addr add {client4}/24 dev {CLIENT_LINK}\naddr add {client6}/64 dev {CLIENT_LINK} nodad\n\
             link set {CLIENT_LINK} up\nroute add default via {gateway4}\nroute add default via {gateway6}\n"
        ))
    }

    /// Makes the link to a machine that exists, after it was deleted.
    ///
    /// # Errors
    ///
    /// When the link exists.
    pub fn relink(&self, machine: &Machine) -> Result<()> {
        self.wire(&machine.namespace, machine.colour, machine.number)
    }

    /// `frame` with the addresses that take it from a machine to the gateway.
    #[must_use]
    pub fn framed(&self, machine: &Machine, frame: &[u8]) -> Vec<u8> {
        let near = match self.plan.zones {
            Zones::Veth | Zones::Tap | Zones::Remote => mac(machine.colour, machine.number, 1),
            Zones::Bridge => mac(machine.colour, 0, 1),
        };
        let far = mac(machine.colour, machine.number, 2);
        [&near[..], &far, frame.get(12..).unwrap_or_default()].concat()
    }

    fn link_bridge(&self, colour: Colour) -> Result<()> {
        let [gateway4, gateway6] = zone_addrs(colour, 0, 1);
        self.gateway.ip(&format!(
            "link add br-{colour} address {} type bridge\naddr add {gateway4}/24 dev br-{colour}\n\
             addr add {gateway6}/64 dev br-{colour} nodad\nlink set br-{colour} up\n",
            mac_text(mac(colour, 0, 1))
        ))
    }

    fn link_machine(&self, colour: Colour, number: u8) -> Result<Machine> {
        let namespace = Namespace::new(&format!("{}-{colour}{number}", self.name))?;
        self.wire(&namespace, colour, number)?;
        let port = format!("{colour}{number}");
        let (addrs, link) = match self.plan.zones {
            Zones::Veth | Zones::Tap => (zone_addrs(colour, number, 2), port.clone()),
            Zones::Remote => (zone_addrs(colour, number, 2), WAN.to_owned()),
            Zones::Bridge => (zone_addrs(colour, 0, number + 1), format!("br-{colour}")),
        };
        Ok(Machine { colour, number, namespace, addrs, link, port })
    }

    fn wire(&self, namespace: &Namespace, colour: Colour, number: u8) -> Result<()> {
        let port = format!("{colour}{number}");
        let (near_mac, far_mac) = (mac(colour, number, 1), mac(colour, number, 2));
        if self.plan.zones == Zones::Tap {
            let near = (&self.near, port.as_str(), near_mac);
            let hypervisor = Hypervisor::start(near, (namespace, MACHINE_LINK, far_mac))?;
            self.hypervisors.lock().unwrap_or_else(PoisonError::into_inner).push(hypervisor);
        } else {
            self.pair(&self.near, (&port, near_mac), namespace, (MACHINE_LINK, far_mac))?;
        }
        let (network, host) = match self.plan.zones {
            Zones::Veth | Zones::Tap | Zones::Remote => (number, 2),
            Zones::Bridge => (0, number + 1),
        };
        let [gateway4, gateway6] = zone_addrs(colour, network, 1);
        let [host4, host6] = zone_addrs(colour, network, host);
        let mut lines = String::new();
        match self.plan.zones {
            Zones::Veth | Zones::Tap | Zones::Remote => {
                writeln!(lines, "addr add {gateway4}/24 dev {port}\naddr add {gateway6}/64 dev {port} nodad")?
            }
            Zones::Bridge => writeln!(lines, "link set {port} master br-{colour}")?,
        }
        writeln!(lines, "link set {port} up")?;
        self.near.ip(&lines)?;
        namespace.ip(&format!(
            "addr add {host4}/24 dev {MACHINE_LINK}\naddr add {host6}/64 dev {MACHINE_LINK} nodad\n\
             link set {MACHINE_LINK} up\nroute add default via {gateway4}\nroute add default via {gateway6}\n"
        ))
    }

    /// Puts a router one hop away, with a way to every slice.
    fn link_router(&self) -> Result<()> {
        let ends = [1, 2].map(|end| [0x02, 0, 0, 0, 1, end]);
        let [near, far] = ends;
        self.pair(&self.gateway, (WAN, near), &self.near, (WAN, far))?;
        for (namespace, end, peer) in [(&self.gateway, 1, 2), (&self.near, 2, 1)] {
            namespace.ip(&format!(
                "addr add 10.9.0.{end}/24 dev {WAN}\naddr add fd00:9::{end}/64 dev {WAN} nodad\nlink set {WAN} up\n"
            ))?;
            let routes = if end == 1 {
                ["10.1.0.0/16", "10.2.0.0/16", "fd00:1::/32", "fd00:2::/32"].as_slice()
            } else {
                &["default", "::/0"]
            };
            let mut lines = String::new();
            for route in routes {
                let via =
                    if route.contains(':') { format!("fd00:9::{peer}") } else { format!("10.9.0.{peer}") };
                writeln!(lines, "route add {route} via {via}")?;
            }
            namespace.ip(&lines)?;
        }
        Ok(())
    }

    fn pair(
        &self,
        at: &Namespace,
        (near, near_mac): (&str, [u8; 6]),
        far: &Namespace,
        (far_name, far_mac): (&str, [u8; 6]),
    ) -> Result<()> {
        let mtu = self.plan.mtu;
        let (near_mac, far_mac) = (mac_text(near_mac), mac_text(far_mac));
        at.ip(&format!(
            "link add {near} address {near_mac} mtu {mtu} type veth \
             peer name {far_name} address {far_mac} mtu {mtu} netns {}\n",
            far.name()
        ))?;
        if !self.plan.offload {
            at.output("ethtool", ["-K", near, "tx", "off"])?;
            far.output("ethtool", ["-K", far_name, "tx", "off"])?;
        }
        Ok(())
    }
}

fn zone_addrs(colour: Colour, network: u8, host: u8) -> [IpAddr; 2] {
    let slice = 1 + colour as u8;
    [
        Ipv4Addr::new(10, slice, network, host).into(),
        Ipv6Addr::new(0xfd00, slice.into(), network.into(), 0, 0, 0, 0, host.into()).into(),
    ]
}

/// Link-layer address of a machine on a link of its own.
#[must_use]
pub const fn machine_mac(machine: &Machine) -> [u8; 6] {
    mac(machine.colour, machine.number, 2)
}

/// Link-layer address of the gateway's end of that link.
#[must_use]
pub const fn port_mac(machine: &Machine) -> [u8; 6] {
    mac(machine.colour, machine.number, 1)
}

/// Link-layer address of the gateway's end (1) or the machine's end (2) of a link.
const fn mac(colour: Colour, number: u8, end: u8) -> [u8; 6] {
    [0x02, 0, 1 + colour as u8, 0, number, end]
}

pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
