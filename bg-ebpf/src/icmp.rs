//! ICMP errors about switched flows (RFC 792, RFC 4443), translated as RFC 5508 asks of a NAT: the error itself and
//! the packet that it quotes.
//!
//! An error belongs to the flow of the packet that it quotes, and goes where that came from. It follows the flow's
//! pin and leaves no trace in it: it makes none, renews none, establishes none, and no fate applies to it.

mod quote;
mod translate;

use crate::decide::find;
use crate::packet::Family;
use crate::rewrite::Rewrite;
use crate::tables::{Pin, Tables};
use bg_common::{Addr, Endpoint, FlowKey, Reason};

pub use quote::Quote;
pub use translate::apply;

/// An ICMP message and the packet that carries it. Offsets are those of the frame.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Which network header the packet has, and so which ICMP this is.
    pub family: Family,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// IPv4 time to live, IPv6 hop limit.
    pub hop_limit: u8,
    /// Offset of the network header.
    pub l3: usize,
    /// Offset of the ICMP header.
    pub l4: usize,
    /// Offset of what follows the packet; not after the frame's end.
    pub end: usize,
}

/// Whether an ICMP type is that of an error which quotes a packet. Redirects are none: they are for the next hop alone.
#[inline(always)]
#[must_use]
pub const fn is_error(family: Family, kind: u8) -> bool {
    match family {
        // Destination unreachable, time exceeded, parameter problem.
        Family::V4 => matches!(kind, 3 | 11 | 12),
        // The same, and packet too big.
        Family::V6 => matches!(kind, 1..=4),
    }
}

/// Decides about an error that comes from clients: about a reply, it goes on to the backend that sent it.
///
/// # Errors
///
/// The reason why it stays the gateway's own.
#[inline(always)]
pub fn forward<T: Tables>(message: &Message, quote: &Quote, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let Some(frontend) = tables.frontend(&quote.source()) else {
        return Ok(None);
    };
    let flow = flow(&quote.destination(), frontend.service, tables)?;
    // Replies leave with the frontend that the flow came through.
    if message.dst != quote.src || flow.frontend != u32::from(frontend.id) {
        return Err(Reason::IcmpNoFlow);
    }
    let backend = tables.backend(flow.backend).ok_or(Reason::BrokenTable)?;
    Ok(Some(Rewrite::to_slice(backend)))
}

/// Decides about an error that goes to clients: about a packet to a backend, it leaves as about one to the VIP.
///
/// # Errors
///
/// The reason why it is about none, although it quotes a packet to a backend.
#[inline(always)]
pub fn reply<T: Tables>(message: &Message, quote: &Quote, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let Some(id) = tables.backend_at(&quote.destination()) else {
        return Ok(None);
    };
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    let flow = flow(&quote.source(), backend.service(), tables)?;
    if message.dst != quote.src || flow.backend != id {
        return Err(Reason::IcmpNoFlow);
    }
    let frontend = tables.frontend_addr(flow.frontend).ok_or(Reason::BrokenTable)?;
    Ok(Some(Rewrite::to_client(&frontend)))
}

/// Decides about an error from a zone: about a client's packet, or about a reply to the slice as a client.
///
/// # Errors
///
/// The reason why it passes.
#[inline(always)]
pub fn zone<T: Tables>(message: &Message, quote: &Quote, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let back = reply(message, quote, tables);
    if let Ok(Some(_)) = back {
        return back;
    }
    match forward(message, quote, tables)? {
        Some(rewrite) => Ok(Some(rewrite)),
        None => back,
    }
}

/// The pin of a client's flow, as it is.
#[inline(always)]
fn flow<T: Tables>(client: &Endpoint, service: u32, tables: &T) -> Result<bg_common::Flow, Reason> {
    let key = FlowKey::new(client.addr(), client.port(), client.proto(), service);
    let (_, pin) = find(tables, &key).ok_or(Reason::IcmpNoFlow)?;
    Ok(pin.get())
}
