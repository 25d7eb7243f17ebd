//! JSON for scripts: the report itself, serialised.

use super::escape::is_hazardous;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes a value over several lines, indented.
pub fn write_pretty<T: Serialize + ?Sized>(out: &mut dyn Write, value: &T) -> io::Result<()> {
    write_line(out, serde_json::to_string_pretty(value)?)
}

/// Writes a value as one line.
pub fn write_compact<T: Serialize + ?Sized>(out: &mut dyn Write, value: &T) -> io::Result<()> {
    write_line(out, serde_json::to_string(value)?)
}

/// Writes a value as part of a document that somebody else begins, ends and breaks into lines.
pub fn write_item<T: Serialize + ?Sized>(out: &mut dyn Write, value: &T) -> io::Result<()> {
    write!(out, "{}", harmless(serde_json::to_string(value)?))
}

fn write_line(out: &mut dyn Write, json: String) -> io::Result<()> {
    writeln!(out, "{}", harmless(json))
}

/// serde_json escapes control characters up to U+001F only. The rest that a terminal obeys can stand in JSON nowhere but
/// inside a string, so it can be escaped in the finished text.
fn harmless(json: String) -> String {
    if !json.chars().any(|c| c != '\n' && is_hazardous(c)) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if character != '\n' && is_hazardous(character) {
            write!(escaped, "\\u{:04x}", u32::from(character)).expect("writing to a string cannot fail");
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_never_holds_what_a_terminal_obeys_and_still_means_the_same() {
        let value = serde_json::json!({"name": "a\u{9b}31m\u{7f}\u{202e}\u{1b}[0m\n"});
        for write in [write_pretty, write_compact] {
            let mut out = Vec::new();
            write(&mut out, &value).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(!text.chars().any(|c| c != '\n' && is_hazardous(c)), "{text:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}
