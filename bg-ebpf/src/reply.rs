//! Whether a packet of a backend is a reply, and of which frontend: backend → pin → frontend.

use crate::decide::{find, note};
use crate::fate::{Outlook, cut, outlook, word_of};
use crate::packet::Packet;
use crate::parse::Detour;
use crate::rewrite::Rewrite;
use crate::tables::{Pin, Tables};
use bg_common::{Backend, Endpoint, Flow, FlowKey, Reason, Tick};

/// Decides about a plain packet that may be a reply of a slice.
///
/// # Errors
///
/// The reason why it is none, although it comes from a backend, or that it may be one of a whole address, which the
/// slow path looks up.
#[inline(always)]
pub fn reply<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Detour> {
    match reply_of(packet, tables) {
        Ok(None) | Err(Reason::DirectReply | Reason::StaleReply) if tables.settings().whole_addresses() => {
            Err(Detour::Rare)
        }
        Err(reason) => Err(reason.into()),
        Ok(Some(reply)) => Ok(Some(reply.rewrite(packet))),
        Ok(None) => Ok(None),
    }
}

/// A reply of a slice.
pub(crate) struct Reply {
    /// Where its client sent to.
    pub(crate) at: Endpoint,
    /// The pin of its flow.
    pub(crate) flow: Flow,
}

impl Reply {
    #[inline(always)]
    pub(crate) const fn rewrite(&self, packet: &Packet) -> Rewrite {
        Rewrite::to_client(packet, &self.at)
    }
}

/// Whether a packet is a reply of a backend with a port of its own, or of none.
#[inline(always)]
pub(crate) fn reply_of<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Reply>, Reason> {
    let Some(id) = tables.backend_at(&packet.source()) else {
        return Ok(None);
    };
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    let key = FlowKey::new(packet.dst, packet.dst_port, packet.proto, backend.service());
    from_backend(packet, tables, id, backend, &key).map(Some)
}

/// The reply that a packet of a backend is, if the flow's pin says so, and counts it.
#[inline(always)]
pub(crate) fn from_backend<T: Tables>(
    packet: &Packet,
    tables: &T,
    id: u32,
    backend: &Backend,
    key: &FlowKey,
) -> Result<Reply, Reason> {
    let (_, pin) = find(tables, key).ok_or(Reason::DirectReply)?;
    let flow = pin.get();
    if flow.backend != id {
        return Err(Reason::StaleReply);
    }
    let now = tables.now();
    if let Outlook::Over(reason) =
        outlook(packet, &flow, backend, word_of(tables, backend.slice().deployment(), now)?)
    {
        cut(&pin, &flow, now);
        return Err(reason);
    }
    let at = tables.frontend_addr(flow.frontend).ok_or(Reason::BrokenTable)?;
    answered(packet, tables, &pin, &flow, backend, now);
    Ok(Reply { at, flow })
}

/// Whether a reply is of a flow that is over: it is answered, and not a new flow of the slice's.
#[inline(always)]
pub(crate) fn is_over(detour: Detour) -> bool {
    matches!(detour, Detour::Refused(Reason::ResetByFate | Reason::BackendDown))
}

/// Notes a packet of the backend in its flow's pin and counts it.
#[inline(always)]
fn answered<T: Tables>(packet: &Packet, tables: &T, pin: &T::Pin, flow: &Flow, backend: &Backend, now: Tick) {
    // A refusal is no answer.
    let unanswered = !flow.answered();
    let first = unanswered && !packet.is_rst();
    let state = if first { flow.state() | Flow::ANSWERED } else { flow.state() };
    note(packet, pin, flow, state, Flow::BACKEND_FIN);
    if flow.seen != now {
        pin.touch(now);
    }
    tables.traffic(backend.slice(), |traffic| {
        traffic.packets_out += u64::from(packet.segments);
        traffic.bytes_out += u64::from(packet.len);
        if packet.is_rst() {
            // Strays that no handshake began tell nothing about the slice, and anybody can send them.
            traffic.resets += u64::from(flow.began_with_syn() && !flow.closed());
            traffic.refused += u64::from(unanswered && flow.began_with_syn() && !flow.closed());
        } else if unanswered {
            traffic.answered += 1;
            traffic.handshakes_answered += u64::from(flow.began_with_syn());
        }
    });
}
