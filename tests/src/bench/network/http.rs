//! Requests by wrk: the same client for all, one thread, so that the server keeps a CPU.

use super::lab::Lab;
use crate::daemon::service;
use crate::servers::port;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Enough to keep both CPUs of a small machine busy.
const CONNECTIONS: u32 = 32;

/// Connections per second, each for one request.
pub(super) fn connections(lab: &Lab, seconds: u32) -> Result<f64> {
    wrk(lab, seconds, &["-H", "Connection: close"])
}

/// Requests per second on connections that are kept.
pub(super) fn requests(lab: &Lab, seconds: u32) -> Result<f64> {
    wrk(lab, seconds, &[])
}

fn wrk(lab: &Lab, seconds: u32, more: &[&str]) -> Result<f64> {
    let target = lab.target(service::WEB, port::WEB)?;
    let mut args = vec![
        "-t1".to_owned(),
        format!("-c{CONNECTIONS}"),
        format!("-d{seconds}s"),
        "--timeout=2s".to_owned(),
    ];
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    args.push(format!("http://{target}/"));
    let said = lab.run("wrk", &args, Duration::from_secs(u64::from(seconds) + 10))?;
    let Outcome { rate, failed } = parse(&said).with_context(|| format!("wrk: {said}"))?;
    lab.failures.set(lab.failures.get() + failed);
    ensure!(rate > 0.0, "nobody answered: {said}");
    Ok(rate)
}

#[derive(PartialEq, Debug)]
struct Outcome {
    rate: f64,
    failed: u64,
}

fn parse(said: &str) -> Option<Outcome> {
    let rate =
        said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?.trim().parse().ok()?;
    let numbers = |line: &str| -> u64 {
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok()).sum()
    };
    let bad = |line: &&str| {
        let line = line.trim();
        line.starts_with("Socket errors:") || line.starts_with("Non-2xx or 3xx responses:")
    };
    // The status classes that the second one names are no count.
    let failed = said
        .lines()
        .filter(bad)
        .filter_map(|line| line.split_once(": "))
        .map(|(_, rest)| numbers(rest))
        .sum();
    Some(Outcome { rate, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_failures_are_read_from_what_wrk_prints() {
        let said = "Running 1s test @ http://198.51.100.10/\n  1 threads and 32 connections\n\
                    \x20 12345 requests in 1.00s, 2.13MB read\nRequests/sec:  12340.67\nTransfer/sec:      2.13MB\n";
        assert_eq!(parse(said), Some(Outcome { rate: 12_340.67, failed: 0 }));
        let failures =
            "  Socket errors: connect 1, read 20, write 0, timeout 300\n  Non-2xx or 3xx responses: 4000\n";
        assert_eq!(parse(&format!("{said}{failures}")).map(|outcome| outcome.failed), Some(4_321));
        assert_eq!(parse("unable to connect"), None);
    }
}
