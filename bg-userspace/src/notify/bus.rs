//! Where records are published: followers get them as lines, hooks as notices. Publishing never waits.

use super::hooks::Desk;
use super::notice::{Lagged, Line, Notice};
use crate::model::record::Record;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::broadcast::{self, error::RecvError};

/// Lines that a follower may be behind before it loses the oldest.
const BEHIND: usize = 1024;

/// The place where records are published. Clones are the same place.
#[derive(Clone, Debug)]
pub struct Bus {
    lines: broadcast::Sender<Arc<str>>,
    pub(super) desk: Arc<Desk>,
}

/// What a follower reads from.
#[derive(Debug)]
pub struct Subscription {
    lines: broadcast::Receiver<Arc<str>>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { lines: broadcast::Sender::new(BEHIND), desk: Arc::default() }
    }
}

impl Bus {
    /// A bus that nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells everybody what happened `at` that time; `seq` is its number in the journal, if it has one.
    pub fn publish(&self, seq: Option<u64>, at: SystemTime, record: &Record) {
        let notice = Arc::new(Notice::new(seq, at, record.clone()));
        self.desk.post(&notice);
        if self.lines.receiver_count() == 0 {
            return;
        }
        match line(&*notice) {
            // The last follower may have left meanwhile.
            Ok(line) => drop(self.lines.send(line)),
            Err(why) => tracing::error!(%why, kind = notice.kind(), "a record cannot be told to followers"),
        }
    }

    /// Follows what is published from here on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        Subscription { lines: self.lines.subscribe() }
    }
}

impl Subscription {
    /// The next line, with its newline; none once the bus is gone. One who was too slow gets a
    /// [`Line::Lagged`] in place of what is lost.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        match self.lines.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(lost)) => line(&Line::Lagged(Lagged::new(lost))).ok(),
            Err(RecvError::Closed) => None,
        }
    }
}

fn line(value: &impl serde::Serialize) -> serde_json::Result<Arc<str>> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    fn parsed(line: &str) -> Line {
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?} is one line");
        Line::parse(line).unwrap()
    }

    #[tokio::test]
    async fn followers_get_what_is_published_after_they_came_in_order() {
        let bus = Bus::new();
        bus.publish(Some(1), SystemTime::now(), &samples::frozen("too early"));
        let (mut first, mut second) = (bus.subscribe(), bus.subscribe());
        for seq in 2..5 {
            bus.publish(Some(seq), SystemTime::now(), &samples::frozen("line\nbreak"));
        }
        drop(bus);
        for follower in [&mut first, &mut second] {
            for seq in 2..5 {
                let line = follower.next().await.unwrap();
                assert!(matches!(parsed(&line), Line::Notice(notice) if notice.seq == Some(seq)), "{line}");
            }
            assert_eq!(follower.next().await, None);
        }
    }

    #[tokio::test]
    async fn a_slow_follower_loses_the_oldest_and_is_told_how_many() {
        let bus = Bus::new();
        let mut slow = bus.subscribe();
        let published = 3 * BEHIND as u64 + 17;
        for seq in 0..published {
            bus.publish(Some(seq), SystemTime::now(), &samples::frozen("why"));
        }
        drop(bus);
        let Line::Lagged(lagged) = parsed(&slow.next().await.unwrap()) else { panic!("nothing was lost") };
        let mut next = lagged.lost;
        assert!(next >= published - BEHIND as u64 * 2, "{next} of {published} are lost");
        while let Some(line) = slow.next().await {
            assert!(matches!(parsed(&line), Line::Notice(notice) if notice.seq == Some(next)), "{line}");
            next += 1;
        }
        assert_eq!(next, published);
    }
}
