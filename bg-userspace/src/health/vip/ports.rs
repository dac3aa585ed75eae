//! Which ports the client comes from. A port rests after use, because the pin of the flow that used it lives
//! on for a while, and would send another flow to the colour of the first.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::time::{Duration, Instant};

/// As Linux gives them out.
const RANGE: Range<u16> = 32768..61000;

/// How long a port of TCP rests: as long as a half-open pin counts. A SYN on any other pin is decided anew.
pub(super) const TCP_RESTS: Duration = Duration::from_secs(60);

/// How long a port of UDP rests: longer than a pin of UDP lives unless configured, and than the sweeps after.
pub(super) const UDP_RESTS: Duration = Duration::from_secs(240);

/// The ports that are in use or rest.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// None: in use. Else when the rest is over.
    taken: HashMap<u16, Option<Instant>>,
}

impl Ports {
    /// Takes a port at random; none if all are taken.
    pub(super) fn take(&mut self, now: Instant) -> Option<u16> {
        let size = RANGE.end - RANGE.start;
        let first = (random() % u64::from(size)) as u16;
        let mut candidates = (0..size).map(|step| {
            let offset = (u32::from(first) + u32::from(step)) % u32::from(size);
            RANGE.start + offset as u16
        });
        let port = candidates.find(|port| match self.taken.get(port) {
            None => true,
            Some(rests) => rests.is_some_and(|until| until <= now),
        })?;
        self.taken.insert(port, None);
        Some(port)
    }

    /// Gives a port back, to rest.
    pub(super) fn give_back(&mut self, port: u16, now: Instant, rests: Duration) {
        self.taken.insert(port, Some(now + rests));
    }
}

/// A number that nobody can foresee: the keys of a new hasher are the system's randomness.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Ports of which all but `free` are in use.
    fn all_but(free: &[u16]) -> Ports {
        Ports { taken: RANGE.filter(|port| !free.contains(port)).map(|port| (port, None)).collect() }
    }

    #[test]
    fn each_port_is_given_out_once_and_then_none() {
        let free = [32_768, 40_000, 60_999];
        let (mut ports, now) = (all_but(&free), Instant::now());
        let given: HashSet<u16> = std::iter::from_fn(|| ports.take(now)).collect();
        assert_eq!(given, HashSet::from(free));
        assert_eq!(ports.take(now + UDP_RESTS), None, "ports in use do not come back by themselves");
    }

    #[test]
    fn a_port_rests_before_it_is_used_again() {
        let (mut ports, now) = (all_but(&[]), Instant::now());
        ports.give_back(40_000, now, TCP_RESTS);
        assert_eq!(ports.take(now), None);
        assert_eq!(ports.take(now + TCP_RESTS - Duration::from_millis(1)), None);
        assert_eq!(ports.take(now + TCP_RESTS), Some(40_000));
    }

    #[test]
    fn ports_do_not_follow_each_other() {
        let firsts: HashSet<_> = (0..16).map(|_| Ports::default().take(Instant::now())).collect();
        assert!(firsts.len() > 8, "{firsts:?}");
    }
}
