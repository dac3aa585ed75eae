//! What passes on the wire: every packet of some interfaces, each with its checksums computed anew.

mod parse;

use crate::netns::Namespace;
use crate::wire::Socket;
use anyhow::{Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

pub use parse::{Checksum, Content, Packet, Segment, sum_of};

/// A frame as long as a device without segmentation can be given.
const LONGEST: usize = 65_536 + 14 + 8;
/// How many packets are kept for questions; all are verified.
const KEPT: usize = 200_000;
/// How many bad packets are described.
const EXAMPLES: usize = 5;

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    seen: Mutex<Seen>,
}

/// What a capture saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The packets, in the order in which they were read; the first 200,000 of them.
    pub packets: Vec<Packet>,
    /// Packets whose checksums were verified and right.
    pub good: u64,
    /// Packets with a wrong checksum.
    pub bad: u64,
    /// The first few of those, in words.
    pub examples: Vec<String>,
    /// Packets that came too fast.
    pub lost: u64,
}

impl Capture {
    /// Starts to capture each `(namespace, interface)`.
    ///
    /// # Errors
    ///
    /// When there is no such interface.
    pub fn start(points: &[(&Namespace, &str)]) -> Result<Self> {
        let sockets = points
            .iter()
            .map(|(namespace, interface)| Ok(((*interface).to_owned(), Socket::open(namespace, interface)?)));
        let sockets = sockets.collect::<Result<Vec<_>>>()?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("capture".to_owned()).spawn(move || collect(&sockets, &theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Whether a packet like this has been seen yet.
    pub fn any(&self, like: impl FnMut(&Packet) -> bool) -> bool {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).packets.iter().any(like)
    }

    /// Ends the capture.
    ///
    /// # Errors
    ///
    /// When its thread has died.
    pub fn stop(mut self) -> Result<Seen> {
        self.finish()?;
        Ok(self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn finish(&mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Release);
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| anyhow!("the thread of the capture panicked"))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.finish());
    }
}

impl Seen {
    /// Passes if packets were verified and all of them were right.
    ///
    /// # Errors
    ///
    /// When one was wrong, some were missed, or there was none.
    pub fn verify(&self) -> Result<()> {
        ensure!(self.bad == 0, "{} packets with a bad checksum:\n{}", self.bad, self.examples.join("\n"));
        ensure!(self.lost == 0, "{} packets were not captured", self.lost);
        ensure!(self.good > 0, "no packet was captured");
        Ok(())
    }
}

fn collect(sockets: &[(String, Socket)], shared: &Shared) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // Read before the last round, so that what was queued when `stop` was set is still taken.
        let last = shared.stop.load(Ordering::Acquire);
        let mut waits: Vec<_> =
            sockets.iter().map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        // An interrupted or failed wait only means an early look.
        let _ready = poll(&mut waits, PollTimeout::from(if last { 0_u8 } else { 20 }));
        for (interface, socket) in sockets {
            // An interface that is gone has nothing more to say.
            while let Ok(Some(frame)) = socket.receive(&mut buffer) {
                let bytes = buffer.get(..frame.length).unwrap_or_default();
                let packet = Packet::parse(interface, frame.outgoing, bytes, frame.partial);
                shared.seen.lock().unwrap_or_else(PoisonError::into_inner).take(packet);
            }
        }
        if last {
            let lost = sockets.iter().filter_map(|(_, socket)| socket.drops().ok()).map(u64::from).sum();
            shared.seen.lock().unwrap_or_else(PoisonError::into_inner).lost = lost;
            return;
        }
    }
}

impl Seen {
    fn take(&mut self, packet: Packet) {
        match &packet.checksum {
            Checksum::Good => self.good += 1,
            Checksum::Absent => (),
            Checksum::Bad(_) => {
                self.bad += 1;
                if self.examples.len() < EXAMPLES {
                    self.examples.push(format!("{packet:?}"));
                }
            }
        }
        if self.packets.len() < KEPT {
            self.packets.push(packet);
        }
    }
}
