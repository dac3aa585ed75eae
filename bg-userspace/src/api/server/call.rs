//! What handlers take of a request: who calls, a body, a query. What does not fit is refused in the
//! common form.

use super::Site;
use super::answer::{bad_request, refused};
use super::peer::Peer;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Request};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::response::Response;
use axum::{Extension, body::Bytes};
use serde::de::DeserializeOwned;

/// Longest name of a client that is kept, in characters.
const CLIENT: usize = 80;

/// Who wants something of which deployment.
pub(super) struct Call {
    pub(super) site: Site,
    pub(super) peer: Peer,
    /// None: the only one.
    pub(super) deployment: Option<String>,
    /// What the client says it is.
    pub(super) client: Option<String>,
    pub(super) path: String,
}

impl FromRequestParts<Site> for Call {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Response> {
        let path = parts.uri.path().to_owned();
        let bad = |why: &dyn std::fmt::Display| refused(bad_request(&why.to_string(), &path));
        let name = <Path<String> as OptionalFromRequestParts<Site>>::from_request_parts(parts, site).await;
        let deployment = name.map_err(|why| bad(&why.body_text()))?.map(|Path(name)| name);
        let peer = <Extension<Peer> as FromRequestParts<Site>>::from_request_parts(parts, site).await;
        let Extension(peer) = peer.map_err(|why| bad(&why))?;
        let client = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let client = client.map(|agent| agent.chars().take(CLIENT).collect());
        Ok(Self { site: site.clone(), peer, deployment, client, path })
    }
}

/// The body of a request, as JSON. Nothing stands for an empty object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Site> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Response> {
        let path = request.uri().path().to_owned();
        let bad = |why: &str| refused(bad_request(why, &path));
        let sent = tokio::time::timeout(site.limits.sent, Bytes::from_request(request, site)).await;
        let body = sent.map_err(|_| bad("it takes too long to send"))?;
        let body = body.map_err(|why| bad(&why.body_text()))?;
        let text = if body.is_empty() { b"{}".as_slice() } else { body.trim_ascii_start() };
        if !text.starts_with(b"{") {
            // Serde would take a list as the fields in their order.
            return Err(bad("it is no JSON object"));
        }
        serde_json::from_slice(text).map(Self).map_err(|why| bad(&why.to_string()))
    }
}

/// The query of a request.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Site> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Response> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, site).await;
        let refuse = |why: axum::extract::rejection::QueryRejection| {
            refused(bad_request(&why.body_text(), parts.uri.path()))
        };
        query.map(|axum::extract::Query(query)| Self(query)).map_err(refuse)
    }
}
