//! Preview rules: clients that are led elsewhere than to the live colour. Some are configured, others ordered; the word
//! says whether there are any, so that packets are not held against none.

use super::change::{Make, Why};
use super::deployment::{Deployment, Step};
use super::event::Effect;
use super::orders::Said;
use super::record::What;
use crate::prefix::Prefix;
use bg_common::Aim;
use bg_common::names::MAX_PREVIEWS;

/// An operator has no more rules than this in one deployment: they are all remembered with each record.
const MOST: usize = 256;

/// Entries that keep the addresses of probes out of a deployment's rules, at most.
const PROBES: usize = 2;

/// Whether rules are to be used, and what has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Previews {
    pub(super) in_use: bool,
    /// The rule that was ordered, or is not wanted any more; none: the configuration's have changed.
    pub(super) rule: Option<(Prefix, Option<Aim>)>,
    /// Where the rule led before, if there was one.
    pub(super) was: Option<Aim>,
}

impl Deployment {
    /// Every rule, in the order of the networks, and whether the configuration says so.
    pub(super) fn all_previews(&self) -> Vec<(Prefix, Aim, bool)> {
        let configured = self.policy.previews.iter().map(|(prefix, aim)| (*prefix, *aim, true));
        let ordered = self.previews.iter().map(|(prefix, aim)| (*prefix, *aim, false));
        let mut all: Vec<_> = configured.chain(ordered).collect();
        all.sort_unstable();
        all
    }

    /// Entries that the rules of this deployment take in the table of all.
    pub(super) fn preview_entries(&self) -> usize {
        match self.policy.previews.len() + self.previews.len() {
            0 => 0,
            rules => rules + PROBES,
        }
    }

    pub(super) fn order_preview(&mut self, step: &mut Step<'_>, said: Said, prefix: Prefix, to: Option<Aim>) {
        let name = self.name.clone();
        if to.is_some() && prefix.covers_ipv4() {
            let what = format!("{prefix} has IPv4 clients in it, which bg knows as ::ffff:0:0/96");
            return self.no(step, &said, "preview", ("bad-preview", what, Prefix::LESS.to_owned()));
        }
        if self.policy.previews.iter().any(|(known, _)| *known == prefix) {
            let what = format!("the rule for {prefix} stands in the configuration");
            let mend = format!("change [deployment.{name}.preview], then: systemctl reload bgd");
            return self.no(step, &said, "preview", ("preview-configured", what, mend));
        }
        if to == Some(Aim::Live) {
            let what = format!("a rule that leads {prefix} to the live colour is none");
            let mend = "lead it to other, blue or green; to end a rule: rm".to_owned();
            return self.no(step, &said, "preview", ("bad-preview", what, mend));
        }
        if let Err(why) = self.word.unpack() {
            let refusal = self.broken_word(why);
            return self.refuse(step, &said, "preview", refusal);
        }
        if self.change.is_some() {
            let mend = format!("wait for its end: bgctl status {name}");
            let what = "another order is being carried out".to_owned();
            return self.no(step, &said, "preview", ("gate-in-progress", what, mend));
        }
        let known = self.previews.iter().find(|(known, _)| *known == prefix).map(|(_, aim)| *aim);
        if known == to {
            return match to {
                Some(_) => self.answer_changed(step, said.id, sentence(prefix, to)),
                None => {
                    let what = format!("there is no rule for {prefix}");
                    let mend = format!("bgctl preview {name} list");
                    self.no(step, &said, "preview", ("unknown-preview", what, mend))
                }
            };
        }
        if known.is_none() && self.previews.len() >= MOST {
            let what = format!("there are {MOST} rules already");
            let mend = format!("remove some, or use shorter prefixes: bgctl preview {name} list");
            return self.no(step, &said, "preview", ("too-many-previews", what, mend));
        }
        let first = if self.has_previews() { 0 } else { PROBES };
        if known.is_none() && step.previews + first >= MAX_PREVIEWS as usize {
            let what = format!(
                "the rules of all deployments take {} of the {MAX_PREVIEWS} entries that the table has",
                step.previews
            );
            let mend = "remove rules that are not needed, or use shorter prefixes: bgctl preview list";
            return self.no(step, &said, "preview", ("too-many-previews", what, mend.to_owned()));
        }
        self.lead(step, prefix, to);
        let previews = Previews { in_use: self.has_previews(), rule: Some((prefix, to)), was: known };
        if self.word.has_previews() == previews.in_use {
            self.previews_set(step, said.why(), previews);
        } else {
            self.alter(step, said.why(), Make::Previews(previews));
        }
    }

    /// The word could not be made to say whether there are rules, so the order that would need it is undone.
    pub(super) fn previews_not_set(&mut self, step: &mut Step<'_>, previews: &Previews) {
        if let Some((prefix, _)) = previews.rule {
            self.lead(step, prefix, previews.was);
        }
    }

    /// Clients of `prefix` are led there by order, or nowhere else than all others.
    fn lead(&mut self, step: &mut Step<'_>, prefix: Prefix, to: Option<Aim>) {
        self.previews.retain(|(known, _)| *known != prefix);
        self.previews.extend(to.map(|aim| (prefix, aim)));
        self.previews.sort_unstable();
        self.tell_previews(step);
    }

    /// Takes over the rules that were ordered before, but for those that the configuration has.
    pub(super) fn remember_previews(&mut self, step: &mut Step<'_>, mut previews: Vec<(Prefix, Aim)>) {
        let before = previews.len();
        previews.retain(|(prefix, _)| self.policy.previews.iter().all(|(known, _)| known != prefix));
        self.previews = previews;
        if before > 0 {
            self.tell_previews(step);
        }
    }

    /// The word says whether there are rules.
    pub(super) fn previews_set(&mut self, step: &mut Step<'_>, why: Why, previews: Previews) {
        let Previews { in_use, rule, was: _ } = previews;
        let (change, prefix, to) = match rule {
            Some((prefix, Some(to))) => ("added", Some(prefix), Some(to)),
            Some((prefix, None)) => ("removed", Some(prefix), None),
            None if in_use => ("begun", None, None),
            None => ("ended", None, None),
        };
        let sentence = prefix.map(|prefix| sentence(prefix, to)).unwrap_or_default();
        self.changed(step, why, What::Preview { change: change.to_owned(), prefix, to }, sentence);
    }

    /// A configuration has its own rules, which go before those that were ordered.
    pub(super) fn configure_previews(&mut self, step: &mut Step<'_>) {
        let Self { policy, previews, .. } = self;
        let before = previews.len();
        previews.retain(|(prefix, _)| policy.previews.iter().all(|(known, _)| known != prefix));
        if previews.len() != before {
            self.tell_previews(step);
        }
    }

    /// Lets the word say whether there are rules, after a configuration or a restart.
    pub(super) fn use_previews(&mut self, step: &mut Step<'_>) {
        let in_use = self.has_previews();
        if self.configured && self.word.has_previews() != in_use && self.is_ready(step.now.moment) {
            let why = if in_use { "there are preview rules" } else { "there are no preview rules" };
            self.alter(
                step,
                Why::Bgd(why.to_owned()),
                Make::Previews(Previews { in_use, rule: None, was: None }),
            );
        }
    }

    fn has_previews(&self) -> bool {
        !(self.policy.previews.is_empty() && self.previews.is_empty())
    }

    /// Tells which clients are led elsewhere by order.
    fn tell_previews(&self, step: &mut Step<'_>) {
        let (deployment, rules) = (self.name.clone(), self.previews.clone());
        step.effects.push(Effect::Preview { deployment, rules });
    }
}

fn sentence(prefix: Prefix, to: Option<Aim>) -> String {
    match to {
        Some(Aim::Other) => format!("clients of {prefix} see the colour that is not live"),
        Some(aim) => format!("clients of {prefix} see {}", aim.as_str()),
        None => format!("clients of {prefix} see what all others do"),
    }
}
