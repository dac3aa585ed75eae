//! Servers on the loopback that do as a row says, and count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// What a server does once it has been asked.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Says this and closes.
    Says(Vec<u8>),
    /// Says this and then nothing more.
    Stalls(Vec<u8>),
    /// Says the first, and then the second for ever.
    Floods(Vec<u8>, Vec<u8>),
    /// Says the first, and then one byte of this kind every few milliseconds.
    Drips(Vec<u8>, u8),
}

/// What a server waits for before it does that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hears {
    /// Not even a question.
    Nothing,
    /// Whatever comes.
    Anything,
    /// This.
    Text(&'static [u8]),
}

/// A server that runs until the test's runtime ends.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) at: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    sent: AtomicU64,
}

impl Server {
    /// Answers each connection in this way, once it has heard that.
    pub(super) async fn start(hears: Hears, does: Does) -> Self {
        let listener = TcpListener::bind((super::HERE, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = Self { at, counts: Arc::default() };
        let each = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, does) = (each.clone(), does.clone());
                tokio::spawn(async move { server.serve(stream, hears, does).await });
            }
        });
        server
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, hears: Hears, does: Does) {
        let Counts { asked, open, most_open, sent } = &*self.counts;
        asked.fetch_add(1, Ordering::SeqCst);
        most_open.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let mut request = vec![0; 4096];
        let mut heard = Vec::new();
        let enough = |heard: &[u8]| match hears {
            Hears::Nothing => true,
            Hears::Anything => !heard.is_empty(),
            Hears::Text(text) => heard.windows(text.len()).any(|part| part == text),
        };
        while !enough(&heard) {
            match stream.read(&mut request).await {
                Ok(length @ 1..) => heard.extend_from_slice(&request[..length]),
                Ok(0) | Err(_) => break,
            }
        }
        let (first, again, pause) = match does {
            Does::Says(first) => (first, Vec::new(), Duration::ZERO),
            Does::Stalls(first) => (first, Vec::new(), Duration::MAX),
            Does::Floods(first, again) => (first, again, Duration::ZERO),
            Does::Drips(first, byte) => (first, vec![byte], Duration::from_millis(5)),
        };
        let mut alive = stream.write_all(&first).await.is_ok();
        while alive && (!again.is_empty() || pause == Duration::MAX) {
            alive = tokio::select! {
                // Whoever is read from after its question only closes.
                read = stream.read(&mut request), if pause > Duration::ZERO => matches!(read, Ok(1..)),
                () = sleep(pause), if !again.is_empty() => stream.write_all(&again).await.is_ok(),
            };
            sent.fetch_add(again.len() as u64, Ordering::SeqCst);
        }
        open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Connections that came.
    pub(super) fn asked(&self) -> usize {
        self.counts.asked.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// The most that were open at a time.
    pub(super) fn most_open(&self) -> usize {
        self.counts.most_open.load(Ordering::SeqCst)
    }

    /// Bytes of a flood that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::SeqCst)
    }
}

/// Waits until `holds`.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(super::SOON, async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} never came true");
}
