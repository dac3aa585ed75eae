//! A switch that is being watched: for its bake time, until it is confirmed, or while a drill holds it. If
//! the new side fails, the old one comes back, unless that one is no better.

use super::Moment;
use super::change::{Go, Why};
use super::deployment::{Deployment, Step};
use super::event::{Agreement, Effect, Phase};
use super::order::{Actor, Force};
use super::policy::NoBackend;
use super::record::{Cause, WatchMemory, What};
use bg_common::Colour;
use std::time::Duration;

/// Hooks are asked so often while a switch is watched.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Hooks that have not answered after so long are asked again: whoever asks them may be gone.
const ASK_AGAIN: Duration = Duration::from_secs(900);

/// Hooks that disagree so often in a row are believed.
const DISAGREEMENTS: u8 = 2;

/// After a restart a switch is watched for at least so long: nobody has looked meanwhile.
const AT_LEAST: Duration = Duration::from_secs(30);

/// A watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    pub(super) cause: Cause,
    pub(super) to: Colour,
    since: Moment,
    pub(super) bake_until: Option<Moment>,
    pub(super) confirm_until: Option<Moment>,
    /// It was told that there is nowhere to go back to, since the new side began to fail.
    stuck: bool,
    asked: Moment,
    asking: Option<u64>,
    /// How often in a row hooks have disagreed.
    disagreed: u8,
    /// What they have against the new side.
    against: Option<String>,
    /// Nobody was reached through the VIP before the switch either.
    pub(super) vip_was_bad: bool,
}

impl Watch {
    pub(super) fn new(
        cause: Cause,
        to: Colour,
        since: Moment,
        bake: Option<Duration>,
        confirm_until: Option<Moment>,
    ) -> Self {
        let bake_until = bake.map(|bake| since.after(bake));
        Self {
            cause,
            to,
            since,
            bake_until,
            confirm_until,
            stuck: false,
            asked: since,
            asking: None,
            disagreed: 0,
            against: None,
            vip_was_bad: false,
        }
    }

    pub(super) fn memory(&self) -> WatchMemory {
        let Self { cause, to, since, bake_until, confirm_until, .. } = self.clone();
        WatchMemory { cause, from: to.other(), since, bake_until, confirm_until }
    }

    /// A watch that is taken up again.
    pub(super) fn remembered(memory: &WatchMemory, now: Moment) -> Self {
        let WatchMemory { cause, from, since, bake_until, confirm_until } = memory.clone();
        let least = |until: Moment| until.max(now.after(AT_LEAST.min(until.since(since))));
        let bake_until = bake_until.map(least);
        Self { bake_until, asked: now, ..Self::new(cause, from.other(), since, None, confirm_until) }
    }

    /// Whether there still is something that it waits for.
    pub(super) fn is_waiting(&self) -> bool {
        self.bake_until.is_some() || self.confirm_until.is_some() || self.cause == Cause::Drill
    }

    /// Until it is over.
    pub(super) fn left(&self, now: Moment) -> Duration {
        [self.bake_until, self.confirm_until]
            .into_iter()
            .flatten()
            .max()
            .map_or(Duration::ZERO, |it| it.since(now))
    }

    /// When it is to be looked at; the deadline of a confirmation is the word's. `hooks` tells whether there
    /// are hooks to ask.
    pub(super) fn timer(&self, hooks: bool) -> Option<Moment> {
        [self.bake_until, hooks.then(|| self.asks_at())].into_iter().flatten().min()
    }

    /// When hooks are to be asked again.
    fn asks_at(&self) -> Moment {
        self.asked.after(if self.asking.is_some() { ASK_AGAIN } else { ASK_EVERY })
    }
}

impl Deployment {
    /// Looks at the switch that is being watched, after anything that could matter.
    pub(super) fn look(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let ready = self.is_ready(now);
        if !ready && !self.is_ready_to_overtake(now) {
            return;
        }
        if ready && self.end_failing_canary(step) {
            return;
        }
        if self.watch.is_none() {
            return self.fail_over(step);
        }
        let Some(watch) = self.looked_at().cloned() else { return };
        let failing = self.failing(&watch, now);
        match &failing {
            Some(why) => {
                self.go_back(step, why);
                if !self.is_ready(now) || self.watch.is_none() {
                    return;
                }
            }
            None => {
                if let Some(watch) = &mut self.watch {
                    watch.stuck = false;
                }
            }
        }
        if !ready {
            return;
        }
        if watch.bake_until.is_some_and(|until| now >= until) {
            self.baked(step, failing);
        } else if self.policy.watching_hooks && now >= watch.asks_at() {
            self.ask_watching_hooks(step);
        }
    }

    /// The watch, unless it only marks a drill that is on its way home.
    pub(super) fn looked_at(&self) -> Option<&Watch> {
        self.watch.as_ref().filter(|watch| watch.cause != Cause::Drill || self.drill_holds())
    }

    /// The bake time is over.
    fn baked(&mut self, step: &mut Step<'_>, failing: Option<String>) {
        let Some(watch) = &mut self.watch else { return };
        watch.bake_until = None;
        let (back, seconds) = (watch.to.other(), step.now.moment.since(watch.since).as_secs());
        self.watch = self.watch.take().filter(Watch::is_waiting);
        let what = match failing {
            None => What::Baked { seconds },
            Some(why) => {
                let why =
                    format!("the bake time of {seconds} s has ended, with {why}, and nowhere to go back to");
                What::NotSwitched { cause: Cause::AutoRollback, to: back, why }
            }
        };
        self.note(step, what);
    }

    fn ask_watching_hooks(&mut self, step: &mut Step<'_>) {
        let token = step.token();
        let Some(watch) = &mut self.watch else { return };
        (watch.asked, watch.asking) = (step.now.moment, Some(token));
        let word = self.word.bits();
        let what = What::About {
            cause: watch.cause,
            from: watch.to.other(),
            to: watch.to,
            expected: word,
            new: word,
            overridden: Vec::new(),
        };
        let record = self.record(step.now, &Actor::default(), None, what);
        let (deployment, phase) = (self.name.clone(), Phase::Watch);
        step.effects.push(Effect::Ask { deployment, token, phase, record });
    }

    /// Hooks have answered while a switch is watched.
    pub(super) fn watched(&mut self, token: u64, agreements: &[Agreement]) {
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.asking == Some(token)) else { return };
        watch.asking = None;
        // Once may be the hook's own trouble.
        let against = agreements.iter().find(|it| !it.ok);
        watch.disagreed = if against.is_some() { watch.disagreed.saturating_add(1) } else { 0 };
        watch.against = against
            .filter(|_| watch.disagreed >= DISAGREEMENTS)
            .map(|it| format!("hook {} disagrees: {}", it.hook, it.output.trim()));
    }

    /// Whether these are hooks that were asked, and before a change or during a watch.
    pub(super) fn has_asked(&self, token: u64) -> Option<Phase> {
        let before = self.change.as_ref().is_some_and(|change| change.is_asking(token));
        let watch = self.watch.as_ref().is_some_and(|watch| watch.asking == Some(token));
        before.then_some(Phase::Before).or(watch.then_some(Phase::Watch))
    }

    /// What speaks against the side that is watched.
    fn failing(&self, watch: &Watch, now: Moment) -> Option<String> {
        let live = watch.to;
        if self.health.slice(live) == Some(false) {
            let why = self.health.why(&self.policy, &self.overrides, live, now);
            return Some(format!("{} is not healthy: {why}", self.named(live)));
        }
        // Where nobody was reached before the switch either, going back would mend nothing.
        if let Some(complaint) = self.health.vip_complaint(&self.policy).filter(|_| !watch.vip_was_bad) {
            return Some(complaint);
        }
        let complaint = self.health.complaint(&self.policy, live, now);
        let complaint = complaint.map(|it| format!("real flows speak against {}: {it}", self.named(live)));
        complaint.or_else(|| watch.against.clone())
    }

    /// What is known to speak against leading flows to a side without being asked to.
    pub(super) fn unfit_to_take_over(&self, colour: Colour, now: Moment) -> Option<String> {
        // After a restart what was known before counts until probes know better.
        if self.health.slice(colour).or(self.health.remembered(colour)) == Some(false) {
            let why = self.health.why(&self.policy, &self.overrides, colour, now);
            return Some(format!("{} is not healthy: {why}", self.named(colour)));
        }
        let complaint = self.health.complaint(&self.policy, colour, now)?;
        Some(format!("real flows speak against {}: {complaint}", self.named(colour)))
    }

    /// Takes the switch that is being watched back.
    fn go_back(&mut self, step: &mut Step<'_>, why: &str) {
        let Some(watch) = &self.watch else { return };
        let (cause, back, stuck) = (watch.cause, watch.to.other(), watch.stuck);
        if cause == Cause::Drill {
            return self.drill_failed(step, why.to_owned());
        }
        let now = step.now.moment;
        if let Some(no_better) = self.unfit_to_take_over(back, now) {
            if let Some(watch) = self.watch.as_mut().filter(|_| !stuck) {
                watch.stuck = true;
                let why = format!("{why}; and it cannot be taken back: {no_better}");
                self.note(step, What::NotSwitched { cause: Cause::AutoRollback, to: back, why });
            }
            return;
        }
        let go = self.by_itself(Cause::AutoRollback, back, now);
        self.make_way(step, &format!("an automatic rollback to {}: {why}", self.named(back)));
        self.go(step, Why::Bgd(why.to_owned()), go);
    }

    /// The standby takes over when the live slice fails, where that is wanted.
    fn fail_over(&mut self, step: &mut Step<'_>) {
        let now = step.now.moment;
        let live = self.live(now);
        let standby = live.other();
        if self.drill.as_ref().is_none_or(|_| self.is_ready_to_overtake(now)) && self.wants_fail_over(now) {
            let why = self.health.why(&self.policy, &self.overrides, live, now);
            let why = format!("{} is not healthy ({why}), and {} is", self.named(live), self.named(standby));
            let go = self.by_itself(Cause::FailOver, standby, now);
            self.make_way(step, &format!("a fail-over: {why}"));
            self.go(step, Why::Bgd(why), go);
        }
    }

    /// Whether live has failed and the standby is to take over.
    pub(super) fn wants_fail_over(&self, now: Moment) -> bool {
        let live = self.live(now);
        let standby = live.other();
        self.policy.no_backend == NoBackend::FailOver
            && self.watch.is_none()
            && self.frozen.is_none()
            && self.health.slice(live) == Some(false)
            && self.health.slice(standby) == Some(true)
            && self.unfit_to_take_over(standby, now).is_none()
            && self.is_to_be_gone_back_to(standby)
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
