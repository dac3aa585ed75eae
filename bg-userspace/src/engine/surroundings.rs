//! What the engine causes outside the data plane: the journal, those who follow events, hooks and probes.
//! Nothing here may block: what takes time comes back as an [`Event`](super::Event).

use super::event::{Event, Reporter};
use crate::model::event::Phase;
use crate::model::record::{Memory, Record};
use bg_common::Colour;

/// The world around the engine.
pub trait Surroundings: Send {
    /// Writes a record to the journal and tells it to whoever follows. With a token, the engine hears of
    /// [`Event::Journalled`](super::Event::Journalled) once the record is durable or cannot be written.
    fn record(&mut self, record: &Record, memory: &Memory, token: Option<u64>);

    /// Asks the hooks of a phase; the engine hears of [`Event::Asked`](super::Event::Asked).
    fn ask(&mut self, deployment: &str, token: u64, phase: Phase, record: &Record);

    /// Asks all probes of a deployment at once, besides their schedule.
    fn probe_now(&mut self, deployment: &str);

    /// Who is live, for those that want to know their role; called after each change, and after each start. None:
    /// the deployment is gone.
    fn roles(&mut self, deployment: &str, roles: Option<Roles>);
}

/// Who is what in a deployment.
#[derive(Clone, PartialEq, Debug)]
pub struct Roles {
    /// Who gets new flows.
    pub live: Colour,
    /// Of the word.
    pub generation: u16,
    /// Whether flows of the other colour may still exist.
    pub draining: bool,
    /// Of `[blue, green]`.
    pub slices: [crate::model::record::SliceIdentity; 2],
}

/// An engine that is alone in the world: its records go to the log only, which counts as written, and there are
/// neither hooks nor probes.
#[derive(Clone, Debug)]
pub struct Alone(pub Reporter);

impl Surroundings for Alone {
    fn record(&mut self, record: &Record, _: &Memory, token: Option<u64>) {
        let deployment = Some(record.deployment.clone());
        self.0.report(Event::Journalled { deployment, token, result: Ok(()), rebuilt: false });
    }

    fn ask(&mut self, deployment: &str, token: u64, _: Phase, _: &Record) {
        let (deployment, agreements) = (deployment.to_owned(), Vec::new());
        self.0.report(Event::Asked { deployment, token, agreements });
    }

    fn probe_now(&mut self, _: &str) {}

    fn roles(&mut self, _: &str, _: Option<Roles>) {}
}
