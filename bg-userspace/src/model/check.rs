//! One probe and one target: up or down by rise and fall, and whether it flaps.

use super::Moment;
use super::policy::{Flap, ProbePolicy};
use std::collections::VecDeque;

/// Changes that are remembered, whatever a configuration asks for.
const REMEMBERED: usize = 1000;

/// What the answers of a probe have made of a target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Check {
    up: Option<bool>,
    since: Option<Moment>,
    last_good: Option<bool>,
    in_row: u32,
    why: Option<String>,
    /// When answers changed between good and bad.
    changes: VecDeque<Moment>,
}

impl Check {
    /// A target that was down when the daemon was stopped.
    #[must_use]
    pub(super) fn remembered_down() -> Self {
        Self { up: Some(false), ..Self::default() }
    }

    /// Up or down; none before enough answers.
    #[must_use]
    pub(super) const fn up(&self) -> Option<bool> {
        self.up
    }

    /// Whether that is what its answers say, and not only what was remembered of it.
    #[must_use]
    pub(super) const fn was_asked(&self) -> bool {
        self.last_good.is_some()
    }

    /// When that became so.
    #[must_use]
    pub(super) const fn since(&self) -> Option<Moment> {
        self.since
    }

    /// What was wrong with the last answer; none if it was good.
    #[must_use]
    pub(super) fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Whether the last answer was good, if there was one.
    #[must_use]
    pub(super) const fn last(&self) -> Option<bool> {
        self.last_good
    }

    /// Takes an answer; `why` is what was wrong with it. Whether the verdict has changed.
    pub(super) fn answer(&mut self, why: Option<String>, policy: &ProbePolicy, now: Moment) -> bool {
        let good = why.is_none();
        if self.last_good == Some(good) {
            self.in_row = self.in_row.saturating_add(1);
        } else {
            if self.last_good.is_some() {
                self.changes.push_back(now);
                if self.changes.len() > REMEMBERED {
                    self.changes.pop_front();
                }
            }
            self.in_row = 1;
        }
        self.last_good = Some(good);
        self.why = why;
        let wanted = if good { policy.rise } else { policy.fall };
        if self.in_row >= wanted && self.up != Some(good) {
            self.up = Some(good);
            self.since = Some(now);
            return true;
        }
        false
    }

    /// Whether its answers change too often.
    #[must_use]
    pub(super) fn flaps(&self, flap: Flap, now: Moment) -> bool {
        let recent = self.changes.iter().rev().take_while(|at| now.since(**at) < flap.within).count();
        recent >= flap.changes as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::Level;
    use super::*;
    use std::time::Duration;

    fn policy(rise: u32, fall: u32) -> ProbePolicy {
        ProbePolicy {
            name: "web".to_owned(),
            service: None,
            level: Level::Backend,
            rise,
            fall,
            start_up: false,
            vip: false,
        }
    }

    /// `+` is a good answer and `-` a bad one; the verdict after each.
    fn verdicts(answers: &str, rise: u32, fall: u32) -> String {
        let mut check = Check::default();
        let mut verdict = |(second, answer): (u64, char)| {
            let why = (answer == '-').then(|| "refused".to_owned());
            check.answer(why, &policy(rise, fall), Moment(Duration::from_secs(second)));
            match check.up() {
                None => '?',
                Some(true) => 'u',
                Some(false) => 'd',
            }
        };
        (0..).zip(answers.chars()).map(&mut verdict).collect()
    }

    #[test]
    fn a_target_rises_and_falls_by_answers_in_a_row() {
        for (answers, rise, fall, expected) in [
            ("++", 2, 3, "?u"),
            ("+-++", 2, 3, "???u"),
            ("---", 2, 3, "??d"),
            ("++--+---", 2, 3, "?uuuuuud"),
            ("+-+-+-+-", 2, 2, "????????"),
            ("-+", 1, 1, "du"),
        ] {
            assert_eq!(verdicts(answers, rise, fall), expected, "{answers}");
        }
    }

    #[test]
    fn a_target_that_never_falls_may_still_flap() {
        let flap = Flap { changes: 6, within: Duration::from_secs(10) };
        let mut check = Check::default();
        let mut flapped = Vec::new();
        for second in 0..8 {
            let now = Moment(Duration::from_secs(second));
            check.answer((second % 2 == 1).then(|| "status 500".to_owned()), &policy(2, 3), now);
            flapped.push(check.flaps(flap, now));
        }
        assert_eq!(flapped, [false, false, false, false, false, false, true, true]);
        assert!(!check.flaps(flap, Moment(Duration::from_secs(30))), "it is forgiven after a while");
    }
}
