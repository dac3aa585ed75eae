//! What `bgd` is configured with: one deployment whose slices are those of the topology.

use crate::servers::port;
use crate::topology::{Topology, UPLINK, VIPS};
use anyhow::Result;
use bg_common::Colour;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Name of the deployment that every test moves.
pub const DEPLOYMENT: &str = "shop";

/// Ports of the deployment's services on its VIPs.
pub mod service {
    /// HTTP, served at [`crate::servers::port::WEB`].
    pub const WEB: u16 = 80;
    /// Echo of lines, served at [`crate::servers::port::LINES`].
    pub const LINES: u16 = 7;
    /// Echo of datagrams, served at [`crate::servers::port::DATAGRAMS`].
    pub const DATAGRAMS: u16 = 9;
    /// iperf3 over TCP, on the same port.
    pub const BULK: u16 = crate::servers::port::BULK;
}

/// What is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `attach`.
    pub attach: &'static str,
    /// `path`.
    pub path: &'static str,
    /// `own_vips`.
    pub own_vips: bool,
    /// `cgroup`: processes in it are clients as well. Without one none is: the control group that holds every process
    /// is not only the test's.
    pub cgroup: Option<PathBuf>,
    /// `source_nat` of every service.
    pub source_nat: &'static str,
    /// `uplinks`.
    pub uplinks: Vec<String>,
    /// Further lines of TOML, after the tables of `[gateway]`.
    pub more: String,
    /// Further lines inside `[deployment.shop]`.
    pub deployment: String,
    /// Further tables at the end: probes, passive checks, hooks.
    pub tables: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attach: "auto",
            path: "auto",
            own_vips: true,
            cgroup: None,
            source_nat: "never",
            uplinks: vec![UPLINK.to_owned()],
            more: String::new(),
            deployment: String::new(),
            tables: String::new(),
        }
    }
}

impl Settings {
    /// Settings that force a hook and a path.
    #[must_use]
    pub fn hooked(attach: &'static str, path: &'static str) -> Self {
        Self { attach, path, ..Self::default() }
    }
}

/// Where a client reaches a service: its IPv4 and its IPv6 frontend.
#[must_use]
pub fn frontends(port: u16) -> [SocketAddr; 2] {
    VIPS.map(|vip| SocketAddr::new(vip, port))
}

/// The configuration file of `instance`, whose journal is at `journal`.
pub(super) fn toml(
    topology: &Topology,
    instance: &str,
    journal: &Path,
    settings: &Settings,
) -> Result<String> {
    let Settings { attach, path, own_vips, cgroup, source_nat, uplinks, more, deployment, tables } = settings;
    let local = match cgroup {
        Some(group) => format!("cgroup = {group:?}"),
        None => "local_clients = false".to_owned(),
    };
    let mut text = format!(
        "[gateway]\ninstance = {instance:?}\nuplinks = {uplinks:?}\nattach = {attach:?}\npath = {path:?}\n\
         own_vips = {own_vips}\n{local}\njournal = {journal:?}\n{more}\n\
         [deployment.{DEPLOYMENT}]\ninitial = \"blue\"\n{deployment}\n"
    );
    for colour in Colour::BOTH {
        let addrs: Vec<_> =
            topology.slice(colour).flat_map(|machine| machine.addrs).map(|addr| addr.to_string()).collect();
        writeln!(text, "{colour} = {addrs:?}")?;
    }
    let vips = VIPS.map(|vip| vip.to_string());
    for (name, protocol, port, backend) in [
        ("web", "tcp", service::WEB, port::WEB),
        ("lines", "tcp", service::LINES, port::LINES),
        ("datagrams", "udp", service::DATAGRAMS, port::DATAGRAMS),
        ("bulk", "tcp", service::BULK, port::BULK),
    ] {
        writeln!(
            text,
            "[deployment.{DEPLOYMENT}.service.{name}]\nvips = {vips:?}\nport = {port}\nprotocol = {protocol:?}\n\
             backend_port = {backend}\nsource_nat = {source_nat:?}"
        )?;
    }
    text += tables;
    Ok(text)
}
