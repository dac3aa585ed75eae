//! Whether there is a way to each address of each slice, and somebody at its end.

use super::{Finding, Gateway};
use crate::net::{NeighbourState, Net, RouteTo};
use bg_common::Colour;
use std::net::IpAddr;

const TOPIC: &str = "slice";

/// An address of a slice and the next hop on the way to it.
struct Way<'a> {
    slice: String,
    backend: IpAddr,
    hop: IpAddr,
    ifindex: u32,
    interface: &'a str,
}

pub(super) async fn examine(gateway: &Gateway<'_>, net: &Net) -> Vec<Finding> {
    let unreachable = &gateway.wiring.unreachable;
    let mut findings: Vec<_> = unreachable.iter().map(|refusal| Finding::refused(TOPIC, refusal)).collect();
    let ways = ways(gateway);
    let hops: Vec<_> = ways.iter().map(|way| (way.ifindex, way.hop)).collect();
    match net.resolve(&hops).await {
        Ok(states) => findings.extend(ways.iter().zip(states).map(|(way, state)| judge(way, state))),
        Err(refusal) => findings.push(Finding::refused(TOPIC, &refusal)),
    }
    findings
}

fn ways<'a>(gateway: &Gateway<'a>) -> Vec<Way<'a>> {
    let mut ways = Vec::new();
    for deployment in &gateway.config.deployments {
        for (colour, slice) in Colour::BOTH.iter().zip(&deployment.slices) {
            for backend in slice {
                let Some(RouteTo::Out(route)) = gateway.seen.routes.get(backend) else { continue };
                let Some(link) = gateway.seen.link(route.ifindex) else { continue };
                ways.push(Way {
                    slice: format!("{} {colour}", deployment.name),
                    backend: *backend,
                    hop: route.next_hop(*backend),
                    ifindex: route.ifindex,
                    interface: &link.name,
                });
            }
        }
    }
    ways
}

fn judge(way: &Way<'_>, state: NeighbourState) -> Finding {
    let Way { slice, backend, hop, ifindex: _, interface } = way;
    let who = if hop == backend { "it".to_owned() } else { format!("the router {hop}") };
    match state {
        NeighbourState::Known => {
            let by = if hop == backend { String::new() } else { format!(" by way of {hop}") };
            Finding::ok(TOPIC, format_args!("{slice}: {backend} is reached over {interface}{by}"))
        }
        NeighbourState::Failed | NeighbourState::Asking => Finding::warn(
            TOPIC,
            format_args!("{slice}: {backend} is behind {interface}, but {who} does not answer there"),
            format_args!("start the slice or correct its address, then check: ping -c1 {hop}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn who_does_not_answer_is_named() {
        let way = |hop: &str| Way {
            slice: "shop green".to_owned(),
            backend: "10.2.0.2".parse().unwrap(),
            hop: hop.parse().unwrap(),
            ifindex: 5,
            interface: "to-green",
        };
        let rows = [
            ("10.2.0.2", NeighbourState::Known, Level::Ok, "10.2.0.2 is reached over to-green"),
            ("10.9.0.1", NeighbourState::Known, Level::Ok, "over to-green by way of 10.9.0.1"),
            ("10.2.0.2", NeighbourState::Failed, Level::Warn, "it does not answer"),
            ("10.9.0.1", NeighbourState::Asking, Level::Warn, "the router 10.9.0.1 does not answer"),
        ];
        for (hop, state, level, text) in rows {
            let finding = judge(&way(hop), state);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.text.contains(text), "{finding:?}");
            let mend = finding.mend.unwrap_or_default();
            assert_eq!(mend.contains(&format!("ping -c1 {hop}")), level == Level::Warn, "{mend}");
        }
    }
}
