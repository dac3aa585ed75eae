//! Webhooks against servers that answer as they like.

use super::DEADLINE;
use crate::health::spec::Verify;
use crate::notify::answer::{Answer, KEPT};
use crate::notify::post::{Post, bounded};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// A server that answers each request with the same bytes.
pub(super) struct Web {
    pub(super) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

/// What it does after it has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Closes,
    Hangs,
    /// Goes on with these bytes until it is hung up on.
    Repeats(&'static str),
}

impl Web {
    pub(super) async fn start(answer: impl Fn(usize) -> String + Send + Sync + 'static, then: Then) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                connections.spawn(async move {
                    let number = seen.lock().unwrap().len();
                    seen.lock().unwrap().push(String::new());
                    let _ = serve(stream, &seen, number, answer(number), then).await;
                });
            }
        });
        Self { port, requests, _task: task }
    }

    async fn says(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |_| answer.clone(), Then::Closes).await
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?key=secret", self.port)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    number: usize,
    answer: String,
    then: Then,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await?;
        request.extend(&buffer[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        let length_of =
            |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
        let wanted = text.lines().find_map(length_of).unwrap_or(0);
        seen.lock().unwrap()[number] = text;
        let is_tls = request.starts_with(b"\x16");
        if length == 0 || is_tls || body.is_some_and(|body| body >= wanted) {
            break;
        }
    }
    stream.write_all(answer.as_bytes()).await?;
    match then {
        Then::Closes => {}
        Then::Hangs => drop(stream.read(&mut buffer).await?),
        Then::Repeats(text) => loop {
            stream.write_all(text.as_bytes()).await?;
        },
    }
    Ok(())
}

async fn send(url: &str) -> Answer {
    send_within(url, DEADLINE).await
}

async fn send_within(url: &str, within: Duration) -> Answer {
    bounded(Post::default().send(url, "{\"kind\":\"frozen\"}".into()), within).await
}

fn plain(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_status_of_success_agrees_and_what_was_said_is_quoted() {
    for (status, body, ok, output) in [
        ("200 OK", "thanks", true, "thanks"),
        ("204 No Content", "", true, ""),
        ("299 Odd", "", true, ""),
        ("302 Found\r\nLocation: http://127.0.0.1:1/", "", false, "HTTP 302, and redirects are not followed"),
        ("404 Not Found", "no such hook", false, "HTTP 404: no such hook"),
        ("500 Oops", "\x1b[2J", false, "HTTP 500: \u{fffd}[2J"),
    ] {
        let web = Web::says(plain(status, body)).await;
        assert_eq!(send(&web.url()).await, Answer { ok, output: output.to_owned() }, "{status}");
        assert_eq!(web.requests().len(), 1, "{status}: it is asked once");
    }
}

#[tokio::test]
async fn the_request_is_what_a_webhook_expects() {
    let web = Web::says(plain("200 OK", "")).await;
    // Where the name stands for IPv6, too, the server is behind the second address.
    assert!(send(&format!("http://localhost:{}/hook?key=secret", web.port)).await.ok);
    let requests = web.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<String> = head.lines().map(str::to_lowercase).collect();
    assert_eq!(lines.remove(0), "post /hook?key=secret http/1.1");
    lines.sort_unstable();
    let wanted = [
        "connection: close",
        "content-length: 17",
        "content-type: application/json",
        &format!("host: localhost:{}", web.port),
        concat!("user-agent: bgd/", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(lines, wanted);
    assert_eq!(body, "{\"kind\":\"frozen\"}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let five_megabytes = "x".repeat(5_000_000);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for web in [
        Web::says(plain("200 OK", &five_megabytes)).await,
        Web::start(
            move |_| chunked.clone(),
            Then::Repeats("40\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"),
        )
        .await,
        Web::start(
            |_| "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
            Then::Repeats("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        )
        .await,
    ] {
        let answer = send(&web.url()).await;
        assert!(answer.ok && answer.output.starts_with("xxxx"), "{:.40}", answer.output);
        assert!(answer.output.len() <= KEPT && answer.output.len() > KEPT - 4, "{}", answer.output.len());
    }
}

#[tokio::test]
async fn a_body_that_never_comes_does_not_turn_a_yes_into_a_no() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
    let web = Web::start(|_| head.to_owned(), Then::Hangs).await;
    assert_eq!(send(&web.url()).await, Answer { ok: true, output: "part".to_owned() });
}

#[tokio::test]
async fn what_is_no_http_is_told_as_that() {
    for (answer, then) in [
        ("\x16\x03\x01garbage", Then::Closes),
        ("SSH-2.0-OpenSSH\r\n", Then::Hangs),
        ("", Then::Closes),
        ("HTTP/1.1 200", Then::Closes),
        ("HTTP/1.1 200 OK\r\n", Then::Repeats("X-More: and more\r\n")),
        ("HTTP/1.1 200 OK\r\nX-Long: ", Then::Repeats("long")),
        ("HTTP/1.1 999999 OK\r\n\r\n", Then::Closes),
    ] {
        let web = Web::start(|_| answer.to_owned(), then).await;
        let told = send(&web.url()).await;
        assert!(!told.ok && told.output.starts_with("no HTTP answer: "), "{answer:?}: {}", told.output);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let within = Duration::from_millis(200);
    for url in [
        Web::start(|_| String::new(), Then::Hangs).await,
        Web::start(|_| "HTTP/1.1 200 O".to_owned(), Then::Hangs).await,
        Web::start(|_| String::new(), Then::Repeats("HTTP/1.1 100 Continue\r\n\r\n")).await,
    ]
    .map(|web| (web.url(), web))
    {
        let began = Instant::now();
        let answer = send_within(&url.0, within).await;
        assert_eq!(answer, Answer { ok: false, output: "no answer within 200ms".to_owned() });
        assert!(began.elapsed() < DEADLINE / 2);
    }
}

/// Takes one TLS connection after the other and sends a whole answer.
async fn secure(certificate: &Path, key: &Path) -> (u16, JoinSet<()>) {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(plain("200 OK", "in secret").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, task)
}

#[tokio::test]
async fn over_tls_only_whom_the_system_trusts_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("own.pem"), dir.path().join("own.key"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=hook", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
        .output();
    if let Err(why) = made {
        println!("SKIP there is no openssl to make a certificate with: {why}");
        return;
    }
    let (port, _server) = secure(&certificate, &key).await;
    let trusting = |verify| async move {
        let post = Post::trusting(verify);
        bounded(post.send(&format!("https://127.0.0.1:{port}/"), "{}".into()), DEADLINE).await
    };
    let good = trusting(Verify::File(certificate)).await;
    assert_eq!(good, Answer { ok: true, output: "in secret".to_owned() });
    let answer = send(&format!("https://localhost:{port}/")).await;
    assert!(!answer.ok, "{answer:?}");
    let why = &answer.output;
    assert!(
        why.contains("certificate is not valid") || why.contains("trusts no certificate authority"),
        "{why}"
    );
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_without_the_secret_in_its_url() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
    let plain = Web::says("this is no TLS").await;
    for (url, why) in [
        (format!("http://127.0.0.1:{closed}/secret"), "connection refused"),
        (format!("https://127.0.0.1:{}/secret", plain.port), "127.0.0.1: no TLS: "),
        ("http://no-such-name.invalid/secret".to_owned(), "no-such-name.invalid: "),
        ("ftp://127.0.0.1/secret".to_owned(), "neither with http:// nor with https://"),
        ("/secret".to_owned(), "neither with http:// nor with https://"),
        ("http://user:secret@127.0.0.1/".to_owned(), "a user in it"),
        ("http://127.0.0.1:99999/secret".to_owned(), "its port is none"),
        ("http://127.0.0.1:/secret".to_owned(), "its port is none"),
        ("http://a b/secret".to_owned(), "makes no sense"),
        (String::new(), "makes no sense"),
    ] {
        let answer = send(&url).await;
        assert!(!answer.ok && answer.output.contains(why), "{url}: {}", answer.output);
        assert!(!answer.output.contains("secret"), "{url}: {}", answer.output);
    }
}
