//! Whether what is attached is what the plan asks for.

use super::{Finding, Gateway};
use crate::dataplane::{AttachSpec, Attachment, Hook, Side};
use crate::refusal::Refusal;

const TOPIC: &str = "attachment";

pub(super) fn examine(gateway: &Gateway<'_>, attached: Result<&[Attachment], &Refusal>) -> Vec<Finding> {
    match attached {
        Ok(attached) => check(gateway, attached),
        Err(refusal) => vec![Finding::refused(TOPIC, refusal)],
    }
}

fn check(gateway: &Gateway<'_>, attached: &[Attachment]) -> Vec<Finding> {
    let plan = &gateway.wiring.attach;
    let instance = &gateway.config.gateway.instance;
    if attached.is_empty() {
        return vec![Finding::warn(
            TOPIC,
            format_args!("nothing of instance `{instance}` is attached: packets pass bg by"),
            "start the daemon: systemctl start bgd",
        )];
    }
    let mut findings = Vec::new();
    for spec in &plan.links {
        let here = || attached.iter().filter(|attachment| attachment.ifindex == spec.ifindex);
        let missing: Vec<_> = wanted(spec, plan.sources.contains(&spec.ifindex))
            .into_iter()
            .filter(|hook| !here().any(|attachment| fits(&attachment.hook, hook)))
            .collect();
        let present: Vec<_> =
            here().map(|attachment| format!("{} by {}", attachment.program, attachment.hook)).collect();
        findings.push(if missing.is_empty() {
            Finding::ok(TOPIC, format_args!("{}: {}", spec.name, present.join(", ")))
        } else {
            let present = if present.is_empty() { "nothing is there".to_owned() } else { present.join(", ") };
            Finding::fail(
                TOPIC,
                format_args!("{} ought to have a program at {}: {present}", spec.name, missing.join(" and ")),
                "restart the daemon, which attaches what is missing: systemctl restart bgd",
            )
        });
    }
    for attachment in attached.iter().filter(|attachment| !attachment.is_on_cgroup()) {
        if !plan.links.iter().any(|spec| spec.ifindex == attachment.ifindex) {
            let Attachment { interface, ifindex, program, hook } = attachment;
            let why = if *ifindex == 0 { "which is gone" } else { "which is not in the plan" };
            findings.push(Finding::warn(
                TOPIC,
                format_args!("{program} ({hook}) is attached to {interface}, {why}"),
                "restart the daemon, which takes it off: systemctl restart bgd",
            ));
        }
    }
    findings
}

/// Where an interface is to be hooked: names of [`Attachment::hook`], or their endings.
fn wanted(spec: &AttachSpec, source: bool) -> Vec<&'static str> {
    let ingress = match (spec.side, spec.hook) {
        (Side::Uplink | Side::Both, Hook::Xdp) => "xdp",
        (Side::Uplink | Side::Both, Hook::XdpGeneric) => "xdp-generic",
        (Side::Zone, _) | (_, Hook::Tc) => "tc ingress",
    };
    let nat: &[_] = if source { &["tc ingress-nat", "tc egress-nat"] } else { &[] };
    [&[ingress, "tc egress"], nat].concat()
}

fn fits(hook: &str, wanted: &str) -> bool {
    match wanted.strip_prefix("tc ") {
        Some(direction) => matches!(hook.split_once('-'), Some(("tcx" | "clsact", end)) if end == direction),
        None => hook == wanted,
    }
}

/// Whether one of bg's own XDP programs is on an interface.
pub(super) fn has_our_xdp(attached: &[Attachment], ifindex: u32) -> bool {
    attached.iter().any(|attachment| attachment.ifindex == ifindex && attachment.hook.starts_with("xdp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_asks_for_its_own_hooks() {
        let spec = |side, hook| AttachSpec { ifindex: 2, name: "eth0".to_owned(), side, hook };
        let rows = [
            (Side::Uplink, Hook::Xdp, "xdp + tc egress"),
            (Side::Uplink, Hook::XdpGeneric, "xdp-generic + tc egress"),
            (Side::Uplink, Hook::Tc, "tc ingress + tc egress"),
            (Side::Zone, Hook::Tc, "tc ingress + tc egress"),
            (Side::Both, Hook::Xdp, "xdp + tc egress"),
        ];
        for (side, hook, want) in rows {
            assert_eq!(wanted(&spec(side, hook), false).join(" + "), want);
            assert_eq!(
                wanted(&spec(side, hook), true).join(" + "),
                format!("{want} + tc ingress-nat + tc egress-nat")
            );
        }
    }

    #[test]
    fn a_hook_fits_in_either_form_of_tc_but_not_in_another_direction() {
        let rows = [
            ("tcx-ingress", "tc ingress", true),
            ("clsact-ingress", "tc ingress", true),
            ("tcx-egress", "tc ingress", false),
            ("tcx-ingress-nat", "tc ingress", false),
            ("clsact-egress-nat", "tc egress-nat", true),
            ("xdp", "xdp", true),
            ("xdp-generic", "xdp", false),
            ("xdp", "tc ingress", false),
        ];
        for (hook, wanted, want) in rows {
            assert_eq!(fits(hook, wanted), want, "{hook} for {wanted}");
        }
    }
}
