//! Whether the journal can be read and kept, and whether bgd can be its own client beyond the uplink.

use super::Finding;
use crate::config::Config;
use crate::journal::{Query, Reader};
use std::fs::OpenOptions;
use std::path::Path;

/// Where the kernel gives out interfaces.
const TUN: &str = "/dev/net/tun";

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![journal(&config.gateway.journal).await];
    let mut probes = config.deployments.iter().flat_map(|deployment| &deployment.probes.probes);
    if probes.any(|probe| !probe.frontends.is_empty()) && !config.gateway.probe_addresses.is_empty() {
        findings.push(tun(Path::new(TUN)));
    }
    findings
}

async fn journal(path: &Path) -> Finding {
    const TOPIC: &str = "journal";
    let newest = Query { limit: 1, ..Query::default() };
    match Reader::new(path).history(&newest).await {
        Ok(_) => Finding::ok(TOPIC, format_args!("{} can be read", path.display())),
        Err(refusal) if refusal.code == "journal-missing" => {
            Finding::warn(TOPIC, format_args!("there is none at {} yet", path.display()), refusal.mend)
        }
        Err(refusal) => Finding::refused(TOPIC, &refusal),
    }
}

fn tun(path: &Path) -> Finding {
    const TOPIC: &str = "probes";
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Finding::ok(TOPIC, "bgd can ask through the VIPs, as a client would"),
        Err(why) => {
            let text = format!("probes through the VIPs cannot be made: {}: {why}", path.display());
            Finding::warn(TOPIC, text, "modprobe tun; in a container: give it the device")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[tokio::test]
    async fn a_journal_is_there_or_is_not_or_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("journal.db");
        assert_eq!(journal(&file).await.level, Level::Warn);
        std::fs::write(&file, b"not a database, but text\n".repeat(400)).unwrap();
        assert_eq!(journal(&file).await.level, Level::Fail);
        std::fs::remove_file(&file).unwrap();
        let opened = crate::journal::Journal::open(&file).await;
        opened.journal.close().await;
        assert_eq!((journal(&file).await.level, opened.deaf), (Level::Ok, None));
    }

    #[test]
    fn a_device_that_is_missing_is_named() {
        let finding = tun(Path::new("/nowhere/tun"));
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.text.contains("/nowhere/tun"), "{finding:?}");
    }
}
