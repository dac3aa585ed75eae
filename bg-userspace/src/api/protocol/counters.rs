//! Every counter.

use bg_common::{Traffic, Verdict};
use serde::{Deserialize, Serialize};

/// Every counter.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// What the slices carry, in the order of the deployments' names.
    pub deployments: Vec<DeploymentTraffic>,
    /// How often each reason applied, in the order of the numbers.
    pub reasons: Vec<ReasonCount>,
}

/// What a deployment's slices carry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeploymentTraffic {
    /// The deployment's name.
    pub name: String,
    /// Of blue.
    pub blue: SliceTraffic,
    /// Of green.
    pub green: SliceTraffic,
}

/// What a slice carries, since the tables were made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SliceTraffic {
    /// Packets to the slice.
    pub packets_in: u64,
    /// Bytes to the slice.
    pub bytes_in: u64,
    /// Packets from the slice.
    pub packets_out: u64,
    /// Bytes from the slice.
    pub bytes_out: u64,
    /// Flows that were given to the slice.
    pub flows: u64,
    /// Of these, flows that began with a TCP SYN.
    pub handshakes: u64,
    /// Flows to which the slice answered.
    pub answered: u64,
    /// TCP RST packets from the slice.
    pub resets: u64,
    /// Flows that began with a TCP SYN and were answered, by other than a RST.
    pub handshakes_answered: u64,
    /// Flows that began with a TCP SYN and got a RST as the first answer.
    pub refused: u64,
    /// CLOCK_MONOTONIC nanoseconds of the newest flow; 0 is none.
    pub last_new_ns: u64,
    /// The same of the oldest flow in the generation below; 0 is none.
    pub first_new_ns: u64,
    /// Generation of the word that gave the slice its newest flow.
    pub first_new_generation: u64,
    /// Of the flows, those of the gateway's own processes.
    #[serde(default)]
    pub local: u64,
}

impl From<Traffic> for SliceTraffic {
    fn from(traffic: Traffic) -> Self {
        let Traffic {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            flows,
            handshakes,
            answered,
            resets,
            handshakes_answered,
            refused,
            last_new_ns,
            first_new_ns,
            first_new_generation,
            local,
            zero: _,
        } = traffic;
        Self {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            flows,
            handshakes,
            answered,
            resets,
            handshakes_answered,
            refused,
            last_new_ns,
            first_new_ns,
            first_new_generation,
            local,
        }
    }
}

/// How often a reason applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Its number, which never changes.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What becomes of such a packet: `pass`, `forward`, `drop` or `answer`.
    pub verdict: String,
    /// Packets.
    pub count: u64,
    /// What it means.
    pub explanation: String,
}

impl From<crate::dataplane::Counters> for Counters {
    fn from(counters: crate::dataplane::Counters) -> Self {
        let crate::dataplane::Counters { traffic, reasons } = counters;
        let deployment = |(name, [blue, green]): (_, [Traffic; 2])| DeploymentTraffic {
            name,
            blue: blue.into(),
            green: green.into(),
        };
        let reason = |(reason, count): (bg_common::Reason, u64)| ReasonCount {
            number: reason.index(),
            name: reason.as_str().to_owned(),
            verdict: verdict(reason.verdict()).to_owned(),
            count,
            explanation: reason.explain().trim().to_owned(),
        };
        let mut deployments: Vec<_> = traffic.into_iter().map(deployment).collect();
        deployments.sort_by(|a, b| a.name.cmp(&b.name));
        Self { deployments, reasons: reasons.into_iter().map(reason).collect() }
    }
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Forward => "forward",
        Verdict::Drop => "drop",
        Verdict::Answer => "answer",
    }
}
