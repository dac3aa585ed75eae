//! The server's end of the control socket: who may come in, within which bounds, and what each path
//! asks of the engine.

use super::listen::Listening;
use super::protocol::{self, FlowQuery, RollbackRequest, SwitchRequest};
use crate::engine::Handle;
use crate::model::order::{Actor, Done, Order, RollbackOrder, SwitchOrder, Verb, Who};
use crate::refusal::Refusal;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, body::Bytes};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::de::DeserializeOwned;
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

/// A client has so long to send a request's head, and so long between requests.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A request is answered within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Requests that are under way at the end have so long to finish.
const GRACE: Duration = Duration::from_secs(2);

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Peer {
    uid: u32,
    pid: i32,
}

/// Serves until `stop` is done; requests that are under way then are finished.
pub async fn serve(listening: Listening, engine: Handle, stop: impl Future<Output = ()>) {
    let (ending, ended) = watch::channel(());
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let router = router(engine);
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
                    let connection = converse(stream, router.clone(), ended.clone());
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
async fn converse(stream: UnixStream, router: Router, mut ended: watch::Receiver<()>) {
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
        Router::new().fallback(move || async move { answer(forbidden(peer)) })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
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

/// Whether a process of `uid` may use the socket of a daemon of `own`.
fn may_enter(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

fn router(engine: Handle) -> Router {
    Router::new()
        .route(
            protocol::STATUS,
            get(|State(engine): State<Handle>| async move { reply(engine.status().await) }),
        )
        .route(
            protocol::COUNTERS,
            get(|State(engine): State<Handle>| async move { reply(engine.counters().await) }),
        )
        .route(protocol::FLOWS, get(flows))
        .route(protocol::SWITCH, post(switch))
        .route(protocol::ROLLBACK, post(rollback))
        .route(protocol::SWITCH_ONLY, post(switch))
        .route(protocol::ROLLBACK_ONLY, post(rollback))
        .route(protocol::DETACH, post(detach))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(in_time))
        .with_state(engine)
}

async fn flows(State(engine): State<Handle>, query: Result<Query<FlowQuery>, QueryRejection>) -> Response {
    match query {
        Ok(Query(query)) => reply(engine.flows(query).await),
        Err(why) => answer(bad_request(&why.body_text(), protocol::FLOWS)),
    }
}

async fn switch(
    State(engine): State<Handle>,
    Extension(peer): Extension<Peer>,
    name: Option<Path<String>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let SwitchRequest { to, reason } = match parse(body, protocol::SWITCH) {
        Ok(request) => request,
        Err(refusal) => return answer(refusal),
    };
    let (deployment, colour) = (name.map(|Path(name)| name), to.map(tracing::field::display));
    tracing::info!(peer.uid, peer.pid, ?deployment, to = colour, ?reason, "a switch is ordered");
    let verb = Verb::Switch(SwitchOrder { to, ..SwitchOrder::default() });
    order(&engine, Order { deployment, verb, actor: actor(peer), reason }).await
}

async fn rollback(
    State(engine): State<Handle>,
    Extension(peer): Extension<Peer>,
    name: Option<Path<String>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let RollbackRequest { reason } = match parse(body, protocol::ROLLBACK) {
        Ok(request) => request,
        Err(refusal) => return answer(refusal),
    };
    let deployment = name.map(|Path(name)| name);
    tracing::info!(peer.uid, peer.pid, ?deployment, ?reason, "a rollback is ordered");
    let verb = Verb::Rollback(RollbackOrder::default());
    order(&engine, Order { deployment, verb, actor: actor(peer), reason }).await
}

async fn detach(State(engine): State<Handle>, Extension(peer): Extension<Peer>) -> Response {
    tracing::warn!(peer.uid, peer.pid, "the data plane is to be taken down");
    reply(engine.detach().await)
}

async fn order(engine: &Handle, order: Order) -> Response {
    match engine.order(order).await {
        Ok(Done::Switched(switched)) => Json(switched).into_response(),
        Ok(Done::Plan(plan)) => Json(plan).into_response(),
        Ok(Done::Drilled(drilled)) => Json(drilled).into_response(),
        Ok(Done::Changed { deployment, generation, what }) => {
            let changed =
                serde_json::json!({ "deployment": deployment, "generation": generation, "what": what });
            Json(changed).into_response()
        }
        Err(refusal) => {
            tracing::warn!(code = refusal.code, what = refusal.what, "refused");
            answer(refusal)
        }
    }
}

/// Who gives an order, for the record.
fn actor(peer: Peer) -> Actor {
    Actor { who: Who::Operator, uid: Some(peer.uid), pid: Some(peer.pid), ..Actor::default() }
}

async fn no_such_path(uri: Uri) -> Response {
    let mend =
        format!("the daemon knows {}, {} and {}", protocol::STATUS, protocol::FLOWS, protocol::COUNTERS);
    answer(Refusal::new("no-such-path", "there is nothing at this path", uri.path(), mend))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let mend = "use GET to look and POST to change";
    answer(Refusal::new("wrong-method", format!("{method} is not possible here"), uri.path(), mend))
}

async fn in_time(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let what = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
            answer(Refusal::new("timeout", what, path, "try again; if that fails: systemctl restart bgd"))
        }
    }
}

/// An empty body is the default request.
fn parse<T: DeserializeOwned + Default>(body: Result<Bytes, BytesRejection>, at: &str) -> Result<T, Refusal> {
    let body = body.map_err(|why| bad_request(&why.body_text(), at))?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|why| bad_request(&why.to_string(), at))
}

fn bad_request(why: &str, at: &str) -> Refusal {
    Refusal::new(
        "bad-request",
        format!("the request cannot be read: {why}"),
        at,
        "use the `bgctl` of this version",
    )
}

fn forbidden(peer: Peer) -> Refusal {
    let what = format!("user {} may not control this gateway", peer.uid);
    Refusal::new("forbidden", what, format!("process {}", peer.pid), "run it as root: sudo bgctl …")
}

fn reply<T: serde::Serialize>(result: Result<T, Refusal>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => answer(refusal),
    }
}

fn answer(refusal: Refusal) -> Response {
    let status = match refusal.code.as_str() {
        "bad-request" => StatusCode::BAD_REQUEST,
        "forbidden" => StatusCode::FORBIDDEN,
        "unknown-deployment" | "no-deployment" | "which-deployment" | "no-such-path" => StatusCode::NOT_FOUND,
        "wrong-method" => StatusCode::METHOD_NOT_ALLOWED,
        "nothing-to-roll-back" | "changed-meanwhile" | "contended" | "broken-word" => StatusCode::CONFLICT,
        "stopping" => StatusCode::SERVICE_UNAVAILABLE,
        "timeout" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(refusal)).into_response()
}

#[cfg(test)]
mod tests;
