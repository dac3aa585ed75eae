//! What real flows say of a slice: the data plane's counters over a sliding window.

use super::Moment;
use super::plan::PassiveVerdict;
use super::policy::Passive;
use bg_common::Traffic;
use std::collections::VecDeque;

/// Readings that are remembered of one slice.
const READINGS: usize = 256;

/// A handshake may be so young that its answer is not due: the newest second is not judged.
const DUE: std::time::Duration = std::time::Duration::from_secs(1);

/// Readings of one slice's counters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    readings: VecDeque<(Moment, Reading)>,
}

/// The counters that matter here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Reading {
    handshakes: u64,
    answered: u64,
    refused: u64,
    resets: u64,
    flows: u64,
}

impl From<&Traffic> for Reading {
    fn from(traffic: &Traffic) -> Self {
        Self {
            handshakes: traffic.handshakes,
            answered: traffic.handshakes_answered,
            refused: traffic.refused,
            resets: traffic.resets,
            flows: traffic.flows,
        }
    }
}

impl Window {
    /// Takes a reading.
    pub(super) fn read(&mut self, traffic: &Traffic, window: std::time::Duration, now: Moment) {
        let reading = Reading::from(traffic);
        if self.readings.back().is_some_and(|(_, last)| reading.flows < last.flows) {
            // The tables were made anew.
            self.readings.clear();
        }
        self.readings.push_back((now, reading));
        // One reading from before the window stays: what came since is counted from there.
        while self.readings.len() > 2
            && (self.readings.len() > READINGS
                || self.readings.get(1).is_some_and(|(at, _)| now.since(*at) >= window))
        {
            self.readings.pop_front();
        }
    }

    /// What came before does not count any more: another version serves.
    pub(super) fn restart(&mut self) {
        let last = self.readings.pop_back();
        self.readings.clear();
        self.readings.extend(last);
    }

    /// Counts over the window, and what they say.
    #[must_use]
    pub(super) fn verdict(&self, limits: &Passive, now: Moment) -> Option<PassiveVerdict> {
        let (_, first) = self.readings.front()?;
        let (_, last) = self.readings.back()?;
        // What is missing is counted from an earlier reading than what came, so that each had time to come;
        // what came is a share of all that was offered by then.
        let due =
            self.readings.iter().rev().find(|(at, _)| now.since(*at) >= DUE).map_or(first, |(_, it)| it);
        let due = due.handshakes.saturating_sub(first.handshakes);
        let handshakes = last.handshakes.saturating_sub(first.handshakes);
        let answered = last.answered.saturating_sub(first.answered);
        let refused = last.refused.saturating_sub(first.refused);
        let resets = last.resets.saturating_sub(first.resets).saturating_sub(refused);
        let unanswered = due.saturating_sub(answered).saturating_sub(refused);
        let flows = last.flows.saturating_sub(first.flows);
        let within = |part: u64, percent: u8, whole: u64| {
            part.saturating_mul(100) <= whole.saturating_mul(percent.into())
        };
        let good = (due >= limits.least.max(1)).then(|| {
            within(unanswered, limits.unanswered, due)
                && within(refused, limits.refused, handshakes)
                && within(resets, limits.resets, handshakes)
        });
        Some(PassiveVerdict { handshakes, answered, refused, resets, flows, good })
    }
}

/// A verdict that speaks against a slice, in words.
#[must_use]
pub(super) fn complaint(verdict: &PassiveVerdict) -> String {
    let PassiveVerdict { handshakes, answered, refused, resets, .. } = verdict;
    format!(
        "of {handshakes} handshakes of real clients {answered} were answered, {refused} refused, {resets} reset later"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Passive =
        Passive { window: Duration::from_secs(10), least: 10, unanswered: 20, refused: 20, resets: 50 };

    fn at(second: u64) -> Moment {
        Moment(Duration::from_secs(second))
    }

    /// What readings a second apart say of a slice: handshakes, those answered, refused, and resets.
    fn verdict(rows: &[[u64; 4]]) -> PassiveVerdict {
        let mut window = Window::default();
        let mut second = 0;
        for [handshakes, handshakes_answered, refused, resets] in rows.iter().copied() {
            let traffic = Traffic {
                handshakes,
                handshakes_answered,
                refused,
                resets,
                flows: handshakes,
                ..Traffic::default()
            };
            window.read(&traffic, LIMITS.window, at(second));
            second += 1;
        }
        window.verdict(&LIMITS, at(second)).unwrap()
    }

    #[test]
    fn shares_of_handshakes_speak_for_or_against_a_slice() {
        for (name, rows, good) in [
            ("too few", &[[0, 0, 0, 0], [9, 0, 9, 9]][..], None),
            ("all answered", &[[0, 0, 0, 0], [100, 100, 0, 0]], Some(true)),
            ("nobody answers", &[[0, 0, 0, 0], [50, 0, 0, 0]], Some(false)),
            ("most are refused", &[[0, 0, 0, 0], [50, 10, 40, 40]], Some(false)),
            ("a few are refused", &[[0, 0, 0, 0], [50, 45, 5, 5]], Some(true)),
            ("most are reset later", &[[0, 0, 0, 0], [50, 50, 0, 30]], Some(false)),
            (
                "what came before the first reading does not count",
                &[[500, 0, 500, 500], [600, 100, 500, 500]],
                Some(true),
            ),
        ] {
            assert_eq!(verdict(rows).good, good, "{name}");
        }
    }

    #[test]
    fn traffic_that_grows_is_not_judged_by_less_than_has_come() {
        let mut window = Window::default();
        let mut traffic = Traffic::default();
        // A tenth is refused, at once, and each quarter of a second brings twice as many clients.
        for quarter in 0..12 {
            let now = Moment(Duration::from_millis(quarter * 250));
            traffic.handshakes += 10 << quarter;
            traffic.flows += 10 << quarter;
            traffic.refused += 1 << quarter;
            traffic.handshakes_answered += 9 << quarter;
            window.read(&traffic, LIMITS.window, now);
            assert_ne!(window.verdict(&LIMITS, now).unwrap().good, Some(false), "quarter {quarter}");
        }
    }

    #[test]
    fn old_readings_leave_the_window() {
        let mut window = Window::default();
        let mut traffic = Traffic::default();
        for second in 0..40 {
            traffic.handshakes += 10;
            traffic.flows += 10;
            if second >= 15 {
                traffic.handshakes_answered += 10;
            }
            window.read(&traffic, LIMITS.window, at(second));
            let good = window.verdict(&LIMITS, at(second)).unwrap().good;
            let expected = match second {
                0..=1 => None,
                2..=24 => Some(false),
                _ => Some(true),
            };
            if !(15..=24).contains(&second) {
                assert_eq!(good, expected, "second {second}");
            }
        }
    }
}
