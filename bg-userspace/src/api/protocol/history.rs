//! What happened: the journal and the events.

pub use crate::notify::notice::Notice as Entry;
use crate::notify::spec::KINDS;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which part of the history. Times are Unix time in seconds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryQuery {
    /// Only of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Only from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only before then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Only what comes after this entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
    /// Only of these kinds, separated by commas.
    #[serde(skip_serializing_if = "Kinds::is_empty")]
    pub kind: Kinds,
    /// The newest so many; none: 100, at most 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl HistoryQuery {
    /// Entries of an answer unless asked for more.
    pub const USUAL: usize = 100;

    /// Most entries of an answer.
    pub const MOST: usize = 10_000;

    /// How many entries are wanted.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.limit.unwrap_or(Self::USUAL).min(Self::MOST)
    }

    /// Whether `entry` is asked for, whatever the limit.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let Self { deployment, since, until, after_seq, kind, limit: _ } = self;
        let at = u64::try_from(entry.at.as_second()).unwrap_or_default();
        deployment.as_ref().is_none_or(|name| *name == entry.record.deployment)
            && since.is_none_or(|since| at >= since)
            && until.is_none_or(|until| at < until)
            && after_seq.is_none_or(|seq| entry.seq.is_none_or(|own| own > seq))
            && (kind.is_empty() || kind.0.iter().any(|kind| kind == entry.kind()))
    }
}

/// Kinds of records, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kinds(pub Vec<String>);

impl Kinds {
    /// Whether none is named, which means all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Kinds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.join(","))
    }
}

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let kinds: Vec<_> = text.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect();
        match kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            Some(strange) => {
                let known = KINDS.join(", ");
                Err(de::Error::custom(format_args!("no kind is called {strange:?}; there are {known}")))
            }
            None => Ok(Self(kinds)),
        }
    }
}

/// A part of the history, the oldest first.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// What was asked for.
    pub entries: Vec<Entry>,
    /// Whether there are older ones, beyond the limit.
    pub more: bool,
}

/// Whether the journal is whole: each entry is chained to the one before by a digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verified {
    /// Whether it is.
    pub whole: bool,
    /// Entries that were looked at.
    pub entries: u64,
    /// Number of the first one.
    pub first_seq: Option<u64>,
    /// Number of the last one.
    pub last_seq: Option<u64>,
    /// Digest of the last one, to be kept elsewhere and compared.
    pub head: Option<String>,
    /// Number of the first one that does not fit.
    pub broken_seq: Option<u64>,
    /// What does not fit.
    pub why: Option<String>,
}

/// Which time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtQuery {
    /// Unix time in seconds.
    pub time: u64,
}

/// What was so at a time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// Unix time in seconds.
    pub time: u64,
    /// Of which deployments something is known, in the order of their names.
    pub deployments: Vec<Then>,
}

/// How a deployment stood.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Then {
    /// When its colour became live, as far back as there are entries: Unix time in seconds.
    pub live_since: u64,
    /// There is no entry of the other colour before: it may have been live for longer.
    pub or_longer: bool,
    /// The newest entry that is not younger than the time.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Which events.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventQuery {
    /// Only of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Only of these kinds, separated by commas.
    #[serde(skip_serializing_if = "Kinds::is_empty")]
    pub kind: Kinds,
    /// Whether to go on with what happens from here on, until the client has enough.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// Begin after this entry of the journal, or with the newest `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_seq: Option<u64>,
    /// So many of what has happened already; none: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl EventQuery {
    /// Entries of the past unless asked for more.
    pub const USUAL: usize = 10;

    /// What of the journal comes first.
    #[must_use]
    pub fn past(&self) -> HistoryQuery {
        let Self { deployment, kind, follow: _, since_seq, limit } = self.clone();
        let usual = if since_seq.is_some() { HistoryQuery::MOST } else { Self::USUAL };
        let limit = Some(limit.unwrap_or(usual));
        HistoryQuery { deployment, kind, after_seq: since_seq, limit, ..HistoryQuery::default() }
    }
}
