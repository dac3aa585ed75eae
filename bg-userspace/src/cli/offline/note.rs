//! What was done without a daemon goes into the journal all the same, if it can be written. It is done
//! already, so nothing fails by that.

use super::super::Global;
use super::super::env::Env;
use super::super::run::Result;
use super::super::target::Target;
use crate::api::protocol::{HistoryQuery, Record, Role, SliceIdentity, Switched, What};
use crate::journal::Entry;
use crate::model::order::{Actor, Who};
use crate::model::record::Cause;
use crate::refusal::Refusal;
use bg_common::Colour;
use nix::unistd::{User, geteuid, getpid};

/// What is so after it.
pub(super) struct Note<'a> {
    pub(super) deployment: &'a str,
    pub(super) live: Colour,
    pub(super) generation: u16,
    pub(super) reason: Option<String>,
}

impl Note<'_> {
    /// Notes a change of who is live, and fills in which versions that were.
    pub(super) async fn switched(
        self,
        cause: Cause,
        switched: &mut Switched,
        target: &Target,
        global: &Global,
        env: &mut Env<'_>,
    ) -> Result {
        let slices = self.slices(target, env).await;
        let version = |colour| slices.iter().find(|slice| slice.colour == colour)?.version.clone();
        switched.from_version = version(switched.from);
        switched.to_version = version(switched.to);
        let what = What::Switched { cause, switched: switched.clone(), overridden: Vec::new() };
        self.write(slices, what, target, global, env).await
    }

    /// Notes what leaves live as it is.
    pub(super) async fn changed(
        self,
        what: What,
        target: &Target,
        global: &Global,
        env: &mut Env<'_>,
    ) -> Result {
        let slices = self.slices(target, env).await;
        self.write(slices, what, target, global, env).await
    }

    async fn write(
        self,
        slices: [SliceIdentity; 2],
        what: What,
        target: &Target,
        global: &Global,
        env: &mut Env<'_>,
    ) -> Result {
        let Self { deployment, live, generation, reason } = self;
        let actor = actor(env.user.as_deref());
        let (deployment, late_ms) = (deployment.to_owned(), None);
        let record = Record { deployment, live, generation, slices, actor, reason, late_ms, what };
        let written = env.journals.append(&target.journal(), Entry { record, memory: None }).await;
        if let (Err(Refusal { what, at, mend, .. }), false) = (written, global.json) {
            let told = format!("bgctl: it is done, but the journal does not know: {what}");
            writeln!(env.err, "{told}\n  where: {at}\n  mend:  {mend}")?;
        }
        Ok(())
    }

    /// What runs in the slices, by the newest entry that tells.
    async fn slices(&self, target: &Target, env: &Env<'_>) -> [SliceIdentity; 2] {
        let query = HistoryQuery {
            deployment: Some(self.deployment.to_owned()),
            limit: Some(1),
            ..HistoryQuery::default()
        };
        let found = env.journals.open(&target.journal()).history(query).await;
        let known = found.ok().and_then(|history| history.entries.into_iter().next_back());
        let of = |colour| {
            let known =
                known.iter().flat_map(|entry| &entry.record.slices).find(|slice| slice.colour == colour);
            let role = if colour == self.live { Role::Live } else { Role::Standby };
            SliceIdentity {
                colour,
                role,
                version: known.and_then(|slice| slice.version.clone()),
                identity: known.map_or(0, |slice| slice.identity),
                healthy: None,
            }
        };
        Colour::BOTH.map(of)
    }
}

/// Whoever runs this process.
fn actor(behind: Option<&str>) -> Actor {
    let uid = geteuid();
    let behind = behind.map(|user| format!(" ({user})")).unwrap_or_default();
    Actor {
        who: Who::Operator,
        uid: Some(uid.as_raw()),
        pid: Some(getpid().as_raw()),
        user: User::from_uid(uid).ok().flatten().map(|user| user.name),
        client: Some(format!("bgctl/{} --offline{behind}", env!("CARGO_PKG_VERSION"))),
    }
}
