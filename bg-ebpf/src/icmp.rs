//! ICMP about switched flows (RFC 792, RFC 4443): errors are translated as RFC 5508 asks of a NAT, outside and in the
//! packet that they quote; an echo is a flow whose port is its identifier.
//!
//! An error belongs to the flow of the packet that it quotes, and goes where that came from. It follows the flow's
//! pin and leaves no trace in it: it makes none, renews none, establishes none, and no fate applies to it.

mod quote;
mod translate;

use crate::decide::{Way, find};
use crate::packet::{Family, Packet, Part};
use crate::rewrite::Rewrite;
use crate::tables::{Pin, Tables};
use crate::view::View;
use bg_common::{End, Endpoint, Flow, FlowKey, Frontend, Port, Proto, Reason};

pub use quote::Quote;
pub use translate::apply;

/// Length of an ICMP header.
const HEADER: usize = 8;

/// What an ICMP message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// No ICMP; or an echo message, whose flow is that of any packet with a port; or a later fragment.
    Packet,
    /// An error, about the packet that it quotes.
    Error,
}

/// Reads the ICMP header of a packet that has one. That of an echo message has a port: its identifier, on the side of
/// whoever asks.
///
/// # Errors
///
/// The reason why the message stays the gateway's own, or passes.
#[inline(always)]
pub fn read<V: View>(packet: &mut Packet, view: &V) -> Result<Message, Reason> {
    let icmp = match packet.family {
        Family::V4 => Proto::ICMP,
        Family::V6 => Proto::ICMP6,
    };
    if packet.proto != icmp || matches!(packet.part(), Part::Later | Part::Tiny) {
        return Ok(Message::Packet);
    }
    let [kind, _, _, _, high, low, _, _] = view.read::<HEADER>(packet.l4()).ok_or(Reason::Truncated)?;
    match (packet.family, kind) {
        // Destination unreachable, time exceeded, parameter problem; with IPv6 packet too big, too. Redirects are no
        // errors: they are for the next hop alone.
        (Family::V4, 3 | 11 | 12) | (Family::V6, 1..=4) => Ok(Message::Error),
        (Family::V4, 8) | (Family::V6, 128) => {
            packet.src_port = Port::from_wire([high, low]);
            Ok(Message::Packet)
        }
        (Family::V4, 0) | (Family::V6, 129) => {
            packet.dst_port = Port::from_wire([high, low]);
            Ok(Message::Packet)
        }
        // Neighbour discovery among them (RFC 4861), which stays on its link, whoever has the address.
        _ => Err(Reason::OtherProtocol),
    }
}

/// Decides about an error that comes from clients: about a reply, it goes on to the backend that sent it.
///
/// # Errors
///
/// The reason why it stays the gateway's own.
#[inline(always)]
pub fn forward<T: Tables>(packet: &Packet, quote: &Quote, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let Some((frontend, key)) = frontend(quote, tables) else {
        return Ok(None);
    };
    let flow = flow(&key, tables)?;
    // Replies leave with the frontend that the flow came through.
    if packet.dst != quote.src || flow.frontend != u32::from(frontend.id) {
        return Err(Reason::IcmpNoFlow);
    }
    let backend = tables.backend(flow.backend).ok_or(Reason::BrokenTable)?;
    let way = Way::Slice(backend.via(), backend.ifindex());
    Ok(Some(rewrite(End::Destination, &backend.endpoint(), quote.src_port, way)))
}

/// The frontend that a quoted reply left from, and the key of its flow.
#[inline(always)]
fn frontend<T: Tables>(quote: &Quote, tables: &T) -> Option<(Frontend, FlowKey)> {
    let Quote { dst, dst_port, src_port, proto, .. } = *quote;
    if matches!(proto, Proto::TCP | Proto::UDP)
        && let Some(frontend) = tables.frontend(&quote.source())
    {
        return Some((frontend, FlowKey::new(dst, dst_port, proto, frontend.service)));
    }
    let owner = tables.frontend(&Endpoint::whole(quote.src)).filter(|owner| !owner.is_vip())?;
    Some((owner, FlowKey::whole(dst, dst_port, proto, owner.service, src_port)))
}

/// Decides about an error that goes to clients: about a packet to a backend, it leaves as about one to the VIP.
///
/// # Errors
///
/// The reason why it is about none, although it quotes a packet to a backend.
#[inline(always)]
pub fn reply<T: Tables>(packet: &Packet, quote: &Quote, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let exact = match quote.proto {
        Proto::TCP | Proto::UDP => tables.backend_at(&quote.destination()),
        _ => None,
    };
    match exact.map(|id| reply_of(packet, quote, tables, id, false)) {
        None | Some(Err(Reason::IcmpNoFlow)) => {}
        Some(reply) => return reply.map(Some),
    }
    match tables.backend_at(&Endpoint::whole(quote.dst)) {
        Some(id) => reply_of(packet, quote, tables, id, true).map(Some),
        None if exact.is_some() => Err(Reason::IcmpNoFlow),
        None => Ok(None),
    }
}

/// What becomes of an error about a packet to a backend, if the flow's pin says that it went there.
#[inline(always)]
fn reply_of<T: Tables>(
    packet: &Packet,
    quote: &Quote,
    tables: &T,
    id: u32,
    whole: bool,
) -> Result<Rewrite, Reason> {
    let Quote { src, src_port, dst_port, proto, .. } = *quote;
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    let key = if whole {
        FlowKey::whole(src, src_port, proto, backend.service(), dst_port)
    } else {
        FlowKey::new(src, src_port, proto, backend.service())
    };
    let flow = flow(&key, tables)?;
    if packet.dst != quote.src || flow.backend != id {
        return Err(Reason::IcmpNoFlow);
    }
    let at = tables.frontend_addr(flow.frontend).ok_or(Reason::BrokenTable)?;
    Ok(rewrite(End::Source, &at, dst_port, Way::Client))
}

/// Decides about an error from a zone: about a client's packet, or about a reply to the slice as a client.
///
/// # Errors
///
/// The reason why it passes.
#[inline(always)]
pub fn zone<T: Tables>(packet: &Packet, quote: &Quote, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let back = reply(packet, quote, tables);
    if let Ok(Some(_)) = back {
        return back;
    }
    match forward(packet, quote, tables)? {
        Some(rewrite) => Ok(Some(rewrite)),
        None => back,
    }
}

/// The quoted port stays where all ports are `to`'s.
#[inline(always)]
const fn rewrite(end: End, to: &Endpoint, quoted: Port, way: Way) -> Rewrite {
    let port = if to.is_whole() { quoted } else { to.port() };
    Rewrite { end, addr: to.addr(), port, way }
}

/// The pin of a flow, as it is.
#[inline(always)]
fn flow<T: Tables>(key: &FlowKey, tables: &T) -> Result<Flow, Reason> {
    find(tables, key).map(|(_, pin)| pin.get()).ok_or(Reason::IcmpNoFlow)
}
