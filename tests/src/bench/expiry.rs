//! What it costs to look through a table of a million flows: the daemon's own sweep, in CPU time of its
//! thread.

use super::figures::Samples;
use super::go_on;
use super::options::Effort;
use super::report::{Report, number, row};
use crate::paint::count;
use crate::run;
use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use bg_common::{ABI_VERSION, Addr, Colour, Flow, FlowKey, Port, Proto, Tick, Via, Word, names};
use bg_userspace::dataplane::kernel::{Kernel, OpenOptions};
use bg_userspace::dataplane::{
    BackendSpec, Dataplane, DeploymentSpec, Lifetimes, Observer, Protocol, ServiceSpec, Sweep,
};
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// As the table holds, full.
const FLOWS: u32 = 1 << 20;
/// How long ago the last packet of every flow was.
const IDLE: Duration = Duration::from_secs(10);
/// The daemon sweeps so often while nothing drains.
const EVERY: Duration = Duration::from_secs(30);

/// Measures this part.
pub(super) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    report.title(
        "expiry",
        &format!(
            "CPU time of one sweep of the daemon over {} flows; medians of {} sweeps",
            count(FLOWS.into()),
            effort.sweeps
        ),
    )?;
    let instance = Instance(run::unique());
    let options =
        OpenOptions { instance: instance.0.clone(), flows: FLOWS, half_open: names::DEFAULT_HALF_OPEN };
    let mut kernel = Kernel::open(&options)?;
    kernel.apply(&[deployment()])?;
    fill(&instance)?;
    let mut observer = kernel.observer()?;

    let fresh = |observer: &mut dyn Observer| timed(observer, IDLE * 100);
    let idle = |observer: &mut dyn Observer| timed(observer, IDLE / 10);
    let mut counting = Samples::new();
    for _ in 0..effort.sweeps {
        go_on()?;
        let (took, sweep) = fresh(&mut *observer)?;
        ensure!(sweep.pins == u64::from(FLOWS), "a sweep saw {} of {FLOWS} flows", sweep.pins);
        counting.push(took);
    }
    // Marks some, which the next pass deletes; so on until the table is empty.
    let (marked, _) = idle(&mut *observer)?;
    let (deleted, sweep) = idle(&mut *observer)?;
    ensure!(sweep.expired > 0, "idle flows are not deleted");
    let mut passes = 2_u32;
    let mut left = sweep.pins;
    while left > 0 {
        go_on()?;
        let (_, sweep) = idle(&mut *observer)?;
        passes += 1;
        ensure!(sweep.pins < left || sweep.expired == 0 && passes < 64, "{left} idle flows stay");
        left = sweep.pins;
    }

    let flows = f64::from(FLOWS);
    let line = |what: &str, took: f64, flows: f64| {
        row([what.to_owned(), number(took * 1e3, 1), number(took * 1e9 / flows, 0)])
    };
    report.table(&[
        row(["", "ms", "ns per flow"]),
        line("nothing is idle", counting.median(), flows),
        line("all is idle: marks", marked, flows),
        line(&format!("all is idle: deletes {}", count(sweep.expired)), deleted, flows),
    ])?;
    report.put("expiry_1m_ms", counting.median() * 1e3);
    report.put("expiry_1m_mark_ms", marked * 1e3);
    report.put("expiry_1m_delete_ms", deleted * 1e3);
    report.put("expiry_1m_deleted", sweep.expired as f64);
    report.put("expiry_1m_passes_to_empty", passes.into());
    report.put("expiry_sweeps", effort.sweeps.into());
    report.line(&format!(
        "  Every {} s that is {} % of one CPU. A full table of idle flows is empty after {passes} passes.",
        EVERY.as_secs(),
        number(counting.median() / EVERY.as_secs_f64() * 100.0, 2)
    ))
}

/// A data plane that nothing is attached to; gone on drop.
struct Instance(String);

impl Drop for Instance {
    fn drop(&mut self) {
        // A leftover is swept by the next run.
        drop(Kernel::remove(&self.0));
        drop(fs::remove_dir_all(Path::new(run::RUNTIME).join(&self.0)));
    }
}

/// One sweep with this lifetime for all flows: CPU seconds of this thread, and what it saw.
fn timed(observer: &mut dyn Observer, lifetime: Duration) -> Result<(f64, Sweep)> {
    let all = Lifetimes { established: lifetime, half_closed: lifetime, closed: lifetime, udp: lifetime };
    let start = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    let sweep = observer.sweep(&all)?;
    let end = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    Ok((end.saturating_sub(start).as_secs_f64(), sweep))
}

fn deployment() -> DeploymentSpec {
    let at = |host, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), port);
    let slice = |host| vec![BackendSpec::serving(at(host, 8080), Via::Stack, 0)];
    DeploymentSpec {
        name: "bench".to_owned(),
        initial: Word::initial(Colour::Blue),
        services: vec![ServiceSpec {
            name: "web".to_owned(),
            protocol: Protocol::Tcp,
            frontends: vec![at(10, 80)],
            backends: [slice(1), slice(2)],
            ..ServiceSpec::default()
        }],
        previews: Vec::new(),
    }
}

/// Fills the table with established flows of one service, each of a client of its own.
fn fill(instance: &Instance) -> Result<()> {
    let path = Path::new(run::PINS).join(&instance.0).join(format!("v{ABI_VERSION}")).join(names::FLOWS);
    let table = MapData::from_pin(&path).with_context(|| path.display().to_string())?;
    let mut flows: HashMap<_, FlowKey, Flow> = Map::HashMap(table).try_into()?;
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    let seen = Tick::from_nanos(now.saturating_sub(IDLE).as_nanos() as u64);
    let flow = Flow::new(0, 0, seen).with_state(Flow::ANSWERED);
    for number in 0..FLOWS {
        let client = Addr::from(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number >> 4)));
        let port = Port::from(40_000 + (number & 15) as u16);
        flows.insert(FlowKey::new(client, port, Proto::TCP, 0), flow, 0)?;
    }
    Ok(())
}
