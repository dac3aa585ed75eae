//! `bgd`: puts everything together, from the configuration to the control socket, and keeps it in
//! line with the network until a signal or a detach. Stopping leaves the data plane working.

mod announce;
mod gateway;
mod outside;
pub(crate) mod past;
mod report;
mod signals;
mod vip;

use crate::api::listen::Listening;
use crate::api::server::{self, Services};
use crate::config::{self, Invalid};
use crate::dataplane::Dataplane as _;
use crate::dataplane::kernel::{Kernel, OpenOptions};
use crate::dataplane::witness::Witness;
use crate::doctor::{Level, privileges};
use crate::engine::{self, Ended, Engine, Settings};
use crate::journal::{Broken, Journal, Opened, Rebuilt};
use crate::net::{Net, Watch};
use crate::refusal::Refusal;
use gateway::Gateway;
use outside::Outside;
use past::{Past, Present};
use signals::{Signal, Signals};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use vip::Vip;

/// Changes of the network come in bursts; one look after the burst is enough.
const SETTLE: Duration = Duration::from_millis(200);

/// Runs the daemon with the configuration at `path`.
///
/// # Errors
///
/// When it cannot start. A data plane that was there works on, one that was not is taken down again.
pub async fn run(path: &Path) -> Result<(), Invalid> {
    privileged()?;
    let config = config::load(path)?;
    let mut signals = Signals::open()?;
    // Before the network is read, so that no change falls between.
    let mut watch = Watch::open()?;
    let net = Net::open()?;

    let instance = config.gateway.instance.to_string();
    let fresh = !in_use(&instance);
    let vip = Arc::new(Vip::default());
    // Before the plan, which finds the interface and hooks it.
    if let Err(refusal) = vip.open(&config).await {
        report::complain(&refusal, "no probe goes through a VIP");
    }
    let plan = gateway::plan(&net, &config, fresh).await?;
    let kernel = Kernel::open(&OpenOptions {
        instance: instance.clone(),
        flows: config.gateway.flows,
        half_open: config.gateway.half_open,
    })?;
    keeps_all(&kernel, &config, path)?;
    let opened = Journal::open(&config.gateway.journal).await;
    let Opened { journal, rebuilt, memories, broken, deaf, news } = opened;
    let doubt = broken.as_ref().map(doubt);
    tell_of_journal(rebuilt, broken, deaf);
    let archive = Arc::new(Past::new(journal.reader()));
    let (handle, reporter, inbox) = engine::channel();
    let outside =
        Outside::start(&instance, (journal, news), vip.clone(), Witness::open(&instance)?, &reporter)?;
    let lifetimes = config.gateway.lifetimes;
    let settings = Settings { instance, lifetimes, boot: boot_id(), memories, doubt };
    let surroundings = outside.surroundings(reporter);
    let engine = Engine::new(settings, Box::new(kernel), surroundings, (&handle, inbox))?;
    let mut engine = tokio::spawn(engine.run());

    let socket = config.gateway.socket.clone();
    let mut gateway = Gateway::new(path, config, net, handle.clone(), (outside.clone(), vip));
    let started = async {
        match gateway.wire(plan).await? {
            Err(refusal) if fresh => return Err(refusal),
            Err(refusal) => report::complain(&refusal, "all but the VIPs is in force"),
            Ok(()) => {}
        }
        gateway.configure_outside();
        // Last: whoever can connect finds everything in place.
        Listening::bind(&socket)
    };
    let listening = match started.await {
        Ok(listening) => listening,
        Err(refusal) => {
            if fresh {
                gateway.take_down().await;
            }
            outside.close().await;
            return Err(refusal.into());
        }
    };
    let feed = Arc::new(Present::new(outside.bus().clone()));
    let stopping = handle.clone();
    let services = Services { engine: handle, archive, feed };
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let server = tokio::spawn(server::serve(listening, services, stopped));
    tracing::info!(pid = std::process::id(), socket = %socket.display(), "ready");
    tell_systemd(&[sd_notify::NotifyState::Ready]);

    let (detached, runs) = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop(name) => {
                    tracing::info!(signal = name, "stopping; the data plane works on");
                    break (false, true);
                }
                Signal::Reload => gateway.reload().await,
            },
            changed = watch.changed() => {
                let changed = changed?;
                tokio::time::sleep(SETTLE).await;
                gateway.follow(changed).await;
            }
            ended = &mut engine => match ended {
                Ok(ended) => break (ended == Ended::Detached, false),
                Err(why) => return Err(internal(&why).into()),
            },
        }
    };
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    if runs {
        // Before the journal is closed, so that nothing is done that it does not hear of.
        stopping.stop().await;
        let _ = (&mut engine).await;
    }
    drop(stop);
    // It bounds its own end.
    let _ = server.await;
    outside.close().await;
    if detached {
        outside.forget_roles().await;
        gateway.release_vips().await;
        tracing::info!("the data plane is down");
    }
    Ok(())
}

/// Refuses a configuration that misses what the kernel serves: a restart ends no more flows than a reload.
fn keeps_all(kernel: &Kernel, config: &config::Config, path: &Path) -> Result<(), Refusal> {
    let names: Vec<_> =
        kernel.words()?.into_iter().filter_map(|(name, _)| config::Name::parse(&name).ok()).collect();
    let is_kept = |name: &config::Name| {
        config.deployments.iter().any(|deployment| deployment.name == *name) || config.leaving.contains(name)
    };
    let missing: Vec<_> = names.iter().filter(|name| !is_kept(name)).collect();
    config::refuse_removal(&missing, &path.display().to_string()).map_or(Ok(()), Err)
}

/// Which boot of the machine this is: moments are only comparable within one.
fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Why what a journal remembers is not to be relied on.
fn doubt(broken: &Broken) -> String {
    format!("the journal is not what was written: {broken}")
}

/// Tells what is wrong with the journal. Traffic does not wait for it.
fn tell_of_journal(rebuilt: Option<Rebuilt>, broken: Option<Broken>, deaf: Option<Refusal>) {
    if let Some(Rebuilt { why, aside: Some(aside) }) = rebuilt {
        tracing::warn!(why, aside = %aside.display(), "the journal could not be used, and was begun anew");
    }
    if let Some(broken) = broken {
        tracing::error!(?broken, "the journal is not what was written: bgctl history --verify");
    }
    if let Some(refusal) = deaf {
        report::complain(&refusal, "nothing is remembered until that is mended; traffic flows");
    }
}

/// Whether the kernel has a data plane of this instance that serves deployments.
fn in_use(instance: &str) -> bool {
    Kernel::open_pinned(instance).and_then(|kernel| kernel.words()).is_ok_and(|words| !words.is_empty())
}

/// Refuses a process that lacks a capability, and names all that are missing.
fn privileged() -> Result<(), Invalid> {
    let lacking = privileges::examine().into_iter().filter(|finding| finding.level == Level::Fail);
    let problem = |finding: crate::doctor::Finding| {
        let at = format!("bgd, pid {}", std::process::id());
        Refusal::new("privileges", finding.text, at, finding.mend.unwrap_or_default())
    };
    let problems: Vec<_> = lacking.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Invalid { problems }) }
}

fn internal(why: &tokio::task::JoinError) -> Refusal {
    let mend = "start it again (systemctl restart bgd) and report this with `journalctl -u bgd`";
    Refusal::new("internal", format!("the engine has ended unexpectedly: {why}"), "bgd", mend)
}

fn tell_systemd(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(false, state) {
        tracing::warn!(%why, "systemd cannot be told");
    }
}

#[cfg(test)]
mod tests {
    const UNIT: &str = include_str!("../dist/bgd.service");

    /// The words of every line of the unit that sets `key`.
    fn words(key: &str) -> Vec<&'static str> {
        let values = UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values.flat_map(str::split_whitespace).collect()
    }

    #[test]
    fn the_unit_grants_what_the_daemon_needs_and_nothing_more() {
        let capabilities = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON"];
        assert_eq!(words("CapabilityBoundingSet"), capabilities);
        let families = ["AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_INET", "AF_INET6"];
        assert_eq!(words("RestrictAddressFamilies"), families);
        // bpf(2) is in @privileged, so it must be allowed after that is taken away.
        assert_eq!(words("SystemCallFilter").last(), Some(&"bpf"));
        assert_eq!(words("DevicePolicy"), ["closed"]);
        assert_eq!(words("DeviceAllow"), ["/dev/net/tun", "rw"]);
        assert!(words("PrivateDevices").is_empty());
        for order in ["Wants", "After"] {
            assert!(words(order).contains(&"modprobe@tun.service"), "{order}");
        }
        // Either would make the pins read-only or hide the settings that are read.
        assert!(words("ProtectKernelTunables").is_empty() && words("ProcSubset").is_empty());
    }

    #[test]
    fn the_unit_knows_how_the_daemon_starts_reloads_and_stops() {
        assert_eq!(words("Type"), ["notify"]);
        let reload = words("ExecReload");
        assert_eq!(reload.first_chunk(), Some(&["/usr/bin/bgctl", "config", "check"]));
        assert_eq!(reload.last_chunk(), Some(&["/bin/kill", "-HUP", "$MAINPID"]));
        // The journal is where the daemon looks for it.
        let state = format!("/var/lib/{}", words("StateDirectory").concat());
        assert!(crate::paths::journal("default").starts_with(state));
        // A stop keeps what the next start has to know.
        assert_eq!(words("RuntimeDirectory"), ["bg"]);
        assert_eq!(words("RuntimeDirectoryPreserve"), ["yes"]);
        assert!(words("ExecStart").contains(&crate::paths::DEFAULT_CONFIG));
    }
}
