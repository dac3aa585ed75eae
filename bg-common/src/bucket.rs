//! How endpoints are looked up: a hash table that user space fills and programs only read, laid out in an
//! array table.
//!
//! The kernel inlines an array look-up, while its hash table costs a call, a slower hash and a walk of
//! pointers. Each endpoint has two buckets to be in, and each bucket four slots, so that a table at a
//! quarter of its capacity practically always has room.

use crate::Endpoint;

/// Slots of a bucket.
pub const SLOTS: usize = 4;

/// An endpoint and what it leads to. The slot is empty while the endpoint's protocol is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Slot<V> {
    /// The key.
    pub at: Endpoint,
    /// The value.
    pub value: V,
}

/// Some endpoints. With values of 8 bytes it has 128: two cache lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Bucket<V>(pub [Slot<V>; SLOTS]);

impl<V: Copy> Bucket<V> {
    /// What an endpoint leads to, if it is in this bucket.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, at: &Endpoint) -> Option<V> {
        let [first, second, third, fourth] = &self.0;
        if first.at == *at {
            Some(first.value)
        } else if second.at == *at {
            Some(second.value)
        } else if third.at == *at {
            Some(third.value)
        } else if fourth.at == *at {
            Some(fourth.value)
        } else {
            None
        }
    }

    fn slot(&self, wanted: impl Fn(&Slot<V>) -> bool) -> Option<usize> {
        self.0.iter().position(wanted)
    }

    fn free(&self) -> usize {
        self.0.iter().filter(|slot| slot.is_empty()).count()
    }
}

impl<V> Slot<V> {
    /// Whether nothing is here.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at.proto().0 == 0
    }
}

/// The two buckets that an endpoint may be in, of a number that is a power of two and at most
/// 65,536.
#[inline(always)]
#[must_use]
pub const fn choices(at: &Endpoint, buckets: u32) -> [u32; 2] {
    // A product's high bits are those that depend on all of the factor's.
    let hash = at.hash();
    [(hash >> 48) as u32 & (buckets - 1), (hash >> 32) as u32 & (buckets - 1)]
}

/// Where an endpoint is or may be put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<V> {
    /// Index of the bucket.
    pub index: u32,
    /// The bucket as it is.
    pub bucket: Bucket<V>,
    /// Position of the slot in it.
    pub slot: usize,
}

impl<V: Copy> Place<V> {
    /// The bucket with this slot in place of the one that it has.
    #[must_use]
    pub fn with(&self, slot: Slot<V>) -> Bucket<V> {
        let mut bucket = self.bucket;
        if let Some(old) = bucket.0.get_mut(self.slot) {
            *old = slot;
        }
        bucket
    }
}

/// The slot that holds an endpoint.
pub fn find<V: Copy>(at: &Endpoint, candidates: [(u32, Bucket<V>); 2]) -> Option<Place<V>> {
    candidates.into_iter().find_map(|(index, bucket)| {
        let slot = bucket.slot(|slot| slot.at == *at)?;
        Some(Place { index, bucket, slot })
    })
}

/// The slot that holds an endpoint, else a free one in the emptier bucket; `None` when both are full.
pub fn place<V: Copy>(at: &Endpoint, candidates: [(u32, Bucket<V>); 2]) -> Option<Place<V>> {
    find(at, candidates).or_else(|| {
        let [first, second] = candidates;
        let (index, bucket) = if second.1.free() > first.1.free() { second } else { first };
        let slot = bucket.slot(Slot::is_empty)?;
        Some(Place { index, bucket, slot })
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::names::{ENDPOINT_BUCKETS, MAX_BACKENDS, MAX_FRONTENDS};
    use crate::{Addr, Proto};
    use std::vec;
    use std::vec::Vec;

    type Table = Vec<Bucket<u64>>;

    fn candidates(table: &Table, at: &Endpoint) -> [(u32, Bucket<u64>); 2] {
        choices(at, table.len() as u32).map(|index| (index, table[index as usize]))
    }

    fn get(table: &Table, at: &Endpoint) -> Option<u64> {
        candidates(table, at).iter().find_map(|(_, bucket)| bucket.get(at))
    }

    fn put(table: &mut Table, at: Endpoint, value: u64) {
        let place = place(&at, candidates(table, &at)).expect("there is room");
        table[place.index as usize] = place.with(Slot { at, value });
    }

    /// Endpoints as gateways have them: few addresses with many ports, or many with few.
    fn endpoints(count: u32) -> Vec<Endpoint> {
        (0..count)
            .map(|n| {
                let [_, high, middle, low] = n.to_be_bytes();
                match n % 3 {
                    0 => Endpoint::new(
                        Addr::from_v4([192, 0, 2, 1]),
                        (n as u16).into(),
                        Proto(6 + (n >> 16) as u8),
                    ),
                    1 => Endpoint::new(Addr::from_v4([10, high, middle, low]), 80.into(), Proto::TCP),
                    _ => {
                        let mut octets = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, middle, low];
                        octets[4] = low;
                        Endpoint::new(Addr::from_v6(octets), 443.into(), Proto::TCP)
                    }
                }
            })
            .collect()
    }

    #[test]
    fn as_many_endpoints_as_are_allowed_fit_and_are_found() {
        for count in [MAX_FRONTENDS, MAX_BACKENDS] {
            let mut table = vec![Bucket::default(); ENDPOINT_BUCKETS as usize];
            let all = endpoints(count);
            for (value, at) in all.iter().enumerate() {
                put(&mut table, *at, value as u64);
            }
            for (value, at) in all.iter().enumerate() {
                assert_eq!(get(&table, at), Some(value as u64), "{at:?}");
            }
            let other = Endpoint::new(Addr::from_v4([198, 51, 100, 1]), 80.into(), Proto::TCP);
            assert_eq!(get(&table, &other), None);
        }
    }

    #[test]
    fn what_is_put_again_takes_its_own_place() {
        let mut table = vec![Bucket::default(); 1];
        let all = endpoints(SLOTS as u32);
        for (value, at) in all.iter().enumerate() {
            put(&mut table, *at, value as u64);
        }
        put(&mut table, all[2], 77);
        assert_eq!(get(&table, &all[2]), Some(77));
        assert_eq!(get(&table, &all[3]), Some(3));
        assert_eq!(place(&endpoints(9)[8], candidates(&table, &all[0])), None);
    }
}
