//! Roles as slices get them: by file and over the network, with neighbours that misbehave.

use super::{DEADLINE, samples, until};
use crate::model::record::Role;
use crate::notify::roles::Limits;
use crate::notify::spec::RoleEndpoint;
use crate::notify::{RoleState, Roles, Thread};
use crate::refusal::Refusal;
use bg_common::Colour;
use serde_json::{Value, json};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Addresses of machines; all of 127.0.0.0/8 is this one.
const MACHINE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));

struct House {
    roles: Arc<Roles>,
    dir: PathBuf,
    at: SocketAddr,
    _temporary: tempfile::TempDir,
    thread: Thread,
}

impl House {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let (thread, dir) = (Thread::start().unwrap(), temporary.path().join("run/role"));
        let roles = Arc::new(Roles::start(&thread, dir.clone()));
        Self { roles, dir, at: free_port(), _temporary: temporary, thread }
    }

    /// With an endpoint that tells two slices of shop.
    fn open(limits: Limits) -> Self {
        let house = Self::new();
        house.roles.limit(limits);
        house.roles.update(&[blue(), green()]);
        assert_eq!(house.listen(&[house.at]), []);
        house
    }

    fn listen(&self, addresses: &[SocketAddr]) -> Vec<Refusal> {
        self.roles.listen(&RoleEndpoint { listen: addresses.to_vec() })
    }

    async fn update(&self, states: &[RoleState]) {
        self.roles.update(states);
        assert!(self.roles.written(DEADLINE).await);
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn file(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.dir.join(name)).unwrap()).unwrap()
    }

    async fn connect(&self, from: IpAddr) -> TcpStream {
        connect(from, self.at).await
    }

    async fn get(&self, from: IpAddr, target: &str) -> Reply {
        self.request(from, &format!("GET {target} HTTP/1.1\r\nHost: bg\r\n\r\n")).await
    }

    async fn request(&self, from: IpAddr, request: &str) -> Reply {
        let mut stream = self.connect(from).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        Reply::read(stream).await
    }
}

struct Reply {
    head: String,
    body: String,
}

impl Reply {
    async fn read(mut stream: TcpStream) -> Self {
        let mut text = String::new();
        // One that is hung up on has what came before.
        let read = stream.read_to_string(&mut text);
        let _ = tokio::time::timeout(DEADLINE, read).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Self { head: head.to_lowercase(), body: body.to_owned() }
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {:?}", self.body))
    }
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    tokio::time::timeout(DEADLINE, socket.connect(to)).await.expect("a connection").unwrap()
}

fn blue() -> RoleState {
    samples::role(&[MACHINE])
}

fn green() -> RoleState {
    RoleState { colour: Colour::Green, role: Role::Standby, draining: true, ..samples::role(&[OTHER]) }
}

/// As [`green`] and [`blue`] after a switch.
fn switched() -> [RoleState; 2] {
    let after =
        |state, role, draining| RoleState { role, draining, live: Colour::Green, generation: 8, ..state };
    [after(blue(), Role::Standby, true), after(green(), Role::Live, false)]
}

fn impatient() -> Limits {
    let short = Duration::from_millis(300);
    Limits { head: short, wait: short, answer: short, again: Duration::from_millis(50) }
}

#[tokio::test]
async fn each_slice_has_a_file_that_says_what_it_is() {
    let house = House::new();
    house
        .update(&[blue(), RoleState { since: Some("2026-01-02T03:04:05Z".parse().unwrap()), ..green() }])
        .await;
    assert_eq!(house.files(), ["shop.blue", "shop.green"]);
    let told = json!({
        "deployment": "shop", "colour": "green", "role": "standby", "version": "1.4.2", "live": "blue",
        "generation": 7, "draining": true, "since": "2026-01-02T03:04:05Z",
    });
    assert_eq!(house.file("shop.green"), told);
    assert!(house.file("shop.blue")["since"].is_string());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(house.dir.clone()), mode(house.dir.join("shop.blue"))), (0o755, 0o644));
}

#[tokio::test]
async fn only_what_has_changed_is_written_and_always_as_a_new_file() {
    let house = House::new();
    let inode = |name: &str| fs::metadata(house.dir.join(name)).unwrap().ino();
    house.update(&[blue(), green()]).await;
    let (old_blue, old_green) = (inode("shop.blue"), inode("shop.green"));
    // Whoever has the old file open reads the old file.
    let reader = fs::File::open(house.dir.join("shop.green")).unwrap();
    let moved = RoleState { addresses: vec![STRANGER], ..blue() };
    house.update(&[moved, RoleState { version: None, ..green() }]).await;
    assert_eq!(inode("shop.blue"), old_blue, "addresses are not told");
    assert_ne!(inode("shop.green"), old_green);
    assert_eq!(std::io::read_to_string(reader).unwrap().matches("1.4.2").count(), 1);
    assert_eq!(house.file("shop.green")["version"], Value::Null);
    house.update(&[blue()]).await;
    assert_eq!(house.files(), ["shop.blue"]);
    house.update(&[]).await;
    assert_eq!(house.files(), [""; 0]);
}

#[tokio::test]
async fn a_slice_keeps_its_time_as_long_as_it_keeps_its_role() {
    let house = House::new();
    fs::create_dir_all(&house.dir).unwrap();
    let since = |time: &str| Some(time.parse().unwrap());
    for state in [blue(), green()] {
        let state = RoleState { since: since("2026-01-02T03:04:05Z"), ..state };
        let name = format!("{}.{}", state.deployment, state.colour);
        fs::write(house.dir.join(name), serde_json::to_vec(&state).unwrap()).unwrap();
    }
    for (name, content) in [("gone.blue", "{}"), ("shop.blue.new", "{\"half"), ("README", "by somebody")] {
        fs::write(house.dir.join(name), content).unwrap();
    }
    // The next daemon.
    let roles = Roles::start(&house.thread, house.dir.clone());
    roles.update(&[blue(), RoleState { role: Role::Staging, ..green() }]);
    assert!(roles.written(DEADLINE).await);
    assert_eq!(house.files(), ["README", "shop.blue", "shop.green"], "what a dead daemon left is gone");
    assert_eq!(house.file("shop.blue")["since"], "2026-01-02T03:04:05Z");
    assert_ne!(house.file("shop.green")["since"], "2026-01-02T03:04:05Z");
}

#[tokio::test]
async fn files_that_cannot_be_written_are_tried_again() {
    let house = House::new();
    fs::create_dir_all(house.dir.parent().unwrap()).unwrap();
    fs::write(&house.dir, "in the way").unwrap();
    house.roles.update(&[blue()]);
    assert!(!house.roles.written(Duration::from_millis(100)).await);
    fs::remove_file(&house.dir).unwrap();
    house.update(&[blue()]).await;
    assert_eq!(house.files(), ["shop.blue"]);
}

#[tokio::test]
async fn a_machine_learns_the_role_of_its_own_slice() {
    let house = House::open(Limits::default());
    house.roles.written(DEADLINE).await;
    for (from, file) in [(MACHINE, "shop.blue"), (OTHER, "shop.green")] {
        let reply = house.get(from, "/v1/role").await;
        assert_eq!((reply.status(), reply.json()), (200, house.file(file)), "{}", reply.head);
        let role = house.file(file)["role"].as_str().unwrap().to_owned();
        for header in [format!("x-bg-role: {role}"), "content-type: application/json".to_owned()] {
            assert!(reply.head.contains(&header), "{header} in {}", reply.head);
        }
        let head = house.request(from, "HEAD /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n").await;
        assert_eq!((head.status(), head.body.as_str()), (200, ""));
        assert!(head.head.contains(&format!("x-bg-role: {role}")), "{}", head.head);
    }
}

#[tokio::test]
async fn everything_else_is_refused_in_the_usual_form() {
    let house = House::open(Limits::default());
    let bank = RoleState { deployment: "bank".to_owned(), ..green() };
    house.roles.update(&[blue(), green(), bank]);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: bg\r\n\r\n");
    for (from, request, status, code) in [
        (STRANGER, get("/v1/role"), 404, "no-slice"),
        (STRANGER, get("/"), 404, "no-slice"),
        (MACHINE, get("/"), 404, "no-such-path"),
        (MACHINE, get("/v1/role/"), 404, "no-such-path"),
        (MACHINE, get("/v1/status"), 404, "no-such-path"),
        (MACHINE, get("/v1/role?wait=soon"), 400, "bad-request"),
        (MACHINE, get("/v1/role?wait=65536"), 400, "bad-request"),
        (MACHINE, get("/v1/role?colour=green"), 400, "bad-request"),
        (MACHINE, get("/v1/role?deployment=bank"), 404, "no-slice"),
        (OTHER, get("/v1/role"), 409, "which-deployment"),
        (
            MACHINE,
            "POST /v1/role HTTP/1.1\r\nHost: bg\r\nContent-Length: 4\r\n\r\nlive".to_owned(),
            405,
            "wrong-method",
        ),
        (MACHINE, "DELETE /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n".to_owned(), 405, "wrong-method"),
    ] {
        let reply = house.request(from, &request).await;
        let refusal: Refusal = serde_json::from_value(reply.json()).unwrap();
        assert_eq!((reply.status(), refusal.code.as_str()), (status, code), "{from}: {request}");
        assert!(!refusal.mend.is_empty() && !reply.head.contains("x-bg-role"), "{refusal}");
    }
    let reply = house.get(OTHER, "/v1/role?deployment=bank").await;
    assert_eq!((reply.status(), &reply.json()["deployment"]), (200, &"bank".into()));
}

#[tokio::test]
async fn requests_that_are_none_are_hung_up_on() {
    let house = House::open(impatient());
    let large = format!("GET /v1/role HTTP/1.1\r\nX-Large: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /v1/role HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    for request in ["\x16\x03\x01", "GET\r\n\r\n", "GET /v1/role HTTP/9.9\r\n\r\n", &large, &many] {
        let mut stream = house.connect(MACHINE).await;
        // It may hang up before everything is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let reply = Reply::read(stream).await;
        assert!([0, 400, 431].contains(&reply.status()), "{request:.40}: {}", reply.head);
    }
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
}

#[tokio::test]
async fn a_machine_can_wait_for_the_next_generation() {
    let house = Arc::new(House::open(Limits::default()));
    let began = Instant::now();
    for generation in [6, 8, 0, 16_383] {
        let reply = house.get(MACHINE, &format!("/v1/role?wait={generation}")).await;
        assert_eq!(reply.json()["generation"], 7, "one that differs already is told at once");
    }
    assert!(began.elapsed() < DEADLINE / 2);

    let mut stream = house.connect(MACHINE).await;
    stream.write_all(b"GET /v1/role?wait=7 HTTP/1.1\r\nHost: bg\r\n\r\n").await.unwrap();
    // The other slice's news are none for this one.
    house.update(&[blue(), RoleState { version: None, ..green() }]).await;
    let early = tokio::time::timeout(Duration::from_millis(100), stream.readable()).await;
    assert!(early.is_err(), "it is answered before anything has changed");
    house.update(&switched()).await;
    let reply = Reply::read(stream).await;
    assert_eq!((reply.status(), reply.json()), (200, house.file("shop.blue")));
    assert!(reply.head.contains("x-bg-role: standby"), "{}", reply.head);
}

#[tokio::test]
async fn waiting_ends_with_what_is_still_so_or_with_the_slice() {
    let house = House::open(impatient());
    let reply = house.get(MACHINE, "/v1/role?wait=7").await;
    assert_eq!((reply.status(), &reply.json()["generation"]), (200, &7.into()));

    let patient = House::open(Limits::default());
    let mut stream = patient.connect(MACHINE).await;
    stream.write_all(b"GET /v1/role?wait=7 HTTP/1.1\r\nHost: bg\r\n\r\n").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), stream.readable()).await.is_err());
    patient.update(&[green()]).await;
    assert_eq!(Reply::read(stream).await.status(), 404);
}

#[tokio::test]
async fn slow_machines_keep_nobody_else_out_and_are_hung_up_on() {
    let house = House::open(Limits { head: Duration::from_millis(1500), ..Limits::default() });
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = house.connect(MACHINE).await;
        // It may be one too many.
        let _ = stream.write_all(b"GET /v1/role HT").await;
        slow.push(stream);
    }
    let strangers: Vec<TcpStream> = {
        let mut strangers = Vec::new();
        for last in 10..60 {
            strangers.push(house.connect(IpAddr::from([127, 0, 0, last])).await);
        }
        strangers
    };
    assert_eq!(house.get(OTHER, "/v1/role").await.status(), 200, "another machine is answered at once");
    for stream in slow.into_iter().chain(strangers) {
        assert_ne!(Reply::read(stream).await.status(), 200);
    }
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200, "and this one again");
}

#[tokio::test]
async fn of_two_hundred_at_once_each_is_served_or_told_or_hung_up_on() {
    let house = Arc::new(House::open(Limits::default()));
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let house = Arc::clone(&house);
        let from = if number % 2 == 0 { MACHINE } else { OTHER };
        clients.spawn(async move {
            let mut stream = house.connect(from).await;
            let _ = stream.write_all(b"GET /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n").await;
            Reply::read(stream).await
        });
    }
    let replies = clients.join_all().await;
    let with = |status| replies.iter().filter(|reply| reply.status() == status).count();
    assert_eq!(with(200) + with(503) + with(0), 200);
    assert!(with(200) >= 32, "{} are served", with(200));
    for reply in replies.iter().filter(|reply| reply.status() == 503) {
        assert!(reply.head.contains("retry-after: 1") && reply.json()["code"] == "busy", "{}", reply.head);
    }
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
}

#[tokio::test]
async fn one_who_does_not_read_is_not_waited_for() {
    let house = House::open(impatient());
    let mut stream = house.connect(MACHINE).await;
    // Only the first is answered, and the rest is not read.
    let flood = "GET /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n".repeat(10_000);
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(flood.as_bytes())).await;
    let reply = Reply::read(stream).await;
    assert!(reply.body.matches("deployment").count() <= 1, "{}", reply.body);
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
}

#[tokio::test]
async fn addresses_that_cannot_be_had_are_refused_and_tried_again() {
    let house = House::new();
    house.roles.limit(impatient());
    house.roles.update(&[blue()]);
    let other = TcpListener::bind(house.at).await.unwrap();
    let not_here: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let refusals = house.listen(&[house.at, not_here]);
    let told: Vec<_> = refusals.iter().map(|refusal| (refusal.code.as_str(), refusal.at.as_str())).collect();
    assert_eq!(told, [("role-endpoint", house.at.to_string().as_str()), ("role-endpoint", "192.0.2.1:4000")]);
    assert!(refusals[0].mend.contains("ss -ltnp") && refusals[1].mend.contains("ip address add 192.0.2.1"));
    assert_eq!(house.listen(&[house.at, not_here]), [], "what is tried is said once");

    drop(other);
    let open = || std::net::TcpStream::connect(house.at).is_ok();
    until("it listens", open).await;
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
    assert_eq!(house.listen(&[]), []);
    until("it does not listen any more", || !open()).await;
}

#[tokio::test]
async fn an_address_of_both_families_knows_its_ipv4_machines() {
    let house = House::new();
    house.roles.update(&[blue()]);
    let Ok(probe) = std::net::TcpListener::bind("[::]:0") else {
        println!("SKIP there is no IPv6 here");
        return;
    };
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    assert_eq!(house.listen(&[SocketAddr::from(([0_u16; 8], port))]), []);
    let mut stream = connect(MACHINE, ([127, 0, 0, 1], port).into()).await;
    stream.write_all(b"GET /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n").await.unwrap();
    let reply = Reply::read(stream).await;
    assert!(reply.head.contains("x-bg-role: live"), "{}", reply.head);
}
