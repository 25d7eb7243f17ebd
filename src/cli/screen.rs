//! Draws a changing picture in place, without flicker: nothing is cleared before it is drawn over.

use super::console::Console;
use std::io;

/// A picture on standard output that is drawn again and again.
#[derive(Debug, Default)]
pub(super) struct Screen {
    drawn_before: bool,
}

impl Screen {
    /// Draws text over the last picture, cut to the size of the terminal.
    pub(super) fn draw(&mut self, console: &mut Console, text: &str) -> io::Result<()> {
        let lines = console.stdout_size().map_or(usize::MAX, |size| size.lines);
        let picture = picture(text, lines, self.drawn_before);
        self.drawn_before = true;
        console.stdout().write_all(picture.as_bytes())?;
        console.stdout().flush()
    }
}

/// The control sequences and text of one picture.
fn picture(text: &str, terminal_lines: usize, drawn_before: bool) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // The last line stays free, for the cursor and for `^C`.
    let room = terminal_lines.saturating_sub(1).max(1);
    let mut picture = String::with_capacity(text.len() + lines.len() * 4 + 32);
    // Home; a first picture needs room, so what was on the screen is scrolled away by clearing. Lines that are too long
    // are cut by the terminal instead of wrapped, or the count of lines would be wrong.
    picture.push_str(if drawn_before { "\u{1b}[H\u{1b}[?7l" } else { "\u{1b}[2J\u{1b}[H\u{1b}[?7l" });
    let shown = if lines.len() > room { &lines[..room - 1] } else { &lines[..] };
    for line in shown {
        picture.push_str(line);
        picture.push_str("\u{1b}[K\r\n");
    }
    if shown.len() < lines.len() {
        picture.push_str(&format!("… {} more lines\u{1b}[K\r\n", lines.len() - shown.len()));
    }
    picture.push_str("\u{1b}[J\u{1b}[?7h");
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_cut_to_the_terminal_and_says_so() {
        let plain = |text: &str| text.replace('\u{1b}', "^");
        assert_eq!(plain(&picture("a\nb\n", 24, false)), "^[2J^[H^[?7la^[K\r\nb^[K\r\n^[J^[?7h");
        assert_eq!(
            plain(&picture("a\nb\nc\nd\n", 4, true)),
            "^[H^[?7la^[K\r\nb^[K\r\n… 2 more lines^[K\r\n^[J^[?7h"
        );
        assert_eq!(plain(&picture("a\nb\nc\n", 4, true)), "^[H^[?7la^[K\r\nb^[K\r\nc^[K\r\n^[J^[?7h");
    }
}
