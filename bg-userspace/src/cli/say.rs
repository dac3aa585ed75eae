//! Words, times and numbers as people read them.

use super::env::Env;
use bg_common::Colour;
use jiff::{Timestamp, Zoned};

/// A short time: `501 ns`, `3.1 µs`, `2.0 ms`.
pub(super) fn short_time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{}.{} µs", nanos / 1_000, nanos % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} ms", nanos / 1_000_000, nanos % 1_000_000 / 100_000),
        _ => format!("{}.{} s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 100_000_000),
    }
}

/// A long time: `0.1s`, `42.0s`, `3m 20s`.
pub(super) fn long_time(millis: u64) -> String {
    match millis {
        0..60_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        _ => span(millis / 1_000),
    }
}

/// A time in its two largest units: `20s`, `3m 20s`, `2h 3m`, `5d`.
pub(super) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(24 * 3600, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, name) in UNITS {
        let number = rest / unit;
        rest %= unit;
        if number > 0 || !parts.is_empty() {
            parts.push((number, name));
        }
    }
    let shown = parts.iter().take(2).filter(|(number, _)| *number > 0);
    let shown: Vec<_> = shown.map(|(number, name)| format!("{number}{name}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// A point in time, Unix time in seconds: `03:12` if it is of today, else `2026-11-24 03:12`.
pub(super) fn moment(unix: u64, env: &Env<'_>) -> String {
    let at = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    let Some(at) = at else { return format!("Unix time {unix}") };
    let (at, now) = (Zoned::new(at, env.zone.clone()), Zoned::new((env.now)(), env.zone.clone()));
    let form = if at.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.strftime(form).to_string()
}

/// A point in time to the second: `2026-11-24 03:12:04`.
pub(super) fn exactly(at: Timestamp, env: &Env<'_>) -> String {
    Zoned::new(at, env.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A size: `999 B`, `1.2 kB`, `3.4 GB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut rest = bytes;
    let mut unit = "B";
    let mut tenth = 0;
    for next in UNITS {
        if rest < 1_000 {
            break;
        }
        (tenth, rest, unit) = (rest % 1_000 / 100, rest / 1_000, next);
    }
    format!("{rest}.{tenth} {unit}")
}

/// `1 flow`, `2 flows`.
pub(super) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// `blue (1.3)`, or `blue` if nobody said what runs there.
pub(super) fn named(colour: impl std::fmt::Display, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{colour} ({})", clean(version)),
        None => colour.to_string(),
    }
}

/// A text from elsewhere on one line, without what a terminal would obey.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            clean.extend(letter.escape_default());
        } else {
            clean.push(letter);
        }
    }
    clean
}

/// Whose machine it is, of a probe's target: `green 10.2.0.2`, `green`, or `VIP`.
pub(super) fn target(colour: Option<Colour>, address: Option<std::net::IpAddr>) -> String {
    match (colour, address) {
        (Some(colour), Some(address)) => format!("{colour} {address}"),
        (Some(colour), None) => colour.to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => "VIP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        let short = [
            (0, "0 ns"),
            (999, "999 ns"),
            (3_140, "3.1 µs"),
            (2_000_000, "2.0 ms"),
            (1_250_000_000, "1.2 s"),
        ];
        for (nanos, text) in short {
            assert_eq!(short_time(nanos), text);
        }
        for (millis, text) in [(134, "0.1s"), (59_900, "59.9s"), (200_000, "3m 20s")] {
            assert_eq!(long_time(millis), text);
        }
        let spans = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_600, "1h"),
            (7_384, "2h 3m"),
            (90_000, "1d 1h"),
            (86_460, "1d"),
        ];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
        let sizes =
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_234_567, "1.2 MB"), (u64::MAX, "18.4 EB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn nothing_from_elsewhere_breaks_a_line_or_moves_the_cursor() {
        assert_eq!(clean("release 7\nforged\x1b[2J\u{9b}"), "release 7\\nforged\\u{1b}[2J\\u{9b}");
        assert_eq!(clean("Größe → 1.4"), "Größe → 1.4");
    }
}
