//! The client's end of the control socket.

use super::protocol::{self, Counters, FlowQuery, Flows, RollbackRequest, Status, SwitchRequest, Switched};
use crate::dataplane::Detached;
use crate::refusal::Refusal;
use axum::body::Bytes;
use axum::http::uri::PathAndQuery;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A daemon that lives accepts at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Longer than the daemon gives itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// Speaks to the daemon behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nobody answers.
    Unreachable(Refusal),
    /// The daemon said no.
    Refused(Refusal),
}

impl Client {
    /// A client of the daemon that listens at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// How the gateway stands.
    ///
    /// # Errors
    ///
    /// As every call here: when nobody answers, or the daemon refuses.
    pub async fn status(&self) -> Result<Status, Error> {
        self.get(protocol::STATUS).await
    }

    /// The flows of `query`.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn flows(&self, query: &FlowQuery) -> Result<Flows, Error> {
        let FlowQuery { deployment, colour, limit } = query;
        let mut path = format!("{}?", protocol::FLOWS);
        // Writing to a String cannot fail.
        if let Some(name) = deployment {
            let _ = write!(path, "deployment={}&", quoted(name));
        }
        if let Some(colour) = colour {
            let _ = write!(path, "colour={colour}&");
        }
        if let Some(limit) = limit {
            let _ = write!(path, "limit={limit}");
        }
        self.get(&path).await
    }

    /// Every counter.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn counters(&self) -> Result<Counters, Error> {
        self.get(protocol::COUNTERS).await
    }

    /// Makes a colour live; without a name in the only deployment.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn switch(&self, deployment: Option<&str>, request: &SwitchRequest) -> Result<Switched, Error> {
        self.post(&path(deployment, protocol::SWITCH, protocol::SWITCH_ONLY), request).await
    }

    /// Takes the last switch back; without a name in the only deployment.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn rollback(
        &self,
        deployment: Option<&str>,
        request: &RollbackRequest,
    ) -> Result<Switched, Error> {
        self.post(&path(deployment, protocol::ROLLBACK, protocol::ROLLBACK_ONLY), request).await
    }

    /// Takes the data plane down.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn detach(&self) -> Result<Detached, Error> {
        self.post(protocol::DETACH, &()).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|why| self.strange(&why))?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Error> {
        let path: PathAndQuery = path.parse().map_err(|why| self.strange(&why))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "bg")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|why| self.strange(&why))?;
        let late = |_| {
            let what = "the daemon does not answer";
            Error::Unreachable(Refusal::new("no-answer", what, self.at(), "systemctl restart bgd"))
        };
        let stream = timeout(CONNECT_WITHIN, UnixStream::connect(&self.socket)).await.map_err(late)?;
        let stream = stream.map_err(|why| self.unreachable(&why))?;
        let (status, body) = timeout(ANSWER_WITHIN, exchange(stream, request))
            .await
            .map_err(late)?
            .map_err(|why| self.strange(&why))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|why| self.strange(&why));
        }
        match serde_json::from_slice(&body) {
            Ok(refusal) => Err(Error::Refused(refusal)),
            Err(_) => Err(self.strange(&format!("status {status}"))),
        }
    }

    fn at(&self) -> std::path::Display<'_> {
        self.socket.display()
    }

    fn unreachable(&self, why: &io::Error) -> Error {
        let (what, mend) = if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
            let mend = "systemctl start bgd, or: bgd --config /etc/bg/bg.toml; traffic flows on without it, \
                        and `bgctl --offline status` and `bgctl --offline switch` work on the kernel's tables";
            ("the daemon is not running".to_owned(), mend)
        } else if why.kind() == ErrorKind::PermissionDenied {
            ("this user may not use the control socket".to_owned(), "run it as root: sudo bgctl …")
        } else {
            (format!("the control socket cannot be used: {why}"), "systemctl restart bgd")
        };
        Error::Unreachable(Refusal::new("unreachable", what, self.at(), mend))
    }

    fn strange(&self, why: &dyn std::fmt::Display) -> Error {
        let what = format!("what answers does not speak like bgd: {why}");
        let mend = "use the `bgctl` of the daemon's version, and see `journalctl -u bgd`";
        Error::Refused(Refusal::new("strange-answer", what, self.at(), mend))
    }
}

async fn exchange(
    stream: UnixStream,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, body))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // Without the connection the answer is there already or will never be.
        _ = connection => answer.await,
    }
}

/// The path for a deployment that is named, or for the only one.
fn path(deployment: Option<&str>, named: &str, only: &str) -> String {
    deployment.map_or_else(|| only.to_owned(), |name| named.replace("{name}", &quoted(name)))
}

/// A name as it stands in a path or query (RFC 3986 section 2.3).
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
