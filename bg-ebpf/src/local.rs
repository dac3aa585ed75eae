//! Where the gateway's own processes get when they ask for a frontend: the backend that their socket is to use
//! instead, and the way back to what they are shown. No packet is rewritten.
//!
//! A socket that connects is decided about once. Datagrams without a connection have a pin like any client's, in
//! which the socket stands for the client.

use crate::choose::{Chosen, choose};
use crate::decide::{backend_of, find};
use crate::fate::word_of;
use crate::note::answered;
use crate::packet::{Family, Packet};
use crate::tables::{Insert, Sockets};
use bg_common::local::flow_key;
use bg_common::{Addr, Connected, Endpoint, Flow, Proto, Reason, Word};

/// Where a socket that asks for `to` is to connect; `None` when that is no frontend.
///
/// # Errors
///
/// The reason why it is refused.
#[inline(always)]
pub fn connect<T: Sockets>(to: &Endpoint, cookie: u64, tables: &T) -> Result<Option<Endpoint>, Reason> {
    // What it was connected to before.
    close(cookie, tables);
    let Some(frontend) = tables.frontend(to) else {
        return Ok(None);
    };
    let packet = asking(to, cookie);
    let service = tables.service(frontend.service).ok_or(Reason::BrokenTable)?;
    let now = tables.now();
    let word = word_of(tables, service.deployment, now)?;
    let Chosen { backend: id, preview } = choose(&packet, tables, &frontend, service, word)?;
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    // Nobody sees its packets: it is open until it is closed, or has been for as long as an idle flow lives.
    let state = Flow::ANSWERED | if preview { Flow::PREVIEW } else { 0 };
    let flow = Flow::new(id, frontend.id.into(), now).with_state(state);
    if tables.insert_flow(&flow_key(cookie, to.proto(), frontend.service), &flow) == Insert::Full {
        tables.count(Reason::FlowsFull);
    }
    let connected =
        Connected { backend: backend.endpoint(), frontend: *to, service: frontend.service, zero: 0 };
    if !tables.remember_connected(cookie, &connected) {
        tables.count(Reason::LocalFull);
    }
    count_flow(tables, backend.slice(), word, preview);
    Ok(Some(backend.endpoint()))
}

/// Counts a flow whose answers nobody will see.
#[inline(always)]
fn count_flow<T: Sockets>(tables: &T, slice: bg_common::SliceId, word: Word, preview: bool) {
    let now_ns = tables.now_ns();
    tables.traffic(slice, |traffic| {
        traffic.flows += 1;
        traffic.local += 1;
        if !preview {
            traffic.begins(now_ns, word.generation());
        }
    });
}

/// Where a datagram to `to` is to go; `None` when that is no frontend.
///
/// # Errors
///
/// The reason why it is refused.
#[inline(always)]
pub fn send<T: Sockets>(to: &Endpoint, cookie: u64, tables: &T) -> Result<Option<Endpoint>, Reason> {
    let Some(frontend) = tables.frontend(to) else {
        return Ok(None);
    };
    let key = flow_key(cookie, to.proto(), frontend.service);
    let (_, backend) = backend_of(&asking(to, cookie), tables, &frontend, &key)?;
    tables.traffic(backend.slice(), |traffic| traffic.packets_in += 1);
    Ok(Some(backend.endpoint()))
}

/// The frontend that a process is shown as the sender of a datagram; `None` for the sender itself.
#[inline(always)]
pub fn received<T: Sockets>(from: &Endpoint, cookie: u64, tables: &T) -> Option<Endpoint> {
    let id = tables.backend_at(from)?;
    if let Some(frontend) = peer(from, cookie, tables) {
        return Some(frontend);
    }
    let backend = tables.backend(id)?;
    let (_, pin) = find(tables, &flow_key(cookie, from.proto(), backend.service()))?;
    let flow = crate::tables::Pin::get(&pin);
    if flow.backend != id {
        return None;
    }
    answered(&asking(from, cookie), tables, &pin, &flow, backend, tables.now(), false);
    tables.frontend_addr(flow.frontend)
}

/// The frontend that a process is shown as its peer; `None` for the peer itself.
#[inline(always)]
pub fn peer<T: Sockets>(peer: &Endpoint, cookie: u64, tables: &T) -> Option<Endpoint> {
    let connected = tables.connected(cookie).filter(|connected| connected.backend == *peer)?;
    Some(connected.frontend)
}

/// Forgets what a socket is connected to.
#[inline(always)]
pub fn close<T: Sockets>(cookie: u64, tables: &T) {
    if let Some(Connected { backend, service, .. }) = tables.connected(cookie) {
        tables.remove_flow(&flow_key(cookie, backend.proto(), service));
        tables.forget_connected(cookie);
    }
}

/// The packet that would ask for this, from the gateway itself. It is in no frame.
#[inline(always)]
fn asking(to: &Endpoint, cookie: u64) -> Packet {
    const SYN: u8 = 1 << 1;
    const LOOPBACK: Addr = Addr::from_v4([127, 0, 0, 1]);
    let v4 = to.addr().is_v4();
    let [low, high, ..] = cookie.to_ne_bytes();
    Packet {
        family: if v4 { Family::V4 } else { Family::V6 },
        src: if v4 { LOOPBACK } else { Addr::from_longs([0, 1_u64.to_be()]) },
        dst: to.addr(),
        proto: to.proto(),
        src_port: bg_common::Port::from_wire([low, high]),
        dst_port: to.port(),
        hop_limit: u8::MAX,
        tcp_flags: if to.proto().0 == Proto::TCP.0 { SYN } else { 0 },
        len: 0,
        segments: 1,
        rare: None,
    }
}
