//! Where a flow without a pin goes: which colour, and which of its backends.
//!
//! The first that has a say decides on the colour: the frontend, a preview rule for the client, the canary, and else
//! who is live.

use crate::hash;
use crate::packet::{Family, Packet};
use crate::tables::Tables;
use bg_common::{Aim, Colour, Frontend, Port, Reason, Ring, Service, Word};

/// What was chosen for a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// Index of the backend.
    pub backend: u32,
    /// A preview has decided, and not who is live.
    pub preview: bool,
}

/// Chooses the backend of a flow without a pin.
///
/// # Errors
///
/// The reason why there is none, or none at this moment.
#[inline(always)]
pub fn choose<T: Tables>(
    packet: &Packet,
    tables: &T,
    frontend: &Frontend,
    service: &Service,
    word: Word,
) -> Result<Chosen, Reason> {
    let midstream = packet.is_tcp() && !packet.is_bare_syn();
    if word.is_paused() && !midstream {
        return Err(Reason::Paused);
    }
    // It belongs to a connection that is older than the switch: what was so then decides.
    let older = midstream && word.draining();
    let live = if older { word.live().other() } else { word.live() };
    if midstream {
        tables.count(if older { Reason::MidstreamDrain } else { Reason::Midstream });
    }
    let v6 = packet.family == Family::V6;
    let aim = match frontend.aim() {
        Aim::Live if word.has_previews() => tables.preview(service.deployment, &packet.src),
        aim @ (Aim::Live | Aim::Other | Aim::Blue | Aim::Green) => aim,
    };
    let preview = aim != Aim::Live;
    let ring = if preview {
        tables.count(Reason::Preview);
        service.ring(aim.colour(live), v6)
    } else {
        // A switch ends the canary of before, so what is older than one had another.
        let share = if older { 0 } else { word.canary() };
        common(packet, tables, service, live, share)
    };
    if ring.is_empty() {
        let refused = service.refuses() && packet.is_bare_syn();
        return Err(if refused { Reason::Refused } else { Reason::NoBackend });
    }
    let port = if service.is_by_client() { Port::default() } else { packet.src_port };
    let position = ring.position(hash::client(&packet.src, port));
    let backend = tables.ring(position).ok_or(Reason::BrokenTable)?;
    Ok(Chosen { backend, preview })
}

/// The ring of whoever comes through an ordinary frontend and is in no preview.
#[inline(always)]
fn common<T: Tables>(packet: &Packet, tables: &T, service: &Service, live: Colour, share: u16) -> Ring {
    let v6 = packet.family == Family::V6;
    if share > 0 {
        let port = if service.has_canary_by_client() { Port::default() } else { packet.src_port };
        let ring = service.ring(live.other(), v6);
        // Whoever is asked to try something new is served all the same where nobody offers it.
        if hash::part(&packet.src, port) < share && !ring.is_empty() {
            tables.count(Reason::Canary);
            return ring;
        }
    }
    service.ring(live, v6)
}
