//! What the demo plays on: the network, the servers, the daemon, the load, and the orders to `bgctl`.

use super::figures::Flip;
use super::options::{Attach, Options};
use super::tell::Teller;
use crate::clock;
use crate::daemon::{Daemon, Settings, frontends, service};
use crate::servers::Servers;
use crate::signals;
use crate::topology::{Plan, Topology};
use crate::traffic::{Kind, Load, Record, Tally, Traffic};
use crate::wait;
use anyhow::{Context, Result};
use bg_common::Colour;
use serde_json::Value;
use std::time::Duration;

/// Machines in each slice.
pub(super) const MACHINES: u8 = 2;
/// Streams, which live as long as the demo.
pub(super) const STREAMS: u32 = 16;
const KEPT: u32 = 24;

/// Everything that runs. Fields drop in this order: clients first, the network last.
pub(super) struct Stage {
    traffic: Option<Traffic>,
    after: Option<Tally>,
    daemon: Daemon,
    _servers: Servers,
    _topology: Topology,
}

impl Stage {
    /// Sets it up and waits until every kind of client has been answered; none if interrupted.
    pub(super) fn new(options: &Options, teller: &mut Teller) -> Result<Option<Self>> {
        teller.step(
            "network",
            &format!("client, gateway and {MACHINES} machines per slice, each a namespace"),
        )?;
        // XDP needs whole checksums, as they come off a wire.
        let offload = options.attach == Attach::Tc;
        let topology = Topology::new(&Plan { machines: MACHINES, offload, ..Plan::default() })?;
        teller.step("servers", "nginx and echo servers on every machine")?;
        let servers = Servers::start(&topology)?;
        teller.step("bgd", &format!("on the gateway, uplink by {}", options.attach.as_str()))?;
        let daemon = Daemon::start(&topology, &Settings::hooked(options.attach.as_str(), "auto"))?;
        teller.step("load", "short, kept and long connections and datagrams, over IPv4 and IPv6")?;
        let traffic = Traffic::start(&topology.client, loads())?;
        let warm = |tally: &Tally| {
            let open = |kind| tally.open_of(kind).iter().sum::<u64>();
            open(Kind::Stream) == u64::from(STREAMS)
                && open(Kind::Kept) == u64::from(KEPT)
                && tally.requests() > 500
        };
        wait::until("every client is answered", wait::PATIENCE, || {
            signals::seen() || traffic.record().look(warm)
        })
        .with_context(|| format!("failures: {:?}", traffic.record().tally().examples))?;
        if signals::seen() {
            return Ok(None);
        }
        Ok(Some(Self { traffic: Some(traffic), after: None, daemon, _servers: servers, _topology: topology }))
    }

    /// Switches by `bgctl switch` the odd times and by `bgctl rollback` the even ones.
    pub(super) fn flip(&self, number: usize) -> Result<Flip> {
        let order = if number % 2 == 1 { "switch" } else { "rollback" };
        let called = clock::now();
        let outcome = self.daemon.bgctl(&["--json", order])?;
        let returned = clock::now();
        let answer = outcome.json()?;
        let took = answer.get("took_ns").and_then(Value::as_u64).with_context(|| answer.to_string())?;
        let to: Colour = answer
            .get("to")
            .and_then(Value::as_str)
            .and_then(|colour| colour.parse().ok())
            .with_context(|| answer.to_string())?;
        Ok(Flip { number, order, to, called, returned, took, drained: None })
    }

    /// Lets the clients finish.
    pub(super) fn rest(&mut self) -> Result<()> {
        if let Some(traffic) = self.traffic.take() {
            self.after = Some(traffic.stop()?);
        }
        Ok(())
    }

    /// What clients have seen so far.
    pub(super) fn tally(&self) -> Tally {
        self.after.clone().unwrap_or_else(|| self.look(Tally::clone))
    }

    /// Reads the tally of the running load in place.
    pub(super) fn look<T: Default>(&self, read: impl FnOnce(&Tally) -> T) -> T {
        self.record().map(|record| record.look(read)).unwrap_or_default()
    }

    /// The record of the running load.
    pub(super) fn record(&self) -> Option<&Record> {
        self.traffic.as_ref().map(Traffic::record)
    }
}

/// Enough to see every effect, and little enough to leave a small machine room for the switch.
fn loads() -> Vec<Load> {
    let load = |kind, port, clients, rate, life| Load {
        kind,
        targets: frontends(port).to_vec(),
        clients,
        rate,
        life,
    };
    let millis = |millis| Some(Duration::from_millis(millis));
    vec![
        load(Kind::Stream, service::LINES, STREAMS, 10.0, None),
        load(Kind::Kept, service::WEB, KEPT, 50.0, millis(1_200)),
        load(Kind::Datagram, service::DATAGRAMS, 8, 25.0, millis(800)),
        load(Kind::Short, service::WEB, 8, 100.0, None),
    ]
}
