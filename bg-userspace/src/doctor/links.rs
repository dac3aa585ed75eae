//! Whether the interfaces suit the way they are hooked.

use super::attachments::has_our_xdp;
use super::{Finding, Gateway};
use crate::dataplane::{Attachment, Hook};
use crate::net::offload::{self, Offloads};
use crate::net::{Link, LinkKind, XdpMode};
use crate::refusal::Refusal;
use crate::wiring::XDP_MTU;

const TOPIC: &str = "link";

pub(super) fn examine(gateway: &Gateway<'_>, attached: Result<&[Attachment], &Refusal>) -> Vec<Finding> {
    let vlans = gateway.seen.links.iter().any(|link| link.kind == LinkKind::Other("vlan".to_owned()));
    let mut findings = Vec::new();
    for spec in &gateway.wiring.attach.links {
        let Some(link) = gateway.seen.link(spec.ifindex) else { continue };
        // Not knowing what is attached, nothing is called foreign.
        let ours = attached.map_or(true, |attached| has_our_xdp(attached, link.index));
        findings.push(state(link));
        findings.extend(foreign_program(link, spec.hook, ours));
        findings.extend(by_xdp(link, spec.hook, offload::read(&link.name).ok(), vlans));
    }
    findings
}

fn state(link: &Link) -> Finding {
    let Link { name, mtu, .. } = link;
    if link.up {
        Finding::ok(TOPIC, format_args!("{name} is up, MTU {mtu}"))
    } else {
        Finding::fail(TOPIC, format_args!("{name} is down"), format_args!("ip link set {name} up"))
    }
}

/// An XDP program that bg has not attached sees packets first, or keeps bg's own from being attached.
fn foreign_program(link: &Link, hook: Hook, ours: bool) -> Option<Finding> {
    let xdp = link.xdp.filter(|_| !ours)?;
    let (name, program) = (&link.name, xdp.program);
    let mode = match xdp.mode {
        XdpMode::Native => "xdpdrv",
        XdpMode::Generic => "xdpgeneric",
        XdpMode::Other => "xdp",
    };
    let look = format!("look at it by `bpftool prog show id {program}`");
    Some(if hook == Hook::Tc {
        Finding::warn(
            TOPIC,
            format_args!(
                "{name} has an XDP program of somebody else (id {program}), which sees packets before bg"
            ),
            look,
        )
    } else {
        Finding::fail(
            TOPIC,
            format_args!(
                "{name} has an XDP program of somebody else (id {program}), and there is room for one"
            ),
            format_args!("{look}; take it off by `ip link set {name} {mode} off`, or set attach = \"tc\""),
        )
    })
}

fn by_xdp(link: &Link, hook: Hook, offloads: Option<Offloads>, vlans: bool) -> Vec<Finding> {
    let Link { name, mtu, .. } = link;
    let mut findings = Vec::new();
    if hook == Hook::Tc {
        return findings;
    }
    if hook == Hook::Xdp && *mtu > XDP_MTU {
        findings.push(Finding::fail(
            TOPIC,
            format_args!("{name} has MTU {mtu}, and drivers take XDP up to about {XDP_MTU}"),
            format_args!("ip link set {name} mtu 1500, or set attach = \"tc\""),
        ));
    }
    if matches!(link.kind, LinkKind::Veth(_)) {
        findings.push(Finding::warn(
            TOPIC,
            format_args!(
                "{name} is a veth hooked by XDP: a sender at its other end leaves checksums unfinished, \
                 which XDP cannot see; from here it cannot be checked"
            ),
            "at the other end: ethtool -K INTERFACE tx off; or here: attach = \"tc\"",
        ));
    }
    let Some(offloads) = offloads else { return findings };
    if offloads.lro {
        findings.push(Finding::fail(
            TOPIC,
            format_args!("{name} merges received packets (LRO), which XDP does not go with"),
            format_args!("ethtool -K {name} lro off"),
        ));
    }
    if offloads.rx_vlan && vlans && link.kind == LinkKind::Device {
        findings.push(Finding::warn(
            TOPIC,
            format_args!("{name} takes VLAN tags off before XDP, which then cannot tell tagged frames apart"),
            format_args!("ethtool -K {name} rxvlan off"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::net::{PeerEnd, Xdp};

    const QUIET: Offloads = Offloads { tx_checksum: true, gro: true, lro: false, rx_vlan: true };

    fn link(kind: LinkKind) -> Link {
        Link {
            index: 2,
            name: "eth0".to_owned(),
            kind,
            ethernet: true,
            mtu: 1500,
            mac: None,
            up: true,
            xdp: None,
        }
    }

    #[test]
    fn a_foreign_program_blocks_xdp_and_precedes_tc() {
        let link = Link { xdp: Some(Xdp { program: 42, mode: XdpMode::Native }), ..link(LinkKind::Device) };
        let rows = [
            (Hook::Xdp, false, Some((Level::Fail, "ip link set eth0 xdpdrv off"))),
            (Hook::Tc, false, Some((Level::Warn, "bpftool prog show id 42"))),
            (Hook::Xdp, true, None),
        ];
        for (hook, ours, want) in rows {
            match (foreign_program(&link, hook, ours), want) {
                (None, None) => {}
                (Some(finding), Some((level, mend))) => {
                    assert_eq!(finding.level, level, "{finding:?}");
                    assert!(finding.mend.clone().unwrap().contains(mend), "{finding:?}");
                }
                (found, want) => panic!("{found:?} instead of {want:?}"),
            }
        }
    }

    #[test]
    fn what_xdp_does_not_go_with_is_named() {
        let device = || link(LinkKind::Device);
        let veth = || link(LinkKind::Veth(PeerEnd::Elsewhere));
        let lro = Offloads { lro: true, ..QUIET };
        let rows = [
            ("a plain device", device(), Hook::Xdp, QUIET, false, vec![]),
            ("LRO", device(), Hook::Xdp, lro, false, vec!["ethtool -K eth0 lro off"]),
            ("LRO with tc", device(), Hook::Tc, lro, false, vec![]),
            ("VLANs", device(), Hook::Xdp, QUIET, true, vec!["ethtool -K eth0 rxvlan off"]),
            ("a veth", veth(), Hook::Xdp, QUIET, false, vec!["tx off"]),
            (
                "a wide veth",
                Link { mtu: 9000, ..veth() },
                Hook::Xdp,
                QUIET,
                false,
                vec!["mtu 1500", "tx off"],
            ),
            (
                "jumbo frames in generic mode",
                Link { mtu: 9000, ..device() },
                Hook::XdpGeneric,
                QUIET,
                false,
                vec![],
            ),
        ];
        for (what, link, hook, offloads, vlans, want) in rows {
            let findings = by_xdp(&link, hook, Some(offloads), vlans);
            assert_eq!(findings.len(), want.len(), "{what}: {findings:?}");
            for (finding, mend) in findings.iter().zip(want) {
                assert!(finding.mend.clone().unwrap().contains(mend), "{what}: {finding:?}");
            }
        }
    }
}
