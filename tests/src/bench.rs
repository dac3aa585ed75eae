//! The benchmark: what bg costs, each figure beside the same work without bg, taken in turns within one
//! run. It reports and asserts nothing. Everything it makes is gone when it returns, however it returns.

mod asm;
pub(crate) mod bpf;
mod chart;
mod expiry;
mod figures;
mod latency;
mod memory;
mod network;
mod options;
mod programs;
mod report;
mod services;
mod switch;

use crate::signals;
use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use report::Report;
use std::fs::{self, File};
use std::process::ExitCode;
use std::time::Instant;

pub use options::{HELP, Options, Part};

/// Measures what was asked for. A part that cannot be measured does not keep the others from being.
///
/// # Errors
///
/// When nobody reads what is told, or the chart cannot be written.
pub fn run(options: &Options) -> Result<ExitCode> {
    signals::watch()?;
    let mut report = Report::new(options.json, options.chart.clone());
    if options.sizes {
        programs::sizes(&mut report)?;
        report.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(chart) = &options.chart {
        // Better said before than after all the work.
        let opened = File::options().create(true).append(true).open(chart);
        opened.with_context(|| format!("cannot write {}", chart.display()))?;
    }
    let start = Instant::now();
    introduce(&mut report, options)?;
    let mut done = ExitCode::SUCCESS;
    for part in &options.parts {
        let effort = options.effort();
        let measured = match part {
            Part::Programs => programs::measure(&effort, &mut report),
            Part::Network => network::measure(&effort, &mut report),
            Part::Latency => latency::measure(&effort, &mut report),
            Part::Switch => switch::measure(&effort, &mut report),
            Part::Memory => memory::measure(&mut report),
            Part::Expiry => expiry::measure(&effort, &mut report),
        };
        if signals::seen() {
            crate::say("interrupted; everything is cleaned up");
            // What a shell reports for a process that ended by SIGINT.
            return Ok(ExitCode::from(130));
        }
        if let Err(error) = measured {
            crate::say(&format!("error: {} is not complete: {error:#}", part.as_str()));
            done = ExitCode::FAILURE;
        }
    }
    report.line(&format!("\ndone in {:.0} s", start.elapsed().as_secs_f64()))?;
    report.put("seconds", start.elapsed().as_secs_f64());
    report.end()?;
    Ok(done)
}

/// Says on what machine this is, because a figure alone says nothing.
fn introduce(report: &mut Report, options: &Options) -> Result<()> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("", |(_, name)| name);
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let load: f64 =
        read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    let length = if options.quick { "quick" } else { "full" };
    report.line(&format!("bg bench, {length}: Linux {kernel}, {count} × {model}, load {load}"))?;
    if load > 0.5 {
        report
            .line("The machine is busy: ratios are taken side by side and hold, absolute figures do not.")?;
    }
    report.circumstance(format!(
        "Linux {kernel}, {count} × {model}; everything in network namespaces of this one machine, on veth"
    ));
    report.circumstance(format!(
        "cargo xtask bench{}; what is compared takes turns; of bg the best way of each case; load before {load}",
        if options.quick { " --quick" } else { "" }
    ));
    report.name("kernel", &kernel);
    report.name("machine", model);
    report.put("cpus", count as f64);
    report.put("load_before", load);
    Ok(())
}

/// Ends the run after a signal; called between measurements.
fn go_on() -> Result<()> {
    if signals::seen() {
        bail!("interrupted");
    }
    Ok(())
}

/// Keeps the calling thread, and what it starts, on one CPU: the last, because interrupts like the first.
fn stay_on_one_cpu() -> Result<usize> {
    let thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(thread)?;
    let last = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let last = last.context("this thread may run nowhere")?;
    let mut one = CpuSet::new();
    one.set(last)?;
    sched_setaffinity(thread, &one)?;
    Ok(last)
}
