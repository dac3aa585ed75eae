//! Requests on connections that are kept, each at a time that was fixed beforehand.
//!
//! Whoever waits for an answer before the next question asks less of a server that is slow, and does not
//! measure what those would have waited who did not ask ("coordinated omission", as wrk2 calls it). Here a
//! request is due at its time, answered or not, and waits in line if all connections are taken; its latency
//! begins when it was due.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Where the web server is reached.
    pub(super) target: SocketAddr,
    /// Connections that are kept.
    pub(super) connections: usize,
    /// From one request to the next.
    pub(super) every: Duration,
    /// For how long requests are due.
    pub(super) length: Duration,
}

/// How it went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Outcome {
    /// From the time a request was due to the end of its answer, in any order.
    pub(super) latencies: Vec<Duration>,
    /// Requests without an answer.
    pub(super) lost: u64,
}

/// How long an answer is waited for after the last request.
const PATIENCE: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bg\r\n\r\n";

struct Connection {
    stream: TcpStream,
    /// When the request was due that it has not answered yet.
    due: Option<Instant>,
    answer: Vec<u8>,
}

impl Load {
    /// Asks, from the calling thread and its namespace.
    pub(super) fn run(&self) -> Result<Outcome> {
        // Else the kernel wakes this thread up to 50 µs late.
        set_timerslack(1)?;
        let mut connections =
            (0..self.connections).map(|_| Connection::open(self.target)).collect::<Result<Vec<_>>>()?;
        let mut outcome = Outcome::default();
        let mut line = VecDeque::new();
        let begin = Instant::now();
        let end = begin + self.length;
        let mut next = begin;
        loop {
            let now = Instant::now();
            while next <= now && next < end {
                line.push_back(next);
                next += self.every;
            }
            let free = connections.iter_mut().filter(|connection| connection.due.is_none());
            for connection in free {
                let Some(due) = line.pop_front() else { break };
                connection.ask(due)?;
            }
            let all_asked = next >= end && line.is_empty();
            if all_asked && connections.iter().all(|connection| connection.due.is_none()) {
                return Ok(outcome);
            }
            if now > end + PATIENCE {
                let open = connections.iter().filter(|connection| connection.due.is_some()).count();
                outcome.lost += (open + line.len()) as u64;
                return Ok(outcome);
            }
            let wake = if next < end { next } else { end + PATIENCE };
            await_any(&connections, wake.saturating_duration_since(Instant::now()))?;
            for connection in connections.iter_mut().filter(|connection| connection.due.is_some()) {
                connection.listen(self.target, &mut outcome)?;
            }
        }
    }
}

impl Connection {
    fn open(target: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&target, PATIENCE).with_context(|| format!("connect to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, due: None, answer: Vec::new() })
    }

    /// A request is so short that a socket without one under way takes it whole. One whose other side is
    /// gone says so when the answer is read.
    fn ask(&mut self, due: Instant) -> Result<()> {
        self.due = Some(due);
        match self.stream.write(REQUEST) {
            Err(error) if !is_end(error.kind()) => Err(error).context("send a request"),
            _ => Ok(()),
        }
    }

    /// Takes what has come of an answer.
    fn listen(&mut self, target: SocketAddr, outcome: &mut Outcome) -> Result<()> {
        let mut piece = [0; 1024];
        match self.stream.read(&mut piece) {
            Ok(length) if length > 0 => {
                self.answer.extend_from_slice(piece.get(..length).unwrap_or_default());
                if is_whole(&self.answer) {
                    self.answer.clear();
                    outcome.latencies.extend(self.due.take().map(|due| due.elapsed()));
                }
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(error) if !is_end(error.kind()) => Err(error).context("read an answer"),
            // It was closed or reset.
            Ok(_) | Err(_) => {
                outcome.lost += 1;
                *self = Self::open(target)?;
                Ok(())
            }
        }
    }
}

const fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

fn await_any(connections: &[Connection], patience: Duration) -> Result<()> {
    let open = connections.iter().filter(|connection| connection.due.is_some());
    let mut waiting: Vec<PollFd<'_>> =
        open.map(|connection| PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN)).collect();
    match ppoll(&mut waiting, Some(patience.into()), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("wait for answers"),
    }
}

/// Whether these bytes are a header and the body that it announces.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::mpsc;
    use std::thread;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// Serves one connection: `script` is asked before each answer.
    fn serve(mut script: impl FnMut(usize) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; REQUEST.len()];
            for turn in 0.. {
                if stream.read_exact(&mut request).is_err() {
                    return;
                }
                script(turn);
                stream.write_all(ANSWER).unwrap();
            }
        });
        at
    }

    #[test]
    fn an_answer_is_whole_with_the_body_that_it_announces() {
        for (answer, whole) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", false),
            (b"HTTP/1.1 200 OK\r\n\r\n", false),
            (b"", false),
        ] {
            assert_eq!(is_whole(answer), whole, "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn every_request_is_asked_and_answered_once() {
        let load = Load {
            target: serve(|_| {}),
            connections: 1,
            every: Duration::from_millis(1),
            length: Duration::from_millis(40),
        };
        let outcome = load.run().unwrap();
        assert_eq!((outcome.latencies.len(), outcome.lost), (40, 0));
    }

    #[test]
    fn requests_that_were_due_while_a_server_stood_still_have_waited_for_it() {
        const STANDSTILL: Duration = Duration::from_millis(60);
        // Nobody sends, so that this waits for just that long.
        let (_never, silence) = mpsc::channel::<()>();
        let still = move |turn| {
            if turn == 0 {
                let _ = silence.recv_timeout(STANDSTILL);
            }
        };
        let load = Load {
            target: serve(still),
            connections: 1,
            every: Duration::from_millis(10),
            length: Duration::from_millis(50),
        };
        let outcome = load.run().unwrap();
        assert_eq!((outcome.latencies.len(), outcome.lost), (5, 0));
        // The last of the five was due 40 ms after the first, whose answer took 60 ms.
        for (index, latency) in outcome.latencies.iter().enumerate() {
            let least = STANDSTILL.saturating_sub(load.every * index as u32);
            assert!(*latency >= least, "request {index} waited {latency:?}, and not {least:?}");
        }
    }
}
