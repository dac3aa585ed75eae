//! What `{colour}`, `{address}` and `{deployment}` stand for in what a probe sends, runs and wants.

use bg_common::Colour;
use std::net::IpAddr;

/// What stands for the placeholders of one question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    /// `{deployment}`: its name.
    pub deployment: String,
    /// `{colour}`: that of the slice; through the VIP, the live one.
    pub colour: Colour,
    /// `{address}`: of the machine or the VIP; of a slice as a whole all of them, separated by commas.
    pub addresses: Vec<IpAddr>,
}

impl Names {
    /// `{address}`.
    #[must_use]
    pub fn address(&self) -> String {
        self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// `text` with its placeholders replaced. What replaces them is not looked at again.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.fill_bytes(text.as_bytes())).into_owned()
    }

    /// As [`fill`](Self::fill), of anything.
    #[must_use]
    pub fn fill_bytes(&self, mut text: &[u8]) -> Vec<u8> {
        let known = [
            ("{deployment}", self.deployment.clone()),
            ("{colour}", self.colour.to_string()),
            ("{address}", self.address()),
        ];
        let mut filled = Vec::with_capacity(text.len());
        while let Some((first, rest)) = text.split_first() {
            let found = known.iter().find_map(|(name, value)| {
                text.strip_prefix(name.as_bytes()).map(|rest| (value.as_bytes(), rest))
            });
            let (value, rest) = found.unwrap_or((std::slice::from_ref(first), rest));
            filled.extend_from_slice(value);
            text = rest;
        }
        filled
    }

    /// The same question for the other slice.
    #[must_use]
    pub fn of_other_colour(&self) -> Self {
        Self { colour: self.colour.other(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_once_and_everything_else_stays() {
        let names = Names {
            deployment: "{colour}".to_owned(),
            colour: Colour::Green,
            addresses: vec![IpAddr::from([10, 1, 0, 2]), IpAddr::from([10, 1, 0, 3])],
        };
        for (text, filled) in [
            ("/health?of={colour}", "/health?of=green"),
            ("{deployment}/{address}", "{colour}/10.1.0.2,10.1.0.3"),
            ("{{colour}} {color} {", "{green} {color} {"),
            ("blåt {colour}", "blåt green"),
            ("", ""),
        ] {
            assert_eq!(names.fill(text), filled);
        }
        assert_eq!(names.fill_bytes(b"\xff{colour}\0"), b"\xffgreen\0");
    }
}
