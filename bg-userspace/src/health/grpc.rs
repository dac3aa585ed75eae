//! The probe that calls grpc.health.v1.Health/Check: HTTP/2, one message there, one back.

use super::connect::{Stream, Way};
use super::course::Course;
use super::failure::{Failure, quoted};
use super::http;
use super::names::Names;
use super::spec::Tls;
use super::tls::Above;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE};
use hyper::rt::Executor;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::AbortHandle;

/// Largest answer with its prefix; that of the service has seven bytes.
const LARGEST_ANSWER: usize = 4096;

/// Largest list of headers or trailers.
const LARGEST_HEAD: u32 = 16 << 10;

/// What a server may send before we ask for more; the smallest that HTTP/2 knows without a further message.
const WINDOW: u32 = 65_535;

/// Bytes of a message's prefix: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// What is said of an answer that hyper cannot read.
const NO_ANSWER: &str = "no answer by HTTP/2";

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Check {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Checked {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The names of [`Checked::status`].
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// The index of the one that is wanted.
const SERVING: i32 = 1;

/// Asks the server at `to` whether it serves `service`; empty: as a whole.
///
/// # Errors
///
/// When it does not say SERVING. The caller bounds the time.
pub async fn ask(
    way: Way<'_>,
    to: SocketAddr,
    service: &str,
    tls: Option<&Tls>,
    names: &Names,
    course: &mut Course,
) -> Result<(), Failure> {
    let name = tls.map(|tls| tls.name.as_ref().map_or_else(|| to.ip().to_string(), |name| names.fill(name)));
    let secure = tls.zip(name.as_deref()).map(|(tls, name)| (way.trust, name, &tls.verify));
    let stream = http::open(way.connector, to, secure, Above::Http2, course).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let request = Request::post(format!("{scheme}://{to}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(framed(&Check { service: names.fill(service) })))
        .map_err(|why| http::not_made(&why))?;
    let ends = Ends(Tasks::default());
    judge(exchange(stream, request, ends.0.clone()).await?)
}

/// A message behind its prefix.
fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &body].concat().into()
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

// Boxed and of any stream: the compiler cannot see through a `dyn Stream` that what hyper holds is 'static.
fn exchange(
    stream: impl Stream + 'static,
    request: Request<Full<Bytes>>,
    tasks: Tasks,
) -> BoxFuture<'static, Result<Answer, Failure>> {
    Box::pin(async move {
        let (mut sender, connection) = http2::Builder::new(tasks)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(LARGEST_HEAD)
            .max_send_buf_size(LARGEST_ANSWER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|why| http::failed(&why, NO_ANSWER))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|why| http::failed(&why, NO_ANSWER))?;
            read(response).await
        };
        http::beside(connection, answer).await
    })
}

async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, mut incoming) = response.into_parts();
    let mut answer =
        Answer { status: head.status, headers: head.headers, body: Vec::new(), trailers: HeaderMap::new() };
    while let Some(frame) = incoming.frame().await {
        match frame.map_err(|why| http::failed(&why, NO_ANSWER))?.into_data() {
            Ok(data) if answer.body.len() + data.len() > LARGEST_ANSWER => {
                return Err(Failure::Answer("the answer is larger than 4 KiB".to_owned()));
            }
            Ok(data) => answer.body.extend_from_slice(&data),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(answer)
}

fn judge(answer: Answer) -> Result<(), Failure> {
    let Answer { status, headers, body, trailers } = answer;
    let bad = |why: String| Err(Failure::Answer(why));
    if status != StatusCode::OK {
        return bad(format!("HTTP status {}, and 200 is wanted", status.as_u16()));
    }
    let told = |name: &str| {
        let value = trailers.get(name).or_else(|| headers.get(name));
        value.map(|value| quoted(&String::from_utf8_lossy(value.as_bytes())))
    };
    match told("grpc-status") {
        None => return bad("the answer has no grpc-status".to_owned()),
        Some(code) if code != "0" => {
            let text = told("grpc-message").map(|text| format!(" ({text})")).unwrap_or_default();
            return bad(format!("grpc-status {code}{text}, and SERVING is wanted"));
        }
        Some(_) => {}
    }
    let Some(message) = unframed(&body) else {
        return bad("the answer is not one uncompressed gRPC message".to_owned());
    };
    match Checked::decode(message) {
        Ok(Checked { status: SERVING }) => Ok(()),
        Ok(Checked { status }) => {
            let name = usize::try_from(status).ok().and_then(|index| STATUSES.get(index));
            let name = name.map_or_else(|| status.to_string(), ToString::to_string);
            bad(format!("status {name}, and SERVING is wanted"))
        }
        Err(why) => bad(format!("the answer is not a HealthCheckResponse: {why}")),
    }
}

/// The message behind its prefix, if that is all there is.
fn unframed(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_first_chunk::<PREFIX>()?;
    let [compressed, length @ ..] = *prefix;
    let fits = usize::try_from(u32::from_be_bytes(length)).is_ok_and(|length| length == message.len());
    (compressed == 0 && fits).then_some(message)
}

/// Where hyper's tasks for HTTP/2 run.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let handle = tokio::spawn(task).abort_handle();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }
}

/// Ends the tasks when dropped: a server that stalls would hold them.
struct Ends(Tasks);

impl Drop for Ends {
    fn drop(&mut self) {
        for task in self.0.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            task.abort();
        }
    }
}
