//! The prober as a whole: when it asks, whom, how many at a time, and how it ends.

use super::command::{gone, pids};
use super::servers::{Does, Hears, Server, until};
use super::{HERE, SHORT, SOON, probe, shop};
use crate::dataplane::Protocol;
use crate::health::connect::{Connector, Datagrams, Kernel, Promise, Stream, VipConnector};
use crate::health::prober::{NobodyKnows, Prober};
use crate::health::spec::{Ask, Http, ProbeSet, ProbeSpec, Report, WhoAnswered};
use crate::model::event::OwnFlows;
use crate::model::policy::{Finding, Target};
use bg_common::Colour;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

fn start() -> (Prober, mpsc::Receiver<Report>) {
    let (reports, received) = mpsc::channel(1024);
    (Prober::start(reports, None, Arc::new(NobodyKnows)).unwrap(), received)
}

async fn next(received: &mut mpsc::Receiver<Report>) -> Report {
    timeout(SOON, received.recv()).await.expect("there is a report in time").expect("the prober lives")
}

/// The next report of this probe.
async fn next_of(received: &mut mpsc::Receiver<Report>, name: &str) -> Report {
    loop {
        let report = next(received).await;
        if report.probe == name {
            return report;
        }
    }
}

fn get(body: &str) -> Ask {
    Ask::Http(Http {
        path: "/".to_owned(),
        host: None,
        status: vec![(200, 200)],
        body: Some(body.to_owned()),
        tls: None,
    })
}

fn says(body: &str) -> Does {
    Does::Says(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

#[tokio::test]
async fn each_target_is_asked_at_its_interval_and_first_within_a_second() {
    let server = Server::start(Hears::Nothing, Does::Stalls(vec![])).await;
    let (prober, mut received) = start();
    let often = ProbeSpec {
        interval: Duration::from_millis(50),
        jitter: 20,
        ..probe("often", server.at.port(), Ask::Tcp)
    };
    let seldom = probe("seldom", server.at.port(), Ask::Tcp);
    let began = Instant::now();
    prober.configure(vec![shop(vec![often, seldom])]);
    let first = next_of(&mut received, "seldom").await;
    assert!(began.elapsed() < Duration::from_secs(3), "the first question does not wait for its interval");
    let Report { deployment, probe: _, target, began: _, own: _, finding } = first;
    assert_eq!(deployment, "shop");
    assert_eq!(target, Target::Backend(Colour::Blue, HERE));
    assert_eq!(finding, Finding::Good { answered: None });

    let mut moments = Vec::new();
    while moments.len() < 10 {
        moments.push(next_of(&mut received, "often").await.began);
    }
    let (first, last) = (moments[0], moments[9]);
    let taken = last.since(first);
    assert!(taken >= Duration::from_millis(9 * 40), "ten questions at 50 ms less 20 % took only {taken:?}");
    assert!(moments.is_sorted());
}

#[tokio::test]
async fn a_new_configuration_asks_who_is_new_and_forgets_who_is_gone() {
    let server = Server::start(Hears::Anything, Does::Stalls(vec![])).await;
    let (prober, mut received) = start();
    let at = |name, ask| ProbeSpec { timeout: SOON, ..probe(name, server.at.port(), ask) };
    prober.configure(vec![shop(vec![at("hangs", get("")), at("tcp", Ask::Tcp)])]);
    next_of(&mut received, "tcp").await;
    until("a question that hangs", || server.open() == 1).await;

    prober.configure(vec![shop(vec![at("tcp", Ask::Tcp), at("new", Ask::Tcp)])]);
    assert_eq!(next(&mut received).await.probe, "new", "who has not changed is not asked again");
    until("the end of the question that hung", || server.open() == 0).await;

    let mut green = shop(vec![at("tcp", Ask::Tcp)]);
    green.slices.swap(0, 1);
    prober.configure(vec![green]);
    assert_eq!(next(&mut received).await.target, Target::Backend(Colour::Green, HERE));
    prober.configure(vec![]);
    prober.ask_now("shop");
    drop(prober);
    assert_eq!(received.recv().await, None, "nobody is left to be asked");
}

#[tokio::test]
async fn asking_now_asks_everybody_of_the_deployment_once_more() {
    let server = Server::start(Hears::Nothing, Does::Stalls(vec![])).await;
    let (prober, mut received) = start();
    let set = |name: &str| ProbeSet {
        deployment: name.to_owned(),
        ..shop(vec![probe("a", server.at.port(), Ask::Tcp), probe("b", server.at.port(), Ask::Tcp)])
    };
    prober.configure(vec![set("shop"), set("other")]);
    for _ in 0..4 {
        next(&mut received).await;
    }
    prober.ask_now("nobody");
    prober.ask_now("shop");
    let mut asked = [next(&mut received).await, next(&mut received).await];
    asked.sort_by(|a, b| a.probe.cmp(&b.probe));
    let asked: Vec<_> = asked.iter().map(|report| (&*report.deployment, &*report.probe)).collect();
    assert_eq!(asked, [("shop", "a"), ("shop", "b")]);
    until("the sixth question", || server.asked() == 6).await;
}

#[tokio::test]
async fn one_probe_never_asks_one_target_twice_at_a_time() {
    let server = Server::start(Hears::Anything, Does::Stalls(vec![])).await;
    let (prober, mut received) = start();
    let hangs = ProbeSpec {
        interval: Duration::from_millis(10),
        timeout: SHORT,
        ..probe("hangs", server.at.port(), get(""))
    };
    prober.configure(vec![shop(vec![hangs])]);
    until("the first question", || server.open() == 1).await;
    for _ in 0..10 {
        prober.ask_now("shop");
    }
    for _ in 0..3 {
        let Finding::Bad { why, .. } = next(&mut received).await.finding else { panic!("it hangs") };
        assert_eq!(why, "no answer within 300ms");
    }
    assert_eq!(server.most_open(), 1);
}

/// Never connects, and counts who waits for it.
#[derive(Default)]
struct Hangs {
    asked: AtomicUsize,
    waiting: AtomicUsize,
    most: AtomicUsize,
}

struct Waits<'a>(&'a Hangs);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connector for Hangs {
    fn tcp(&self, _: SocketAddr) -> Promise<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(self.waiting.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _waits = Waits(self);
            std::future::pending().await
        })
    }

    fn udp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Datagrams>, SocketAddr)> {
        Kernel.udp(to)
    }
}

#[tokio::test]
async fn so_many_questions_are_asked_at_a_time_and_all_get_their_turn() {
    let hangs = Arc::new(Hangs::default());
    let (reports, mut received) = mpsc::channel(16);
    let prober = Prober::start(reports, Some(hangs.clone()), Arc::new(NobodyKnows)).unwrap();
    let frontends = (1..=600).map(|port| SocketAddr::new(VIP.ip(), port)).collect();
    let mut sets = vip_alone(frontends);
    sets[0].probes[0].timeout = SHORT;
    prober.live("shop", Colour::Blue);
    prober.configure(sets);
    let Finding::Bad { why, .. } = next(&mut received).await.finding else { panic!("nobody answers") };
    assert!(why.starts_with("192.0.2.10:1: no connection within 300ms; "), "{why}");
    assert!(why.ends_with("; and 597 more"), "{why}");
    assert_eq!(hangs.asked.load(Ordering::SeqCst), 600);
    assert_eq!(hangs.most.load(Ordering::SeqCst), 256);
}

#[tokio::test]
async fn dropping_the_prober_ends_questions_and_commands() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let script = format!("sleep 600 & echo $! >> {0}; echo $$ >> {0}; wait", file.display());
    let command = ["sh", "-c", &script].map(ToOwned::to_owned).to_vec();
    let server = Server::start(Hears::Anything, Does::Stalls(vec![])).await;
    let (prober, mut received) = start();
    let probes = vec![
        probe("hangs", server.at.port(), get("")),
        ProbeSpec { port: None, ..probe("runs", 0, Ask::Command(command)) },
    ];
    prober.configure(vec![shop(probes)]);
    until("a question that hangs", || server.open() == 1).await;
    let pids = tokio::task::spawn_blocking(move || pids(&file, 2)).await.unwrap();
    drop(prober);
    gone(&pids);
    until("the end of the question that hung", || server.open() == 0).await;
    assert_eq!(received.recv().await, None, "nothing is reported of what was not answered");
}

/// Leads every VIP to a server on the loopback, and knows who answers there.
struct Beyond {
    to: SocketAddr,
    colour: Mutex<Option<Colour>>,
    asked: Mutex<Vec<(SocketAddr, SocketAddr)>>,
}

impl Connector for Beyond {
    fn tcp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            let (stream, own) = Kernel.tcp(self.to).await?;
            self.asked.lock().unwrap().push((own, to));
            Ok((stream, own))
        })
    }

    fn udp(&self, _: SocketAddr) -> Promise<'_, (Box<dyn Datagrams>, SocketAddr)> {
        Kernel.udp(self.to)
    }
}

impl WhoAnswered for Beyond {
    fn colour(&self, client: SocketAddr, frontend: SocketAddr, protocol: Protocol) -> Option<Colour> {
        assert_eq!(protocol, Protocol::Tcp);
        assert!(self.asked.lock().unwrap().contains(&(client, frontend)), "a flow that was never opened");
        *self.colour.lock().unwrap()
    }
}

fn beyond(to: SocketAddr, colour: Option<Colour>) -> (Prober, mpsc::Receiver<Report>, Arc<Beyond>) {
    let (reports, received) = mpsc::channel(16);
    let beyond = Arc::new(Beyond { to, colour: Mutex::new(colour), asked: Mutex::default() });
    let vip: Arc<dyn VipConnector> = beyond.clone();
    (Prober::start(reports, Some(vip), beyond.clone()).unwrap(), received, beyond)
}

const VIP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 80);

/// A deployment of which only the VIP is asked, in the text of whoever is live.
fn vip_alone(frontends: Vec<SocketAddr>) -> Vec<ProbeSet> {
    let through = ProbeSpec { frontends, ..probe("web", 1, get("I am {colour}")) };
    vec![ProbeSet { slices: [vec![], vec![]], ..shop(vec![through]) }]
}

#[tokio::test]
async fn through_the_vip_the_live_colour_must_answer() {
    let other = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11)), 80);
    let wrong = "192.0.2.10:80: the body contains \"I am green\", and \"I am blue\" is wanted";
    let both = format!("{wrong}; {}", wrong.replace(".10:", ".11:"));
    for (row, frontends, live, answered, expected) in [
        ("as told", vec![VIP], Colour::Green, Some(Colour::Green), None),
        ("no pin", vec![VIP], Colour::Green, None, None),
        ("another", vec![VIP], Colour::Blue, Some(Colour::Green), Some(wrong)),
        ("two frontends", vec![VIP, other], Colour::Blue, Some(Colour::Green), Some(&*both)),
    ] {
        let server = Server::start(Hears::Anything, says("I am green")).await;
        let (prober, mut received, beyond) = beyond(server.at, answered);
        prober.live("shop", live);
        prober.configure(vip_alone(frontends.clone()));
        let Report { target, finding, own, .. } = next(&mut received).await;
        assert_eq!(target, Target::Vip);
        let many = u64::try_from(frontends.len()).unwrap();
        let made = OwnFlows { flows: many, handshakes: many, answered: many, refused: 0 };
        let of = answered.unwrap_or(live).index();
        assert_eq!((own[of], own[1 - of]), (made, OwnFlows::default()), "{row}: what the counters have");
        let expected = match expected {
            None => Finding::Good { answered },
            Some(why) => Finding::Bad { why: why.to_owned(), answered },
        };
        assert_eq!(finding, expected, "{row}");
        let mut asked: Vec<_> = beyond.asked.lock().unwrap().iter().map(|(_, to)| *to).collect();
        asked.sort();
        assert_eq!(asked, frontends, "{row}: each frontend is asked once");
    }
}

#[tokio::test]
async fn a_vip_is_asked_once_it_is_known_who_is_live_and_anew_when_that_changes() {
    let server = Server::start(Hears::Anything, Does::Stalls(vec![])).await;
    let (prober, mut received, beyond) = beyond(server.at, None);
    let mut sets = vip_alone(vec![VIP]);
    prober.configure(sets.clone());
    prober.ask_now("shop");
    prober.live("other", Colour::Blue);
    prober.live("shop", Colour::Blue);
    until("a question about blue", || server.open() == 1).await;
    prober.live("shop", Colour::Blue);
    prober.configure(sets.clone());
    prober.live("shop", Colour::Green);
    until("a question about green instead", || server.asked() == 2 && server.open() == 1).await;
    assert_eq!(beyond.asked.lock().unwrap().len(), 2, "the same colour told again is no news");
    sets[0].probes[0].timeout = SHORT;
    prober.configure(sets);
    let Finding::Bad { why, .. } = next(&mut received).await.finding else { panic!("it never answers") };
    assert_eq!(why, "192.0.2.10:80: no answer within 300ms", "only the last question came to its end");
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn without_a_client_beyond_the_uplink_vips_are_not_asked() {
    let server = Server::start(Hears::Nothing, Does::Stalls(vec![])).await;
    let (prober, mut received) = start();
    prober.live("shop", Colour::Blue);
    let both = ProbeSpec { frontends: vec![VIP], ..probe("tcp", server.at.port(), Ask::Tcp) };
    prober.configure(vec![shop(vec![both])]);
    assert_eq!(next(&mut received).await.target, Target::Backend(Colour::Blue, HERE));
    prober.ask_now("shop");
    assert_eq!(next(&mut received).await.target, Target::Backend(Colour::Blue, HERE));
}
