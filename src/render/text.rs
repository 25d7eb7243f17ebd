//! Running text for narrow and for wide terminals.

use super::Look;
use super::escape::escape;
use std::io::{self, Write};
use tabled::grid::util::string::get_line_width;

/// Narrower than this no text reads well; rather let the terminal wrap it.
const NARROWEST: usize = 24;

/// Writes a text, made harmless, over as many lines as it needs, each after its indent: the first after `first`, which
/// takes up `indent` columns, the others after as many blanks.
pub fn write_wrapped(
    out: &mut dyn Write,
    look: &Look,
    first: &str,
    indent: usize,
    text: &str,
) -> io::Result<()> {
    let text = escape(text);
    let room = look.width.map(|width| width.saturating_sub(indent).max(NARROWEST));
    let mut lead = first.to_owned();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let width = get_line_width(word);
        if used > 0 && room.is_some_and(|room| used + 1 + width > room) {
            writeln!(out, "{lead}{line}")?;
            lead = " ".repeat(indent);
            line.clear();
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += width;
    }
    writeln!(out, "{lead}{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_hang() {
        let wrapped = |width: Option<usize>, text: &str| {
            let look = Look { width, ..Look::plain("2026-11-02T09:20:00Z".parse().expect("a time")) };
            let mut out = Vec::new();
            write_wrapped(&mut out, &look, "owner: ", 7, text).expect("memory takes it all");
            String::from_utf8(out).expect("text")
        };
        let text = "it answers\u{1b} at http://127.0.0.1:1 and says who it is";
        assert_eq!(wrapped(None, text), "owner: it answers\\x1b at http://127.0.0.1:1 and says who it is\n");
        let narrow = "owner: it answers\\x1b at\n       http://127.0.0.1:1 and\n       says who it is\n";
        assert_eq!(wrapped(Some(31), text), narrow);
        assert_eq!(wrapped(Some(3), text), narrow, "there is a limit to narrowness");
        assert_eq!(wrapped(Some(40), ""), "owner: \n");
    }
}
