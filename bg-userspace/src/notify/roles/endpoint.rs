//! One connection of the role endpoint: a machine asks for the role of the slice that it belongs to, and
//! may wait until that changes. It cannot ask for anything else.

use super::admission::Place;
use super::{RoleState, States};
use crate::refusal::Refusal;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper::http::response::Builder;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// The only path.
pub(super) const PATH: &str = "/v1/role";

/// The role as a header, for who cannot read JSON.
const ROLE: HeaderName = HeaderName::from_static("x-bg-role");

/// The generation, for who waits for the next one.
const GENERATION: HeaderName = HeaderName::from_static("x-bg-generation");

/// Longest head of a request in bytes.
const HEAD: usize = 8 * 1024;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::notify) struct Limits {
    /// The head of the request.
    pub(in crate::notify) head: Duration,
    /// Waiting for a change.
    pub(in crate::notify) wait: Duration,
    /// Sending the answer.
    pub(in crate::notify) answer: Duration,
    /// Until an address that could not be listened at is tried again.
    pub(in crate::notify) again: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            wait: Duration::from_secs(30),
            answer: Duration::from_secs(5),
            again: Duration::from_secs(5),
        }
    }
}

/// What is asked.
#[derive(Debug, Default)]
struct Question {
    /// Answered only once the generation is another one.
    wait: Option<u16>,
    /// For a machine of several deployments.
    deployment: Option<String>,
}

/// Answers the one request of a connection.
pub(super) async fn converse(
    stream: TcpStream,
    peer: IpAddr,
    states: watch::Receiver<States>,
    place: Place,
    limits: Limits,
) {
    let busy = place.is_busy();
    let service = service_fn(|request: Request<Incoming>| {
        let states = states.clone();
        async move {
            let answer =
                if busy { Err(too_many(peer)) } else { answer(&request, peer, states, limits).await };
            Ok::<_, Infallible>(answer.map_or_else(refused, |state| told(&state)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // One who does not read the answer is not waited for either.
    if let Ok(Err(why)) = timeout(limits.head + limits.wait + limits.answer, connection).await {
        tracing::debug!(%why, %peer, "a slice that asked for its role got no answer");
    }
}

async fn answer(
    request: &Request<Incoming>,
    peer: IpAddr,
    mut states: watch::Receiver<States>,
    limits: Limits,
) -> Result<RoleState, Refusal> {
    // Strangers do not learn what there is.
    let is_of_a_slice = states.borrow().iter().any(|state| state.addresses.contains(&peer));
    if !is_of_a_slice {
        return Err(stranger(peer));
    }
    let uri = request.uri();
    if uri.path() != PATH {
        let mend = format!("there is only {PATH}");
        return Err(Refusal::new("no-such-path", "there is nothing at this path", uri.path(), mend));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let what = format!("{} is not possible here", request.method());
        return Err(Refusal::new("wrong-method", what, PATH, "use GET: a role is changed by `bgctl switch`"));
    }
    let question = Question::parse(uri.query().unwrap_or_default())?;
    let first = own(&states.borrow_and_update(), peer, &question)?;
    if question.wait != Some(first.generation) {
        return Ok(first);
    }
    let changed = async {
        while states.changed().await.is_ok() {
            match own(&states.borrow_and_update(), peer, &question) {
                Ok(state) if state == first => {}
                other => return other,
            }
        }
        Ok(first.clone())
    };
    timeout(limits.wait, changed).await.unwrap_or_else(|_| Ok(first.clone()))
}

impl Question {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let bad = |what: String| {
            let mend = format!("ask for {PATH}, {PATH}?wait=GENERATION or {PATH}?deployment=NAME");
            Refusal::new("bad-request", what, PATH, mend)
        };
        let mut question = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "wait" => {
                    let generation = value.parse().map_err(|_| bad(format!("{value:?} is no generation")))?;
                    question.wait = Some(generation);
                }
                "deployment" => question.deployment = Some(value.to_owned()),
                _ => return Err(bad(format!("{key:?} cannot be asked for"))),
            }
        }
        Ok(question)
    }
}

/// What `peer` may know.
fn own(states: &[RoleState], peer: IpAddr, question: &Question) -> Result<RoleState, Refusal> {
    let asked = |state: &&RoleState| {
        let deployment = question.deployment.as_ref();
        state.addresses.contains(&peer) && deployment.is_none_or(|name| *name == state.deployment)
    };
    let mut own = states.iter().filter(asked);
    match (own.next(), own.next()) {
        (Some(state), None) => Ok(state.clone()),
        (Some(_), Some(_)) => {
            let names: Vec<&str> =
                states.iter().filter(asked).map(|state| state.deployment.as_str()).collect();
            let what = format!("{peer} belongs to several slices, of {}", names.join(", "));
            Err(Refusal::new("which-deployment", what, PATH, format!("ask for {PATH}?deployment=NAME")))
        }
        (None, _) => Err(stranger(peer)),
    }
}

fn stranger(peer: IpAddr) -> Refusal {
    let mend = "ask from an address of a slice: `bgctl status` lists them";
    Refusal::new("no-slice", format!("{peer} belongs to no slice that is asked for"), PATH, mend)
}

fn too_many(peer: IpAddr) -> Refusal {
    let what = "too many ask for their role at this moment";
    Refusal::new("busy", what, peer, "ask again in a second, over fewer connections")
}

fn told(state: &RoleState) -> Response<Full<Bytes>> {
    let response = Response::builder().header(ROLE, state.role.as_str());
    let response = response.header(GENERATION, state.generation);
    respond(response, state)
}

fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    let response = Response::builder();
    let response = match refusal.code.as_str() {
        "bad-request" => response.status(StatusCode::BAD_REQUEST),
        "wrong-method" => response.status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET, HEAD"),
        "which-deployment" => response.status(StatusCode::CONFLICT),
        "busy" => response.status(StatusCode::SERVICE_UNAVAILABLE).header(RETRY_AFTER, "1"),
        _ => response.status(StatusCode::NOT_FOUND),
    };
    respond(response, &refusal)
}

fn respond(response: Builder, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let mut text = serde_json::to_vec(body).unwrap_or_default();
    text.push(b'\n');
    let response = response.header(CONTENT_TYPE, "application/json").header(CACHE_CONTROL, "no-store");
    response.body(Full::new(text.into())).unwrap_or_default()
}
