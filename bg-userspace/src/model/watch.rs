//! A switch that is being watched: for its bake time, until it is confirmed, or while a drill holds it. If
//! the new side fails, the old one comes back, unless that one is no better.

use super::Moment;
use super::change::{Go, Why};
use super::deployment::{Deployment, Step};
use super::event::{Agreement, Effect, Phase};
use super::order::{Actor, Force};
use super::record::{Cause, WatchMemory, What};
use bg_common::Colour;
use std::time::Duration;

/// Hooks are asked so often while a switch is watched.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// A watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    pub(super) cause: Cause,
    pub(super) to: Colour,
    since: Moment,
    pub(super) bake_until: Option<Moment>,
    pub(super) confirm_until: Option<Moment>,
    /// The failure for which there was nowhere to go back to.
    stuck: bool,
    asked: Moment,
    asking: Option<u64>,
}

impl Watch {
    pub(super) fn new(
        cause: Cause,
        to: Colour,
        since: Moment,
        bake: Option<Duration>,
        confirm_until: Option<Moment>,
    ) -> Self {
        let bake_until = bake.map(|bake| Moment(since.0 + bake));
        Self { cause, to, since, bake_until, confirm_until, stuck: false, asked: since, asking: None }
    }

    pub(super) fn memory(&self) -> WatchMemory {
        let Self { cause, to, since, bake_until, confirm_until, .. } = self.clone();
        WatchMemory { cause, from: to.other(), since, bake_until, confirm_until }
    }

    pub(super) fn remembered(memory: &WatchMemory) -> Self {
        let WatchMemory { cause, from, since, bake_until, confirm_until } = memory.clone();
        Self { bake_until, confirm_until, ..Self::new(cause, from.other(), since, None, None) }
    }

    /// Until it is over.
    pub(super) fn left(&self, now: Moment) -> Duration {
        [self.bake_until, self.confirm_until]
            .into_iter()
            .flatten()
            .max()
            .map_or(Duration::ZERO, |it| it.since(now))
    }

    pub(super) fn timer(&self) -> Option<Moment> {
        // The deadline of the confirmation is the word's.
        [self.bake_until, Some(Moment(self.asked.0 + ASK_EVERY)).filter(|_| self.asking.is_none())]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Deployment {
    /// Looks at the switch that is being watched, after anything that could matter.
    pub(super) fn look(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let Some(watch) = self.watch.clone().filter(|_| self.change.is_none()) else {
            return self.fail_over(step);
        };
        if let Some(why) = self.failing(watch.to, now) {
            return self.go_back(step, why);
        }
        if let Some(watch) = &mut self.watch {
            watch.stuck = false;
        }
        if watch.bake_until.is_some_and(|until| now >= until) {
            let seconds = now.since(watch.since).as_secs();
            if let Some(watch) = &mut self.watch {
                watch.bake_until = None;
            }
            self.watch = self.watch.take().filter(|watch| watch.confirm_until.is_some());
            return self.note(step, What::Baked { seconds });
        }
        if self.policy.watching_hooks && watch.asking.is_none() && now.since(watch.asked) >= ASK_EVERY {
            let token = step.token();
            let what = What::About {
                cause: watch.cause,
                from: watch.to.other(),
                to: watch.to,
                expected: self.word.bits(),
                new: self.word.bits(),
                overridden: Vec::new(),
            };
            let record = self.record(step.now, &Actor::default(), None, what);
            if let Some(watch) = &mut self.watch {
                (watch.asked, watch.asking) = (now, Some(token));
            }
            step.effects.push(Effect::Ask {
                deployment: self.name.clone(),
                token,
                phase: Phase::Watch,
                record,
            });
        } else if !self.policy.watching_hooks
            && let Some(watch) = &mut self.watch
        {
            // Nobody to ask: the timer shall not come for it at once again.
            watch.asked = now;
        }
    }

    /// Hooks have answered while a switch is watched.
    pub(super) fn watched(&mut self, step: &mut Step<'_>, token: u64, agreements: &[Agreement]) {
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.asking == Some(token)) else { return };
        watch.asking = None;
        if let Some(against) = agreements.iter().find(|it| !it.ok)
            && self.change.is_none()
        {
            self.go_back(step, format!("hook {} disagrees: {}", against.hook, against.output.trim()));
        }
    }

    /// What speaks against the side that is live and watched.
    fn failing(&self, live: Colour, now: Moment) -> Option<String> {
        if self.health.slice(live) == Some(false) {
            let why = self.health.why(&self.policy, &self.overrides, live, now);
            return Some(format!("{} is not healthy: {why}", self.named(live)));
        }
        if let (Some(false), why) = self.health.vip(&self.policy) {
            return Some(why.unwrap_or_else(|| "probes through the VIP fail".to_owned()));
        }
        let complaint = self.health.complaint(&self.policy, live, now)?;
        Some(format!("real flows speak against {}: {complaint}", self.named(live)))
    }

    /// Takes the switch that is being watched back.
    fn go_back(&mut self, step: &mut Step<'_>, why: String) {
        let Some(watch) = &mut self.watch else { return };
        let (cause, back, stuck) = (watch.cause, watch.to.other(), watch.stuck);
        if cause == Cause::Drill {
            return self.drill_failed(step, why);
        }
        let now = step.now.moment;
        if self.health.slice(back) == Some(false) {
            if let Some(watch) = self.watch.as_mut().filter(|_| !stuck) {
                watch.stuck = true;
                let no_better = self.health.why(&self.policy, &self.overrides, back, now);
                let why = format!("{why}; and {} is no better: {no_better}", self.named(back));
                self.note(step, What::NotSwitched { cause: Cause::AutoRollback, to: back, why });
            }
            return;
        }
        let go = self.by_itself(Cause::AutoRollback, back, now);
        self.go(step, Why::Bgd(why), go);
    }

    /// The standby takes over when the live slice fails, where that is wanted.
    fn fail_over(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let live = self.live(now);
        let standby = live.other();
        let wanted = self.policy.no_backend == super::policy::NoBackend::FailOver
            && self.is_idle()
            && self.watch.is_none()
            && self.frozen.is_none()
            && self.health.slice(live) == Some(false)
            && self.health.slice(standby) == Some(true)
            && self.role(standby, now) == super::record::Role::Standby
            && self.word.unpack().is_ok();
        if wanted {
            let why = self.health.why(&self.policy, &self.overrides, live, now);
            let why = format!("{} is not healthy ({why}), and {} is", self.named(live), self.named(standby));
            let go = self.by_itself(Cause::FailOver, standby, now);
            self.go(step, Why::Bgd(why), go);
        }
    }

    /// A change of who is live that nobody ordered.
    pub(super) fn by_itself(&self, cause: Cause, to: Colour, now: Moment) -> Go {
        Go {
            cause,
            to,
            fate: self.policy.fate,
            confirm: None,
            bake: None,
            named: true,
            plan: None,
            force: Force::Nothing,
            agreed: false,
            overridden: Vec::new(),
            began: now,
        }
    }
}
