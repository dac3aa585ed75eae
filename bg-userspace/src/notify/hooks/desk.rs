//! What waits for which hook: a bounded queue for each, which whoever publishes fills without waiting.

use super::Phase;
use crate::notify::notice::Notice;
use crate::notify::spec::{EventKind, HookSpec, KINDS, When};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Notices that wait for one hook; the next one pushes the oldest out.
const QUEUE: usize = 256;

/// All hooks.
#[derive(Debug, Default)]
pub(in crate::notify) struct Desk {
    hooks: Mutex<Vec<Arc<Hook>>>,
    /// Told when a hook has nothing to do, and when one goes.
    settled: Arc<Notify>,
}

/// One hook.
#[derive(Debug)]
pub(super) struct Hook {
    deployment: String,
    name: String,
    state: Mutex<State>,
    /// Told when there is something to deliver, and when the hook goes.
    wake: Notify,
    settled: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    spec: Arc<HookSpec>,
    queue: VecDeque<Arc<Notice>>,
    /// Notices that were pushed out since the hook was configured.
    lost: u64,
    busy: bool,
    gone: bool,
}

impl Desk {
    /// Puts the notice where a hook waits for it.
    pub(in crate::notify) fn post(&self, notice: &Arc<Notice>) {
        let hooks = lock(&self.hooks);
        for hook in hooks.iter().filter(|hook| hook.deployment == notice.record.deployment) {
            hook.post(notice);
        }
    }

    /// Makes these the hooks, and returns those that are new.
    pub(super) fn configure(&self, wanted: Vec<(String, Vec<HookSpec>)>) -> Vec<Arc<Hook>> {
        let mut hooks = lock(&self.hooks);
        let mut before = std::mem::take(&mut *hooks);
        let mut new = Vec::new();
        for (deployment, specs) in wanted {
            for spec in specs {
                let known = |hook: &Arc<Hook>| hook.deployment == deployment && hook.name == spec.name;
                if let Some(index) = before.iter().position(known) {
                    let hook = before.swap_remove(index);
                    lock(&hook.state).spec = Arc::new(spec);
                    hooks.push(hook);
                } else {
                    let hook = Arc::new(Hook::new(&deployment, spec, Arc::clone(&self.settled)));
                    new.push(Arc::clone(&hook));
                    hooks.push(hook);
                }
            }
        }
        drop(hooks);
        for hook in before {
            hook.leave();
        }
        new
    }

    /// The hooks of a deployment that have a say in this phase, as configured.
    pub(super) fn gates(&self, deployment: &str, phase: Phase) -> Vec<Arc<HookSpec>> {
        let asked = match phase {
            Phase::Before => When::Before,
            Phase::Watch => When::Watch,
        };
        let hooks = lock(&self.hooks);
        let of_it = hooks.iter().filter(|hook| hook.deployment == deployment).map(|hook| hook.spec());
        of_it.filter(|spec| spec.on.contains(&asked)).collect()
    }

    /// Waits until no hook has anything to do.
    pub(super) async fn idle(&self) {
        loop {
            let settled = self.settled.notified();
            let mut settled = std::pin::pin!(settled);
            // From here on nothing is missed.
            settled.as_mut().enable();
            if lock(&self.hooks).iter().all(|hook| hook.is_idle()) {
                return;
            }
            settled.await;
        }
    }
}

impl Hook {
    pub(super) fn new(deployment: &str, spec: HookSpec, settled: Arc<Notify>) -> Self {
        let (deployment, name) = (deployment.to_owned(), spec.name.clone());
        let spec = Arc::new(spec);
        let state = State { spec, queue: VecDeque::new(), lost: 0, busy: false, gone: false };
        Self { deployment, name, state: Mutex::new(state), wake: Notify::new(), settled }
    }

    /// Name of the deployment.
    pub(super) fn deployment(&self) -> &str {
        &self.deployment
    }

    /// As configured.
    pub(super) fn spec(&self) -> Arc<HookSpec> {
        Arc::clone(&lock(&self.state).spec)
    }

    pub(super) fn post(&self, notice: &Arc<Notice>) {
        let mut state = lock(&self.state);
        if state.gone || !wants(&state.spec.on, notice.kind()) {
            return;
        }
        if state.queue.len() >= QUEUE {
            state.queue.pop_front();
            state.lost += 1;
            // The first one, and then ever more seldom.
            if state.lost.is_power_of_two() {
                let (deployment, hook, lost) = (&self.deployment, &self.name, state.lost);
                tracing::warn!(deployment, hook, lost, "a hook is too slow: the oldest events are lost");
            }
        }
        state.queue.push_back(Arc::clone(notice));
        drop(state);
        self.wake.notify_one();
    }

    /// The next notice to deliver; none once the hook is gone. The one before counts as done.
    pub(super) async fn next(&self) -> Option<Arc<Notice>> {
        loop {
            {
                let mut state = lock(&self.state);
                if state.gone {
                    return None;
                }
                if let Some(notice) = state.queue.pop_front() {
                    state.busy = true;
                    return Some(notice);
                }
                state.busy = false;
            }
            self.settled.notify_waiters();
            self.wake.notified().await;
        }
    }

    /// Waits until the hook is gone.
    pub(super) async fn left(&self) {
        while !lock(&self.state).gone {
            self.wake.notified().await;
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        state.gone || (state.queue.is_empty() && !state.busy)
    }

    pub(super) fn leave(&self) {
        let mut state = lock(&self.state);
        state.gone = true;
        if !state.queue.is_empty() {
            let (deployment, hook, events) = (&self.deployment, &self.name, state.queue.len());
            tracing::warn!(deployment, hook, events, "a hook is gone, and events that waited for it with it");
            state.queue.clear();
        }
        drop(state);
        self.wake.notify_one();
        self.settled.notify_waiters();
    }
}

/// Whether a hook that is called then wants a record of this kind. Records about hooks are never told to hooks: one
/// that fails would be called for its failure.
fn wants(on: &[When], kind: &str) -> bool {
    let wanted = |when: &When| match when {
        When::Event(EventKind::Any) => kind != "probe",
        When::Event(EventKind::Kind(index)) => KINDS.get(*index) == Some(&kind),
        When::Before | When::Watch => false,
    };
    kind != "hook" && on.iter().any(wanted)
}

/// Nothing that is done under these locks can leave their content half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::samples;
    use std::time::SystemTime;

    #[test]
    fn a_hook_gets_the_kinds_that_it_asks_for_and_never_those_about_hooks() {
        let kind =
            |name: &str| When::Event(EventKind::Kind(KINDS.iter().position(|kind| *kind == name).unwrap()));
        let any = When::Event(EventKind::Any);
        for (on, record, wanted) in [
            (vec![any], "switched", true),
            (vec![any], "started", true),
            (vec![any], "probe", false),
            (vec![any, kind("probe")], "probe", true),
            (vec![any, kind("hook")], "hook", false),
            (vec![kind("switched"), kind("refused")], "refused", true),
            (vec![kind("switched")], "refused", false),
            (vec![When::Before, When::Watch], "switched", false),
            (vec![When::Event(EventKind::Kind(usize::MAX))], "switched", false),
            (vec![], "switched", false),
        ] {
            assert_eq!(wants(&on, record), wanted, "{on:?}: {record}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_loses_its_oldest_and_keeps_the_order() {
        let hook = Hook::new("shop", samples::hook("slow"), Arc::default());
        let more = 44;
        for seq in 0..(QUEUE + more) as u64 {
            hook.post(&Arc::new(Notice::new(Some(seq), SystemTime::now(), samples::frozen("why"))));
        }
        assert_eq!(lock(&hook.state).lost, more as u64);
        for seq in more..QUEUE + more {
            assert_eq!(hook.next().await.unwrap().seq, Some(seq as u64));
        }
        assert!(lock(&hook.state).queue.is_empty());
        hook.leave();
        assert_eq!(hook.next().await, None);
    }

    #[test]
    fn a_hook_that_stays_keeps_what_waits_for_it() {
        let desk = Desk::default();
        let two = |second: &str| vec![("shop".to_owned(), vec![samples::hook("a"), samples::hook(second)])];
        assert_eq!(desk.configure(two("b")).len(), 2);
        desk.post(&Arc::new(Notice::new(Some(1), SystemTime::now(), samples::frozen("why"))));
        let before = lock(&desk.hooks).clone();
        assert!(before.iter().all(|hook| !hook.is_idle()));

        let new = desk.configure(two("c"));
        assert_eq!(new.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>(), ["c"]);
        let waiting = |hook: &Hook| lock(&hook.state).queue.len();
        assert_eq!(before.iter().map(|hook| waiting(hook)).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(waiting(&new[0]), 0);
    }

    #[test]
    fn only_hooks_of_the_records_deployment_get_it() {
        let desk = Desk::default();
        let hooks = ["shop", "bank"].map(|name| (name.to_owned(), vec![samples::hook("same")]));
        let hooks = desk.configure(hooks.into());
        desk.post(&Arc::new(Notice::new(None, SystemTime::now(), samples::frozen("why"))));
        assert_eq!(hooks.iter().map(|hook| hook.is_idle()).collect::<Vec<_>>(), [false, true]);
    }
}
