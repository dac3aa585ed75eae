//! One request on one connection.

use super::{Client, Error, Lines, Result};
use crate::dataplane::lock::is_held;
use crate::refusal::Refusal;
use axum::body::Bytes;
use axum::http::uri::PathAndQuery;
use futures_util::FutureExt;
use futures_util::future::Fuse;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A daemon that lives accepts at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What drives a connection, and has to be polled beside what it carries.
pub(super) type Driver = Fuse<Connection<TokioIo<UnixStream>, Full<Bytes>>>;

impl Client {
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, within: Duration) -> Result<T> {
        self.ask(Method::GET, path, Bytes::new(), within).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T> {
        let body = serde_json::to_vec(body).map_err(|why| self.strange(&why))?;
        self.ask(Method::POST, path, body.into(), within).await
    }

    /// Begins to read lines; the head of the answer comes within this time.
    pub(super) async fn lines(&self, path: &str, within: Duration) -> Result<Lines> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        let stream = self.connect().await?;
        let begun = async {
            let (response, mut driver) = begin(stream, request).await?;
            let status = response.status();
            let body = response.into_body();
            if status == StatusCode::OK {
                return Ok((status, Bytes::new(), Some((body, driver))));
            }
            Ok::<_, hyper::Error>((status, collect(body, &mut driver).await?, None))
        };
        let (status, body, lines) =
            timeout(within, begun).await.map_err(|_| self.late())?.map_err(|why| self.strange(&why))?;
        match lines {
            Some((body, driver)) => Ok(Lines::new(self.clone(), body, driver)),
            None => Err(self.refusal(status, &body)),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<T> {
        let request = self.request(method, path, body)?;
        let stream = self.connect().await?;
        let exchange = async {
            let (response, mut driver) = begin(stream, request).await?;
            let status = response.status();
            Ok::<_, hyper::Error>((status, collect(response.into_body(), &mut driver).await?))
        };
        let (status, body) =
            timeout(within, exchange).await.map_err(|_| self.late())?.map_err(|why| self.strange(&why))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|why| self.strange(&why));
        }
        Err(self.refusal(status, &body))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let path: PathAndQuery = path.parse().map_err(|why| self.strange(&why))?;
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "bg")
            .header(header::USER_AGENT, &self.agent)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|why| self.strange(&why))
    }

    async fn connect(&self) -> Result<UnixStream> {
        let connected = timeout(CONNECT_WITHIN, UnixStream::connect(&self.socket)).await;
        connected.map_err(|_| self.late())?.map_err(|why| self.unreachable(&why))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Error {
        match serde_json::from_slice(body) {
            Ok(refusal) => Error::Refused(refusal),
            Err(_) => self.strange(&format!("status {status}")),
        }
    }

    fn place(&self) -> std::path::Display<'_> {
        self.socket.display()
    }

    fn late(&self) -> Error {
        let what = "the daemon does not answer";
        Error::Unreachable(Refusal::new("no-answer", what, self.place(), "systemctl restart bgd"))
    }

    /// The daemon was there, and has ended.
    pub(crate) fn gone(&self) -> Refusal {
        let what = "the daemon has ended; traffic flows on without it";
        let mend = "see why: journalctl -u bgd; then: systemctl start bgd";
        Refusal::new("gone", what, self.place(), mend)
    }

    fn unreachable(&self, why: &io::Error) -> Error {
        let absent = matches!(why.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
        let (what, mend) = if absent && self.instance.as_deref().is_some_and(is_held) {
            let what = "the daemon is there and does not listen yet: it is starting, or ending";
            (what.to_owned(), "try again in a moment; if that lasts: journalctl -u bgd".to_owned())
        } else if absent {
            let mend = format!(
                "systemctl start bgd, or: bgd --config {}; traffic flows on without it, and `bgctl --offline \
                 status` and `bgctl --offline switch` work on the kernel's tables",
                self.config.display()
            );
            ("the daemon is not running".to_owned(), mend)
        } else if why.kind() == ErrorKind::PermissionDenied {
            ("this user may not use the control socket".to_owned(), "run it as root: sudo bgctl …".to_owned())
        } else {
            (format!("the control socket cannot be used: {why}"), "systemctl restart bgd".to_owned())
        };
        Error::Unreachable(Refusal::new("unreachable", what, self.place(), mend))
    }

    pub(super) fn strange(&self, why: &dyn std::fmt::Display) -> Error {
        let what = format!("what answers does not speak like bgd: {why}");
        let mend = "use the `bgctl` of the daemon's version, and see `journalctl -u bgd`";
        Error::Refused(Refusal::new("strange-answer", what, self.place(), mend))
    }
}

/// Sends a request and waits for the head of the answer.
async fn begin(
    stream: UnixStream,
    request: Request<Full<Bytes>>,
) -> std::result::Result<(Response<Incoming>, Driver), hyper::Error> {
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = driver.fuse();
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut answer => response?,
        // Without the connection the answer is there already or will never be.
        _ = &mut driver => answer.await?,
    };
    Ok((response, driver))
}

/// Reads the rest of an answer.
async fn collect(body: Incoming, driver: &mut Driver) -> std::result::Result<Bytes, hyper::Error> {
    let mut body = std::pin::pin!(body.collect());
    let whole = tokio::select! {
        whole = &mut body => whole?,
        _ = driver => body.await?,
    };
    Ok(whole.to_bytes())
}
