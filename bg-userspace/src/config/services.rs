//! Judges services, each value by itself, and the names and addresses of everything.

use super::choosing::{by_client, on_switch, preview_vips};
use super::problems::{At, Place, Problems};
use super::raw::RawService;
use super::read::NumberOrWord;
use super::values::choice;
use super::{Name, Service, SourceNat};
use crate::dataplane::Protocol;
use std::net::IpAddr;

/// A service that is fine by itself, with the places that conflicts are reported at.
pub(super) struct Checked {
    pub(super) service: Service,
    /// Those of previews, too.
    pub(super) vips: Vec<At<IpAddr>>,
    pub(super) backend_port: Place,
}

const SOURCE_NAT: &[(&str, SourceNat)] =
    &[("never", SourceNat::Never), ("neighbours", SourceNat::Neighbours), ("always", SourceNat::Always)];

pub(super) const PROTOCOL: &[(&str, Protocol)] =
    &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("any", Protocol::Any)];

/// Every port, and with it every protocol.
const ANY: &str = "any";

/// Addresses that one prefix may stand for.
const MOST: u32 = 256;

impl RawService {
    /// Whether it was meant to have its addresses as a whole.
    pub(super) fn is_whole(&self) -> bool {
        self.port.as_ref().is_some_and(|port| port.value == NumberOrWord::Word(ANY.to_owned()))
    }
}

/// Judges a service.
pub(super) fn service(raw: RawService, problems: &mut Problems<'_>) -> Option<Checked> {
    let name = name("service", &raw.name, problems);
    let whole = raw.is_whole();
    let vips = raw.vips.map(|raw| addresses("`vips`", raw, whole, problems));
    let protocol_place = raw.protocol.as_ref().map(|protocol| protocol.place.clone());
    let protocol = match raw.protocol {
        None if whole => Some(Protocol::Any),
        None => Some(Protocol::Tcp),
        some => choice(some, PROTOCOL, problems),
    };
    let port_place = raw.port.as_ref().map(|port| port.place.clone());
    let port = raw.port.map(|raw| port(raw, problems));
    let own_place = raw.backend_port.as_ref().map(|port| port.place.clone());
    let backend_port = raw.backend_port.map_or(port, |raw| Some(self::port(raw, problems)));
    let nat_place = raw.source_nat.as_ref().map(|nat| nat.place.clone());
    let source_nat = choice(raw.source_nat, SOURCE_NAT, problems).unwrap_or_default();
    if let (Some(protocol), Some(Some(port))) = (protocol, port)
        && (protocol == Protocol::Any) != (port == 0)
    {
        let place = protocol_place.as_ref().or(port_place.as_ref()).unwrap_or(&raw.name.place);
        let (what, mend) = if port == 0 {
            ("a service with every port has every protocol", "set `protocol` to \"any\", or leave it out")
        } else {
            (
                "a service with every protocol has every port",
                "set `port` to \"any\", or `protocol` to \"tcp\" or \"udp\"",
            )
        };
        problems.add("config-unsupported", place, what, mend);
        return None;
    }
    if let (Some(place), Some(Some(port)), Some(Some(behind))) = (&own_place, port, backend_port)
        && (port == 0) != (behind == 0)
    {
        let what = "ports stay as they are where a service has all of them";
        problems.add("config-unsupported", place, what, "leave `backend_port` out");
        return None;
    }
    if let (Some(place), Some(Some(0))) = (nat_place, port)
        && source_nat != SourceNat::Never
    {
        let what = "a service with every port has protocols for whose packets no address can stand";
        problems.add("config-unsupported", &place, what, "leave `source_nat` out, or name the ports");
        return None;
    }
    if let (Some((vip, _)), Some(Some(0))) = (raw.preview_vips.first(), port) {
        let what = "a service with every port has all of its VIPs follow the live colour";
        let mend = "leave `preview_vips` out, and lead clients by `preview` of the deployment instead";
        problems.add("config-unsupported", &vip.place, what, mend);
        return None;
    }
    let previews = preview_vips(raw.preview_vips, problems);
    let by_client = by_client(raw.affinity, problems).unwrap_or(false);
    let on_switch = on_switch(raw.on_switch, protocol, problems);
    let (mut vips, port, backend_port) = (vips?, port??, backend_port??);
    let service = Service {
        name: name?,
        protocol: protocol?,
        vips: vips.iter().map(|vip| vip.value).collect(),
        port,
        backend_port,
        source_nat,
        preview_vips: previews.iter().map(|(vip, aim)| (vip.value, *aim)).collect(),
        by_client,
        on_switch,
    };
    vips.extend(previews.into_iter().map(|(vip, _)| vip));
    Some(Checked { service, vips, backend_port: own_place.or(port_place)? })
}

/// Takes a name; `of` says of what.
pub(super) fn name(of: &str, At { value, place }: &At<String>, problems: &mut Problems<'_>) -> Option<Name> {
    Name::parse(value)
        .map_err(|why| {
            problems.add("config-name", place, format!("the {of} name {value:?} {why}"), Name::RULE);
        })
        .ok()
}

/// A port; 0 is all of them.
fn port(At { value, place }: At<NumberOrWord>, problems: &mut Problems<'_>) -> Option<u16> {
    let (code, what, mend) = match value {
        NumberOrWord::Number(number) => {
            if let Some(port) = u16::try_from(number).ok().filter(|port| *port != 0) {
                return Some(port);
            }
            ("config-range", format!("port {number} is out of range"), "choose from 1 to 65535, or \"any\"")
        }
        NumberOrWord::Word(word) if word == ANY => return Some(0),
        NumberOrWord::Word(word) => (
            "config-type",
            format!("port {word:?} is a text"),
            "write the number without quotes, or \"any\" for every port and protocol",
        ),
    };
    problems.add(code, &place, what, mend);
    None
}

/// Addresses that can be a VIP or a backend, each once. With `prefixes` a prefix stands for all of its addresses.
pub(super) fn addresses(
    of: &str,
    raw: At<Vec<At<String>>>,
    prefixes: bool,
    problems: &mut Problems<'_>,
) -> Vec<At<IpAddr>> {
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
        let listed = match value.split_once('/').filter(|_| prefixes) {
            Some((first, len)) => prefix(&value, first, len),
            None => address(&value).map(|addr| vec![addr]),
        };
        match listed {
            Err((what, mend)) => problems.add("config-address", &place, what, mend),
            Ok(listed) => {
                for value in listed {
                    if addrs.iter().any(|known| known.value == value) {
                        let what = format!("{value} is listed twice");
                        problems.add("config-duplicate", &place, what, "list it once");
                    } else {
                        addrs.push(At { value, place: place.clone() });
                    }
                }
            }
        }
    }
    addrs
}

/// The addresses of a prefix, or what is wrong with it and what mends it.
fn prefix(text: &str, first: &str, len: &str) -> Result<Vec<IpAddr>, (String, String)> {
    let base = address(first)?;
    let (width, bits): (u32, u128) = match base {
        IpAddr::V4(v4) => (32, u32::from(v4).into()),
        IpAddr::V6(v6) => (128, v6.into()),
    };
    let rest = len.parse::<u32>().ok().and_then(|len| width.checked_sub(len));
    let Some(rest) = rest else {
        let mend = format!("write it like this: \"{first}/{}\"", width - 4);
        return Err((format!("{text:?} is not a prefix"), mend));
    };
    if rest > MOST.ilog2() {
        let least = width - MOST.ilog2();
        let what = format!("{text:?} has more than {MOST} addresses, and each is mapped by itself");
        return Err((what, format!("use prefixes of /{least} and longer")));
    }
    let count = 1_u128 << rest;
    let addr = |bits: u128| match base {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(bits).unwrap_or_default().into()),
        IpAddr::V6(_) => IpAddr::V6(bits.into()),
    };
    if bits % count != 0 {
        let what = format!("{first} is not the first address of a prefix of that length");
        return Err((what, format!("write it as \"{}/{len}\"", addr(bits - bits % count))));
    }
    let all = (bits..bits + count).map(addr);
    all.map(|addr| address(&addr.to_string())).collect()
}

/// An address that can be a VIP or a backend, or what is wrong with `text` and what mends it.
pub(super) fn address(text: &str) -> Result<IpAddr, (String, String)> {
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
