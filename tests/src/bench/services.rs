//! Gateways with as many services as one likes, all in one deployment: one VIP, one port each.

use crate::daemon::{DEPLOYMENT, Daemon, Settings};
use crate::topology::{Topology, UPLINK, VIPS};
use anyhow::{Context, Result};
use bg_common::Colour;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;

/// The numbers of services that are compared.
pub(super) const NUMBERS: [u16; 3] = [1, 100, 10_000];

/// Port of the first service.
const FIRST: u16 = 1_001;

/// Ports of so many services.
pub(super) fn ports(services: u16) -> std::ops::Range<u16> {
    FIRST..FIRST + services
}

/// The address of the only machine of a slice.
pub(super) fn address(topology: &Topology, colour: Colour) -> Result<IpAddr> {
    let machine = topology.slice(colour).next().with_context(|| format!("{colour} has no machine"))?;
    let [v4, _] = machine.addrs;
    Ok(v4)
}

/// Starts `bgd` with so many services.
pub(super) fn start(topology: &Topology, services: u16) -> Result<Daemon> {
    let mut daemon = Daemon::prepare(topology, &Settings::default())?;
    fs::write(daemon.config(), config(topology, daemon.instance(), services)?)?;
    daemon.launch().with_context(|| format!("{services} services"))?;
    Ok(daemon)
}

fn config(topology: &Topology, instance: &str, services: u16) -> Result<String> {
    let mut text = format!(
        "[gateway]\ninstance = {instance:?}\nuplinks = [{UPLINK:?}]\n[deployment.{DEPLOYMENT}]\ninitial = \"blue\"\n"
    );
    for colour in Colour::BOTH {
        writeln!(text, "{colour} = [\"{}\"]", address(topology, colour)?)?;
    }
    let [vip, _] = VIPS;
    for port in ports(services) {
        writeln!(text, "[deployment.{DEPLOYMENT}.service.s{port}]\nvips = [\"{vip}\"]\nport = {port}")?;
    }
    Ok(text)
}
