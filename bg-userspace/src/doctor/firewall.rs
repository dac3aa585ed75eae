//! Whether a firewall on the gateway expects to see packets that the redirect path takes past it.

use super::{Finding, Gateway};
use crate::dataplane::Path;
use std::time::Duration;
use tokio::process::Command;

const TOPIC: &str = "firewall";

/// Long rule sets take a while to print.
const PATIENCE: Duration = Duration::from_secs(10);

/// What lists rules, and what in the list means that connections are tracked.
const LISTS: [(&str, &[&str], &[&str]); 2] = [
    ("nft", &["list", "ruleset"], &["ct state", "xt match \"conntrack\""]),
    ("iptables-legacy-save", &[], &["--ctstate", "--state"]),
];

/// Where such programs are when PATH is short.
const SBIN: &str = "/usr/sbin";

pub(super) async fn examine(gateway: &Gateway<'_>) -> Vec<Finding> {
    if gateway.wiring.attach.path == Path::Stack {
        return Vec::new();
    }
    for (program, arguments, marks) in LISTS {
        let rules = run(program, arguments).await;
        if marks.iter().any(|mark| rules.contains(mark)) {
            return vec![Finding::warn(
                TOPIC,
                format_args!(
                    "the rules of `{program}` track connections, and redirected packets pass them by: \
                     neither do they filter a VIP's traffic nor do they see its connections"
                ),
                "set path = \"stack\" if the rules are to apply to the VIPs' traffic",
            )];
        }
    }
    Vec::new()
}

/// What a program prints; nothing if it is not there or fails.
async fn run(program: &str, arguments: &[&str]) -> String {
    for path in [program.to_owned(), format!("{SBIN}/{program}")] {
        let output = Command::new(path).args(arguments).kill_on_drop(true).output();
        if let Ok(Ok(output)) = tokio::time::timeout(PATIENCE, output).await {
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
    }
    String::new()
}
