//! Hooks from the bus to the command or server, and back to whoever is told.

use super::posts::{Then, Web};
use super::{DEADLINE, lives, samples, shell, until};
use crate::notify::spec::{Call, EventKind, HookSpec, KINDS, When};
use crate::notify::{Bus, HookReport, HookVerdict, Hooks, Phase, Thread};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// All that it takes.
struct House {
    bus: Bus,
    hooks: Hooks,
    told: Arc<Mutex<Vec<HookReport>>>,
    dir: tempfile::TempDir,
    thread: Option<Thread>,
}

impl House {
    fn new() -> Self {
        let (thread, bus, told) = (Thread::start().unwrap(), Bus::new(), Arc::new(Mutex::new(Vec::new())));
        let tell = Arc::clone(&told);
        let hooks = Hooks::start(&thread, &bus, move |report| tell.lock().unwrap().push(report));
        Self { bus, hooks, told, dir: tempfile::tempdir().unwrap(), thread: Some(thread) }
    }

    fn with(hooks: Vec<HookSpec>) -> Self {
        let house = Self::new();
        house.configure(hooks);
        house
    }

    fn configure(&self, hooks: Vec<HookSpec>) {
        self.hooks.configure(vec![("shop".to_owned(), hooks)]);
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn publish(&self, seq: u64) {
        self.bus.publish(Some(seq), SystemTime::now(), &samples::frozen("why"));
    }

    async fn idle(&self) {
        assert!(self.hooks.idle(DEADLINE).await, "the hooks have more to do");
    }

    fn told(&self) -> Vec<HookReport> {
        self.told.lock().unwrap().clone()
    }

    async fn ask(&self, phase: Phase) -> Vec<HookVerdict> {
        self.hooks.ask("shop", phase, json!({ "from": "blue", "to": "green" })).await
    }
}

fn hook(name: &str, call: Call) -> HookSpec {
    HookSpec { call, ..samples::hook(name) }
}

fn gate(name: &str, when: When, script: &str) -> HookSpec {
    HookSpec { on: vec![when], ..hook(name, Call::Command(shell(script))) }
}

fn short(verdicts: &[HookVerdict]) -> Vec<(&str, bool, &str)> {
    verdicts.iter().map(|verdict| (verdict.hook.as_str(), verdict.ok, verdict.output.as_str())).collect()
}

#[tokio::test]
async fn every_kind_reaches_commands_and_servers_in_order() {
    let house = House::new();
    let web = Web::start(|_| "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Then::Closes).await;
    let file = house.file("events");
    house.configure(vec![
        hook("web", Call::Url(web.url())),
        hook("file", Call::Command(shell(&format!("cat >> {file}; echo >> {file}")))),
    ]);
    let records = samples::every_kind();
    for (seq, record) in records.iter().enumerate() {
        house.bus.publish(Some(seq as u64), SystemTime::now(), record);
    }
    house.idle().await;

    let wanted: Vec<u64> = (0..records.len() as u64)
        .zip(&records)
        .filter(|(_, record)| !["probe", "hook"].contains(&crate::notify::notice::kind(&record.what)))
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(wanted.len(), KINDS.len() - 2);
    let seqs = |bodies: &[String], hook: &str| -> Vec<u64> {
        let bodies = bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap());
        bodies
            .inspect(|body| assert_eq!(body["hook"], hook))
            .map(|body| body["seq"].as_u64().unwrap())
            .collect()
    };
    let posted: Vec<String> =
        web.requests().iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect();
    assert_eq!(seqs(&posted, "web"), wanted);
    let lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(seqs(&lines, "file"), wanted);
    assert_eq!(house.told(), []);
}

#[tokio::test]
async fn an_event_is_sent_again_until_it_is_taken_and_the_next_one_waits() {
    let answers = |number| if number == 0 { "HTTP/1.1 503 Busy\r\n\r\n" } else { "HTTP/1.1 200 OK\r\n\r\n" };
    let web = Web::start(move |number| answers(number).to_owned(), Then::Closes).await;
    let house = House::with(vec![HookSpec { retries: 3, ..hook("web", Call::Url(web.url())) }]);
    let began = Instant::now();
    house.publish(1);
    house.publish(2);
    house.idle().await;
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    let requests = web.requests();
    let has = |seq: u64| format!("\"seq\":{seq}");
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().zip([1, 1, 2]).all(|(request, seq)| request.contains(&has(seq))), "{requests:?}");
    assert_eq!(house.told(), []);
}

#[tokio::test]
async fn what_is_given_up_is_told_and_never_told_to_hooks_again() {
    let house = House::with(vec![hook("broken", Call::Command(shell("echo no such table; exit 2")))]);
    house.publish(1);
    house.idle().await;
    let told = house.told();
    let [report] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((report.deployment.as_str(), report.phase), ("shop", "event"));
    assert_eq!(
        short(std::slice::from_ref(&report.verdict)),
        [("broken", false, "exit code 2: no such table")]
    );
    // As the engine does.
    house.bus.publish(Some(2), SystemTime::now(), &samples::record(report.clone().into()));
    house.idle().await;
    assert_eq!(house.told().len(), 1);
}

#[tokio::test]
async fn a_hook_that_hangs_delays_neither_who_publishes_nor_other_hooks() {
    let house = House::new();
    let file = house.file("events");
    house.configure(vec![
        HookSpec { timeout: Duration::from_secs(1000), ..hook("hangs", Call::Command(shell("sleep 1000"))) },
        hook("works", Call::Command(shell(&format!("echo >> {file}")))),
    ]);
    let began = Instant::now();
    for seq in 0..10_000 {
        house.publish(seq);
    }
    assert!(began.elapsed() < DEADLINE / 4, "{:?}", began.elapsed());
    until("the other one is called", || fs::read(&file).is_ok_and(|lines| !lines.is_empty())).await;
    assert!(!house.hooks.idle(Duration::ZERO).await);
}

#[tokio::test]
async fn gates_are_asked_at_the_same_time_and_answer_in_their_order() {
    let house = House::new();
    // Each waits for the other: one after the other they would hang.
    let meet = |own: &str, other: &str| {
        let (own, other) = (house.file(own), house.file(other));
        format!("touch {own}; while ! [ -e {other} ]; do sleep 0.01; done; echo met")
    };
    house.configure(vec![
        gate("one", When::Before, &meet("a", "b")),
        gate("watch", When::Watch, "echo watches; exit 1"),
        gate("two", When::Before, &meet("b", "a")),
        HookSpec { on: vec![When::Event(EventKind::Any)], ..hook("events", Call::Command(shell("true"))) },
    ]);
    let verdicts = house.ask(Phase::Before).await;
    assert_eq!(short(&verdicts), [("one", true, "met"), ("two", true, "met")]);
    assert!(verdicts.iter().all(|verdict| verdict.took < DEADLINE && !verdict.took.is_zero()));
    let told: Vec<_> = house.told().iter().map(|report| (report.phase, report.verdict.ok)).collect();
    assert_eq!(told, [("before", true), ("before", true)]);

    assert_eq!(short(&house.ask(Phase::Watch).await), [("watch", false, "exit code 1: watches")]);
    let last = house.told().pop().unwrap();
    assert_eq!((last.phase, last.verdict.ok), ("watch", false));
    assert_eq!(house.hooks.ask("other", Phase::Before, json!({})).await, []);
}

#[tokio::test]
async fn a_gate_that_cannot_agree_in_time_refuses() {
    let web = Web::start(|_| String::new(), Then::Hangs).await;
    let late = Duration::from_millis(200);
    let before =
        |name, call| HookSpec { on: vec![When::Before], timeout: late, retries: 9, ..hook(name, call) };
    let house = House::with(vec![
        before("late", Call::Command(shell("echo thinking; sleep 1000"))),
        before("missing", Call::Command(vec!["bg-there-is-no-such-program".to_owned()])),
        before("silent", Call::Url(web.url())),
    ]);
    let verdicts = house.ask(Phase::Before).await;
    assert!(verdicts.iter().all(|verdict| !verdict.ok), "{verdicts:?}");
    let outputs: Vec<&str> = verdicts.iter().map(|verdict| verdict.output.as_str()).collect();
    assert_eq!((outputs[0], outputs[2]), ("no answer within 200ms: thinking", "no answer within 200ms"));
    assert!(outputs[1].contains("\"bg-there-is-no-such-program\" cannot be run"), "{}", outputs[1]);
    assert_eq!(web.requests().len(), 1, "gates are asked once");
}

#[tokio::test]
async fn a_watch_that_agrees_is_not_worth_a_record() {
    let house = House::with(vec![gate("watch", When::Watch, "true")]);
    assert_eq!(short(&house.ask(Phase::Watch).await), [("watch", true, "")]);
    assert_eq!(house.told(), []);
}

/// A script that says who it is in `file`, and hangs.
fn hang(file: &str) -> String {
    format!("echo $$ > {file}.new; mv {file}.new {file}; sleep 1000")
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_ended() {
    let mut house = House::new();
    let files = ["question", "gone", "stop"].map(|name| house.file(name));
    let pid = |file: &str| fs::read_to_string(file).unwrap();
    let slow = Duration::from_secs(1000);
    let patient = |spec| HookSpec { timeout: slow, ..spec };
    let events = |file| patient(hook("events", Call::Command(shell(&hang(file)))));

    house.configure(vec![patient(gate("gate", When::Before, &hang(&files[0])))]);
    let question = house.hooks.ask("shop", Phase::Before, json!({}));
    until("it is asked", || Path::new(&files[0]).exists()).await;
    drop(question);
    until("the question is dropped", || !lives(&pid(&files[0]))).await;

    house.configure(vec![events(&files[1])]);
    house.publish(1);
    until("it is called", || Path::new(&files[1]).exists()).await;
    house.configure(Vec::new());
    until("the hook is gone", || !lives(&pid(&files[1]))).await;
    house.idle().await;

    house.configure(vec![events(&files[2])]);
    house.publish(2);
    until("it is called", || Path::new(&files[2]).exists()).await;
    drop(house.thread.take());
    until("the thread has ended", || !lives(&pid(&files[2]))).await;
}

#[tokio::test]
async fn gates_refuse_when_nobody_is_left_to_ask_them() {
    let mut house = House::with(vec![gate("gate", When::Before, "true")]);
    drop(house.thread.take());
    let verdicts = house.ask(Phase::Before).await;
    assert!(
        verdicts.len() == 1 && !verdicts[0].ok && verdicts[0].output.contains("restart bgd"),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn a_hook_that_is_mended_gets_what_waited_for_it() {
    let house = House::with(vec![HookSpec { retries: 20, ..hook("mended", Call::Command(shell("false"))) }]);
    for seq in 0..3 {
        house.publish(seq);
    }
    let file = house.file("events");
    house.configure(vec![hook("mended", Call::Command(shell(&format!("cat >> {file}; echo >> {file}"))))]);
    house.idle().await;
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert_eq!(house.told(), []);
}
