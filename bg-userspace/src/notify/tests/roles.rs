//! Roles as slices get them: by file and over the network, with neighbours that misbehave.

mod endpoint;
mod files;

use super::{DEADLINE, samples};
use crate::model::record::Role;
use crate::notify::roles::Limits;
use crate::notify::spec::RoleEndpoint;
use crate::notify::{RoleState, Roles, Thread};
use crate::refusal::Refusal;
use bg_common::Colour;
use serde_json::Value;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

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
