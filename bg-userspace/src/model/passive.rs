//! What real flows say of a slice: the data plane's counters over a sliding window.

use super::Moment;
use super::event::OwnFlows;
use super::plan::PassiveVerdict;
use super::policy::Passive;
use bg_common::Traffic;
use std::collections::VecDeque;

/// Readings that are remembered of one slice.
const READINGS: usize = 256;

/// Questions of bg's own that are remembered of one slice.
const OWN: usize = 1024;

/// A handshake may be so young that its answer is not due: the newest second is not judged.
const DUE: std::time::Duration = std::time::Duration::from_secs(1);

/// Readings of one slice's counters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    readings: VecDeque<(Moment, Reading)>,
    own: VecDeque<Own>,
}

/// A question of bg's own, through the VIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Own {
    began: Moment,
    ended: Moment,
    flows: OwnFlows,
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
    /// bg itself has made flows: they speak neither for nor against the slice.
    pub(super) fn made(&mut self, flows: OwnFlows, began: Moment, ended: Moment) {
        if flows != OwnFlows::default() {
            self.own.push_back(Own { began, ended, flows });
            if self.own.len() > OWN {
                self.own.pop_front();
            }
        }
    }

    /// Whether a flow of this moment may have been bg's own.
    pub(super) fn is_own(&self, at: Moment) -> bool {
        self.own.iter().any(|own| own.began <= at && at <= own.ended)
    }

    /// What bg itself has made after one moment and until another.
    fn own_between(&self, after: Moment, until: Moment) -> OwnFlows {
        let mut sum = OwnFlows::default();
        for own in self.own.iter().filter(|own| own.began > after && own.began <= until) {
            let OwnFlows { flows, handshakes, answered, refused } = own.flows;
            sum.flows += flows;
            sum.handshakes += handshakes;
            sum.answered += answered;
            sum.refused += refused;
        }
        sum
    }

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
        let (begin, first) = self.readings.front()?;
        let (end, last) = self.readings.back()?;
        let own = self.own_between(*begin, *end);
        // What is missing is counted from an earlier reading than what came, so that each had time to come;
        // what came is a share of all that was offered by then.
        let due = self.readings.iter().rev().find(|(at, _)| now.since(*at) >= DUE);
        let (due_at, due) = due.map_or((begin, first), |(at, it)| (at, it));
        let own_due = self.own_between(*begin, *due_at);
        let since = |last: u64, first: u64, own: u64| last.saturating_sub(first).saturating_sub(own);
        let due = since(due.handshakes, first.handshakes, own_due.handshakes);
        let handshakes = since(last.handshakes, first.handshakes, own.handshakes);
        let answered = since(last.answered, first.answered, own.answered);
        let refused = since(last.refused, first.refused, own.refused);
        let resets = since(last.resets, first.resets, own.refused).saturating_sub(refused);
        let unanswered = due.saturating_sub(answered).saturating_sub(refused);
        let flows = since(last.flows, first.flows, own.flows);
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
    fn what_bg_asks_itself_speaks_for_nobody() {
        let mut window = Window::default();
        let mut traffic = Traffic::default();
        let own = OwnFlows { flows: 1, handshakes: 1, answered: 1, refused: 0 };
        for second in 0..30 {
            // Ten probes that are answered, and two clients that are not.
            traffic.handshakes += 12;
            traffic.flows += 12;
            traffic.handshakes_answered += 10;
            window.read(&traffic, LIMITS.window, at(second));
            (0..10).for_each(|_| window.made(own, at(second), at(second)));
        }
        let verdict = window.verdict(&LIMITS, at(30)).unwrap();
        assert!(verdict.handshakes <= 24 && verdict.answered == 0, "{verdict:?}");
        assert_eq!(verdict.good, Some(false));
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
