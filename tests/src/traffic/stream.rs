//! Long-lived connections that exchange numbered lines.

use super::http::{connect, flatten};
use super::record::{Connection, Failure, Kind};
use super::{Client, TIMEOUT};
use crate::clock;
use crate::servers::Stamp;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// One connection, until it is old enough or breaks.
pub(super) async fn stream(client: &mut Client) {
    if let Err((failure, detail)) = talk(client).await {
        client.record.fail(Kind::Stream, failure, detail);
        let period = client.period;
        client.pause(period).await;
    }
}

async fn talk(client: &mut Client) -> Result<(), (Failure, String)> {
    let describe = |error: io::Error| (Failure::from(&error), error.to_string());
    let record = std::sync::Arc::clone(&client.record);
    let born = Instant::now();
    let mut due = born;
    let called = clock::now();
    let (stream, connected) = flatten(timeout(TIMEOUT, connect(client.target)).await).map_err(describe)?;
    let port = stream.local_addr().map_err(describe)?.port();
    let mut stream = BufStream::new(stream);
    let mut first = None;
    let mut asked = called;
    let mut number = 0_u64;
    while !client.is_stopped() && client.life.is_none_or(|life| born.elapsed() < life) {
        number += 1;
        let question = format!("{}.{number}", client.number);
        let stamp = flatten(timeout(TIMEOUT, exchange(&mut stream, &question)).await).map_err(describe)?;
        let (before, _open) = first.get_or_insert_with(|| {
            record.connection(Connection { kind: Kind::Stream, stamp, port, called, connected });
            (stamp, record.open(Kind::Stream, stamp.colour))
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

async fn exchange(stream: &mut BufStream<TcpStream>, question: &str) -> io::Result<Stamp> {
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    if stream.read_line(&mut answer).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    stamp_of(answer.trim_end(), question).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, answer))
}

/// Who echoed `question`, if this is an echo of it.
pub(super) fn stamp_of(answer: &str, question: &str) -> Option<Stamp> {
    answer.strip_suffix(question)?.strip_suffix(' ')?.parse().ok()
}
