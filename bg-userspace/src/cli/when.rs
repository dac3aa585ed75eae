//! Times as people type them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A point in time, as typed. What it is depends on the time zone and on the time of asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// So long ago.
    Ago(Duration),
    /// A time of today, or of yesterday if that lies ahead.
    Clock(Time),
    /// Without a zone.
    Civil(DateTime),
    /// With one.
    Exact(Timestamp),
}

/// What was given where a time is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotATime(String);

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(f, "{text:?} is no time: write 03:12, '2026-11-24 03:12', 2026-11-24T03:12:00Z or '2h ago'")
    }
}

impl std::error::Error for NotATime {}

impl FromStr for When {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let trimmed = text.trim();
        if let Ok(exact) = trimmed.parse::<Timestamp>() {
            return Ok(Self::Exact(exact));
        }
        for form in ["%H:%M:%S", "%H:%M"] {
            if let Ok(time) = Time::strptime(form, trimmed) {
                return Ok(Self::Clock(time));
            }
        }
        for form in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"] {
            if let Ok(civil) = DateTime::strptime(form, trimmed) {
                return Ok(Self::Civil(civil));
            }
        }
        if let Ok(date) = Date::strptime("%Y-%m-%d", trimmed) {
            return Ok(Self::Civil(date.into()));
        }
        let back = trimmed.strip_suffix("ago").unwrap_or(trimmed);
        match humantime::parse_duration(back.trim()) {
            Ok(time) => Ok(Self::Ago(time)),
            Err(_) => Err(NotATime(text.to_owned())),
        }
    }
}

impl When {
    /// The point in time. Where clocks were put forward it is the one after the gap, where they were put
    /// back the first of the two.
    ///
    /// # Errors
    ///
    /// When no calendar has it.
    pub(super) fn at(self, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, jiff::Error> {
        match self {
            Self::Exact(exact) => Ok(exact),
            Self::Ago(time) => now.checked_sub(time),
            Self::Civil(civil) => Ok(civil.to_zoned(zone.clone())?.timestamp()),
            Self::Clock(time) => {
                let here = Zoned::new(now, zone.clone());
                let today = here.date().to_datetime(time).to_zoned(zone.clone())?.timestamp();
                if today <= now {
                    return Ok(today);
                }
                Ok(here.date().yesterday()?.to_datetime(time).to_zoned(zone.clone())?.timestamp())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Berlin, without the machine's own database: UTC+1, and +2 from March to October.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn times_are_what_people_mean_by_them() {
        // 10:00 in Berlin, in winter.
        let now: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        for (typed, expected) in [
            ("03:12", "2026-11-24T02:12:00Z"),
            ("03:12:30", "2026-11-24T02:12:30Z"),
            ("10:00", "2026-11-24T09:00:00Z"),
            ("10:01", "2026-11-23T09:01:00Z"),
            ("23:59", "2026-11-23T22:59:00Z"),
            ("2026-11-24 03:12", "2026-11-24T02:12:00Z"),
            ("2026-11-24 03:12:30", "2026-11-24T02:12:30Z"),
            ("2026-11-24T03:12", "2026-11-24T02:12:00Z"),
            ("2026-07-01 03:12", "2026-07-01T01:12:00Z"),
            ("2026-11-24", "2026-11-23T23:00:00Z"),
            ("2026-11-24T03:12:00Z", "2026-11-24T03:12:00Z"),
            ("2026-11-24T03:12:00+05:30", "2026-11-23T21:42:00Z"),
            ("2h ago", "2026-11-24T07:00:00Z"),
            ("2h", "2026-11-24T07:00:00Z"),
            (" 1d 2h 3m ago ", "2026-11-23T06:57:00Z"),
            ("0s", "2026-11-24T09:00:00Z"),
            // Put forward at 02:00, put back at 03:00.
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
        ] {
            let at = typed.parse::<When>().unwrap().at(now, &berlin()).unwrap();
            assert_eq!(at, expected.parse().unwrap(), "{typed}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_with_what_would_be_one() {
        for typed in
            ["", "yesterday", "25:00", "12:60", "2026-13-01", "2026-11-24 25:00", "2x ago", "-2h", "12"]
        {
            let why = typed.parse::<When>().unwrap_err().to_string();
            assert!(why.contains("'2h ago'"), "{typed}: {why}");
        }
    }

    #[test]
    fn what_no_calendar_has_is_no_point_in_time() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(When::Ago(Duration::from_secs(u64::MAX)).at(now, &TimeZone::UTC).is_err());
        assert!(When::Ago(Duration::from_secs(400_000_000_000)).at(now, &TimeZone::UTC).is_err());
    }
}
