//! The preview rules that go into the tables: those of the configuration, those that were ordered, and what keeps
//! probes out of both.

use super::Engine;
use crate::dataplane::DeploymentSpec;
use crate::prefix::Prefix;
use bg_common::Aim;
use bg_common::names::MAX_PREVIEWS;

impl Engine {
    /// Adds the rules that were ordered to those of the configuration. One that the table has no room for is left out:
    /// everything else in the tables must not wait for that.
    pub(super) fn lead(&self, wanted: &mut [DeploymentSpec]) {
        for deployment in wanted.iter_mut().filter(|deployment| !deployment.previews.is_empty()) {
            self.keep_probes_out(deployment);
        }
        let mut room = usize::try_from(MAX_PREVIEWS).unwrap_or(usize::MAX);
        room = room.saturating_sub(wanted.iter().map(|deployment| deployment.previews.len()).sum());
        for deployment in wanted {
            let ordered = self.previews.get(&deployment.name).map(Vec::as_slice).unwrap_or_default();
            let is_new = |prefix: &Prefix| deployment.previews.iter().all(|(known, _)| known != prefix);
            let mut ordered: Vec<_> = ordered.iter().filter(|(prefix, _)| is_new(prefix)).copied().collect();
            let first = if deployment.previews.is_empty() { self.probes_from.len() } else { 0 };
            let fitting = ordered.len().min(room.saturating_sub(first));
            let left_out = ordered.split_off(fitting);
            if let Some((prefix, _)) = left_out.first() {
                let (name, count) = (&deployment.name, left_out.len());
                tracing::error!(
                    deployment = %name,
                    "the table of preview rules is full: {count} that were ordered are left out, from {prefix} on; \
                     remove rules that are not needed: bgctl preview {name} list"
                );
            }
            if !ordered.is_empty() {
                room = room.saturating_sub(first + ordered.len());
                deployment.previews.extend(ordered);
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
