//! HTTP/1.1 as a client: one request over any stream, and as much of its answer as is wanted. Nothing
//! is followed, kept alive or read without a bound.

use super::connect::{Connector, Stream};
use super::failure::{Failure, chain, quoted, sentence};
use super::spec::Verify;
use super::tls::{Above, Trust};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

/// Largest head of an answer, and most of what is kept of its trailers, in bytes.
pub const LARGEST_HEAD: usize = 32 << 10;

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// As much of the body as was asked for.
    pub body: Vec<u8>,
}

/// Connects to `to` and, if `tls` says so, shakes hands with whoever has that name. `own` becomes the own
/// address as soon as there is a connection. The caller bounds the time.
///
/// # Errors
///
/// When there is no connection, or no TLS on it.
pub async fn open(
    connector: &dyn Connector,
    to: SocketAddr,
    tls: Option<(&Trust, &str, &Verify)>,
    above: Above,
    own: &mut Option<SocketAddr>,
) -> Result<Box<dyn Stream>, Failure> {
    let (stream, address) = connector.tcp(to).await.map_err(|why| Failure::io("connect", &why))?;
    *own = Some(address);
    match tls {
        Some((trust, name, verify)) => trust.handshake(stream, name, verify, above).await,
        None => Ok(stream),
    }
}

/// Sends one request and reads its answer: the head, and then the body until `enough` says so of what is there,
/// `most` bytes are there, or it ends. With a `most` of 0 the body is not waited for. The caller sets Host,
/// asks for `Connection: close`, and bounds the time; dropping the future closes the stream.
///
/// # Errors
///
/// When the stream fails or what comes is not HTTP.
pub async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    most: usize,
    enough: impl Fn(&[u8]) -> bool,
) -> Result<Answer, Failure> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .max_header_size(LARGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|why| not_http(&why))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|why| not_http(&why))?;
        read(response, most, enough).await
    };
    beside(connection, answer).await
}

/// Runs `connection` for as long as `answer` takes. It is polled first, as nothing moves without it, and what it
/// has to say about its end the answer has to say, too.
pub(super) async fn beside<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    let (mut connection, mut answer) = (pin!(connection), pin!(answer));
    tokio::select! {
        biased;
        _ = &mut connection => answer.await,
        answer = &mut answer => answer,
    }
}

async fn read(
    response: Response<Incoming>,
    most: usize,
    enough: impl Fn(&[u8]) -> bool,
) -> Result<Answer, Failure> {
    let status = response.status();
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while body.len() < most && !enough(&body) {
        let Some(frame) = incoming.frame().await else { break };
        let Ok(data) = frame.map_err(|why| not_http(&why))?.into_data() else { continue };
        let room = most - body.len();
        body.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    Ok(Answer { status, body })
}

/// What a failed exchange is called. hyper wraps errors of the stream, which have names of their own.
pub(super) fn not_http(why: &hyper::Error) -> Failure {
    let mut cause = std::error::Error::source(why);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Failure::Answer(sentence(io));
        }
        cause = error.source();
    }
    Failure::Answer(if why.is_parse_too_large() {
        "the head of the answer is larger than 32 KiB".to_owned()
    } else if why.is_incomplete_message() || why.is_closed() || why.is_canceled() {
        "connection closed before the answer was complete".to_owned()
    } else {
        format!("the answer is not HTTP: {}", quoted(&chain(why)))
    })
}
