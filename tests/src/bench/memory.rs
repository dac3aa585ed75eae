//! What the tables and the daemon hold in memory, with the configuration of the demo and with very many
//! services.

use super::report::{Report, row};
use super::services::{self, NUMBERS};
use crate::daemon::{Daemon, Settings};
use crate::paint::count;
use crate::topology::{Plan, Topology};
use anyhow::{Context, Result};
use aya::maps::MapData;
use bg_common::table::{TABLES, Table};
use bg_common::{ABI_VERSION, names};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};

const MIB: f64 = 1024.0 * 1024.0;

/// Measures this part.
pub(super) fn measure(report: &mut Report) -> Result<()> {
    report.title("memory", "of the tables, by the kernel's account, and of the daemon, resident")?;
    let topology = Topology::new(&Plan { machines: 2, ..Plan::default() })?;
    let mut rows = vec![row(["", "FLOWS", "all tables", "daemon", "at its peak"])];
    let mut daemon = Daemon::start(&topology, &Settings::default())?;
    let tables = Tables::of(&daemon)?;
    tables.put(report);
    let resident = Resident::of(&mut daemon)?;
    resident.put(report, "");
    rows.push(tell("4 services on 2 VIPs, as in the demo", &tables, &resident));
    drop(daemon);

    let [.., most] = NUMBERS;
    let mut daemon = services::start(&topology, most)?;
    daemon.switch(bg_common::Colour::Green)?;
    let resident = Resident::of(&mut daemon)?;
    resident.put(report, &format!("_{most}"));
    rows.push(tell(&format!("{} services on one VIP", count(most.into())), &Tables::of(&daemon)?, &resident));
    report.table(&rows)?;
    report.line(&format!(
        "  {:.1} bytes for each of the {} flows that FLOWS holds, {:.1} for each of HALF_OPEN's",
        tables.flow,
        count(names::DEFAULT_FLOWS.into()),
        tables.half_open
    ))
}

fn tell(name: &str, tables: &Tables, resident: &Resident) -> Vec<String> {
    let mib = |bytes: f64| format!("{:.1} MiB", bytes / MIB);
    row([name.to_owned(), mib(tables.flows), mib(tables.all), mib(resident.last), mib(resident.peak)])
}

/// Bytes.
struct Tables {
    flow: f64,
    half_open: f64,
    flows: f64,
    all: f64,
}

impl Tables {
    fn of(daemon: &Daemon) -> Result<Self> {
        let directory = daemon.pins().join(format!("v{ABI_VERSION}"));
        let mut this = Self { flow: 0.0, half_open: 0.0, flows: 0.0, all: 0.0 };
        for Table { name, .. } in TABLES {
            let table = MapData::from_pin(directory.join(name)).with_context(|| name)?;
            let bytes = locked(&table)?;
            let each = bytes / f64::from(table.info()?.max_entries());
            this.all += bytes;
            match name {
                names::FLOWS => (this.flow, this.flows) = (each, bytes),
                names::HALF_OPEN => this.half_open = each,
                _ => {}
            }
        }
        Ok(this)
    }

    fn put(&self, report: &mut Report) {
        report.put("bytes_per_flow", self.flow);
        report.put("bytes_per_half_open", self.half_open);
        report.put("tables_mb", self.all / MIB);
    }
}

/// Bytes that a table takes, as the kernel counts them.
fn locked(table: &MapData) -> Result<f64> {
    let path = format!("/proc/self/fdinfo/{}", table.fd().as_fd().as_raw_fd());
    let text = fs::read_to_string(&path)?;
    field(&text, "memlock:").with_context(|| format!("no memlock in {path}"))
}

/// Bytes of the daemon's memory.
struct Resident {
    last: f64,
    peak: f64,
}

impl Resident {
    fn of(daemon: &mut Daemon) -> Result<Self> {
        let process = daemon.process().context("the daemon has ended")?;
        let path = format!("/proc/{}/status", process.id());
        let text = fs::read_to_string(&path)?;
        let kib = |name| field(&text, name).with_context(|| format!("no {name} in {path}"));
        Ok(Self { last: kib("VmRSS:")? * 1024.0, peak: kib("VmHWM:")? * 1024.0 })
    }

    fn put(&self, report: &mut Report, suffix: &str) {
        report.put(format!("daemon_rss{suffix}_mb"), self.last / MIB);
        report.put(format!("daemon_peak{suffix}_mb"), self.peak / MIB);
    }
}

fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
