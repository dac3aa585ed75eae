//! Keeps the data plane and the VIPs in line with the configuration and the network.

use super::announce;
use crate::config::{self, Config};
use crate::engine::Handle;
use crate::net::{Changed, Net, Survey, VipHome};
use crate::refusal::Refusal;
use crate::wiring::{self, Unreachable, Wiring};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What is in force, and where it comes from.
pub(super) struct Gateway {
    path: PathBuf,
    config: Config,
    net: Net,
    engine: Handle,
    wiring: Option<Wiring>,
    /// The last complaint, which is not repeated at every change of the network.
    complaint: Option<Refusal>,
}

/// A wiring and what it was made from.
pub(super) struct Plan {
    wiring: Wiring,
    seen: Survey,
}

/// Plans how the gateway is wired. A `fresh` one is not started with a slice that cannot be reached.
pub(super) async fn plan(net: &Net, config: &Config, fresh: bool) -> Result<Plan, Refusal> {
    let slices = config.deployments.iter().flat_map(|deployment| deployment.slices.iter().flatten());
    let seen = net.survey(slices.copied()).await?;
    let unreachable = if fresh { Unreachable::Refuse } else { Unreachable::Note };
    let wiring = wiring::plan(config, &seen, unreachable)?;
    Ok(Plan { wiring, seen })
}

impl Gateway {
    pub(super) fn new(path: &Path, config: Config, net: Net, engine: Handle) -> Self {
        Self { path: path.to_owned(), config, net, engine, wiring: None, complaint: None }
    }

    /// Puts `plan` in force.
    pub(super) async fn wire(&mut self, plan: Plan) -> Result<(), Refusal> {
        let Plan { wiring, seen } = plan;
        let wired = self.engine.wire(wiring.attach.clone(), wiring.deployments.clone()).await?;
        let fresh = self.wiring.as_ref() != Some(&wiring);
        if fresh || wired.applied.writes > 0 {
            for note in &wiring.notes {
                tracing::info!("{note}");
            }
            for refusal in &wiring.unreachable {
                tracing::warn!(code = refusal.code, at = refusal.at, mend = refusal.mend, "{}", refusal.what);
            }
            for attachment in &wired.attachments {
                let (interface, program, hook) =
                    (&attachment.interface, &attachment.program, &attachment.hook);
                tracing::info!(interface, program, hook, "attached");
            }
            let (created, removed) = (&wired.applied.created, &wired.applied.removed);
            tracing::info!(?created, ?removed, writes = wired.applied.writes, "tables are in line");
        }
        let homes = wiring.vip_homes.clone();
        self.wiring = Some(wiring);
        self.own_vips(&homes, &seen).await
    }

    /// Looks at the network again after it has changed.
    pub(super) async fn follow(&mut self, changed: Changed) {
        tracing::debug!(?changed, "the network has changed");
        let result = match plan(&self.net, &self.config, false).await {
            Ok(plan) => self.wire(plan).await,
            Err(refusal) => Err(refusal),
        };
        let complaint = result.err();
        if complaint != self.complaint {
            match &complaint {
                Some(refusal) => complain(refusal, "the wiring stays as it is"),
                None => tracing::info!("the network is as it should be again"),
            }
            self.complaint = complaint;
        }
    }

    /// Reads the configuration again; what is wrong with it leaves everything as it is.
    pub(super) async fn reload(&mut self) {
        let config = match config::load(&self.path) {
            Ok(config) => config,
            Err(invalid) => {
                for problem in &invalid.problems {
                    complain(problem, "the configuration stays as it is");
                }
                return;
            }
        };
        for key in self.fixed(&config) {
            tracing::warn!(key, "a change of this key needs a restart: systemctl restart bgd");
        }
        let before = self.config.vips();
        let wired = match plan(&self.net, &config, false).await {
            Ok(plan) => self.wire(plan).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = wired {
            return complain(&refusal, "the configuration stays as it is");
        }
        self.engine.lifetimes(config.gateway.lifetimes).await;
        let kept = if config.gateway.own_vips { config.vips() } else { Vec::new() };
        let gone: Vec<_> = before.into_iter().filter(|vip| !kept.contains(vip)).collect();
        self.config =
            Config { gateway: self.config.keeping(config.gateway), deployments: config.deployments };
        self.remove_vips(&gone).await;
        tracing::info!(file = %self.path.display(), "the configuration was read again");
    }

    /// Removes the VIPs that the daemon has added.
    pub(super) async fn release_vips(&self) {
        self.remove_vips(&self.config.vips()).await;
    }

    /// Undoes the start of a gateway that was not there before.
    pub(super) async fn take_down(&self) {
        if let Err(refusal) = self.engine.detach().await {
            complain(&refusal, "something is left in the kernel");
        }
        self.release_vips().await;
    }

    async fn own_vips(&self, homes: &[VipHome], seen: &Survey) -> Result<(), Refusal> {
        let owned = self.net.own_vips(homes).await?;
        for home in &owned.added {
            tracing::info!(vip = %home.vip, interface = name(seen, home.ifindex), "VIP added");
        }
        if owned.unmarked {
            tracing::warn!(
                "this kernel does not mark addresses: VIPs stay when the data plane is taken down"
            );
        }
        announce::spawn(&owned.added, seen);
        Ok(())
    }

    async fn remove_vips(&self, vips: &[IpAddr]) {
        match self.net.release_vips(vips).await {
            Ok(released) => {
                for home in released {
                    tracing::info!(vip = %home.vip, "VIP removed");
                }
            }
            Err(refusal) => complain(&refusal, "a VIP may be left"),
        }
    }

    /// The keys that `config` changes and that only a restart can change.
    fn fixed(&self, config: &Config) -> Vec<&'static str> {
        let (old, new) = (&self.config.gateway, &config.gateway);
        let keys = [
            ("gateway.instance", old.instance != new.instance),
            ("gateway.socket", old.socket != new.socket),
            ("gateway.flows", old.flows != new.flows),
            ("gateway.half_open", old.half_open != new.half_open),
        ];
        keys.iter().filter(|(_, changed)| *changed).map(|(key, _)| *key).collect()
    }
}

impl Config {
    /// `new`, with what only a restart can change as it is here.
    fn keeping(&self, new: config::Gateway) -> config::Gateway {
        let config::Gateway { instance, socket, flows, half_open, .. } = self.gateway.clone();
        config::Gateway { instance, socket, flows, half_open, ..new }
    }
}

fn name(seen: &Survey, ifindex: u32) -> &str {
    seen.link(ifindex).map_or("?", |link| link.name.as_str())
}

fn complain(refusal: &Refusal, so: &str) {
    let Refusal { code, what, at, mend } = refusal;
    tracing::warn!(code, at, mend, "{what}; {so}");
}
