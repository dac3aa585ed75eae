//! Judges what decides where new flows go: previews, weights, affinity and the canary.

use super::problems::{At, Problems};
use super::services::address;
use super::values::{among, choice, number};
use crate::dataplane::Protocol;
use crate::model::policy::FateChoice;
use crate::prefix::Prefix;
use bg_common::{Aim, Colour};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where a preview can lead.
const AIM: &[(&str, Aim)] = &[("other", Aim::Other), ("blue", Aim::Blue), ("green", Aim::Green)];

const BY_CLIENT: &[(&str, bool)] = &[("client", true), ("connection", false)];

const ON_SWITCH: &[(&str, FateChoice)] =
    &[("keep", FateChoice::Keep), ("reset", FateChoice::Reset), ("move", FateChoice::Move)];

/// The heaviest weight.
const HEAVIEST: i64 = 256;

/// Whether something goes by the client's address and not by its connections.
pub(super) fn by_client(raw: Option<At<String>>, problems: &mut Problems<'_>) -> Option<bool> {
    choice(raw, BY_CLIENT, problems)
}

/// What a service's flows meet at a switch, where the deployment's stay.
pub(super) fn on_switch(
    raw: Option<At<String>>,
    protocol: Option<Protocol>,
    problems: &mut Problems<'_>,
) -> FateChoice {
    let place = raw.as_ref().map(|raw| raw.place.clone());
    let fate = choice(raw, ON_SWITCH, problems).unwrap_or_default();
    if let (FateChoice::Move, Some(Protocol::Tcp), Some(place)) = (fate, protocol, place) {
        let what = "TCP connections cannot move";
        problems.add("config-choice", &place, what, "use \"keep\" or \"reset\"");
    }
    fate
}

/// VIPs that lead elsewhere than to the live colour.
pub(super) fn preview_vips(
    raw: Vec<(At<String>, At<String>)>,
    problems: &mut Problems<'_>,
) -> Vec<(At<IpAddr>, Aim)> {
    let mut vips: Vec<(At<IpAddr>, Aim)> = Vec::new();
    for (At { value, place }, aim) in raw {
        match address(&value) {
            Err((what, mend)) => problems.add("config-address", &place, what, mend),
            Ok(addr) if vips.iter().any(|(known, _)| known.value == addr) => {
                problems.add("config-duplicate", &place, format!("{addr} is listed twice"), "list it once");
            }
            Ok(value) => vips.extend(self::aim(aim, problems).map(|aim| (At { value, place }, aim))),
        }
    }
    vips
}

/// Clients that are led elsewhere than to the live colour.
pub(super) fn previews(
    raw: Vec<(At<String>, At<String>)>,
    problems: &mut Problems<'_>,
) -> Vec<(Prefix, Aim)> {
    let mut rules: BTreeMap<Prefix, Aim> = BTreeMap::new();
    for (At { value, place }, aim) in raw {
        match value.parse::<Prefix>() {
            Err(why) => {
                let mend = "write the clients' network, such as \"203.0.113.0/24\" or \"2001:db8::/32\"";
                problems.add("config-prefix", &place, why.to_string(), mend);
            }
            Ok(prefix) if prefix.covers_ipv4() => {
                let what = format!("{prefix} has IPv4 clients in it, which bg knows as ::ffff:0:0/96");
                problems.add("config-prefix", &place, what, Prefix::LESS);
            }
            Ok(prefix) if rules.contains_key(&prefix) => {
                problems.add("config-duplicate", &place, format!("{prefix} is listed twice"), "list it once");
            }
            Ok(prefix) => rules.extend(self::aim(aim, problems).map(|aim| (prefix, aim))),
        }
    }
    rules.into_iter().collect()
}

fn aim(raw: At<String>, problems: &mut Problems<'_>) -> Option<Aim> {
    if matches!(raw.value.as_str(), "staging" | "standby") {
        let what = format!("{:?} is a role, which a slice has for a while", raw.value);
        problems.add(
            "config-choice",
            &raw.place,
            what,
            "use \"other\": it leads to whichever colour is not live",
        );
        return None;
    }
    choice(Some(raw), AIM, problems)
}

/// The weights of machines of `[blue, green]`; where a service has `whole` addresses, each has one machine alone.
pub(super) fn weights(
    raw: Vec<(At<String>, At<i64>)>,
    slices: &[Vec<IpAddr>; 2],
    whole: bool,
    problems: &mut Problems<'_>,
) -> BTreeMap<IpAddr, u16> {
    let mut weights = BTreeMap::new();
    let mut last = None;
    for (At { value, place }, weight) in raw {
        let machine = value.parse().ok().filter(|addr| slices.iter().flatten().any(|known| known == addr));
        let Some(machine) = machine else {
            let known: Vec<_> = slices.iter().flatten().map(IpAddr::to_string).collect();
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            problems.add(
                "config-address",
                &place,
                format!("{value:?} is no machine of a slice"),
                among(&value, &known),
            );
            continue;
        };
        if whole && weight.value == 0 {
            let what =
                format!("with the weight 0 {machine} would leave a whole VIP without its only machine");
            let mend = "give it a weight from 1 to 256: no machine can be drained beside `port = \"any\"`";
            problems.add("config-whole", &place, what, mend);
            continue;
        }
        last = Some(place);
        weights.extend(number(Some(weight), 0..=HEAVIEST, problems).map(|weight: u16| (machine, weight)));
    }
    for (colour, slice) in Colour::BOTH.into_iter().zip(slices) {
        for (family, v4) in [("IPv4", true), ("IPv6", false)] {
            let mut machines = slice.iter().filter(|addr| addr.is_ipv4() == v4).peekable();
            if let (Some(place), true) = (&last, machines.peek().is_some())
                && machines.all(|addr| weights.get(addr) == Some(&0))
            {
                let what =
                    format!("every {family} machine of {colour} has the weight 0, so that none serves");
                problems.add("config-range", place, what, "give one of them a weight from 1 to 256");
            }
        }
    }
    weights
}
