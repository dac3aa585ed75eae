//! An operator's desk: a daemon by script, a clock that stands still, and a terminal if one is wanted.

use super::super::*;
use super::{Pinned, Ran};
use crate::api::archive::{Answering, Archive};
use crate::api::fake::Script;
use crate::api::protocol::{
    ByColour, Deployment, DrainStatus, Entry, Gate, LastSwitch, PassiveVerdict, Plan, ProbeVerdict, Proof,
    Record, RollbackAnswer, SliceIdentity, SliceStatus, Switched, What,
};
use crate::model::order::{Actor, Done, Who};
use crate::model::record::Role;
use crate::refusal::Refusal;
use crate::{journal, paths};
use bg_common::Colour;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

pub(super) const BLUE: Colour = Colour::Blue;
pub(super) const GREEN: Colour = Colour::Green;

/// 2026-11-24 10:00 in Berlin.
pub(super) const NOW: i64 = 1_795_510_800;

pub(super) struct Desk {
    pub(super) script: Script,
    pub(super) kernel: Pinned,
    /// Whether a person sits there, and what that person types.
    pub(super) person: Option<&'static str>,
    pub(super) width: Option<u16>,
    pub(super) colour: bool,
    pub(super) user: Option<&'static str>,
    /// Whether the journal cannot be written.
    pub(super) full_disk: bool,
    dir: tempfile::TempDir,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let (script, dir) = (Script::default(), tempfile::tempdir().unwrap());
        let (stop, _) = script.serve(&dir.path().join("bg.sock"));
        Self {
            script,
            kernel: Pinned(None),
            person: None,
            width: None,
            colour: false,
            user: None,
            full_disk: false,
            dir,
            _stop: stop,
        }
    }

    /// One whose orders are answered so, in turn.
    pub(super) fn answering(answers: impl IntoIterator<Item = Result<Done, Refusal>>) -> Self {
        let desk = Self::new();
        desk.script.lines().answers = answers.into_iter().collect();
        desk
    }

    /// Writes the configuration.
    pub(super) fn configure(&self, text: &str) {
        std::fs::write(self.dir.path().join("bg.toml"), text).unwrap();
    }

    /// Runs what is typed; words in apostrophes stay together.
    pub(super) async fn run(&self, line: &str) -> Ran {
        let quoted = line.split('\'').enumerate();
        let words: Vec<String> = quoted
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect();
        let socket = self.dir.path().join("bg.sock").display().to_string();
        let global = ["bgctl", "--socket", &socket, "--instance", "unit-test"].map(str::to_owned);
        let cli = Cli::try_parse_from(global.into_iter().chain(words)).unwrap();
        let config = Some(self.dir.path().join("bg.toml"));
        let cli = Cli { global: Global { config, ..cli.global }, ..cli };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut env = Env {
            out: &mut out,
            err: &mut err,
            answers: &mut self.person.unwrap_or_default().as_bytes(),
            colour: self.colour,
            width: self.width,
            asks: self.person.is_some(),
            watched: self.person.is_some(),
            now: &|| Timestamp::from_second(NOW).unwrap(),
            zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
            poll: Duration::from_millis(1),
            user: self.user.map(str::to_owned),
            kernel: &self.kernel,
            journals: self,
        };
        let code = run(cli, &mut env).await;
        Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }

    /// Asserts what is printed, and that all went well.
    pub(super) async fn prints(&self, line: &str, expected: &str) {
        self.ends(line, 0, expected, "").await;
    }

    /// Asserts how a command ends and what it prints.
    pub(super) async fn ends(&self, line: &str, code: u8, out: &str, err: &str) {
        let ran = self.run(line).await;
        assert_eq!(ran.out, out, "{line}\n{}", ran.err);
        assert_eq!((ran.code, ran.err.as_str()), (code, err), "{line}");
        for line in ran.out.lines() {
            assert!(!line.ends_with(' '), "blanks at the end of a line: {line:?}");
        }
    }

    pub(super) async fn json(&self, line: &str) -> (u8, Value) {
        let ran = self.run(&format!("{line} --json")).await;
        assert_eq!(ran.err, "", "{line}: {}", ran.out);
        assert_eq!(ran.out.matches('\n').count(), 1, "{line} prints one line: {}", ran.out);
        (ran.code, serde_json::from_str(&ran.out).unwrap())
    }

    /// The body of the last order, as its verb.
    pub(super) fn ordered(&self) -> crate::model::order::Order {
        self.script.lines().orders.last().expect("nothing was ordered").clone()
    }
}

impl Journals for Desk {
    fn open(&self, path: &Path) -> Box<dyn Archive> {
        assert_eq!(path, paths::journal("unit-test"));
        Box::new(self.script.clone())
    }

    fn append<'a>(&'a self, path: &'a Path, entry: journal::Entry) -> Answering<'a, Result<(), Refusal>> {
        assert_eq!(path, paths::journal("unit-test"));
        let full =
            self.full_disk.then(|| Refusal::new("no-space", "the disk is full", "/var/lib/bg", "free some"));
        self.script.lines().written.push(entry);
        Box::pin(async { full.map_or(Ok(()), Err) })
    }
}

pub(super) fn switched() -> Switched {
    Switched {
        deployment: "shop".to_owned(),
        from: BLUE,
        to: GREEN,
        from_version: Some("1.3".to_owned()),
        to_version: Some("1.4".to_owned()),
        generation: 8,
        took_ns: 661,
        already: false,
        staying: Some(812),
        confirm_within_s: Some(120),
        bake_s: Some(300),
        proof: Proof {
            first_new_us: Some(812),
            last_old_us: Some(-1_204),
            vip: Some(true),
            vip_detail: Some("status 200".to_owned()),
            took_ms: 9,
            ..Proof::default()
        },
    }
}

pub(super) fn slice(colour: Colour, role: Role, version: &str, healthy: bool) -> SliceIdentity {
    SliceIdentity { colour, role, version: Some(version.to_owned()), identity: 7, healthy: Some(healthy) }
}

pub(super) fn gate(name: &str, what: &str) -> Gate {
    Gate { name: name.to_owned(), open: true, forcible: true, what: what.to_owned(), mend: String::new() }
}

pub(super) fn shut(name: &str, what: &str, mend: &str) -> Gate {
    Gate { open: false, mend: mend.to_owned(), ..gate(name, what) }
}

pub(super) fn probe(colour: Colour, last: u8, up: bool) -> ProbeVerdict {
    ProbeVerdict {
        probe: "web".to_owned(),
        colour: Some(colour),
        address: Some([10, 2, 0, last].into()),
        up: Some(up),
        why: (!up).then(|| "connection refused by 10.2.0.3:8080".to_owned()),
        since_s: Some(200),
        overridden: false,
    }
}

pub(super) fn passive() -> PassiveVerdict {
    PassiveVerdict { handshakes: 1_000, answered: 998, refused: 1, resets: 2, flows: 1_010, good: Some(true) }
}

pub(super) fn plan() -> Plan {
    Plan {
        deployment: "shop".to_owned(),
        plan: "7.3f2a".parse().unwrap(),
        from: BLUE,
        to: GREEN,
        slices: [slice(BLUE, Role::Live, "1.3", true), slice(GREEN, Role::Standby, "1.4", true)],
        staying: Some(812),
        oldest_s: Some(7_384),
        fate: "keep".to_owned(),
        canary: 0,
        bake_s: Some(300),
        confirm_within_s: None,
        probes: vec![probe(GREEN, 2, true), probe(GREEN, 3, false)],
        passive: [Some(passive()), None],
        gates: vec![gate("frozen", "it is not frozen"), gate("health", "green (1.4) is healthy: 2 of 2 up")],
    }
}

/// Green is live, blue drains, and all that can be is out of the ordinary.
pub(super) fn busy() -> Deployment {
    let slice = |role, version: &str, healthy, up| SliceStatus {
        role: Some(role),
        version: Some(version.to_owned()),
        identity: 3,
        healthy: Some(healthy),
        why: Some(format!("{up} of 3 machines are up")),
        up,
        targets: 3,
    };
    let last_switch = LastSwitch { at: u64::try_from(NOW).unwrap() - 48, switched: switched() };
    Deployment {
        draining: true,
        generation: 8,
        open: ByColour { blue: 640, green: 1_034 },
        slices: ByColour {
            blue: slice(Role::Standby, "1.3", true, 3),
            green: slice(Role::Live, "1.4", false, 1),
        },
        rollback: Some(RollbackAnswer {
            possible: true,
            to: Some(BLUE),
            version: Some("1.3".to_owned()),
            why_not: None,
            mend: None,
            until: Some(u64::try_from(NOW).unwrap() + 24 * 3600),
        }),
        bake_left_s: Some(252),
        confirm_left_s: Some(72),
        drain: Some(DrainStatus {
            open: Some(640),
            oldest_s: Some(7_432),
            since_s: Some(48),
            deadline_s: Some(552),
            fate: "keep".to_owned(),
            fate_then: Some("reset".to_owned()),
        }),
        last_switch: Some(last_switch),
        ..Deployment::bare("shop", GREEN)
    }
}

/// Nothing goes on.
pub(super) fn idle() -> Deployment {
    Deployment {
        draining: false,
        drain: None,
        bake_left_s: None,
        confirm_left_s: None,
        open: ByColour { blue: 0, green: 1_034 },
        ..busy()
    }
}

pub(super) fn operator() -> Actor {
    let (uid, pid) = (Some(0), Some(77));
    let (user, client) = (Some("root".to_owned()), Some("bgctl/0.1.0 (alice)".to_owned()));
    Actor { who: Who::Operator, uid, pid, user, client }
}

/// Something that happened so many seconds ago.
pub(super) fn entry(seq: u64, ago: i64, actor: Actor, reason: Option<&str>, what: What) -> Entry {
    let record = Record {
        deployment: "shop".to_owned(),
        live: GREEN,
        generation: 8,
        slices: [slice(BLUE, Role::Standby, "1.3", true), slice(GREEN, Role::Live, "1.4", true)],
        actor,
        reason: reason.map(str::to_owned),
        late_ms: None,
        what,
    };
    Entry { seq: Some(seq), at: Timestamp::from_second(NOW - ago).unwrap(), record }
}
