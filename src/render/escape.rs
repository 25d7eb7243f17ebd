//! Untrusted text made harmless.
//!
//! A saga's name, an error message or a whole answer can hold terminal escapes: by accident, or put there by whoever was
//! allowed to name a thing. What could move the cursor, change colours, reorder letters or break a line is written out as
//! an escape that a person can read.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every control character written out: `\n`, `\x1b`, `\u{202e}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hazardous) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if is_hazardous(c) && c.is_ascii() => {
                write!(escaped, "\\x{:02x}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c if is_hazardous(c) => {
                write!(escaped, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The beginning of a text, escaped, at most `max` characters of it, with `…` when something is left out.
pub fn excerpt(text: &str, max: usize) -> String {
    let trimmed = text.trim();
    let mut beginning: String = trimmed.chars().take(max).collect();
    if trimmed.chars().nth(max).is_some() {
        beginning.push('…');
    }
    escape(&beginning).into_owned()
}

/// The beginning of bytes that ought to be text, escaped; what is not UTF-8 shows as `�`.
pub fn excerpt_bytes(bytes: &[u8], max: usize) -> String {
    // Four bytes hold any character, so this much is enough for `max` of them and one more.
    let enough = bytes.len().min((max + 1).saturating_mul(4));
    excerpt(&String::from_utf8_lossy(&bytes[..enough]), max)
}

/// Whether a character does something to a terminal, or to the order in which others are shown, instead of showing.
pub(crate) fn is_hazardous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' // zero width, and marks of direction
            | '\u{2028}'..='\u{202e}' // line separators; embeddings and overrides of direction
            | '\u{2060}'..='\u{206f}' // invisible operators; isolates
            | '\u{061c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        for (hostile, harmless) in [
            ("plain – text", "plain – text"),
            ("\u{1b}[2J\u{7}", "\\x1b[2J\\x07"),
            ("two\nlines\r\t", "two\\nlines\\r\\t"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("abc\u{202e}fed", "abc\\u{202e}fed"),
            ("\u{7f}", "\\x7f"),
        ] {
            assert_eq!(escape(hostile), harmless);
        }
    }

    #[test]
    fn an_excerpt_says_that_it_is_one() {
        assert_eq!(excerpt("  abc  ", 3), "abc");
        assert_eq!(excerpt("abcd", 3), "abc…");
        assert_eq!(excerpt_bytes("ääääää".as_bytes(), 3), "äää…");
        assert_eq!(excerpt_bytes(b"\xff\x00", 9), "\u{fffd}\\x00");
    }
}
