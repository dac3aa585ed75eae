//! Judges whom a probe asks: a service or whole machines, on which port, and through which VIPs.

use super::{Around, Kind};
use crate::config::Service;
use crate::config::problems::{At, Place, Problems};
use crate::config::raw::RawTarget;
use crate::config::read::Given;
use crate::config::services::Checked;
use crate::config::values::{among, listed, number};
use crate::dataplane::Protocol;
use std::net::SocketAddr;

/// Whom a probe asks.
#[derive(Default)]
pub(super) struct Target {
    pub(super) service: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) frontends: Vec<SocketAddr>,
}

/// How a probe asks.
pub(super) struct Asks<'p> {
    pub(super) kind: Kind,
    pub(super) protocol: Protocol,
    /// The keys of the probe.
    pub(super) given: &'p Given,
    /// Where its table begins.
    pub(super) probe: &'p Place,
}

/// What stands in the way was reported.
struct Reported;

/// `None` when it cannot be told, which was reported.
pub(super) fn target(
    raw: RawTarget,
    asks: &Asks<'_>,
    around: &Around<'_>,
    problems: &mut Problems<'_>,
) -> Option<Target> {
    let Asks { kind, protocol, given, probe } = *asks;
    let port_is_typed = given.has(&["port"]);
    let port = number::<u16>(raw.port.clone(), 1..=65_535, problems);
    let service = match &raw.service {
        Some(named) => Some(self::named(named, around, problems)?),
        None if given.has(&["service"]) => return None,
        None => only(asks, around, problems).ok()?,
    };
    let Some(Checked { service, .. }) = service else {
        if let Some(At { place, .. }) = raw.vip.filter(|vip| vip.value) {
            let mend = "name its `service`, or remove `vip`";
            problems.add("config-vip", &place, "a probe without a service has no VIP to go through", mend);
        }
        return Some(Target { port: Some(port?), ..Target::default() });
    };
    let whole = service.protocol == Protocol::Any;
    let [own, wanted] = [service.protocol, protocol].map(Protocol::word);
    if let (Some(At { place, .. }), true, false) = (&raw.service, own != wanted && !whole, port_is_typed) {
        let what = format!("{} is a {own} service, and {} probes speak {wanted}", service.name, kind.word());
        let mend =
            format!("name another service, or the `port` that answers {wanted} on the machines of this one");
        problems.add("config-service", place, what, mend);
        return None;
    }
    if whole && !port_is_typed {
        let what = format!("`port` is missing, and {} has every port", service.name);
        problems.add("config-missing", probe, what, "name the `port` to ask");
        return None;
    }
    let backend_port = service.backend_port;
    let port = if port_is_typed { port? } else { backend_port };
    let leads_there = whole || own == wanted && port == backend_port;
    let service_name = Some(service.name.to_string());
    let mut target = Target { service: service_name, port: Some(port), frontends: Vec::new() };
    let typed = raw.vip.as_ref().filter(|vip| vip.value);
    if let (Some(At { place, .. }), false) = (typed, leads_there) {
        let what = format!(
            "the VIPs of {} lead to {backend_port}/{own}, and this probe asks {port}/{wanted}",
            service.name
        );
        problems.add("config-vip", place, what, "remove `vip`, or ask the port that clients get");
    } else if raw.vip.as_ref().map_or(leads_there, |vip| vip.value) {
        target.frontends = frontends(service, typed.map(|vip| &vip.place), probe, around, problems);
        target.frontends.iter_mut().filter(|_| whole).for_each(|frontend| frontend.set_port(port));
    }
    Some(target)
}

/// The service that a probe names; `None` when there is none that could be asked, which was reported.
fn named<'d>(
    At { value, place }: &At<String>,
    around: &Around<'d>,
    problems: &mut Problems<'_>,
) -> Option<&'d Checked> {
    if !around.known.contains(value) {
        let words: Vec<_> = around.known.iter().map(String::as_str).collect();
        let what = format!("this deployment has no service {value:?}");
        problems.add("config-service", place, what, among(value, &words));
    }
    around.services.iter().find(|checked| *checked.service.name == **value)
}

/// The only service that fits a probe which names none; without one it is a probe of whole machines.
fn only<'d>(
    asks: &Asks<'_>,
    around: &Around<'d>,
    problems: &mut Problems<'_>,
) -> Result<Option<&'d Checked>, Reported> {
    let Asks { kind, protocol, given, probe } = *asks;
    // Which one it is can be told when what is wrong with the others is mended.
    if around.known.is_empty() || around.known.len() > around.services.len() {
        return Err(Reported);
    }
    let fitting: Vec<_> =
        around.services.iter().filter(|checked| checked.service.protocol == protocol).collect();
    match fitting.as_slice() {
        [one] => Ok(Some(one)),
        _ if given.has(&["port"]) => Ok(None),
        [] => {
            let what = format!(
                "no service of this deployment speaks {}, as {} probes do",
                protocol.word(),
                kind.word()
            );
            let mend = "name the `port` to ask, or choose another `kind`";
            problems.add("config-service", probe, what, mend);
            Err(Reported)
        }
        several => {
            let names = listed(several.iter().map(|checked| &checked.service.name));
            let what = format!("`service` is missing, and {names} speak {}", protocol.word());
            let mend =
                "name one of them as `service`, or the `port` to ask if the probe is of whole machines";
            problems.add("config-missing", probe, what, mend);
            Err(Reported)
        }
    }
}

/// The VIPs of `service` that can be asked. `typed` is where they were asked for, if that was written.
fn frontends(
    service: &Service,
    typed: Option<&Place>,
    probe: &Place,
    around: &Around<'_>,
    problems: &mut Problems<'_>,
) -> Vec<SocketAddr> {
    let can = |vip: &SocketAddr| around.probe_addresses.iter().any(|from| from.is_ipv4() == vip.is_ipv4());
    let (found, unasked): (Vec<_>, Vec<_>) = service.frontends().into_iter().partition(can);
    let Some(first) = unasked.first() else { return found };
    let family = if first.is_ipv4() { "IPv4" } else { "IPv6" };
    let what =
        format!("{first} of {} is not probed: `probe_addresses` has no {family} address", service.name);
    match typed {
        Some(place) if found.is_empty() => {
            let mend = "add one to `probe_addresses` in [gateway], or remove `vip`";
            problems.add("config-vip", place, what, mend);
        }
        // Who has turned all of them off knows.
        _ if around.probe_addresses.is_empty() => {}
        place => {
            let mend = "add one to `probe_addresses` in [gateway], or set `vip` to false";
            problems.note("config-vip", place.unwrap_or(probe), what, mend);
        }
    }
    found
}
