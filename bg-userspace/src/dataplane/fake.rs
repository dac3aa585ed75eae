//! A data plane in memory, for tests of everything above it. Clones share their state, so a test
//! keeps one to look inside and to play the part of the kernel and of other writers.

use super::{
    Applied, AttachPlan, Attachment, Counters, Dataplane, DeploymentSpec, Detached, Exchange, FlowRow,
    FlowState, Hook, Lifetimes, Observer, Sweep,
};
use crate::refusal::Refusal;
use bg_common::{Colour, Reason, Traffic, Word};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The data plane.
#[derive(Clone, Debug, Default)]
pub struct Fake(Arc<Mutex<State>>);

/// What it holds.
#[derive(Debug, Default)]
pub struct State {
    /// The words.
    pub words: BTreeMap<String, Word>,
    /// What was applied last.
    pub deployments: Vec<DeploymentSpec>,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// The pins.
    pub flows: Vec<FlowRow>,
    /// How often each reason applied.
    pub reasons: Vec<(Reason, u64)>,
    /// Sweeps so far.
    pub sweeps: u64,
    /// How long a sweep takes.
    pub sweep_takes: Duration,
    /// Sweeps that were settled.
    pub settled: u64,
    /// Whether everything was taken down.
    pub detached: bool,
    /// What `attach` refuses, if anything.
    pub refuse_attach: Option<Refusal>,
}

impl Fake {
    /// Looks inside.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One with these words.
    pub fn with_words(words: &[(&str, Word)]) -> Self {
        let fake = Self::default();
        fake.state().words = words.iter().map(|(name, word)| ((*name).to_owned(), *word)).collect();
        fake
    }
}

impl Dataplane for Fake {
    fn apply(&mut self, want: &[DeploymentSpec]) -> Result<Applied, Refusal> {
        let mut state = self.state();
        let mut applied = Applied::default();
        for spec in want {
            if !state.words.contains_key(&spec.name) {
                state.words.insert(spec.name.clone(), spec.initial);
                applied.created.push(spec.name.clone());
            }
        }
        let gone: Vec<_> =
            state.words.keys().filter(|name| want.iter().all(|spec| spec.name != **name)).cloned().collect();
        for name in &gone {
            state.words.remove(name);
        }
        applied.removed = gone;
        applied.writes = usize::from(state.deployments != want);
        state.deployments = want.to_vec();
        Ok(applied)
    }

    fn words(&self) -> Result<Vec<(String, Word)>, Refusal> {
        Ok(self.state().words.clone().into_iter().collect())
    }

    fn exchange(&self, deployment: &str, expected: Word, new: Word) -> Result<Exchange, Refusal> {
        let mut state = self.state();
        let Some(word) = state.words.get_mut(deployment) else {
            return Err(Refusal::new("unknown-deployment", "no such deployment", deployment, "bgctl status"));
        };
        if *word != expected {
            return Ok(Exchange::Lost { actual: *word });
        }
        *word = new;
        Ok(Exchange::Done { took: Duration::from_nanos(3) })
    }

    fn attach(&mut self, plan: &AttachPlan) -> Result<Vec<Attachment>, Refusal> {
        let mut state = self.state();
        if let Some(refusal) = state.refuse_attach.take() {
            return Err(refusal);
        }
        let attachment = |link: &super::AttachSpec| Attachment {
            interface: link.name.clone(),
            ifindex: link.ifindex,
            program: "bg_tc_ingress".to_owned(),
            hook: if link.hook == Hook::Tc { "tcx-ingress" } else { "xdp" }.to_owned(),
        };
        state.attachments = plan.links.iter().map(attachment).collect();
        Ok(state.attachments.clone())
    }

    fn attachments(&self) -> Result<Vec<Attachment>, Refusal> {
        Ok(self.state().attachments.clone())
    }

    fn observer(&self) -> Result<Box<dyn Observer>, Refusal> {
        Ok(Box::new(self.clone()))
    }

    fn settle(&mut self, _: &Sweep) -> Result<(), Refusal> {
        self.state().settled += 1;
        Ok(())
    }

    fn detach(&mut self) -> Result<Detached, Refusal> {
        let mut state = self.state();
        state.detached = true;
        state.words.clear();
        Ok(Detached { attachments: std::mem::take(&mut state.attachments), pins: 3 })
    }
}

impl Observer for Fake {
    fn flows(&mut self) -> Result<Vec<FlowRow>, Refusal> {
        Ok(self.state().flows.clone())
    }

    fn counters(&mut self) -> Result<Counters, Refusal> {
        let state = self.state();
        let traffic = Traffic { packets_in: 10, bytes_in: 1000, flows: 2, ..Traffic::default() };
        let traffic = state.words.keys().map(|name| (name.clone(), [traffic, Traffic::default()])).collect();
        Ok(Counters { traffic, reasons: state.reasons.clone() })
    }

    fn sweep(&mut self, _: &Lifetimes) -> Result<Sweep, Refusal> {
        let (takes, open, oldest, pins) = {
            let mut state = self.state();
            state.sweeps += 1;
            let count = |name: &String, colour| {
                let open = |flow: &&FlowRow| flow.deployment == *name && flow.colour == colour;
                let count =
                    state.flows.iter().filter(open).filter(|flow| flow.state != FlowState::Closed).count();
                u64::try_from(count).unwrap_or(u64::MAX)
            };
            let open =
                state.words.keys().map(|name| (name.clone(), Colour::BOTH.map(|colour| count(name, colour))));
            let oldest = |name: &String, colour| {
                let open = state.flows.iter().filter(|flow| {
                    flow.deployment == *name && flow.colour == colour && flow.state != FlowState::Closed
                });
                open.map(|flow| flow.age).max().unwrap_or_default()
            };
            let ages = state
                .words
                .keys()
                .map(|name| (name.clone(), Colour::BOTH.map(|colour| oldest(name, colour))));
            (state.sweep_takes, open.collect(), ages.collect(), state.flows.len())
        };
        std::thread::sleep(takes);
        let pins = u64::try_from(pins).unwrap_or(u64::MAX);
        Ok(Sweep { open, oldest, pins, took: takes, ..Sweep::default() })
    }
}
