//! `--wait`: until the colour that was live has no flow left.

use super::env::Env;
use super::run::{Failure, Result};
use super::say::{clean, count, span};
use crate::api::client::{Client, Error};
use crate::api::protocol::{Deployment, Status, Switched};
use crate::refusal::Refusal;
use std::time::Duration;
use tokio::time::Instant;

/// A daemon that is restarted meanwhile is there again after so many looks.
const AWAY: u32 = 60;

/// Waits for the drain that `switched` has begun. Nothing is printed but what a person sees who looks on.
pub(super) async fn drained(
    switched: &Switched,
    within: Option<Duration>,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let waited = look(switched, within, client, env).await;
    if env.watched {
        write!(env.err, "\r\x1b[K")?;
        env.err.flush()?;
    }
    waited
}

async fn look(switched: &Switched, within: Option<Duration>, client: &Client, env: &mut Env<'_>) -> Result {
    let Switched { deployment: name, to, .. } = switched;
    let begun = Instant::now();
    let mut away = 0;
    loop {
        let status = match client.status().await {
            Ok(status) => status,
            Err(Error::Unreachable(_)) if away < AWAY => {
                away += 1;
                tokio::time::sleep(env.poll).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = 0;
        let Some(deployment) = find(&status, name) else {
            let mend = "see `bgctl status`";
            return Err(Refusal::new("gone", format!("{name} is gone"), "the configuration", mend).into());
        };
        if deployment.live != *to {
            return Err(taken_back(deployment, switched).into());
        }
        if !deployment.draining {
            return Ok(());
        }
        let left = deployment.open.of(to.other());
        if within.is_some_and(|within| begun.elapsed() >= within) {
            return Err(Failure::Left(left_over(deployment, *left, begun.elapsed())));
        }
        if env.watched {
            let oldest = deployment.drain.as_ref().and_then(|drain| drain.oldest_s);
            let oldest = oldest.map(|age| format!(", the oldest {} old", span(age))).unwrap_or_default();
            let (flows, waited) = (count(*left, "flow"), span(begun.elapsed().as_secs()));
            write!(env.err, "\r\x1b[K{name}: waiting for {flows} on {}{oldest}  {waited}", to.other())?;
            env.err.flush()?;
        }
        let rest = within.map_or(env.poll, |within| within.saturating_sub(begun.elapsed()));
        tokio::time::sleep(env.poll.min(rest)).await;
    }
}

fn find<'a>(status: &'a Status, name: &str) -> Option<&'a Deployment> {
    status.deployments.iter().find(|deployment| deployment.name == name)
}

fn taken_back(deployment: &Deployment, switched: &Switched) -> Refusal {
    let Deployment { name, live, generation, frozen, .. } = deployment;
    let why = frozen.as_ref().filter(|freeze| freeze.automatic);
    let why = why.map(|freeze| format!(": {}", clean(&freeze.why))).unwrap_or_default();
    let what = format!("the switch to {} was taken back{why}", switched.to);
    let at = format!("deployment {name}, {live} live, generation {generation}");
    Refusal::new("taken-back", what, at, format!("bgctl history {name} tells who did it and why"))
}

fn left_over(deployment: &Deployment, left: u64, waited: Duration) -> Refusal {
    let Deployment { name, live, .. } = deployment;
    let old = live.other();
    let are = if left == 1 { "is" } else { "are" };
    let what = format!("{} {are} left on {old} after {}", count(left, "flow"), span(waited.as_secs()));
    let mend = format!("wait longer, see `bgctl flows {name} --colour {old}`, or: bgctl drain end {name}");
    Refusal::new("still-draining", what, format!("deployment {name}, {live} live"), mend)
}
