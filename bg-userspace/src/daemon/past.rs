//! Lets the control socket read the journal, and follow what is published.

use crate::api::archive::{Answering, Archive, Feed, Follow};
use crate::api::protocol::{Entry, History, HistoryQuery, Remembered, Then, Verified};
use crate::journal::{Query, Reader, Row};
use crate::notify::{Bus, Subscription};
use crate::refusal::Refusal;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The journal, to be read.
pub(crate) struct Past(Reader);

/// What is published, to be followed.
pub(super) struct Present(Bus);

impl Past {
    /// What `reader` reads.
    pub(crate) const fn new(reader: Reader) -> Self {
        Self(reader)
    }
}

impl Present {
    pub(super) const fn new(bus: Bus) -> Self {
        Self(bus)
    }
}

impl Archive for Past {
    fn history(&self, query: HistoryQuery) -> Answering<'_, Result<History, Refusal>> {
        Box::pin(async move {
            let wanted = query.wanted();
            let HistoryQuery { deployment, since, until, after_seq, kind, limit: _ } = query;
            let until = until.map(|until| time(until) - Duration::from_nanos(1));
            let asked = Query {
                deployment,
                kinds: kind.0,
                since: since.map(time),
                until,
                after_seq: after_seq.and_then(|seq| i64::try_from(seq).ok()),
                before_seq: None,
                limit: wanted + 1,
                newest_first: true,
            };
            let rows = self.0.history(&asked).await?;
            let more = rows.len() > wanted;
            let mut entries: Vec<_> = rows.into_iter().take(wanted).filter_map(entry).collect();
            entries.reverse();
            Ok(History { entries, more })
        })
    }

    fn verify(&self) -> Answering<'_, Result<Verified, Refusal>> {
        Box::pin(async move {
            let found = self.0.verify().await?;
            let count = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
            let head = found.head_hash.0.iter().fold(String::new(), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            });
            Ok(Verified {
                whole: found.first_bad.is_none(),
                entries: found.entries,
                first_seq: count(found.pruned + 1).filter(|_| found.head_seq > 0),
                last_seq: count(found.head_seq),
                head: (found.head_seq > 0).then_some(head),
                broken_seq: found.first_bad.as_ref().and_then(|bad| count(bad.seq)),
                why: found.first_bad.map(|bad| bad.why),
            })
        })
    }

    fn at(&self, at: u64) -> Answering<'_, Result<Remembered, Refusal>> {
        Box::pin(async move {
            let then = self.0.at_time(time(at)).await?;
            if let Some(broken) = then.broken {
                let what = format!("the journal is not what was written: {}", broken.why);
                let mend = "bgctl history --verify, and compare with a copy that was kept elsewhere";
                return Err(Refusal::new("broken-journal", what, format!("entry {}", broken.seq), mend));
            }
            let mut deployments = Vec::new();
            for live in then.live {
                let (after_seq, before_seq) = (Some(live.seq - 1), Some(live.seq + 1));
                let query = Query { after_seq, before_seq, limit: 1, ..Query::default() };
                let live_since =
                    live.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
                let then = |entry| Then { live_since, or_longer: live.is_oldest, entry };
                deployments.extend(self.0.history(&query).await?.into_iter().filter_map(entry).map(then));
            }
            Ok(Remembered { time: at, deployments })
        })
    }
}

impl Feed for Present {
    fn subscribe(&self) -> Box<dyn Follow> {
        Box::new(Following(self.0.subscribe()))
    }
}

struct Following(Subscription);

impl Follow for Following {
    fn next(&mut self) -> Answering<'_, Option<Arc<str>>> {
        Box::pin(self.0.next())
    }
}

/// A row whose record this version knows.
fn entry(row: Row) -> Option<Entry> {
    let at = Timestamp::try_from(row.at).unwrap_or(Timestamp::UNIX_EPOCH);
    Some(Entry { seq: u64::try_from(row.seq).ok(), at, record: row.record? })
}

fn time(unix: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix)
}
