//! The configuration, validated: what is in here can be put in the tables as it is.
//!
//! It is read in two steps. `raw` holds what was typed, with the place of each value; `check` makes
//! a [`Config`] of it or names everything that is wrong. Nothing here touches the machine: whether an
//! interface exists is for `wiring` to find out.

mod check;
mod choosing;
mod claims;
mod deployments;
mod gateway;
mod hooks;
mod name;
mod policy;
mod probes;
mod problems;
mod raw;
mod read;
mod removal;
mod services;
mod values;

pub use hooks::LONGEST as LONGEST_HOOK;
pub use name::{Instance, Name};
pub use removal::{refuse_removal, removed};

use crate::dataplane::{Lifetimes, Protocol};
use crate::health::spec::ProbeSet;
use crate::model::policy::{FateChoice, Policy};
use crate::notify::spec::HookSpec;
use crate::refusal::Refusal;
use bg_common::{Aim, Colour};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A whole configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// What concerns the gateway as such.
    pub gateway: Gateway,
    /// At least one, in the order of their names.
    pub deployments: Vec<Deployment>,
    /// Deployments that say `remove = true`: they may leave the gateway, and are not in `deployments`.
    pub leaving: Vec<Name>,
    /// What is valid but may not be what was meant, in the order of the file.
    pub notes: Vec<Refusal>,
}

/// What concerns the gateway as such.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Names the pins, the socket and the lock.
    pub instance: Instance,
    /// Interfaces that face clients; empty: those of the default routes.
    pub uplinks: Vec<String>,
    /// How uplinks are hooked.
    pub attach: Attach,
    /// The way of rewritten packets.
    pub path: PathChoice,
    /// Whether the daemon adds the VIPs to an uplink and announces them.
    pub own_vips: bool,
    /// Whether processes of the gateway's own are clients, too.
    pub local_clients: bool,
    /// Which ones: those in this control group; of all, if none is named.
    pub cgroup: Option<PathBuf>,
    /// The control socket.
    pub socket: PathBuf,
    /// What happened, and what has to be known again after a restart.
    pub journal: PathBuf,
    /// A client's addresses for probes through VIPs, at most one of each family.
    pub probe_addresses: Vec<IpAddr>,
    /// Where slices may ask for their role.
    pub role_listen: Vec<SocketAddr>,
    /// Size of the table of established flows.
    pub flows: u32,
    /// Size of the table of half-open flows.
    pub half_open: u32,
    /// How long idle flows live.
    pub lifetimes: Lifetimes,
}

/// How uplinks are hooked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Attach {
    /// XDP where a driver has it, tc on virtual interfaces.
    #[default]
    Auto,
    /// XDP in the driver, or not at all.
    Xdp,
    /// XDP after the driver.
    XdpGeneric,
    /// tc.
    Tc,
}

/// The way of rewritten packets, as asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PathChoice {
    /// By redirect, unless an uplink uses XDP.
    #[default]
    Auto,
    /// From interface to interface.
    Redirect,
    /// Through the kernel's routing.
    Stack,
}

/// What one cut-over moves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployment {
    /// Unique in the configuration.
    pub name: Name,
    /// Who is live when the deployment is new.
    pub initial: Colour,
    /// The addresses of `[blue, green]`; neither is empty.
    pub slices: [Vec<IpAddr>; 2],
    /// At least one, in the order of their names.
    pub services: Vec<Service>,
    /// Shares of new flows of those machines that have another than
    /// [`BackendSpec::WEIGHT`](crate::dataplane::BackendSpec::WEIGHT), up to 256; 0: none.
    pub weights: BTreeMap<IpAddr, u16>,
    /// Whether the canary takes whole clients, and not single flows.
    pub canary_by_client: bool,
    /// How it wants to be treated.
    pub policy: Policy,
    /// What its slices are asked.
    pub probes: ProbeSet,
    /// Who is asked or told, in the order of their names.
    pub hooks: Vec<HookSpec>,
}

/// What clients connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Unique in its deployment.
    pub name: Name,
    /// Of its frontends and backends.
    pub protocol: Protocol,
    /// At least one.
    pub vips: Vec<IpAddr>,
    /// Where clients connect; 0 of a service that has its addresses as a whole.
    pub port: u16,
    /// Where backends listen; 0 likewise.
    pub backend_port: u16,
    /// For which clients an address of the gateway stands towards backends.
    pub source_nat: SourceNat,
    /// VIPs that do not follow the live colour, and where they lead; none of a service that has its addresses as a
    /// whole.
    pub preview_vips: Vec<(IpAddr, Aim)>,
    /// Whether all flows of a client's address go to one backend.
    pub by_client: bool,
    /// What its flows meet at a switch, where those of the deployment stay.
    pub on_switch: FateChoice,
}

/// For which clients an address of the gateway stands towards backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SourceNat {
    /// For none: slices see their clients' addresses.
    #[default]
    Never,
    /// For those in the backend's own subnet, whose answers would not come by the gateway, and for the backend itself.
    Neighbours,
    /// For all.
    Always,
}

/// What goes into the tables as one service: all of it, or what belongs to one of several whole addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The service's name, and the address if it has several.
    pub name: String,
    /// Where clients connect.
    pub frontends: Vec<SocketAddr>,
    /// VIPs with the port that do not follow the live colour, and where they lead.
    pub previews: Vec<(SocketAddr, Aim)>,
    /// Where `[blue, green]` listen.
    pub backends: [Vec<SocketAddr>; 2],
}

impl Config {
    /// Every VIP once, in order.
    #[must_use]
    pub fn vips(&self) -> Vec<IpAddr> {
        let services = self.deployments.iter().flat_map(|deployment| &deployment.services);
        let mut vips: Vec<_> = services.flat_map(Service::all_vips).collect();
        vips.sort_unstable();
        vips.dedup();
        vips
    }
}

impl Deployment {
    /// The backends of a service in one colour: each address of the slice whose family the service
    /// has a VIP of.
    #[must_use]
    pub fn backends(&self, service: &Service, colour: Colour) -> Vec<SocketAddr> {
        let [blue, green] = &self.slices;
        let slice = match colour {
            Colour::Blue => blue,
            Colour::Green => green,
        };
        let wanted = |addr: &&IpAddr| service.all_vips().any(|vip| vip.is_ipv4() == addr.is_ipv4());
        slice.iter().filter(wanted).map(|addr| SocketAddr::new(*addr, service.backend_port)).collect()
    }

    /// A service as the tables hold it. One with several whole addresses is one service for each: the first VIP of a
    /// family belongs to the first machine of it, and so on.
    #[must_use]
    pub fn parts(&self, service: &Service) -> Vec<Part> {
        let frontends = service.frontends();
        let backends = Colour::BOTH.map(|colour| self.backends(service, colour));
        let of = |family: bool| move |addr: &&SocketAddr| addr.is_ipv4() == family;
        let several = [true, false].iter().any(|family| frontends.iter().filter(of(*family)).count() > 1);
        if service.protocol != Protocol::Any || !several {
            let (name, previews) = (service.name.to_string(), service.previews());
            return vec![Part { name, frontends, previews, backends }];
        }
        let part = |frontend: &SocketAddr| {
            let family = frontend.is_ipv4();
            let nth = frontends.iter().filter(of(family)).position(|other| other == frontend);
            let backends = backends
                .each_ref()
                .map(|slice| nth.and_then(|nth| slice.iter().filter(of(family)).nth(nth)).copied());
            Part {
                name: format!("{}/{}", service.name, frontend.ip()),
                frontends: vec![*frontend],
                previews: Vec::new(),
                backends: backends.map(|backend| backend.into_iter().collect()),
            }
        };
        frontends.iter().map(part).collect()
    }
}

impl Service {
    /// Every VIP, those of previews included.
    pub fn all_vips(&self) -> impl Iterator<Item = IpAddr> {
        self.vips.iter().copied().chain(self.preview_vips.iter().map(|(vip, _)| *vip))
    }

    /// Each VIP that does not follow the live colour with the port, and where it leads.
    #[must_use]
    pub fn previews(&self) -> Vec<(SocketAddr, Aim)> {
        self.preview_vips.iter().map(|(vip, aim)| (SocketAddr::new(*vip, self.port), *aim)).collect()
    }

    /// Each VIP that follows the live colour with the port.
    #[must_use]
    pub fn frontends(&self) -> Vec<SocketAddr> {
        self.vips.iter().map(|vip| SocketAddr::new(*vip, self.port)).collect()
    }
}

/// Lifetimes of idle flows unless configured: RFC 5382 section 5 asks for 2 h 4 min for TCP.
pub const DEFAULT_LIFETIMES: Lifetimes = Lifetimes {
    established: Duration::from_secs(2 * 3600 + 4 * 60),
    half_closed: Duration::from_secs(120),
    closed: Duration::from_secs(10),
    udp: Duration::from_secs(180),
};

/// Addresses that probes through VIPs come from unless configured: one of those that RFC 7335 sets apart and
/// nobody routes, and a unique local one (RFC 4193).
pub const DEFAULT_PROBE_ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfd62, 0x6770, 0, 0, 0, 0, 0, 2))];

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// At least one.
    pub problems: Vec<Refusal>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

impl From<Refusal> for Invalid {
    fn from(problem: Refusal) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Reads and validates the file at `path`.
///
/// # Errors
///
/// When the file cannot be read, or with everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, Invalid> {
    parse(&read_file(path)?, &path.display().to_string())
}

/// What the file at `path` says about the gateway as such. Its deployments are not looked at, so that
/// a mistake there does not stand between an operator and a rollback.
///
/// # Errors
///
/// When the file cannot be read, or with everything that is wrong with that part of it.
pub fn load_gateway(path: &Path) -> Result<Gateway, Invalid> {
    let (text, file) = (read_file(path)?, path.display().to_string());
    let mut problems = problems::Problems::new(&text, &file);
    let gateway =
        raw::RawGateway::read_only(&text, &mut problems).map(|raw| gateway::gateway(raw, &mut problems));
    problems.finish(gateway)
}

fn read_file(path: &Path) -> Result<String, Refusal> {
    let unreadable = |why: &dyn fmt::Display| {
        let what = format!("the configuration cannot be read: {why}");
        let mend = "name a readable file with --config FILE, or begin with the example that comes with bg";
        Refusal::new("config-unreadable", what, path.display(), mend)
    };
    let bytes = std::fs::read(path).map_err(|err| unreadable(&err))?;
    String::from_utf8(bytes).map_err(|err| {
        let offset = err.utf8_error().valid_up_to();
        unreadable(&format!("byte {offset} is not UTF-8"))
    })
}

/// Validates `text`; `file` is its name in messages.
///
/// # Errors
///
/// With everything that is wrong with it.
pub fn parse(text: &str, file: &str) -> Result<Config, Invalid> {
    let mut problems = problems::Problems::new(text, file);
    let config = raw::Raw::read(text, &mut problems).and_then(|raw| check::config(raw, &mut problems));
    problems.finish(config)
}

#[cfg(test)]
mod tests;
