//! Makes a [`Config`] of what was typed, or notes everything that is wrong with it. Each value is
//! judged by itself here; what several of them claim together is for `claims`.

use super::claims::Claims;
use super::problems::{At, Place, Problems};
use super::raw::{Raw, RawDeployment, RawGateway, RawLifetimes, RawService};
use super::read::{NumberOrWord, nearest};
use super::{Attach, Config, DEFAULT_LIFETIMES, Deployment, Gateway, Instance, Name, PathChoice, Service};
use crate::dataplane::{Lifetimes, Protocol};
use crate::paths;
use bg_common::{Colour, names};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Most entries of a flow table: 16 million, about 2 GiB of kernel memory.
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
    Some(Config { gateway, deployments })
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

const PROTOCOL: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];

const COLOUR: &[(&str, Colour)] = &[("blue", Colour::Blue), ("green", Colour::Green)];

/// One of a few words.
fn choice<T: Copy>(raw: Option<At<String>>, all: &[(&str, T)], problems: &mut Problems<'_>) -> Option<T> {
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
    let size = u32::try_from(raw.value).ok().filter(|size| (1..=MAX_FLOWS).contains(size));
    if size.is_none() {
        let what = format!("a flow table of {} entries is not possible", raw.value);
        problems.add("config-range", &raw.place, what, format!("choose from 1 to {MAX_FLOWS}"));
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

fn deployment(raw: RawDeployment, claims: &mut Claims, problems: &mut Problems<'_>) -> Option<Deployment> {
    let name = name("deployment", &raw.name, problems);
    let initial = choice(raw.initial, COLOUR, problems).unwrap_or(Colour::Blue);
    let [blue, green] = raw.slices;
    let blue = blue.map(|raw| addresses("a slice", raw, problems));
    let green = green.map(|raw| addresses("a slice", raw, problems));
    if raw.services.is_empty() {
        let what = "the deployment has no service";
        let mend = format!("add [{}.service.NAME] with `vips` and `port`", raw.name.place.key);
        problems.add("config-empty", &raw.name.place, what, mend);
    }
    let mut services = Vec::new();
    for raw in raw.services {
        services.extend(service(raw, problems));
    }
    let (name, blue, green) = (name?, blue?, green?);
    let [blue, green] = claims.add(&name, [blue, green], &services, problems);
    let services = services.into_iter().map(|service| service.service).collect();
    Some(Deployment { name, initial, slices: [blue, green], services })
}

/// A service that is fine by itself, with the places that conflicts are reported at.
pub(super) struct Checked {
    pub(super) service: Service,
    pub(super) vips: Vec<At<IpAddr>>,
    pub(super) backend_port: Place,
}

fn service(raw: RawService, problems: &mut Problems<'_>) -> Option<Checked> {
    let name = name("service", &raw.name, problems);
    let vips = raw.vips.map(|raw| addresses("`vips`", raw, problems));
    let protocol = match raw.protocol {
        Some(At { value, place }) if value == "any" => {
            let what = "a service for any protocol is not supported";
            problems.add(
                "config-unsupported",
                &place,
                what,
                "make one service for \"tcp\" and one for \"udp\"",
            );
            None
        }
        None => Some(Protocol::Tcp),
        some => choice(some, PROTOCOL, problems),
    };
    let port_place = raw.port.as_ref().map(|port| port.place.clone());
    let port = raw.port.map(|raw| port(raw, problems));
    let own_place = raw.backend_port.as_ref().map(|port| port.place.clone());
    let backend_port = raw.backend_port.map_or(port, |raw| Some(self::port(raw, problems)));
    let (vips, port, backend_port) = (vips?, port??, backend_port??);
    let service = Service {
        name: name?,
        protocol: protocol?,
        vips: vips.iter().map(|vip| vip.value).collect(),
        port,
        backend_port,
    };
    Some(Checked { service, vips, backend_port: own_place.or(port_place)? })
}

fn name(of: &str, At { value, place }: &At<String>, problems: &mut Problems<'_>) -> Option<Name> {
    Name::parse(value)
        .map_err(|why| {
            problems.add("config-name", place, format!("the {of} name {value:?} {why}"), Name::RULE);
        })
        .ok()
}

fn port(At { value, place }: At<NumberOrWord>, problems: &mut Problems<'_>) -> Option<NonZeroU16> {
    let (code, what, mend) = match value {
        NumberOrWord::Number(number) => {
            if let Some(port) = u16::try_from(number).ok().and_then(NonZeroU16::new) {
                return Some(port);
            }
            ("config-range", format!("port {number} is out of range"), "choose from 1 to 65535")
        }
        NumberOrWord::Word(word) if word == "any" => {
            let what = "a service for any port is not supported".to_owned();
            ("config-unsupported", what, "make one service for each port")
        }
        NumberOrWord::Word(word) => {
            ("config-type", format!("port {word:?} is a text"), "write the number without quotes")
        }
    };
    problems.add(code, &place, what, mend);
    None
}

/// Addresses that can be a VIP or a backend, each once.
fn addresses(of: &str, raw: At<Vec<At<String>>>, problems: &mut Problems<'_>) -> Vec<At<IpAddr>> {
    if raw.value.is_empty() {
        problems.add(
            "config-empty",
            &raw.place,
            format!("{of} has no address"),
            "list at least one IP address",
        );
    }
    let mut addrs: Vec<At<IpAddr>> = Vec::new();
    for At { value, place } in raw.value {
        match address(&value) {
            Err((what, mend)) => problems.add("config-address", &place, what, mend),
            Ok(addr) if addrs.iter().any(|known| known.value == addr) => {
                problems.add("config-duplicate", &place, format!("{addr} is listed twice"), "list it once");
            }
            Ok(value) => addrs.push(At { value, place }),
        }
    }
    addrs
}

fn address(text: &str) -> Result<IpAddr, (String, String)> {
    let addr: IpAddr = text.parse().map_err(|_| {
        let bare = text.split_once('/').filter(|(addr, _)| addr.parse::<IpAddr>().is_ok());
        let mend = match bare {
            Some((addr, _)) => format!("leave the prefix length out: \"{addr}\""),
            None => "write an IPv4 or IPv6 address, such as \"192.0.2.10\" or \"2001:db8::10\"".to_owned(),
        };
        (format!("{text:?} is not an IP address"), mend)
    })?;
    let kind = match addr {
        _ if addr.is_unspecified() => "the unspecified address",
        _ if addr.is_loopback() => "a loopback address",
        _ if addr.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => {
                let what = format!("{addr} is an IPv4 address in IPv6 form");
                return Err((what, format!("write it as \"{v4}\"")));
            }
            None => return Ok(addr),
        },
        IpAddr::V4(_) => return Ok(addr),
    };
    Err((format!("{addr} is {kind}"), "write a unicast address that can be routed".to_owned()))
}
