//! When a question is asked: on schedule, at once when told so, and never twice at a time.

use super::means::Means;
use super::question::Question;
use super::spec::Report;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// The first question comes within this time, or within the interval if that is shorter.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// No target is asked more often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// What this host lacks is logged at most so often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What all questions share.
pub(super) struct Shared {
    reports: mpsc::Sender<Report>,
    /// What asking takes.
    pub(super) means: Means,
    complained: Mutex<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(reports: mpsc::Sender<Report>, means: Means) -> Self {
        Self { reports, means, complained: Mutex::default() }
    }

    fn complain(&self, question: &Question, why: &str) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            let (deployment, probe) = (&question.deployment, &question.spec.name);
            warn!(%deployment, %probe, "a probe could not ask, which says nothing about its target: {why}");
        }
    }
}

/// Ends a task when dropped.
pub(super) struct Ends(AbortHandle);

impl Ends {
    pub(super) fn of<T>(task: &JoinHandle<T>) -> Self {
        Self(task.abort_handle())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks one question for ever.
pub(super) async fn ask_on(shared: Arc<Shared>, question: Arc<Question>, at_once: Arc<Notify>) {
    let mut dice = Dice::default();
    let interval = question.spec.interval.max(SHORTEST_INTERVAL);
    let mut due = Instant::now() + interval.min(FIRST_WITHIN).mul_f64(dice.throw());
    loop {
        tokio::select! {
            () = sleep_until(due) => due += jittered(interval, question.spec.jitter, dice.throw()),
            () = at_once.notified() => {}
        }
        if let Some(report) = ask(&shared, &question).await {
            // Without a receiver the prober is about to end.
            let _ = shared.reports.send(report).await;
        }
        // What was missed meanwhile is not made up for.
        due = due.max(Instant::now());
    }
}

/// Asks once. There is nothing to report if that cannot be done.
async fn ask(shared: &Arc<Shared>, question: &Arc<Question>) -> Option<Report> {
    // In a task of its own, whose memory is free between two questions, and whose end, however it comes, is seen.
    let task = tokio::spawn({
        let (shared, question) = (Arc::clone(shared), Arc::clone(question));
        async move { shared.means.ask(&question).await }
    });
    let _ends = Ends::of(&task);
    match task.await.unwrap_or_else(|why| Err(why.to_string())) {
        Ok((began, finding, own)) => {
            let (deployment, probe) = (question.deployment.clone(), question.spec.name.clone());
            Some(Report { deployment, probe, target: question.target(), began, own, finding })
        }
        Err(why) => {
            shared.complain(question, &why);
            None
        }
    }
}

/// An interval that is longer or shorter by up to `percent`; `chance` is from 0 to 1.
fn jittered(interval: Duration, percent: u8, chance: f64) -> Duration {
    let share = f64::from(percent.min(100)) / 100.0;
    interval.mul_f64(1.0 + share * (2.0 * chance - 1.0)).max(SHORTEST_INTERVAL)
}

/// Chance, as good as spreading load takes it.
#[derive(Default)]
struct Dice {
    seed: RandomState,
    throws: u64,
}

impl Dice {
    /// From 0 to 1.
    fn throw(&mut self) -> f64 {
        self.throws += 1;
        let bits = u32::try_from(self.seed.hash_one(self.throws) >> 32).unwrap_or_default();
        f64::from(bits) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_vary_by_the_jitter_and_no_more() {
        let second = Duration::from_secs(1);
        for (percent, chance, millis) in
            [(0, 0.0, 1000), (0, 1.0, 1000), (20, 0.0, 800), (20, 0.5, 1000), (20, 1.0, 1200), (255, 0.0, 10)]
        {
            assert_eq!(jittered(second, percent, chance), Duration::from_millis(millis));
        }
    }

    #[test]
    fn dice_fall_everywhere_between_0_and_1_and_each_differently() {
        let (mut one, mut other) = (Dice::default(), Dice::default());
        let throws: Vec<f64> = (0..1000).map(|_| one.throw()).collect();
        assert!(throws.iter().all(|throw| (0.0..=1.0).contains(throw)));
        let low = throws.iter().filter(|throw| **throw < 0.5).count();
        assert!((300..700).contains(&low), "{low} of 1000 are in the lower half");
        assert!(throws.iter().any(|throw| throw.to_bits() != other.throw().to_bits()));
    }
}
