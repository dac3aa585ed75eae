//! The worker of one hook: one event after the other, each again until it is taken or given up.

use super::desk::Hook;
use super::letter::Letter;
use super::{HookReport, HookVerdict, Told};
use crate::notify::answer::Answer;
use crate::notify::notice::Notice;
use crate::notify::spec::HookSpec;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pause before an event is sent again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Calls a hook once, within its time.
pub(super) trait Calls: Send + Sync {
    /// What has come of it.
    fn call(&self, spec: &HookSpec, letter: &Letter) -> impl Future<Output = Answer> + Send;
}

/// Delivers what waits for `hook` until the hook is gone; `told` gets what was given up.
pub(super) async fn work(hook: Arc<Hook>, caller: impl Calls, told: Told) {
    while let Some(notice) = hook.next().await {
        tokio::select! {
            given_up = deliver(&hook, &notice, &caller) => {
                if let Some(verdict) = given_up {
                    let (deployment, hook) = (hook.deployment(), &verdict.hook);
                    tracing::warn!(deployment, hook, event = notice.kind(), why = verdict.output, "a hook has failed");
                    told(HookReport { deployment: deployment.to_owned(), phase: "event", verdict });
                }
            }
            () = hook.left() => return,
        }
    }
}

/// Sends one notice until it is taken. What the last try came to, if none was.
async fn deliver(hook: &Hook, notice: &Notice, caller: &impl Calls) -> Option<HookVerdict> {
    let mut tries = 0;
    loop {
        // Anew each time: it may have been mended meanwhile.
        let spec = hook.spec();
        let began = Instant::now();
        let answer = match Letter::event(&spec.name, notice) {
            Ok(letter) => caller.call(&spec, &letter).await,
            Err(why) => Answer::failed(format_args!("the event cannot be written: {why}"), &[]),
        };
        if answer.ok {
            return None;
        }
        if tries >= u32::from(spec.retries) {
            let Answer { ok, output } = answer;
            return Some(HookVerdict { hook: spec.name.clone(), ok, output, took: began.elapsed() });
        }
        tracing::debug!(
            hook = spec.name,
            event = notice.kind(),
            why = answer.output,
            "a hook is called again"
        );
        tokio::time::sleep(pause(tries)).await;
        tries += 1;
    }
}

/// The pause after so many tries were repeated.
fn pause(tries: u32) -> Duration {
    2_u32
        .checked_pow(tries)
        .map_or(LONGEST_PAUSE, |times| FIRST_PAUSE.saturating_mul(times))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::samples;
    use std::sync::Mutex;
    use std::time::SystemTime;

    /// Takes events according to a script, and remembers when it was called for which. Past the script it takes
    /// everything.
    #[derive(Default)]
    struct Scripted {
        script: Mutex<Vec<bool>>,
        calls: Mutex<Vec<(u64, Duration)>>,
        began: Option<Instant>,
        takes: Duration,
    }

    impl Calls for Arc<Scripted> {
        async fn call(&self, _: &HookSpec, letter: &Letter) -> Answer {
            let notice: Notice = serde_json::from_slice(&letter.body).unwrap();
            self.calls.lock().unwrap().push((notice.seq.unwrap(), self.began.unwrap().elapsed()));
            tokio::time::sleep(self.takes).await;
            let mut script = self.script.lock().unwrap();
            let ok = if script.is_empty() { true } else { script.remove(0) };
            Answer { ok, output: "said".to_owned() }
        }
    }

    struct Outcome {
        calls: Vec<(u64, Duration)>,
        given_up: Vec<HookReport>,
    }

    /// Publishes so many events to a hook that takes them as scripted.
    async fn run(retries: u8, events: u64, script: &[bool], takes: Duration) -> Outcome {
        let settled = Arc::default();
        let spec = HookSpec { retries, ..samples::hook("scripted") };
        let hook = Arc::new(Hook::new("shop", spec, Arc::clone(&settled)));
        for seq in 0..events {
            hook.post(&Arc::new(Notice::new(Some(seq), SystemTime::now(), samples::frozen("why"))));
        }
        let began = Some(Instant::now());
        let script = Mutex::new(script.to_vec());
        let caller = Arc::new(Scripted { script, began, takes, ..Scripted::default() });
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = {
            let told = Arc::clone(&told);
            move |report| told.lock().unwrap().push(report)
        };
        let worker = tokio::spawn(work(Arc::clone(&hook), Arc::clone(&caller), Arc::new(tell)));
        while !hook.is_idle() {
            settled.notified().await;
        }
        worker.abort();
        let calls = caller.calls.lock().unwrap().clone();
        let given_up = told.lock().unwrap().clone();
        Outcome { calls, given_up }
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_delivered_one_after_the_other_in_their_order() {
        let outcome = run(3, 100, &[], Duration::from_secs(1)).await;
        let wanted: Vec<_> = (0..100).map(|seq| (seq, Duration::from_secs(seq))).collect();
        assert_eq!((outcome.calls, outcome.given_up), (wanted, Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_is_not_taken_is_sent_again_ever_more_slowly_before_the_next_one() {
        let outcome = run(10, 2, &[false; 9], Duration::ZERO).await;
        let seconds = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5];
        let mut wanted: Vec<_> = seconds.map(|at| (0, Duration::from_secs_f64(at))).into();
        wanted.push((1, Duration::from_secs_f64(121.5)));
        assert_eq!((outcome.calls, outcome.given_up), (wanted, Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_given_up_after_its_retries_and_the_next_one_is_sent() {
        let outcome = run(2, 2, &[false; 3], Duration::from_millis(40)).await;
        assert_eq!(outcome.calls.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [0, 0, 0, 1]);
        let verdict = HookVerdict {
            hook: "scripted".to_owned(),
            ok: false,
            output: "said".to_owned(),
            took: Duration::from_millis(40),
        };
        let report = HookReport { deployment: "shop".to_owned(), phase: "event", verdict };
        assert_eq!(outcome.given_up, [report]);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        for (tries, seconds) in [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (31, 30.0), (255, 30.0)]
        {
            assert_eq!(pause(tries), Duration::from_secs_f64(seconds), "{tries}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_goes_is_not_waited_for() {
        let spec = HookSpec { retries: 255, ..samples::hook("scripted") };
        let hook = Arc::new(Hook::new("shop", spec, Arc::default()));
        hook.post(&Arc::new(Notice::new(Some(0), SystemTime::now(), samples::frozen("why"))));
        let script = Mutex::new(vec![false; 1000]);
        let caller = Arc::new(Scripted { script, began: Some(Instant::now()), ..Scripted::default() });
        let worker = tokio::spawn(work(Arc::clone(&hook), caller, Arc::new(|_| panic!("it was given up"))));
        tokio::time::sleep(Duration::from_secs(10)).await;
        hook.leave();
        let began = Instant::now();
        worker.await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    }
}
