//! The whole surface over a daemon by script: paths, bounds, statuses, and those who follow events.

use super::raw;
use crate::api::client::{Client, Error};
use crate::api::fake::Script;
use crate::api::protocol::{
    Changed, DrainRequest, DrillRequest, EventQuery, ForceRequest, FreezeRequest, OverrideRequest,
    PauseRequest, ReasonRequest, RollbackRequest, Seconds, StageRequest, State, SwitchRequest,
};
use crate::api::server::{BODY, FOLLOWERS, Limits};
use crate::model::order::{Done, Order, Verb};
use crate::refusal::Refusal;
use bg_common::Colour;
use bg_common::word::Fate;
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct Served {
    script: Script,
    client: Client,
    socket: PathBuf,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn serving() -> Served {
    serving_within(Limits::default())
}

fn serving_within(limits: Limits) -> Served {
    let (script, dir) = (Script::default(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("bg.sock");
    let (stop, server) = script.serve_within(limits, &socket);
    let (client, stop) = (Client::new(&socket), Some(stop));
    Served { script, client, socket, stop, server, _dir: dir }
}

fn changed() -> Result<Done, Refusal> {
    Ok(Done::Changed { deployment: "a b/c".to_owned(), generation: 9, what: "it is so".to_owned() })
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: bg\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn post(path: &str, body: &str) -> String {
    request("POST", path, body)
}

/// Waits until `so`, within reason.
async fn until(what: &str, so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{what} never came true"));
}

#[tokio::test]
async fn every_order_of_the_client_arrives_with_its_name_and_reason() {
    let served = serving();
    let Served { script, client, .. } = &served;
    script.lines().answers = [changed()].into();
    let reason = Some("why\nnot".to_owned());
    let because = ReasonRequest { reason: reason.clone() };
    let time = Seconds(Duration::from_millis(1500));
    for name in [None, Some("a b/c")] {
        let stage = StageRequest {
            version: Some("1.4".to_owned()),
            reason: reason.clone(),
            ..StageRequest::default()
        };
        let drain =
            DrainRequest { end: Some(Fate::Reset), reason: reason.clone(), ..DrainRequest::default() };
        let (colour, state) = (Colour::Green, State::Down);
        let over = OverrideRequest { colour, backend: None, state, reason: reason.clone() };
        let expected = Changed { deployment: "a b/c".to_owned(), generation: 9, what: "it is so".to_owned() };
        for answer in [
            client.confirm(name, &because).await,
            client.stage(name, &stage).await,
            client.freeze(name, &FreezeRequest { reason: "why\nnot".to_owned() }).await,
            client.unfreeze(name, &because).await,
            client.pause(name, &PauseRequest { for_s: time, reason: reason.clone() }).await,
            client.resume(name, &because).await,
            client.drain(name, &drain).await,
            client.override_health(name, &over).await,
        ] {
            assert_eq!(answer.unwrap(), expected);
        }
        let orders = std::mem::take(&mut script.lines().orders);
        let verbs: Vec<_> = orders.iter().map(|order| order.verb.name()).collect();
        assert_eq!(verbs, ["confirm", "stage", "freeze", "unfreeze", "pause", "resume", "drain", "health"]);
        assert!(orders.iter().all(|Order { deployment, reason: said, .. }| {
            (deployment.as_deref(), said) == (name, &reason)
        }));
    }
}

#[tokio::test]
async fn whatever_is_sent_nonsense_is_refused_and_nothing_is_ordered() {
    let served = serving();
    let Served { script, client, socket, .. } = &served;
    let long = "x".repeat(1001);
    let gates = format!("{{\"force\": [{}]}}", vec!["\"a\""; 33].join(","));
    let shop = |verb: &str| format!("/v1/deployments/shop/{verb}");
    let rows = [
        (post(&shop("switch"), "[]"), "400", "no JSON object"),
        (post(&shop("switch"), " [\"green\"]"), "400", "no JSON object"),
        (post(&shop("switch"), "{\"plan\": \"8.x\"}"), "400", "8.3f2a"),
        (post(&shop("switch"), "{\"plan\": 8}"), "400", "bad-request"),
        (post(&shop("switch"), "{\"confirm_within_s\": -1}"), "400", "number of seconds"),
        (post(&shop("switch"), "{\"confirm_within_s\": 1e12}"), "400", "up to a year"),
        (post(&shop("switch"), "{\"bake_s\": \"5m\"}"), "400", "bad-request"),
        (post(&shop("switch"), "{\"fate\": \"kill\"}"), "400", "`kill`"),
        (post(&shop("switch"), "{\"force\": 1}"), "400", "bad-request"),
        (post(&shop("switch"), &gates), "400", "gates are named"),
        (post(&shop("switch"), "{\"force\": [\"\"]}"), "400", "gates are named"),
        (post(&shop("switch"), "{\"agreed\": \"yes\"}"), "400", "bad-request"),
        (post(&shop("switch"), &format!("{{\"reason\": \"{long}\"}}")), "400", "at most 1000 bytes"),
        (post(&shop("rollback"), "{\"to\": \"blue\"}"), "400", "`to`"),
        (post(&shop("confirm"), "{\"force\": true}"), "400", "`force`"),
        (post(&shop("stage"), "{\"version\": \" \"}"), "400", "a version is"),
        (post(&shop("stage"), "{\"version\": \"1\\n2\"}"), "400", "a version is"),
        (post(&shop("freeze"), ""), "400", "`reason`"),
        (post(&shop("freeze"), "{\"reason\": \" \"}"), "400", "has to be told"),
        (post(&shop("pause"), ""), "400", "`for_s`"),
        (post(&shop("pause"), "{\"for_s\": 0}"), "400", "at most an hour"),
        (post(&shop("pause"), "{\"for_s\": 3601}"), "400", "at most an hour"),
        (post(&shop("drain"), ""), "400", "either extended or ended"),
        (post(&shop("drain"), "{\"extend_by_s\": 1, \"end\": \"reset\"}"), "400", "either extended or ended"),
        (post(&shop("drain"), "{\"end\": \"keep\"}"), "400", "`reset` or `move`"),
        (post(&shop("health"), "{\"colour\": \"green\"}"), "400", "`state`"),
        (
            post(&shop("health"), "{\"colour\": \"green\", \"state\": \"up\", \"backend\": \"x\"}"),
            "400",
            "bad-request",
        ),
        (post(&shop("drill"), "{\"hold_s\": 3601}"), "400", "at most an hour"),
        (post(&shop("drill"), &"x".repeat(BODY + 1)), "400", "bad-request"),
        (post("/v1/deployments/%ff/switch", ""), "400", "bad-request"),
        (post(&shop("plan"), ""), "405", "wrong-method"),
        (request("GET", &shop("switch"), ""), "405", "wrong-method"),
        (request("DELETE", &shop("switch"), ""), "405", "wrong-method"),
        (post(&shop("explode"), ""), "404", "no-such-path"),
        (request("GET", "/v1/plan?to=red", ""), "400", "blue"),
        (request("GET", "/v1/health?deploymnet=shop", ""), "400", "`deploymnet`"),
        (request("GET", "/v1/history?limit=-1", ""), "400", "bad-request"),
        (request("GET", "/v1/history?kind=swichted", ""), "400", "swichted"),
        (request("GET", "/v1/history/at", ""), "400", "`time`"),
        (request("GET", "/v1/history/at?time=yesterday", ""), "400", "bad-request"),
        (request("GET", "/v1/events?follow=maybe", ""), "400", "bad-request"),
        (request("GET", "/v1/drift?x", ""), "400", "`x`"),
    ];
    for (request, status, word) in rows {
        let answer = raw(socket, &request).await;
        let head = request.split("\r\n\r\n").next().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}\n{answer}");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let refusal: Refusal = serde_json::from_str(body).unwrap_or_else(|_| panic!("{head}\n{body}"));
        assert!(body.contains(word), "{head}\n{body}");
        assert!(!refusal.mend.is_empty() && !refusal.at.is_empty(), "{body}");
    }
    assert!(script.lines().orders.is_empty(), "nothing was ordered");
    client.status().await.unwrap();

    // A name that is empty is a name, and not that of the only deployment.
    raw(socket, &post("/v1/deployments//switch", "")).await;
    assert_eq!(script.lines().orders[0].deployment.as_deref(), Some(""));
}

#[tokio::test]
async fn refusals_of_orders_have_fitting_statuses() {
    let served = serving();
    let Served { script, socket, .. } = &served;
    for (code, status) in [
        ("gate-health", "409"),
        ("nothing-to-confirm", "409"),
        ("changed-meanwhile", "409"),
        ("unknown-deployment", "404"),
        ("which-deployment", "404"),
        ("unsupported", "501"),
        ("stopping", "503"),
        ("table-refused", "500"),
    ] {
        script.lines().answers = [Err(Refusal::new(code, "what", "at", "mend"))].into();
        for verb in ["switch", "rollback", "confirm", "stage", "unfreeze", "resume", "drill"] {
            let answer = raw(socket, &post(&format!("/v1/{verb}"), "")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{code} of {verb}: {answer}");
        }
    }
}

#[tokio::test]
async fn force_is_true_or_a_list_of_names() {
    for (text, expected) in [
        ("true", ForceRequest::All(true)),
        ("false", ForceRequest::All(false)),
        ("[\"health\"]", ForceRequest::Gates(vec!["health".to_owned()])),
    ] {
        let request: SwitchRequest = serde_json::from_str(&format!("{{\"force\": {text}}}")).unwrap();
        assert_eq!(request.force, expected);
    }
    assert_eq!(RollbackRequest::default().force, ForceRequest::All(false));
}

/// Limits that a test can wait for.
fn short() -> Limits {
    let millis = Duration::from_millis;
    Limits {
        sent: millis(200),
        looked: millis(200),
        done: millis(30),
        hooks: millis(30),
        drilled: millis(20),
        ..Limits::default()
    }
}

#[tokio::test]
async fn orders_and_drills_have_their_own_patience() {
    let served = serving_within(short());
    let Served { script, client, .. } = &served;
    script.lines().silent = true;
    let begun = Instant::now();
    let Err(Error::Refused(refusal)) = client.switch(None, &SwitchRequest::default()).await else {
        panic!("it was answered")
    };
    let took = begun.elapsed();
    assert_eq!(refusal.code, "timeout");
    assert!(took >= Duration::from_millis(60), "{took:?}");

    let begun = Instant::now();
    let request =
        DrillRequest { hold_s: Some(Seconds(Duration::from_millis(300))), ..DrillRequest::default() };
    let Err(Error::Refused(refusal)) = client.drill(None, &request).await else { panic!("it was answered") };
    let took = begun.elapsed();
    assert_eq!((refusal.code.as_str(), refusal.at.as_str()), ("timeout", "/v1/drill"));
    assert!(took >= Duration::from_millis(350), "it waited for the drill: {took:?}");
    let Limits { done, looked, hooks, .. } = Limits::default();
    assert!(done > looked);
    assert!(hooks > crate::config::LONGEST_HOOK, "a hook that takes its time is waited for");
}

#[tokio::test]
async fn a_body_that_is_not_sent_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let served = serving_within(short());
    let Served { script, socket, .. } = &served;
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let head = "POST /v1/drill HTTP/1.1\r\nHost: bg\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("takes too long"), "{answer}");
    assert!(script.lines().orders.is_empty());
}

#[tokio::test]
async fn followers_stay_for_as_long_as_they_like_but_no_more_than_some() {
    let limits = short();
    let served = serving_within(limits);
    let Served { script, client, .. } = &served;
    let query = EventQuery { follow: true, ..EventQuery::default() };
    let (mut followers, begun) = (Vec::new(), Instant::now());
    for _ in 0..FOLLOWERS {
        followers.push(client.events(&query).await.unwrap());
    }
    let Err(Error::Refused(refusal)) = client.events(&query).await else { panic!("one more was let in") };
    assert_eq!(refusal.code, "too-many-followers");
    client.events(&EventQuery::default()).await.unwrap();
    client.status().await.unwrap();

    until("that others would have been cut off", || begun.elapsed() > limits.looked + limits.sent).await;
    let line = r#"{"deployment":"shop","kind":"unfrozen","seq":1}"#;
    script.tell(line);
    for follower in &mut followers {
        assert_eq!(follower.next().await.unwrap().as_deref(), Some(line));
    }
    drop(followers);
    until("that those who have left are gone", || script.followers() == 0).await;
    client.events(&query).await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_server_ends_following() {
    let Served { script, client, mut stop, server, _dir, .. } = serving();
    let mut follower = client.events(&EventQuery { follow: true, ..EventQuery::default() }).await.unwrap();
    until("that somebody follows", || script.followers() == 1).await;
    drop(stop.take());
    let end = tokio::time::timeout(Duration::from_secs(20), follower.next()).await.unwrap();
    assert_eq!(end.unwrap(), None, "it ends as an answer ends, not as a broken connection");
    tokio::time::timeout(Duration::from_secs(1), server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_plan_is_no_order() {
    let served = serving();
    let Served { script, socket, .. } = &served;
    let answer = raw(socket, &request("GET", "/v1/deployments/shop/plan?to=green", "")).await;
    assert!(answer.contains("no plan in the script"), "{answer}");
    assert!(script.lines().orders.is_empty());
    assert_eq!(Verb::Plan { to: None }.name(), "plan");
}
