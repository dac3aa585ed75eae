//! The questions that a configuration asks: what is asked of whom.

use super::names::Names;
use super::spec::{ProbeSet, ProbeSpec, protocol};
use crate::model::policy::{Level, Target};
use bg_common::Colour;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What is asked of whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// Name of the deployment.
    pub(super) deployment: String,
    /// The probe, without its frontends: who is asked is said once.
    pub(super) spec: Arc<ProbeSpec>,
    /// Whom it is for.
    pub(super) whom: Whom,
}

/// Whom a question is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// One machine of a slice.
    Machine(Colour, IpAddr),
    /// A slice as a whole, and its addresses.
    Slice(Colour, Vec<IpAddr>),
    /// All frontends of the probe, and who is live: the VIP is good if each of them is.
    Vip(Colour, Vec<SocketAddr>),
}

impl Question {
    /// The questions of all probes of a deployment. Its VIP is only asked if it is known who is live: another colour
    /// is another question.
    pub(super) fn of(set: &ProbeSet, live: Option<Colour>) -> Vec<Self> {
        set.probes.iter().flat_map(|spec| Self::of_probe(set, spec, live)).collect()
    }

    fn of_probe(set: &ProbeSet, spec: &ProbeSpec, live: Option<Colour>) -> Vec<Self> {
        let ProbeSet { deployment, slices, probes: _ } = set;
        let mut whom = Vec::new();
        for (colour, addresses) in [Colour::Blue, Colour::Green].into_iter().zip(slices) {
            match spec.level {
                Level::Slice => whom.push(Whom::Slice(colour, addresses.clone())),
                Level::Backend => {
                    whom.extend(addresses.iter().map(|address| Whom::Machine(colour, *address)))
                }
            }
        }
        if let Some(live) = live.filter(|_| !spec.frontends.is_empty() && protocol(&spec.ask).is_some()) {
            whom.push(Whom::Vip(live, spec.frontends.clone()));
        }
        let spec = Arc::new(ProbeSpec { frontends: Vec::new(), ..spec.clone() });
        let question = |whom| Self { deployment: deployment.clone(), spec: Arc::clone(&spec), whom };
        whom.into_iter().map(question).collect()
    }

    /// Whom the answer speaks about.
    pub(super) fn target(&self) -> Target {
        match &self.whom {
            Whom::Machine(colour, address) => Target::Backend(*colour, *address),
            Whom::Slice(colour, _) => Target::Slice(*colour),
            Whom::Vip(..) => Target::Vip,
        }
    }

    /// What its placeholders stand for.
    pub(super) fn names(&self, colour: Colour, addresses: Vec<IpAddr>) -> Names {
        Names { deployment: self.deployment.clone(), colour, addresses }
    }
}
