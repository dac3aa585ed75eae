//! Makes a [`Config`] of what was typed, or notes everything that is wrong with it. The gateway is
//! judged here, each deployment by `services`, and what they claim together by `claims`.

use super::claims::Claims;
use super::problems::{At, Place, Problems};
use super::raw::{Raw, RawGateway, RawLifetimes};
use super::read::nearest;
use super::services::deployment;
use super::{Attach, Config, DEFAULT_LIFETIMES, DEFAULT_PROBE_ADDRESSES, Gateway, Instance, PathChoice};
use crate::dataplane::{Lifetimes, Protocol};
use crate::paths;
use bg_common::{Colour, names};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Most entries of a flow table: 16 million, about 2 GiB of kernel memory.
/// Below this, the kernel's batches of LRU entries, one for each CPU, leave next to nothing to use.
const MIN_FLOWS: u32 = 1024;
const MAX_FLOWS: u32 = 1 << 24;

const LIFETIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);

/// Longest interface name (`IFNAMSIZ` less its final zero).
const MAX_INTERFACE: usize = 15;

/// Longest path of a Unix socket (`sun_path` less its final zero).
const MAX_SOCKET: usize = 107;

/// Judges `raw`; `None` when something was found that leaves no configuration to speak of.
pub(super) fn config(raw: Raw, problems: &mut Problems<'_>) -> Option<Config> {
    let top = Place { span: 0..0, key: String::new() };
    let gateway = gateway(raw.gateway, problems);
    if raw.deployments.is_empty() {
        let mend = "add a [deployment.NAME] with its slices and a service";
        problems.add("config-empty", &top, "there is no deployment", mend);
    }
    let mut claims = Claims::default();
    let mut deployments = Vec::new();
    for raw in raw.deployments {
        deployments.extend(deployment(raw, &mut claims, problems));
    }
    claims.settle(&top, problems);
    Some(Config { gateway, deployments, leaving: Vec::new(), notes: Vec::new() })
}

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
        socket: raw.socket.and_then(|raw| socket(raw, problems)).unwrap_or_else(|| paths::socket(&instance)),
        journal: paths::journal(&instance),
        probe_addresses: DEFAULT_PROBE_ADDRESSES.to_vec(),
        role_listen: Vec::new(),
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

pub(super) const PROTOCOL: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];

pub(super) const COLOUR: &[(&str, Colour)] = &[("blue", Colour::Blue), ("green", Colour::Green)];

/// One of a few words.
pub(super) fn choice<T: Copy>(
    raw: Option<At<String>>,
    all: &[(&str, T)],
    problems: &mut Problems<'_>,
) -> Option<T> {
    let At { value, place } = raw?;
    if let Some((_, choice)) = all.iter().find(|(word, _)| *word == value) {
        return Some(*choice);
    }
    let words: Vec<_> = all.iter().map(|(word, _)| *word).collect();
    let mend = match nearest(&value, &words) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("use one of \"{}\"", words.join("\", \"")),
    };
    problems.add("config-choice", &place, format!("{value:?} is none of the choices"), mend);
    None
}

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

fn socket(At { value, place }: At<String>, problems: &mut Problems<'_>) -> Option<PathBuf> {
    let mend = "give an absolute path of at most 107 bytes, such as /run/bg/default/bg.sock";
    let what = if !value.starts_with('/') {
        format!("the socket's path {value:?} is not absolute")
    } else if value.len() > MAX_SOCKET {
        format!("the socket's path is {} bytes long, and {MAX_SOCKET} is the most", value.len())
    } else if value.contains('\0') || value.ends_with('/') {
        format!("{value:?} cannot be a socket's path")
    } else {
        return Some(PathBuf::from(value));
    };
    problems.add("config-socket", &place, what, mend);
    None
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
    let mut duration = |raw: Option<At<String>>, default| {
        let Some(At { value, place }) = raw else { return default };
        let mend = "write a time from 1s to 30days, such as \"2h 4m\" or \"10s\"";
        match humantime::parse_duration(&value) {
            Ok(time) if LIFETIME.contains(&time) => return time,
            Ok(_) => problems.add("config-range", &place, format!("{value:?} is out of range"), mend),
            Err(why) => {
                problems.add("config-duration", &place, format!("{value:?} is not a time: {why}"), mend);
            }
        }
        default
    };
    Lifetimes {
        established: duration(raw.established, DEFAULT_LIFETIMES.established),
        half_closed: duration(raw.half_closed, DEFAULT_LIFETIMES.half_closed),
        closed: duration(raw.closed, DEFAULT_LIFETIMES.closed),
        udp: duration(raw.udp, DEFAULT_LIFETIMES.udp),
    }
}
