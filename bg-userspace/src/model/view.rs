//! How a deployment stands, for those who ask: everything at once, as values.

use super::change::deadline;
use super::deployment::Deployment;
use super::event::Down;
use super::made::fate_name;
use super::order::Switched;
use super::plan::{PassiveVerdict, ProbeVerdict};
use super::record::{Freeze, Override, RollbackTarget, SliceIdentity};
use super::{Moment, event::Open};
use crate::prefix::Prefix;
use bg_common::{Aim, Colour, Word};
use std::time::Duration;

/// How a deployment stands.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// The word as it is in the kernel.
    pub word: Word,
    /// Who gets new flows.
    pub live: Colour,
    /// Open flows at the last count.
    pub open: Option<Open>,
    /// Role, version and health of `[blue, green]`.
    pub slices: [SliceIdentity; 2],
    /// Why each is healthy, or not.
    pub why: [String; 2],
    /// Whether one can go back, and where to.
    pub rollback: RollbackView,
    /// Why switches are refused.
    pub frozen: Option<Freeze>,
    /// Until new flows are let in again.
    pub paused_for: Option<Duration>,
    /// Until the bake time ends.
    pub bake_left: Option<Duration>,
    /// Until the switch goes back unless it is confirmed.
    pub confirm_left: Option<Duration>,
    /// The drain.
    pub drain: Option<DrainView>,
    /// The last change of who is live, and the Unix time of it.
    pub last: Option<(Switched, u64)>,
    /// What somebody else made of the word since the last order: as seen, as it was then, and the Unix time of it.
    pub drifted: Option<(Word, Word, u64)>,
    /// Probes through the VIP: good or bad, and what is wrong.
    pub vip: (Option<bool>, Option<String>),
    /// What is under way, in words.
    pub under_way: Option<String>,
    /// Why roles and versions are not to be relied on, if they are not.
    pub doubt: Option<String>,
    /// Until the next scheduled drill.
    pub drill_in: Option<Duration>,
    /// Backends without new flows.
    pub down: Vec<Down>,
    /// What operators have put up or down.
    pub overrides: Vec<Override>,
    /// The share of new flows that go to the other colour, in 1/1000.
    pub canary: u16,
    /// Which clients are led elsewhere than to the live colour, in the order of their networks, and whether the
    /// configuration says so.
    pub previews: Vec<(Prefix, Aim, bool)>,
}

/// Whether one can go back.
#[derive(Clone, PartialEq, Debug)]
pub struct RollbackView {
    /// Where to, if there is such a side.
    pub target: Option<RollbackTarget>,
    /// Why not, and what to do instead.
    pub blocked: Option<(String, String)>,
    /// Until when it is promised, as Unix time in seconds; none: until something is staged over it.
    pub until: Option<u64>,
}

/// A drain.
#[derive(Clone, PartialEq, Debug)]
pub struct DrainView {
    /// Of which colour.
    pub colour: Colour,
    /// Flows that are open.
    pub open: Option<u64>,
    /// Age of the oldest.
    pub oldest: Option<Duration>,
    /// Since when.
    pub since: Duration,
    /// Until the flows that are left get their fate.
    pub left: Option<Duration>,
    /// Which fate they have.
    pub fate: &'static str,
    /// Which they get at the deadline.
    pub fate_then: Option<&'static str>,
}

/// What speaks for and against the slices of a deployment.
#[derive(Clone, PartialEq, Debug)]
pub struct HealthView {
    /// The deployment.
    pub name: String,
    /// Role, version and verdict of `[blue, green]`.
    pub slices: [SliceIdentity; 2],
    /// Why.
    pub why: [String; 2],
    /// Each probe and target.
    pub probes: Vec<ProbeVerdict>,
    /// Real flows of `[blue, green]`.
    pub passive: [Option<PassiveVerdict>; 2],
    /// What operators have put up or down.
    pub overrides: Vec<Override>,
}

impl Deployment {
    /// How it stands.
    #[must_use]
    pub fn view(&self, now: Moment) -> View {
        let live = self.live(now);
        let old = live.other();
        let fields = self.word.unpack().ok();
        let left = |moment: Option<Moment>| moment.map(|it| it.since(now));
        let resumes = fields.is_some_and(|it| it.resume_at_deadline);
        let reverts = fields.is_some_and(|it| it.revert_at_deadline) && self.drill.is_none();
        let draining = self.word.effective(super::deployment::tick(now)).draining();
        let drain = self.drain.filter(|_| draining).map(|drain| DrainView {
            colour: old,
            open: self.staying(old),
            oldest: self.oldest(old),
            since: now.since(drain.since),
            left: left(drain.timer(self.word)),
            fate: fate_name(self.word.fate()),
            fate_then: self.policy.drain_limit.map(|limit| fate_name(limit.fate)),
        });
        View {
            name: self.name.clone(),
            word: self.word,
            live,
            open: self.open,
            slices: self.identities(now),
            why: Colour::BOTH.map(|colour| self.health.why(&self.policy, &self.overrides, colour, now)),
            rollback: self.rollback_view(now),
            frozen: self.frozen.clone(),
            paused_for: left(deadline(self.word).filter(|_| resumes && self.word.is_paused())),
            bake_left: self.watch.as_ref().and_then(|watch| left(watch.bake_until)),
            confirm_left: left(deadline(self.word).filter(|_| reverts)),
            drain,
            last: self.last.clone(),
            drifted: self.drifted,
            vip: self.health.vip(&self.policy),
            under_way: self.under_way(),
            doubt: self.doubt.clone(),
            drill_in: left(self.drill_due),
            down: self.health.down().to_vec(),
            overrides: self.overrides.clone(),
            canary: self.canary(now),
            previews: self.all_previews(),
        }
    }

    fn under_way(&self) -> Option<String> {
        match (&self.drill, &self.change) {
            (Some(_), _) => Some("a drill".to_owned()),
            (None, Some(change)) => Some(format!("a change to {}", change.new.live())),
            (None, None) => None,
        }
    }

    /// Whether one can go back, and until when.
    fn rollback_view(&self, now: Moment) -> RollbackView {
        let blocked = self.rollback_blocked(now).or_else(|| {
            let target = self.live(now).other();
            (self.health.slice(target) == Some(false)).then(|| {
                let why = self.health.why(&self.policy, &self.overrides, target, now);
                let what = format!("{} is not healthy: {why}", self.named(target));
                (
                    what,
                    format!(
                        "bgctl health {0}; to go back all the same: bgctl rollback {0} --force=health",
                        self.name
                    ),
                )
            })
        });
        let target = self.rollback.clone().filter(|target| self.holds(target));
        let until =
            target.as_ref().zip(self.policy.standby_for).map(|(target, time)| target.since + time.as_secs());
        RollbackView { target, blocked, until }
    }

    /// What speaks for and against its slices.
    #[must_use]
    pub fn health_view(&self, now: Moment) -> HealthView {
        HealthView {
            name: self.name.clone(),
            slices: self.identities(now),
            why: Colour::BOTH.map(|colour| self.health.why(&self.policy, &self.overrides, colour, now)),
            probes: self.health.verdicts(&self.policy, &self.overrides, now),
            passive: Colour::BOTH.map(|colour| self.health.passive(&self.policy, colour, now)),
            overrides: self.overrides.clone(),
        }
    }
}
