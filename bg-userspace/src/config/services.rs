//! Judges services, each value by itself, and the names and addresses of everything.

use super::choosing::{by_client, on_switch, preview_vips};
use super::problems::{At, Place, Problems};
use super::raw::RawService;
use super::read::NumberOrWord;
use super::values::choice;
use super::{Name, Service};
use crate::dataplane::Protocol;
use std::net::IpAddr;
use std::num::NonZeroU16;

/// A service that is fine by itself, with the places that conflicts are reported at.
pub(super) struct Checked {
    pub(super) service: Service,
    /// Those of previews, too.
    pub(super) vips: Vec<At<IpAddr>>,
    pub(super) backend_port: Place,
}

pub(super) const PROTOCOL: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];

/// Judges a service.
pub(super) fn service(raw: RawService, problems: &mut Problems<'_>) -> Option<Checked> {
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
pub(super) fn addresses(of: &str, raw: At<Vec<At<String>>>, problems: &mut Problems<'_>) -> Vec<At<IpAddr>> {
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
