//! One network for each variant, so that none of them pays for the others: the mere presence of
//! connection tracking costs all packets of a namespace.

use super::super::bpf::Kind;
use super::variant::Variant;
use super::{Case, packets, peers};
use crate::client;
use crate::daemon::{Daemon, Settings, frontends, service};
use crate::process::Process;
use crate::run::Scratch;
use crate::servers::{Servers, port};
use crate::topology::{CLIENT_LINK, Machine, Plan, Topology};
use crate::wait;
use anyhow::{Context, Result, ensure};
use bg_common::Colour;
use std::cell::Cell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What does the work on the gateway, as long as it is kept.
enum Work {
    Kernel,
    Daemon(#[expect(dead_code, reason = "kept for its drop")] Daemon),
    Proxy(Process),
    Programs(#[expect(dead_code, reason = "kept for their drop")] Vec<OwnedFd>),
}

/// A network with everything that runs in it. Fields drop in this order: clients first, the network last.
pub(super) struct Lab {
    pub(super) variant: Variant,
    /// Requests that wrk has given up.
    pub(super) failures: Cell<u64>,
    pub(super) files: Scratch,
    work: Work,
    _bulk: Process,
    _servers: Servers,
    pub(super) topology: Topology,
}

impl Lab {
    /// Builds it and waits until blue answers.
    pub(super) fn new(variant: Variant) -> Result<Self> {
        let topology = Topology::new(&Plan { offload: true, ..Plan::default() })?;
        if variant.is_xdp() {
            topology.client.output("ethtool", ["-K", CLIENT_LINK, "tx", "off"])?;
        }
        let servers = Servers::start(&topology)?;
        let files = Scratch::new()?;
        let blue = blue(&topology)?;
        let mut iperf = blue.namespace.command("iperf3");
        iperf.args(["-s", "-p", &port::BULK.to_string()]);
        let bulk = Process::start(iperf, &files.path().join("iperf3")).context("iperf3 must be installed")?;
        packets::count_at(blue)?;
        let work = match variant {
            Variant::Plain => Work::Kernel,
            Variant::Nft => {
                peers::translate(&topology, blue)?;
                Work::Kernel
            }
            Variant::Haproxy => Work::Proxy(peers::haproxy(&topology, blue, files.path())?),
            Variant::Nginx => Work::Proxy(peers::nginx(&topology, blue, files.path())?),
            Variant::BareTc => Work::Programs(peers::forwarder(Kind::Tc, &topology, blue)?),
            Variant::BareXdp => Work::Programs(peers::forwarder(Kind::Xdp, &topology, blue)?),
            Variant::Redirect | Variant::Stack | Variant::Xdp => {
                let (attach, path) = variant.settings().context("bg needs settings")?;
                Work::Daemon(Daemon::start(&topology, &Settings::hooked(attach, path))?)
            }
        };
        let failures = Cell::new(0);
        let this = Self { variant, failures, files, work, _bulk: bulk, _servers: servers, topology };
        this.await_answers()?;
        if variant.can(Case::Packets(packets::MANY)) {
            packets::establish(&this)?;
        }
        Ok(this)
    }

    /// Where the client reaches what listens at `frontend` of the VIP and at `backend` of the machine.
    pub(super) fn target(&self, frontend: u16, backend: u16) -> Result<SocketAddr> {
        if !self.variant.translates() {
            let [v4, _] = blue(&self.topology)?.addrs;
            return Ok(SocketAddr::new(v4, backend));
        }
        let [v4, _] = frontends(frontend);
        Ok(v4)
    }

    /// Runs a program in the client's namespace, with an end in any case, and returns what it printed.
    pub(super) fn run(&self, program: &str, args: &[String], patience: Duration) -> Result<String> {
        let mut command = self.topology.client.command(program);
        command.args(args);
        let log = self.files.path().join("client");
        // Each run begins a new one.
        drop(std::fs::remove_file(&log));
        let mut process = Process::start(command, &log)?;
        let status = process.wait(patience)?;
        let said = process.output();
        ensure!(status.success(), "{program} {}: {status}: {}", args.join(" "), said.trim());
        Ok(said)
    }

    fn await_answers(&self) -> Result<()> {
        let target = self.target(service::WEB, port::WEB)?;
        let mut last = None;
        let answers = wait::until("blue answers", wait::PATIENCE, || {
            let asked = client::dial(&self.topology.client, target, 0)
                .and_then(|mut stream| client::get(&mut stream, true));
            let answered = asked.as_ref().is_ok_and(|stamp| stamp.colour == Colour::Blue);
            last = Some(asked);
            answered
        });
        answers.with_context(|| match &self.work {
            Work::Proxy(proxy) => format!("{last:?}\n{}", proxy.output()),
            Work::Kernel | Work::Daemon(_) | Work::Programs(_) => format!("{last:?}"),
        })
    }
}

/// Blue's only machine.
pub(super) fn blue(topology: &Topology) -> Result<&Machine> {
    topology.slice(Colour::Blue).next().context("blue has no machine")
}
