//! Looks at everything that a gateway needs and says what is wrong and what mends it. It changes
//! nothing: it reads the kernel's state, compares it with what the configuration asks for and with
//! what is attached, and at most has the kernel ask a slice for its MAC address.

mod attachments;
mod clients;
mod firewall;
mod forwarding;
mod kernel;
mod links;
pub(crate) mod privileges;
mod slices;
mod state;
mod vips;

use crate::config::{Config, Invalid};
use crate::dataplane::Attachment;
use crate::net::{Net, Survey};
use crate::refusal::Refusal;
use crate::wiring::{self, Unreachable, Wiring};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but not in every case or not for long.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at: `kernel`, `privileges`, `config`, `wiring`, `attachment`, `link`,
    /// `forwarding`, `slice`, `vip`, `firewall`, `journal`, `probes` or `clients`.
    pub topic: String,
    /// What was found, in a sentence without a full stop.
    pub text: String,
    /// What to do about it; a command where there is one.
    pub mend: Option<String>,
}

impl Finding {
    fn ok(topic: &str, text: impl fmt::Display) -> Self {
        Self { level: Level::Ok, topic: topic.to_owned(), text: text.to_string(), mend: None }
    }

    fn warn(topic: &str, text: impl fmt::Display, mend: impl fmt::Display) -> Self {
        let mend = Some(mend.to_string());
        Self { level: Level::Warn, topic: topic.to_owned(), text: text.to_string(), mend }
    }

    fn fail(topic: &str, text: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Self { level: Level::Fail, ..Self::warn(topic, text, mend) }
    }

    fn refused(topic: &str, refusal: &Refusal) -> Self {
        let Refusal { code: _, what, at, mend } = refusal;
        Self::fail(topic, format_args!("{what} ({at})"), mend)
    }
}

/// A gateway as it is wanted and as it is seen.
struct Gateway<'a> {
    config: &'a Config,
    seen: &'a Survey,
    wiring: &'a Wiring,
}

/// Examines this machine, in the current network namespace. `attached` is what the daemon or the
/// pinned links say is attached, or why that is not known.
pub async fn examine(
    config: Result<&Config, &Invalid>,
    attached: Result<&[Attachment], &Refusal>,
) -> Vec<Finding> {
    let mut findings = kernel::examine();
    findings.extend(privileges::examine());
    match config {
        Ok(config) => {
            findings.push(Finding::ok("config", "the configuration is valid"));
            findings.extend(state::examine(config).await);
            match network(config, attached).await {
                Ok(network) => findings.extend(network),
                Err(refusal) => findings.push(Finding::refused("wiring", &refusal)),
            }
        }
        Err(invalid) => {
            findings.extend(invalid.problems.iter().map(|problem| Finding::refused("config", problem)));
        }
    }
    findings
}

/// Everything that depends on what the gateway is to be. A refusal is what the daemon would say too.
async fn network(
    config: &Config,
    attached: Result<&[Attachment], &Refusal>,
) -> Result<Vec<Finding>, Refusal> {
    let net = Net::open()?;
    let slices = config.deployments.iter().flat_map(|deployment| deployment.slices.iter().flatten());
    let seen = net.survey(slices.copied()).await?;
    let wiring = wiring::plan(config, &seen, Unreachable::Note)?;
    let gateway = Gateway { config, seen: &seen, wiring: &wiring };

    let mut findings: Vec<_> = wiring.notes.iter().map(|note| Finding::ok("wiring", note)).collect();
    findings.extend(attachments::examine(&gateway, attached));
    findings.extend(links::examine(&gateway, attached));
    findings.extend(forwarding::examine(&gateway));
    findings.extend(slices::examine(&gateway, &net).await);
    findings.extend(vips::examine(&gateway, attached.is_ok_and(|attached| !attached.is_empty())));
    findings.extend(firewall::examine(&gateway).await);
    findings.extend(clients::examine(&gateway, attached.unwrap_or_default()));
    Ok(findings)
}
