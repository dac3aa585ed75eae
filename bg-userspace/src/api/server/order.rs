//! The paths of orders.

use super::answer::{in_time, late, refused, refused_order};
use super::call::{Body, Call, Query};
use super::{Limits, Site};
use crate::api::protocol::{
    CanaryRequest, Changed, DrainRequest, DrillRequest, FreezeRequest, Meant, OverrideRequest, PauseRequest,
    PlanQuery, PreviewRequest, ReasonRequest, RollbackRequest, StageRequest, SwitchRequest, order_path,
};
use crate::model::order::{Actor, Done, Order, Verb};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};

pub(super) fn routes(limits: &Limits) -> Router<Site> {
    let (done, asked) = (limits.done, limits.done + limits.hooks);
    let switch = post(|call: Call, Body(it): Body<SwitchRequest>| call.order(it.meant()))
        .layer(middleware::from_fn(move |request, next| in_time(asked, request, next)));
    let bounded = [
        ("plan", get(plan)),
        ("rollback", post(|call: Call, Body(it): Body<RollbackRequest>| call.order(it.meant()))),
        ("confirm", post(|call: Call, Body(it): Body<ReasonRequest>| call.order(it.meant(Verb::Confirm)))),
        ("stage", post(|call: Call, Body(it): Body<StageRequest>| call.order(it.meant()))),
        ("freeze", post(|call: Call, Body(it): Body<FreezeRequest>| call.order(it.meant()))),
        ("unfreeze", post(|call: Call, Body(it): Body<ReasonRequest>| call.order(it.meant(Verb::Unfreeze)))),
        ("pause", post(|call: Call, Body(it): Body<PauseRequest>| call.order(it.meant()))),
        ("resume", post(|call: Call, Body(it): Body<ReasonRequest>| call.order(it.meant(Verb::Resume)))),
        ("drain", post(|call: Call, Body(it): Body<DrainRequest>| call.order(it.meant()))),
        ("canary", post(|call: Call, Body(it): Body<CanaryRequest>| call.order(it.meant()))),
        ("preview", post(|call: Call, Body(it): Body<PreviewRequest>| call.order(it.meant()))),
        ("health", post(|call: Call, Body(it): Body<OverrideRequest>| call.order(it.meant()))),
    ];
    let add = |router: Router<Site>, (verb, method): (&str, MethodRouter<Site>)| {
        router.route(&order_path(Some("{name}"), verb), method.clone()).route(&order_path(None, verb), method)
    };
    let bounded = bounded
        .into_iter()
        .fold(Router::new(), add)
        .layer(middleware::from_fn(move |request, next| in_time(done, request, next)));
    // It says itself how long it takes.
    add(add(bounded, ("switch", switch)), ("drill", post(drill)))
}

async fn plan(call: Call, Query(PlanQuery { to }): Query<PlanQuery>) -> Response {
    call.order(Ok((Verb::Plan { to }, None))).await
}

async fn drill(call: Call, Body(request): Body<DrillRequest>) -> Response {
    let Limits { drilled, hooks, .. } = call.site.limits;
    let (limit, path) = (request.hold() + drilled + hooks, call.path.clone());
    match tokio::time::timeout(limit, call.order(request.meant())).await {
        Ok(response) => response,
        Err(_) => refused(late(limit, &path)),
    }
}

impl Call {
    /// Gives an order and answers what came of it.
    async fn order(self, meant: Meant) -> Response {
        let Self { site, peer, deployment, client, path: _ } = self;
        let (verb, reason) = match meant {
            Ok(meant) => meant,
            Err(refusal) => return refused(refusal),
        };
        let name = verb.name();
        let actor = peer.actor(client, &site.names).await;
        if !matches!(verb, Verb::Plan { .. }) {
            let Actor { user, client, .. } = &actor;
            tracing::info!(peer.uid, peer.pid, ?user, ?client, ?deployment, ?reason, "{name} is ordered");
        }
        match site.services.engine.order(Order { deployment, verb, actor, reason }).await {
            Ok(Done::Switched(switched)) => Json(switched).into_response(),
            Ok(Done::Plan(plan)) => Json(plan).into_response(),
            Ok(Done::Drilled(drilled)) => Json(drilled).into_response(),
            Ok(Done::Changed { deployment, generation, what }) => {
                Json(Changed { deployment, generation, what }).into_response()
            }
            Err(refusal) => {
                tracing::warn!(code = refusal.code, what = refusal.what, "{name} is refused");
                refused_order(refusal)
            }
        }
    }
}
