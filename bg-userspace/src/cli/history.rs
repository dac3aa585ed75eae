//! `bgctl history`: what happened, and what was so at a time.

use super::env::Env;
use super::render::{self, cell, fold, table};
use super::run::{Failure, Result};
use super::say::{clean, exactly, moment};
use super::target::Target;
use super::{Global, HistoryArgs, When, told};
use crate::api::archive::Archive;
use crate::api::client::Client;
use crate::api::protocol::{Entry, History, HistoryQuery, Kinds, Remembered, SliceIdentity, Then, Verified};
use crate::refusal::Refusal;
use bg_common::Colour;
use comfy_table::Cell;
use jiff::Timestamp;

pub(super) async fn run(
    args: HistoryArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let HistoryArgs { deployment, since, until, at, verify, limit, kind } = args;
    let file = global.offline.then(|| env.journals.open(&target.journal()));
    let file = file.as_deref();
    if verify {
        let verified = match file {
            Some(file) => file.verify().await?,
            None => client.verify().await?,
        };
        return show_verified(&verified, global, env);
    }
    if let Some(at) = at {
        let time = unix(at, env)?;
        return show_at(remembered(file, time, client).await?, deployment.as_deref(), global, env);
    }
    let (since, until) = (since.map(|since| unix(since, env)), until.map(|until| unix(until, env)));
    let query = HistoryQuery {
        deployment,
        since: since.transpose()?,
        until: until.transpose()?,
        after_seq: None,
        kind: Kinds(kind),
        limit: Some(limit),
    };
    let ask = async |query: HistoryQuery| -> Result<History> {
        Ok(match file {
            Some(file) => file.history(query).await?,
            None => client.history(&query).await?,
        })
    };
    let name = query.deployment.clone();
    let history = ask(query).await?;
    if let Some(name) = name.filter(|_| history.entries.is_empty()) {
        // Nothing in that time, or a slip of the pen?
        let ever = HistoryQuery { deployment: Some(name.clone()), limit: Some(1), ..HistoryQuery::default() };
        if ask(ever).await?.entries.is_empty() {
            let what = format!("the journal has nothing about a deployment {name:?}");
            let mend = "name one that `bgctl status` or `bgctl history` shows";
            return Err(Refusal::new("unknown-deployment", what, "the journal", mend).into());
        }
    }
    show(&history, limit, global, env)
}

async fn remembered(file: Option<&dyn Archive>, time: u64, client: &Client) -> Result<Remembered> {
    Ok(match file {
        Some(file) => file.at(time).await?,
        None => client.at(time).await?,
    })
}

/// Unix time in seconds.
fn unix(when: When, env: &Env<'_>) -> std::result::Result<u64, Refusal> {
    let at = when.at((env.now)(), &env.zone).ok().map(Timestamp::as_second);
    at.and_then(|at| u64::try_from(at).ok()).ok_or_else(|| {
        let what = "that time is beyond any journal";
        Refusal::new("bad-time", what, "--since, --until, --at", "name a time after 1970")
    })
}

fn show(history: &History, limit: usize, global: &Global, env: &mut Env<'_>) -> Result {
    if global.json {
        return render::json(history, env);
    }
    let History { entries, more } = history;
    if entries.is_empty() {
        return Ok(writeln!(env.out, "nothing happened")?);
    }
    let mut table = table(&["TIME", "DEPLOYMENT", "WHAT"], env);
    for Entry { seq: _, at, record } in entries {
        let what = told::line(record);
        table.add_row([Cell::new(exactly(*at, env)), Cell::new(clean(&record.deployment)), Cell::new(what)]);
    }
    fold(&mut table, 1, env);
    render::print(&table, env)?;
    if *more {
        writeln!(env.out, "… the newest {limit}; older ones: --limit N, or --until TIME")?;
    }
    Ok(())
}

fn show_at(remembered: Remembered, name: Option<&str>, global: &Global, env: &mut Env<'_>) -> Result {
    let Remembered { time, mut deployments } = remembered;
    deployments.retain(|then| name.is_none_or(|name| name == then.entry.record.deployment));
    if global.json {
        return render::json(&Remembered { time, deployments }, env);
    }
    if deployments.is_empty() {
        return Ok(writeln!(env.out, "nothing is known of that time")?);
    }
    let mut table = table(&["DEPLOYMENT", "LIVE", ">GENERATION", "BLUE", "GREEN", "LIVE SINCE"], env);
    for Then { live_since, or_longer, entry: Entry { seq: _, at: _, record } } in &deployments {
        let slice = |colour| {
            let slice = record.slices.iter().find(|slice| slice.colour == colour);
            slice.map_or_else(String::new, |SliceIdentity { role, version, .. }| {
                format!("{} {}", version.as_deref().map_or_else(|| "-".to_owned(), clean), role.as_str())
            })
        };
        let [blue, green] = Colour::BOTH.map(slice);
        table.add_row([
            Cell::new(clean(&record.deployment)),
            cell(record.live),
            Cell::new(record.generation),
            Cell::new(blue),
            Cell::new(green),
            Cell::new(format!("{}{}", moment(*live_since, env), if *or_longer { ", or longer" } else { "" })),
        ]);
    }
    render::print(&table, env)
}

fn show_verified(verified: &Verified, global: &Global, env: &mut Env<'_>) -> Result {
    let Verified { whole, entries, first_seq, last_seq, head, broken_seq, why } = verified;
    if global.json {
        render::json(verified, env)?;
    } else if *whole {
        let range = match (first_seq, last_seq) {
            (Some(first), Some(last)) => format!(", {first} to {last}"),
            _ => String::new(),
        };
        writeln!(env.out, "the journal is whole: {}{range}", entries_of(*entries))?;
        if let Some(head) = head {
            writeln!(env.out, "digest of the last one: {}", clean(head))?;
        }
    } else {
        let at = broken_seq.map(|seq| format!(" at entry {seq}")).unwrap_or_default();
        let why = why.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
        writeln!(env.out, "the journal is NOT whole{at}{why}")?;
    }
    if *whole { Ok(()) } else { Err(Failure::Printed) }
}

fn entries_of(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}
