//! What came of it.

use super::play::Player;
use super::shrink::Found;
use bg_common::Reason;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Reasons that the programs cannot come to here, and why.
pub const UNREACHABLE: [(Reason, &str); 1] =
    [(Reason::Rewrite, "the kernel refuses a change of headers that were read only when it has no memory")];

/// Steps of a difference that are told.
const TOLD: usize = 30;

/// Progress is told so often.
const TELL: Duration = Duration::from_secs(5);

/// What was compared.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Packets that programs and model were given.
    pub packets: u64,
    /// Rounds and sweeps in which they differed.
    pub mismatches: u64,
    /// Reasons that packets came to.
    pub reasons_hit: usize,
    /// Reasons that there are.
    pub reasons_total: usize,
    /// The others, as `bgctl counters` names them.
    pub reasons_missed: Vec<&'static str>,
    /// Those of them that this machine cannot come to, and why.
    #[serde(skip)]
    pub skipped: Vec<(Reason, String)>,
    /// How often each was counted.
    #[serde(skip)]
    pub hit: BTreeMap<u32, u64>,
    /// The first few differences.
    #[serde(skip)]
    pub differences: Vec<String>,
    #[serde(skip)]
    begun: Instant,
    #[serde(skip)]
    told: Instant,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            packets: 0,
            mismatches: 0,
            reasons_hit: 0,
            reasons_total: Reason::ALL.len(),
            reasons_missed: Reason::ALL.iter().map(|reason| reason.as_str()).collect(),
            skipped: Vec::new(),
            hit: BTreeMap::new(),
            differences: Vec::new(),
            begun: Instant::now(),
            told: Instant::now(),
        }
    }
}

impl Report {
    /// Takes note of the packets and reasons of a round.
    pub(super) fn count(&mut self, player: &mut Player) {
        self.packets += std::mem::take(&mut player.packets);
        for (reason, count) in &player.model().tables.counted {
            self.met(*reason, *count);
        }
    }

    /// Takes note of a reason that was counted.
    pub(super) fn met(&mut self, reason: Reason, count: u64) {
        *self.hit.entry(reason.index()).or_default() += count;
        self.reasons_hit = self.hit.len();
        self.reasons_missed = self.missed().iter().map(|reason| reason.as_str()).collect();
    }

    /// Takes note of a reason that this machine cannot come to, and says so.
    pub(super) fn skip(&mut self, reason: Reason, why: String) {
        crate::say(&format!("SKIP {}: {why}", reason.as_str()));
        self.skipped.push((reason, why));
    }

    /// Takes note of a difference.
    pub(super) fn differ(&mut self, seed: u64, found: &Found) {
        self.mismatches += 1;
        let count = found.steps.len();
        let again = if found.again { "again with these" } else { "but not again: the last" };
        let mut text = format!("difference in the round of seed {seed}, {again} {count} steps:\n");
        for step in found.steps.iter().skip(count.saturating_sub(TOLD)) {
            let _ = writeln!(text, "  {step}");
        }
        text += &found.difference;
        crate::say(&text);
        self.differences.push(text);
    }

    /// The reasons that no packet came to.
    #[must_use]
    pub fn missed(&self) -> Vec<Reason> {
        Reason::ALL.iter().copied().filter(|reason| !self.hit.contains_key(&reason.index())).collect()
    }

    pub(super) fn progress(&mut self, of: u64) {
        if self.told.elapsed() > TELL {
            self.told = Instant::now();
            let Self { packets, mismatches, reasons_hit, reasons_total, .. } = self;
            let rate = *packets as f64 / self.begun.elapsed().as_secs_f64();
            crate::say(&format!(
                "{packets} of {of} packets, {rate:.0}/s, {mismatches} mismatches, {reasons_hit} of {reasons_total} reasons"
            ));
        }
    }

    /// Tells it to people.
    pub(super) fn tell(&self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        crate::say(&format!(
            "{} packets in {seconds:.0} s, {:.0}/s; {} mismatches",
            self.packets,
            self.packets as f64 / seconds,
            self.mismatches
        ));
        for reason in Reason::ALL {
            if let Some(count) = self.hit.get(&reason.index()) {
                crate::say(&format!("{:>10}  {}", count, reason.as_str()));
            }
        }
        for reason in self.missed() {
            let skipped = self.skipped.iter().map(|(reason, why)| (*reason, why.as_str()));
            let why = UNREACHABLE.into_iter().chain(skipped).find(|(it, _)| *it == reason);
            let why = why.map_or("not met by chance", |(_, why)| why);
            crate::say(&format!("     never  {}: {why}", reason.as_str()));
        }
    }
}
