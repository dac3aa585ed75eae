//! `bgctl drain`: how far a drain is; and how to extend or end it.

use super::env::Env;
use super::render;
use super::run::Result;
use super::say::{count, span};
use super::status::named;
use super::{DrainArgs, DrainCommand, Global, changes};
use crate::api::client::Client;
use crate::api::protocol::{Deployment, DrainRequest, DrainStatus, LastSwitch, Seconds};
use bg_common::Colour;
use serde::Serialize;

/// What `--json` prints for each deployment that drains.
#[derive(Debug, Serialize)]
struct Draining<'a> {
    deployment: &'a str,
    colour: Colour,
    #[serde(flatten)]
    drain: &'a DrainStatus,
    /// Seconds until the last flow is likely to have ended.
    end_in_s: Option<u64>,
}

pub(super) async fn run(args: DrainArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let DrainArgs { deployment, command } = args;
    let (deployment, request) = match command {
        None => return show(deployment.as_deref(), global, client, env).await,
        Some(DrainCommand::Extend { deployment, by, reason }) => {
            (deployment, DrainRequest { extend_by_s: Some(Seconds(by)), end: None, reason })
        }
        Some(DrainCommand::End { deployment, fate, reason }) => {
            (deployment, DrainRequest { extend_by_s: None, end: Some(fate), reason })
        }
    };
    changes::show(&client.drain(deployment.as_deref(), &request).await?, global, env)
}

async fn show(name: Option<&str>, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let status = client.status().await?;
    let found = named(&status, name)?;
    let draining: Vec<_> = found.into_iter().filter_map(draining).collect();
    if global.json {
        return render::json(&draining, env);
    }
    let facts: Vec<_> = draining.iter().map(fact).collect();
    if facts.is_empty() {
        return Ok(writeln!(env.out, "nothing drains")?);
    }
    render::facts(&facts, env)
}

fn draining(deployment: &Deployment) -> Option<Draining<'_>> {
    let Deployment { name, live, drain, last_switch, .. } = deployment;
    let drain = drain.as_ref()?;
    let end_in_s = last_switch.as_ref().and_then(|last| estimate(drain, last));
    Some(Draining { deployment: name, colour: live.other(), drain, end_in_s })
}

/// When the last flow is likely to have ended, if they go on ending at the rate at which they did.
fn estimate(drain: &DrainStatus, last: &LastSwitch) -> Option<u64> {
    /// Sooner than that nothing can be said.
    const LEAST: u64 = 10;
    let (began, left, since) = (last.switched.staying?, drain.open?, drain.since_s?);
    if since < LEAST || left == 0 || began <= left {
        return None;
    }
    // Exact up to 2^53 flows; what remains is a guess in any case.
    let (began, left, since) = (began as f64, left as f64, since as f64);
    let rest = since * (left + 1.0).ln() / (began / left).ln();
    let rest = std::time::Duration::try_from_secs_f64(rest).ok()?.as_secs();
    // Later than the deadline there is nothing left to end.
    drain.deadline_s.is_none_or(|deadline| rest < deadline).then_some(rest)
}

fn fact(draining: &Draining<'_>) -> (String, String) {
    let Draining { deployment, colour, drain, end_in_s } = draining;
    let end = end_in_s.map(|end| format!("; likely over in {}", span(end))).unwrap_or_default();
    ((*deployment).to_owned(), format!("{}{end}", sentence(*colour, drain)))
}

/// How far a drain is.
pub(super) fn sentence(colour: Colour, drain: &DrainStatus) -> String {
    let DrainStatus { open, oldest_s, since_s, deadline_s, fate, fate_then } = drain;
    let flows = open.map_or_else(|| "flows".to_owned(), |open| count(open, "flow"));
    let oldest = oldest_s.map(|age| format!(", the oldest {} old", span(age))).unwrap_or_default();
    let kept = match fate.as_str() {
        "reset" => "; they are reset at their next packet",
        "move" => "; datagram flows move at their next packet",
        _ => "",
    };
    let then = match fate_then.as_deref() {
        Some("move") => "datagram flows that are left move",
        Some("reset") => "those that are left are reset",
        _ => "those that are left get their fate",
    };
    let deadline = deadline_s.map(|left| format!("; {then} in {}", span(left))).unwrap_or_default();
    let deadline = if *open == Some(0) { String::new() } else { deadline };
    let since = since_s.map(|since| format!(" for {}", span(since))).unwrap_or_default();
    format!("{colour} drains{since}: {flows}{oldest}{kept}{deadline}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::protocol::{Proof, Switched};

    #[test]
    fn the_end_of_a_drain_is_guessed_from_how_flows_ended_so_far() {
        // Half of 1000 in a minute: 9 more halvings.
        for (began, open, since, deadline, expected) in [
            (1000, 500, 60, None, Some(538)),
            (1000, 500, 60, Some(120), None),
            (1000, 500, 60, Some(540), Some(538)),
            (1000, 1, 60, None, Some(6)),
            (1000, 1000, 60, None, None),
            (1000, 1200, 60, None, None),
            (1000, 0, 60, None, None),
            (1000, 500, 9, None, None),
        ] {
            let drain = DrainStatus {
                open: Some(open),
                oldest_s: None,
                since_s: Some(since),
                deadline_s: deadline,
                fate: "keep".to_owned(),
                fate_then: None,
            };
            let switched = Switched {
                deployment: "shop".to_owned(),
                from: Colour::Blue,
                to: Colour::Green,
                from_version: None,
                to_version: None,
                generation: 1,
                took_ns: 3,
                already: false,
                staying: Some(began),
                confirm_within_s: None,
                bake_s: None,
                proof: Proof::default(),
            };
            let guessed = estimate(&drain, &LastSwitch { at: 0, switched });
            assert_eq!(guessed, expected, "{open} of {began} after {since} s");
        }
    }
}
