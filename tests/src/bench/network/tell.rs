//! What the network's rounds came to: medians of each variant, what the best of bg is to each of the
//! others, and panels of the chart.

use super::super::chart::{Bar, Better, Panel, Rank};
use super::super::figures::Samples;
use super::super::options::Effort;
use super::super::report::{Report, number, row};
use super::{Case, Variant};
use anyhow::Result;

/// With what bg is compared, and how keys and rows call it.
const BASES: [(&str, &str, &[Variant]); 7] = [
    ("plain", "plain routing", &[Variant::Plain]),
    ("nft", "nftables DNAT map", &[Variant::Nft]),
    ("haproxy", "HAProxy", &[Variant::Haproxy]),
    ("nginx", "nginx", &[Variant::Nginx]),
    ("bare_tc", "bare forward, tc", &[Variant::BareTc]),
    ("bare_xdp", "bare forward, XDP", &[Variant::BareXdp]),
    // The limit is the faster one, whatever hook the best of bg uses.
    ("bare_forward", "the faster of both", &[Variant::BareTc, Variant::BareXdp]),
];

/// Cases that the chart has a panel of.
const SHOWN: [Case; 5] = [Case::Connections, Case::Requests, Case::Up, Case::Down, Case::Packets(1)];

pub(super) fn tell(
    effort: &Effort,
    report: &mut Report,
    variants: &[Variant],
    samples: &[Vec<Samples>],
) -> Result<()> {
    medians(report, variants, samples)?;
    let mut rows = vec![row(["best of bg ÷ …".to_owned()].into_iter().chain(Case::ALL.map(Case::heading)))];
    for base in BASES {
        let (_, title, _) = base;
        let cells = Case::ALL.into_iter().zip(samples).map(|(case, samples)| {
            compare(report, case, base, variants, samples).map_or_else(
                || number(f64::NAN, 2),
                |(best, ratio)| format!("{} {}", number(ratio, 2), best.title().trim_start_matches("bg, ")),
            )
        });
        rows.push([title.to_owned()].into_iter().chain(cells).collect());
    }
    report.table(&rows)?;
    for (case, samples) in Case::ALL.into_iter().zip(samples).filter(|(case, _)| SHOWN.contains(case)) {
        report.panel(panel(effort, case, variants, samples));
    }
    report.put("network_rounds", effort.network_rounds.into());
    report.line(
        "  Ends of links leave checksums and segmentation to the other side, but for the client of those by XDP,\n  \
         whose checksums are complete, as off a wire. Packets are made and forwarded by one CPU, whose time counts;\n  \
         counted and dropped at the slice's ingress by nftables; GRO is on at the gateway's uplink, so that it\n  \
         polls. Bare forwarders neither translate nor look anything up; clients ask them, and plain routing, for\n  \
         the backend's own address. HAProxy takes as many threads as it likes, nginx one process.",
    )
}

fn medians(report: &mut Report, variants: &[Variant], samples: &[Vec<Samples>]) -> Result<()> {
    let mut rows = vec![row([String::new()].into_iter().chain(Case::ALL.map(Case::heading)))];
    let of = |variant: usize| {
        samples.iter().map(move |samples| samples.get(variant).map_or(f64::NAN, Samples::median))
    };
    for (at, variant) in variants.iter().enumerate() {
        let cells = Case::ALL.into_iter().zip(of(at)).map(|(case, median)| case.show(median));
        rows.push([variant.title().to_owned()].into_iter().chain(cells).collect());
        for (case, median) in Case::ALL.into_iter().zip(of(at)) {
            report.put(format!("{}_{}", case.key(), variant.key()), median);
        }
    }
    report.table(&rows)
}

/// What the best of ours is to a base, under the case's own key.
fn compare(
    report: &mut Report,
    case: Case,
    (base, _, among): (&str, &str, &[Variant]),
    variants: &[Variant],
    samples: &[Samples],
) -> Option<(Variant, f64)> {
    let with = |wanted: &dyn Fn(Variant) -> bool| {
        variants.iter().copied().zip(samples).filter(|(variant, _)| wanted(*variant)).collect::<Vec<_>>()
    };
    let (_, beside) = fastest(with(&|variant| among.contains(&variant)))?;
    // Each beside the kernel's own ways; beside the others, the best of ours says enough.
    let each = |variant: Variant| match base {
        "plain" => variant != Variant::Plain,
        "nft" => variant.is_bg(),
        _ => false,
    };
    for (variant, own) in with(&each) {
        report.put(format!("{}_{}_vs_{base}", case.key(), variant.key()), own.ratio(beside));
    }
    let ours = with(&Variant::is_bg).into_iter().map(|(variant, own)| (variant, own.ratio(beside)));
    let finite = ours.filter(|(_, ratio)| ratio.is_finite());
    let best = finite.max_by(|(_, one), (_, other)| one.total_cmp(other));
    if let Some((best, ratio)) = best {
        report.put(format!("{}_vs_{base}", case.key()), ratio);
        report.name(format!("{}_vs_{base}_by", case.key()), best.key());
    }
    best
}

fn fastest(all: Vec<(Variant, &Samples)>) -> Option<(Variant, &Samples)> {
    let measured = all.into_iter().filter(|(_, samples)| samples.median().is_finite());
    measured.max_by(|(_, one), (_, other)| one.median().total_cmp(&other.median()))
}

/// One bar for each that was measured, and of bg and the bare forwarders the best one.
fn panel(effort: &Effort, case: Case, variants: &[Variant], samples: &[Samples]) -> Panel {
    let of = |wanted: &dyn Fn(Variant) -> bool| {
        fastest(variants.iter().copied().zip(samples).filter(|(variant, _)| wanted(*variant)).collect())
    };
    let mut bars = Vec::new();
    let groups: [(&dyn Fn(Variant) -> bool, Rank); 6] = [
        (&Variant::is_bg, Rank::Ours),
        (&|variant| variant == Variant::Plain, Rank::Other),
        (&|variant| variant == Variant::Nft, Rank::Other),
        (&|variant| variant == Variant::Haproxy, Rank::Other),
        (&|variant| variant == Variant::Nginx, Rank::Other),
        (&Variant::is_bare, Rank::Limit),
    ];
    for (wanted, rank) in groups {
        let Some((variant, samples)) = of(wanted) else { continue };
        let value = samples.median();
        bars.push(Bar { label: variant.title().to_owned(), value, text: case.show(value), rank });
    }
    let rounds = effort.network_rounds;
    Panel {
        title: case.title(),
        about: format!("{}, median of {rounds} rounds", case.unit()),
        better: Better::Higher,
        bars,
    }
}
