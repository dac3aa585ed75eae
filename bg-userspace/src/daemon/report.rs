//! Tells the log what is new about the wiring, and keeps quiet about what was told before.

use crate::dataplane::Attachment;
use crate::engine::Wired;
use crate::refusal::Refusal;
use crate::wiring::Wiring;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Report {
    notes: Vec<String>,
    unreachable: Vec<Refusal>,
    attachments: Vec<Attachment>,
}

impl Report {
    /// Tells what is new.
    pub(super) fn tell(&mut self, wiring: &Wiring, wired: &Wired) {
        for note in news(&wiring.notes, &self.notes) {
            tracing::info!("{note}");
        }
        for refusal in news(&wiring.unreachable, &self.unreachable) {
            complain(refusal, "its packets go to the kernel's routing");
        }
        for refusal in news(&self.unreachable, &wiring.unreachable) {
            tracing::info!(at = refusal.at, "there is a way again");
        }
        for Attachment { interface, program, hook, .. } in news(&self.attachments, &wired.attachments) {
            tracing::info!(interface, program, hook, "detached, or gone with its interface");
        }
        for Attachment { interface, program, hook, .. } in news(&wired.attachments, &self.attachments) {
            tracing::info!(interface, program, hook, "attached");
        }
        let (created, removed, writes) =
            (&wired.applied.created, &wired.applied.removed, wired.applied.writes);
        if writes > 0 {
            tracing::info!(?created, ?removed, writes, "the tables were brought in line");
        }
        *self = Self {
            notes: wiring.notes.clone(),
            unreachable: wiring.unreachable.clone(),
            attachments: wired.attachments.clone(),
        };
    }
}

/// What of `now` is not in `before`.
fn news<'a, T: PartialEq>(now: &'a [T], before: &'a [T]) -> impl Iterator<Item = &'a T> {
    now.iter().filter(move |item| !before.contains(item))
}

/// Logs a refusal that nobody waits for, and what follows from it.
pub(super) fn complain(refusal: &Refusal, so: &str) {
    let Refusal { code, what, at, mend } = refusal;
    tracing::warn!(code, at, mend, "{what}; {so}");
}
