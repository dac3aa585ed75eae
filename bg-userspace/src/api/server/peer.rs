//! Who is at the other end of a connection.

use crate::model::order::{Actor, Who};
use crate::refusal::Refusal;
use nix::unistd::{Uid, User, geteuid};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

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
    pub(super) async fn actor(self, client: Option<String>, names: &Names) -> Actor {
        let Self { uid, pid } = self;
        Actor { who: Who::Operator, uid: Some(uid), pid: Some(pid), user: names.of(uid).await, client }
    }

    pub(super) fn forbidden(self) -> Refusal {
        let what = format!("user {} may not control this gateway", self.uid);
        Refusal::new("forbidden", what, format!("process {}", self.pid), "run it as root: sudo bgctl …")
    }
}

/// The names of those who may enter. They are looked up once: an order does not wait for that again.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<OnceCell<BTreeMap<u32, String>>>);

impl Names {
    /// The name of a user, if it can be had in time: where names come from a server, that may take long.
    pub(super) async fn of(&self, uid: u32) -> Option<String> {
        let known = self.0.get_or_init(look_up);
        tokio::time::timeout(NAMED_WITHIN, known).await.ok()?.get(&uid).cloned()
    }
}

async fn look_up() -> BTreeMap<u32, String> {
    let name = |uid: Uid| Some((uid.as_raw(), User::from_uid(uid).ok()??.name));
    let names = move || [Uid::from_raw(0), geteuid()].into_iter().filter_map(name).collect();
    tokio::task::spawn_blocking(names).await.unwrap_or_default()
}
