//! Load from the client's namespace: short and kept connections over HTTP, long streams, datagrams.
//! All of it runs on one thread; what happens goes to a [`Record`].

mod datagram;
mod http;
mod record;
mod stream;

use crate::netns::Namespace;
use anyhow::{Result, anyhow};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::LocalSet;

pub(crate) use http::parse as parse_answer;
pub use record::{Connection, Failure, Kind, Record, Tally};

/// How long a client waits for a connection or an answer before it counts a failure.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// One kind of clients.
#[derive(Clone, Debug)]
pub struct Load {
    /// What they do.
    pub kind: Kind,
    /// Whom they connect to; clients take them in turns.
    pub targets: Vec<SocketAddr>,
    /// How many there are.
    pub clients: u32,
    /// Requests of each per second.
    pub rate: f64,
    /// How long a connection is kept, for kinds that keep it; for ever if none.
    pub life: Option<Duration>,
}

/// A load that runs until it is stopped.
#[derive(Debug)]
pub struct Traffic {
    record: Arc<Record>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<std::io::Result<Result<()>>>>,
}

impl Traffic {
    /// Starts all `loads` from within `namespace`.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(namespace: &Namespace, loads: Vec<Load>) -> Result<Self> {
        let record = Arc::new(Record::new());
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::clone(&record);
        let thread = namespace.spawn("traffic", move || drive(&loads, &shared, &stopped))?;
        Ok(Self { record, stop, thread: Some(thread) })
    }

    /// What has happened so far.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Lets every client end its request and its connection.
    ///
    /// # Errors
    ///
    /// When the thread has died.
    pub fn stop(mut self) -> Result<Tally> {
        self.finish()?;
        Ok(self.record.tally())
    }

    fn finish(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended?,
            Some(Err(_)) => Err(anyhow!("the thread of the traffic panicked")),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.finish());
    }
}

fn drive(loads: &[Load], record: &Arc<Record>, stopped: &watch::Receiver<bool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    let total: u32 = loads.iter().map(|load| load.clients).sum();
    let mut started = 0;
    let mut clients = Vec::new();
    for load in loads {
        let period = Duration::from_secs_f64(1.0 / load.rate.max(0.001));
        for (number, target) in (0..load.clients).zip(load.targets.iter().cycle()) {
            let client = Client {
                kind: load.kind,
                target: *target,
                number,
                period,
                // Spread over one period, so that the clients do not march in step.
                delay: period * started / total.max(1),
                life: load.life.map(|life| life * (number + 1) / load.clients),
                later: load.life,
                record: Arc::clone(record),
                stopped: stopped.clone(),
            };
            started += 1;
            clients.push(tasks.spawn_local(client.run()));
        }
    }
    runtime.block_on(tasks.run_until(async {
        for client in clients {
            client.await?;
        }
        Ok(())
    }))
}

/// One client: its orders and where it reports.
struct Client {
    kind: Kind,
    target: SocketAddr,
    number: u32,
    period: Duration,
    delay: Duration,
    /// Of this connection: the first ones end one after the other, and so do all that follow.
    life: Option<Duration>,
    later: Option<Duration>,
    record: Arc<Record>,
    stopped: watch::Receiver<bool>,
}

impl Client {
    async fn run(mut self) {
        let delay = self.delay;
        self.pause(delay).await;
        while !self.is_stopped() {
            match self.kind {
                Kind::Short => http::short(&mut self).await,
                Kind::Kept => http::kept(&mut self).await,
                Kind::Stream => stream::stream(&mut self).await,
                Kind::Datagram => datagram::datagrams(&mut self).await,
            }
            self.life = self.later;
        }
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Rests, but not beyond the end of the load.
    async fn pause(&mut self, period: Duration) {
        tokio::select! {
            () = tokio::time::sleep(period) => (),
            _ = self.stopped.wait_for(|stopped| *stopped) => (),
        }
    }

    /// Rests until `due`; the next request is due one period later, however late this one is.
    async fn rest(&mut self, due: &mut tokio::time::Instant) {
        *due = (*due + self.period).max(tokio::time::Instant::now());
        let left = due.duration_since(tokio::time::Instant::now());
        self.pause(left).await;
    }
}
