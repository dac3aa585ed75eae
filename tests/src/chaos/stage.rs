//! What the chaos happens to: the network, the servers, the load, and a daemon that comes and goes.

use crate::daemon::{Daemon, Settings, frontends, service};
use crate::process::Process;
use crate::servers::Servers;
use crate::topology::{Plan, Topology};
use crate::traffic::{Kind, Load, Tally, Traffic};
use crate::wait;
use anyhow::{Context, Result, bail};
use bg_userspace::api::client::Client;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Everything that runs. Fields drop in this order: clients first, the network last.
pub(super) struct Stage {
    traffic: Option<Traffic>,
    process: Option<Process>,
    pub(super) client: Client,
    pub(super) runtime: Runtime,
    program: &'static str,
    pub(super) daemon: Daemon,
    _servers: Servers,
    topology: Topology,
}

/// Tables of a size for this load: they are read as a whole at each start and by `bgctl --offline status`, and in
/// this game that is what the time goes into.
const TABLES: &str = "flows = 16384\nhalf_open = 8192\n";

impl Stage {
    /// Sets up all but the daemon, which will be `program`, and the load.
    pub(super) fn new(program: &'static str, settings: &Settings) -> Result<Self> {
        let topology = Topology::new(&Plan::default())?;
        let servers = Servers::start(&topology)?;
        let settings = Settings { more: TABLES.to_owned(), ..settings.clone() };
        let daemon = Daemon::prepare(&topology, &settings)?;
        let client = Client::new(&daemon.socket());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (traffic, process) = (None, None);
        Ok(Self { traffic, process, client, runtime, program, daemon, _servers: servers, topology })
    }

    /// Starts the daemon, to die at a fail point if one is named, and waits for its first answer; none if it
    /// died before.
    pub(super) fn launch(&mut self, fail_point: Option<&str>) -> Result<Option<Duration>> {
        let started = Instant::now();
        let process = self.process.insert(self.daemon.spawn_as(self.program, fail_point)?);
        let (runtime, client) = (&self.runtime, &self.client);
        let answers = || match process.ended() {
            Some(_) => Some(false),
            None => runtime.block_on(client.status()).is_ok().then_some(true),
        };
        let answers = wait::until_some("the daemon answers or dies", wait::PATIENCE, answers);
        let answers = answers.with_context(|| process.output())?;
        if answers {
            return Ok(Some(started.elapsed()));
        }
        self.bury()?;
        Ok(None)
    }

    /// Whether the daemon is dead.
    pub(super) fn is_dead(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.ended().is_some())
    }

    /// Kills the daemon by SIGKILL, or takes notice that it was.
    pub(super) fn bury(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        if let Some(status) = process.ended()
            && status.signal() != Some(libc::SIGKILL)
        {
            bail!("bgd ended by itself with {status}:\n{}", process.output());
        }
        Ok(())
    }

    /// Has the daemon read its configuration again.
    pub(super) fn reload(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), |process| process.signal(nix::sys::signal::Signal::SIGHUP))
    }

    /// Starts the load, and waits until each client was answered. A pause drops the first packet of a flow,
    /// which nobody sends again if it is a datagram: where there are pauses, `datagrams` are to live for ever.
    pub(super) fn load(&mut self, datagrams: Option<Duration>) -> Result<()> {
        let load = |kind, port, clients, rate, life| Load {
            kind,
            targets: frontends(port).to_vec(),
            clients,
            rate,
            life,
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let loads = vec![
            load(Kind::Stream, service::LINES, 4, 10.0, None),
            load(Kind::Stream, service::LINES, 4, 10.0, seconds(3)),
            load(Kind::Kept, service::WEB, 4, 10.0, seconds(2)),
            load(Kind::Datagram, service::DATAGRAMS, 4, 10.0, datagrams),
            load(Kind::Short, service::WEB, 6, 10.0, None),
        ];
        let traffic = self.traffic.insert(Traffic::start(&self.topology.client, loads)?);
        let warm = |tally: &Tally| {
            let open = |kind| tally.open_of(kind).iter().sum::<u64>();
            open(Kind::Stream) == 8 && open(Kind::Kept) == 4 && tally.requests() > 100
        };
        wait::until("every client is answered", wait::PATIENCE, || traffic.record().look(warm))
    }

    /// Reads the tally of the load.
    pub(super) fn tally<T: Default>(&self, read: impl FnOnce(&Tally) -> T) -> T {
        self.traffic.as_ref().map(|traffic| traffic.record().look(read)).unwrap_or_default()
    }

    /// Lets the clients finish.
    pub(super) fn rest(&mut self) -> Result<Tally> {
        self.traffic.take().map(Traffic::stop).transpose().map(Option::unwrap_or_default)
    }
}
