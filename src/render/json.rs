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

/// Writes some items of an array that is written as they come, one a line; `before` were written already.
pub fn write_items<T: Serialize>(
    out: &mut dyn Write,
    before: u64,
    items: impl IntoIterator<Item = T>,
) -> io::Result<()> {
    for (index, item) in (before..).zip(items) {
        let separator = if index == 0 { "[\n" } else { ",\n" };
        write!(out, "{separator}{}", harmless(serde_json::to_string(&item)?))?;
    }
    Ok(())
}

/// Ends an array of so many items.
pub fn end_items(out: &mut dyn Write, written: u64) -> io::Result<()> {
    writeln!(out, "{}", if written == 0 { "[]" } else { "\n]" })
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
    fn an_array_can_be_written_as_it_comes() {
        let mut out = Vec::new();
        write_items(&mut out, 0, [1, 2]).unwrap();
        write_items(&mut out, 2, [0; 0]).unwrap();
        write_items(&mut out, 2, [3]).unwrap();
        end_items(&mut out, 3).unwrap();
        assert_eq!(serde_json::from_slice::<Vec<u8>>(&out).unwrap(), [1, 2, 3]);
        let mut out = Vec::new();
        end_items(&mut out, 0).unwrap();
        assert_eq!(serde_json::from_slice::<Vec<u8>>(&out).unwrap(), [0; 0]);
    }

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
