//! A client beyond the uplink. What the gateway sends to a VIP itself never passes an uplink's hook, because
//! a VIP is a local address; so bgd has an interface of its own, hooked like an uplink, and speaks TCP and
//! UDP on its wire. Its packets meet bg's programs as any client's do, and the replies come back as theirs.
//!
//! [`Client::open`] makes the interface, [`Client::serve`] moves the packets.

mod link;
mod ports;
mod stack;
mod tcp;
mod udp;

use super::connect::{Connector, Datagrams, Promise, Stream};
use crate::net::{Net, Tap, Watch};
use crate::refusal::Refusal;
use stack::{Stack, Turn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tcp::Tcp;
use tokio::io::Interest;
use tokio::sync::Notify;
use udp::Udp;

/// How long to wait before an interface that was lost is made again.
const MAKE_AGAIN: Duration = Duration::from_secs(1);

/// The interface that the client's packets come in over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its kernel index.
    pub ifindex: u32,
}

/// A handle on the client, which may be used on any thread and runtime. The interface goes with the last one.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    instance: String,
    addresses: Vec<IpAddr>,
    /// Held for a turn of the stack or a copy of some bytes, never while anything is awaited.
    stack: Mutex<Stack>,
    /// There is something to send, or room to receive.
    stirred: Notify,
}

impl Client {
    /// Makes the interface of `instance` in the current network namespace. Packets come from the first of
    /// `addresses` in each family; of a family that is switched off here, from none. Nothing moves before
    /// [`Self::serve`] runs.
    ///
    /// # Errors
    ///
    /// As [`Tap::open`].
    pub async fn open(instance: &str, addresses: &[IpAddr]) -> Result<(Self, Interface), Refusal> {
        let first = |is_v4| addresses.iter().copied().find(|address| address.is_ipv4() == is_v4);
        let addresses: Vec<_> = [first(true), first(false)].into_iter().flatten().collect();
        let tap = Tap::open(&Net::open()?, instance, &addresses).await?;
        let interface = Interface { name: tap.name().to_owned(), ifindex: tap.ifindex() };
        let shared = Shared {
            instance: instance.to_owned(),
            addresses,
            stack: Mutex::new(Stack::new(tap)),
            stirred: Notify::new(),
        };
        Ok((Self(Arc::new(shared)), interface))
    }

    /// Moves packets until it is dropped, on whichever runtime it is spawned, in the network namespace in which
    /// the client was opened. An interface that somebody else has removed, or whose routes are gone, is made
    /// again; its connections are lost. It is to run once.
    pub async fn serve(self) {
        loop {
            let tap = self.stack().tap();
            let why = match tap {
                Some(tap) => tokio::select! {
                    why = self.work(Arc::clone(&tap)) => why.to_string(),
                    why = displaced(&tap) => why,
                },
                None => "it was never there".to_owned(),
            };
            self.stack().lose();
            tracing::warn!(why, "bgd's own interface is gone: until it is back, no VIP can be probed");
            self.make_again().await;
        }
    }

    fn stack(&self) -> MutexGuard<'_, Stack> {
        // A stack whose holder has panicked is no worse than a connection that has gone wrong.
        self.0.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the stack take a turn soon.
    fn stir(&self) {
        self.0.stirred.notify_one();
    }

    /// Moves packets until the interface is lost.
    async fn work(&self, tap: Arc<Tap>) -> io::Error {
        // Removal is told as an error.
        let interest = Interest::READABLE | Interest::ERROR;
        let wire = match tap.watch(interest) {
            Ok(wire) => wire,
            Err(why) => return why,
        };
        loop {
            let Turn { drained: _, wait } = match self.stack().turn() {
                Ok(turn) => turn,
                Err(why) => return why,
            };
            let pause = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ready = wire.ready(interest) => {
                    let mut ready = match ready {
                        Ok(ready) => ready,
                        Err(why) => return why,
                    };
                    let turn = self.stack().turn();
                    match turn {
                        Ok(Turn { drained: true, .. }) => ready.clear_ready(),
                        Ok(Turn { drained: false, .. }) => tokio::task::yield_now().await,
                        Err(why) => return why,
                    }
                }
                () = self.0.stirred.notified() => {}
                () = pause => {}
            }
        }
    }

    async fn make_again(&self) {
        let Shared { instance, addresses, .. } = &*self.0;
        let mut told = false;
        loop {
            tokio::time::sleep(MAKE_AGAIN).await;
            let tap = async { Tap::open(&Net::open()?, instance, addresses).await };
            match tap.await {
                Ok(tap) => {
                    tracing::info!(interface = tap.name(), "bgd's own interface is back");
                    return self.stack().give(tap);
                }
                Err(Refusal { code, what, at, mend }) if !told => {
                    told = true;
                    tracing::warn!(code, at, mend, "{what}; this is tried again");
                }
                Err(_) => {}
            }
        }
    }
}

/// Waits until the addresses of `tap` do not lead to it any more, and says why.
async fn displaced(tap: &Tap) -> String {
    let watch = async {
        let (net, mut watch) = (Net::open()?, Watch::open()?);
        // What has changed before the first look is seen by it.
        while tap.is_in_place(&net).await? {
            watch.changed().await?;
        }
        Ok::<_, Refusal>("its addresses do not lead to it".to_owned())
    };
    watch.await.unwrap_or_else(|refusal| refusal.what)
}

/// Besides: [`io::ErrorKind::AddrNotAvailable`] if there is no address of that family to come from,
/// [`io::ErrorKind::QuotaExceeded`] and [`io::ErrorKind::AddrInUse`] if too much is going on, and
/// [`io::ErrorKind::NetworkDown`] while the interface is gone. None of them says anything about whoever was to
/// be asked. Who does not answer is waited for a minute.
impl Connector for Client {
    fn tcp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            let (stream, own) = Tcp::connect(self.clone(), to).await?;
            Ok((Box::new(stream) as Box<dyn Stream>, own))
        })
    }

    fn udp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Datagrams>, SocketAddr)> {
        Box::pin(async move {
            let (socket, own) = Udp::open(self.clone(), to)?;
            Ok((Box::new(socket) as Box<dyn Datagrams>, own))
        })
    }
}
