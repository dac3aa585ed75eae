//! Lets the model handle events, and does what follows.

use super::Engine;
use super::log::log;
use super::surroundings::Roles;
use crate::dataplane::Exchange;
use crate::model::{self, Effect, Outcome};
use crate::refusal::Refusal;
use std::collections::VecDeque;

impl Engine {
    pub(super) fn reread(&mut self) -> Result<(), Refusal> {
        let words = self.dataplane.words()?;
        self.feed(model::Event::Words(words));
        Ok(())
    }

    /// Lets the model handle `event`, and does what follows.
    pub(super) fn feed(&mut self, event: model::Event) {
        let mut effects: VecDeque<_> = self.machine.handle(event, self.now()).into();
        let mut recorded = false;
        while let Some(effect) = effects.pop_front() {
            recorded |= matches!(effect, Effect::Record { .. });
            if let Some(event) = self.execute(effect) {
                effects.extend(self.machine.handle(event, self.now()));
            }
        }
        // Nothing about a slice changes without a record.
        if recorded {
            self.tell_roles();
        }
    }

    /// Does one thing; what the model has to hear of it at once.
    fn execute(&mut self, effect: Effect) -> Option<model::Event> {
        match effect {
            Effect::Exchange { deployment, expected, new } => {
                crate::fail_point!("before-exchange");
                let at = self.now().moment;
                let outcome = match self.dataplane.exchange(&deployment, expected, new) {
                    Ok(Exchange::Done { took }) => Outcome::Done { at, took },
                    Ok(Exchange::Lost { actual }) => Outcome::Lost { actual },
                    Err(refusal) => Outcome::Failed(refusal),
                };
                crate::fail_point!("after-exchange");
                return Some(model::Event::Exchanged { deployment, outcome });
            }
            Effect::Answer { id, answer } => {
                crate::fail_point!("before-answer");
                if let Some(reply) = self.replies.remove(&id) {
                    let _ = reply.send(*answer);
                }
            }
            Effect::Record { record, memory } => {
                log(&record);
                crate::fail_point!("before-record");
                self.surroundings.record(&record, &memory, None);
            }
            Effect::Journal { deployment: _, token, record, memory } => {
                log(&record);
                crate::fail_point!("before-journal");
                self.surroundings.record(&record, &memory, Some(token));
                crate::fail_point!("after-journal");
            }
            Effect::Ask { deployment, token, phase, record } => {
                self.surroundings.ask(&deployment, token, phase, &record);
            }
            Effect::ProbeNow { deployment } => self.surroundings.probe_now(&deployment),
            Effect::CountNow => self.read_counters(),
            Effect::Preview { deployment, rules } => {
                self.previews.insert(deployment, rules);
                self.serve();
            }
            Effect::Serve { deployment, down } => {
                self.down.insert(deployment, down);
                self.serve();
            }
        }
        None
    }

    /// Tells who is live where that has changed.
    fn tell_roles(&mut self) {
        let now = self.now().moment;
        for (name, deployment) in self.machine.deployments() {
            let word = deployment.word();
            let roles = Roles {
                live: deployment.live(now),
                generation: word.generation(),
                draining: word.draining(),
                slices: deployment.identities(now),
            };
            if self.roles.get(name) != Some(&roles) {
                self.surroundings.roles(name, Some(roles.clone()));
                self.roles.insert(name.to_owned(), roles);
            }
        }
        let Self { machine, surroundings, roles, .. } = self;
        roles.retain(|name, _| {
            let stays = machine.deployment(name).is_some();
            if !stays {
                surroundings.roles(name, None);
            }
            stays
        });
    }
}
