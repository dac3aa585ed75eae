//! Decides about what the slow path has read, or was left by the fast one: as [`decide`](crate::decide), and besides
//! about new flows, fragments and frontends that own a whole address.

use crate::decide::to_backend;
use crate::packet::{Family, Packet, Part, Rare};
use crate::reply::{Reply, from_backend, is_over, reply_of};
use crate::rewrite::Rewrite;
use crate::tables::{Insert, Tables};
use bg_common::{Endpoint, FlowKey, Fragment, FragmentKey, Frontend, Proto, Reason};

/// Decides about a packet that comes from clients.
///
/// # Errors
///
/// The reason why it is refused.
#[inline(always)]
pub fn forward_rare<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Reason> {
    if packet.part() == Part::Later
        && let Some(fragment) = remembered(packet, tables)
    {
        return match fragment.end {
            Fragment::TO_SLICE => to_remembered_slice(packet, tables, &fragment).map(Some),
            _ => Ok(None),
        };
    }
    // A frontend that owns the address, or the sign that others own parts of it.
    let owner = tables.frontend(&Endpoint::whole(packet.dst));
    match (packet.part(), owner) {
        (Part::Later, Some(_)) => return Err(Reason::Orphan),
        (Part::Tiny, Some(_)) => return Err(Reason::TinyFragment),
        (Part::Later | Part::Tiny, None) => return Ok(None),
        _ => {}
    }
    let Some((frontend, key)) = frontend(packet, tables, owner) else {
        if owner.is_some() {
            remember(packet, tables, Fragment::OWN, 0, 0);
        }
        return Ok(None);
    };
    let (id, backend) = to_backend(packet, tables, &frontend, &key)?;
    remember(packet, tables, Fragment::TO_SLICE, id, 0);
    Ok(Some(Rewrite::to_slice(packet, backend)))
}

/// The frontend that a packet is for, and the key of its flow.
#[inline(always)]
fn frontend<T: Tables>(packet: &Packet, tables: &T, owner: Option<Frontend>) -> Option<(Frontend, FlowKey)> {
    let Packet { src, src_port, dst_port, proto, .. } = *packet;
    if matches!(proto, Proto::TCP | Proto::UDP)
        && let Some(frontend) = tables.frontend(&packet.destination())
    {
        return Some((frontend, FlowKey::new(src, src_port, proto, frontend.service)));
    }
    let frontend = owner.filter(|owner| !owner.is_vip())?;
    Some((frontend, FlowKey::whole(src, src_port, proto, frontend.service, dst_port)))
}

/// Decides about a packet that may be a reply of a slice.
///
/// # Errors
///
/// The reason why it is none, although it comes from a backend.
#[inline(always)]
pub fn reply_rare<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Reason> {
    match packet.part() {
        Part::Later => {
            return match remembered(packet, tables) {
                Some(fragment) if fragment.end == Fragment::TO_CLIENT => {
                    to_remembered_client(packet, tables, &fragment).map(Some)
                }
                _ => Ok(None),
            };
        }
        Part::Tiny => return Ok(None),
        Part::Whole | Part::First => {}
    }
    let Some(reply) = any_reply(packet, tables)? else { return Ok(None) };
    remember(packet, tables, Fragment::TO_CLIENT, reply.flow.backend, reply.flow.frontend);
    Ok(Some(reply.rewrite(packet)))
}

/// A backend with a port of its own comes first; the one whose pin names it has sent the reply.
#[inline(always)]
fn any_reply<'a, T: Tables>(packet: &Packet, tables: &'a T) -> Result<Option<Reply<'a>>, Reason> {
    let exact = match packet.proto {
        Proto::TCP | Proto::UDP => reply_of(packet, tables),
        _ => Ok(None),
    };
    if !matches!(exact, Ok(None) | Err(Reason::DirectReply | Reason::StaleReply)) {
        return exact;
    }
    let Some(id) = tables.backend_at(&Endpoint::whole(packet.src)) else {
        return exact;
    };
    let Packet { dst, dst_port, src_port, proto, .. } = *packet;
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    let key = FlowKey::whole(dst, dst_port, proto, backend.service(), src_port);
    from_backend(packet, tables, id, backend, &key).map(Some)
}

/// The backend that a packet comes from.
#[inline(always)]
pub fn sender<T: Tables>(packet: &Packet, tables: &T) -> Option<u32> {
    tables.backend_at(&packet.source()).or_else(|| tables.backend_at(&Endpoint::whole(packet.src)))
}

/// Decides about a packet from a zone: most are replies, but a slice may be a client too.
///
/// # Errors
///
/// The reason why it is refused.
#[inline(always)]
pub fn zone_rare<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Reason> {
    let back = reply_rare(packet, tables);
    if matches!(back, Ok(Some(_))) || back.is_err_and(|reason| is_over(reason.into())) {
        return back;
    }
    match forward_rare(packet, tables)? {
        Some(rewrite) => Ok(Some(rewrite)),
        None => back,
    }
}

/// The name of a fragment's datagram.
#[inline(always)]
fn key(packet: &Packet, rare: &Rare) -> FragmentKey {
    let proto = match packet.family {
        Family::V4 => packet.proto,
        Family::V6 => Proto::default(),
    };
    FragmentKey::new(packet.src, packet.dst, proto, rare.id)
}

/// What was decided with the first fragment of a later one's datagram, while that counts.
#[inline(always)]
fn remembered<T: Tables>(packet: &Packet, tables: &T) -> Option<Fragment> {
    let fragment = tables.fragment(&key(packet, &packet.rare?))?;
    fragment.counts(tables.now()).then_some(fragment)
}

/// Remembers what was decided with a first fragment, for the later ones.
#[inline(always)]
fn remember<T: Tables>(packet: &Packet, tables: &T, end: u32, backend: u32, frontend: u32) {
    let Some(rare) = packet.rare.filter(|rare| rare.part == Part::First) else { return };
    let fragment = Fragment { end, backend, frontend, seen: tables.now() };
    if tables.remember_fragment(&key(packet, &rare), &fragment) == Insert::Full {
        tables.count(Reason::FragmentsFull);
    }
}

#[inline(always)]
fn to_remembered_slice<T: Tables>(
    packet: &Packet,
    tables: &T,
    fragment: &Fragment,
) -> Result<Rewrite, Reason> {
    let backend = tables.backend(fragment.backend).ok_or(Reason::BrokenTable)?;
    tables.traffic(backend.slice(), |traffic| {
        traffic.packets_in += u64::from(packet.segments);
        traffic.bytes_in += u64::from(packet.len);
    });
    Ok(Rewrite::to_slice(packet, backend))
}

#[inline(always)]
fn to_remembered_client<T: Tables>(
    packet: &Packet,
    tables: &T,
    fragment: &Fragment,
) -> Result<Rewrite, Reason> {
    let backend = tables.backend(fragment.backend).ok_or(Reason::BrokenTable)?;
    let at = tables.frontend_addr(fragment.frontend).ok_or(Reason::BrokenTable)?;
    tables.traffic(backend.slice(), |traffic| {
        traffic.packets_out += u64::from(packet.segments);
        traffic.bytes_out += u64::from(packet.len);
    });
    Ok(Rewrite::to_client(packet, &at))
}
