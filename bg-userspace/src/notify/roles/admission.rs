//! Who may talk to the role endpoint, and how many at a time. Nobody can take so many connections that
//! others are kept out.

use super::States;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections at a time.
const ALL: usize = 64;

/// Of these, to one machine; and to all that are no machines of a slice together.
const EACH: usize = 16;

/// Connections beyond these bounds that are told so at a time; one more is closed at once.
const BUSY: usize = 32;

/// The places.
#[derive(Debug, Default)]
pub(super) struct Admission {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By machine; none: no machine of a slice.
    places: HashMap<Option<IpAddr>, usize>,
    busy: usize,
}

/// A place, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    whose: Whose,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Served(Option<IpAddr>),
    Busy,
}

impl Admission {
    /// A place for a connection of `peer`; none if it is to be closed.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, states: &States) -> Option<Place> {
        let machine = states.iter().any(|state| state.addresses.contains(&peer)).then_some(peer);
        let mut taken = self.lock();
        let all: usize = taken.places.values().sum();
        let its = taken.places.entry(machine).or_default();
        let whose = if all < ALL && *its < EACH {
            *its += 1;
            Whose::Served(machine)
        } else if taken.busy < BUSY {
            taken.busy += 1;
            Whose::Busy
        } else {
            return None;
        };
        drop(taken);
        Some(Place { admission: Arc::clone(self), whose })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether it is only to be told that there is no place.
    pub(super) fn is_busy(&self) -> bool {
        self.whose == Whose::Busy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.lock();
        match self.whose {
            Whose::Busy => taken.busy = taken.busy.saturating_sub(1),
            Whose::Served(machine) => {
                if let Some(its) = taken.places.get_mut(&machine) {
                    *its = its.saturating_sub(1);
                }
                taken.places.retain(|_, its| *its > 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::samples;

    #[test]
    fn nobody_can_keep_others_out() {
        let address = |last: u8| IpAddr::from([10, 1, 0, last]);
        let machines: Vec<IpAddr> = (1..=5).map(address).collect();
        let states: States = vec![samples::role(&machines)].into();
        let admission = Arc::new(Admission::default());
        let enter = |peer| admission.enter(peer, &states);
        let served = |peer, tries| {
            let places: Vec<Place> =
                (0..tries).filter_map(|_| enter(peer)).filter(|place| !place.is_busy()).collect();
            places
        };

        let one = served(address(1), 200);
        assert_eq!(one.len(), EACH, "a machine has its share");
        let strangers: Vec<Place> = (100..200).flat_map(|last| served(address(last), 5)).collect();
        assert_eq!(strangers.len(), EACH, "strangers share one");
        let second = served(address(2), 200);
        assert_eq!(second.len(), EACH, "the next machine has its own");
        let third = served(address(3), 200);
        assert_eq!(third.len() + second.len() + one.len() + strangers.len(), ALL);
        let told: Vec<Option<Place>> = (0..2 * BUSY).map(|_| enter(address(4))).collect();
        assert_eq!(told.iter().flatten().filter(|place| place.is_busy()).count(), BUSY);

        drop((one, strangers, second, third, told));
        assert_eq!(served(address(5), 1).len(), 1);
        assert!(admission.lock().places.is_empty() && admission.lock().busy == 0);
    }
}
