//! Which gateway a command is for.

use super::Global;
use crate::config::{self, Config, Instance, Invalid};
use crate::paths;
use crate::refusal::Refusal;
use std::path::PathBuf;

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
        let path = config.clone().unwrap_or_else(|| PathBuf::from(paths::DEFAULT_CONFIG));
        let default_is_there = || paths::socket(paths::DEFAULT_INSTANCE).exists();
        let gateway = match (config, socket, instance) {
            (_, Some(_), Some(_)) => None,
            // What was typed is enough.
            (Some(path), Some(_), None) | (Some(path), None, Some(_)) => config::load_gateway(path).ok(),
            (Some(path), None, None) => Some(config::load_gateway(path)?),
            (None, None, None) if !default_is_there() => config::load_gateway(&path).ok(),
            (None, ..) => None,
        };
        let gateway =
            gateway.filter(|gateway| instance.as_ref().is_none_or(|name| *name == *gateway.instance));
        let name = match (instance, &gateway) {
            (Some(name), _) => name.clone(),
            (None, Some(gateway)) => gateway.instance.to_string(),
            (None, None) => paths::DEFAULT_INSTANCE.to_owned(),
        };
        let configured = || gateway.map_or_else(|| paths::socket(&name), |gateway| gateway.socket);
        let socket = socket.clone().unwrap_or_else(configured);
        Ok(Self { socket, instance: name, config: path })
    }

    /// Where its journal is.
    pub(super) fn journal(&self) -> PathBuf {
        let gateway = config::load_gateway(&self.config).ok();
        let gateway = gateway.filter(|gateway| *gateway.instance == *self.instance);
        gateway.map_or_else(|| paths::journal(&self.instance), |gateway| gateway.journal)
    }

    /// The configuration of this very instance, if there is one.
    pub(super) fn configuration(&self) -> Option<Config> {
        config::load(&self.config).ok().filter(|config| *config.gateway.instance == *self.instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_was_typed_goes_before_the_configuration_and_that_before_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bg.toml");
        std::fs::write(&file, "[gateway]\ninstance = \"lab\"\nsocket = \"/tmp/lab.sock\"\n").unwrap();
        let rows = [
            // (--config, --instance, --socket, instance, socket)
            (true, None, None, "lab", "/tmp/lab.sock"),
            (true, Some("lab"), None, "lab", "/tmp/lab.sock"),
            (true, Some("other"), None, "other", "/run/bg/other/bg.sock"),
            (true, None, Some("/tmp/x.sock"), "lab", "/tmp/x.sock"),
            (false, Some("other"), None, "other", "/run/bg/other/bg.sock"),
            (false, Some("other"), Some("/tmp/x.sock"), "other", "/tmp/x.sock"),
            (false, None, Some("/tmp/x.sock"), "default", "/tmp/x.sock"),
        ];
        for (config, instance, socket, expected, at) in rows {
            let global = Global {
                config: config.then(|| file.clone()),
                instance: instance.map(str::to_owned),
                socket: socket.map(PathBuf::from),
                ..Global::default()
            };
            let target = Target::find(&global).unwrap();
            assert_eq!(
                (target.instance.as_str(), target.socket.as_path()),
                (expected, Path::new(at)),
                "{global:?}"
            );
        }
    }
}
