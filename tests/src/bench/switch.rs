//! How long a switch takes, whatever the number of services: by `bgctl`, by the socket, and the exchange
//! of the word itself, beside nftables replacing as many elements of a map.

mod nft;
pub(super) mod socket;

use super::chart::{Bar, Better, Panel, Rank};
use super::figures::Samples;
use super::go_on;
use super::options::Effort;
use super::report::{Report, row};
use super::services::{self, NUMBERS};
use crate::daemon::{Daemon, binary};
use crate::paint::{count, span};
use crate::process::output;
use crate::topology::{Plan, Topology};
use anyhow::{Context, Result};
use bg_common::Colour;
use nft::Ruleset;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Measures this part.
pub(super) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    let Effort { switches, replacements, .. } = *effort;
    report.title(
        "switch",
        &format!(
            "one deployment with all services; medians of {switches} switches and {replacements} replacements"
        ),
    )?;
    let mut subjects = NUMBERS.into_iter().map(Subject::new).collect::<Result<Vec<_>>>()?;
    let every = (switches / replacements.max(1)).max(1);
    for round in 0..switches {
        let to = if round % 2 == 0 { Colour::Green } else { Colour::Blue };
        for subject in &mut subjects {
            go_on()?;
            subject.switch(to)?;
            if round.is_multiple_of(every) {
                subject.replace(if round / every % 2 == 0 { Colour::Green } else { Colour::Blue })?;
            }
        }
        if (round + 1).is_multiple_of((switches / 5).max(1)) {
            report.progress(&format!("{} of {switches}", round + 1))?;
        }
    }
    tell(report, &subjects)
}

/// A gateway of bg and one of nftables, alike but for that.
struct Subject {
    services: u16,
    daemon: Daemon,
    ruleset: Ruleset,
    topology: Topology,
    bgctl: PathBuf,
    /// From the start of `bgctl` to its end.
    wall: Samples,
    /// From connecting to the socket to the answer.
    answer: Samples,
    /// The compare-and-swap, as bg reports.
    exchange: Samples,
    /// From the start of `nft` to its end.
    nft: Samples,
}

impl Subject {
    fn new(services: u16) -> Result<Self> {
        go_on()?;
        let topology = Topology::new(&Plan::default())?;
        let daemon = services::start(&topology, services)?;
        let ruleset = Ruleset::new(&topology, services)?;
        let [wall, answer, exchange, nft] = [const { Samples::new() }; 4];
        Ok(Self { services, daemon, ruleset, topology, bgctl: binary("bgctl")?, wall, answer, exchange, nft })
    }

    /// To a colour by `bgctl`, and at once back and forth again by the socket.
    fn switch(&mut self, to: Colour) -> Result<()> {
        let start = Instant::now();
        let mut command = self.topology.gateway.command(&self.bgctl);
        // As one types it on a gateway with one instance and one deployment, but for the name of the instance.
        command.args(["--instance", self.daemon.instance(), "--json", "switch", "--to", to.as_str()]);
        let answer = output(command)?;
        self.wall.push(start.elapsed().as_secs_f64());
        self.exchange.push(took(&serde_json::from_str(&answer)?)?);
        for to in [to.other(), to] {
            let start = Instant::now();
            let answer = socket::switch(&self.daemon.socket(), to)?;
            self.answer.push(start.elapsed().as_secs_f64());
            self.exchange.push(took(&answer)?);
        }
        Ok(())
    }

    fn replace(&mut self, to: Colour) -> Result<()> {
        let start = Instant::now();
        self.ruleset.replace(to)?;
        self.nft.push(start.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Seconds that the exchange took.
fn took(answer: &Value) -> Result<f64> {
    let nanos = answer.get("took_ns").and_then(Value::as_f64).with_context(|| answer.to_string())?;
    Ok(nanos / 1e9)
}

fn tell(report: &mut Report, subjects: &[Subject]) -> Result<()> {
    let time = |seconds: f64| span(Duration::from_secs_f64(seconds));
    let mut rows =
        vec![row(["services", "exchange", "by the socket", "bgctl", "99 of 100", "nft -f", "nft ÷ bgctl"])];
    for subject in subjects {
        let Subject { services, wall, answer, exchange, nft, .. } = subject;
        let advantage = nft.median() / wall.median();
        rows.push(row([
            count((*services).into()),
            time(exchange.median()),
            time(answer.median()),
            time(wall.median()),
            time(wall.percentile(99)),
            time(nft.median()),
            format!("{advantage:.1}"),
        ]));
        report.put(format!("switch_{services}_exchange_ns"), exchange.median() * 1e9);
        report.put(format!("switch_{services}_socket_ms"), answer.median() * 1e3);
        report.put(format!("switch_{services}_ms"), wall.median() * 1e3);
        report.put(format!("switch_{services}_ms_p99"), wall.percentile(99) * 1e3);
        report.put(format!("nft_{services}_ms"), nft.median() * 1e3);
        report.put(format!("switch_vs_nft_{services}"), advantage);
    }
    report.table(&rows)?;
    let rounds = |of: fn(&Subject) -> &Samples| subjects.first().map_or(0, |subject| of(subject).len());
    let mut bars = Vec::new();
    let fewest_and_most = subjects.first().into_iter().chain(subjects.get(1..).and_then(<[_]>::last));
    for subject in fewest_and_most {
        let services = match subject.services {
            1 => "1 service".to_owned(),
            many => format!("{} services", count(many.into())),
        };
        for (who, samples, rank) in [("bg", &subject.wall, Rank::Ours), ("nft -f", &subject.nft, Rank::Other)]
        {
            let value = samples.median();
            bars.push(Bar { label: format!("{who}, {services}"), value, text: time(value), rank });
        }
    }
    report.panel(Panel {
        title: "a switch, from command to prompt".to_owned(),
        about: format!(
            "bgctl switch, median of {}; nft -f replacing a map, of {}",
            rounds(|subject| &subject.wall),
            rounds(|subject| &subject.nft)
        ),
        better: Better::Lower,
        bars,
    });
    let ([few, .., many], [fewest, .., most]) = (subjects, NUMBERS) else { return Ok(()) };
    let ratios = [
        ("", many.wall.ratio(&few.wall)),
        ("_socket", many.answer.ratio(&few.answer)),
        ("_exchange", many.exchange.median() / few.exchange.median()),
    ];
    for (what, ratio) in ratios {
        report.put(format!("switch{what}_{most}_vs_{fewest}"), ratio);
    }
    let mut all = Samples::new();
    subjects.iter().for_each(|subject| all.extend(&subject.wall));
    report.put("switch_ms_p99", all.percentile(99) * 1e3);
    report.put("switches", all.len() as f64);
    let [wall, answer, exchange] = ratios.map(|(_, ratio)| format!("{ratio:.2}"));
    report.line(&format!(
        "  {} services beside one: bgctl × {wall}, socket × {answer}, exchange × {exchange}\n  \
         bgctl, 99 of 100 of all: {}",
        count(most.into()),
        time(all.percentile(99))
    ))
}
