//! Judges how a deployment wants to be treated: at a switch, while it drains, and when something fails.

use super::problems::{At, Problems};
use super::raw::{RawDrill, RawPassive, RawPolicy};
use super::read::Given;
use super::values::{Times, choice, number, time, time_or_none};
use crate::model::policy::{
    DeadFlows, DrainLimit, DrillSchedule, FateChoice, Flap, NoBackend, Passive, Policy, Quorum,
};
use std::time::Duration;

/// What could find fault with a slice, besides real traffic.
pub(super) struct Witnesses<'d> {
    /// Path of the deployment's key.
    pub(super) key: &'d str,
    /// The keys of the deployment.
    pub(super) given: &'d Given,
    /// Whether there are hooks that gate a switch.
    pub(super) before: bool,
    /// Whether there are hooks that watch a switch.
    pub(super) watch: bool,
}

const BAKE: Times = Times {
    least: Duration::from_secs(1),
    most: Duration::from_secs(86_400),
    words: "1s to 24h, such as \"5m\", or \"0s\" for none",
};

/// The word's deadline counts in steps of 134 ms, and a person must be able to be so fast.
const CONFIRM: Times = Times {
    least: Duration::from_secs(2),
    most: Duration::from_secs(86_400),
    words: "2s to 24h, such as \"2m\"",
};

const DRAIN: Times = Times {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30 * 86_400),
    words: "1s to 30days, such as \"10m\"",
};

const FLAP: Times = Times {
    least: Duration::from_secs(1),
    most: Duration::from_secs(86_400),
    words: "1s to 24h, such as \"5m\"",
};

const STANDBY: Times = Times {
    least: Duration::from_secs(60),
    most: Duration::from_secs(365 * 86_400),
    words: "1m to 365days, such as \"24h\"",
};

const WINDOW: Times = Times {
    least: Duration::from_secs(1),
    most: Duration::from_secs(3600),
    words: "1s to 1h, such as \"30s\"",
};

const EVERY: Times = Times {
    least: Duration::from_secs(600),
    most: Duration::from_secs(365 * 86_400),
    words: "10m to 365days, such as \"7d\"",
};

const HOLD: Times = Times {
    least: Duration::from_secs(1),
    most: Duration::from_secs(3600),
    words: "1s to 1h, such as \"30s\"",
};

const FATE: &[(&str, FateChoice)] =
    &[("keep", FateChoice::Keep), ("reset", FateChoice::Reset), ("move", FateChoice::Move)];

const NO_BACKEND: &[(&str, NoBackend)] =
    &[("stay", NoBackend::Stay), ("failover", NoBackend::FailOver), ("refuse", NoBackend::Refuse)];

const DEAD_FLOWS: &[(&str, DeadFlows)] =
    &[("keep", DeadFlows::Keep), ("reset", DeadFlows::Reset), ("move", DeadFlows::Move)];

/// Judges everything but probes and hooks.
pub(super) fn policy(raw: RawPolicy, witnesses: &Witnesses<'_>, problems: &mut Problems<'_>) -> Policy {
    needs(&raw, witnesses, problems);
    Policy {
        bake: time_or_none(raw.bake.as_ref(), &BAKE, problems),
        confirm_within: time(raw.confirm_within.as_ref(), &CONFIRM, problems),
        ask: raw.ask.is_some_and(|ask| ask.value),
        fate: choice(raw.fate, FATE, problems).unwrap_or_default(),
        drain_limit: drain_limit(raw.drain_limit.as_ref(), raw.drain_fate, witnesses.given, problems),
        no_backend: choice(raw.no_backend, NO_BACKEND, problems).unwrap_or_default(),
        dead_flows: choice(raw.dead_flows, DEAD_FLOWS, problems).unwrap_or_default(),
        quorum: quorum(raw.quorum, raw.quorum_down, problems),
        flap: flap(raw.flap_changes, raw.flap_within.as_ref(), problems),
        passive: raw.passive.map(|raw| passive(raw, problems)),
        standby_for: time(raw.standby_for.as_ref(), &STANDBY, problems),
        drill: raw.drill.and_then(|raw| drill(raw, problems)),
        ..Policy::default()
    }
}

/// Notes what could never happen, because nothing would ever trigger it.
fn needs(raw: &RawPolicy, witnesses: &Witnesses<'_>, problems: &mut Problems<'_>) {
    let Witnesses { key, given, before, watch } = *witnesses;
    let (probes, seen) = (given.has(&["probe"]), given.has(&["probe", "passive"]));
    let bake =
        raw.bake.as_ref().filter(|bake| humantime::parse_duration(&bake.value).is_ok_and(|t| !t.is_zero()));
    if let Some(At { value, place }) = bake.filter(|_| !seen && !watch) {
        let what =
            format!("a switch would be watched for {value}, but nothing could find the new side failing");
        let mend = format!(
            "add a [{key}.probe.NAME], a [{key}.passive] or a [{key}.hook.NAME] with on = [\"watch\"], or remove \
             `bake`"
        );
        problems.add("config-needs", place, what, mend);
    }
    let fail_over = raw.no_backend.as_ref().filter(|choice| choice.value == "failover");
    if let Some(At { place, .. }) = fail_over.filter(|_| !seen) {
        let what = "live would never fail over, because nothing tells whether a slice is healthy";
        let mend = format!("add a [{key}.probe.NAME] or a [{key}.passive], or remove `no_backend`");
        problems.add("config-needs", place, what, mend);
    }
    if let Some(At { place, .. }) = raw.drill.as_ref().and_then(|drill| drill.every.as_ref())
        && !probes
        && !before
    {
        let what =
            "a drill makes the standby live by itself, but nothing tells whether the standby is healthy";
        let mend = format!(
            "add a [{key}.probe.NAME] or a [{key}.hook.NAME] with on = [\"before\"], or remove [{key}.drill]"
        );
        problems.add("config-needs", place, what, mend);
    }
}

fn drain_limit(
    limit: Option<&At<String>>,
    fate: Option<At<String>>,
    given: &Given,
    problems: &mut Problems<'_>,
) -> Option<DrainLimit> {
    if let (false, Some(At { place, .. })) = (given.has(&["drain_limit"]), &fate) {
        let mend = "add drain_limit = \"10m\" or whatever time drains may take, or remove it";
        problems.add("config-needs", place, "`drain_fate` is without a `drain_limit`", mend);
    }
    let fate = match fate {
        Some(At { value, place }) if value == "keep" => {
            let mend = "use \"reset\" or \"move\", or remove `drain_limit`";
            problems.add("config-choice", &place, "a drain limit that keeps flows is no limit", mend);
            None
        }
        fate => choice(fate, FATE.get(1..).unwrap_or(FATE), problems),
    };
    let after = time(limit, &DRAIN, problems)?;
    Some(DrainLimit { after, fate: fate.unwrap_or(FateChoice::Reset) })
}

fn quorum(up: Option<At<i64>>, down: Option<At<i64>>, problems: &mut Problems<'_>) -> Quorum {
    let Quorum { up: all, down: half } = Quorum::default();
    let up = number(up, 1..=100, problems).unwrap_or(all);
    let place = down.as_ref().map(|down| down.place.clone());
    let down = number(down, 1..=100, problems).unwrap_or(half.min(up));
    if let Some(place) = place.filter(|_| down > up) {
        let what = format!("`quorum_down` is {down}, higher than the quorum of {up}");
        let mend = format!("choose at most {up}: below it, a healthy slice is unhealthy again");
        problems.add("config-range", &place, what, mend);
    }
    Quorum { up, down }
}

fn flap(changes: Option<At<i64>>, within: Option<&At<String>>, problems: &mut Problems<'_>) -> Flap {
    let default = Flap::default();
    Flap {
        changes: number(changes, 2..=1000, problems).unwrap_or(default.changes),
        within: time(within, &FLAP, problems).unwrap_or(default.within),
    }
}

fn passive(raw: RawPassive, problems: &mut Problems<'_>) -> Passive {
    let mut share = |raw, default| number(raw, 0..=100, problems).unwrap_or(default);
    let (unanswered, refused, resets) =
        (share(raw.unanswered, 20), share(raw.refused, 20), share(raw.resets, 50));
    Passive {
        window: time(raw.window.as_ref(), &WINDOW, problems).unwrap_or(Duration::from_secs(30)),
        least: number(raw.least, 1..=1_000_000, problems).unwrap_or(20),
        unanswered,
        refused,
        resets,
    }
}

fn drill(raw: RawDrill, problems: &mut Problems<'_>) -> Option<DrillSchedule> {
    let hold = time(raw.hold.as_ref(), &HOLD, problems).unwrap_or(Duration::from_secs(30));
    let every = time(raw.every.as_ref(), &EVERY, problems)?;
    if let Some(At { place, .. }) = raw.hold.as_ref().filter(|_| hold >= every) {
        problems.add("config-range", place, "a drill would last until the next one", "hold shorter");
    }
    Some(DrillSchedule { every, hold })
}

#[cfg(test)]
mod tests;
