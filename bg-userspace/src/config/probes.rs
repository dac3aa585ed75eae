//! Judges probes: how often they ask, and how many answers count. Whom they ask is judged by `target`, and
//! what by `ask`.

mod ask;
mod target;

use super::problems::{At, Problems};
use super::raw::{RawPace, RawProbe};
use super::read::Given;
use super::services::{Checked, name};
use super::values::{Times, choice, listed, number, time};
use crate::dataplane::Protocol;
use crate::health::spec::ProbeSpec;
use crate::model::policy::{Level, ProbePolicy};
use std::net::IpAddr;
use std::time::Duration;
use target::{Target, target};

/// What a probe can refer to.
pub(super) struct Around<'d> {
    /// Names of all services of its deployment.
    pub(super) known: &'d [String],
    /// Those that are fine.
    pub(super) services: &'d [Checked],
    /// Where probes through VIPs come from.
    pub(super) probe_addresses: &'d [IpAddr],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Https,
    Udp,
    Grpc,
    Command,
}

const KIND: &[(&str, Kind)] = &[
    ("tcp", Kind::Tcp),
    ("http", Kind::Http),
    ("https", Kind::Https),
    ("udp", Kind::Udp),
    ("grpc", Kind::Grpc),
    ("command", Kind::Command),
];

impl Kind {
    fn word(self) -> &'static str {
        KIND.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// The protocol it asks in; none: it does not ask a port.
    fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Tcp | Self::Http | Self::Https | Self::Grpc => Some(Protocol::Tcp),
            Self::Udp => Some(Protocol::Udp),
            Self::Command => None,
        }
    }
}

/// Keys that are not for every kind, and for which they are.
const FITS: &[(&[&str], &[Kind])] = &[
    (&["service", "port", "vip"], &[Kind::Tcp, Kind::Http, Kind::Https, Kind::Udp, Kind::Grpc]),
    (&["path", "host", "status", "body"], &[Kind::Http, Kind::Https]),
    (&["tls_name", "tls_verify"], &[Kind::Https, Kind::Grpc]),
    (&["tls", "grpc_service"], &[Kind::Grpc]),
    (&["send", "send_hex", "expect", "expect_hex"], &[Kind::Udp]),
    (&["command", "per"], &[Kind::Command]),
];

/// Judges one probe: what the prober and what the model have to know of it.
pub(super) fn probe(
    raw: RawProbe,
    around: &Around<'_>,
    problems: &mut Problems<'_>,
) -> Option<(ProbeSpec, ProbePolicy)> {
    let RawProbe { name: raw_name, kind, target: whom, pace, ask, given } = raw;
    let name = name("probe", &raw_name, problems);
    let pace = self::pace(pace, problems);
    let kind = choice(kind, KIND, problems)?;
    unfit(kind, &given, problems);
    let level = match choice(whom.per.clone(), PER, problems) {
        Some(level) if kind == Kind::Command => level,
        None if kind == Kind::Command => Level::Slice,
        _ => Level::Backend,
    };
    let asks = ask::Asks { kind, level, given: &given, probe: &raw_name.place };
    let ask = ask::ask(&asks, ask, problems);
    let target = match kind.protocol() {
        Some(protocol) => target(
            whom,
            &target::Asks { kind, protocol, given: &given, probe: &raw_name.place },
            around,
            problems,
        )?,
        None => Target::default(),
    };
    let (name, ask) = (name?.to_string(), ask?);
    let Pace { interval, jitter, timeout, rise, fall, start_up } = pace;
    let vip = !target.frontends.is_empty();
    let policy =
        ProbePolicy { name: name.clone(), service: target.service, level, rise, fall, start_up, vip };
    let Target { port, frontends, .. } = target;
    Some((ProbeSpec { name, level, port, frontends, interval, jitter, timeout, ask }, policy))
}

const PER: &[(&str, Level)] = &[("backend", Level::Backend), ("slice", Level::Slice)];

const START: &[(&str, bool)] = &[("unhealthy", false), ("healthy", true)];

/// Notes keys that are not for this kind.
fn unfit(kind: Kind, given: &Given, problems: &mut Problems<'_>) {
    for At { value: key, place } in &given.0 {
        let fits = FITS.iter().find(|(keys, _)| keys.contains(key)).map(|(_, kinds)| *kinds);
        let Some(kinds) = fits.filter(|kinds| !kinds.contains(&kind)) else { continue };
        let words = listed(kinds.iter().map(|kind| kind.word()));
        let what = format!("`{key}` is for {words} probes; this one is {}", kind.word());
        let mend = if kind == Kind::Http && key.starts_with("tls") {
            "write kind = \"https\" to speak TLS, or remove it"
        } else {
            "remove it, or choose a `kind` that has it"
        };
        problems.add("config-unfit", place, what, mend);
    }
}

struct Pace {
    interval: Duration,
    jitter: u8,
    timeout: Duration,
    rise: u32,
    fall: u32,
    start_up: bool,
}

const INTERVAL: Times = Times {
    least: Duration::from_millis(100),
    most: Duration::from_secs(3600),
    words: "100ms to 1h, such as \"2s\"",
};

const TIMEOUT: Times = Times {
    least: Duration::from_millis(1),
    most: Duration::from_secs(3600),
    words: "1ms to the length of the interval, such as \"1s\"",
};

fn pace(raw: RawPace, problems: &mut Problems<'_>) -> Pace {
    let interval = time(raw.interval.as_ref(), &INTERVAL, problems);
    // One that is wrong was reported, and says nothing about the timeout.
    let known = interval.is_some() || raw.interval.is_none();
    let interval = interval.unwrap_or(Duration::from_secs(2));
    let timeout = time(raw.timeout.as_ref(), &TIMEOUT, problems);
    if let (Some(timeout), Some(At { value, place })) = (timeout, &raw.timeout)
        && known
        && timeout > interval
    {
        let interval = humantime::format_duration(interval);
        let what = format!("the timeout of {value} is longer than the interval of {interval}");
        let mend = format!("choose at most {interval}, or a longer `interval`");
        problems.add("config-range", place, what, mend);
    }
    Pace {
        interval,
        timeout: timeout.unwrap_or_else(|| interval.min(Duration::from_secs(1))),
        jitter: number(raw.jitter, 0..=50, problems).unwrap_or(10),
        rise: number(raw.rise, 1..=100, problems).unwrap_or(2),
        fall: number(raw.fall, 1..=100, problems).unwrap_or(3),
        start_up: choice(raw.start, START, problems).unwrap_or(false),
    }
}

#[cfg(test)]
mod tests;
