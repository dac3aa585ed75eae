//! Colours of a terminal, and how numbers and times are written.

use bg_common::Colour;
use std::fmt::Display;
use std::time::Duration;

/// Paints, or leaves plain where colour is unwanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paint {
    /// Whether there is colour.
    pub on: bool,
}

impl Paint {
    pub(crate) fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: impl Display) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: impl Display) -> String {
        self.wrap("1;91", text)
    }

    /// In the colour that it is about.
    pub(crate) fn of(self, colour: Colour, text: impl Display) -> String {
        self.wrap(&format!("38;5;{}", code(colour)), text)
    }

    /// As [`Self::of`], and bold.
    pub(crate) fn strong(self, colour: Colour, text: impl Display) -> String {
        self.wrap(&format!("1;38;5;{}", code(colour)), text)
    }

    /// One colour upon the other.
    pub(crate) fn upon(self, colour: Colour, ground: Colour, text: impl Display) -> String {
        self.wrap(&format!("38;5;{};48;5;{}", code(colour), code(ground)), text)
    }

    fn wrap(self, style: &str, text: impl Display) -> String {
        if self.on { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Entry of the 256-colour palette; bright enough for a dark ground, dark enough for a bright one.
const fn code(colour: Colour) -> u8 {
    match colour {
        Colour::Blue => 33,
        Colour::Green => 35,
    }
}

/// `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `41 ns`, `3.2 µs`, `3.21 ms`, `1.4 s`.
pub(crate) fn span(time: Duration) -> String {
    let nanos = time.as_nanos();
    match nanos {
        0 => "0".to_owned(),
        1..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", nanos as f64 / 1e6),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_written_for_people() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        for (nanos, text) in
            [(0, "0"), (41, "41 ns"), (3_200, "3.2 µs"), (3_210_000, "3.21 ms"), (1_400_000_000, "1.4 s")]
        {
            assert_eq!(span(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        assert_eq!(Paint { on: false }.strong(Colour::Blue, "x"), "x");
        assert_eq!(Paint { on: true }.bold("x"), "\x1b[1mx\x1b[0m");
    }
}
