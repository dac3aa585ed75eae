//! Whether the VIPs are where they belong.

use super::{Finding, Gateway};
use crate::dataplane::Protocol;
use crate::net::{Address, Survey};
use std::net::IpAddr;

const TOPIC: &str = "vip";

pub(super) fn examine(gateway: &Gateway<'_>, running: bool) -> Vec<Finding> {
    let vips = gateway.config.vips();
    let mut findings: Vec<_> =
        vips.iter().map(|vip| judge(gateway.seen, *vip, gateway.config.gateway.own_vips, running)).collect();
    let services = gateway.config.deployments.iter().flat_map(|deployment| &deployment.services);
    let whole = services.filter(|service| service.protocol == Protocol::Any);
    findings.extend(whole.flat_map(|service| &service.vips).map(|vip| lost(*vip)));
    let left_over = |address: &&Address| address.ours && !vips.contains(&address.ip);
    findings.extend(gateway.seen.addresses.iter().filter(left_over).map(|address| {
        let name = interface(gateway.seen, address.ifindex);
        let Address { ip, prefix, .. } = address;
        Finding::warn(
            TOPIC,
            format_args!("{ip} on {name} was added by bg and is no VIP of this configuration"),
            format_args!("if it belongs to no other instance: ip address del {ip}/{prefix} dev {name}"),
        )
    }));
    findings
}

/// What a whole address takes from the gateway.
fn lost(vip: IpAddr) -> Finding {
    Finding::warn(
        TOPIC,
        format_args!(
            "{vip} is the slices' with every port and protocol: nothing of the gateway answers there"
        ),
        "reach the gateway's own services, such as ssh, by another address of it",
    )
}

fn judge(seen: &Survey, vip: IpAddr, own_vips: bool, running: bool) -> Finding {
    let address = seen.addresses.iter().find(|address| address.ip == vip);
    match (address, own_vips) {
        (Some(address), _) => {
            let by = if address.ours { "added by bg" } else { "configured by somebody else" };
            Finding::ok(TOPIC, format_args!("{vip} is on {}, {by}", interface(seen, address.ifindex)))
        }
        (None, false) => Finding::ok(
            TOPIC,
            format_args!("{vip} is on no interface: its packets must be routed to this gateway"),
        ),
        (None, true) if running => Finding::fail(
            TOPIC,
            format_args!("{vip} is on no interface, so nobody in its subnet finds it"),
            "restart the daemon, which adds it: systemctl restart bgd",
        ),
        (None, true) => Finding::ok(TOPIC, format_args!("{vip} is added when the daemon starts")),
    }
}

fn interface(seen: &Survey, ifindex: u32) -> String {
    seen.link(ifindex).map_or_else(|| format!("interface {ifindex}"), |link| link.name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_missing_vip_is_as_bad_as_what_is_expected_of_bg() {
        let vip: IpAddr = "192.0.2.10".parse().unwrap();
        let with = |ours| Survey {
            addresses: vec![Address { ifindex: 2, ip: vip, prefix: 32, ours }],
            ..Survey::default()
        };
        let rows = [
            (with(true), true, true, Level::Ok, "added by bg"),
            (with(false), true, true, Level::Ok, "configured by somebody else"),
            (Survey::default(), true, true, Level::Fail, "on no interface"),
            (Survey::default(), true, false, Level::Ok, "when the daemon starts"),
            (Survey::default(), false, true, Level::Ok, "must be routed"),
        ];
        for (seen, own_vips, running, level, text) in rows {
            let finding = judge(&seen, vip, own_vips, running);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.text.contains(text), "{finding:?}");
        }
    }
}
