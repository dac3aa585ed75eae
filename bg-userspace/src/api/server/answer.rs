//! How requests are answered, and how long that may take.

use crate::refusal::Refusal;
use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;

/// A value, or the refusal.
pub(super) fn reply<T: Serialize>(result: Result<T, Refusal>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => refused(refusal),
    }
}

/// A refusal of what was asked.
pub(super) fn refused(refusal: Refusal) -> Response {
    let status = status(&refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(refusal)).into_response()
}

/// The refusal of an order: it is in conflict with how things stand, unless it says something else.
pub(super) fn refused_order(refusal: Refusal) -> Response {
    let status = status(&refusal.code).unwrap_or(StatusCode::CONFLICT);
    (status, Json(refusal)).into_response()
}

fn status(code: &str) -> Option<StatusCode> {
    let status = match code {
        "bad-request" => StatusCode::BAD_REQUEST,
        "forbidden" => StatusCode::FORBIDDEN,
        "unknown-deployment" | "no-deployment" | "which-deployment" | "no-such-path" => StatusCode::NOT_FOUND,
        "wrong-method" => StatusCode::METHOD_NOT_ALLOWED,
        "too-many-followers" => StatusCode::TOO_MANY_REQUESTS,
        "unsupported" => StatusCode::NOT_IMPLEMENTED,
        "stopping" | "no-journal" => StatusCode::SERVICE_UNAVAILABLE,
        "timeout" => StatusCode::GATEWAY_TIMEOUT,
        // The kernel's tables cannot be read or written.
        _ if code.starts_with("table-") => StatusCode::INTERNAL_SERVER_ERROR,
        _ if code.starts_with("gate-") => StatusCode::CONFLICT,
        _ => return None,
    };
    Some(status)
}

/// Answers within `limit`, or says that it cannot.
pub(super) async fn in_time(limit: Duration, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refused(late(limit, &path)),
    }
}

/// The refusal of what takes longer than `limit`.
pub(super) fn late(limit: Duration, path: &str) -> Refusal {
    let what = format!("no answer within {} s", limit.as_secs());
    let mend = "see `bgctl status` for what came of it, then try again; if that fails: systemctl restart bgd";
    Refusal::new("timeout", what, path, mend)
}

/// The refusal of what cannot be read.
pub(super) fn bad_request(why: &str, at: &str) -> Refusal {
    let what = format!("the request cannot be read: {why}");
    let mend = "send what `bgctl` of this version would: its --help names what there is to say";
    Refusal::new("bad-request", what, at, mend)
}
