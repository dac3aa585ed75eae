//! A web server that answers as nginx does until it is told to fail, and how: one thread on each machine.

use super::{Stamp, port};
use crate::topology::{CLIENT, Machine};
use anyhow::{Context, Result};
use nix::sys::socket::sockopt::Linger;
use nix::sys::socket::{Backlog, listen, setsockopt};
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// How late a slow answer is.
pub const LATE: Duration = Duration::from_secs(3);

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Nobody listens, for nobody.
    Refuse,
    /// The kernel takes a connection or two, and nobody accepts them, for nobody.
    HalfOpen,
    /// Connections are accepted and requests read, and that is all.
    Hang,
    /// Answers have status 500.
    Status,
    /// Answers come after [`LATE`].
    Slow,
    /// Every other answer has status 500.
    Flap,
    /// Connections are accepted and then reset.
    Reset,
}

/// For whom it is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Whom {
    /// Whoever asks.
    #[default]
    Everyone,
    /// Whoever is not a client, so probes.
    Probes,
    /// Clients, and no probe.
    Clients,
}

type Order = (Fault, Whom);

/// How often each peer has met an answer that is wrong every other time.
type Turns = Rc<RefCell<HashMap<IpAddr, u64>>>;

/// One such server; it ends on drop.
#[derive(Debug)]
pub struct Scripted {
    /// Whose answers it gives.
    pub stamp: Stamp,
    order: Option<watch::Sender<Order>>,
    thread: Option<JoinHandle<io::Result<io::Result<()>>>>,
}

impl Scripted {
    /// Starts one on `machine` and waits until it listens.
    pub(super) fn start(machine: &Machine) -> Result<Self> {
        let stamp = Stamp::of(machine);
        let (order, orders) = watch::channel(Order::default());
        let (ready, listens) = mpsc::channel();
        let thread = machine.namespace.spawn("scripted", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let first = runtime.block_on(bind())?;
            // Whoever started this may have given up.
            let _ = ready.send(());
            LocalSet::new().block_on(&runtime, serve(stamp, first, orders))
        })?;
        listens.recv().with_context(|| format!("listen on {stamp}"))?;
        Ok(Self { stamp, order: Some(order), thread: Some(thread) })
    }

    /// From here on this is wrong for those.
    pub fn fail(&self, fault: Fault, whom: Whom) {
        if let Some(order) = &self.order {
            order.send_replace((fault, whom));
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        drop(self.order.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A socket on `::` takes IPv4 as well, because namespaces start with `bindv6only` off.
async fn bind() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port::WEB)).await
}

/// Accepts as ordered until nobody orders any more.
async fn serve(stamp: Stamp, first: TcpListener, mut orders: watch::Receiver<Order>) -> io::Result<()> {
    let mut open = Some(first);
    let turns = Turns::default();
    loop {
        let (fault, _) = *orders.borrow_and_update();
        match fault {
            Fault::Refuse => open = None,
            Fault::HalfOpen => {
                if let Some(listener) = &open {
                    // A socket that listens already changes the length of its queue.
                    listen(listener, Backlog::new(1)?)?;
                }
            }
            Fault::None | Fault::Hang | Fault::Status | Fault::Slow | Fault::Flap | Fault::Reset => {
                if open.is_none() {
                    open = Some(bind().await?);
                }
            }
        }
        let accepts = fault != Fault::HalfOpen;
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return Ok(()) },
            (stream, peer) = accept(open.as_ref()), if accepts => {
                tokio::task::spawn_local(answer(stamp, stream, peer, orders.clone(), Turns::clone(&turns)));
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> (TcpStream, IpAddr) {
    match listener {
        None => pending().await,
        Some(listener) => loop {
            // Clients that are gone before they were accepted are nobody's trouble.
            if let Ok((stream, peer)) = listener.accept().await {
                return (stream, peer.ip().to_canonical());
            }
        },
    }
}

/// Answers requests on one connection, each as ordered at its time.
async fn answer(
    stamp: Stamp,
    mut stream: TcpStream,
    peer: IpAddr,
    orders: watch::Receiver<Order>,
    turns: Turns,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let mut status = "200 OK";
        match fault(*orders.borrow(), peer) {
            Fault::Hang => pending().await,
            Fault::Slow => tokio::time::sleep(LATE).await,
            Fault::Flap if is_odd(&turns, peer) => status = "500 Out of Order",
            Fault::Status => status = "500 Out of Order",
            Fault::Reset => {
                // Closing a socket that lingers for no time sends RST.
                setsockopt(&stream, Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
                return Ok(());
            }
            Fault::None | Fault::Flap | Fault::Refuse | Fault::HalfOpen => {}
        }
        let (body, closes) = (format!("{stamp}\n"), closes(&request));
        let connection = if closes { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nX-Slice: {stamp}\r\n{connection}\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await?;
        if closes {
            return stream.shutdown().await;
        }
    }
}

/// What is wrong for this peer.
fn fault((fault, whom): Order, peer: IpAddr) -> Fault {
    let hit = match whom {
        Whom::Everyone => true,
        Whom::Probes => !CLIENT.contains(&peer),
        Whom::Clients => CLIENT.contains(&peer),
    };
    if hit { fault } else { Fault::None }
}

/// Whether this is the first, third, … time that this peer is asked for.
fn is_odd(turns: &Turns, peer: IpAddr) -> bool {
    let mut turns = turns.borrow_mut();
    let turn = turns.entry(peer).or_default();
    *turn += 1;
    *turn % 2 == 1
}

fn closes(request: &[u8]) -> bool {
    String::from_utf8_lossy(request).to_ascii_lowercase().contains("connection: close")
}
