//! The engine over a data plane in memory, in real time.

use super::*;
use crate::config::DEFAULT_LIFETIMES;
use crate::dataplane::fake::Fake;
use crate::dataplane::{
    AttachSpec, BackendSpec, FlowRow, FlowState, Hook, Path, Protocol, ServiceSpec, Side,
};
use bg_common::{Colour, Fate, Via, Word};
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
    let settings = Settings { instance: "lab".to_owned(), lifetimes: DEFAULT_LIFETIMES };
    let (engine, handle) = Engine::new(settings, Box::new(fake.clone())).unwrap();
    Running { fake: fake.clone(), handle, engine: tokio::spawn(engine.run()) }
}

fn shop() -> Fake {
    Fake::with_words(&[("shop", Word::initial(BLUE))])
}

fn switch(to: Option<Colour>) -> Order {
    Order::Switch { deployment: Some("shop".to_owned()), to }
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
        refuse: false,
    };
    DeploymentSpec { name: "shop".to_owned(), initial: Word::initial(GREEN), services: vec![service] }
}

fn plan(name: &str) -> AttachPlan {
    let link = AttachSpec { ifindex: 2, name: name.to_owned(), side: Side::Uplink, hook: Hook::Tc };
    AttachPlan { path: Path::Redirect, links: vec![link] }
}

#[tokio::test]
async fn an_order_changes_the_word_and_its_answer_tells_how() {
    let Running { fake, handle, .. } = start(&shop());
    let switched = handle.order(switch(None)).await.unwrap();
    assert_eq!((switched.from, switched.to, switched.generation), (BLUE, GREEN, 1));
    assert_eq!(switched.took, Duration::from_nanos(3));
    assert_eq!(fake.state().words["shop"].live(), GREEN);
}

#[tokio::test]
async fn an_order_goes_by_the_word_as_it_is_and_not_as_it_was() {
    let Running { fake, handle, .. } = start(&shop());
    let foreign = Word::initial(BLUE).switched(GREEN, Fate::Keep, None).unwrap();
    fake.state().words.insert("shop".to_owned(), foreign);
    let switched = handle.order(switch(None)).await.unwrap();
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
    handle.wire(plan("eth0"), vec![spec()]).await.unwrap();
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
    let query = FlowQuery { deployment: Some("shop".to_owned()), colour: Some(BLUE), limit: Some(2) };
    let flows = handle.flows(query).await.unwrap();
    assert_eq!(flows.total, 3);
    assert_eq!(flows.flows.iter().map(|flow| flow.client.port()).collect::<Vec<_>>(), [3, 4]);

    let query = FlowQuery { deployment: Some("shpo".to_owned()), ..FlowQuery::default() };
    assert_eq!(handle.flows(query).await.unwrap_err().mend, "did you mean shop?");
}

#[tokio::test]
async fn a_wiring_that_an_interface_refuses_leaves_the_one_before() {
    let Running { fake, handle, .. } = start(&Fake::default());
    handle.wire(plan("eth0"), vec![spec()]).await.unwrap();
    fake.state().refuse_attach =
        Some(Refusal::new("foreign-xdp", "taken", "eth1", "ip link set eth1 xdp off"));
    let other = DeploymentSpec { name: "other".to_owned(), ..spec() };
    let refusal = handle.wire(plan("eth1"), vec![other]).await.unwrap_err();
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
    handle.wire(plan("eth0"), vec![spec()]).await.unwrap();
    let detached = handle.detach().await.unwrap();
    assert_eq!(detached.attachments.len(), 1);
    assert!(fake.state().detached);
    assert_eq!(tokio::time::timeout(DEADLINE, engine).await.unwrap().unwrap(), Ended::Detached);
    assert_eq!(handle.status().await.unwrap_err().code, "stopping");
}
