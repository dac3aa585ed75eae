//! How a ring is filled: each backend has its share of the positions by its weight, and a change moves hardly more
//! than the share of what has changed.
//!
//! Backends take turns, each at the next free position of an order of its own, which only its address decides (Maglev,
//! Eisenbud and others, NSDI 2016, section 3.4). So a ring that is made anew is as it was.

use crate::dataplane::state::State;
use bg_common::Endpoint;
use bg_common::names::MAX_RING;

/// A ring of several backends has at least so many positions for each of this many.
const LEAST: usize = 8;

/// Positions for one backend, if there is room.
const MOST_EACH: usize = 64;

/// All rings together take no more of the table than this part, so that each can be written anew beside itself.
const PART: usize = 4;

/// The most that a weight is.
const HEAVIEST: u32 = 256;

/// Makes a second number of a hash.
const ODD: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// One backend of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Member {
    pub(super) id: u32,
    pub(super) at: Endpoint,
    /// Its share, as against the others; 0 takes part in nothing.
    pub(super) weight: u16,
}

/// Positions for each backend of a ring when there are so many backends in all rings together.
#[must_use]
pub(super) fn positions_each(backends: usize) -> usize {
    let room = MAX_RING as usize / PART / backends.max(1);
    // A ring of two has as many positions as one of LEAST.
    let each = (room * 2 / LEAST).clamp(1, MOST_EACH);
    1 << each.ilog2()
}

/// Gaps between the rings in use, as `[from, to)`.
pub(super) fn free(state: &State) -> Vec<(u32, u32)> {
    let mut used: Vec<(u32, u32)> = state
        .services
        .values()
        .flat_map(|service| service.rings.iter())
        .filter(|(ring, _)| !ring.is_empty())
        .map(|(ring, _)| (ring.base(), ring.base() + ring.len()))
        .collect();
    used.sort_unstable();
    used.push((MAX_RING, MAX_RING));
    let mut gaps = Vec::new();
    let mut from = 0;
    for (start, end) in used {
        if start > from {
            gaps.push((from, start));
        }
        from = from.max(end);
    }
    gaps
}

/// Backend ids by position. `known` backends are or could be on the ring: only their number decides on its length, so
/// that a flap does not.
#[must_use]
pub(super) fn fill(members: &[Member], known: usize, each: usize) -> Vec<u32> {
    let members: Vec<Member> = members.iter().copied().filter(|member| member.weight > 0).collect();
    match members.as_slice() {
        [] => return Vec::new(),
        // All positions would be the same.
        [only] => return vec![only.id],
        _ => {}
    }
    let len = each * known.max(members.len()).next_power_of_two().max(LEAST);
    let mut turns: Vec<Turn> = members.iter().map(|member| Turn::new(member, len)).collect();
    let mut ring = vec![None; len];
    let mut left = len;
    while left > 0 {
        for turn in turns.iter_mut().filter_map(|turn| turn.is_due().then_some(turn)) {
            if left > 0 && turn.take(&mut ring) {
                left -= 1;
            }
        }
    }
    ring.into_iter().flatten().collect()
}

/// How far a backend has come.
struct Turn {
    id: u32,
    weight: u32,
    /// It takes a position whenever this has come to [`HEAVIEST`]: to what the others weigh, it would be another turn
    /// for everybody when one of them changes.
    credit: u32,
    /// Position that it wants next, and the step to the one after that: odd, so that it comes to all of them.
    next: usize,
    step: usize,
}

impl Turn {
    /// Everybody takes part in the first round, so that nobody goes without.
    fn new(member: &Member, len: usize) -> Self {
        let hash = member.at.hash();
        let weight = u32::from(member.weight).min(HEAVIEST);
        let (next, step) = ((hash >> 32) as usize % len, ((hash.wrapping_mul(ODD) >> 32) as usize % len) | 1);
        Self { id: member.id, weight, credit: HEAVIEST - weight, next, step }
    }

    fn is_due(&mut self) -> bool {
        self.credit += self.weight;
        let due = self.credit >= HEAVIEST;
        if due {
            self.credit -= HEAVIEST;
        }
        due
    }

    /// Takes the next position that is free, if there is one.
    fn take(&mut self, ring: &mut [Option<u32>]) -> bool {
        let len = ring.len();
        for _ in 0..len {
            let at = self.next;
            self.next = (self.next + self.step) % len;
            if let Some(free @ None) = ring.get_mut(at) {
                *free = Some(self.id);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bg_common::{Addr, Proto};
    use proptest::prelude::*;

    fn member(host: u16, weight: u16) -> Member {
        let [high, low] = host.to_be_bytes();
        let at = Endpoint::new(Addr::from_v4([10, 1, high, low]), 8080.into(), Proto::TCP);
        Member { id: host.into(), at, weight }
    }

    fn share(ring: &[u32], id: u16) -> f64 {
        ring.iter().filter(|on| **on == u32::from(id)).count() as f64 / ring.len() as f64
    }

    /// Share of the hashes of flows that land elsewhere.
    fn moved(before: &[u32], after: &[u32]) -> f64 {
        let len = before.len().max(after.len());
        let on = |ring: &[u32], at: usize| ring[at * ring.len() / len];
        (0..len).filter(|at| on(before, *at) != on(after, *at)).count() as f64 / len as f64
    }

    /// By this part of a ring more moves than has to, at most, where the orders of few backends are much alike; see
    /// below for what is usual.
    const MORE: f64 = 0.25;

    fn hosts() -> impl Strategy<Value = Vec<(u16, u16)>> {
        proptest::collection::btree_map(any::<u16>(), 1_u16..=256, 2..24)
            .prop_map(|hosts| hosts.into_iter().collect())
    }

    fn ring_of(hosts: &[(u16, u16)], known: usize) -> Vec<u32> {
        let members: Vec<Member> = hosts.iter().map(|(host, weight)| member(*host, *weight)).collect();
        fill(&members, known, MOST_EACH)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn backends_have_their_share_and_nobody_goes_without(hosts in hosts()) {
            let ring = ring_of(&hosts, hosts.len());
            let all: f64 = hosts.iter().map(|(_, weight)| f64::from(*weight)).sum();
            for (host, weight) in &hosts {
                let (has, due) = (share(&ring, *host), f64::from(*weight) / all);
                prop_assert!(has > 0.0);
                prop_assert!((has - due).abs() <= 3.0 * hosts.len() as f64 / ring.len() as f64, "{has} {due}");
            }
        }

        #[test]
        fn a_backend_that_leaves_moves_hardly_more_than_its_share(hosts in hosts(), which in any::<prop::sample::Index>()) {
            let before = ring_of(&hosts, hosts.len());
            let mut left = hosts.clone();
            let (gone, _) = left.remove(which.index(hosts.len()));
            let after = ring_of(&left, hosts.len());
            let more = moved(&before, &after) - share(&before, gone);
            prop_assert!((0.0..=MORE).contains(&more), "{more}");
        }

        #[test]
        fn a_weight_moves_hardly_more_than_its_change(
            hosts in hosts(), which in any::<prop::sample::Index>(), weight in 0_u16..=256,
        ) {
            let before = ring_of(&hosts, hosts.len());
            let mut changed = hosts.clone();
            let which = which.index(hosts.len());
            changed[which].1 = weight;
            let after = ring_of(&changed, hosts.len());
            let all = |hosts: &[(u16, u16)]| hosts.iter().map(|(_, weight)| f64::from(*weight)).sum::<f64>();
            let due = |hosts: &[(u16, u16)]| f64::from(hosts[which].1) / all(hosts);
            let more = moved(&before, &after) - (due(&hosts) - due(&changed)).abs();
            prop_assert!(more <= MORE, "{more}");
        }
    }

    #[test]
    fn a_fortieth_of_the_flows_moves_besides_the_share_of_who_leaves() {
        let mut more = Vec::new();
        for seed in 0_u16..60 {
            let hosts: Vec<_> = (0..3 + seed % 20).map(|nth| (seed * 256 + nth, 100)).collect();
            let before = ring_of(&hosts, hosts.len());
            let after = ring_of(&hosts[1..], hosts.len());
            more.push(moved(&before, &after) - share(&before, hosts[0].0));
        }
        let mean = more.iter().sum::<f64>() / more.len() as f64;
        assert!(mean < 0.035, "{mean}");
    }

    #[test]
    fn a_ring_of_equals_is_even_to_one_position() {
        for known in 2..=40 {
            let hosts: Vec<_> = (0..known).map(|host| (host, 100)).collect();
            let ring = ring_of(&hosts, hosts.len());
            let counts =
                hosts.iter().map(|(host, _)| ring.iter().filter(|on| **on == u32::from(*host)).count());
            let counts: Vec<usize> = counts.collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }

    #[test]
    fn all_rings_fit_twice_however_many_there_are() {
        for backends in [1, 2, 100, 1024, 1025, 4096, 32_768] {
            let each = positions_each(backends);
            // Rings of two take the most for a backend.
            let rings = backends.div_ceil(2);
            assert!(rings * each * LEAST * 2 <= MAX_RING as usize, "{backends} backends");
            let one = each * backends.next_power_of_two().max(LEAST);
            assert!(one * 2 <= MAX_RING as usize, "{backends} backends on one ring");
        }
    }

    #[test]
    fn who_has_no_weight_gets_nothing_and_one_alone_everything() {
        assert!(fill(&[member(1, 0)], 1, 64).is_empty());
        assert_eq!(fill(&[member(1, 0), member(2, 7)], 2, 64), [2]);
    }
}
