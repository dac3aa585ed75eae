//! The engine over a data plane in memory, in real time.

use super::*;
use crate::config::DEFAULT_LIFETIMES;
use crate::dataplane::fake::Fake;
use crate::dataplane::{
    AttachSpec, BackendSpec, FlowRow, FlowState, Hook, Path, Protocol, ServiceSpec, Side,
};
use crate::model::Switched;
use crate::model::event::{Configured, Phase};
use crate::model::order::{Actor, Done, SwitchOrder, Verb};
use crate::model::policy::{Finding, Level, NoBackend, Policy, ProbePolicy, Target};
use crate::model::record::{Memory, Record};
use bg_common::{Aim, Colour, Fate, Via, Word};
use std::time::Duration;

const BLUE: Colour = Colour::Blue;
const GREEN: Colour = Colour::Green;

/// Every wait ends within this.
const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    fake: Fake,
    handle: Handle,
    engine: tokio::task::JoinHandle<Ended>,
}

fn start(fake: &Fake) -> Running {
    start_among(fake, |reporter| Box::new(Alone(reporter)))
}

fn start_among(fake: &Fake, surroundings: impl FnOnce(Reporter) -> Box<dyn Surroundings>) -> Running {
    let settings = Settings {
        instance: "lab".to_owned(),
        lifetimes: DEFAULT_LIFETIMES,
        boot: "first".to_owned(),
        memories: Vec::new(),
        doubt: None,
    };
    let (handle, reporter, inbox) = channel();
    let world = surroundings(reporter);
    let engine = Engine::new(settings, Box::new(fake.clone()), world, (&handle, inbox)).unwrap();
    Running { fake: fake.clone(), handle, engine: tokio::spawn(engine.run()) }
}

fn shop() -> Fake {
    Fake::with_words(&[("shop", Word::initial(BLUE))])
}

fn switch(to: Option<Colour>) -> Order {
    let verb = Verb::Switch(SwitchOrder { to, ..SwitchOrder::default() });
    Order { deployment: Some("shop".to_owned()), verb, actor: Actor::default(), reason: None }
}

async fn switched(handle: &Handle) -> Switched {
    match handle.order(switch(None)).await.unwrap() {
        Done::Switched(switched) => switched,
        other @ (Done::Plan(_) | Done::Changed { .. } | Done::Drilled(_)) => panic!("{other:?}"),
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}

fn flow(port: u16, colour: Colour, idle: u64) -> FlowRow {
    FlowRow {
        client: ([198, 51, 100, 7], port).into(),
        protocol: Protocol::Tcp,
        frontend: ([192, 0, 2, 10], 80).into(),
        backend: ([10, 1, 0, 2], 8080).into(),
        deployment: "shop".to_owned(),
        service: "web".to_owned(),
        colour,
        state: FlowState::Established,
        idle: Duration::from_secs(idle),
        age: Duration::from_secs(idle + 10),
    }
}

fn spec() -> DeploymentSpec {
    let backend = |last| BackendSpec::serving(([10, last, 0, 2], 8080).into(), Via::Stack, 3);
    let service = ServiceSpec {
        name: "web".to_owned(),
        protocol: Protocol::Tcp,
        frontends: vec![([192, 0, 2, 10], 80).into()],
        backends: [vec![backend(1)], vec![backend(2)]],
        ..ServiceSpec::default()
    };
    DeploymentSpec {
        name: "shop".to_owned(),
        initial: Word::initial(GREEN),
        services: vec![service],
        previews: Vec::new(),
    }
}

fn configured() -> Vec<Configured> {
    let slices = [vec![[10, 1, 0, 2].into()], vec![[10, 2, 0, 2].into()]];
    let probe = ProbePolicy {
        name: "alive".to_owned(),
        service: None,
        level: Level::Backend,
        rise: 1,
        fall: 1,
        start_up: false,
        vip: false,
    };
    let policy = Policy { slices, probes: vec![probe], no_backend: NoBackend::Refuse, ..Policy::default() };
    vec![Configured { name: "shop".to_owned(), policy, services: vec!["web".to_owned()] }]
}

fn plan(name: &str) -> AttachPlan {
    let link = AttachSpec { ifindex: 2, name: name.to_owned(), side: Side::Uplink, hook: Hook::Tc };
    AttachPlan::new(Path::Redirect, vec![link])
}

#[tokio::test]
async fn an_order_changes_the_word_and_its_answer_tells_how() {
    let Running { fake, handle, .. } = start(&shop());
    let switched = switched(&handle).await;
    assert_eq!((switched.from, switched.to, switched.generation), (BLUE, GREEN, 1));
    assert_eq!(switched.took_ns, 3);
    assert_eq!(fake.state().words["shop"].live(), GREEN);
}

#[tokio::test]
async fn an_order_goes_by_the_word_as_it_is_and_not_as_it_was() {
    let Running { fake, handle, .. } = start(&shop());
    let foreign = Word::initial(BLUE).switched(GREEN, Fate::Keep, None).unwrap();
    fake.state().words.insert("shop".to_owned(), foreign);
    let switched = switched(&handle).await;
    assert_eq!((switched.from, switched.to, switched.generation), (GREEN, BLUE, 2));
}

#[tokio::test]
async fn a_switch_does_not_wait_for_a_sweep() {
    let fake = shop();
    fake.state().sweep_takes = Duration::from_secs(3);
    let Running { fake, handle, .. } = start(&fake);
    eventually("a sweep", || fake.state().sweeps == 1).await;
    let began = std::time::Instant::now();
    handle.order(switch(None)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    handle.status().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "a status waits for a count only so long");
}

#[tokio::test]
async fn a_drain_ends_by_itself_when_the_last_flow_has_ended() {
    let fake = shop();
    fake.state().flows = vec![flow(1, BLUE, 0), flow(2, GREEN, 0)];
    let Running { fake, handle, .. } = start(&fake);
    handle.order(switch(None)).await.unwrap();
    let sweeps = fake.state().sweeps;
    eventually("three more sweeps", || fake.state().sweeps >= sweeps + 3).await;
    assert!(fake.state().words["shop"].draining(), "a flow is left on blue");

    fake.state().flows.remove(0);
    eventually("the end of the drain", || !fake.state().words["shop"].draining()).await;
    assert_eq!(fake.state().words["shop"].live(), GREEN);
    assert!(fake.state().settled > 0, "sweeps are settled");
}

#[tokio::test]
async fn a_status_tells_words_counts_services_and_attachments() {
    let fake = shop();
    fake.state().flows = vec![flow(1, BLUE, 0), flow(2, BLUE, 0), flow(3, GREEN, 0)];
    let Running { fake, handle, .. } = start(&fake);
    handle.wire(plan("eth0"), vec![spec()], configured()).await.unwrap();
    eventually("a sweep", || fake.state().sweeps > 0).await;
    let status = handle.status().await.unwrap();
    assert!(status.daemon);
    assert_eq!((status.instance.as_str(), status.path), ("lab", Some(Path::Redirect)));
    let [shop] = &status.deployments[..] else { panic!("{status:?}") };
    assert_eq!((shop.live, shop.draining, shop.generation), (BLUE, false, 0), "a word that exists is kept");
    assert_eq!((shop.open.blue, shop.open.green), (2, 1));
    assert_eq!(shop.services[0].backends.green, [([10, 2, 0, 2], 8080).into()]);
    assert_eq!(status.attachments[0].interface, "eth0");
}

#[tokio::test]
async fn flows_are_chosen_sorted_and_cut() {
    let fake = shop();
    fake.state().flows = vec![flow(1, BLUE, 9), flow(2, GREEN, 1), flow(3, BLUE, 2), flow(4, BLUE, 5)];
    let Running { handle, .. } = start(&fake);
    let query = FlowQuery {
        deployment: Some("shop".to_owned()),
        colour: Some(BLUE),
        limit: Some(2),
        ..FlowQuery::default()
    };
    let flows = handle.flows(query).await.unwrap();
    assert_eq!(flows.total, 3);
    assert_eq!(flows.flows.iter().map(|flow| flow.client.port()).collect::<Vec<_>>(), [3, 4]);

    let query = FlowQuery { deployment: Some("shpo".to_owned()), ..FlowQuery::default() };
    assert_eq!(handle.flows(query).await.unwrap_err().mend, "did you mean shop?");
}

#[tokio::test]
async fn a_wiring_that_an_interface_refuses_leaves_the_one_before() {
    let Running { fake, handle, .. } = start(&Fake::default());
    handle.wire(plan("eth0"), vec![spec()], configured()).await.unwrap();
    fake.state().refuse_attach =
        Some(Refusal::new("foreign-xdp", "taken", "eth1", "ip link set eth1 xdp off"));
    let other = DeploymentSpec { name: "other".to_owned(), ..spec() };
    let refusal = handle.wire(plan("eth1"), vec![other], Vec::new()).await.unwrap_err();
    assert_eq!(refusal.code, "foreign-xdp");
    assert_eq!(fake.state().deployments, [spec()]);
    assert_eq!(fake.state().attachments[0].interface, "eth0");
    let status = handle.status().await.unwrap();
    assert_eq!(status.deployments.iter().map(|known| known.name.as_str()).collect::<Vec<_>>(), ["shop"]);
}

#[tokio::test]
async fn the_engine_ends_with_its_last_handle_and_leaves_the_data_plane() {
    let Running { fake, handle, engine } = start(&shop());
    drop(handle);
    assert_eq!(tokio::time::timeout(DEADLINE, engine).await.unwrap().unwrap(), Ended::Released);
    assert!(!fake.state().detached);
}

#[tokio::test]
async fn a_detach_takes_the_data_plane_down_and_ends_the_engine() {
    let Running { fake, handle, engine } = start(&shop());
    handle.wire(plan("eth0"), vec![spec()], configured()).await.unwrap();
    let detached = handle.detach().await.unwrap();
    assert_eq!(detached.attachments.len(), 1);
    assert!(fake.state().detached);
    assert_eq!(tokio::time::timeout(DEADLINE, engine).await.unwrap().unwrap(), Ended::Detached);
    assert_eq!(handle.status().await.unwrap_err().code, "stopping");
}

/// Surroundings that remember what they were told, with a journal that can be broken.
#[derive(Clone)]
struct Told {
    reporter: Reporter,
    heard: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
    broken: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Told {
    fn hear(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Surroundings for Told {
    fn record(&mut self, record: &Record, _: &Memory, token: Option<u64>) {
        let kind = serde_json::to_value(record).unwrap()["kind"].as_str().unwrap().to_owned();
        self.hear(format!("{kind} {}", record.live));
        let deployment = Some(record.deployment.clone());
        let refusal = Refusal::new("no-space", "the disk is full", "/var/lib/bg", "free some space");
        let result =
            if self.broken.load(std::sync::atomic::Ordering::Relaxed) { Err(refusal) } else { Ok(()) };
        self.reporter.report(Event::Journalled { deployment, token, result, rebuilt: false });
    }

    fn ask(&mut self, _: &str, _: u64, _: Phase, _: &Record) {}

    fn probe_now(&mut self, _: &str) {}

    fn roles(&mut self, deployment: &str, roles: Option<Roles>) {
        let live = roles.map(|roles| roles.live.to_string());
        self.hear(format!("{deployment}: {} live", live.as_deref().unwrap_or("nobody")));
    }
}

fn told(fake: &Fake, broken: bool) -> (Running, Told) {
    let mut told = None;
    let running = start_among(fake, |reporter| {
        let surroundings =
            Told { reporter, heard: std::sync::Arc::default(), broken: std::sync::Arc::new(broken.into()) };
        told = Some(surroundings.clone());
        Box::new(surroundings)
    });
    (running, told.unwrap())
}

#[tokio::test]
async fn the_journal_hears_of_a_switch_before_the_word_does() {
    let (Running { handle, .. }, told) = told(&shop(), false);
    switched(&handle).await;
    let heard = told.heard();
    let order: Vec<_> =
        ["shop: blue live", "started blue", "about blue", "switched green", "shop: green live"]
            .iter()
            .map(|wanted| {
                heard.iter().position(|it| it == wanted).unwrap_or_else(|| panic!("{wanted}: {heard:?}"))
            })
            .collect();
    assert!(order.windows(2).skip(1).all(|pair| pair[0] < pair[1]), "{heard:?}");
}

#[tokio::test]
async fn without_a_journal_a_switch_is_refused_unless_it_is_forced_and_a_rollback_is_not() {
    let (Running { fake, handle, .. }, _told) = told(&shop(), true);
    let refusal = handle.order(switch(None)).await.unwrap_err();
    assert_eq!((refusal.code.as_str(), fake.state().words["shop"].live()), ("no-space", BLUE), "{refusal}");
    let refusal = handle.order(switch(None)).await.unwrap_err();
    assert_eq!(refusal.code, "gate-journal", "known by then: {refusal}");
    let force = model::order::Force::Gates(vec!["journal".to_owned()]);
    let verb = Verb::Switch(SwitchOrder { force, ..SwitchOrder::default() });
    handle.order(Order { verb, ..switch(None) }).await.unwrap();
    assert_eq!(fake.state().words["shop"].live(), GREEN);
    let verb = Verb::Rollback(model::order::RollbackOrder::default());
    handle.order(Order { verb, ..switch(None) }).await.unwrap();
    assert_eq!(fake.state().words["shop"].live(), BLUE);
}

#[tokio::test]
async fn a_journal_that_works_again_opens_its_gate_before_anybody_orders() {
    let (Running { fake, handle, .. }, told) = told(&shop(), true);
    handle.order(switch(None)).await.unwrap_err();
    assert_eq!(handle.order(switch(None)).await.unwrap_err().code, "gate-journal");
    told.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    told.reporter.report(Event::Journalled { deployment: None, token: None, result: Ok(()), rebuilt: true });
    eventually("what was lost is told again", || {
        told.heard().iter().filter(|it| it.starts_with("started")).count() == 2
    })
    .await;
    handle.order(switch(None)).await.unwrap();
    assert_eq!(fake.state().words["shop"].live(), GREEN);
}

#[tokio::test]
async fn a_backend_that_fails_its_probe_leaves_its_ring_and_comes_back() {
    let (Running { fake, handle, .. }, told) = told(&shop(), false);
    handle.wire(plan("eth0"), vec![spec()], configured()).await.unwrap();
    let serving = |fake: &Fake| fake.state().deployments[0].services[0].backends[1][0].serving;
    assert!(serving(&fake));
    let report = |why: Option<&str>| Report {
        deployment: "shop".to_owned(),
        probe: "alive".to_owned(),
        target: Target::Backend(GREEN, [10, 2, 0, 2].into()),
        began: Moment::default(),
        own: Default::default(),
        finding: match why {
            None => Finding::Good { answered: None },
            Some(why) => Finding::Bad { why: why.to_owned(), answered: None },
        },
    };
    told.reporter.probed(report(Some("connection refused"))).await;
    eventually("green off its ring", || !serving(&fake)).await;
    // A reload does not put it back.
    handle.wire(plan("eth0"), vec![spec()], configured()).await.unwrap();
    assert!(!serving(&fake));
    told.reporter.probed(report(None)).await;
    eventually("green on its ring", || serving(&fake)).await;
    assert!(told.heard().contains(&"slice blue".to_owned()), "{:?}", told.heard());
}

#[tokio::test]
async fn a_deployment_that_was_taken_out_and_comes_back_is_as_it_was() {
    let (Running { fake, handle, .. }, told) = told(&Fake::default(), false);
    let blue = DeploymentSpec { initial: Word::initial(BLUE), ..spec() };
    let wire = async |deployments: Vec<DeploymentSpec>| {
        let configured = if deployments.is_empty() { Vec::new() } else { configured() };
        handle.wire(plan("eth0"), deployments, configured).await.unwrap();
    };
    wire(vec![blue.clone()]).await;
    let force = model::order::Force::All;
    let verb = Verb::Switch(SwitchOrder { force, ..SwitchOrder::default() });
    handle.order(Order { verb, ..switch(None) }).await.unwrap();
    let report = Report {
        deployment: "shop".to_owned(),
        probe: "alive".to_owned(),
        target: Target::Backend(BLUE, [10, 1, 0, 2].into()),
        began: Moment::default(),
        own: Default::default(),
        finding: Finding::Bad { why: "connection refused".to_owned(), answered: None },
    };
    told.reporter.probed(report).await;
    let serving = || fake.state().deployments[0].services[0].backends[0][0].serving;
    eventually("blue off its ring", || !serving()).await;

    wire(Vec::new()).await;
    assert!(fake.state().words.is_empty());
    wire(vec![blue]).await;
    assert_eq!(fake.state().words["shop"].live(), GREEN, "and not what the file says that it begins with");
    assert!(!serving(), "what had failed has not been heard of since");
    let status = handle.status().await.unwrap();
    assert_eq!((status.deployments[0].live, &status.deployments[0].drift), (GREEN, &None));
}

fn lead(prefix: &str, to: Option<Aim>) -> Order {
    Order { verb: Verb::Preview { prefix: prefix.parse().unwrap(), to }, ..switch(None) }
}

/// The preview rules that were applied last.
fn led(fake: &Fake) -> Vec<(String, Aim)> {
    fake.state().deployments[0].previews.iter().map(|(prefix, aim)| (prefix.to_string(), *aim)).collect()
}

#[tokio::test]
async fn preview_rules_come_back_with_their_deployment() {
    let (Running { fake, handle, .. }, _told) = told(&Fake::default(), false);
    handle.wire(plan("eth0"), vec![spec()], configured()).await.unwrap();
    handle.order(lead("203.0.113.0/24", Some(Aim::Other))).await.unwrap();
    handle.wire(plan("eth0"), Vec::new(), Vec::new()).await.unwrap();
    handle.wire(plan("eth0"), vec![spec()], configured()).await.unwrap();
    assert_eq!(led(&fake), [("203.0.113.0/24".to_owned(), Aim::Other)]);
    assert!(fake.state().words["shop"].has_previews());
}

#[tokio::test]
async fn probes_through_a_vip_are_led_by_no_preview_rule() {
    let (Running { fake, handle, .. }, _told) = told(&Fake::default(), false);
    let mut configured = configured();
    configured[0].policy.probe_addresses = vec!["10.99.0.2".parse().unwrap(), "fd00:9::2".parse().unwrap()];
    handle.wire(plan("eth0"), vec![spec()], configured).await.unwrap();
    assert_eq!(led(&fake), []);
    for prefix in ["10.0.0.0/8", "10.99.0.2"] {
        handle.order(lead(prefix, Some(Aim::Other))).await.unwrap();
        let rules = [("10.0.0.0/8", Aim::Other), ("10.99.0.2/32", Aim::Live), ("fd00:9::2/128", Aim::Live)];
        assert_eq!(led(&fake), rules.map(|(prefix, aim)| (prefix.to_owned(), aim)));
    }
    let status = handle.status().await.unwrap();
    assert_eq!(status.deployments[0].previews.len(), 2, "only what somebody wants is shown");
    for prefix in ["10.0.0.0/8", "10.99.0.2"] {
        handle.order(lead(prefix, None)).await.unwrap();
    }
    assert_eq!(led(&fake), []);
}

#[tokio::test]
async fn ordered_preview_rules_that_do_not_fit_are_left_out_and_hold_nothing_up() {
    let (mut engine, _handle) = Engine::alone(&shop());
    let most = usize::try_from(bg_common::names::MAX_PREVIEWS).unwrap();
    let rule = |n: usize| (format!("10.{}.{}.0/24", n / 256, n % 256).parse().unwrap(), Aim::Other);
    let ordered = ["192.0.2.0/24", "198.51.100.0/24"].map(|it| (it.parse().unwrap(), Aim::Blue));
    engine.previews.insert("shop".to_owned(), ordered.to_vec());
    let mut wanted = [DeploymentSpec { previews: (1..most).map(rule).collect(), ..spec() }];
    engine.lead(&mut wanted);
    assert_eq!(wanted[0].previews.len(), most);
    assert!(wanted[0].previews.contains(&ordered[0]) && !wanted[0].previews.contains(&ordered[1]));
}

#[tokio::test]
async fn preview_rules_that_are_remembered_are_in_the_first_tables_and_not_only_when_the_model_tells_them() {
    let (mut engine, _handle) = Engine::alone(&Fake::default());
    let rule = ("203.0.113.0/24".parse().unwrap(), Aim::Other);
    let memory = Memory { previews: vec![rule], ..Memory::default() };
    let memories = vec![("shop".to_owned(), memory)];
    engine.feed(model::Event::Remembered { boot: "first".to_owned(), memories, doubt: None });
    let mut wanted = [spec()];
    engine.remember(&wanted);
    engine.lead(&mut wanted);
    assert_eq!(wanted[0].previews, [rule]);
}
