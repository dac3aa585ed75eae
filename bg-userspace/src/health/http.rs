//! HTTP/1.1 as a client: one request over any stream, and as much of its answer as is wanted. Nothing
//! is followed, kept alive or read without a bound.

use super::connect::{Connector, Stream, Way};
use super::course::Course;
use super::failure::{Failure, chain, quoted, sentence};
use super::names::Names;
use super::ration::Ration;
use super::spec::{Http, Verify};
use super::tls::{Above, Trust};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;

/// Largest head of an answer, and most of what is kept of its trailers, in bytes.
pub const LARGEST_HEAD: usize = 32 << 10;

/// Bytes of a body that are searched.
const SEARCHED: usize = 64 << 10;

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// As much of the body as was asked for.
    pub body: Vec<u8>,
}

/// Makes the request of `http` and judges the answer.
///
/// # Errors
///
/// When it is not what is wanted. The caller bounds the time.
pub async fn ask(
    way: Way<'_>,
    to: SocketAddr,
    http: &Http,
    names: &Names,
    course: &mut Course,
) -> Result<(), Failure> {
    let Http { path, host, status, body, tls } = http;
    let host = host.as_ref().map_or_else(|| to.to_string(), |host| names.fill(host));
    let request = Request::get(names.fill(path))
        .header(HOST, &host)
        .header(CONNECTION, "close")
        .header(USER_AGENT, "bg")
        .header(ACCEPT, "*/*")
        .body(Full::default())
        .map_err(|why| not_made(&why))?;
    let name = tls
        .as_ref()
        .map(|tls| tls.name.as_ref().map_or_else(|| without_port(&host), |name| names.fill(name)));
    let secure = tls.as_ref().zip(name.as_deref()).map(|(tls, name)| (way.trust, name, &tls.verify));
    let stream = open(way.connector, to, secure, Above::Http1, course).await?;

    let good = |code: StatusCode| status.iter().any(|(from, to)| (*from..=*to).contains(&code.as_u16()));
    let text = body.as_ref().map(|body| names.fill(body));
    let mut search = text.as_ref().map(|text| Search::of(text.as_bytes()));
    let enough =
        |code, body: &[u8]| !good(code) || search.as_mut().is_none_or(|search| search.found_in(body));
    let most = if body.is_some() { SEARCHED } else { 0 };
    let answer = exchange(stream, request, most, enough, course).await?;
    if !good(answer.status) {
        let wanted = ranges(status);
        return Err(Failure::Answer(format!("status {}, and {wanted} is wanted", answer.status.as_u16())));
    }
    let (Some(wanted), Some(mut search)) = (&text, search) else { return Ok(()) };
    if search.found_in(&answer.body) {
        return Ok(());
    }
    let other = body.as_ref().map(|body| names.of_other_colour().fill(body)).filter(|other| other != wanted);
    let wanted = quoted(wanted);
    Err(Failure::Answer(match other.filter(|other| Search::of(other.as_bytes()).found_in(&answer.body)) {
        Some(other) => format!("the body contains \"{}\", and \"{wanted}\" is wanted", quoted(&other)),
        None if answer.body.len() < SEARCHED => format!("the body does not contain \"{wanted}\""),
        None => format!("the body does not contain \"{wanted}\" in its first 64 KiB"),
    }))
}

/// Connects to `to` and, if `tls` says so, shakes hands with whoever has that name. At most 512 KiB
/// can be read from it. The caller bounds the time.
///
/// # Errors
///
/// When there is no connection, or no TLS on it.
pub async fn open(
    connector: &dyn Connector,
    to: SocketAddr,
    tls: Option<(&Trust, &str, &Verify)>,
    above: Above,
    course: &mut Course,
) -> Result<Box<dyn Stream>, Failure> {
    course.awaits = "connection";
    let (stream, own) = connector.tcp(to).await.map_err(|why| Failure::io("connect", &why))?;
    course.own = Some(own);
    let mut stream: Box<dyn Stream> = Box::new(Ration::of(stream));
    if let Some((trust, name, verify)) = tls {
        course.awaits = "TLS handshake";
        stream = trust.handshake(stream, name, verify, above).await?;
    }
    course.awaits = "answer";
    Ok(stream)
}

/// Sends one request and reads its answer: the head, and then the body until it ends, `most` bytes of it are there,
/// or `enough` says so of status and body. With a `most` of 0 no body is waited for. The caller sets Host, asks for
/// `Connection: close`, and bounds the time; dropping the future closes the stream.
///
/// # Errors
///
/// When the stream fails or what comes is not HTTP.
pub async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    most: usize,
    enough: impl FnMut(StatusCode, &[u8]) -> bool,
    course: &mut Course,
) -> Result<Answer, Failure> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .max_header_size(LARGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|why| failed(&why, NOT_HTTP))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|why| failed(&why, NOT_HTTP))?;
        course.awaits = "complete answer";
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
    mut enough: impl FnMut(StatusCode, &[u8]) -> bool,
) -> Result<Answer, Failure> {
    let status = response.status();
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while body.len() < most && !enough(status, &body) {
        let Some(frame) = incoming.frame().await else { break };
        let Ok(data) = frame.map_err(|why| failed(&why, NOT_HTTP))?.into_data() else { continue };
        let room = most - body.len();
        body.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    Ok(Answer { status, body })
}

/// What a request that cannot be written is called.
pub(super) fn not_made(why: &dyn Error) -> Failure {
    Failure::Answer(format!("the request cannot be made: {why}"))
}

/// What is said of an answer that hyper cannot read.
const NOT_HTTP: &str = "the answer is not HTTP";

/// What a failed exchange is called; `otherwise` goes before what only hyper knows. hyper wraps errors of the stream, which have names of their own, and makes
/// some of its own look like them.
pub(super) fn failed(why: &hyper::Error, otherwise: &str) -> Failure {
    let mut cause = why.source();
    let mut io = None;
    while let Some(error) = cause {
        io = io.or_else(|| error.downcast_ref::<io::Error>());
        cause = error.source();
    }
    let malformed = [ErrorKind::InvalidData, ErrorKind::InvalidInput, ErrorKind::Other];
    let cut = io.is_some_and(|io| io.kind() == ErrorKind::UnexpectedEof);
    Failure::Answer(if cut || why.is_incomplete_message() || why.is_closed() || why.is_canceled() {
        "connection closed before the answer was complete".to_owned()
    } else if why.is_parse_too_large() {
        "the head of the answer is larger than 32 KiB".to_owned()
    } else if let Some(io) = io.filter(|io| !malformed.contains(&io.kind())) {
        sentence(io)
    } else {
        format!("{otherwise}: {}", quoted(&chain(why)))
    })
}

/// A host as it stands in a certificate: without its port, and an IPv6 address without brackets.
fn without_port(host: &str) -> String {
    let end = if host.ends_with(']') { host.len() } else { host.rfind(':').unwrap_or(host.len()) };
    host.get(..end).unwrap_or(host).trim_matches(['[', ']']).to_owned()
}

/// Statuses as one writes them.
fn ranges(status: &[(u16, u16)]) -> String {
    let range = |(from, to): &(u16, u16)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    status.iter().map(range).collect::<Vec<_>>().join(" or ")
}

/// Looks for a text in a body that grows, at each byte once.
struct Search<'a> {
    text: &'a [u8],
    found: bool,
    next: usize,
}

impl<'a> Search<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, found: text.is_empty(), next: 0 }
    }

    fn found_in(&mut self, body: &[u8]) -> bool {
        let Self { text, found, next } = self;
        if !*found {
            let rest = body.get(*next..).unwrap_or_default();
            *found = rest.windows(text.len()).any(|window| window == *text);
            *next = (body.len() + 1).saturating_sub(text.len()).max(*next);
        }
        *found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_asked_for_without_port_and_brackets() {
        for (host, name) in [
            ("shop.test", "shop.test"),
            ("shop.test:8443", "shop.test"),
            ("192.0.2.10:443", "192.0.2.10"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn a_text_is_found_however_the_body_comes_in() {
        let body = b"I am not blu, but blue.";
        for pieces in 1..=body.len() {
            let mut search = Search::of(b"blue");
            let ends = (pieces..body.len()).step_by(pieces).chain([body.len()]);
            let found: Vec<usize> = ends.filter(|end| search.found_in(&body[..*end])).collect();
            let first = found.first().copied().unwrap_or_default();
            assert!(first >= 22 && first < 22 + pieces.max(2), "in pieces of {pieces} found at {first}");
        }
        assert!(!Search::of(b"red").found_in(body));
        assert!(Search::of(b"").found_in(b""));
    }

    #[test]
    fn statuses_are_told_as_one_writes_them() {
        assert_eq!(ranges(&[(200, 299), (404, 404)]), "200-299 or 404");
    }
}
