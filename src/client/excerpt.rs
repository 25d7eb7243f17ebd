//! The beginning of something that a server sent, fit for a message: bounded, quoted, and with everything that a terminal
//! would obey written out.

use std::fmt;

/// Most characters that an excerpt shows.
const LONGEST: usize = 120;

/// Most characters of an explanation that are shown.
const MOST_WORDS: usize = 1000;

/// The beginning of an answer. Shows itself quoted: `"<html>…"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    beginning: String,
    is_cut: bool,
}

impl Excerpt {
    /// The beginning of bytes that ought to be text; what is not UTF-8 shows as `�`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::up_to(LONGEST, bytes)
    }

    /// The beginning of an explanation, which may be longer than a mere sample.
    pub fn of_words(words: &str) -> Self {
        Self::up_to(MOST_WORDS, words.as_bytes())
    }

    fn up_to(longest: usize, bytes: &[u8]) -> Self {
        // Four bytes hold any character, so this much is enough.
        let enough = bytes.len().min((longest + 1) * 4);
        let text = String::from_utf8_lossy(bytes[..enough].trim_ascii());
        Self {
            beginning: text.chars().take(longest).collect(),
            is_cut: enough < bytes.len() || text.chars().nth(longest).is_some(),
        }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.beginning.is_empty()
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug of a string writes control characters out, and everything else that does not show.
        write!(f, "{:?}{}", self.beginning, if self.is_cut { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_bounded_quoted_and_harmless() {
        assert_eq!(Excerpt::of(b" <html>\n\x1b[2J\xff ").to_string(), "\"<html>\\n\\u{1b}[2J\u{fffd}\"");
        assert_eq!(Excerpt::of("a\u{202e}b\u{9b}".as_bytes()).to_string(), "\"a\\u{202e}b\\u{9b}\"");
        let long = Excerpt::of("ä".repeat(5000).as_bytes()).to_string();
        assert_eq!(long.chars().count(), LONGEST + 3);
        assert!(long.ends_with("ä\"…"));
        assert!(Excerpt::of(b" \n").is_empty());
    }

    #[test]
    fn fuzzed_bytes_make_harmless_excerpts() {
        crate::fuzz::fuzz(&["<html>\n\x1b[2J words that go on and on, äöü 😀 \u{202e}"], |bytes, _| {
            for excerpt in [Excerpt::of(bytes), Excerpt::of_words(&String::from_utf8_lossy(bytes))] {
                let shown = excerpt.to_string();
                assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown}");
                // Each character may become a whole `\u{10ffff}`.
                assert!(shown.len() <= MOST_WORDS * 10 + 5, "{}", shown.len());
            }
        });
    }
}
