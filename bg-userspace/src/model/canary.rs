//! The canary: a share of new flows goes to the colour that is not live. It lasts until it is ended, a switch of any
//! kind ends it, or the side that it leads to fails.

use super::Moment;
use super::change::{Make, Why};
use super::deployment::{Deployment, Step, tick};
use super::gates::{overridden, refusal};
use super::order::Force;
use super::orders::Said;
use super::policy::Finding;
use super::record::What;
use bg_common::{Colour, Word};

/// A share that is to be set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Canary {
    /// In 1/1000.
    pub(super) share: u16,
    /// Gates that were overridden for it.
    pub(super) overridden: Vec<String>,
}

/// A share in 1/1000, for people.
#[must_use]
pub fn percent(share: u16) -> String {
    match (share / 10, share % 10) {
        (whole, 0) => format!("{whole} %"),
        (whole, tenth) => format!("{whole}.{tenth} %"),
    }
}

impl Deployment {
    /// The share of new flows that go to the colour that is not live, in 1/1000.
    pub(super) fn canary(&self, now: Moment) -> u16 {
        self.word.effective(tick(now)).canary()
    }

    pub(super) fn order_canary(&mut self, step: &mut Step<'_>, said: Said, share: u16, force: Force) {
        if let Some(refusal) = self.bad_input(&force, &[]) {
            return self.refuse(step, &said, "canary", refusal);
        }
        if share > Word::ALL {
            let what = format!("{share} per mille are more than all flows");
            let mend = format!(
                "choose up to 1000 per mille, or 100%; to lead all flows there: bgctl switch {}",
                self.name
            );
            return self.no(step, &said, "canary", ("bad-share", what, mend));
        }
        let now = step.now.moment;
        let was = self.canary(now);
        if share == was && self.change.is_none() {
            if self.settle_drift(now) {
                // Whoever orders what somebody else has done takes it as it is.
                let (colour, overridden) = (self.live(now).other(), Vec::new());
                let what = What::Canary { colour, share, was, overridden };
                self.tell(step, &said.actor, said.reason.as_deref(), what);
            }
            let what = match share {
                0 => "there is no canary".to_owned(),
                _ => format!(
                    "{} of new flows go to {} already",
                    percent(share),
                    self.named(self.live(now).other())
                ),
            };
            return self.answer_changed(step, said.id, what);
        }
        // Whoever wants less of it is not kept from that.
        let gates = if share > was { self.canary_gates(now, step.journal) } else { Vec::new() };
        if let Some(refusal) = refusal(&gates, &force, &self.place()) {
            return self.refuse(step, &said, "canary", refusal);
        }
        let overridden = overridden(&gates, &force);
        self.order_alter(step, said, Make::Canary(Canary { share, overridden }));
    }

    /// The share was set.
    pub(super) fn canary_set(
        &mut self,
        step: &mut Step<'_>,
        why: Why,
        canary: Canary,
        (expected, new): (Word, Word),
    ) {
        let Canary { share, overridden } = canary;
        let (colour, was) = (new.live().other(), expected.canary());
        let by_itself = matches!(why, Why::Bgd(_));
        self.canary_forced = share > 0
            && (self.canary_forced && was > 0
                || overridden.iter().any(|gate| gate == "health" || gate == "passive"));
        if was == 0 {
            self.health.restart_passive(colour);
        }
        let what = match share {
            0 => format!("the canary is over: all new flows go to {}", self.named(new.live())),
            _ => format!("{} of new flows go to {}", percent(share), self.named(colour)),
        };
        if let Why::Bgd(why) = &why {
            self.freeze(step, why);
        } else {
            self.settle_drift(step.now.moment);
        }
        self.changed(step, why, What::Canary { colour, share, was, overridden }, what);
        if by_itself {
            self.tell_frozen(step);
        }
    }

    /// An order about the canary settles what somebody else has made of the word, but for who is live; whether
    /// there was anything.
    fn settle_drift(&mut self, now: Moment) -> bool {
        let ordered = self.last.as_ref().is_none_or(|(last, _)| last.to == self.live(now));
        let same = |(seen, actual, _): &mut (Word, Word, u64)| seen.live() == actual.live();
        ordered && self.drifted.take_if(same).is_some()
    }

    /// Ends a canary whose side fails, unless the live one is no better; whether it has begun to.
    pub(super) fn end_failing_canary(&mut self, step: &mut Step<'_>) -> bool {
        let now = step.now.moment;
        if self.word.canary() == 0 || self.canary_forced {
            return false;
        }
        let live = self.live(now);
        let Some(why) = self.unfit_to_take_over(live.other(), now) else { return false };
        if self.unfit_to_take_over(live, now).is_some() {
            return false;
        }
        let why = format!("the canary was ended: {why}");
        self.alter(step, Why::Bgd(why), Make::Canary(Canary::default()));
        true
    }

    /// Whether an answer through the VIP was the canary's, which tells nothing about the live colour.
    pub(super) fn is_canarys(&self, finding: &Finding, live: Colour) -> bool {
        let (Finding::Good { answered } | Finding::Bad { answered, .. }) = finding;
        self.word.canary() > 0 && *answered == Some(live.other())
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_are_read_as_percent() {
        let rows = [(0, "0 %"), (5, "0.5 %"), (50, "5 %"), (125, "12.5 %"), (1000, "100 %")];
        for (share, text) in rows {
            assert_eq!(percent(share), text);
        }
    }
}
