//! HTTP/1.1 by hand: just enough to ask for `/` and to see every way in which it can fail.

use super::record::{Connection, Failure, Kind};
use super::{Client, TIMEOUT};
use crate::clock;
use crate::servers::Stamp;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const KEEP: &[u8] = b"GET / HTTP/1.1\r\nHost: bg.test\r\n\r\n";
const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: bg.test\r\nConnection: close\r\n\r\n";

/// One request on a connection of its own, then a rest.
pub(super) async fn short(client: &mut Client) {
    let mut due = Instant::now();
    let called = clock::now();
    let asked = timeout(TIMEOUT, async {
        let (mut stream, connected) = connect(client.target).await?;
        let port = stream.local_addr()?.port();
        let stamp = ask(&mut stream, CLOSE).await?;
        // The server closes first, which leaves no TIME_WAIT on the client's ports.
        if stream.read(&mut [0; 1]).await? != 0 {
            return Err(io::Error::new(ErrorKind::InvalidData, "more than one answer"));
        }
        Ok((stamp, port, connected))
    });
    match flatten(asked.await) {
        Ok((stamp, port, connected)) => {
            client.record.connection(Connection { kind: Kind::Short, stamp, port, called, connected });
            client.record.answer(stamp, called);
        }
        Err(error) => client.record.fail(Kind::Short, Failure::from(&error), &error),
    }
    client.rest(&mut due).await;
}

/// Requests on one connection, until it is old enough or breaks.
pub(super) async fn kept(client: &mut Client) {
    if let Err((failure, detail)) = keep(client).await {
        client.record.fail(Kind::Kept, failure, detail);
        let period = client.period;
        client.pause(period).await;
    }
}

async fn keep(client: &mut Client) -> Result<(), (Failure, String)> {
    let describe = |error: io::Error| (Failure::from(&error), error.to_string());
    let record = std::sync::Arc::clone(&client.record);
    let born = Instant::now();
    let mut due = born;
    let called = clock::now();
    let (mut stream, connected) =
        flatten(timeout(TIMEOUT, connect(client.target)).await).map_err(describe)?;
    let port = stream.local_addr().map_err(describe)?.port();
    let mut first = None;
    let mut asked = called;
    while !client.is_stopped() && client.life.is_none_or(|life| born.elapsed() < life) {
        let stamp = flatten(timeout(TIMEOUT, ask(&mut stream, KEEP)).await).map_err(describe)?;
        let (before, _open) = first.get_or_insert_with(|| {
            record.connection(Connection { kind: Kind::Kept, stamp, port, called, connected });
            (stamp, record.open(Kind::Kept, stamp.colour))
        });
        if *before != stamp {
            return Err((Failure::Moved, format!("from {before} to {stamp}")));
        }
        record.answer(stamp, asked);
        client.rest(&mut due).await;
        asked = clock::now();
    }
    Ok(())
}

/// Connects and says when that was done.
pub(super) async fn connect(target: SocketAddr) -> io::Result<(TcpStream, u64)> {
    let stream = TcpStream::connect(target).await?;
    let connected = clock::now();
    stream.set_nodelay(true)?;
    Ok((stream, connected))
}

/// A time-out as the error it is.
pub(super) fn flatten<T>(result: Result<io::Result<T>, tokio::time::error::Elapsed>) -> io::Result<T> {
    result
        .unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, format!("no answer within {TIMEOUT:?}"))))
}

/// Sends a request and reads its whole answer.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<Stamp> {
    stream.write_all(request).await?;
    let mut buffer = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(stamp) = parse(&buffer)? {
            return Ok(stamp);
        }
    }
}

/// The stamp of a whole answer, whose head and body must agree; none while it is not whole.
pub(crate) fn parse(answer: &[u8]) -> io::Result<Option<Stamp>> {
    let garbled = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let text = str::from_utf8(answer).map_err(|_| garbled("not text"))?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(garbled(head.lines().next().unwrap_or_default()));
    }
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let length: usize =
        field("Content-Length").and_then(|value| value.parse().ok()).ok_or_else(|| garbled("no length"))?;
    if body.len() < length {
        return Ok(None);
    }
    let stamp: Stamp = body.trim_end().parse().map_err(|_| garbled(body))?;
    if body.len() > length || field("X-Slice") != Some(body.trim_end()) {
        return Err(garbled(text));
    }
    Ok(Some(stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bg_common::Colour;

    #[test]
    fn an_answer_counts_when_it_is_whole_and_agrees_with_itself() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Slice: blue/1\r\n\r\n";
        let blue = Stamp { colour: Colour::Blue, machine: 1 };
        let whole = format!("{head}blue/1\n");
        assert_eq!(parse(whole.as_bytes()).unwrap(), Some(blue));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        for wrong in [
            format!("{head}green/1"),
            format!("{head}blue/1\nHTTP"),
            whole.replace("200 OK", "502 Bad Gateway"),
            whole.replace("X-Slice: blue/1", "X-Slice: blue/2"),
        ] {
            assert_eq!(parse(wrong.as_bytes()).unwrap_err().kind(), ErrorKind::InvalidData, "{wrong}");
        }
    }
}
