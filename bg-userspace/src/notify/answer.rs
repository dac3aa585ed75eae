//! What a hook has answered: whether it agrees, and the beginning of what it said, fit for a terminal
//! and a journal whatever it was.

use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes that are kept of what a hook says.
pub(super) const KEPT: usize = 4096;

/// Past this many bytes it is a flood: it is read slowly, so that it holds up itself and nobody else.
const FLOOD: usize = 1 << 20;

/// Pause before each piece of a flood.
const SLOWLY: Duration = Duration::from_millis(1);

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// Whether it agrees, or has taken what it was sent.
    pub(super) ok: bool,
    /// What it said, or why there is no answer.
    pub(super) output: String,
}

impl Answer {
    /// There is no answer, or one that disagrees; `said` is what came of it.
    pub(super) fn failed(why: impl fmt::Display, said: &[u8]) -> Self {
        let mut text = why.to_string().into_bytes();
        if !said.is_empty() {
            text.extend(b": ");
            text.extend(said);
        }
        Self { ok: false, output: harmless(&text) }
    }

    /// It agrees.
    pub(super) fn agreed(said: &[u8]) -> Self {
        Self { ok: true, output: harmless(said) }
    }
}

/// The beginning of something that may have no end.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    bytes: Vec<u8>,
    seen: usize,
}

impl Beginning {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether more would be thrown away.
    pub(super) const fn is_full(&self) -> bool {
        self.seen > KEPT
    }

    /// Keeps what there is room for. One byte more than is told is kept, so that the cut is seen.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let room = (KEPT + 1).saturating_sub(self.bytes.len()).min(piece.len());
        self.bytes.extend_from_slice(piece.get(..room).unwrap_or_default());
        self.seen = self.seen.saturating_add(piece.len());
    }

    /// Reads to the end and throws away what there is no room for.
    pub(super) async fn fill(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length) = from.read(&mut buffer).await
            && length > 0
        {
            self.push(buffer.get(..length).unwrap_or_default());
            if self.seen > FLOOD {
                tokio::time::sleep(SLOWLY).await;
            }
        }
    }
}

/// At most [`KEPT`] bytes of text without anything that a terminal would obey: what controls it, turns its direction
/// around or is no text stands as `\u{fffd}`. Lines stay lines.
pub(super) fn harmless(said: &[u8]) -> String {
    const CUT: char = '…';
    let text = String::from_utf8_lossy(said).replace("\r\n", "\n");
    let mut kept = String::new();
    for c in text.trim_end().chars() {
        let c = if is_harmless(c) { c } else { char::REPLACEMENT_CHARACTER };
        if kept.len() + c.len_utf8() > KEPT {
            while kept.len() + CUT.len_utf8() > KEPT {
                kept.pop();
            }
            kept.push(CUT);
            break;
        }
        kept.push(c);
    }
    kept
}

fn is_harmless(c: char) -> bool {
    let line_or_tab = matches!(c, '\n' | '\t');
    let invisible = matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    line_or_tab || !(c.is_control() || invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_short_valid_and_harmless() {
        for (said, told) in [
            (&b"plain\n"[..], "plain"),
            (b"two\r\nlines\tand a tab", "two\nlines\tand a tab"),
            (b"\x1b[2J\x07gone\x00", "\u{fffd}[2J\u{fffd}gone\u{fffd}"),
            (b"\rover", "\u{fffd}over"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("a\u{202e}b\u{9b}c".as_bytes(), "a\u{fffd}b\u{fffd}c"),
            ("grün".as_bytes(), "grün"),
            (b"", ""),
        ] {
            assert_eq!(harmless(said), told);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for one in ["a", "ü", "…", "🦀", "\u{1b}"] {
            let fits = one.repeat(KEPT / one.len());
            let told = harmless(fits.as_bytes());
            assert!(told.len() <= KEPT, "{} bytes", told.len());
            let told = harmless(format!("{fits}{one}{one}").as_bytes());
            assert!(
                told.len() <= KEPT && told.len() > KEPT - 8 && told.ends_with('…'),
                "{} bytes",
                told.len()
            );
        }
        let exact = "a".repeat(KEPT);
        assert_eq!(harmless(exact.as_bytes()), exact);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_at_all_make_a_harmful_text(said: Vec<u8>, text: String) {
            for said in [said, text.into_bytes()] {
                let told = harmless(&said.repeat(50));
                proptest::prop_assert!(told.len() <= KEPT && told.chars().all(is_harmless), "{told:?}");
            }
        }
    }

    #[test]
    fn the_beginning_is_kept_and_the_rest_is_counted_only() {
        let mut beginning = Beginning::default();
        for _ in 0..10_000 {
            beginning.push(b"0123456789");
        }
        assert!(beginning.is_full());
        assert_eq!(beginning.bytes().len(), KEPT + 1);
        assert!(Answer::agreed(beginning.bytes()).output.ends_with('…'));
    }
}
