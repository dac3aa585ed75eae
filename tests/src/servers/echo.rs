//! Echo over TCP lines and over datagrams, for all machines on one thread: a socket stays in the
//! namespace it was opened in.
//!
//! `<text>` is answered by `<stamp> <text>`.

use super::{Stamp, port};
use crate::topology::Machine;
use anyhow::{Context, Result};
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::thread::{self, JoinHandle};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// The echo servers of all machines; they end on drop.
#[derive(Debug)]
pub struct Echo {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(super) fn start(machines: &[Machine]) -> Result<Self> {
        let mut sockets = Vec::new();
        for machine in machines {
            let (lines, datagrams) = machine
                .namespace
                .run(|| Ok::<_, std::io::Error>((bind_lines()?, bind_datagrams()?)))
                .with_context(|| format!("listen on {}", Stamp::of(machine)))?;
            sockets.push((Stamp::of(machine), lines, datagrams));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("echo".to_owned()).spawn(move || {
            let tasks = LocalSet::new();
            for (stamp, lines, datagrams) in sockets {
                tasks.spawn_local(serve_lines(stamp, lines));
                tasks.spawn_local(serve_datagrams(stamp, datagrams));
            }
            drop(runtime.block_on(tasks.run_until(stopped)));
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A socket on `::` takes IPv4 as well, because namespaces start with `bindv6only` off.
fn bind_lines() -> std::io::Result<TcpListener> {
    let socket = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port::LINES))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_datagrams() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port::DATAGRAMS))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn serve_lines(stamp: Stamp, listener: TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(async move {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            while let Some(line) = lines.next_line().await? {
                write.write_all(format!("{stamp} {line}\n").as_bytes()).await?;
            }
            Ok::<_, std::io::Error>(())
        });
    }
}

async fn serve_datagrams(stamp: Stamp, socket: UdpSocket) -> std::io::Result<()> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let mut answer = format!("{stamp} ").into_bytes();
        answer.extend_from_slice(buffer.get(..length).unwrap_or_default());
        // A client that is gone is no reason to stop serving the others.
        drop(socket.send_to(&answer, from).await);
    }
}
