//! The probe that sends one datagram and waits for the right one.

use super::connect::Way;
use super::course::Course;
use super::failure::{Failure, quoted};
use super::names::Names;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// So many wrong answers are enough.
const PATIENCE: usize = 64;

/// Bytes of an answer that are looked at, if `expect` is not longer.
const LOOK: usize = 2048;

/// Sends `send` and waits for an answer that begins with `expect`.
///
/// # Errors
///
/// When none comes, or an ICMP error does. The caller bounds the time.
pub async fn ask(
    way: Way<'_>,
    to: SocketAddr,
    send: &[u8],
    expect: &[u8],
    names: &Names,
    course: &mut Course,
) -> Result<(), Failure> {
    let (send, expect) = (names.fill_bytes(send), names.fill_bytes(expect));
    let (mut socket, own) = way.connector.udp(to).await.map_err(|why| refused(&why))?;
    course.own = Some(own);
    socket.send(&send).await.map_err(|why| refused(&why))?;
    let mut buffer = vec![0; expect.len().max(LOOK)];
    let mut last = String::new();
    for _ in 0..PATIENCE {
        let length = socket.receive(&mut buffer).await.map_err(|why| refused(&why))?;
        let answer = buffer.get(..length).unwrap_or(&buffer);
        if answer.starts_with(&expect) {
            return Ok(());
        }
        course.awaits = "answer that begins as wanted";
        last = text(answer);
    }
    let wanted = text(&expect);
    Err(Failure::Answer(format!("{PATIENCE} answers do not begin with {wanted}; the last one is {last}")))
}

fn text(bytes: &[u8]) -> String {
    format!("\"{}\"", quoted(&bytes.escape_ascii().to_string()))
}

fn refused(why: &io::Error) -> Failure {
    if why.kind() == ErrorKind::ConnectionRefused {
        return Failure::Answer("refused by ICMP: nobody listens on this port".to_owned());
    }
    Failure::io("send a datagram", why)
}
