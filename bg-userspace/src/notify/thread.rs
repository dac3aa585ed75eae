//! The thread on which hooks are called and slices are answered.

use crate::refusal::Refusal;
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

const NAME: &str = "bg-notify";

/// The thread. What is under way ends when this is dropped: commands are killed, connections closed.
#[derive(Debug)]
pub struct Thread {
    pub(super) runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no file descriptors left.
    pub fn start() -> Result<Self, Refusal> {
        let refused = |why| {
            let what = format!("a thread cannot be started: {why}");
            let mend = "raise the limits of tasks and files: TasksMax= and LimitNOFILE= of the unit";
            Refusal::new("no-thread", what, NAME, mend)
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            let _ = runtime.block_on(stopped);
            // A name that is being looked up may take its time, and nobody waits for it.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(work).map_err(refused)?;
        Ok(Self { runtime: handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        // So that commands are dead when the process ends. The thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread {NAME} has ended by a panic");
        }
    }
}
