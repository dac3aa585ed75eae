//! Tables and programs as the configuration, the network and the probes want them together.

use super::Engine;
use super::event::Wired;
use crate::dataplane::{AttachPlan, BackendSpec, DeploymentSpec};
use crate::model;
use crate::model::event::{Configured, Down};
use crate::refusal::Refusal;
use bg_common::Colour;

impl Engine {
    /// Puts programs, then tables in line: if an interface refuses, the tables have not changed, and what
    /// was attached before is attached still or again.
    pub(super) fn wire(
        &mut self,
        attach: AttachPlan,
        deployments: Vec<DeploymentSpec>,
        configured: Vec<Configured>,
    ) -> Result<Wired, Refusal> {
        crate::fail_point!("before-attach");
        let attachments = match self.dataplane.attach(&attach) {
            Ok(attachments) => attachments,
            Err(refusal) => {
                self.put_back(false);
                return Err(refusal);
            }
        };
        crate::fail_point!("after-attach");
        self.remember(&deployments);
        self.probes_from = configured.iter().flat_map(|it| it.policy.probe_addresses.clone()).collect();
        let wanted = self.overlaid(&deployments);
        let applied = self.dataplane.apply(&wanted);
        crate::fail_point!("after-apply");
        self.wired = self.now().moment;
        let applied = match applied {
            Ok(applied) => applied,
            Err(refusal) => {
                self.put_back(true);
                self.reread()?;
                return Err(refusal);
            }
        };
        self.previews.retain(|name, _| deployments.iter().any(|deployment| deployment.name == *name));
        self.down.retain(|name, _| deployments.iter().any(|deployment| deployment.name == *name));
        self.wiring = Some((attach, deployments));
        self.feed(model::Event::Configured(configured));
        self.feed(model::Event::Made(applied.created.clone()));
        self.reread()?;
        Ok(Wired { applied, attachments })
    }

    /// Puts what was wired before in force again.
    fn put_back(&mut self, tables: bool) {
        let Some((attach, deployments)) = self.wiring.clone() else {
            return;
        };
        let attached = self.dataplane.attach(&attach).err();
        let wanted = self.overlaid(&deployments);
        let applied = if tables { self.dataplane.apply(&wanted).err() } else { None };
        for worse in [attached, applied].into_iter().flatten() {
            tracing::error!(%worse, "what was wired before cannot be put back");
        }
    }

    /// Takes backends off their rings, or puts them on again, as the model has decided.
    pub(super) fn serve(&mut self) {
        let Some((_, deployments)) = &self.wiring else { return };
        let wanted = self.overlaid(deployments);
        let applied = self.dataplane.apply(&wanted);
        self.unserved = applied.is_err();
        if let Err(refusal) = applied {
            tracing::error!(%refusal, "backends cannot be taken off their rings or put on them; it is tried again");
        }
    }

    /// What was wired, with what is known of the backends, and the words that the model remembers of what is
    /// not there: since before the daemon was started, or since a reload that took it out.
    fn overlaid(&self, deployments: &[DeploymentSpec]) -> Vec<DeploymentSpec> {
        let mut wanted = deployments.to_vec();
        for deployment in &mut wanted {
            if let Some(memory) = self.machine.remembered(&deployment.name) {
                deployment.initial = memory.after_reboot();
            }
            let Some(down) = self.down.get(&deployment.name).filter(|down| !down.is_empty()) else {
                continue;
            };
            for spec in deployment.services.iter_mut().filter(|spec| spec.sheds()) {
                let service = spec.service().to_owned();
                for (colour, backends) in Colour::BOTH.into_iter().zip(&mut spec.backends) {
                    let dead = |backend: &BackendSpec| is_down(down, &service, colour, backend);
                    backends.iter_mut().filter(|backend| dead(backend)).for_each(|it| it.serving = false);
                }
            }
        }
        self.lead(&mut wanted);
        wanted
    }

    /// Until the model has decided, the backends and rules of what comes back are as they were when it went.
    pub(super) fn remember(&mut self, deployments: &[DeploymentSpec]) {
        for name in deployments.iter().map(|deployment| &deployment.name) {
            if let Some(memory) = self.machine.remembered(name) {
                self.down.insert(name.clone(), memory.down.clone());
                self.previews.insert(name.clone(), memory.previews.clone());
            }
        }
    }
}

fn is_down(down: &[Down], service: &str, colour: Colour, backend: &BackendSpec) -> bool {
    down.iter().any(|it| it.service == service && it.colour == colour && it.address == backend.addr.ip())
}
