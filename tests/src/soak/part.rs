//! One way of packets through the gateway: everything is built anew for it.

use super::Report;
use super::judge::{Flip, judge};
use crate::capture::{Capture, Seen};
use crate::clock;
use crate::daemon::{Daemon, Settings, frontends, service};
use crate::netns::Namespace;
use crate::servers::Servers;
use crate::signals;
use crate::topology::{CLIENT_LINK, MACHINE_LINK, Plan, Topology};
use crate::traffic::{Failure, Kind, Load, Tally, Traffic};
use crate::wait;
use anyhow::{Context, Result};
use bg_common::Colour;
use bg_userspace::api::client::Client;
use bg_userspace::api::protocol::SwitchRequest;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// What is asked of one part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) time: Duration,
    pub(super) flips: u64,
}

/// One flip in so many is ordered by `bgctl`, the others by its library.
const BY_COMMAND: u64 = 50;
/// Progress is told so often.
const TELL: Duration = Duration::from_secs(10);
/// Refused switches in a row after which it is enough.
const PATIENCE: u64 = 20;
/// Clients of each kind that keep a connection.
const KEEPERS: u64 = 8;

pub(super) fn run(
    (attach, path): (&'static str, &'static str),
    share: Share,
    report: &mut Report,
) -> Result<()> {
    let topology = Topology::new(&Plan { machines: 2, ..Plan::default() })?;
    let _servers = Servers::start(&topology)?;
    let daemon = Daemon::start(&topology, &Settings::hooked(attach, path))?;
    let capture = Capture::start(&points(&topology))?;
    let traffic = Traffic::start(&topology.client, loads())?;
    wait::until("every client is answered", wait::PATIENCE, || traffic.record().look(is_warm))
        .with_context(|| format!("{:?}", traffic.record().tally().examples))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(&daemon.socket());
    let mut part = Part { daemon: &daemon, client, runtime, flips: Vec::new(), report };
    part.flip(share, &traffic)?;
    let flips = std::mem::take(&mut part.flips);
    let tally = traffic.stop()?;
    part.report.take((attach, path), &tally, &flips, &capture.stop()?);
    Ok(())
}

fn points(topology: &Topology) -> Vec<(&Namespace, &str)> {
    let machines = topology.machines.iter().map(|machine| (&machine.namespace, MACHINE_LINK));
    machines.chain([(&topology.client, CLIENT_LINK)]).collect()
}

/// Half of those that keep a connection keep it all the time.
fn loads() -> Vec<Load> {
    let load = |kind, port, clients, rate, life| Load {
        kind,
        targets: frontends(port).to_vec(),
        clients,
        rate,
        life,
    };
    let half = (KEEPERS / 2) as u32;
    let mut loads = vec![load(Kind::Short, service::WEB, 8, 15.0, None)];
    for (kind, port) in
        [(Kind::Stream, service::LINES), (Kind::Kept, service::WEB), (Kind::Datagram, service::DATAGRAMS)]
    {
        loads.push(load(kind, port, half, 10.0, None));
        loads.push(load(kind, port, half, 10.0, Some(Duration::from_secs(2))));
    }
    loads
}

fn is_warm(tally: &Tally) -> bool {
    let open = |kind| tally.open_of(kind).iter().sum::<u64>();
    [Kind::Stream, Kind::Kept, Kind::Datagram].into_iter().all(|kind| open(kind) == KEEPERS)
}

struct Part<'a> {
    daemon: &'a Daemon,
    client: Client,
    runtime: Runtime,
    flips: Vec<Flip>,
    report: &'a mut Report,
}

impl Part<'_> {
    /// Makes the other colour live, as often as asked for and spread over the time.
    fn flip(&mut self, share: Share, traffic: &Traffic) -> Result<()> {
        let begun = Instant::now();
        let pace = share.time.div_f64(share.flips.max(1) as f64);
        let (mut live, mut number, mut refused, mut told) = (Colour::Blue, 0_u64, 0, begun);
        while !signals::seen() && refused < PATIENCE {
            let flips = self.flips.len() as u64;
            if flips >= share.flips && begun.elapsed() >= share.time {
                break;
            }
            // Those that took longer are caught up with.
            let due = begun + pace.mul_f64(number as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if flips < share.flips {
                number += 1;
                let ordered = clock::now();
                match self.order(live.other(), number.is_multiple_of(BY_COMMAND)) {
                    Ok(()) => {
                        live = live.other();
                        refused = 0;
                        self.flips.push(Flip { to: live, ordered, answered: clock::now() });
                    }
                    Err(why) => {
                        refused += 1;
                        self.report.failed += 1;
                        self.report.troubles.push(format!("a switch was refused: {why:#}"));
                    }
                }
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                let (requests, failed) = traffic.record().look(|tally| (tally.requests(), tally.failed()));
                crate::say(&format!(
                    "{} of {} flips, {requests} requests, {failed} failed",
                    self.flips.len(),
                    share.flips
                ));
            }
        }
        Ok(())
    }

    fn order(&self, to: Colour, by_command: bool) -> Result<()> {
        if by_command {
            return self.daemon.switch(to).map(drop);
        }
        let request = SwitchRequest { to: Some(to), ..SwitchRequest::default() };
        let answer = self.runtime.block_on(self.client.switch(None, &request));
        answer.map(drop).map_err(|why| anyhow::anyhow!("{why:?}"))
    }
}

impl Report {
    /// Adds what a part came to.
    fn take(&mut self, (attach, path): (&str, &str), tally: &Tally, flips: &[Flip], seen: &Seen) {
        let judgement = judge(&tally.connections, flips);
        self.requests += tally.requests();
        self.flips += flips.len() as u64;
        self.failed += tally.failed();
        self.resets += tally.failed_by(Failure::Reset);
        self.misrouted += judgement.wrong.len() as u64 + tally.failed_by(Failure::Moved);
        self.bad_checksums += seen.bad;
        self.judged += judgement.judged;
        self.packets += seen.good + seen.bad;
        let mut troubles = [tally.examples.clone(), seen.examples.clone()].concat();
        troubles.extend(
            judgement.wrong.iter().take(5).map(|wrong| format!("reached the wrong colour: {wrong:?}")),
        );
        if seen.lost > 0 {
            troubles.push(format!("{} packets came too fast to be captured", seen.lost));
        }
        self.troubles
            .extend(troubles.into_iter().map(|trouble| format!("by {attach} and {path}: {trouble}")));
    }
}
