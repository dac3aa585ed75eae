//! Replaces the client's address as well, by one of the gateway's and a port that stands for the flow, where the
//! backend would answer past the gateway otherwise; and puts it back.
//!
//! This happens on the link to the backend, like the kernel's own masquerading: everything before sees the flow
//! between client and backend.

use crate::decide::{Way, find};
use crate::packet::Packet;
use crate::rewrite::Rewrite;
use crate::tables::{Insert, Nat, Pin as _};
use bg_common::nat::{TRIES, is_given, port};
use bg_common::{End, FlowKey, NatKey, Port, Reason};

/// What a packet that leaves for a backend becomes; `None` when it stays as it is.
///
/// # Errors
///
/// [`Reason::NatFull`] when the flow gets no port.
#[inline(always)]
pub fn hide<T: Nat>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let Some(id) = tables.backend_at(&packet.destination()) else {
        return Ok(None);
    };
    let Some(backend) = tables.backend(id).filter(|backend| backend.has_source()) else {
        return Ok(None);
    };
    let Some(source) = tables.source(id).filter(|source| source.covers(&packet.src)) else {
        return Ok(None);
    };
    let key = FlowKey::new(packet.src, packet.src_port, packet.proto, backend.service());
    // Else it is a direct conversation.
    if find(tables, &key).is_none_or(|(_, pin)| pin.get().backend != id) {
        return Ok(None);
    }
    let port = allot(&key, id, packet, tables)?;
    Ok(Some(Rewrite { end: End::Source, addr: source.addr(), port, way: Way::Client }))
}

/// The port that stands for a flow: the one that it has, else the first that is free of those that it tries.
#[inline(always)]
fn allot<T: Nat>(key: &FlowKey, backend: u32, packet: &Packet, tables: &T) -> Result<Port, Reason> {
    let mut free = None;
    for nth in 0..TRIES {
        let port = port(key, nth);
        match tables.hidden(&NatKey::new(backend, port, packet.proto)) {
            Some(owner) if owner == *key => return Ok(port),
            Some(_) => {}
            None if free.is_none() => free = Some(port),
            None => {}
        }
    }
    let port = free.ok_or(Reason::NatFull)?;
    let at = NatKey::new(backend, port, packet.proto);
    match tables.hide(&at, key) {
        Insert::Done => Ok(port),
        // Another CPU was first: perhaps for the same flow.
        Insert::Exists if tables.hidden(&at) == Some(*key) => Ok(port),
        Insert::Exists | Insert::Full => Err(Reason::NatFull),
    }
}

/// The same packet of a backend with the client in place of the gateway, and what it becomes; `None` when it is not
/// for a client.
#[inline(always)]
pub fn reveal<T: Nat>(packet: &Packet, tables: &T) -> Option<(Packet, Rewrite)> {
    if !is_given(packet.dst_port) {
        return None;
    }
    let id = tables.backend_at(&packet.source())?;
    let source = tables.source(id)?;
    if source.addr() != packet.dst {
        return None;
    }
    let client = tables.hidden(&NatKey::new(id, packet.dst_port, packet.proto))?;
    let (dst, dst_port) = (client.client(), client.port());
    let rewrite = Rewrite { end: End::Destination, addr: dst, port: dst_port, way: Way::Client };
    Some((Packet { dst, dst_port, ..*packet }, rewrite))
}
