//! The server behind a real socket, spoken to by the client and by hand.

use super::answer::refused as answer;
use super::*;
use crate::api::client::{Client, Error};
use crate::api::protocol::{FlowQuery, RollbackRequest, RolledBack, SwitchRequest};
use crate::dataplane::fake::Fake;
use crate::engine::Engine;
use crate::refusal::Refusal;
use axum::http::StatusCode;
use bg_common::{Colour, Word};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Served {
    client: Client,
    socket: PathBuf,
    fake: Fake,
    stop: tokio::sync::oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn serving() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bg.sock");
    let fake = Fake::with_words(&[("shop", Word::initial(Colour::Blue))]);
    let (engine, handle) = Engine::alone(&fake);
    tokio::spawn(engine.run());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let listening = Listening::bind(&socket).unwrap();
    let stopped = async {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve(listening, Services::without_journal(handle), stopped));
    Served { client: Client::new(&socket), socket, fake, stop, server, _dir: dir }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// What the server says to bytes that no client of ours would send.
async fn raw(socket: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn every_call_of_the_client_is_answered() {
    let served = serving();
    let Served { client, .. } = &served;
    assert_eq!(client.status().await.unwrap().instance, "lab");
    let request = SwitchRequest {
        to: Some(Colour::Green),
        reason: Some("release 7\nforged line".to_owned()),
        ..SwitchRequest::default()
    };
    let switched = client.switch(Some("shop"), &request).await.unwrap();
    assert_eq!((switched.to, switched.took_ns, switched.already), (Colour::Green, 3, false));
    assert!(client.switch(Some("shop"), &request).await.unwrap().already);
    let back = client.rollback(None, &RollbackRequest::default()).await.unwrap();
    let RolledBack::Switched(back) = back else { panic!("{back:?}") };
    assert_eq!(back.to, Colour::Blue);
    assert_eq!(client.flows(&FlowQuery::default()).await.unwrap().total, 0);
    assert_eq!(client.counters().await.unwrap().deployments[0].blue.packets_in, 10);
    assert_eq!(client.detach().await.unwrap().pins, 3);
}

#[tokio::test]
async fn names_travel_whatever_is_in_them() {
    let served = serving();
    let Served { client, .. } = &served;
    for name in ["shpo", "a b/c", "../x", "%", "ä?&="] {
        let refusal = refused(client.switch(Some(name), &SwitchRequest::default()).await);
        assert_eq!(refusal.code, "unknown-deployment");
        assert!(refusal.what.contains(name), "{refusal}");
        let query = FlowQuery { deployment: Some(name.to_owned()), ..FlowQuery::default() };
        assert!(refused(client.flows(&query).await).what.contains(name));
    }
}

#[tokio::test]
async fn nonsense_is_refused_in_the_common_form() {
    let served = serving();
    let Served { socket, fake, .. } = &served;
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: bg\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let switch = "/v1/deployments/shop/switch";
    let rows = [
        (post(switch, "{"), "400", "bad-request"),
        (post(switch, "{\"to\": \"red\"}"), "400", "bad-request"),
        (post(switch, "{\"too\": \"green\"}"), "400", "`too`"),
        (post(switch, &"x".repeat(BODY + 1)), "400", "bad-request"),
        (post("/v1/status", ""), "405", "wrong-method"),
        (post("/v2/status", ""), "404", "no-such-path"),
        (
            "GET /v1/flows?limit=many HTTP/1.1\r\nHost: bg\r\nConnection: close\r\n\r\n".to_owned(),
            "400",
            "bad-request",
        ),
        (
            "GET /v1/flows?color=blue HTTP/1.1\r\nHost: bg\r\nConnection: close\r\n\r\n".to_owned(),
            "400",
            "`color`",
        ),
    ];
    for (request, status, word) in rows {
        let answer = raw(socket, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(body.contains(word) && serde_json::from_str::<Refusal>(body).is_ok(), "{body}");
    }
    assert_eq!(fake.state().words["shop"], Word::initial(Colour::Blue), "nothing was changed");
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection_and_not_the_server() {
    let served = serving();
    let Served { client, socket, .. } = &served;
    for nonsense in ["\0\0\0\0\r\n\r\n", &"A".repeat(100_000), "GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        // The server may hang up in the middle.
        let _ = stream.write_all(nonsense.as_bytes()).await;
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        let _ = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    }
    client.status().await.unwrap();
}

#[tokio::test]
async fn other_users_are_turned_away() {
    for (uid, own, enters) in
        [(0, 0, true), (1000, 0, false), (0, 990, true), (990, 990, true), (1000, 990, false)]
    {
        assert_eq!(may_enter(uid, own), enters, "user {uid} at a daemon of user {own}");
    }
    assert_eq!(answer(Peer { uid: 1000, pid: 7 }.forbidden()).status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_end_of_the_server_removes_the_socket_and_cuts_idle_clients() {
    let Served { socket, stop, server, client, _dir, .. } = serving();
    let mut idle = UnixStream::connect(&socket).await.unwrap();
    client.status().await.unwrap();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), server).await.unwrap().unwrap();
    assert!(!socket.exists());
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap_or(0), 0);
    assert!(matches!(client.status().await, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_daemon_that_does_not_run_is_told_from_one_that_refuses() {
    let client = Client::new(std::path::Path::new("/nonexistent/bg.sock"));
    let Err(Error::Unreachable(refusal)) = client.status().await else { panic!("reached") };
    assert_eq!(refusal.at, "/nonexistent/bg.sock");
    for mend in ["systemctl start bgd", "bgd --config", "--offline"] {
        assert!(refusal.mend.contains(mend), "{refusal}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_served() {
    let served = serving();
    let Served { client, socket, .. } = &served;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(UnixStream::connect(socket).await.unwrap());
    }
    let late = client.clone();
    let late = tokio::spawn(async move { late.status().await });
    drop(idle);
    tokio::time::timeout(Duration::from_secs(20), late).await.unwrap().unwrap().unwrap();
}

mod scripted;
