//! The addresses of the role endpoint: opened where they are, and tried again where they are not yet.

use super::States;
use super::admission::Admission;
use super::endpoint::{self, Limits};
use crate::refusal::Refusal;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Accepting is tried again after this time.
const PAUSE: Duration = Duration::from_millis(100);

/// What listens.
#[derive(Debug)]
pub(super) struct Listeners {
    runtime: Handle,
    states: watch::Receiver<States>,
    admission: Arc<Admission>,
    limits: Limits,
    open: Vec<(SocketAddr, AbortHandle)>,
}

impl Listeners {
    pub(super) fn new(runtime: Handle, states: watch::Receiver<States>) -> Self {
        let (admission, limits) = (Arc::default(), Limits::default());
        Self { runtime, states, admission, limits, open: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Listens at these addresses only, and says where that is not possible yet.
    pub(super) fn set(&mut self, addresses: &[SocketAddr]) -> Vec<Refusal> {
        self.open.retain(|(address, task)| {
            let stays = addresses.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        let mut refusals = Vec::new();
        for address in addresses {
            if self.open.iter().any(|(open, _)| open == address) {
                continue;
            }
            let bound = bind(*address, &self.runtime);
            refusals.extend(bound.as_ref().err().map(|why| refusal(*address, why)));
            let (states, limits) = (self.states.clone(), self.limits);
            let task = listen(*address, bound.ok(), states, Arc::clone(&self.admission), limits);
            self.open.push((*address, self.runtime.spawn(task).abort_handle()));
        }
        refusals
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for (_, task) in &self.open {
            task.abort();
        }
    }
}

/// Opens `address`, without waiting.
fn bind(address: SocketAddr, runtime: &Handle) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let _inside = runtime.enter();
    TcpListener::from_std(listener)
}

/// Serves at `address` until it is aborted.
async fn listen(
    address: SocketAddr,
    bound: Option<TcpListener>,
    states: watch::Receiver<States>,
    admission: Arc<Admission>,
    limits: Limits,
) {
    let listener = match bound {
        Some(listener) => listener,
        None => loop {
            tokio::time::sleep(limits.again).await;
            if let Ok(listener) = TcpListener::bind(address).await {
                tracing::info!(%address, "slices are told their roles here after all");
                break listener;
            }
        },
    };
    // Ends what is open when this is aborted.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    let place = admission.enter(peer, &states.borrow());
                    if let Some(place) = place {
                        connections.spawn(endpoint::converse(stream, peer, states.clone(), place, limits));
                    }
                }
                Err(why) => {
                    // Out of file descriptors, most likely: waiting gives them a chance to be closed.
                    tracing::warn!(%why, %address, "a slice that asks for its role is not let in");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

fn refusal(address: SocketAddr, why: &io::Error) -> Refusal {
    let mend = if why.kind() == ErrorKind::AddrInUse {
        let port = address.port();
        format!("see who has it (ss -ltnp 'sport = :{port}'), or change `role_listen` in [gateway]")
    } else if why.kind() == ErrorKind::AddrNotAvailable {
        let ip = address.ip();
        format!("ip address add {ip} dev …, or change `role_listen` in [gateway]; it is tried again")
    } else {
        "choose another address and port with `role_listen` in [gateway]".to_owned()
    };
    Refusal::new("role-endpoint", format!("slices cannot ask for their role: {why}"), address, mend)
}
