//! Which interfaces face the clients: those that are configured, else those of the default routes.

use crate::config::Gateway;
use crate::net::{Link, LinkKind, Survey};
use crate::refusal::Refusal;
use crate::wiring::Unreachable;

const KEY: &str = "key `uplinks` in [gateway]";

/// The uplinks, each once.
pub(super) fn choose<'a>(
    gateway: &Gateway,
    seen: &'a Survey,
    missing: Unreachable,
    notes: &mut Vec<String>,
) -> Result<Vec<&'a Link>, Refusal> {
    let mut uplinks: Vec<&Link> = Vec::new();
    if gateway.uplinks.is_empty() {
        uplinks.extend(seen.default_uplinks.iter().filter_map(|index| seen.link(*index)));
        if uplinks.is_empty() {
            return Err(Refusal::new(
                "no-uplink",
                "no uplink is named, and there is no default route to find one by",
                KEY,
                format_args!("name the interface that faces the clients: uplinks = [\"{}\"]", example(seen)),
            ));
        }
        let names: Vec<_> = uplinks.iter().map(|link| link.name.as_str()).collect();
        notes.push(format!("uplinks by default route: {}", names.join(", ")));
    }
    for name in &gateway.uplinks {
        let link = seen.link_named(name);
        let others = gateway.uplinks.iter().any(|other| seen.link_named(other).is_some());
        if link.is_none() && others && missing == Unreachable::Note {
            notes.push(format!("uplink {name} is not there: it is hooked as soon as it is"));
            continue;
        }
        let Some(link) = link else {
            return Err(Refusal::new(
                "unknown-interface",
                format_args!("there is no interface `{name}` in this network namespace"),
                KEY,
                format_args!(
                    "use one of: {}; or enter the gateway's namespace: nsenter --net=/run/netns/NAME",
                    usable(seen)
                ),
            ));
        };
        if !uplinks.contains(&link) {
            uplinks.push(link);
        }
    }
    match uplinks.iter().find(|link| !link.ethernet) {
        None => Ok(uplinks),
        Some(link) => Err(Refusal::new(
            "not-ethernet",
            format_args!(
                "interface `{}` carries no Ethernet frames, which bg needs to find its way",
                link.name
            ),
            KEY,
            format_args!("use one of: {}", usable(seen)),
        )),
    }
}

fn usable(seen: &Survey) -> String {
    let names: Vec<_> =
        seen.links.iter().filter(|link| link.ethernet).map(|link| link.name.as_str()).collect();
    if names.is_empty() { "none has Ethernet (see `ip link`)".to_owned() } else { names.join(", ") }
}

fn example(seen: &Survey) -> &str {
    let mut candidates = seen.links.iter().filter(|link| link.ethernet && link.kind != LinkKind::Loopback);
    candidates.next().map_or("eth0", |link| &link.name)
}
