//! Keeps the data plane and the VIPs in line with the configuration and the network.

use super::outside::Outside;
use super::vip::Vip;
use super::{announce, report};
use crate::config::{self, Config};
use crate::engine::Handle;
use crate::leftovers::Vips;
use crate::model::event::Configured;
use crate::net::{Changed, Net, Survey};
use crate::refusal::Refusal;
use crate::wiring::{self, Unreachable, Wiring};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is in force, and where it comes from.
pub(super) struct Gateway {
    path: PathBuf,
    config: Config,
    net: Net,
    engine: Handle,
    vips: Vips,
    report: report::Report,
    outside: Outside,
    vip: Arc<Vip>,
    /// The last complaint, which is not repeated at every change of the network.
    complaint: Option<Refusal>,
}

/// A wiring and what it was made from.
pub(super) struct Plan {
    wiring: Wiring,
    seen: Survey,
    configured: Vec<Configured>,
}

/// Plans how the gateway is wired. A `fresh` one is not started with a slice that cannot be reached.
pub(super) async fn plan(net: &Net, config: &Config, fresh: bool) -> Result<Plan, Refusal> {
    let slices = config.deployments.iter().flat_map(|deployment| deployment.slices.iter().flatten());
    let seen = net.survey(slices.copied()).await?;
    let unreachable = if fresh { Unreachable::Refuse } else { Unreachable::Note };
    let wiring = wiring::plan(config, &seen, unreachable)?;
    let configured = config.deployments.iter().map(configured).collect();
    Ok(Plan { wiring, seen, configured })
}

/// What the model has to know of a deployment.
fn configured(deployment: &config::Deployment) -> Configured {
    let services = deployment.services.iter().map(|service| service.name.to_string()).collect();
    Configured { name: deployment.name.to_string(), policy: deployment.policy.clone(), services }
}

impl Gateway {
    pub(super) fn new(
        path: &Path,
        config: Config,
        net: Net,
        engine: Handle,
        (outside, vip): (Outside, Arc<Vip>),
    ) -> Self {
        let vips = Vips::of(&config.gateway.instance);
        let (path, report) = (path.to_owned(), report::Report::default());
        Self { path, config, net, engine, vips, report, outside, vip, complaint: None }
    }

    /// Puts `plan` in force. The inner refusal is of a VIP: all else is in force then.
    pub(super) async fn wire(&mut self, plan: Plan) -> Result<Result<(), Refusal>, Refusal> {
        let Plan { wiring, seen, configured } = plan;
        let (attach, deployments) = (wiring.attach.clone(), wiring.deployments.clone());
        let wired = self.engine.wire(attach, deployments, configured).await;
        let wired = wired.map_err(|refusal| with_program(refusal, &seen))?;
        self.report.tell(&wiring, &wired);
        Ok(self.own_vips(&wiring, &seen).await)
    }

    /// Looks at the network again after it has changed.
    pub(super) async fn follow(&mut self, changed: Changed) {
        tracing::debug!(?changed, "the network has changed");
        let result = match plan(&self.net, &self.config, false).await {
            Ok(plan) => self.wire(plan).await,
            Err(refusal) => Err(refusal),
        };
        let (complaint, so) = match result {
            Ok(vips) => (vips.err(), "all but the VIPs is in force"),
            Err(refusal) => (Some(refusal), "the wiring stays as it is"),
        };
        if complaint != self.complaint {
            match &complaint {
                Some(refusal) => report::complain(refusal, so),
                None => tracing::info!("the network is as it should be again"),
            }
            self.complaint = complaint;
        }
    }

    /// Reads the configuration again; what is wrong with it leaves everything as it is.
    pub(super) async fn reload(&mut self) {
        let problems = self.try_reload().await;
        for problem in &problems {
            report::complain(problem, "the configuration stays as it is");
        }
        self.engine.reloaded(problems.into_iter().next()).await;
    }

    /// What is in the way, if anything is.
    async fn try_reload(&mut self) -> Vec<Refusal> {
        let config = match config::load(&self.path) {
            Ok(config) => config,
            Err(invalid) => return invalid.problems,
        };
        for key in fixed(&self.config.gateway, &config.gateway) {
            tracing::warn!(key, "a change of this key needs a restart: systemctl restart bgd");
        }
        let file = self.path.display().to_string();
        if let Some(refusal) = config::refuse_removal(&config::removed(&self.config, &config), &file) {
            return vec![refusal];
        }
        if let Err(refusal) = self.vip.open(&config).await {
            report::complain(&refusal, "no probe goes through a VIP");
        }
        crate::fail_point!("before-reload");
        let wired = match plan(&self.net, &config, false).await {
            Ok(plan) => self.wire(plan).await,
            Err(refusal) => Err(refusal),
        };
        crate::fail_point!("after-reload");
        match wired {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => report::complain(&refusal, "all but the VIPs is in force"),
            Err(refusal) => return vec![refusal],
        }
        self.engine.lifetimes(config.gateway.lifetimes).await;
        self.config = config;
        self.configure_outside();
        tracing::info!(file = %self.path.display(), "the configuration was read again");
        Vec::new()
    }

    /// Lets hooks, probes and roles go by the configuration that is in force.
    pub(super) fn configure_outside(&self) {
        for refusal in self.outside.configure(&self.config) {
            report::complain(&refusal, "slices cannot ask for their role there; it is tried again");
        }
    }

    /// Removes the VIPs that this daemon or one before it has added.
    pub(super) async fn release_vips(&self) {
        if self.remove_vips(&self.vips.read()).await
            && let Err(refusal) = self.vips.write(&[])
        {
            report::complain(&refusal, "the next daemon will look for them again");
        }
    }

    /// Undoes the start of a gateway that was not there before.
    pub(super) async fn take_down(&self) {
        if let Err(refusal) = self.engine.detach().await {
            report::complain(&refusal, "something is left in the kernel");
        }
        self.release_vips().await;
    }

    /// Adds the VIPs of `wiring` and removes those that an earlier one has added.
    async fn own_vips(&self, wiring: &Wiring, seen: &Survey) -> Result<(), Refusal> {
        let before = self.vips.read();
        let wanted: Vec<_> = wiring.vip_homes.iter().map(|home| home.vip).collect();
        let addresses = self.net.addresses().await?;
        let taken = addresses
            .iter()
            .find(|address| address.ours && wanted.contains(&address.ip) && !before.contains(&address.ip));
        if let Some(taken) = taken {
            let (vip, interface) =
                (taken.ip, seen.link(taken.ifindex).map_or("?", |link| link.name.as_str()));
            return Err(Refusal::new(
                "vip-taken",
                format_args!("{vip} was added by another instance of bg, which serves it"),
                interface,
                format_args!(
                    "give the VIP to one instance only; if no other one runs, ip addr del {vip} dev {interface}"
                ),
            ));
        }
        // Remembered first, so that none is forgotten whenever this process is killed.
        if before != wanted {
            self.vips.write(&[before.as_slice(), &wanted].concat())?;
        }
        let owned = self.net.own_vips(&wiring.vip_homes).await?;
        for home in &owned.added {
            let interface = seen.link(home.ifindex).map_or("?", |link| link.name.as_str());
            tracing::info!(vip = %home.vip, interface, "VIP added");
        }
        if owned.unmarked {
            tracing::warn!(
                "this kernel does not mark addresses: VIPs stay when the data plane is taken down"
            );
        }
        announce::spawn(&owned.added, seen);
        if let Some(refusal) = owned.failed.into_iter().next() {
            return Err(refusal);
        }
        let gone: Vec<_> = before.iter().copied().filter(|vip| !wanted.contains(vip)).collect();
        if before != wanted && self.remove_vips(&gone).await {
            self.vips.write(&wanted)?;
        }
        Ok(())
    }

    /// Whether none is left.
    async fn remove_vips(&self, vips: &[IpAddr]) -> bool {
        match self.net.release_vips(vips).await {
            Ok(released) => {
                for home in released {
                    tracing::info!(vip = %home.vip, "VIP removed");
                }
                true
            }
            Err(refusal) => {
                report::complain(&refusal, "a VIP may be left");
                false
            }
        }
    }
}

/// Names the program that is in the way: the kernel refuses an interface without saying whose it is.
fn with_program(mut refusal: Refusal, seen: &Survey) -> Refusal {
    let interface = refusal.at.split(' ').next().unwrap_or_default();
    let program = seen.link_named(interface).and_then(|link| link.xdp);
    if let ("foreign-program", Some(xdp)) = (refusal.code.as_str(), program) {
        refusal.at = format!("{}, held by XDP program {}", refusal.at, xdp.program);
    }
    refusal
}

/// The keys that differ although only a restart can change them.
fn fixed(old: &config::Gateway, new: &config::Gateway) -> Vec<&'static str> {
    let keys = [
        ("gateway.instance", old.instance != new.instance),
        ("gateway.socket", old.socket != new.socket),
        ("gateway.flows", old.flows != new.flows),
        ("gateway.half_open", old.half_open != new.half_open),
        ("gateway.journal", old.journal != new.journal),
    ];
    keys.iter().filter(|(_, changed)| *changed).map(|(key, _)| *key).collect()
}
