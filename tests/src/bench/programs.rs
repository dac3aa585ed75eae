//! Nanoseconds per packet of each program, by test runs in the kernel: no driver, no stack, the same
//! packet again and again, or one of very many flows.

mod cases;
mod machine;

use super::bpf::{self, Run};
use super::chart::{Bar, Better, Panel, Rank};
use super::figures::Samples;
use super::options::Effort;
use super::report::{Report, number, row};
use super::{go_on, stay_on_one_cpu};
use crate::netns::Namespace;
use crate::paint::count;
use crate::run;
use anyhow::{Context, Result, ensure};
use bg_common::names::PROGRAMS;
use cases::{Case, Manner};
use machine::{CLIENT4, Machine};
use nix::net::if_::if_nametoindex;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

/// Packets of one run that take one from the hop limit each.
const HOPS: u32 = 250;
/// Such runs in a round.
const HOP_RUNS: u32 = 1_000;
/// Where packets come in that a test run is to find the way for.
const ZONE_LINK: &str = "zone";

/// Measures this part.
pub(super) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    report.title(
        "programs",
        &format!(
            "nanoseconds per packet; medians of {} rounds of {} packets each",
            effort.program_rounds,
            count(effort.packets.into())
        ),
    )?;
    let namespace = crossing()?;
    let (machines, cases, samples) = namespace.run(|| {
        stay_on_one_cpu()?;
        let machines = [Machine::crowded()?, Machine::versatile()?];
        let [crowded, versatile] = &machines;
        let cases = cases::all(crowded, versatile)?;
        let samples = rounds(effort, report, &machines, &cases)?;
        Ok::<_, anyhow::Error>((machines, cases, samples))
    })?;
    tell(effort, report, &cases, &samples)?;
    let [machine, _] = &machines;
    tell_sizes(report, machine)?;
    let failed: Vec<_> = cases
        .iter()
        .zip(&samples)
        .filter(|(_, samples)| samples.median().is_nan())
        .map(|(case, _)| case.key)
        .collect();
    ensure!(failed.is_empty(), "without result: {}", failed.join(", "));
    Ok(())
}

/// A namespace with a way back to the client, for the program that looks it up.
fn crossing() -> Result<Namespace> {
    let namespace = Namespace::new(&run::unique())?;
    namespace.sysctl("net/ipv4/ip_forward", "1")?;
    let gateway = std::net::Ipv4Addr::new(198, 51, 100, 1);
    let mac = cases::ZONE_MAC.map(|byte| format!("{byte:02x}")).join(":");
    namespace.ip(&format!(
        "link add uplink type veth peer name {ZONE_LINK}\naddr add {gateway}/24 dev uplink\nlink set uplink up\n\
         link set {ZONE_LINK} address {mac} up\nneigh add {} lladdr 02:00:00:00:00:02 dev uplink\n",
        CLIENT4.ip()
    ))?;
    Ok(namespace)
}

fn rounds(
    effort: &Effort,
    report: &Report,
    [crowded, versatile]: &[Machine; 2],
    cases: &[Case],
) -> Result<Vec<Samples>> {
    let zone = if_nametoindex(ZONE_LINK).context(ZONE_LINK)?;
    let mut samples = vec![Samples::default(); cases.len()];
    for round in 0..=effort.program_rounds {
        let mut line = format!("round {round:>2}:");
        for (case, samples) in cases.iter().zip(&mut samples) {
            go_on()?;
            let machine = if case.versatile { versatile } else { crowded };
            let measured = one(case, machine, effort.packets, zone);
            // The first round only warms caches and branch predictors up.
            match measured {
                Ok(_) if round == 0 => {}
                Ok(nanos) => {
                    samples.push(nanos);
                    line += &format!(" {nanos:.1}");
                }
                Err(error) if round == 0 => report.line(&format!("  {} fails: {error:#}", case.key))?,
                Err(_) => samples.fail(),
            }
        }
        if round > 0 {
            report.progress(&line)?;
        }
    }
    Ok(samples)
}

/// One round of one case: nanoseconds per packet.
fn one(case: &Case, machine: &Machine, packets: u32, zone: u32) -> Result<f64> {
    let before = machine.count()?;
    let (nanos, total) = match case.manner {
        Manner::Hops => (in_bits(case, zone)?, HOPS * HOP_RUNS),
        Manner::Through(_) | Manner::Spread(_) | Manner::Ports(..) => (at_once(case, packets)?, packets),
    };
    case.proof.check(before, machine.count()?, total.into())?;
    Ok(nanos)
}

/// The thread's own time, because the kernel's account is in whole nanoseconds, and the empty program
/// takes only a few.
fn at_once(case: &Case, packets: u32) -> Result<f64> {
    let start = thread_time()?;
    let ran = bpf::run(case.program.as_fd(), Run { frame: &case.frame, repeat: packets, ifindex: 0 })?;
    let took = thread_time()?.saturating_sub(start);
    expect_action(case, ran.action)?;
    Ok(took.as_nanos() as f64 / f64::from(packets))
}

/// The mean of the kernel's own accounts, which leave out the system call; each is rounded down.
fn in_bits(case: &Case, ifindex: u32) -> Result<f64> {
    let mut sum = 0_u64;
    for _ in 0..HOP_RUNS {
        let ran = bpf::run(case.program.as_fd(), Run { frame: &case.frame, repeat: HOPS, ifindex })?;
        expect_action(case, ran.action)?;
        sum += u64::from(ran.nanos);
    }
    Ok(sum as f64 / f64::from(HOP_RUNS) + 0.5)
}

fn expect_action(case: &Case, action: u32) -> Result<()> {
    let action = action.cast_signed();
    ensure!(action == case.action, "returned {action} instead of {}", case.action);
    Ok(())
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Cases that are compared with one flow to one of few services.
const BESIDE_ONE: [(&str, &str); 3] = [
    ("tcp4_1m_flows", "flows_1m_vs_1"),
    ("tcp4_10000_services", "tcp4_10000_services_vs_1"),
    ("tcp4_8192_of_10000_services", "tcp4_10000_services_at_random_vs_1"),
];
const ONE: &str = "tcp4_established";

/// Cases that the chart shows.
const SHOWN: [(&str, &str); 6] = [
    (ONE, "TCP/IPv4"),
    ("tcp6_established", "TCP/IPv6"),
    ("udp4_established", "UDP/IPv4"),
    ("tcp4_10000_services", "10,000 services"),
    ("tcp4_1m_flows", "a million flows"),
    ("empty", "empty program"),
];

fn tell(effort: &Effort, report: &mut Report, cases: &[Case], samples: &[Samples]) -> Result<()> {
    let mut rows = vec![row(["", "ns", "lowest", "highest", "× empty"])];
    let mut plain = &Samples::default();
    let mut base = &Samples::default();
    let mut told = BTreeMap::new();
    for (case, samples) in cases.iter().zip(samples) {
        if case.proof == cases::Proof::None {
            base = samples;
            if let Manner::Through(_) = case.manner {
                plain = samples;
            }
        }
        // Making a packet one of many flows is the benchmark's work, not the program's.
        let own = match case.manner {
            Manner::Spread(_) | Manner::Ports(..) => {
                samples.map(base, |ours, wrapper| ours - wrapper).map(plain, |own, empty| own + empty)
            }
            Manner::Through(_) | Manner::Hops => samples.clone(),
        };
        let beside = if case.manner == Manner::Hops { base } else { plain };
        if case.title.is_empty() {
            continue;
        }
        let [low, high] = own.range();
        rows.push(row([
            case.title.to_owned(),
            number(own.median(), 1),
            number(low, 1),
            number(high, 1),
            number(own.ratio(beside), 2),
        ]));
        report.put(format!("{}_ns", case.key), own.median());
        if case.proof != cases::Proof::None {
            report.put(format!("{}_vs_empty", case.key), own.ratio(beside));
        }
        told.insert(case.key, own);
    }
    report.put("program_rounds", effort.program_rounds.into());
    if let Some(one) = told.get(ONE) {
        for (key, ratio) in BESIDE_ONE {
            report.put(ratio, told.get(key).map_or(f64::NAN, |own| own.ratio(one)));
        }
    }
    report.panel(panel(effort, &told));
    report.table(&rows)?;
    report.line(&format!(
        "  Of flows at random, the cost of choosing one is taken off. Those by redirect run {HOPS} packets at a\n  \
         time and are compared with an empty program that does, too."
    ))
}

fn panel(effort: &Effort, told: &BTreeMap<&str, Samples>) -> Panel {
    let bar = |(key, label): (&str, &str)| {
        let value = told.get(key)?.median();
        let rank = if key == "empty" { Rank::Limit } else { Rank::Ours };
        let text = format!("{} ns", number(value, 0));
        value.is_finite().then(|| Bar { label: label.to_owned(), value, text, rank })
    };
    Panel {
        title: "a packet through the XDP program".to_owned(),
        about: format!("nanoseconds, median of {} rounds", effort.program_rounds),
        better: Better::Lower,
        bars: SHOWN.into_iter().filter_map(bar).collect(),
    }
}

/// The size of each program, without measuring anything.
pub(super) fn sizes(report: &mut Report) -> Result<()> {
    tell_sizes(report, &Machine::bare()?)
}

fn tell_sizes(report: &mut Report, machine: &Machine) -> Result<()> {
    let mut rows = vec![row(["program", "instructions", "verified", "native bytes"])];
    for name in PROGRAMS {
        let size = machine.size(name)?;
        let cells = [size.instructions, size.verified, size.native].map(|number| count(number.into()));
        rows.push(row([name.to_owned()].into_iter().chain(cells)));
        report.put(format!("{name}_instructions"), size.instructions.into());
        report.put(format!("{name}_verified"), size.verified.into());
        report.put(format!("{name}_native_bytes"), size.native.into());
    }
    report.table(&rows)
}
