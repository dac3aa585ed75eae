//! Real traffic through a gateway, with bg and without: client – gateway – blue, one network of
//! namespaces for each variant, all alike. The variants take turns, case by case and round by round.

mod bulk;
mod http;
pub(super) mod lab;
mod packets;
mod peers;
mod tell;
pub(super) mod variant;

use super::figures::Samples;
use super::go_on;
use super::options::Effort;
use super::report::{Report, number};
use crate::paint::count;
use anyhow::{Result, ensure};
use lab::Lab;
use tell::tell;
use variant::Variant;

/// What is done with a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Case {
    /// A connection for each request.
    Connections,
    /// Requests on connections that are kept.
    Requests,
    /// One TCP stream to the slice.
    Up,
    /// One TCP stream from the slice.
    Down,
    /// Datagrams of 60 bytes to the slice, of so many established flows.
    Packets(u16),
}

impl Case {
    const ALL: [Self; 6] = [
        Self::Connections,
        Self::Requests,
        Self::Up,
        Self::Down,
        Self::Packets(1),
        Self::Packets(packets::MANY),
    ];

    const fn key(self) -> &'static str {
        match self {
            Self::Connections => "newconn",
            Self::Requests => "keepalive",
            Self::Up => "bulk_up",
            Self::Down => "bulk_down",
            Self::Packets(1) => "pps60",
            Self::Packets(_) => "pps60_many",
        }
    }

    fn title(self) -> String {
        match self {
            Self::Connections => "new connections".to_owned(),
            Self::Requests => "keep-alive requests".to_owned(),
            Self::Up => "bulk to the slice".to_owned(),
            Self::Down => "bulk from the slice".to_owned(),
            Self::Packets(1) => "60-byte UDP, 1 flow".to_owned(),
            Self::Packets(flows) => format!("60-byte UDP, {} flows", count(flows.into())),
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Connections | Self::Requests => "per second",
            Self::Up | Self::Down => "Gbit/s",
            Self::Packets(_) => "packets per second of one CPU",
        }
    }

    /// Above a column.
    fn heading(self) -> String {
        match self {
            Self::Connections => "new conn/s".to_owned(),
            Self::Requests => "keep-alive/s".to_owned(),
            Self::Up => "up Gbit/s".to_owned(),
            Self::Down => "down Gbit/s".to_owned(),
            Self::Packets(1) => "60 B UDP/s".to_owned(),
            Self::Packets(flows) => format!("{} flows", count(flows.into())),
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => number(value, 0),
            Self::Up | Self::Down => number(value, 1),
            Self::Connections | Self::Requests | Self::Packets(_) => count(value.round() as u64),
        }
    }
}

/// Measures this part.
pub(super) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    report.title(
        "network",
        &format!(
            "client – gateway – blue on veth pairs; medians of {} rounds of {} s (packets {:?})",
            effort.network_rounds, effort.seconds, effort.burst
        ),
    )?;
    let mut labs = Vec::new();
    let mut broken = 0;
    for variant in Variant::ALL {
        go_on()?;
        let reason = match peers::missing(variant) {
            // What is not installed is left out; what does not work is a failure besides.
            Some(reason) => reason,
            None => match Lab::new(variant) {
                Ok(lab) => {
                    labs.push(lab);
                    continue;
                }
                Err(error) if variant == Variant::Plain => return Err(error.context(variant.title())),
                Err(error) => {
                    broken += 1;
                    format!("{error:#}")
                }
            },
        };
        report.line(&format!("  SKIP {}: {reason}", variant.title()))?;
        report.name(format!("skipped_{}", variant.key()), &reason);
    }
    let names: Vec<&str> = labs.iter().map(|lab| lab.variant.title()).collect();
    report.progress(&format!("in this order: {}", names.join(" | ")))?;
    let (samples, failed) = rounds(effort, report, &labs)?;
    let variants: Vec<Variant> = labs.iter().map(|lab| lab.variant).collect();
    tell(effort, report, &variants, &samples)?;
    let lost: u64 = labs.iter().map(|lab| lab.failures.get()).sum();
    report.put("failed_requests", lost as f64);
    if lost > 0 {
        report.line(&format!("  {} requests failed", count(lost)))?;
    }
    ensure!(failed == 0, "{failed} measurements failed, as said above");
    ensure!(broken == 0, "{broken} variants do not work here, as said above");
    Ok(())
}

/// By case and lab; and how many measurements failed.
fn rounds(effort: &Effort, report: &Report, labs: &[Lab]) -> Result<(Vec<Vec<Samples>>, u32)> {
    let mut samples = vec![vec![Samples::new(); labs.len()]; Case::ALL.len()];
    let mut failed = 0;
    for round in 0..effort.network_rounds as usize {
        for (case, samples) in Case::ALL.into_iter().zip(&mut samples) {
            let mut turn: Vec<_> = labs.iter().zip(samples.iter_mut()).collect();
            // Whoever comes first has the machine as the case before left it.
            turn.rotate_left(round % labs.len().max(1));
            for (lab, samples) in turn {
                go_on()?;
                if !lab.variant.can(case) {
                    samples.fail();
                    continue;
                }
                match one(effort, case, lab) {
                    Ok(value) => samples.push(value),
                    Err(error) => {
                        samples.fail();
                        failed += 1;
                        let (what, who) = (case.title(), lab.variant.title());
                        report.line(&format!("  {what} with {who} failed: {error:#}"))?;
                    }
                }
            }
            let line: Vec<String> = samples.iter().map(|samples| case.show(samples.last())).collect();
            report.progress(&format!("round {}, {}: {}", round + 1, case.title(), line.join("  ")))?;
        }
    }
    Ok((samples, failed))
}

/// One round of one case in one network.
fn one(effort: &Effort, case: Case, lab: &Lab) -> Result<f64> {
    match case {
        Case::Connections => http::connections(lab, effort.seconds),
        Case::Requests => http::requests(lab, effort.seconds),
        Case::Up => bulk::up(lab, effort.seconds),
        Case::Down => bulk::down(lab, effort.seconds),
        Case::Packets(flows) => packets::rate(lab, flows, effort.burst),
    }
}
