//! The terminal as a canvas: its own screen while the demo runs, and the old one back afterwards, even
//! after a panic.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::Once;

/// A second screen, no cursor, no wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The smallest terminal, in columns and rows, that can hold the picture.
const SMALLEST: (usize, usize) = (80, 24);

/// The canvas; the old screen is back when it is dropped.
#[derive(Debug)]
pub(super) struct Terminal(());

impl Terminal {
    /// Takes the terminal over.
    pub(super) fn enter() -> io::Result<Self> {
        static HOOKED: Once = Once::new();
        HOOKED.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                // The message belongs on the screen that stays.
                leave();
                before(info);
            }));
        });
        write(ENTER)?;
        Ok(Self(()))
    }

    /// Shows these lines and nothing else.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let rows = size().map_or(SMALLEST.1, |(_, rows)| rows);
        let mut text = "\x1b[H".to_owned();
        for line in lines.iter().take(rows) {
            text += line;
            // No line feed after the last row: it would scroll.
            text += "\x1b[K\r\n";
        }
        text.truncate(text.trim_end().len());
        text += "\x1b[J";
        write(&text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// Whether standard output is a terminal that can hold the picture.
pub(super) fn suits() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !dumb
        && io::stdout().is_terminal()
        && size().is_some_and(|(columns, rows)| columns >= SMALLEST.0 && rows >= SMALLEST.1)
}

/// Columns and rows.
pub(super) fn size() -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which is to a local of that type.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (done == 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

fn leave() {
    // A terminal that is gone needs no restoring.
    drop(write(LEAVE));
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
