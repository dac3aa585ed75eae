//! Records, hooks and roles to test with.

use crate::model::order::{Actor, Drilled, Proof, Switched};
use crate::model::policy::Target;
use crate::model::record::{Cause, Record, Role, SliceIdentity, What};
use crate::notify::roles::RoleState;
use crate::notify::spec::{Call, EventKind, HookSpec, When};
use bg_common::{Aim, Colour};
use std::net::IpAddr;
use std::time::Duration;

/// A hook that is called after every record, and would fail.
pub(in crate::notify) fn hook(name: &str) -> HookSpec {
    HookSpec {
        name: name.to_owned(),
        on: vec![When::Event(EventKind::Any)],
        call: Call::Command(vec!["false".to_owned()]),
        timeout: Duration::from_secs(10),
        retries: 0,
    }
}

/// The role of shop's blue slice with these machines.
pub(in crate::notify) fn role(addresses: &[IpAddr]) -> RoleState {
    RoleState {
        deployment: "shop".to_owned(),
        colour: Colour::Blue,
        role: Role::Live,
        version: Some("1.4.2".to_owned()),
        live: Colour::Blue,
        generation: 7,
        draining: false,
        since: None,
        addresses: addresses.to_vec(),
    }
}

/// A record of a deployment that stands as in [`role`].
pub(in crate::notify) fn record(what: What) -> Record {
    let slice = |colour, role| SliceIdentity {
        colour,
        role,
        version: Some("1.4.2".to_owned()),
        identity: 3,
        healthy: Some(true),
    };
    Record {
        deployment: "shop".to_owned(),
        live: Colour::Blue,
        generation: 7,
        slices: [slice(Colour::Blue, Role::Live), slice(Colour::Green, Role::Standby)],
        actor: Actor { uid: Some(0), ..Actor::default() },
        reason: Some("release".to_owned()),
        late_ms: None,
        what,
    }
}

pub(in crate::notify) fn frozen(why: &str) -> Record {
    record(What::Frozen { why: why.to_owned() })
}

pub(in crate::notify) fn switched() -> What {
    What::Switched { cause: Cause::Switch, switched: outcome(), overridden: vec!["health".to_owned()] }
}

fn outcome() -> Switched {
    Switched {
        deployment: "shop".to_owned(),
        from: Colour::Blue,
        to: Colour::Green,
        from_version: None,
        to_version: Some("1.4.3".to_owned()),
        generation: 8,
        took_ns: 31,
        already: false,
        staying: Some(812),
        confirm_within_s: None,
        bake_s: Some(600),
        proof: Proof { last_old_us: Some(-12), ..Proof::default() },
    }
}

/// One record of each kind.
pub(in crate::notify) fn every_kind() -> Vec<Record> {
    let text = || "text".to_owned();
    let (colour, cause) = (Colour::Green, Cause::AutoRollback);
    let target = Target::Backend(colour, IpAddr::from([10, 2, 0, 2])).into();
    let drilled = Drilled { passed: true, why: None, there: Some(outcome()), back: None, held_ms: 3 };
    let whats = [
        What::Started { found: text(), word: u64::MAX },
        What::About { cause, from: colour, to: colour, expected: 1, new: 2, overridden: vec![text()] },
        switched(),
        What::NotSwitched { cause, to: colour, why: text() },
        What::Refused { order: text(), gates: vec![text()], why: text() },
        What::Baked { seconds: 600 },
        What::Confirmed,
        What::Proved { proof: Proof::default() },
        What::Drained { colour },
        What::DrainEnded { colour, fate: text(), left: None },
        What::DrainExtended { seconds: 60 },
        What::Staged { colour, version: None, gave_up_rollback: false, hotfix: true },
        What::Frozen { why: text() },
        What::Unfrozen,
        What::Paused { seconds: 5 },
        What::Resumed { by_deadline: true },
        What::Canary { colour, share: 50, was: 0, overridden: vec![text()] },
        What::Preview { change: text(), prefix: "203.0.113.0/24".parse().ok(), to: Some(Aim::Other) },
        What::Probe { probe: text(), target, up: false, why: Some(text()) },
        What::Slice { colour, healthy: false, why: text() },
        What::Override { colour, backend: Some(IpAddr::from([0_u16; 8])), state: text() },
        What::Drift { seen: 1, actual: u64::MAX, actual_live: colour },
        What::BrokenWord { word: 9, why: text() },
        What::Drilled { drilled: Box::new(drilled) },
        What::Hook { hook: text(), phase: text(), ok: false, output: text(), millis: 5 },
        What::JournalGap { lost: 3, since: 1, why: text() },
        What::JournalRebuilt { why: text(), aside: None },
    ];
    whats.map(record).into()
}
