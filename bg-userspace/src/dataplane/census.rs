//! What one sweep counts: the open flows of each backend, and which backends and frontends pins name.

use super::tables::Tables;
use crate::dataplane::Sweep;
use crate::refusal::Refusal;
use bg_common::{Colour, Flow, Tick, names};
use std::collections::BTreeMap;

/// By id, because a flow is one of millions: nothing is hashed or searched for it.
pub(super) struct Census {
    now: Tick,
    backends: Vec<Pins>,
    frontends: Vec<bool>,
}

/// The pins to one backend.
#[derive(Clone, Copy, Default)]
struct Pins {
    named: bool,
    open: OpenFlows,
}

#[derive(Clone, Copy, Default)]
struct OpenFlows {
    count: u64,
    /// Age of the oldest, in ticks.
    oldest: u32,
}

impl OpenFlows {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.oldest = self.oldest.max(other.oldest);
    }
}

impl Census {
    /// Nothing counted.
    pub(super) fn new(now: Tick) -> Self {
        Self {
            now,
            backends: vec![Pins::default(); names::MAX_BACKENDS as usize],
            frontends: vec![false; names::MAX_FRONTENDS as usize],
        }
    }

    /// Counts a pin, of the table of established ones or of the other.
    pub(super) fn note(&mut self, flow: &Flow, established: bool) {
        if let Some(named) = self.frontends.get_mut(flow.frontend as usize) {
            *named = true;
        }
        let Some(pins) = self.backends.get_mut(flow.backend as usize) else { return };
        pins.named = true;
        let counts = established || self.now.since(flow.seen) < Flow::HALF_OPEN_TICKS;
        if counts && !flow.closed() && !flow.is_preview() {
            pins.open.add(OpenFlows { count: 1, oldest: flow.began().ticks_until(self.now) });
        }
    }

    /// Tells it, by deployment.
    ///
    /// # Errors
    ///
    /// When the kernel does not let the tables be read.
    pub(super) fn tell(self, tables: &Tables, sweep: &mut Sweep) -> Result<(), Refusal> {
        let deployments = tables.deployments()?;
        let mut open: BTreeMap<u32, [OpenFlows; 2]> =
            deployments.keys().map(|id| (*id, Default::default())).collect();
        for (id, pins) in (0..).zip(self.backends).filter(|(_, pins)| pins.named) {
            sweep.backends.insert(id);
            let Some(slice) = tables.backend(id)?.map(|backend| backend.slice()) else { continue };
            if let Some([blue, green]) = open.get_mut(&slice.deployment()) {
                let flows = if slice.colour() == Colour::Blue { blue } else { green };
                flows.add(pins.open);
            }
        }
        sweep.frontends = (0..).zip(self.frontends).filter_map(|(id, named)| named.then_some(id)).collect();
        for (id, name) in deployments {
            let [blue, green] = open.remove(&id).unwrap_or_default();
            sweep.open.push((name.clone(), [blue.count, green.count]));
            sweep.oldest.push((name, [blue.oldest, green.oldest].map(super::observer::duration)));
        }
        Ok(())
    }
}
