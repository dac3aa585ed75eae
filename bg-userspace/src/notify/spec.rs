//! Hooks, as configured.

use std::net::SocketAddr;
use std::time::Duration;

/// One hook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookSpec {
    /// Name, unique within the deployment.
    pub name: String,
    /// When it is called.
    pub on: Vec<When>,
    /// What is called.
    pub call: Call,
    /// An answer counts only within this time; a gate that is late refuses.
    pub timeout: Duration,
    /// How often an event is sent again after a failure; gates are asked once.
    pub retries: u8,
}

/// When a hook is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum When {
    /// Before a switch: it goes on only if the hook agrees.
    Before,
    /// Every few seconds while a switch is watched: the switch is taken back if the hook disagrees.
    Watch,
    /// After each record of this kind; `*` is every kind but probe verdicts.
    Event(EventKind),
}

/// Kinds of records that hooks can be called for: the `kind` of a record as it stands in the journal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// `*`
    Any,
    /// One kind, by its index in [`KINDS`].
    Kind(usize),
}

/// The kinds by name.
pub const KINDS: &[&str] = &[
    "about",
    "switched",
    "not-switched",
    "refused",
    "baked",
    "confirmed",
    "proved",
    "drained",
    "drain-ended",
    "drain-extended",
    "staged",
    "frozen",
    "unfrozen",
    "paused",
    "resumed",
    "canary",
    "preview",
    "probe",
    "slice",
    "override",
    "drift",
    "broken-word",
    "drilled",
    "hook",
    "journal-gap",
    "journal-rebuilt",
    "started",
];

/// What is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// A command and its arguments, without a shell; the body is its standard input. Exit code 0 agrees.
    Command(Vec<String>),
    /// POST to this URL (`http://` or `https://`); a status of 200-299 agrees.
    Url(String),
}

/// Where slices may ask for their role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleEndpoint {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
}
