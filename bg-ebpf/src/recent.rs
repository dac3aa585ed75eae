//! Decisions of a moment ago. Whoever sends many packets in a moment pays for the whole way once: the rest are
//! found here, as long as nothing has changed of what they were decided by.
//!
//! Only packets in the middle of an established flow are remembered, and only those that leave its pin as it is.

use crate::decide::Way;
use crate::packet::Packet;
use crate::rewrite::Rewrite;
use crate::tables::Tables;
use bg_common::{Backend, End, Recent, RecentKey, Via, Word};

const TO_CLIENT: u8 = 3;

#[inline(always)]
fn key(packet: &Packet, end: End) -> RecentKey {
    RecentKey::new((packet.src, packet.src_port), (packet.dst, packet.dst_port), packet.proto, end)
}

/// What was decided about the packet's flow, if that still holds.
#[inline(always)]
pub fn recall<T: Tables>(packet: &Packet, tables: &T, end: End) -> Option<Rewrite> {
    if !packet.goes_on() {
        return None;
    }
    let key = key(packet, end);
    let (slice, rewrite) = tables.recent(key.slot(), |recent| {
        let holds = recent.is_about(&key)
            && !recent.is_old(tables.jiffies())
            && tables.epoch() == recent.epoch
            && tables.word(recent.slice.deployment()).is_some_and(|word| word.bits() == recent.word);
        holds.then(|| (recent.slice, rewrite(recent, end)))
    })??;
    tables.traffic(slice, |traffic| match end {
        End::Destination => {
            traffic.packets_in += u64::from(packet.segments);
            traffic.bytes_in += u64::from(packet.len);
        }
        End::Source => {
            traffic.packets_out += u64::from(packet.segments);
            traffic.bytes_out += u64::from(packet.len);
        }
    });
    Some(rewrite)
}

#[inline(always)]
fn rewrite(recent: &Recent, end: End) -> Rewrite {
    let way = match recent.way() {
        TO_CLIENT => Way::Client,
        1 => Way::Slice(Via::Peer, recent.ifindex),
        2 => Way::Slice(Via::Neighbour, recent.ifindex),
        _ => Way::Slice(Via::Stack, recent.ifindex),
    };
    Rewrite { end, addr: recent.addr(), port: recent.port(), way }
}

/// Remembers what was decided about a packet by tables that were read after `epoch`.
///
/// A word with a deadline is another one past it; what hangs on it is not remembered.
#[inline(always)]
pub fn remember<T: Tables>(
    packet: &Packet,
    tables: &T,
    epoch: u64,
    word: Word,
    backend: &Backend,
    rewrite: &Rewrite,
) {
    if !packet.goes_on() || word.deadline() != 0 {
        return;
    }
    let key = key(packet, rewrite.end);
    let way = match rewrite.way {
        Way::Client => TO_CLIENT,
        Way::Slice(via, _) => via as u8,
    };
    let jiffies = tables.jiffies();
    tables.recent(key.slot(), |recent| {
        // Who was first stays for its time: very many flows would only push each other out.
        if !recent.is_old(jiffies) && recent.epoch == epoch && !recent.is_about(&key) {
            return;
        }
        recent.decide(&key, rewrite.addr, rewrite.port, way);
        (recent.word, recent.epoch, recent.jiffies) = (word.bits(), epoch, jiffies);
        (recent.slice, recent.ifindex) = (backend.slice(), backend.ifindex());
    });
}
