//! One TCP stream by iperf3.

use super::lab::Lab;
use crate::daemon::service;
use crate::servers::port;
use anyhow::{Context, Result};
use serde_json::Value;
use std::time::Duration;

/// Gbit/s from the client to the slice.
pub(super) fn up(lab: &Lab, seconds: u32) -> Result<f64> {
    iperf(lab, seconds, None)
}

/// Gbit/s from the slice to the client.
pub(super) fn down(lab: &Lab, seconds: u32) -> Result<f64> {
    iperf(lab, seconds, Some("--reverse"))
}

fn iperf(lab: &Lab, seconds: u32, more: Option<&str>) -> Result<f64> {
    let target = lab.target(service::BULK, port::BULK)?;
    let (address, port) = (target.ip().to_string(), target.port().to_string());
    let seconds_text = seconds.to_string();
    let mut args = ["--json", "--client", &address, "--port", &port, "--time", &seconds_text]
        .map(str::to_owned)
        .to_vec();
    args.extend(more.map(str::to_owned));
    let patience = Duration::from_secs(u64::from(seconds) + 10);
    // A server that has just ended a test may still refuse the next one.
    let said = lab.run("iperf3", &args, patience).or_else(|_| lab.run("iperf3", &args, patience))?;
    let answer: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let received = answer.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64);
    Ok(received.with_context(|| said.clone())? / 1e9)
}
