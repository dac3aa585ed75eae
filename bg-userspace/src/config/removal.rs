//! What a new configuration would take away from a gateway, and how that is refused.
//!
//! A table that is missing may be a slip of the hand, and it would end the flows of clients. So a deployment
//! leaves only when its own table says so, by `remove = true`: that is one line to add and to take back, it
//! names what it is about, and it cannot stay behind and disarm the check for others, as a flag for all would.

use super::read::key;
use super::values::listed;
use super::{Config, Name};
use crate::refusal::Refusal;

/// The deployments of `old` that `new` neither has nor lets go.
#[must_use]
pub fn removed<'o>(old: &'o Config, new: &Config) -> Vec<&'o Name> {
    let stays = |name: &Name| {
        new.deployments.iter().any(|deployment| deployment.name == *name) || new.leaving.contains(name)
    };
    old.deployments.iter().map(|deployment| &deployment.name).filter(|name| !stays(name)).collect()
}

/// The refusal of a configuration that misses the deployments `removed`; none if that is empty. `file` is
/// its name in the message.
#[must_use]
pub fn refuse_removal(removed: &[&Name], file: &str) -> Option<Refusal> {
    let first = removed.first()?;
    let names = listed(removed);
    let (deployments, tables) = match removed {
        [_] => ("deployment", "its table"),
        _ => ("deployments", "their tables"),
    };
    let what =
        format!("the {deployments} {names} would be removed, and the flows of their clients would end");
    let mend = format!(
        "put {tables} back; or, if it is meant, say so in each: [deployment.{}] with `remove = true`. A deployment \
         that was renamed is a removed one and a new one",
        key(first)
    );
    Some(Refusal::new("removal", what, file, mend))
}

#[cfg(test)]
mod tests;
