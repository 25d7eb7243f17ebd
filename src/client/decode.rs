//! JSON into types, with the place of an error.
//!
//! `serde_json` says line and column of a text that nobody has in front of them; the path from the top of the answer
//! (`last.details.iteration`) is what one can look up with `jq`.

use super::error::Unreadable;
use super::excerpt::Excerpt;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Most characters of a path or a reason that are told.
const MOST_WORDS: usize = 400;

/// Reads a whole answer as JSON of a known shape.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() { wrong_shape(&path, &error) } else { not_json(bytes) }
    })?;
    deserializer.end().map_err(|_| not_json(bytes))?;
    Ok(value)
}

/// Reads a part of an answer that was kept as JSON; `at` is where the part stands.
pub fn from_value<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, Unreadable> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => at.to_owned(),
            path => format!("{at}.{path}"),
        };
        wrong_shape(&path, error.inner())
    })
}

fn wrong_shape(path: &str, error: &serde_json::Error) -> Unreadable {
    let text = error.to_string();
    // The position in the text says less than the path.
    let reason = text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    Unreadable::WrongShape {
        path: if path == "." { "the top".to_owned() } else { harmless(path) },
        // A server's words can be in there: wrong values are quoted in the message.
        reason: harmless(reason),
    }
}

/// What may hold a server's words, of any length, as part of a message.
fn harmless(text: &str) -> String {
    let mut harmless: String = text.chars().take(MOST_WORDS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST_WORDS).is_some() {
        harmless.push('…');
    }
    harmless.replace("\\\"", "\"")
}

fn not_json(bytes: &[u8]) -> Unreadable {
    Unreadable::NotJson { beginning: Excerpt::of(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bgtasks::BackgroundTask;
    use crate::wire::recovery::RecoveryReport;

    #[test]
    fn an_error_names_its_place() {
        let text = r#"{"name":"n","description":"d","period":{"secs":1,"nanos":0},
            "current":{"current_status":"idle"},
            "last":{"last_result":"completed","details":{"iteration":"seven"}}}"#;
        let error = from_bytes::<BackgroundTask>(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error,
            "unexpected JSON at last.details.iteration: invalid type: string \"seven\", expected u64"
        );
        let error =
            from_value::<RecoveryReport>(&serde_json::json!({"recent_recoveries": [{"time": 5}]}), "details");
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("unexpected JSON at details.recent_recoveries[0].time: invalid type"),
        );
        assert_eq!(
            from_bytes::<BackgroundTask>(b"[]").unwrap_err().to_string(),
            "unexpected JSON at the top: invalid length 0, expected struct BackgroundTask with 5 elements"
        );
    }

    #[test]
    fn what_is_not_json_is_shown() {
        for text in ["<html>\n<body>", "", "{\"name\":", "{} {}"] {
            assert!(
                matches!(from_bytes::<Value>(text.as_bytes()), Err(Unreadable::NotJson { .. })),
                "{text:?}"
            );
        }
        assert_eq!(
            from_bytes::<Value>(b"<h1>\x1b[2J").unwrap_err().to_string(),
            "the answer is not JSON; it begins with \"<h1>\\u{1b}[2J\""
        );
    }

    #[test]
    fn hostile_words_are_escaped() {
        let error = from_bytes::<u64>(b"\"\\u001b[2J\"").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    #[test]
    fn a_wrong_value_is_quoted_no_further_than_anybody_reads() {
        let text = format!("{:?}", "x".repeat(1_000_000));
        let error = from_bytes::<u64>(text.as_bytes()).expect_err("no number").to_string();
        assert!(error.len() < 500 && error.ends_with("xxx…"), "{}", error.len());
    }
}
