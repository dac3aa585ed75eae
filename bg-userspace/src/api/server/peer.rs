//! Who is at the other end of a connection.

use crate::model::order::{Actor, Who};
use crate::refusal::Refusal;
use nix::unistd::{Uid, User};
use std::time::Duration;

/// A user's name is looked up for the record; no order waits for it longer than this.
const NAMED_WITHIN: Duration = Duration::from_millis(200);

/// The process that has connected, by the kernel's account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: i32,
}

/// Whether a process of `uid` may use the socket of a daemon of `own`.
pub(super) fn may_enter(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

impl Peer {
    /// Who gives an order, for the record; `client` is what it says it is.
    pub(super) async fn actor(self, client: Option<String>) -> Actor {
        let Self { uid, pid } = self;
        Actor { who: Who::Operator, uid: Some(uid), pid: Some(pid), user: user(uid).await, client }
    }

    pub(super) fn forbidden(self) -> Refusal {
        let what = format!("user {} may not control this gateway", self.uid);
        Refusal::new("forbidden", what, format!("process {}", self.pid), "run it as root: sudo bgctl …")
    }
}

/// The name of a user. Where names come from a server, that may take its time.
async fn user(uid: u32) -> Option<String> {
    let look_up = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)));
    let found = tokio::time::timeout(NAMED_WITHIN, look_up).await.ok()?.ok()?;
    Some(found.ok()??.name)
}
