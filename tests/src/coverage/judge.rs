//! What holds of every frame, whoever has decided on it and why.

use crate::cases::Outcome;
use crate::model::{answered, carried, verifies};
use crate::packet::difference;
use bg_common::{Reason, Verdict};

/// Whether a frame came to something that it may come to, for the reasons that were counted.
///
/// # Errors
///
/// What is not as it must be.
pub fn judge(before: &[u8], outcome: &Outcome, reasons: &[Reason]) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {outcome:?} for {reasons:?}"));
    if reasons.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
        return wrong("a reason is counted twice");
    }
    let mut last =
        reasons.iter().map(|reason| reason.verdict()).filter(|verdict| *verdict != Verdict::Forward);
    let verdict = (last.next(), last.next());
    match (outcome, verdict) {
        (Outcome::Becomes(after), (None, _)) => compare(before, carried(before, after), after),
        (Outcome::Answered(after), (Some(Verdict::Answer), None)) => compare(before, answered(before), after),
        (Outcome::Dropped, (Some(Verdict::Drop), None))
        | (Outcome::Untouched, (Some(Verdict::Pass), None)) => Ok(()),
        _ => wrong("what becomes of the frame has not one reason, and its own"),
    }
}

fn compare(before: &[u8], want: Option<Vec<u8>>, got: &[u8]) -> Result<(), String> {
    match want {
        Some(want) if verifies(before, &want, got) => Ok(()),
        Some(want) => Err(format!("something else has changed: {}", difference(&want, got))),
        None => Err("what carries no packet is changed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{flag, patched, rst, tcp};

    #[test]
    fn a_frame_that_came_to_what_it_may_not_is_told() {
        let [client, vip, backend] =
            ["192.0.2.1:4000", "198.51.100.1:80", "10.1.0.2:8080"].map(|at| at.parse().unwrap());
        let before = tcp(client, vip, flag::ACK, b"payload");
        let there = tcp(client, backend, flag::ACK, b"payload");
        let reset = rst(vip, client, None);
        let becomes = |at, byte| Outcome::Becomes(patched(there.clone(), at, &[byte]));
        for (right, outcome, reasons) in [
            (true, Outcome::Becomes(there.clone()), &[][..]),
            (true, Outcome::Becomes(there.clone()), &[Reason::Midstream]),
            (true, Outcome::Untouched, &[Reason::NotOurs]),
            (true, Outcome::Dropped, &[Reason::NoBackend]),
            (true, Outcome::Answered(reset.clone()), &[Reason::ResetByFate]),
            // A byte of the payload, the type of service, the checksums, the sequence number.
            (false, becomes(60, 0), &[]),
            (false, becomes(15, 4), &[]),
            (false, becomes(24, 0), &[]),
            (false, becomes(50, 0), &[]),
            (false, becomes(38, 0), &[]),
            (false, Outcome::Becomes([&there[..], &[0]].concat()), &[]),
            (false, Outcome::Becomes(there.clone()), &[Reason::Midstream, Reason::Midstream]),
            (false, Outcome::Becomes(there.clone()), &[Reason::NotOurs]),
            (false, Outcome::Untouched, &[]),
            (false, Outcome::Untouched, &[Reason::NoBackend]),
            (false, Outcome::Untouched, &[Reason::NotOurs, Reason::Truncated]),
            (false, Outcome::Dropped, &[]),
            (false, Outcome::Answered(patched(reset.clone(), 38, &[1])), &[Reason::ResetByFate]),
            (false, Outcome::Answered(reset.clone()), &[Reason::NoBackend]),
        ] {
            let judged = judge(&before, &outcome, reasons);
            assert_eq!(judged.is_ok(), right, "{outcome:?} {reasons:?}: {judged:?}");
        }
    }
}
