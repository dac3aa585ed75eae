//! Tells slices their roles: by files that a zone may mount, and by a small HTTP server that answers
//! each machine about itself.

mod admission;
mod endpoint;
mod files;
mod listeners;

use super::spec::RoleEndpoint;
use super::thread::Thread;
use crate::model::record::Role;
use crate::refusal::Refusal;
use bg_common::Colour;
#[cfg(test)]
pub(in crate::notify) use endpoint::Limits;
use jiff::Timestamp;
use listeners::Listeners;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// What a slice may know of itself: the content of its file, and the body of the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoleState {
    /// Name of the deployment.
    pub deployment: String,
    /// Of the slice.
    pub colour: Colour,
    /// Its role.
    pub role: Role,
    /// What runs there, if that was said.
    pub version: Option<String>,
    /// The colour that new flows get.
    pub live: Colour,
    /// Of the word that says so.
    pub generation: u16,
    /// The slice does not get new flows, and may still have old ones.
    pub draining: bool,
    /// When it got this role: RFC 3339 in UTC, in seconds. None: bg finds out by what it has told before.
    #[serde(with = "crate::notify::notice::seconds")]
    pub since: Option<Timestamp>,
    /// The addresses of its machines. They are not told.
    #[serde(skip)]
    pub addresses: Vec<IpAddr>,
}

/// What all slices are to know.
type States = Arc<[RoleState]>;

/// The roles of all slices, as told.
#[derive(Debug)]
pub struct Roles {
    states: watch::Sender<States>,
    /// The last states of which the files have been seen to.
    written: watch::Receiver<States>,
    listeners: Mutex<Listeners>,
}

impl Roles {
    /// Tells roles by files in `dir`, on `thread`. What a former daemon has left there stays until the first
    /// [`Self::update`].
    #[must_use]
    pub fn start(thread: &Thread, dir: PathBuf) -> Self {
        let before = files::read(&dir);
        let (states, watched) = watch::channel(States::from(before.as_slice()));
        let (done, written) = watch::channel(Arc::clone(&states.borrow()));
        thread.runtime.spawn(files::follow(dir, before, watched.clone(), done));
        let listeners = Mutex::new(Listeners::new(thread.runtime.clone(), watched));
        Self { states, written, listeners }
    }

    /// Makes these all the roles there are. Only what has changed is written; the file of a slice that is not among
    /// them goes. Never waits.
    pub fn update(&self, states: &[RoleState]) {
        self.states.send_modify(|known| *known = dated(states, known).into());
    }

    /// Waits until the files say what the last [`Self::update`] said, but not longer than `within`; whether that
    /// came true.
    pub async fn written(&self, within: Duration) -> bool {
        let wanted = Arc::clone(&self.states.borrow());
        let mut written = self.written.clone();
        let all = written.wait_for(|written| Arc::ptr_eq(written, &wanted));
        tokio::time::timeout(within, all).await.is_ok_and(|all| all.is_ok())
    }

    #[cfg(test)]
    pub(in crate::notify) fn limit(&self, limits: Limits) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).limit(limits);
    }

    /// Answers slices at these addresses, and nowhere else. What is returned are the addresses at which that is not
    /// possible; they are tried again every few seconds.
    pub fn listen(&self, endpoint: &RoleEndpoint) -> Vec<Refusal> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).set(&endpoint.listen)
    }
}

/// The states with a time for each: a slice that keeps its role keeps its time.
fn dated(states: &[RoleState], known: &[RoleState]) -> Vec<RoleState> {
    let dated = |state: &RoleState| {
        let same = |before: &&RoleState| {
            (&before.deployment, before.colour, before.role) == (&state.deployment, state.colour, state.role)
        };
        let before = || known.iter().find(same).and_then(|before| before.since);
        let since = state.since.or_else(before).or_else(|| Some(seconds(SystemTime::now())));
        RoleState { since, ..state.clone() }
    };
    states.iter().map(dated).collect()
}

fn seconds(at: SystemTime) -> Timestamp {
    let exact = super::notice::timestamp(at);
    Timestamp::from_second(exact.as_second()).unwrap_or(exact)
}
