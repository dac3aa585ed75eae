//! What is told of a record, and the lines in which followers get it. Hooks, the API and the command
//! line all use these forms.

use crate::model::record::{Record, What};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// A record, and when it happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// Its number in the journal; none: the journal does not have it.
    pub seq: Option<u64>,
    /// When it happened: RFC 3339 in UTC, to the millisecond.
    #[serde(with = "milliseconds")]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// A line of followed events.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// The follower was too slow, and some lines are lost.
    Lagged(Lagged),
    /// Something happened.
    Notice(Box<Notice>),
}

/// Stands in place of lines that are lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lagged {
    /// Always `lagged`.
    kind: LaggedKind,
    /// How many lines.
    pub lost: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LaggedKind {
    Lagged,
}

impl Notice {
    /// The notice of `record`.
    #[must_use]
    pub fn new(seq: Option<u64>, at: SystemTime, record: Record) -> Self {
        Self { seq, at: timestamp(at), record }
    }

    /// The `kind` of the record.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        kind(&self.record.what)
    }
}

impl Lagged {
    /// So many lines are lost.
    #[must_use]
    pub const fn new(lost: u64) -> Self {
        Self { kind: LaggedKind::Lagged, lost }
    }
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// When it is neither of the two, as when a newer daemon tells of something that this version does not know.
    pub fn parse(line: &str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }
}

/// The point in time to the millisecond; one that no calendar has is the nearest that it has.
pub(super) fn timestamp(at: SystemTime) -> Timestamp {
    let exact = Timestamp::try_from(at).unwrap_or_else(|_| match at < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    });
    Timestamp::from_millisecond(exact.as_millisecond()).unwrap_or(exact)
}

/// The `kind` by which JSON and configuration know what happened.
#[must_use]
pub const fn kind(what: &What) -> &'static str {
    match what {
        What::Started { .. } => "started",
        What::About { .. } => "about",
        What::Switched { .. } => "switched",
        What::NotSwitched { .. } => "not-switched",
        What::Refused { .. } => "refused",
        What::Baked { .. } => "baked",
        What::Confirmed => "confirmed",
        What::Proved { .. } => "proved",
        What::Drained { .. } => "drained",
        What::DrainEnded { .. } => "drain-ended",
        What::DrainExtended { .. } => "drain-extended",
        What::Staged { .. } => "staged",
        What::Frozen { .. } => "frozen",
        What::Unfrozen => "unfrozen",
        What::Paused { .. } => "paused",
        What::Resumed { .. } => "resumed",
        What::Canary { .. } => "canary",
        What::Preview { .. } => "preview",
        What::Probe { .. } => "probe",
        What::Slice { .. } => "slice",
        What::Override { .. } => "override",
        What::Drift { .. } => "drift",
        What::BrokenWord { .. } => "broken-word",
        What::Drilled { .. } => "drilled",
        What::Hook { .. } => "hook",
        What::JournalGap { .. } => "journal-gap",
        What::JournalRebuilt { .. } => "journal-rebuilt",
    }
}

/// RFC 3339 in UTC with three digits behind the second.
mod milliseconds {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{at:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// RFC 3339 in UTC in whole seconds, or nothing.
pub(super) mod seconds {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(in crate::notify) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(|at| format!("{at:.0}")).serialize(serializer)
    }

    pub(in crate::notify) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::KINDS;
    use super::super::tests::samples;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_notice_of_every_kind_reads_back_as_it_was_written() {
        let mut kinds: Vec<&str> = Vec::new();
        for record in samples::every_kind() {
            let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_790_000_000_123_456);
            let notice = Notice::new(Some(7), at, record);
            let line = serde_json::to_string(&notice).unwrap();
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["kind"], notice.kind(), "{line}");
            assert_eq!(value["at"], "2026-09-21T14:13:20.123Z", "{line}");
            assert_eq!((&value["seq"], &value["deployment"]), (&7.into(), &"shop".into()), "{line}");
            assert_eq!(Line::parse(&line).unwrap(), Line::Notice(Box::new(notice.clone())), "{line}");
            kinds.push(notice.kind());
        }
        let mut known = KINDS.to_vec();
        known.sort_unstable();
        kinds.sort_unstable();
        assert_eq!(kinds, known, "the kinds that can be configured are those that there are");
    }

    #[test]
    fn lost_lines_are_told_in_a_form_of_their_own() {
        let line = serde_json::to_string(&Line::Lagged(Lagged::new(3))).unwrap();
        assert_eq!(line, r#"{"kind":"lagged","lost":3}"#);
        assert_eq!(Line::parse(&line).unwrap(), Line::Lagged(Lagged::new(3)));
        for foreign in [r#"{"kind":"else","lost":3}"#, r#"{"kind":"lagged"}"#, "[]", ""] {
            assert!(Line::parse(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_clock_beyond_every_calendar_still_gives_a_time() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert_eq!(timestamp(far).as_second(), Timestamp::MAX.as_second());
    }
}
