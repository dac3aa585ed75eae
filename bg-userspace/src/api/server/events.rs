//! The events: what has happened, and then each thing as it happens, one line of JSON each.

use super::Site;
use super::answer::refused;
use super::call::Query;
use crate::api::archive::Follow;
use crate::api::protocol::{EVENTS, Entry, EventQuery, History, Kinds};
use crate::refusal::Refusal;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};

const LINES: &str = "application/x-ndjson";

/// Answers with lines for as long as the client wants.
pub(super) async fn follow(State(site): State<Site>, Query(query): Query<EventQuery>) -> Response {
    let Site { services, followers, ended, limits: _, names: _ } = site;
    // Before the journal is read, so that nothing falls between.
    let live = if query.follow {
        let Ok(permit) = Arc::clone(&followers).try_acquire_owned() else { return refused(too_many()) };
        Some((services.feed.subscribe(), permit))
    } else {
        None
    };
    let entries = match services.archive.history(query.past()).await {
        Ok(History { entries, more: _ }) => entries,
        // Without a journal there still are events.
        Err(refusal) if live.is_none() || query.since_seq.is_some() => return refused(refusal),
        Err(_) => Vec::new(),
    };
    let known = entries.iter().filter_map(|entry| entry.seq).max().or(query.since_seq);
    let past = match lines(&entries) {
        Ok(past) => past,
        Err(why) => return refused(Refusal::new("unprintable", why, EVENTS, "journalctl -u bgd")),
    };
    let EventQuery { deployment, kind, .. } = query;
    let body = match live {
        None => Body::from(past),
        Some((follow, permit)) => {
            let follower = Follower { follow, ended, deployment, kind, known, _permit: permit };
            let first = Some(Arc::from(past)).filter(|past: &Arc<str>| !past.is_empty());
            Body::from_stream(stream::unfold((first, follower), |(first, mut follower)| async move {
                let line = match first {
                    Some(past) => past,
                    None => follower.next().await?,
                };
                Some((Ok::<_, Infallible>(line.to_string()), (None, follower)))
            }))
        }
    };
    ([(CONTENT_TYPE, LINES)], body).into_response()
}

/// One who hears of events.
struct Follower {
    follow: Box<dyn Follow>,
    ended: watch::Receiver<()>,
    deployment: Option<String>,
    kind: Kinds,
    /// The newest entry that has been told.
    known: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

/// What of a line decides who hears of it.
#[derive(Deserialize)]
struct About {
    seq: Option<u64>,
    deployment: Option<String>,
    kind: Option<String>,
}

impl Follower {
    /// The next line that it wants; none at the end of the server.
    async fn next(&mut self) -> Option<Arc<str>> {
        loop {
            let line = tokio::select! {
                line = self.follow.next() => line?,
                _ = self.ended.changed() => return None,
            };
            if self.wants(&line) {
                return Some(line);
            }
        }
    }

    fn wants(&self, line: &str) -> bool {
        let Ok(About { seq, deployment, kind }) = serde_json::from_str(line) else { return false };
        let told = seq.is_some_and(|seq| self.known.is_some_and(|known| seq <= known));
        let Some(deployment) = deployment else {
            // That lines were lost concerns everybody.
            return true;
        };
        !told
            && self.deployment.as_ref().is_none_or(|wanted| *wanted == deployment)
            && (self.kind.is_empty() || kind.is_some_and(|kind| self.kind.0.contains(&kind)))
    }
}

fn lines(entries: &[Entry]) -> serde_json::Result<String> {
    let mut lines = String::new();
    for entry in entries {
        lines.push_str(&serde_json::to_string(entry)?);
        lines.push('\n');
    }
    Ok(lines)
}

fn too_many() -> Refusal {
    let what = format!("there are {} followers of events already", super::FOLLOWERS);
    Refusal::new(
        "too-many-followers",
        what,
        EVENTS,
        "end one of them: they are `bgctl events --follow` and the like",
    )
}
