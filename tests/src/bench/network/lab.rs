//! One network for each variant, so that none of them pays for the others: the mere presence of
//! connection tracking costs all packets of a namespace.

use super::packets;
use crate::client;
use crate::daemon::{Daemon, Settings, frontends, service};
use crate::process::Process;
use crate::run::Scratch;
use crate::servers::{Servers, port};
use crate::topology::{CLIENT_LINK, Machine, Plan, Topology, UPLINK, VIPS};
use crate::wait;
use anyhow::{Context, Result, ensure};
use bg_common::Colour;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

/// Who does the work on the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Variant {
    /// The kernel routes; clients ask for the backend's own address.
    Plain,
    /// nftables translates by a map.
    Nft,
    /// bg at tc, past the stack.
    Redirect,
    /// bg at tc, through the stack.
    Stack,
    /// bg at XDP, through the stack.
    Xdp,
}

impl Variant {
    pub(super) const ALL: [Self; 5] = [Self::Plain, Self::Nft, Self::Redirect, Self::Stack, Self::Xdp];

    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Nft => "nft",
            Self::Redirect => "tc_redirect",
            Self::Stack => "tc_stack",
            Self::Xdp => "xdp",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Nft => "nft",
            Self::Redirect => "bg tc redirect",
            Self::Stack => "bg tc stack",
            Self::Xdp => "bg xdp",
        }
    }

    /// Whether it is ours.
    pub(super) const fn is_bg(self) -> bool {
        self.settings().is_some()
    }

    /// `attach` and `path`.
    const fn settings(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Plain | Self::Nft => None,
            Self::Redirect => Some(("tc", "redirect")),
            Self::Stack => Some(("tc", "stack")),
            Self::Xdp => Some(("xdp", "stack")),
        }
    }
}

/// A network with everything that runs in it. Fields drop in this order: clients first, the network last.
pub(super) struct Lab {
    pub(super) variant: Variant,
    /// Requests that wrk has given up.
    pub(super) failures: Cell<u64>,
    pub(super) files: Scratch,
    _daemon: Option<Daemon>,
    _bulk: Process,
    _servers: Servers,
    pub(super) topology: Topology,
}

impl Lab {
    /// Builds it and waits until blue answers.
    pub(super) fn new(variant: Variant) -> Result<Self> {
        let topology = Topology::new(&Plan { offload: true, ..Plan::default() })?;
        if variant == Variant::Xdp {
            topology.client.output("ethtool", ["-K", CLIENT_LINK, "tx", "off"])?;
        }
        let servers = Servers::start(&topology)?;
        let files = Scratch::new()?;
        let blue = blue(&topology)?;
        let mut iperf = blue.namespace.command("iperf3");
        iperf.args(["-s", "-p", &port::BULK.to_string()]);
        let bulk = Process::start(iperf, &files.path().join("iperf3")).context("iperf3 must be installed")?;
        packets::count_at(blue)?;
        let daemon = match variant.settings() {
            Some((attach, path)) => Some(Daemon::start(&topology, &Settings::hooked(attach, path))?),
            None => None,
        };
        if variant == Variant::Nft {
            translate(&topology, blue)?;
        }
        let failures = Cell::new(0);
        let this =
            Self { variant, failures, files, _daemon: daemon, _bulk: bulk, _servers: servers, topology };
        this.await_answers()?;
        packets::establish(&this)?;
        Ok(this)
    }

    /// Where the client reaches what listens at `frontend` of the VIP and at `backend` of the machine.
    pub(super) fn target(&self, frontend: u16, backend: u16) -> Result<SocketAddr> {
        if self.variant == Variant::Plain {
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
        answers.with_context(|| format!("{last:?}"))
    }
}

/// Blue's only machine.
pub(super) fn blue(topology: &Topology) -> Result<&Machine> {
    topology.slice(Colour::Blue).next().context("blue has no machine")
}

/// The gateway as operators of nftables make it, for the services that bg is configured with.
fn translate(topology: &Topology, blue: &Machine) -> Result<()> {
    let ([vip, _], [backend, _]) = (VIPS, blue.addrs);
    topology.gateway.ip(&format!("addr add {vip}/32 dev {UPLINK}\n"))?;
    let map = |name: &str, ports: &[(u16, u16)]| {
        let elements: Vec<String> =
            ports.iter().map(|(from, to)| format!("{vip} . {from} : {backend} . {to}")).collect();
        format!(
            "  map {name} {{\n    type ipv4_addr . inet_service : ipv4_addr . inet_service\n    \
             elements = {{ {} }}\n  }}\n",
            elements.join(", ")
        )
    };
    let tcp = [(service::WEB, port::WEB), (service::LINES, port::LINES), (service::BULK, port::BULK)];
    topology.gateway.nft(&format!(
        "table ip bench {{\n{}{}  chain in {{\n    type nat hook prerouting priority dstnat\n    \
         dnat ip to ip daddr . tcp dport map @tcp_backends\n    \
         dnat ip to ip daddr . udp dport map @udp_backends\n  }}\n}}\n",
        map("tcp_backends", &tcp),
        map("udp_backends", &[(service::DATAGRAMS, port::DATAGRAMS)])
    ))
}
