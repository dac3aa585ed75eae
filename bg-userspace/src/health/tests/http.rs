//! HTTP and TCP: answers are judged, and no server can hold a question.

use super::servers::{Does, Hears, Server, until};
use super::{HERE, SHORT, SOON, ask_at, check, patience, probe, shop};
use crate::health::spec::{Ask, Http, ProbeSet};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn get(body: Option<&str>) -> Http {
    Http {
        path: "/health".to_owned(),
        host: None,
        status: vec![(200, 299)],
        body: body.map(ToOwned::to_owned),
        tls: None,
    }
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

type Row = (&'static str, Vec<u8>, Option<&'static str>, Result<(), &'static str>);

/// What a server says when it has been asked, what is wanted of the body, and what is told.
fn answers() -> Vec<Row> {
    let far = format!("{}blue", "x".repeat(64 << 10));
    let across = format!("{}blue", "x".repeat((64 << 10) - 2));
    let near = format!("{}blue", "x".repeat((64 << 10) - 4));
    let late = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(1000).into_bytes();
    let old = b"HTTP/1.0 200 OK\r\n\r\nall blue".to_vec();
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbl\r\n2\r\nue\r\n0\r\nT: 1\r\n\r\n";
    vec![
        ("a good status", answer("200 OK", ""), None, Ok(())),
        ("the last good status", answer("299 Fine", ""), None, Ok(())),
        ("a bad status", answer("500 No", "blue"), Some("blue"), Err("status 500, and 200-299 is wanted")),
        ("a redirect is not followed", answer("302 Away\r\nLocation: /", ""), None, Err("status 302, ")),
        ("a body with the text", answer("200 OK", "I am blue."), Some("blue"), Ok(())),
        ("an empty text", answer("200 OK", ""), Some(""), Ok(())),
        ("a body without it", answer("200 OK", "x"), Some("blue"), Err("the body does not contain \"blue\"")),
        ("the text in pieces", chunked.to_vec(), Some("blue"), Ok(())),
        ("the text at the end of what is read", answer("200 OK", &near), Some("blue"), Ok(())),
        (
            "the text across the end of what is read",
            answer("200 OK", &across),
            Some("blue"),
            Err("the body does not contain \"blue\" in its first 64 KiB"),
        ),
        (
            "the text behind what is read",
            answer("200 OK", &far),
            Some("blue"),
            Err("the body does not contain \"blue\" in its first 64 KiB"),
        ),
        (
            "the other colour",
            answer("200 OK", "I am green"),
            Some("I am {colour}"),
            Err("the body contains \"I am green\", and \"I am blue\" is wanted"),
        ),
        ("its colour", answer("200 OK", "I am blue"), Some("I am {colour}"), Ok(())),
        ("HTTP/1.0 until the end", old, Some("blue"), Ok(())),
        ("hints before the answer", [late, answer("200 OK", "")].concat(), None, Ok(())),
        ("nothing", vec![], None, Err("connection closed before the answer was complete")),
        ("half a head", b"HTTP/1.1 20".to_vec(), None, Err("connection closed before the answer was compl")),
        (
            "half a body",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec(),
            Some("blue"),
            Err("connection closed before the answer was complete"),
        ),
        ("garbage", b"\x00\x01\x02SSH-2.0-x\r\n\r\n".to_vec(), None, Err("the answer is not HTTP: ")),
        (
            "HTTP/2 garbage",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            None,
            Err("the answer is not HTTP: "),
        ),
        ("no number", b"HTTP/1.1 abc OK\r\n\r\n".to_vec(), None, Err("the answer is not HTTP: ")),
        (
            "chunks that are none",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            Some("blue"),
            Err("the answer is not HTTP: "),
        ),
    ]
}

#[tokio::test]
async fn an_answer_is_judged_by_its_status_and_its_body() {
    for (row, says, body, expected) in answers() {
        let server = Server::start(Hears::Anything, Does::Says(says)).await;
        check(row, &ask_at(server.at, Ask::Http(get(body)), SOON).await, expected);
    }
}

#[tokio::test]
async fn a_server_that_never_ends_is_left_at_the_timeout_or_where_enough_was_read() {
    let ok = b"HTTP/1.1 200 OK\r\n".to_vec();
    let with = |more: &str| [ok.clone(), more.as_bytes().to_vec()].concat();
    let mebibyte = vec![b'x'; 1 << 20];
    let in_first = "the body does not contain \"blue\" in its first 64 KiB";
    let no_end = "no complete answer within 300ms";
    for (row, does, body, expected) in [
        ("silence", Does::Stalls(vec![]), None, Err("no answer within 300ms")),
        ("half a head", Does::Stalls(ok.clone()), None, Err("no answer within 300ms")),
        ("a head is enough", Does::Stalls(with("Content-Length: 9\r\n\r\n")), None, Ok(())),
        ("half a body", Does::Stalls(with("Content-Length: 9\r\n\r\nhalf")), Some("blue"), Err(no_end)),
        ("half a body is enough", Does::Stalls(with("Content-Length: 9\r\n\r\nblue")), Some("blue"), Ok(())),
        ("a slow head", Does::Drips(vec![], b'H'), None, Err("no answer within 300ms")),
        ("slow headers", Does::Drips(with("X: "), b'x'), None, Err("no answer within 300ms")),
        ("a slow body", Does::Drips(with("\r\n"), b'x'), Some("blue"), Err(no_end)),
        (
            "a gigabyte",
            Does::Floods(with("Content-Length: 1073741824\r\n\r\n"), mebibyte.clone()),
            Some("blue"),
            Err(in_first),
        ),
        ("a body for ever", Does::Floods(with("\r\n"), mebibyte.clone()), Some("blue"), Err(in_first)),
        (
            "a body of tiny chunks",
            Does::Floods(with("Transfer-Encoding: chunked\r\n\r\n"), b"4\r\nxxxx\r\n".repeat(4096)),
            Some("blue"),
            Err(in_first),
        ),
        (
            "a header for ever",
            Does::Floods(with("X: "), mebibyte.clone()),
            None,
            Err("the head of the answer is larger than 32 KiB"),
        ),
        (
            "headers for ever",
            Does::Floods(with(""), b"X: y\r\n".repeat(4096)),
            None,
            Err("the head of the answer is larger than 32 KiB"),
        ),
        (
            "hints for ever",
            Does::Floods(vec![], b"HTTP/1.1 100 Continue\r\n\r\n".repeat(4096)),
            None,
            Err("more than 512 KiB came"),
        ),
        (
            "trailers for ever",
            Does::Floods(with("Transfer-Encoding: chunked\r\n\r\n0\r\n"), b"X: y\r\n".repeat(4096)),
            Some("blue"),
            Err("the answer is not HTTP: "),
        ),
        (
            "an extension of a chunk for ever",
            Does::Floods(with("Transfer-Encoding: chunked\r\n\r\n1;"), mebibyte.clone()),
            Some("blue"),
            Err("the answer is not HTTP: "),
        ),
        (
            "a length for ever",
            Does::Floods(with("Transfer-Encoding: chunked\r\n\r\n"), b"0".repeat(1 << 20)),
            Some("blue"),
            Err("more than 512 KiB came"),
        ),
        ("garbage for ever", Does::Floods(vec![], vec![0; 1 << 20]), None, Err("the answer is not HTTP: ")),
    ] {
        let server = Server::start(Hears::Anything, does).await;
        check(row, &ask_at(server.at, Ask::Http(get(body)), patience(expected)).await, expected);
        until("the end of the connection", || server.open() == 0).await;
        // More than was read is in the sockets' buffers, which loopback makes large.
        assert!(server.sent() < 32 << 20, "{row}: {} bytes could be sent", server.sent());
    }
}

#[tokio::test]
async fn a_request_names_who_is_asked_and_its_placeholders_are_replaced() {
    for (host, path, lines) in [
        (
            None,
            "/{colour}?d={deployment}&a={address}",
            ["GET /blue?d=shop&a=127.0.0.1 HTTP/1.1", "host: {at}"],
        ),
        (Some("{colour}.shop.test"), "/", ["GET / HTTP/1.1", "host: blue.shop.test"]),
    ] {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let ask = Ask::Http(Http { path: path.to_owned(), host: host.map(ToOwned::to_owned), ..get(None) });
        let asked = tokio::spawn(async move { ask_at(at, ask, SOON).await });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        for line in lines.iter().map(|line| line.replace("{at}", &at.to_string())) {
            assert!(request.lines().any(|sent| sent == line), "no \"{line}\" in {request}");
        }
        assert!(request.contains("connection: close"), "{request}");
        stream.write_all(&answer("204 Empty", "")).await.unwrap();
        assert_eq!(asked.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_told() {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let nowhere = Http { path: "no path".to_owned(), ..get(None) };
    for (row, ask, expected) in [
        ("a closed port, by TCP", Ask::Tcp, "connection refused"),
        ("a closed port, by HTTP", Ask::Http(get(None)), "connection refused"),
        ("no path", Ask::Http(nowhere), "the request cannot be made: "),
    ] {
        check(row, &ask_at(closed, ask, SOON).await, Err(expected));
    }
}

#[tokio::test]
async fn ipv6_is_asked_as_ipv4_is() {
    let listener = match TcpListener::bind("[::1]:0").await {
        Ok(listener) => listener,
        Err(why) => return println!("SKIP probes over IPv6: {why}"),
    };
    let at = listener.local_addr().unwrap();
    let ask = Ask::Http(get(None));
    let set = ProbeSet { slices: [vec![], vec![at.ip()]], ..shop(vec![probe("p", at.port(), ask)]) };
    let asked = tokio::spawn(async move { super::ask_set(&set).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    assert!(request.contains(&format!("host: [::1]:{}\r\n", at.port())), "{request}");
    stream.write_all(&answer("200 OK", "")).await.unwrap();
    assert_eq!(asked.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_connection_is_all_that_tcp_wants() {
    let server = Server::start(Hears::Anything, Does::Stalls(vec![])).await;
    check("tcp", &ask_at(server.at, Ask::Tcp, SOON).await, Ok(()));
    until("the end of the connection", || server.asked() == 1 && server.open() == 0).await;
}

/// Fills a listener's queue, so that no further connection is answered.
#[tokio::test]
async fn a_host_that_does_not_answer_is_left_at_the_timeout() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((HERE, 0))).unwrap();
    let listener = socket.listen(0).unwrap();
    let at = listener.local_addr().unwrap();
    let filling = (0..2).map(|_| tokio::time::timeout(SHORT, tokio::net::TcpStream::connect(at)));
    let _kept = futures_util::future::join_all(filling).await;
    check("tcp", &ask_at(at, Ask::Tcp, SHORT).await, Err("no connection within 300ms"));
}
