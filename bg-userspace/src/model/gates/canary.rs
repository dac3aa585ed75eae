//! What stands in the way of a canary, and the canary in the way of others.

use super::{Asked, Gate, all_the_same};
use crate::model::Moment;
use crate::model::canary::percent;
use crate::model::deployment::{Deployment, tick};
use crate::model::record::Cause;
use crate::refusal::Refusal;
use bg_common::Colour;
use bg_common::word::Fate;

impl Deployment {
    /// Every gate of a canary, in the order of asking.
    pub(in crate::model) fn canary_gates(&self, now: Moment, journal: Option<&Refusal>) -> Vec<Gate> {
        let to = self.live(now).other();
        let (cause, under_way) = (Cause::Switch, false);
        let asked = Asked { to, cause, plan: None, agreed: true, confirm: None, under_way };
        let mut gates = vec![
            self.word_gate(now),
            self.busy_gate(&asked),
            self.watch_gate(now, cause),
            self.frozen_gate(),
            self.drain_gate(now, to),
            self.health_gate(now, &asked),
            self.passive_gate(now, &asked),
            self.journal_gate(journal, cause),
        ];
        for gate in &mut gates {
            let name = &self.name;
            let ours =
                format!("to lead flows there all the same: bgctl canary {name} SHARE --force={}", gate.name);
            gate.mend = gate.mend.replace(&all_the_same(cause, name, &gate.name), &ours);
        }
        gates
    }

    /// What a canary would lead to a colour whose flows are ended would be ended as well.
    fn drain_gate(&self, now: Moment, to: Colour) -> Gate {
        let word = self.word.effective(tick(now));
        if word.draining() && (word.fate() != Fate::Keep || self.policy.leaves) {
            let what = format!("flows of {} do not stay until its drain is over", self.named(to));
            return Gate::shut("drain", false, what, format!("wait for its end: bgctl drain {}", self.name));
        }
        Gate::open("drain", format!("flows of {} stay", self.named(to)))
    }

    /// A drill would end the canary, and nobody would begin it again.
    pub(super) fn canary_gate(&self, now: Moment) -> Gate {
        match self.canary(now) {
            0 => Gate::open("canary", "no canary is under way"),
            share => {
                let what = format!("a canary leads {} of new flows there", percent(share));
                Gate::shut("canary", false, what, format!("end it first: bgctl canary {} 0", self.name))
            }
        }
    }
}
