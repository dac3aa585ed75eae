//! Datagrams with sequence numbers; every one must come back, from the machine that sent the first.

use super::http::flatten;
use super::record::{Connection, Failure, Kind};
use super::stream::stamp_of;
use super::{Client, TIMEOUT};
use crate::clock;
use crate::servers::Stamp;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

/// One socket, until it is old enough or fails.
pub(super) async fn datagrams(client: &mut Client) {
    if let Err((failure, detail)) = talk(client).await {
        client.record.fail(Kind::Datagram, failure, detail);
        let period = client.period;
        client.pause(period).await;
    }
}

async fn talk(client: &mut Client) -> Result<(), (Failure, String)> {
    let describe = |error: io::Error| (Failure::from(&error), error.to_string());
    let record = std::sync::Arc::clone(&client.record);
    let born = Instant::now();
    let mut due = born;
    let socket = open(client.target).await.map_err(describe)?;
    let port = socket.local_addr().map_err(describe)?.port();
    let mut first = None;
    let mut number = 0_u64;
    while !client.is_stopped() && client.life.is_none_or(|life| born.elapsed() < life) {
        number += 1;
        let asked = clock::now();
        let question = format!("{}.{number}", client.number);
        let stamp = flatten(timeout(TIMEOUT, exchange(&socket, &question)).await).map_err(describe)?;
        let (before, _open) = first.get_or_insert_with(|| {
            let connection =
                Connection { kind: Kind::Datagram, stamp, port, called: asked, connected: clock::now() };
            record.connection(connection);
            (stamp, record.open(Kind::Datagram, stamp.colour))
        });
        if *before != stamp {
            return Err((Failure::Moved, format!("from {before} to {stamp}")));
        }
        record.answer(stamp, asked);
        client.rest(&mut due).await;
    }
    Ok(())
}

async fn open(target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match target {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(target).await?;
    Ok(socket)
}

async fn exchange(socket: &UdpSocket, question: &str) -> io::Result<Stamp> {
    socket.send(question.as_bytes()).await?;
    let mut buffer = [0; 128];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).and_then(|answer| str::from_utf8(answer).ok());
        // An answer to an earlier number is late, not wrong: its own number has timed out already.
        if let Some(stamp) = answer.and_then(|answer| stamp_of(answer, question)) {
            return Ok(stamp);
        }
    }
}
