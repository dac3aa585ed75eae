//! Whether the kernel forwards packets between the interfaces.

use super::{Finding, Gateway};
use crate::dataplane::{AttachSpec, Side};
use crate::net::sysctl::{self, Families, Setting};
use std::net::IpAddr;

const TOPIC: &str = "forwarding";

pub(super) fn examine(gateway: &Gateway<'_>) -> Vec<Finding> {
    let vips = gateway.config.vips();
    let families = Families { v4: vips.iter().any(IpAddr::is_ipv4), v6: vips.iter().any(IpAddr::is_ipv6) };
    let names: Vec<_> = gateway.wiring.attach.links.iter().map(|link| link.name.as_str()).collect();
    let mut findings: Vec<_> = sysctl::forwarding_gaps(&names, families).iter().map(gap).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(TOPIC, format_args!("the kernel forwards between {}", names.join(", "))));
    }
    if families.v4 {
        findings.extend(strict(gateway, sysctl::strict_reverse_path));
    }
    findings
}

fn gap(missing: &Setting) -> Finding {
    let text =
        format!("{} is 0: the kernel does not forward packets, and bg relies on its routing", missing.name());
    if missing.path.starts_with("net/ipv6") {
        // A router does not listen to router advertisements unless told to.
        let mend = format!(
            "{missing}; before it, if the uplink learns its route by router advertisements: \
             sysctl -w net.ipv6.conf.INTERFACE.accept_ra=2"
        );
        return Finding::fail(TOPIC, text, mend);
    }
    Finding::fail(TOPIC, text, missing)
}

/// Strict filtering drops clients whose packets come in over one uplink and whose answers would leave
/// over another.
fn strict(gateway: &Gateway<'_>, is_strict: impl Fn(&str) -> bool) -> Vec<Finding> {
    // The way to bgd's own clients leads over its own interface, however strict it is.
    let own = gateway.wiring.own_link;
    let faces_clients = |link: &&AttachSpec| link.side != Side::Zone && own != Some(link.ifindex);
    let uplinks: Vec<_> = gateway.wiring.attach.links.iter().filter(faces_clients).collect();
    let the_only_way = |ifindex: u32| {
        uplinks.len() == 1 && gateway.seen.default_uplinks.iter().all(|index| *index == ifindex)
    };
    uplinks
        .iter()
        .filter(|link| !the_only_way(link.ifindex) && is_strict(&link.name))
        .map(|link| {
            Finding::warn(
                TOPIC,
                format_args!(
                    "{} drops packets of clients whose answers would not leave over it (rp_filter is \
                     strict), and it is not the only way out",
                    link.name
                ),
                Setting::new(format!("net/ipv4/conf/{}/rp_filter", link.name), 2),
            )
        })
        .collect()
}
