//! Who reaches a VIP, for each kind of client.

use super::{Finding, Gateway};
use crate::dataplane::{Attachment, Side};
use crate::net::RouteTo;
use bg_common::names::SOCKET_PROGRAMS;
use bg_common::nat::FIRST_PORT;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

const TOPIC: &str = "clients";

pub(super) fn examine(gateway: &Gateway<'_>, attached: &[Attachment]) -> Vec<Finding> {
    let mut findings = vec![outside(gateway), own_processes(gateway, attached), slices(gateway)];
    findings.extend(neighbours(gateway));
    if !gateway.wiring.attach.sources.is_empty() {
        findings.extend(ports(fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok().as_deref()));
    }
    findings
}

/// Names of the interfaces that face a side, bgd's own left out.
fn names(gateway: &Gateway<'_>, faces: impl Fn(Side) -> bool) -> String {
    let own = gateway.wiring.own_link;
    let links = gateway.wiring.attach.links.iter();
    let names: BTreeSet<_> = links
        .filter(|link| own != Some(link.ifindex) && faces(link.side))
        .map(|link| link.name.as_str())
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn outside(gateway: &Gateway<'_>) -> Finding {
    let uplinks = names(gateway, |side| side != Side::Zone);
    Finding::ok(
        TOPIC,
        format_args!("outside: connections to a VIP are served when they come in over {uplinks}"),
    )
}

fn slices(gateway: &Gateway<'_>) -> Finding {
    let zones = names(gateway, |side| side != Side::Uplink);
    Finding::ok(TOPIC, format_args!("slices: they are clients, too, over {zones}"))
}

fn own_processes(gateway: &Gateway<'_>, attached: &[Attachment]) -> Finding {
    let who = "the gateway's own processes";
    if !gateway.config.gateway.local_clients {
        return Finding::ok(
            TOPIC,
            format_args!("{who} do not reach the VIPs, as configured (local_clients)"),
        );
    }
    let Some(group) = &gateway.wiring.attach.cgroup else {
        return Finding::warn(
            TOPIC,
            format_args!("{who} do not reach the VIPs: no cgroup2 file system is mounted"),
            "mount -t cgroup2 none /sys/fs/cgroup/unified; or set local_clients = false",
        );
    };
    let group = group.display();
    let hooks = attached.iter().filter(|attachment| attachment.is_on_cgroup()).count();
    if attached.is_empty() {
        Finding::ok(TOPIC, format_args!("{who} in {group} reach the VIPs once the daemon has started"))
    } else if hooks == SOCKET_PROGRAMS.len() {
        Finding::ok(
            TOPIC,
            format_args!("{who} in {group} reach the VIPs, containers apart, which are outside"),
        )
    } else {
        Finding::warn(
            TOPIC,
            format_args!(
                "{who} in {group} do not reach the VIPs: {hooks} of {} programs are attached",
                SOCKET_PROGRAMS.len()
            ),
            "look why: journalctl -u bgd; then restart it: systemctl restart bgd; or set local_clients = false",
        )
    }
}

/// Clients in one subnet with a backend, which would answer them past the gateway.
fn neighbours(gateway: &Gateway<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (wanted, planned) in gateway.config.deployments.iter().zip(&gateway.wiring.deployments) {
        for (service, plan) in wanted.services.iter().zip(&planned.services) {
            let name = format!("{}.{}", wanted.name, service.name);
            let uncovered = plan.backends.iter().flatten().filter(|backend| backend.source.is_none());
            let near: BTreeSet<_> =
                uncovered.filter_map(|backend| near(gateway, backend.addr.ip())).collect();
            findings.push(match near.into_iter().collect::<Vec<_>>().as_slice() {
                [] => Finding::ok(
                    TOPIC,
                    format_args!("neighbours: clients in one subnet with a backend of {name} are served"),
                ),
                [(shared, subnet), ..] => {
                    let text = format!(
                        "neighbours: clients in {subnet}, backends included, get no answer of {name} where the \
                         backend is in it, too"
                    );
                    let mend = format!("source_nat = \"neighbours\" in [deployment.{}.service.{}]", wanted.name, service.name);
                    // Where clients are at home, some will be there.
                    if *shared { Finding::warn(TOPIC, text, mend) } else { Finding::ok(TOPIC, text) }
                }
            });
        }
    }
    findings
}

/// The subnet that a backend is in, if the gateway is, too; and whether clients come in over its interface.
fn near(gateway: &Gateway<'_>, backend: IpAddr) -> Option<(bool, String)> {
    let RouteTo::Out(route) = gateway.seen.routes.get(&backend)? else { return None };
    let mut own = gateway.seen.addresses.iter().filter(|address| address.ifindex == route.ifindex);
    let address = own.find(|address| address.subnet_has(backend) && !address.ours)?;
    let mut links = gateway.wiring.attach.links.iter();
    let shared = links.any(|link| link.ifindex == route.ifindex && link.side == Side::Both);
    let name = &gateway.seen.link(route.ifindex)?.name;
    Some((shared, format!("the subnet of {}/{} on {name}", address.ip, address.prefix)))
}

/// Ports that stand for clients must not be those of the gateway's own sockets.
fn ports(range: Option<&str>) -> Option<Finding> {
    let mut bounds = range?.split_ascii_whitespace().map(str::parse::<u16>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    let text = "the gateway gives its own sockets ports that may stand for clients (source_nat)";
    let mend = format!("sysctl -w net.ipv4.ip_local_port_range=\"{} {}\"", first.min(32_768), FIRST_PORT - 1);
    (last >= FIRST_PORT).then(|| Finding::warn(TOPIC, format_args!("{text}: up to {last}"), mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_collide_are_told() {
        assert_eq!(ports(Some("32768\t60999\n")), None);
        let finding = ports(Some("1024\t65535\n")).unwrap();
        assert!(finding.mend.unwrap().contains("\"1024 60999\""));
        assert_eq!(ports(Some("nonsense")), None);
    }
}
