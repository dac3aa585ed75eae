//! Probes against real servers on the loopback: what is told about them, and that no server can cost
//! more than its time and a little memory.

mod command;
mod grpc;
mod http;
mod prober;
mod servers;
mod tls;
mod udp;

use super::means::Means;
use super::prober::NobodyKnows;
use super::question::Question;
use super::spec::{Ask, ProbeSet, ProbeSpec};
use crate::model::policy::{Finding, Level};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A timeout for probes that are expected to meet it.
const SHORT: Duration = Duration::from_millis(300);

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A probe of each machine that is asked so rarely that only its first question matters.
fn probe(name: &str, port: u16, ask: Ask) -> ProbeSpec {
    ProbeSpec {
        name: name.to_owned(),
        level: Level::Backend,
        port: Some(port),
        frontends: Vec::new(),
        interval: Duration::from_secs(3600),
        jitter: 0,
        timeout: SOON,
        ask,
    }
}

/// A deployment `shop` whose blue slice is this machine.
fn shop(probes: Vec<ProbeSpec>) -> ProbeSet {
    ProbeSet { deployment: "shop".to_owned(), slices: [vec![HERE], vec![]], probes }
}

/// What comes of asking the blue slice once; `Err` is why it is bad.
async fn ask(spec: ProbeSpec) -> Result<(), String> {
    ask_set(&shop(vec![spec])).await
}

/// As [`ask`], of the first target of a deployment.
async fn ask_set(set: &ProbeSet) -> Result<(), String> {
    let means = Means::new(None, Arc::new(NobodyKnows));
    let question = Question::of(set, None).remove(0);
    let began = Instant::now();
    let (_, finding, _) = means.ask(&question).await.expect("this host can ask");
    assert!(began.elapsed() < SOON, "a question that is never answered ends by its timeout");
    match finding {
        Finding::Good { answered: None } => Ok(()),
        Finding::Bad { why, answered: None } => Err(why),
        Finding::Good { answered } | Finding::Bad { answered, .. } => panic!("nobody knows of {answered:?}"),
    }
}

/// As [`ask`], of whoever listens at `to` and within `timeout`.
async fn ask_at(to: SocketAddr, ask: Ask, timeout: Duration) -> Result<(), String> {
    self::ask(ProbeSpec { timeout, ..probe("p", to.port(), ask) }).await
}

/// How long a row may take: short if it is expected to meet its timeout.
fn patience(expected: Result<(), &str>) -> Duration {
    if expected.is_err_and(|why| why.contains(" within ")) { SHORT } else { SOON }
}

/// Compares what came with what a row expects: nothing wrong, or a sentence that begins so.
#[track_caller]
fn fits(came: &Result<(), String>, expected: Result<(), &str>) -> bool {
    match (came, expected) {
        (Ok(()), Ok(())) => true,
        (Err(why), Err(begins)) => why.starts_with(begins),
        _ => false,
    }
}

fn check(row: &str, came: &Result<(), String>, expected: Result<(), &str>) {
    assert!(fits(came, expected), "{row}: expected {expected:?}, and came {came:?}");
    let long = came.as_ref().err().filter(|why| why.chars().count() > 500 || why.contains('\n'));
    assert_eq!(long, None, "{row}: a reason is one short sentence");
}
