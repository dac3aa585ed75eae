//! The paths that change nothing, and the one that takes everything down.

use super::answer::{in_time, refused, reply};
use super::call::{Call, Query};
use super::events;
use super::{Limits, Site};
use crate::api::protocol::{self, AtQuery, DriftQuery, FlowQuery, HealthQuery, HistoryQuery};
use crate::refusal::Refusal;
use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};

pub(super) fn routes(limits: &Limits) -> Router<Site> {
    let Limits { looked, verified, .. } = *limits;
    let quick = Router::new()
        .route(protocol::STATUS, get(status))
        .route(protocol::COUNTERS, get(counters))
        .route(protocol::FLOWS, get(flows))
        .route(protocol::HEALTH, get(health))
        .route(protocol::DRIFT, get(drift))
        .route(protocol::HISTORY, get(history))
        .route(protocol::HISTORY_AT, get(at))
        .route(protocol::EVENTS, get(events::follow))
        .route(protocol::DETACH, post(detach))
        .layer(middleware::from_fn(move |request, next| in_time(looked, request, next)));
    let slow = Router::new()
        .route(protocol::HISTORY_VERIFY, get(verify))
        .layer(middleware::from_fn(move |request, next| in_time(verified, request, next)));
    quick.merge(slow)
}

async fn status(State(site): State<Site>) -> Response {
    reply(site.services.engine.status().await)
}

async fn counters(State(site): State<Site>) -> Response {
    reply(site.services.engine.counters().await)
}

async fn flows(State(site): State<Site>, Query(query): Query<FlowQuery>) -> Response {
    reply(site.services.engine.flows(query).await)
}

async fn health(State(site): State<Site>, Query(query): Query<HealthQuery>) -> Response {
    reply(site.services.engine.health(query.deployment).await)
}

async fn drift(State(site): State<Site>, Query(query): Query<DriftQuery>) -> Response {
    reply(site.services.engine.drift(query.deployment).await)
}

async fn history(State(site): State<Site>, Query(query): Query<HistoryQuery>) -> Response {
    reply(site.services.archive.history(query).await)
}

async fn at(State(site): State<Site>, Query(AtQuery { time }): Query<AtQuery>) -> Response {
    reply(site.services.archive.at(time).await)
}

async fn verify(State(site): State<Site>) -> Response {
    reply(site.services.archive.verify().await)
}

async fn detach(call: Call) -> Response {
    let Call { site, peer, .. } = call;
    tracing::warn!(peer.uid, peer.pid, "the data plane is to be taken down");
    reply(site.services.engine.detach().await)
}

pub(super) async fn no_such_path(uri: Uri) -> Response {
    let looks = [
        protocol::STATUS,
        protocol::FLOWS,
        protocol::COUNTERS,
        protocol::HEALTH,
        protocol::DRIFT,
        protocol::HISTORY,
        protocol::EVENTS,
    ];
    let order = protocol::order_path(Some("NAME"), "switch");
    let mend = format!("the daemon knows {}, and orders such as {order}", looks.join(", "));
    refused(Refusal::new("no-such-path", "there is nothing at this path", uri.path(), mend))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let mend = "use GET to look and POST to change";
    refused(Refusal::new("wrong-method", format!("{method} is not possible here"), uri.path(), mend))
}
