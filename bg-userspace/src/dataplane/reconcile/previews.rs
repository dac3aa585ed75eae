//! Preview rules, brought in line. No packet looks at them before the word says that there are some.

use super::Plan;
use crate::dataplane::DeploymentSpec;
use crate::dataplane::state::Op;
use crate::refusal::Refusal;
use bg_common::PreviewKey;
use bg_common::names::MAX_PREVIEWS;
use std::collections::BTreeMap;

impl Plan {
    /// Writes the rules that are new or lead elsewhere, and removes all others that are there.
    pub(super) fn previews(&mut self, want: &[DeploymentSpec]) -> Result<(), Refusal> {
        let mut wanted = BTreeMap::new();
        for deployment in want {
            let Some(id) = self.state.deployment_id(&deployment.name) else { continue };
            wanted.extend(deployment.previews.iter().map(|(prefix, aim)| {
                (PreviewKey::prefix(id, prefix.addr().into(), prefix.bits()), *aim as u32)
            }));
        }
        if wanted.len() > MAX_PREVIEWS as usize {
            return Err(Refusal::new(
                "table-full",
                format!("there is no room for another preview rule: the table holds {MAX_PREVIEWS}"),
                "the preview rules of all deployments",
                "remove rules that are not needed, or use shorter prefixes",
            ));
        }
        let have = &self.state.previews;
        let new = wanted.keys().filter(|key| !have.contains_key(key)).count();
        let gone: Vec<_> =
            have.keys().filter(|key| !wanted.contains_key(key)).copied().map(Op::RemovePreview).collect();
        let set = wanted.iter().filter(|(key, aim)| have.get(key) != Some(aim));
        let set: Vec<_> = set.map(|(key, aim)| Op::SetPreview(*key, *aim)).collect();
        // A client whose rule is replaced by another has one all the time, if the table has room for both.
        if have.len() + new <= MAX_PREVIEWS as usize {
            self.ops.extend(set.into_iter().chain(gone));
        } else {
            self.ops.extend(gone.into_iter().chain(set));
        }
        self.state.previews = wanted;
        Ok(())
    }
}
