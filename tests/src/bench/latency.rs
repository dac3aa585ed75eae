//! What clients wait for answers while nothing happens, and while the live colour changes ten times a
//! second. Both take turns on one gateway.

mod load;

use super::chart::{Bar, Better, Panel, Rank};
use super::figures::{Samples, quantile};
use super::go_on;
use super::options::Effort;
use super::report::{Report, number, row};
use super::switch::socket;
use crate::client;
use crate::daemon::{Daemon, Settings, frontends, service};
use crate::paint::{count, span};
use crate::servers::Servers;
use crate::topology::{Plan, Topology};
use crate::wait;
use anyhow::{Context, Result, anyhow, ensure};
use bg_common::Colour;
use load::{Load, Outcome};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Requests a second: a small part of what server and gateway can do, so that nobody stands in line.
const RATE: u32 = 4_000;
const CONNECTIONS: usize = 16;
/// Switches a second.
const SWITCHES: u32 = 10;

/// What is told of each manner: name in keys, share of the requests that are answered by then.
const POINTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];

/// Measures this part.
pub(super) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    report.title(
        "latency",
        &format!(
            "{} requests a second on {CONNECTIONS} connections that are kept, from the time each was due; medians of \
             {} rounds of {:?}",
            count(RATE.into()),
            effort.latency_rounds,
            effort.latency
        ),
    )?;
    let topology = Topology::new(&Plan { offload: true, ..Plan::default() })?;
    let _servers = Servers::start(&topology)?;
    let daemon = Daemon::start(&topology, &Settings::hooked("tc", "redirect"))?;
    let [target, _] = frontends(service::WEB);
    wait::until("the VIP answers", wait::PATIENCE, || client::request(&topology.client, target).is_ok())?;
    let load = Load {
        target,
        connections: CONNECTIONS,
        every: Duration::from_secs(1) / RATE,
        length: effort.latency,
    };
    let mut manners = [Manner::new("quiet", "quiet"), Manner::new("switching", "10 switches a second")];
    for round in 0..effort.latency_rounds {
        let mut turn: Vec<usize> = (0..manners.len()).collect();
        turn.rotate_left(round as usize % manners.len());
        for at in turn {
            go_on()?;
            let switching = at == 1;
            let (outcome, switches) = one(&topology, &load, switching.then(|| daemon.socket()).as_deref())?;
            let Some(manner) = manners.get_mut(at) else { continue };
            manner.take(outcome, switches)?;
        }
        let line: Vec<String> = manners.iter().map(Manner::last).collect();
        report.progress(&format!("round {}: {}", round + 1, line.join("  ")))?;
    }
    tell(effort, report, &manners)
}

/// One of the two.
struct Manner {
    key: &'static str,
    title: &'static str,
    /// Seconds at each of [`POINTS`], and the longest.
    at: [Samples; POINTS.len()],
    longest: Samples,
    requests: usize,
    lost: u64,
    switches: u32,
}

impl Manner {
    const fn new(key: &'static str, title: &'static str) -> Self {
        let at = [const { Samples::new() }; POINTS.len()];
        Self { key, title, at, longest: Samples::new(), requests: 0, lost: 0, switches: 0 }
    }

    fn take(&mut self, outcome: Outcome, switches: u32) -> Result<()> {
        let mut seconds: Vec<f64> = outcome.latencies.iter().map(Duration::as_secs_f64).collect();
        ensure!(!seconds.is_empty(), "nobody answered");
        seconds.sort_unstable_by(f64::total_cmp);
        for ((_, share), samples) in POINTS.into_iter().zip(&mut self.at) {
            samples.push(quantile(&seconds, share));
        }
        self.longest.push(quantile(&seconds, 1.0));
        self.requests += seconds.len();
        self.lost += outcome.lost;
        self.switches += switches;
        Ok(())
    }

    fn last(&self) -> String {
        let [p50, p99, _] = &self.at;
        format!("{} p50 {} p99 {}", self.key, time(p50.last()), time(p99.last()))
    }
}

fn time(seconds: f64) -> String {
    if seconds.is_finite() { span(Duration::from_secs_f64(seconds)) } else { number(seconds, 0) }
}

/// A round: the load, and switches beside it if there is a socket to order them by; how many there were.
fn one(topology: &Topology, load: &Load, socket: Option<&Path>) -> Result<(Outcome, u32)> {
    let (stop, stopped) = mpsc::channel();
    thread::scope(|scope| {
        let switcher = socket.map(|socket| scope.spawn(move || switch(socket, &stopped)));
        let outcome = topology.client.run(|| load.run());
        drop(stop);
        let switches = match switcher.map(thread::ScopedJoinHandle::join) {
            None => 0,
            Some(done) => done.map_err(|_| anyhow!("the thread that switches has panicked"))??,
        };
        Ok((outcome?, switches))
    })
}

/// Switches at fixed times until `stopped`; an order that takes long delays the next one only if it must.
fn switch(socket: &Path, stopped: &mpsc::Receiver<()>) -> Result<u32> {
    let mut next = Instant::now();
    let mut switches = 0;
    for to in [Colour::Green, Colour::Blue].into_iter().cycle() {
        next += Duration::from_secs(1) / SWITCHES;
        match stopped.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
        socket::switch(socket, to).with_context(|| format!("switch to {to}"))?;
        switches += 1;
    }
    Ok(switches)
}

fn tell(effort: &Effort, report: &mut Report, manners: &[Manner; 2]) -> Result<()> {
    let mut rows = vec![row(["", "p50", "p99", "p99.9", "longest", "requests", "lost", "switches"])];
    let mut bars = Vec::new();
    for manner in manners {
        let Manner { key, title, at, longest, requests, lost, switches } = manner;
        let mut cells = vec![(*title).to_owned()];
        for ((point, _), samples) in POINTS.into_iter().zip(at) {
            cells.push(time(samples.median()));
            report.put(format!("latency_{key}_{point}_us"), samples.median() * 1e6);
        }
        cells.push(time(longest.median()));
        cells.extend([*requests as u64, *lost, (*switches).into()].map(count));
        rows.push(cells);
        report.put(format!("latency_{key}_max_us"), longest.median() * 1e6);
        report.put(format!("latency_{key}_requests"), *requests as f64);
        report.put(format!("latency_{key}_lost"), *lost as f64);
    }
    let [quiet, switching] = manners;
    let mut cells = vec!["  switching ÷ quiet".to_owned()];
    for (((point, _), ours), base) in POINTS.into_iter().zip(&switching.at).zip(&quiet.at) {
        cells.push(number(ours.ratio(base), 2));
        report.put(format!("{point}_switching_vs_quiet"), ours.ratio(base));
    }
    rows.push(cells);
    for ((_, name), at) in [("p50", "half"), ("p99", "99 of 100")].into_iter().zip(0..) {
        for (manner, rank) in [(quiet, Rank::Other), (switching, Rank::Ours)] {
            let value = manner.at.get(at).map_or(f64::NAN, Samples::median);
            let label = format!("{name}, {}", manner.key);
            bars.push(Bar { label, value, text: time(value), rank });
        }
    }
    report.put("latency_rate", RATE.into());
    report.put("latency_switches", switching.switches.into());
    report.put("latency_rounds", effort.latency_rounds.into());
    report.panel(Panel {
        title: "answers while bg switches ten times a second".to_owned(),
        about: format!(
            "{} requests/s, kept connections, {} rounds",
            count(RATE.into()),
            effort.latency_rounds
        ),
        better: Better::Lower,
        bars,
    });
    report.table(&rows)
}
