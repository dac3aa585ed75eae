//! Real traffic through a gateway, with bg and without: client – gateway – blue, one network of
//! namespaces for each variant, all alike. The variants take turns, case by case and round by round.

mod bulk;
mod http;
mod lab;
mod packets;

use super::figures::Samples;
use super::go_on;
use super::options::Effort;
use super::report::{Report, number, row};
use crate::paint::count;
use anyhow::{Result, ensure};
use lab::{Lab, Variant};

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
            Self::Connections => "new connections/s".to_owned(),
            Self::Requests => "keep-alive requests/s".to_owned(),
            Self::Up => "bulk up, Gbit/s".to_owned(),
            Self::Down => "bulk down, Gbit/s".to_owned(),
            Self::Packets(1) => "60-byte UDP/s of one CPU, 1 flow".to_owned(),
            Self::Packets(flows) => format!("60-byte UDP/s of one CPU, {} flows", count(flows.into())),
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
    for variant in Variant::ALL {
        go_on()?;
        match Lab::new(variant) {
            Ok(lab) => labs.push(lab),
            // What bg is compared with has to be there.
            Err(error) if variant.is_bg() => {
                report.line(&format!("  {} is left out: {error:#}", variant.title()))?
            }
            Err(error) => return Err(error.context(variant.title())),
        }
    }
    let names: Vec<&str> = labs.iter().map(|lab| lab.variant.title()).collect();
    report.progress(&format!("in this order: {}", names.join(", ")))?;
    let (samples, failed) = rounds(effort, report, &labs)?;
    let variants: Vec<Variant> = labs.iter().map(|lab| lab.variant).collect();
    tell(report, &variants, &samples)?;
    let lost: u64 = labs.iter().map(|lab| lab.failures.get()).sum();
    report.put("failed_requests", lost as f64);
    if lost > 0 {
        report.line(&format!("  {} requests failed", count(lost)))?;
    }
    ensure!(failed == 0, "{failed} measurements failed, as said above");
    ensure!(variants.len() == Variant::ALL.len(), "some variants were left out, as said above");
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

fn tell(report: &mut Report, variants: &[Variant], samples: &[Vec<Samples>]) -> Result<()> {
    let mut rows = vec![row([""].into_iter().chain(variants.iter().map(|variant| variant.title())))];
    for (case, samples) in Case::ALL.into_iter().zip(samples) {
        let medians = samples.iter().map(|samples| case.show(samples.median()));
        rows.push(row([case.title()].into_iter().chain(medians)));
        for (variant, samples) in variants.iter().zip(samples) {
            report.put(format!("{}_{}", case.key(), variant.key()), samples.median());
        }
        for base in [Variant::Plain, Variant::Nft] {
            let of_base = variants.iter().zip(samples).find(|(variant, _)| **variant == base);
            let Some((_, beside)) = of_base else { continue };
            let ratios: Vec<f64> = samples.iter().map(|samples| samples.ratio(beside)).collect();
            rows.push(compare(report, case, base, variants, &ratios));
        }
    }
    if let Some(rounds) = samples.first().and_then(|samples| samples.first()).map(Samples::len) {
        report.put("network_rounds", rounds as f64);
    }
    report.table(&rows)?;
    report.line(
        "  * the best of bg\n\n  \
         Ends of links leave checksums and segmentation to the other side, but for the client of bg xdp, whose\n  \
         checksums are complete, as off a wire. Packets are made and forwarded by one CPU, whose time counts;\n  \
         counted and dropped at the slice's ingress by nftables; GRO is on at the gateway's uplink, so that it\n  \
         polls.",
    )
}

/// What each variant is to `base`, as a row and as figures: the best of ours under the case's own key.
fn compare(
    report: &mut Report,
    case: Case,
    base: Variant,
    variants: &[Variant],
    ratios: &[f64],
) -> Vec<String> {
    let compared = || variants.iter().zip(ratios);
    let best =
        compared().filter(|(variant, _)| variant.is_bg()).max_by(|(_, one), (_, other)| one.total_cmp(other));
    if let Some((best, ratio)) = best {
        report.put(format!("{}_vs_{}", case.key(), base.key()), *ratio);
        report.name(format!("{}_vs_{}_by", case.key(), base.key()), best.key());
    }
    let mut cells = vec![format!("  × {}", base.title())];
    for (variant, ratio) in compared() {
        if variant.is_bg() || (*variant, base) == (Variant::Nft, Variant::Plain) {
            report.put(format!("{}_{}_vs_{}", case.key(), variant.key(), base.key()), *ratio);
        }
        let mark = if best.is_some_and(|(best, _)| best == variant) { "*" } else { "" };
        cells.push(format!("{mark}{}", number(*ratio, 2)));
    }
    cells
}
