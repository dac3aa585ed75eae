//! The server's end of the control socket: who may come in, and within which bounds. What each path asks
//! for is in the modules below.

mod answer;
mod call;
mod events;
mod look;
mod order;
mod peer;

use super::archive::{Archive, Feed, NoArchive, NoFeed};
use super::listen::Listening;
use crate::engine::Handle;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peer::{Names, Peer, may_enter};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at a time; the next one waits.
const CONNECTIONS: usize = 64;

/// Longest request body in bytes.
const BODY: usize = 16 * 1024;

/// Longest request head in bytes.
const HEAD: usize = 16 * 1024;

/// Followers of events at a time; the next one is refused.
const FOLLOWERS: usize = 16;

/// Requests that are under way at the end have so long to finish.
const GRACE: Duration = Duration::from_secs(2);

/// How long things may take. Each limit of the client is a little longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    /// A client has so long to send a request's head, so long for its body, and so long between requests.
    pub(super) sent: Duration,
    /// Who looks is answered within this time. Of events only the head of the answer is.
    pub(super) looked: Duration,
    /// A journal of years takes longer to verify.
    pub(super) verified: Duration,
    /// Orders wait for the journal and for their proof,
    pub(super) done: Duration,
    /// and those that ask hooks so much longer.
    pub(super) hooks: Duration,
    /// A drill takes so much longer than it holds.
    pub(super) drilled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            sent: seconds(10),
            looked: seconds(30),
            verified: seconds(300),
            done: seconds(120),
            hooks: crate::model::HOOKS_WITHIN,
            drilled: seconds(60),
        }
    }
}

/// What is behind the paths.
#[derive(Clone)]
pub struct Services {
    /// Obeys orders, and knows how things stand.
    pub engine: Handle,
    /// Knows what happened.
    pub archive: Arc<dyn Archive>,
    /// Tells what happens.
    pub feed: Arc<dyn Feed>,
}

impl Services {
    /// A daemon that neither keeps a journal nor tells events.
    #[must_use]
    pub fn without_journal(engine: Handle) -> Self {
        Self { engine, archive: Arc::new(NoArchive), feed: Arc::new(NoFeed) }
    }
}

/// What every request finds.
#[derive(Clone)]
struct Site {
    services: Services,
    limits: Limits,
    names: Names,
    followers: Arc<Semaphore>,
    /// Changes when the server ends.
    ended: watch::Receiver<()>,
}

/// Serves until `stop` is done; requests that are under way then are finished.
pub async fn serve(listening: Listening, services: Services, stop: impl Future<Output = ()>) {
    serve_within(Limits::default(), listening, services, stop).await;
}

/// Serves with these limits.
pub(super) async fn serve_within(
    limits: Limits,
    listening: Listening,
    services: Services,
    stop: impl Future<Output = ()>,
) {
    let (ending, ended) = watch::channel(());
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let followers = Arc::new(Semaphore::new(FOLLOWERS));
    let site = Site { services, limits, names: Names::default(), followers, ended: ended.clone() };
    let names = site.names.clone();
    tokio::spawn(async move { names.of(0).await });
    let router = router(site);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listening.listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let connection = converse(stream, router.clone(), limits, ended.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(why) => {
                    // Out of file descriptors, most likely: waiting gives them a chance to be closed.
                    tracing::warn!(%why, "cannot accept on the control socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listening);
    drop(ending);
    let rest = async { while connections.join_next().await.is_some() {} };
    // What is still open after that is cut by the set's end.
    let _ = tokio::time::timeout(GRACE, rest).await;
}

/// One connection, from the first request to the last.
async fn converse(stream: UnixStream, router: Router, limits: Limits, mut ended: watch::Receiver<()>) {
    let peer = match stream.peer_cred() {
        Ok(peer) => Peer { uid: peer.uid(), pid: peer.pid().unwrap_or_default() },
        Err(why) => {
            tracing::warn!(%why, "cannot tell who has connected");
            return;
        }
    };
    let router = if may_enter(peer.uid, nix::unistd::geteuid().as_raw()) {
        router.layer(Extension(peer))
    } else {
        tracing::warn!(peer.uid, peer.pid, "turned away: not the daemon's user");
        Router::new().fallback(move || async move { answer::refused(peer.forbidden()) })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.sent)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = ended.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = result {
        tracing::debug!(%why, peer.pid, "a control connection ended early");
    }
}

fn router(site: Site) -> Router {
    look::routes(&site.limits)
        .merge(order::routes(&site.limits))
        .fallback(look::no_such_path)
        .method_not_allowed_fallback(look::wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(site)
}

#[cfg(test)]
mod tests;
