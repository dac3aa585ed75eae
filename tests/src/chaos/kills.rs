//! Kills the daemon over and over: at every fail point by name, and at random moments.

use super::Report;
use super::look::Look;
use super::options::Options;
use super::orders::{Chooser, Order};
use super::points::{POINTS, Passed};
use super::stage::Stage;
use crate::daemon::Settings;
use crate::dice::Dice;
use crate::signals;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// The daemon with fail points.
const PROGRAM: &str = "bgd-chaos";

/// Every other kill comes at a random moment of the first so many milliseconds of an order.
const MOMENTS: u64 = 60;

/// Orders that may pass before a fail point is reached.
const ORDERS: usize = 4;

/// What follows an answer (records, roles) comes within this time.
const AFTERMATH: Duration = Duration::from_millis(100);

/// Progress is told so often.
const TELL: Duration = Duration::from_secs(5);

struct Chaos {
    stage: Stage,
    dice: Dice,
    chooser: Chooser,
    report: Report,
    ready: Vec<Duration>,
    /// The newest change of who is live that was counted.
    counted: Option<u64>,
    /// Time for starts, for comparing, and for orders until the kill.
    spent: [Duration; 3],
}

/// Where the next daemon dies.
#[derive(Clone)]
struct Death {
    point: Option<(&'static str, Passed)>,
    turn: u64,
}

pub(super) fn run(options: &Options) -> Result<Report> {
    let started = Instant::now();
    let stage = Stage::new(PROGRAM, &Settings::hooked("tc", "auto"))?;
    let (dice, chooser) = (Dice::new(options.seed), Chooser::new());
    let mut chaos = Chaos {
        stage,
        dice,
        chooser,
        report: Report::default(),
        ready: Vec::new(),
        counted: None,
        spent: [Duration::ZERO; 3],
    };
    chaos.make()?;
    chaos.stage.load(None)?;
    let mut told = Instant::now();
    loop {
        let enough = chaos.report.kills >= options.kills && chaos.report.flips >= options.flips;
        if enough || started.elapsed() > options.time || signals::seen() {
            break;
        }
        let death = chaos.next_death();
        chaos.live_and_die(&death).with_context(|| format!("at {:?}", death.point))?;
        if told.elapsed() > TELL {
            told = Instant::now();
            chaos.tell();
        }
    }
    chaos.end()
}

impl Chaos {
    /// Dies on the way to the first data plane, at every point there is.
    fn make(&mut self) -> Result<()> {
        for (point, _) in POINTS.iter().filter(|(_, passed)| *passed == Passed::Making) {
            let answered = self.stage.launch(Some(point))?;
            ensure!(answered.is_none(), "the daemon has not died at {point}");
            self.died(Some(point));
        }
        self.stage.launch(None)?.context("the daemon ended at its start")?;
        self.stage.bury()
    }

    /// Each point once, then any of them or none.
    fn next_death(&mut self) -> Death {
        let often: Vec<_> = POINTS.iter().copied().filter(|(_, passed)| *passed != Passed::Making).collect();
        let new = often.iter().copied().find(|(name, _)| !self.report.reached.contains(name));
        // Points alternate with moments, so that a new point is not waited for in vain.
        let by_point = self.report.kills.is_multiple_of(2);
        let any = self.dice.one_of(&often).copied();
        let point = if by_point { new.or(any) } else { None };
        Death { point, turn: 1 + self.dice.below(if new.is_some() { 1 } else { 3 }) }
    }

    /// One life of the daemon: it starts, is compared with the world, gets orders and dies.
    fn live_and_die(&mut self, death: &Death) -> Result<()> {
        let name = death.point.map(|(name, _)| name);
        let armed = name.map(|name| format!("{name}:{}", death.turn));
        let begun = Instant::now();
        let launched = self.stage.launch(armed.as_deref())?;
        let launched_at = Instant::now();
        self.spend(0, begun);
        let Some(ready) = launched else {
            self.died(name);
            return Ok(());
        };
        self.ready.push(ready);
        let looked = self.stage.look()?;
        let looked_at = Instant::now();
        self.spend(1, launched_at);
        match looked {
            Look::Died => {
                self.died(name);
                return self.stage.bury();
            }
            Look::Agree => {}
            Look::Differ(how) => self.differ(how),
        }
        self.count();
        match death.point {
            None => {
                self.stage.give(Order::Switch, None)?;
                let order = self.chooser.choose(&mut self.dice);
                let cut = Duration::from_micros(self.dice.below(MOMENTS * 1000));
                self.stage.give(order, Some(cut))?;
            }
            Some((_, passed)) => {
                for _ in 0..ORDERS {
                    let order = match passed {
                        Passed::Reload => Order::Reload,
                        Passed::Often | Passed::Making => self.chooser.choose(&mut self.dice),
                    };
                    self.stage.give(order, None)?;
                    if wait::until("it dies", AFTERMATH, || self.stage.is_dead()).is_ok() {
                        break;
                    }
                }
            }
        }
        self.spend(2, looked_at);
        let by_itself = self.stage.is_dead();
        self.died(name.filter(|_| by_itself));
        self.stage.bury()
    }

    fn spend(&mut self, on: usize, since: Instant) {
        if let Some(spent) = self.spent.get_mut(on) {
            *spent += since.elapsed();
        }
    }

    /// Counts the changes of who is live since it was last done. A daemon that dies meanwhile is asked next time.
    fn count(&mut self) {
        if let Some((flips, newest)) = self.stage.flips(self.counted) {
            self.report.flips += flips;
            self.counted = newest.or(self.counted);
        }
    }

    fn died(&mut self, point: Option<&'static str>) {
        self.report.kills += 1;
        if let Some(point) = point.filter(|point| !self.report.reached.contains(point)) {
            self.report.reached.push(point);
        }
    }

    fn differ(&mut self, how: String) {
        self.report.state_mismatch += 1;
        let kills = self.report.kills;
        let trouble = format!("after {kills} kills: {how}");
        crate::say(&trouble);
        self.report.troubles.push(trouble);
    }

    fn end(mut self) -> Result<Report> {
        self.stage.launch(None)?.context("the daemon ended at its start")?;
        if let Look::Differ(how) = self.stage.look()? {
            self.differ(how);
        }
        self.count();
        if let Err(error) = self.stage.verify().and_then(|()| self.stage.verify_offline()) {
            self.differ(format!("{error:#}"));
        }
        let tally = self.stage.rest()?;
        (self.report.requests, self.report.failed) = (tally.requests(), tally.failed());
        self.report.troubles.extend(tally.examples);
        self.ready.sort_unstable();
        let p99 = self.ready.get(self.ready.len().saturating_sub(1) * 99 / 100);
        self.report.ready_ms_p99 =
            p99.map_or(0, |ready| u64::try_from(ready.as_millis()).unwrap_or(u64::MAX));
        Ok(self.report)
    }

    fn tell(&self) {
        let Report { kills, flips, state_mismatch, reached, .. } = &self.report;
        let (requests, failed) = self.stage.tally(|tally| (tally.requests(), tally.failed()));
        let [starts, looks, orders] = self.spent.map(|spent| spent.as_secs());
        crate::say(&format!(
            "{kills} kills, {flips} flips, {} of {} fail points, {requests} requests, {failed} failed, \
             {state_mismatch} mismatches; {starts} s of starts, {looks} s of looks, {orders} s of orders",
            reached.len(),
            POINTS.len(),
        ));
    }
}
