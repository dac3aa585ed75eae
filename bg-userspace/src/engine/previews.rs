//! The preview rules that go into the tables: those of the configuration, those that were ordered, and what keeps
//! probes out of both.

use super::Engine;
use crate::dataplane::DeploymentSpec;
use crate::prefix::Prefix;
use bg_common::Aim;

impl Engine {
    /// Adds the rules that were ordered to those of the configuration.
    pub(super) fn lead(&self, wanted: &mut [DeploymentSpec]) {
        for deployment in wanted {
            let ordered = self.previews.get(&deployment.name).into_iter().flatten();
            for (prefix, aim) in ordered {
                if deployment.previews.iter().all(|(known, _)| known != prefix) {
                    deployment.previews.push((*prefix, *aim));
                }
            }
            if !deployment.previews.is_empty() {
                self.keep_probes_out(deployment);
            }
        }
    }

    /// A probe through a VIP asks whoever is live, whatever network its address is in: the longest prefix counts.
    fn keep_probes_out(&self, deployment: &mut DeploymentSpec) {
        deployment
            .previews
            .retain(|(prefix, _)| self.probes_from.iter().all(|it| Prefix::one(*it) != *prefix));
        deployment.previews.extend(self.probes_from.iter().map(|it| (Prefix::one(*it), Aim::Live)));
    }
}
