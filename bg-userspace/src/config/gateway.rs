//! Judges what concerns the gateway as such.

use super::problems::{At, Problems};
use super::raw::{RawGateway, RawLifetimes};
use super::services::{address, addresses};
use super::values::{Times, choice, file, time};
use super::{Attach, DEFAULT_LIFETIMES, DEFAULT_PROBE_ADDRESSES, Gateway, Instance, PathChoice};
use crate::dataplane::Lifetimes;
use crate::paths;
use bg_common::names;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Below this, the kernel's batches of LRU entries, one for each CPU, leave next to nothing to use.
const MIN_FLOWS: u32 = 1024;

/// Most entries of a flow table: 16 million, about 2 GiB of kernel memory.
const MAX_FLOWS: u32 = 1 << 24;

const LIFETIME: Times = Times {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30 * 86_400),
    words: "1s to 30days, such as \"2h 4m\" or \"10s\"",
};

/// Longest interface name (`IFNAMSIZ` less its final zero).
const MAX_INTERFACE: usize = 15;

/// Longest path of a Unix socket (`sun_path` less its final zero).
const MAX_SOCKET: usize = 107;
const SOCKET: &str = "/run/bg/default/bg.sock";

/// Longest path of any other file (`PATH_MAX` less its final zero).
const MAX_PATH: usize = 4095;
const CGROUP: &str = "/sys/fs/cgroup";
const JOURNAL: &str = "/var/lib/bg/default/journal.db";

/// Judges what concerns the gateway as such.
pub(super) fn gateway(raw: RawGateway, problems: &mut Problems<'_>) -> Gateway {
    let instance = raw.instance.and_then(|At { value, place }| match Instance::parse(&value) {
        Ok(instance) => Some(instance),
        Err(why) => {
            problems.add("config-name", &place, format!("the instance name {value:?} {why}"), Instance::RULE);
            None
        }
    });
    let instance = instance.unwrap_or_default();
    let flows = |raw: Option<At<i64>>, default, problems: &mut Problems<'_>| {
        raw.and_then(|raw| table_size(&raw, problems)).unwrap_or(default)
    };
    Gateway {
        uplinks: raw.uplinks.map(|raw| uplinks(raw, problems)).unwrap_or_default(),
        attach: choice(raw.attach, ATTACH, problems).unwrap_or_default(),
        path: choice(raw.path, PATH, problems).unwrap_or_default(),
        own_vips: raw.own_vips.is_none_or(|own| own.value),
        local_clients: raw.local_clients.is_none_or(|local| local.value),
        cgroup: file(raw.cgroup, "the control group's path", MAX_PATH, CGROUP, problems),
        socket: file(raw.socket, "the socket's path", MAX_SOCKET, SOCKET, problems)
            .unwrap_or_else(|| paths::socket(&instance)),
        journal: file(raw.journal, "the journal's path", MAX_PATH, JOURNAL, problems)
            .unwrap_or_else(|| paths::journal(&instance)),
        probe_addresses: raw
            .probe_addresses
            .map_or_else(|| DEFAULT_PROBE_ADDRESSES.to_vec(), |raw| probe_addresses(raw, problems)),
        role_listen: raw.role_listen.map(|raw| role_listen(raw, problems)).unwrap_or_default(),
        flows: flows(raw.flows, names::DEFAULT_FLOWS, problems),
        half_open: flows(raw.half_open, names::DEFAULT_HALF_OPEN, problems),
        lifetimes: lifetimes(raw.lifetimes, problems),
        instance,
    }
}

const ATTACH: &[(&str, Attach)] =
    &[("auto", Attach::Auto), ("xdp", Attach::Xdp), ("xdp-generic", Attach::XdpGeneric), ("tc", Attach::Tc)];

const PATH: &[(&str, PathChoice)] =
    &[("auto", PathChoice::Auto), ("redirect", PathChoice::Redirect), ("stack", PathChoice::Stack)];

fn uplinks(raw: At<Vec<At<String>>>, problems: &mut Problems<'_>) -> Vec<String> {
    let mend = "name interfaces as `ip link` shows them, or leave `uplinks` out to use the default route's";
    if raw.value.is_empty() {
        problems.add("config-uplinks", &raw.place, "`uplinks` names no interface", mend);
    }
    let mut names: Vec<String> = Vec::new();
    for At { value, place } in raw.value {
        let printable = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
        if value.is_empty() || value.len() > MAX_INTERFACE || !printable || value == "." || value == ".." {
            problems.add("config-uplinks", &place, format!("{value:?} cannot be an interface's name"), mend);
        } else if names.contains(&value) {
            problems.add("config-uplinks", &place, format!("{value} is named twice"), "name it once");
        } else {
            names.push(value);
        }
    }
    names
}

/// At most one of each family; none turns probes through VIPs off.
fn probe_addresses(raw: At<Vec<At<String>>>, problems: &mut Problems<'_>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    if raw.value.is_empty() {
        return found;
    }
    for At { value: addr, place } in addresses("`probe_addresses`", raw, false, problems) {
        let family = if addr.is_ipv4() { "IPv4" } else { "IPv6" };
        if found.iter().any(|other| other.is_ipv4() == addr.is_ipv4()) {
            let what = format!("{addr} is a second {family} address");
            problems.add("config-duplicate", &place, what, "keep one of each family");
        } else {
            found.push(addr);
        }
    }
    found
}

/// Addresses with ports, each once.
fn role_listen(raw: At<Vec<At<String>>>, problems: &mut Problems<'_>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for At { value, place } in raw.value {
        match endpoint(&value) {
            Err((what, mend)) => problems.add("config-address", &place, what, mend),
            Ok(endpoint) if found.contains(&endpoint) => {
                problems.add(
                    "config-duplicate",
                    &place,
                    format!("{endpoint} is listed twice"),
                    "list it once",
                );
            }
            Ok(endpoint) => {
                if endpoint.ip().is_unspecified() {
                    let what =
                        format!("{endpoint} is every address of the gateway, so clients can ask as well");
                    let mend = "list the gateway's addresses that face slices instead";
                    problems.note("config-open", &place, what, mend);
                }
                found.push(endpoint);
            }
        }
    }
    found
}

fn endpoint(text: &str) -> Result<SocketAddr, (String, String)> {
    let form = "write an address and a port, such as \"10.1.0.1:8470\" or \"[fd00:1::1]:8470\"";
    let Ok(endpoint) = text.parse::<SocketAddr>() else {
        let mend = match text.parse::<IpAddr>() {
            Ok(addr) => format!("add the port: \"{}\"", SocketAddr::new(addr, 8470)),
            Err(_) => form.to_owned(),
        };
        return Err((format!("{text:?} is not an address with a port"), mend));
    };
    if endpoint.port() == 0 {
        return Err((format!("{endpoint} has no port"), "choose a port from 1 to 65535".to_owned()));
    }
    let ip = endpoint.ip();
    if ip.is_unspecified() || ip.is_loopback() {
        Ok(endpoint)
    } else {
        address(&ip.to_string()).map(|_| endpoint)
    }
}

fn table_size(raw: &At<i64>, problems: &mut Problems<'_>) -> Option<u32> {
    let size = u32::try_from(raw.value).ok().filter(|size| (MIN_FLOWS..=MAX_FLOWS).contains(size));
    if size.is_none() {
        let what = format!("a flow table of {} entries is not possible", raw.value);
        problems.add("config-range", &raw.place, what, format!("choose from {MIN_FLOWS} to {MAX_FLOWS}"));
    }
    size
}

fn lifetimes(raw: RawLifetimes, problems: &mut Problems<'_>) -> Lifetimes {
    let mut lifetime =
        |raw: Option<At<String>>, default| time(raw.as_ref(), &LIFETIME, problems).unwrap_or(default);
    Lifetimes {
        established: lifetime(raw.established, DEFAULT_LIFETIMES.established),
        half_closed: lifetime(raw.half_closed, DEFAULT_LIFETIMES.half_closed),
        closed: lifetime(raw.closed, DEFAULT_LIFETIMES.closed),
        udp: lifetime(raw.udp, DEFAULT_LIFETIMES.udp),
    }
}

#[cfg(test)]
mod tests;
