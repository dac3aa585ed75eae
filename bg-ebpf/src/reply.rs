//! Whether a packet of a backend is a reply, and of which frontend: backend → pin → frontend.

use crate::decide::{In, find, is_busy};
use crate::fate::{Outlook, cut, is_settled, outlook, raw_word};
use crate::note::answered;
use crate::packet::Packet;
use crate::parse::Detour;
use crate::recent::{recall, remember};
use crate::rewrite::Rewrite;
use crate::tables::{Pin, Tables};
use bg_common::{Backend, End, Endpoint, Flow, FlowKey, Reason, Word};

/// Decides about a plain packet that may be a reply of a slice.
///
/// # Errors
///
/// The reason why it is none, although it comes from a backend, or that it may be one of a whole address, which the
/// slow path looks up.
#[inline(always)]
pub fn reply<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Detour> {
    match exact_reply(packet, tables) {
        Ok(None) | Err(Reason::DirectReply | Reason::StaleReply) if tables.settings().whole_addresses() => {
            Err(Detour::Undecided)
        }
        decided => decided.map_err(Detour::from),
    }
}

/// The same, whoever owns whole addresses.
///
/// # Errors
///
/// The reason why it is none, although it comes from a backend.
#[inline(always)]
pub fn exact_reply<T: Tables>(packet: &Packet, tables: &T) -> Result<Option<Rewrite>, Reason> {
    if let Some(rewrite) = recall(packet, tables, End::Source) {
        return Ok(Some(rewrite));
    }
    let epoch = tables.epoch();
    let Some(reply) = reply_of(packet, tables)? else {
        return Ok(None);
    };
    let rewrite = reply.rewrite(packet);
    if let Some(word) = reply.settled {
        remember(packet, tables, epoch, word, reply.backend, &rewrite);
    }
    Ok(Some(rewrite))
}

/// A reply of a slice.
pub(crate) struct Reply<'a> {
    /// Whose it is.
    pub(crate) backend: &'a Backend,
    /// Where its client sent to.
    pub(crate) at: Endpoint,
    /// The pin of its flow.
    pub(crate) flow: Flow,
    /// The word as it stands in the table, if as much would be said about the flow's next packet.
    pub(crate) settled: Option<Word>,
}

impl Reply<'_> {
    #[inline(always)]
    pub(crate) const fn rewrite(&self, packet: &Packet) -> Rewrite {
        Rewrite::to_client(packet, &self.at)
    }
}

/// Whether a packet is a reply of a backend with a port of its own, or of none.
#[inline(always)]
pub(crate) fn reply_of<'a, T: Tables>(packet: &Packet, tables: &'a T) -> Result<Option<Reply<'a>>, Reason> {
    let Some(id) = tables.backend_at(&packet.source()) else {
        return Ok(None);
    };
    let backend = tables.backend(id).ok_or(Reason::BrokenTable)?;
    let key = FlowKey::new(packet.dst, packet.dst_port, packet.proto, backend.service());
    from_backend(packet, tables, id, backend, &key).map(Some)
}

/// The reply that a packet of a backend is, if the flow's pin says so, and counts it.
#[inline(always)]
pub(crate) fn from_backend<'a, T: Tables>(
    packet: &Packet,
    tables: &'a T,
    id: u32,
    backend: &'a Backend,
    key: &FlowKey,
) -> Result<Reply<'a>, Reason> {
    let (place, pin) = find(tables, key).ok_or(Reason::DirectReply)?;
    let flow = pin.get();
    if flow.backend != id {
        return Err(Reason::StaleReply);
    }
    let now = tables.now();
    let word = raw_word(tables, backend.slice().deployment())?;
    if let Outlook::Over(reason) = outlook(packet, &flow, backend, word.effective(now)) {
        cut(&pin, &flow, now);
        return Err(reason);
    }
    let at = tables.frontend_addr(flow.frontend).ok_or(Reason::BrokenTable)?;
    answered(packet, tables, &pin, &flow, backend, now, place == In::Flows);
    let settled = flow.answered() && is_busy(place, &flow, now) && is_settled(&flow, backend, word);
    Ok(Reply { backend, at, flow, settled: settled.then_some(word) })
}

/// Whether a reply is of a flow that is over: it is answered, and not a new flow of the slice's.
#[inline(always)]
pub(crate) fn is_over(detour: Detour) -> bool {
    matches!(detour, Detour::Refused(Reason::ResetByFate | Reason::BackendDown))
}
