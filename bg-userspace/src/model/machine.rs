//! The state machine of all deployments: an event and the time go in, effects come out.
//!
//! The kernel's word is the truth about who is live. Intent is what the configuration names; the
//! record of what was ordered belongs to a journal, which will hear of each [`Record`].

use super::Moment;
use super::deployment::{Cause, Change, Deployment, Next};
use super::event::{Effect, Event, Outcome, Record};
use super::order::{Done, Order, OrderId, Proof, Switched};
use crate::refusal::Refusal;
use bg_common::Word;
use std::collections::BTreeMap;
use std::time::Duration;

/// All deployments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Machine {
    deployments: BTreeMap<String, Deployment>,
}

impl Machine {
    /// Takes notice of `event`. What comes out is to be done in its order.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Words(words) => self.words(words, now, &mut effects),
            Event::Order { id, order } => self.order(id, order, &mut effects),
            Event::Exchanged { deployment, outcome } => {
                self.exchanged(&deployment, outcome, now, &mut effects)
            }
            Event::Swept { began, open } => {
                for (name, open) in open {
                    let Some(deployment) = self.deployments.get_mut(&name) else { continue };
                    let next = deployment.swept(&name, open, began, now);
                    push(&name, next, &mut effects);
                }
            }
        }
        effects
    }

    /// Every deployment, in the order of the names.
    pub fn deployments(&self) -> impl Iterator<Item = (&str, &Deployment)> {
        self.deployments.iter().map(|(name, deployment)| (name.as_str(), deployment))
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

    fn words(&mut self, words: Vec<(String, Word)>, now: Moment, effects: &mut Vec<Effect>) {
        let mut before = std::mem::take(&mut self.deployments);
        for (name, word) in words {
            let deployment = match before.remove(&name) {
                None => Deployment::new(word, now),
                // How the exchange ended will tell what the word is.
                Some(known) if known.change().is_some() => known,
                Some(mut known) => {
                    adopt(&name, &mut known, word, now, effects);
                    known
                }
            };
            self.deployments.insert(name, deployment);
        }
        for (name, mut gone) in before {
            let under_way = gone.end_change().and_then(|change| match change.cause {
                Cause::Order { id, .. } => Some(id),
                Cause::Drained => None,
            });
            let waiting = std::iter::from_fn(|| gone.next_waiting().map(|(id, _)| id));
            for id in under_way.into_iter().chain(waiting) {
                effects.push(Effect::Answer { id, answer: Box::new(Err(self.no_such(&name))) });
            }
        }
    }

    fn order(&mut self, id: OrderId, order: Order, effects: &mut Vec<Effect>) {
        let name = match self.resolve(order.deployment.as_deref()) {
            Ok(name) => name,
            Err(refusal) => return effects.push(Effect::Answer { id, answer: Box::new(Err(refusal)) }),
        };
        let Some(deployment) = self.deployments.get_mut(&name) else { return };
        if deployment.change().is_some() {
            return deployment.wait(id, order);
        }
        let next = deployment.begin(&name, id, &order);
        push(&name, next, effects);
    }

    fn exchanged(&mut self, name: &str, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        let Some(deployment) = self.deployments.get_mut(name) else { return };
        let Some(change) = deployment.end_change() else { return };
        match outcome {
            Outcome::Done { took } => {
                let staying = deployment.staying(change.new.live());
                deployment.follow(change.new, now);
                done(name, change, took, staying, effects);
            }
            Outcome::Lost { actual } => {
                adopt(name, deployment, actual, now, effects);
                let next = deployment.retry(name, change, actual.live());
                push(name, next, effects);
            }
            Outcome::Failed(refusal) => {
                if let Cause::Order { id, .. } = change.cause {
                    effects.push(Effect::Answer { id, answer: Box::new(Err(refusal)) });
                }
            }
        }
        while deployment.change().is_none() {
            let Some((id, order)) = deployment.next_waiting() else { break };
            let next = deployment.begin(name, id, &order);
            push(name, next, effects);
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

/// Follows a word that somebody else may have written.
fn adopt(name: &str, deployment: &mut Deployment, actual: Word, now: Moment, effects: &mut Vec<Effect>) {
    let seen = deployment.word();
    if actual != seen {
        effects.push(Effect::Record(Record::Drift { deployment: name.to_owned(), seen, actual }));
    }
    deployment.follow(actual, now);
}

fn push(name: &str, next: Next, effects: &mut Vec<Effect>) {
    match next {
        Next::Exchange(Change { expected, new, .. }) => {
            effects.push(Effect::Exchange { deployment: name.to_owned(), expected, new });
        }
        Next::Answer(id, answer) => effects.push(Effect::Answer { id, answer: Box::new(answer) }),
        Next::Rest => {}
    }
}

fn done(name: &str, change: Change, took: Duration, staying: Option<u64>, effects: &mut Vec<Effect>) {
    let Change { cause, expected, new, .. } = change;
    let (deployment, generation) = (name.to_owned(), new.generation());
    match cause {
        Cause::Drained => {
            let colour = new.live().other();
            effects.push(Effect::Record(Record::Drained { deployment, colour, generation }));
        }
        Cause::Order { id, to, .. } => {
            let from = expected.live();
            let switched = Switched {
                deployment,
                from,
                to,
                from_version: None,
                to_version: None,
                generation,
                took_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
                already: false,
                staying,
                confirm_within_s: None,
                bake_s: None,
                proof: Proof::default(),
            };
            effects.push(Effect::Record(Record::Switched(switched.clone())));
            effects.push(Effect::Answer { id, answer: Box::new(Ok(Done::Switched(switched))) });
        }
    }
}
