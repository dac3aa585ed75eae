//! The state machine of all deployments: an event and the time go in, effects come out.
//!
//! Four truths are kept apart: the *kernel's* word, which is the truth about who is live; *intent*, what the
//! configuration names; *admin*, what operators ordered and the journal remembers; and what probes and real
//! flows *observe*.

use super::Moment;
use super::deployment::{Deployment, Step, names};
use super::event::{Agreement, Configured, Effect, Event, Now, Phase};
use super::health;
use super::order::{Order, OrderId};
use super::policy::{Policy, Target};
use super::record::{Memory, What};
use crate::refusal::Refusal;
use bg_common::Word;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Counters are read so often while an order waits for its proof,
const PROVING: Duration = Duration::from_millis(10);

/// while a proof is still being gathered,
const GATHERING: Duration = Duration::from_millis(250);

/// and while real flows count for or against a slice.
const WATCHING: Duration = Duration::from_secs(1);

/// All deployments.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Machine {
    deployments: BTreeMap<String, Deployment>,
    configured: BTreeMap<String, Configured>,
    memories: BTreeMap<String, Memory>,
    /// Whose tables were made, and whose words were not read since.
    made: BTreeSet<String>,
    boot: String,
    /// Why what the journal remembers is not to be relied on.
    doubt: Option<String>,
    journal: Option<Refusal>,
    tokens: u64,
}

impl Machine {
    /// Takes notice of `event`. What comes out is to be done in its order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        let named = names(&event).map(str::to_owned);
        match (event, named) {
            (Event::Remembered { boot, memories, doubt }, _) => {
                (self.boot, self.doubt) = (boot, doubt);
                for (name, memory) in memories {
                    if self.deployments.contains_key(&name) {
                        let doubt = self.doubt.clone();
                        self.with(&name, now, &mut effects, |it, step| it.remember_late(step, memory, doubt));
                    } else {
                        self.memories.insert(name, memory);
                    }
                }
            }
            (Event::JournalState(refusal), _) => self.journal = refusal,
            (Event::Configured(configured), _) => self.configure(configured, now, &mut effects),
            (Event::Made(names), _) => self.made.extend(names),
            (Event::Words(words), _) => self.words(words, now, &mut effects),
            (Event::Order { id, order }, _) => self.order(id, order, now, &mut effects),
            (Event::Counted(traffic), _) => {
                for (name, traffic) in traffic {
                    self.with(&name, now, &mut effects, |deployment, step| {
                        deployment.health.counted(&deployment.policy, &traffic, step.now.moment);
                        deployment.proof_timer(step);
                    });
                }
            }
            (Event::Swept { began, open }, _) => {
                for (name, open) in open {
                    self.with(&name, now, &mut effects, |it, step| it.swept(step, open, began));
                }
            }
            (Event::Remind, _) => {
                for name in self.deployments.keys().cloned().collect::<Vec<_>>() {
                    self.with(&name, now, &mut effects, |deployment, step| {
                        deployment.found(step, "journal-rebuilt")
                    });
                }
            }
            (Event::Timer, _) => {
                for name in self.deployments.keys().cloned().collect::<Vec<_>>() {
                    self.with(&name, now, &mut effects, |deployment, step| {
                        deployment.judge(step);
                        deployment.proof_timer(step);
                    });
                }
            }
            (event, Some(name)) => {
                self.with(&name, now, &mut effects, |deployment, step| deployment.own(step, event));
            }
            (_, None) => {}
        }
        effects
    }

    /// Every deployment, in the order of the names.
    pub fn deployments(&self) -> impl Iterator<Item = (&str, &Deployment)> {
        self.deployments.iter().map(|(name, deployment)| (name.as_str(), deployment))
    }

    /// A deployment.
    #[must_use]
    pub fn deployment(&self, name: &str) -> Option<&Deployment> {
        self.deployments.get(name)
    }

    /// What is remembered of a deployment that is not there, and will be again when it comes back.
    #[must_use]
    pub fn remembered(&self, name: &str) -> Option<&Memory> {
        self.memories.get(name)
    }

    /// The refusal for a name that no deployment has.
    #[must_use]
    pub fn unknown(&self, name: &str) -> Option<Refusal> {
        (!self.deployments.contains_key(name)).then(|| self.no_such(name))
    }

    /// Whether flows should be counted more often, because a drain waits for the last of them.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.deployments.values().any(|deployment| deployment.word().draining())
    }

    /// How often the counters should be read; none if nobody waits for them.
    #[must_use]
    pub fn counting(&self) -> Option<Duration> {
        let of = |deployment: &Deployment| match &deployment.proving {
            Some(proving) if proving.is_waited_for() => Some(PROVING),
            Some(_) => Some(GATHERING),
            None => deployment.policy.passive.map(|_| WATCHING),
        };
        self.deployments.values().filter_map(of).min()
    }

    /// When [`Event::Timer`] is due.
    #[must_use]
    pub fn next_timer(&self, now: Moment) -> Option<Moment> {
        self.deployments.values().filter_map(|deployment| deployment.next_timer(now)).min()
    }

    /// Lets `act` work on a deployment, if it is there, and goes on with what follows.
    fn with(
        &mut self,
        name: &str,
        now: Now,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Deployment, &mut Step<'_>),
    ) {
        let Self { deployments, boot, journal, tokens, .. } = self;
        if let Some(deployment) = deployments.get_mut(name) {
            let step = &mut Step { now, boot, journal: journal.as_ref(), tokens, previews: 0, effects };
            act(deployment, step);
            deployment.go_on(step);
        }
    }

    fn configure(&mut self, configured: Vec<Configured>, now: Now, effects: &mut Vec<Effect>) {
        self.configured = configured.into_iter().map(|one| (one.name.clone(), one)).collect();
        for name in self.deployments.keys().cloned().collect::<Vec<_>>() {
            let Some(Configured { policy, services, .. }) = self.configured.get(&name).cloned() else {
                continue;
            };
            self.with(&name, now, effects, |it, step| it.configure(step, policy, services));
        }
    }

    fn words(&mut self, words: Vec<(String, Word)>, now: Now, effects: &mut Vec<Effect>) {
        let mut before = std::mem::take(&mut self.deployments);
        let made = std::mem::take(&mut self.made);
        for (name, word) in words {
            if let Some(known) = before.remove(&name) {
                self.deployments.insert(name.clone(), known);
                self.with(&name, now, effects, |deployment, step| {
                    // How the exchange ended will tell what the word is.
                    if !deployment.change.as_ref().is_some_and(super::change::Change::is_exchanging) {
                        deployment.adopt(step, word);
                    }
                });
                continue;
            }
            let configured = self.configured.get(&name).cloned();
            let (policy, services) = configured.map(|it| (it.policy, it.services)).unwrap_or_default();
            let memory = self.memories.remove(&name);
            let doubt = self.doubt.clone().filter(|_| memory.is_some());
            let mut new = Deployment::new(&name, word, policy, services);
            new.configured = self.configured.contains_key(&name);
            new.follow(word, now.moment);
            new.doubt = doubt;
            let Self { boot, journal, tokens, .. } = self;
            let step = &mut Step { now, boot, journal: journal.as_ref(), tokens, previews: 0, effects };
            new.restore(step, memory, made.contains(&name));
            new.go_on(step);
            self.deployments.insert(name, new);
        }
        for (name, mut gone) in before {
            let refusal = self.no_such(&name);
            let Self { boot, journal, tokens, .. } = self;
            let step = &mut Step { now, boot, journal: journal.as_ref(), tokens, previews: 0, effects };
            gone.leave(step, refusal);
            // It may come back, as it may after a restart.
            let memory = gone.memory(boot);
            self.memories.insert(name, memory);
        }
    }

    fn order(&mut self, id: OrderId, order: Order, now: Now, effects: &mut Vec<Effect>) {
        match self.resolve(order.deployment.as_deref()) {
            Ok(name) => {
                let previews = self.deployments.values().map(Deployment::preview_entries).sum();
                self.with(&name, now, effects, |deployment, step| {
                    step.previews = previews;
                    deployment.order(step, id, order);
                });
            }
            Err(refusal) => effects.push(Effect::Answer { id, answer: Box::new(Err(refusal)) }),
        }
    }

    /// The name of the deployment that is meant: the only one, if none is named.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or several and none is named.
    pub fn resolve(&self, name: Option<&str>) -> Result<String, Refusal> {
        if let Some(name) = name {
            return self.unknown(name).map_or_else(|| Ok(name.to_owned()), Err);
        }
        let mut names = self.deployments.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(Refusal::new(
                "no-deployment",
                "there is no deployment",
                "the tables of this instance",
                "add a [deployment.NAME] to the configuration, then: systemctl reload bgd",
            )),
            (Some(_), Some(_)) => Err(Refusal::new(
                "which-deployment",
                "there are several deployments, and none was named",
                format!("deployments: {}", self.names()),
                "name one of them, as in: bgctl switch NAME",
            )),
        }
    }

    fn no_such(&self, name: &str) -> Refusal {
        let near = self.deployments.keys().min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let near = near.filter(|known| strsim::damerau_levenshtein(known, name) <= 2);
        let mend = match near {
            _ if name.parse::<bg_common::Colour>().is_ok() => format!("to name a colour: --to {name}"),
            Some(near) => format!("did you mean {near}?"),
            None => "name one of these, or see `bgctl status`".to_owned(),
        };
        let at = format!("deployments: {}", self.names());
        Refusal::new("unknown-deployment", format!("there is no deployment {name:?}"), at, mend)
    }

    /// The names for a message; a long list is cut.
    fn names(&self) -> String {
        const SHOWN: usize = 20;
        let shown: Vec<_> = self.deployments.keys().take(SHOWN).map(String::as_str).collect();
        match self.deployments.len().saturating_sub(SHOWN) {
            0 if shown.is_empty() => "none".to_owned(),
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }
}

impl Deployment {
    /// An event that names this deployment.
    fn own(&mut self, step: &mut Step<'_>, event: Event) {
        match event {
            Event::Exchanged { outcome, .. } => self.exchanged(step, outcome),
            Event::Journalled { token, result, .. } => {
                self.settle(step);
                self.journalled(step, token, result);
            }
            Event::Asked { token, agreements, .. } => {
                self.settle(step);
                self.answered(step, token, agreements);
            }
            Event::Probed { probe, target, began, own, finding, .. } => {
                let now = step.now.moment;
                self.health.made(own, began, now);
                // Asked before the last switch, so that it tells nothing about who answers the VIP after it.
                if target == Target::Vip && self.is_stale(began) {
                    return;
                }
                let live = self.live(now);
                if target == Target::Vip && self.is_canarys(&finding, live) {
                    return;
                }
                let changes = self.health.probed(&self.policy, (&probe, target), &finding, live, now);
                self.judge_with(step, changes);
                self.proof_timer(step);
            }
            Event::Noted { what, .. } => self.note(step, what),
            Event::Remembered { .. }
            | Event::Configured(_)
            | Event::Made(_)
            | Event::Words(_)
            | Event::Order { .. }
            | Event::JournalState(_)
            | Event::Counted(_)
            | Event::Swept { .. }
            | Event::Remind
            | Event::Timer => {}
        }
    }

    /// Hooks have answered.
    fn answered(&mut self, step: &mut Step<'_>, token: u64, agreements: Vec<Agreement>) {
        let Some(phase) = self.has_asked(token) else { return };
        for Agreement { hook, ok, output, took } in agreements.clone() {
            // Hooks that agree again and again while a switch is watched are no news.
            let phase = match phase {
                Phase::Before => "before",
                Phase::Watch if ok => continue,
                Phase::Watch => "watch",
            };
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.note(step, What::Hook { hook, phase: phase.to_owned(), ok, output, millis });
        }
        match phase {
            Phase::Before => self.agreed(step, token, &agreements),
            Phase::Watch => self.watched(token, &agreements),
        }
    }

    /// It is to be treated in another way from here on.
    fn configure(&mut self, step: &mut Step<'_>, policy: Policy, services: Vec<String>) {
        let rescheduled = self.policy.drill != policy.drill;
        self.health.configure(&policy);
        self.configured = true;
        self.overrides.retain(|one| {
            let slice = policy.slices.get(one.colour.index());
            one.backend.is_none_or(|address| slice.is_some_and(|known| known.contains(&address)))
        });
        (self.policy, self.services) = (policy, services);
        self.configure_previews(step);
        if rescheduled {
            self.schedule_drill(step);
        }
        self.judge(step);
    }

    /// It is no longer there; whoever waits for it is told.
    fn leave(&mut self, step: &mut Step<'_>, refusal: Refusal) {
        for (id, _) in std::mem::take(&mut self.queued) {
            step.answer(id, Err(refusal.clone()));
        }
        self.watch = None;
        self.abort_drill(step, refusal.what.clone());
        self.give_up(step, refusal);
        self.conclude(step);
    }

    /// Judges the slices anew and tells what has changed.
    pub(super) fn judge(&mut self, step: &mut Step<'_>) {
        self.judge_with(step, Vec::new());
    }

    /// Tells which backends get no new flows, if that has changed.
    pub(super) fn serve(&mut self, step: &mut Step<'_>) {
        // Before a configuration tells what there is, nothing is known of rings.
        if self.configured
            && let Some(down) = self.health.serve(&self.policy, &self.services, &self.overrides)
        {
            step.effects.push(Effect::Serve { deployment: self.name.clone(), down });
        }
    }

    fn judge_with(&mut self, step: &mut Step<'_>, mut changes: Vec<health::Change>) {
        changes.extend(self.health.judge(&self.policy, &self.overrides, step.now.moment));
        self.serve(step);
        for change in changes {
            let what = match change {
                health::Change::Target { probe, target, up, why } => What::Probe { probe, target, up, why },
                health::Change::Slice { colour, healthy, why } => What::Slice { colour, healthy, why },
            };
            self.note(step, what);
        }
    }
}

#[cfg(test)]
mod tests;
