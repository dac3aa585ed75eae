//! `bgctl events`: what has just happened, and what happens, line by line.

use super::env::Env;
use super::run::{Failure, Result};
use super::say::{clean, exactly};
use super::{EventsArgs, Global, told};
use crate::api::client::Client;
use crate::api::protocol::{Entry, EventQuery, Kinds};
use crate::notify::notice::Line;

pub(super) async fn run(args: EventsArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let EventsArgs { deployment, follow, kind, limit } = args;
    let query = EventQuery { deployment, kind: Kinds(kind), follow, since_seq: None, limit: Some(limit) };
    let mut lines = client.events(&query).await?;
    while let Some(line) = lines.next().await? {
        let text = if global.json { line } else { text(&line, env) };
        writeln!(env.out, "{text}")?;
        // Whoever follows wants to see it when it happens.
        env.out.flush()?;
    }
    if follow {
        return Err(Failure::Unreachable(client.gone()));
    }
    Ok(())
}

/// A line as people read it. One of a newer daemon is shown as it came.
fn text(line: &str, env: &Env<'_>) -> String {
    match Line::parse(line) {
        Ok(Line::Notice(notice)) => {
            let Entry { seq: _, at, record } = *notice;
            format!("{}  {}  {}", exactly(at, env), clean(&record.deployment), told::line(&record))
        }
        Ok(Line::Lagged(lagged)) => {
            format!("… {} events came too fast: `bgctl history` has them", lagged.lost)
        }
        Err(_) => clean(line),
    }
}
