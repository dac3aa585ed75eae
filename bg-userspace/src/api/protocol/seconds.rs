//! A time as requests hold it: a number of seconds, whole or not, within bounds.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::time::Duration;

/// A time of at most a year.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Seconds(pub Duration);

impl Seconds {
    /// The longest time that a request may hold.
    pub const MOST: Duration = Duration::from_secs(366 * 24 * 3600);
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= Self::MOST);
        time.map(Self).ok_or_else(|| de::Error::custom("a time is a number of seconds, up to a year"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_within_bounds() {
        for (text, millis) in [("0", 0), ("20", 20_000), ("0.5", 500), ("31622400", 31_622_400_000)] {
            let time: Seconds = serde_json::from_str(text).unwrap();
            assert_eq!(time, Seconds(Duration::from_millis(millis)), "{text}");
            assert_eq!(serde_json::to_string(&time).unwrap(), text);
        }
        for text in ["-1", "1e300", "31622401", "\"20\"", "null", "true", "[1]"] {
            assert!(serde_json::from_str::<Seconds>(text).is_err(), "{text}");
        }
    }
}
