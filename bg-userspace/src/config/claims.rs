//! What the parts of a configuration claim together: no frontend, backend or address twice, a backend
//! for every family, and no more than the tables hold.

use super::problems::{At, Place, Problems};
use super::services::Checked;
use super::{Name, Service};
use crate::dataplane::Protocol;
use bg_common::{Colour, names};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// Everything claimed so far.
#[derive(Default)]
pub(super) struct Claims {
    frontends: HashMap<(SocketAddr, Protocol), (String, Place)>,
    backends: HashMap<(SocketAddr, Protocol), (String, Place)>,
    machines: HashMap<IpAddr, (String, Place)>,
    vips: Vec<(String, At<IpAddr>)>,
    deployments: usize,
    services: usize,
    previews: usize,
}

impl Claims {
    /// Enters a deployment; the addresses of `[blue, green]` that are left when what is in both is out.
    pub(super) fn add(
        &mut self,
        name: &Name,
        [blue, green]: [Vec<At<IpAddr>>; 2],
        services: &[Checked],
        problems: &mut Problems<'_>,
    ) -> [Vec<IpAddr>; 2] {
        self.deployments += 1;
        let parts = |checked: &Checked| if checked.service.port == 0 { checked.vips.len() } else { 1 };
        self.services += services.iter().map(parts).sum::<usize>();
        let green = apart(&blue, green, problems);
        let slices = [(Colour::Blue, &blue), (Colour::Green, &green)];
        for (colour, slice) in slices {
            for At { value, place } in slice {
                self.machines
                    .entry(*value)
                    .or_insert_with(|| (format!("{name}'s {colour} slice"), place.clone()));
            }
        }
        for service in services {
            self.frontends(name, service, problems);
            for (colour, slice) in slices {
                self.backends(name, service, colour, slice, problems);
            }
        }
        [blue, green].map(|slice| slice.into_iter().map(|addr| addr.value).collect())
    }

    /// Enters so many preview rules of a deployment; where there are some, each address that probes come from takes
    /// one entry more.
    pub(super) fn previews(&mut self, rules: usize, probe_addresses: usize) {
        self.previews += if rules > 0 { rules + probe_addresses } else { 0 };
    }

    /// Looks whether somebody has an address that probes come from; `place` is where it was typed, if it was.
    pub(super) fn probe_address(&self, addr: IpAddr, place: Option<&Place>, problems: &mut Problems<'_>) {
        let vip = self.vips.iter().find(|(_, vip)| vip.value == addr);
        let vip = vip.map(|(owner, vip)| (format!("a VIP of {owner}"), &vip.place));
        let machine = self.machines.get(&addr);
        let machine = machine.map(|(slice, place)| (format!("a machine of {slice}"), place));
        let Some((owner, owned)) = vip.or(machine) else { return };
        let what = format!("{addr} is {owner} and an address that probes come from");
        match place {
            Some(place) => {
                let mend = "probe from an address that nobody has";
                problems.add_pair("config-conflict", [place, owned], what, mend);
            }
            None => {
                let mend = "set `probe_addresses` in [gateway] to addresses that nobody has";
                problems.add("config-conflict", owned, format!("{what} unless configured"), mend);
            }
        }
    }

    /// What can be told only when everything is entered.
    pub(super) fn settle(self, top: &Place, problems: &mut Problems<'_>) {
        for (owner, vip) in &self.vips {
            if let Some((slice, place)) = self.machines.get(&vip.value) {
                let what = format!("{} is a VIP of {owner} and a machine of {slice}", vip.value);
                let mend = "give the service a VIP that no machine has";
                problems.add_pair("config-conflict", [&vip.place, place], what, mend);
            }
        }
        let addresses: HashSet<_> = self.vips.iter().map(|(_, vip)| vip.value).collect();
        let Self { frontends, backends, deployments, services, previews, .. } = self;
        for (count, most, of) in [
            (deployments, names::MAX_DEPLOYMENTS, "deployments"),
            (services, names::MAX_SERVICES, "services"),
            (frontends.len() + addresses.len(), names::MAX_FRONTENDS, "frontends (VIP and port) and VIPs"),
            // Each backend takes one position of the ring, of which there are more.
            (backends.len(), names::MAX_BACKENDS, "backends (machine, service and colour)"),
            (previews, names::MAX_PREVIEWS, "preview rules (with those that keep probes out)"),
        ] {
            if count > usize::try_from(most).unwrap_or(usize::MAX) {
                let what = format!("{count} {of} are more than the tables hold");
                let mend = format!("keep to {most} and run another instance for the rest");
                problems.add("config-limit", top, what, mend);
            }
        }
    }

    fn frontends(&mut self, deployment: &Name, checked: &Checked, problems: &mut Problems<'_>) {
        let Service { name, protocol, port, .. } = &checked.service;
        let owner = format!("{deployment}/{name}");
        for vip in &checked.vips {
            self.vips.push((owner.clone(), vip.clone()));
            let endpoint = SocketAddr::new(vip.value, *port);
            match self.frontends.entry((endpoint, *protocol)) {
                Entry::Vacant(free) => {
                    free.insert((owner.clone(), vip.place.clone()));
                }
                Entry::Occupied(taken) => {
                    let (first, place) = taken.get();
                    let what =
                        format!("{} is claimed by {first} and by {owner}", spoken(endpoint, *protocol));
                    let mend = "give one of them another VIP, port or protocol";
                    problems.add_pair("config-conflict", [&vip.place, place], what, mend);
                }
            }
        }
    }

    fn backends(
        &mut self,
        deployment: &Name,
        checked: &Checked,
        colour: Colour,
        slice: &[At<IpAddr>],
        problems: &mut Problems<'_>,
    ) {
        let Checked { service, vips, backend_port } = checked;
        let owner = format!("{deployment}/{} in {colour}", service.name);
        for (family, v4) in [("IPv4", true), ("IPv6", false)] {
            let Some(vip) = vips.iter().find(|vip| vip.value.is_ipv4() == v4) else { continue };
            // An empty slice was reported by itself.
            if !slice.is_empty() && !slice.iter().any(|addr| addr.value.is_ipv4() == v4) {
                let what =
                    format!("{} is {family}, but the {colour} slice has no {family} address", vip.value);
                let mend = format!("add one to `{colour}`, or remove the {family} VIPs");
                problems.add("config-family", &vip.place, what, mend);
            } else if service.protocol == Protocol::Any {
                let of = |addr: &&At<IpAddr>| addr.value.is_ipv4() == v4;
                let counts = [vips.iter().filter(of).count(), slice.iter().filter(of).count()];
                one_to_one(counts, family, colour, &vip.place, problems);
            }
        }
        for addr in
            slice.iter().filter(|addr| vips.iter().any(|vip| vip.value.is_ipv4() == addr.value.is_ipv4()))
        {
            let endpoint = SocketAddr::new(addr.value, service.backend_port);
            match self.backends.entry((endpoint, service.protocol)) {
                Entry::Vacant(free) => {
                    free.insert((owner.clone(), backend_port.clone()));
                }
                Entry::Occupied(taken) => {
                    let (first, place) = taken.get();
                    let at = spoken(endpoint, service.protocol);
                    let what = format!("{at} is a backend of {first} and of {owner}");
                    let mend = if service.protocol == Protocol::Any {
                        "give each of them machines of its own: a reply must tell which service it belongs to"
                    } else {
                        "let the services use different `backend_port`s, or make them one service with \
                         several VIPs: a reply must tell which service it belongs to"
                    };
                    problems.add_pair("config-conflict", [backend_port, place], what, mend);
                }
            }
        }
    }
}

/// Whole addresses are mapped one by one: a connection to any port of a VIP goes to the machine that has this VIP.
fn one_to_one(
    [vips, machines]: [usize; 2],
    family: &str,
    colour: Colour,
    place: &Place,
    problems: &mut Problems<'_>,
) {
    if vips != machines && machines != 0 {
        let what =
            format!("{vips} whole {family} VIPs, and {machines} {family} addresses in the {colour} slice");
        let mend = format!("list as many in `{colour}` as there are VIPs, in their order");
        problems.add("config-whole", place, what, mend);
    }
}

/// `green` without what is in `blue`, which is reported.
fn apart(blue: &[At<IpAddr>], green: Vec<At<IpAddr>>, problems: &mut Problems<'_>) -> Vec<At<IpAddr>> {
    let (both, green): (Vec<_>, Vec<_>) =
        green.into_iter().partition(|addr| blue.iter().any(|other| other.value == addr.value));
    for addr in both {
        let Some(other) = blue.iter().find(|other| other.value == addr.value) else { continue };
        let what = format!("{} is in the blue slice and in the green one", addr.value);
        problems.add_pair(
            "config-conflict",
            [&addr.place, &other.place],
            what,
            "a machine has one colour: remove one",
        );
    }
    green
}

/// An endpoint as it is talked about.
fn spoken(at: SocketAddr, protocol: Protocol) -> String {
    match protocol {
        Protocol::Any => format!("the whole of {}", at.ip()),
        Protocol::Tcp | Protocol::Udp => format!("{at}/{}", protocol.word()),
    }
}
