//! Which gateway a command is for.

use super::Global;
use crate::config::{self, Config, Instance, Invalid};
use crate::paths;
use crate::refusal::Refusal;
use std::path::{Path, PathBuf};

/// A gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// Where its daemon listens.
    pub(super) socket: PathBuf,
    /// What its pins are called.
    pub(super) instance: String,
    /// Its configuration, whether it is there or not.
    pub(super) config: PathBuf,
}

impl Target {
    /// What was typed goes first, then what the configuration says, then the defaults. A file that
    /// was not asked for is read only when the default daemon is not there: reading it takes longer
    /// than a switch.
    pub(super) fn find(global: &Global) -> Result<Self, Invalid> {
        let Global { socket, config, instance, .. } = global;
        let path = config.clone().unwrap_or_else(|| PathBuf::from(paths::DEFAULT_CONFIG));
        if let Some(instance) = instance {
            Instance::parse(instance).map_err(|why| {
                Refusal::new(
                    "bad-instance",
                    format!("the name {instance:?} {why}"),
                    "--instance",
                    Instance::RULE,
                )
            })?;
        }
        let configured = match (config, socket, instance) {
            (Some(path), ..) => Some(config::load(path)?),
            (None, None, None) if !paths::socket(paths::DEFAULT_INSTANCE).exists() => {
                config::load(&path).ok()
            }
            (None, ..) => None,
        };
        let gateway = configured.map(|config| config.gateway);
        let name = match (instance, &gateway) {
            (Some(name), _) => name.clone(),
            (None, Some(gateway)) => gateway.instance.to_string(),
            (None, None) => paths::DEFAULT_INSTANCE.to_owned(),
        };
        let socket = match (socket, instance, gateway) {
            (Some(socket), ..) => socket.clone(),
            (None, None, Some(gateway)) => gateway.socket,
            (None, ..) => paths::socket(&name),
        };
        Ok(Self { socket, instance: name, config: path })
    }

    /// The configuration of this very instance, if there is one.
    pub(super) fn configuration(&self) -> Option<Config> {
        of_instance(&self.config, &self.instance)
    }
}

fn of_instance(path: &Path, instance: &str) -> Option<Config> {
    config::load(path).ok().filter(|config| &*config.gateway.instance == instance)
}
