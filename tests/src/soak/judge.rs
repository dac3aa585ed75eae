//! Which new flows reached a colour that was not live.

use crate::traffic::{Connection, Kind};
use bg_common::Colour;
use std::collections::HashSet;

/// A change of who is live, with moments of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flip {
    pub(super) to: Colour,
    /// Before it was ordered.
    pub(super) ordered: u64,
    /// When the answer was there.
    pub(super) answered: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Judgement {
    /// Flows that began between the answer to a flip and the order of the next.
    pub(super) judged: u64,
    /// Those that did not reach who was live.
    pub(super) wrong: Vec<Connection>,
}

/// Judges connections that were answered; flips are in the order of their times.
pub(super) fn judge(connections: &[Connection], flips: &[Flip]) -> Judgement {
    let mut judgement = Judgement::default();
    let mut ports = HashSet::new();
    for connection in connections {
        // A datagram from a port that was in use a while ago belongs to the flow that it had then.
        if connection.kind == Kind::Datagram && !ports.insert(connection.port) {
            continue;
        }
        let next = flips.partition_point(|flip| flip.answered < connection.called);
        let Some(last) = next.checked_sub(1).and_then(|last| flips.get(last)) else { continue };
        if flips.get(next).is_some_and(|flip| flip.ordered <= connection.connected) {
            continue;
        }
        judgement.judged += 1;
        if connection.stamp.colour != last.to {
            judgement.wrong.push(*connection);
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::Stamp;
    use Colour::{Blue, Green};

    #[test]
    fn only_flows_between_two_flips_are_judged_and_by_the_first() {
        let flips =
            [Flip { to: Green, ordered: 100, answered: 110 }, Flip { to: Blue, ordered: 200, answered: 210 }];
        let flow = |called, connected, colour| Connection {
            kind: Kind::Short,
            stamp: Stamp { colour, machine: 1 },
            port: 1,
            called,
            connected,
        };
        for (flow, judged, wrong) in [
            (flow(50, 60, Green), 0, 0),
            (flow(105, 115, Blue), 0, 0),
            (flow(111, 190, Green), 1, 0),
            (flow(111, 190, Blue), 1, 1),
            (flow(190, 205, Green), 0, 0),
            (flow(205, 220, Green), 0, 0),
            (flow(211, 220, Green), 1, 1),
            (flow(211, 220, Blue), 1, 0),
        ] {
            let judgement = judge(&[flow], &flips);
            assert_eq!((judgement.judged, judgement.wrong.len()), (judged, wrong), "{flow:?}");
        }
    }

    #[test]
    fn a_datagram_from_a_port_that_was_used_before_is_not_new() {
        let flips = [Flip { to: Green, ordered: 100, answered: 110 }];
        let stamp = Stamp { colour: Green, machine: 1 };
        let first = Connection { kind: Kind::Datagram, stamp, port: 7, called: 120, connected: 130 };
        let again = Connection { stamp: Stamp { colour: Blue, ..stamp }, ..first };
        assert_eq!(judge(&[first, again], &flips).judged, 1);
        assert_eq!(judge(&[Connection { kind: Kind::Short, ..first }, again], &flips).wrong.len(), 1);
    }
}
