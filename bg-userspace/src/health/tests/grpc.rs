//! gRPC: only SERVING is good, and no server of HTTP/2 can hold a question.

use super::servers::{Does, Hears, Server, until};
use super::{HERE, SOON, ask_at, check, fits, patience};
use crate::health::spec::Ask;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn check_of(service: &str) -> Ask {
    Ask::Grpc { service: service.to_owned(), tls: None }
}

/// An answer of a gRPC server: status of HTTP, headers, body, trailers.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    trailers: Vec<(&'static str, &'static str)>,
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(pair).collect()
}

/// A server that answers so, by TLS if it has an acceptor.
pub(super) async fn server(answers: Answers, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answers = answers.clone();
            let serve = service_fn(move |request: Request<Incoming>| {
                let Answers { status, headers, body, trailers } = answers.clone();
                async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    assert_eq!(request.headers()["content-type"], "application/grpc");
                    let asked = request.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(asked, &b"\0\0\0\0\x06\x0a\x04shop"[..], "the request for `shop`");
                    let trailers = (!trailers.is_empty()).then(|| Ok(map(&trailers)));
                    let body = Full::new(Bytes::from(body)).with_trailers(std::future::ready(trailers));
                    let mut response = Response::new(body);
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    *response.headers_mut() = map(&headers);
                    Ok::<_, Infallible>(response)
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let Some(tls) = tls.clone() else {
                tokio::spawn(server.serve_connection(TokioIo::new(stream), serve));
                continue;
            };
            tokio::spawn(async move {
                let stream = tls.accept(stream).await.unwrap();
                server.serve_connection(TokioIo::new(stream), serve).await
            });
        }
    });
    at
}

pub(super) fn says(status: u8) -> Answers {
    let body = vec![0, 0, 0, 0, 2, 8, status];
    Answers { status: 200, headers: vec![], body, trailers: vec![("grpc-status", "0")] }
}

#[tokio::test]
async fn only_serving_is_good() {
    let no_message = "the answer is not one uncompressed gRPC message";
    for (row, answers, expected) in [
        ("SERVING", says(1), Ok(())),
        ("UNKNOWN", Answers { body: vec![0; 5], ..says(0) }, Err("status UNKNOWN, and SERVING is wanted")),
        ("NOT_SERVING", says(2), Err("status NOT_SERVING, and SERVING is wanted")),
        ("SERVICE_UNKNOWN", says(3), Err("status SERVICE_UNKNOWN, and SERVING is wanted")),
        ("a status of tomorrow", says(9), Err("status 9, and SERVING is wanted")),
        (
            "an unknown service, in headers alone",
            Answers {
                status: 200,
                headers: vec![("grpc-status", "5"), ("grpc-message", "unknown service")],
                ..Answers::default()
            },
            Err("grpc-status 5 (unknown service), and SERVING is wanted"),
        ),
        (
            "an error in trailers",
            Answers { trailers: vec![("grpc-status", "14")], ..says(1) },
            Err("grpc-status 14, and SERVING is wanted"),
        ),
        ("no grpc-status", Answers { trailers: vec![], ..says(1) }, Err("the answer has no grpc-status")),
        (
            "not gRPC",
            Answers { status: 404, ..Answers::default() },
            Err("HTTP status 404, and 200 is wanted"),
        ),
        ("no message", Answers { body: vec![], ..says(1) }, Err(no_message)),
        ("half a message", Answers { body: vec![0, 0, 0, 0, 2, 8], ..says(1) }, Err(no_message)),
        ("a compressed message", Answers { body: vec![1, 0, 0, 0, 2, 8, 1], ..says(1) }, Err(no_message)),
        ("two messages", Answers { body: [says(1).body, says(1).body].concat(), ..says(1) }, Err(no_message)),
        ("a huge length", Answers { body: vec![0, 255, 255, 255, 255, 8, 1], ..says(1) }, Err(no_message)),
        (
            "no HealthCheckResponse",
            Answers { body: vec![0, 0, 0, 0, 2, 255, 255], ..says(1) },
            Err("the answer is not a HealthCheckResponse: "),
        ),
        ("a gigabyte", Answers { body: vec![0; 1 << 20], ..says(1) }, Err("the answer is larger than 4 KiB")),
    ] {
        let at = server(answers, None).await;
        check(row, &ask_at(at, check_of("shop"), SOON).await, expected);
    }
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn a_server_that_speaks_http2_badly_or_for_ever_is_left_in_time() {
    const SETTINGS: u8 = 4;
    let hello = frame(SETTINGS, 0, 0, &[]);
    let then = |frames: &[Vec<u8>]| [hello.clone(), frames.concat()].concat();
    // Each is a literal header without indexing, `x: y` (RFC 7541 section 6.2.2).
    let fields = b"\0\x01x\x01y".repeat(2000);
    let hint = frame(1, 4, 1, b"\x08\x03103");
    let much = Err("more than 512 KiB came");
    let late = Err("no answer within 300ms");
    let broken = Err("no answer by HTTP/2: ");
    for (row, does, expected) in [
        ("silence", Does::Stalls(vec![]), late),
        ("settings and silence", Does::Stalls(hello.clone()), late),
        ("half a frame", Does::Stalls(then(&[vec![0, 0]])), late),
        ("HTTP/1.1", Does::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Err("no answer by HTTP/2: ")),
        ("garbage for ever", Does::Floods(vec![], vec![0xff; 1 << 20]), Err("no answer by HTTP/2: ")),
        ("goodbye", Does::Says(then(&[frame(7, 0, 0, &[0; 8])])), broken),
        ("reset", Does::Stalls(then(&[frame(3, 0, 1, &[0, 0, 0, 2])])), broken),
        ("settings for ever", Does::Floods(vec![], hello.repeat(1000)), late),
        ("pings for ever", Does::Floods(hello.clone(), frame(6, 0, 0, &[0; 8]).repeat(1000)), late),
        ("windows for ever", Does::Floods(hello.clone(), frame(8, 0, 0, &[0, 0, 0, 1]).repeat(1000)), late),
        ("hints for ever", Does::Floods(hello.clone(), hint.repeat(1000)), much),
        ("a window too large", Does::Stalls(then(&[frame(8, 0, 0, &[127, 255, 255, 255])])), broken),
        (
            "a huge frame",
            Does::Floods(then(&[vec![255, 255, 255, 0, 0, 0, 0, 0, 1]]), vec![0; 1 << 20]),
            broken,
        ),
        ("headers for ever", Does::Floods(then(&[frame(1, 0, 1, &fields)]), frame(9, 0, 1, &fields)), broken),
        (
            "empty continuations for ever",
            Does::Floods(then(&[frame(1, 0, 1, b"\x88")]), frame(9, 0, 1, &[]).repeat(1000)),
            broken,
        ),
        (
            "data for ever",
            Does::Floods(then(&[frame(1, 4, 1, b"\x88")]), frame(0, 0, 1, &[0; 1000]).repeat(100)),
            Err("the answer is larger than 4 KiB"),
        ),
        (
            "empty data for ever",
            Does::Floods(then(&[frame(1, 4, 1, b"\x88")]), frame(0, 0, 1, &[]).repeat(1000)),
            broken,
        ),
        ("a promise", Does::Stalls(then(&[frame(5, 4, 1, &[0, 0, 0, 2, 0x82])])), broken),
    ] {
        let server = Server::start(Hears::Text(b"shop"), does).await;
        let found = ask_at(server.at, check_of("shop"), patience(expected)).await;
        // Whichever bound a flood meets first depends on how fast it comes.
        let flood = row.ends_with("for ever") && expected == late && fits(&found, much);
        check(row, &found, if flood { much } else { expected });
        until("the end of the connection", || server.open() == 0).await;
    }
}
