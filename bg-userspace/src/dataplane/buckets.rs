//! Endpoints in buckets: what programs look up without a hash table of the kernel's.

use super::table::Table;
use crate::refusal::Refusal;
use aya::Pod;
use bg_common::bucket::{Bucket, Place, Slot, choices, find, place};
use bg_common::names::ENDPOINT_BUCKETS;
use bg_common::{Addr, Endpoint, Port, Proto};
use std::path::Path;

/// A table of endpoints.
#[derive(Debug)]
pub(super) struct Buckets<V>(Table<u32, Bucket<V>>)
where
    Bucket<V>: Pod;

impl<V: Copy + Default> Buckets<V>
where
    Bucket<V>: Pod,
{
    pub(super) fn open(dir: &Path, name: &'static str) -> Result<Self, Refusal> {
        Table::open(dir, name).map(Self)
    }

    fn candidates(&self, at: &Endpoint) -> Result<[(u32, Bucket<V>); 2], Refusal> {
        let [first, second] = choices(at, ENDPOINT_BUCKETS);
        let read = |index: u32| Ok((index, self.0.get(&index)?.unwrap_or_default()));
        Ok([read(first)?, read(second)?])
    }

    /// What an endpoint leads to.
    pub(super) fn get(&self, at: &Endpoint) -> Result<Option<V>, Refusal> {
        let candidates = self.candidates(at)?;
        Ok(candidates.iter().find_map(|(_, bucket)| bucket.get(at)))
    }

    /// Puts an endpoint in, or changes what it leads to.
    pub(super) fn set(&self, at: &Endpoint, value: &V) -> Result<(), Refusal> {
        let candidates = self.candidates(at)?;
        let slot = Slot { at: *at, value: *value };
        if let Some(place) = find(at, candidates) {
            // Eight aligned bytes change, which no reader sees by half.
            return self.write(&place, slot);
        }
        let place = place(at, candidates).ok_or_else(|| {
            self.0.refused(&"both places that this endpoint could take are full; use fewer endpoints")
        })?;
        // A program may read while the kernel copies: it must not find the key before the value.
        self.write(&place, Slot { at: nowhere(at), value: *value })?;
        self.write(&place, slot)
    }

    /// Takes an endpoint out; one that is not in is as good as taken out. The value stays, for a program
    /// that has just compared the key.
    pub(super) fn remove(&self, at: &Endpoint) -> Result<(), Refusal> {
        let Some(place) = find(at, self.candidates(at)?) else {
            return Ok(());
        };
        let value = place.bucket.get(at).unwrap_or_default();
        self.write(&place, Slot { at: nowhere(at), value })
    }

    fn write(&self, place: &Place<V>, slot: Slot<V>) -> Result<(), Refusal> {
        self.0.set(&place.index, &place.with(slot))
    }

    /// Calls `visit` with every endpoint.
    pub(super) fn each(&self, mut visit: impl FnMut(&Endpoint, &V)) -> Result<(), Refusal> {
        self.0.each(|_, bucket| {
            for slot in bucket.0.iter().filter(|slot| !slot.is_empty()) {
                visit(&slot.at, &slot.value);
            }
        })
    }
}

/// The address of an endpoint with a port and protocol that no packet has.
fn nowhere(at: &Endpoint) -> Endpoint {
    Endpoint::new(Addr::from_longs(at.addr().longs()), Port::default(), Proto::default())
}
