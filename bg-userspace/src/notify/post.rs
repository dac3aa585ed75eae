//! Sends one POST over HTTP/1.1, with TLS or without. Nothing is followed, kept open or read beyond the
//! beginning of the answer.

use super::answer::{Answer, Beginning};
use crate::health::failure::{chain, sentence};
use crate::health::spec::Verify;
use crate::health::tls::{Above, Trust};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longest head of an answer in bytes.
const HEAD: usize = 16 * 1024;

/// An address that does not answer is given up after this time if there are others.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// What is there of an answer's body after this time is all that is read.
const BODY_WITHIN: Duration = Duration::from_millis(500);

/// What calls itself so.
const AGENT: &str = concat!("bgd/", env!("CARGO_PKG_VERSION"));

/// Sends POST requests.
#[derive(Debug)]
pub(super) struct Post {
    trust: Trust,
    verify: Verify,
}

/// Why there is no answer, in a sentence without the URL: that may hold a secret.
type Failure = String;

/// The answer if it comes within this time.
pub(super) async fn bounded(answer: impl Future<Output = Answer>, within: Duration) -> Answer {
    let late = |_| Answer::failed(format_args!("no answer within {within:?}"), &[]);
    timeout(within, answer).await.unwrap_or_else(late)
}

impl Default for Post {
    fn default() -> Self {
        Self { trust: Trust::default(), verify: Verify::System }
    }
}

impl Post {
    /// Trusts these and no others.
    #[cfg(test)]
    pub(super) fn trusting(verify: Verify) -> Self {
        Self { verify, ..Self::default() }
    }

    /// Sends `body`, which is JSON, to `url`. A status of 200 to 299 agrees.
    pub(super) async fn send(&self, url: &str, body: Bytes) -> Answer {
        match self.exchange(url, body).await {
            Ok((response, _connection)) => judge(response).await,
            Err(why) => Answer::failed(why, &[]),
        }
    }

    async fn exchange(&self, url: &str, body: Bytes) -> Result<(Response<Incoming>, JoinSet<()>), Failure> {
        let target = Target::parse(url)?;
        let stream = target.connect().await?;
        let request = target.request(body)?;
        if !target.tls {
            return talk(stream, request).await;
        }
        let secure = self.trust.handshake(Box::new(stream), &target.host, &self.verify, Above::Http1).await;
        talk(secure.map_err(|why| format!("{}: {why}", target.host))?, request).await
    }
}

/// Where a URL leads.
struct Target {
    tls: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// As in the URL.
    authority: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, Failure> {
        let uri: Uri = url.parse().map_err(|why| format!("the URL makes no sense: {why}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err("the URL begins neither with http:// nor with https://".to_owned()),
        };
        let authority = uri.authority().ok_or("the URL has no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL has a user in it, which is not possible".to_owned());
        }
        let name = authority.host();
        let port = match authority.as_str().strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) {
            Some(port) => port.parse().map_err(|_| "the URL makes no sense: its port is none".to_owned())?,
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, host, port, authority: authority.to_string(), path })
    }

    /// Tries one address after the other.
    async fn connect(&self) -> Result<TcpStream, Failure> {
        let Self { host, port, .. } = self;
        let found =
            lookup_host((host.as_str(), *port)).await.map_err(|why| format!("{host}: {}", sentence(&why)))?;
        let addresses: Vec<SocketAddr> = found.collect();
        let mut failure = format!("{host} has no address");
        for (index, address) in addresses.iter().enumerate() {
            let connect = TcpStream::connect(address);
            let connected = if index + 1 == addresses.len() {
                Ok(connect.await)
            } else {
                timeout(CONNECT_WITHIN, connect).await
            };
            match connected {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(why)) => failure = format!("{address}: {}", sentence(&why)),
                Err(_) => failure = format!("{address} cannot be reached within {CONNECT_WITHIN:?}"),
            }
        }
        Err(failure)
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close");
        request.body(Full::new(body)).map_err(|why| format!("the URL makes no request: {why}"))
    }
}

/// Sends the request and reads the answer's head. The connection lives as long as the task beside it.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, JoinSet<()>), Failure> {
    let failed = |why: hyper::Error| format!("no HTTP answer: {}", chain(&why));
    let handshake = http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        // What goes wrong is told to whoever waits for the answer.
        let _ = connection.await;
    });
    Ok((sender.send_request(request).await.map_err(failed)?, task))
}

/// What an answer means, with the beginning of its body.
async fn judge(response: Response<Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut said = Beginning::default();
    let read = async {
        while !said.is_full()
            && let Some(Ok(frame)) = body.frame().await
        {
            if let Some(data) = frame.data_ref() {
                said.push(data);
            }
        }
    };
    // The status is the answer, whether or not the rest comes.
    let _ = timeout(BODY_WITHIN, read).await;
    let status = head.status;
    if status.is_success() {
        Answer::agreed(said.bytes())
    } else if status.is_redirection() {
        Answer::failed(format_args!("HTTP {}, and redirects are not followed", status.as_u16()), said.bytes())
    } else {
        Answer::failed(format_args!("HTTP {}", status.as_u16()), said.bytes())
    }
}
