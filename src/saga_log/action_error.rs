//! What a `failed` or `undo_failed` event says went wrong, in words.
//!
//! The event's data is an `ActionError` of steno, tagged from outside: `{"ActionFailed": {"source_error": …}}`, three kinds with
//! a `message`, and the bare word `"InjectedError"`. What stands in `source_error` is the service's own affair: here the
//! text that a person wrote is looked for in it, and where none is found the JSON itself is shown.
//!
//! An undo action has one kind of error, `PermanentFailure`, with a `source_error` too.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Most characters of an error that are kept.
const LONGEST: usize = 2_000;

/// Keys under which services keep the text of an error, the most telling first.
const TELLING: [&str; 5] = ["internal_message", "message", "external_message", "msg", "reason"];

/// The error in words. What is no JSON is given back as it is.
pub fn in_words(data: &str) -> String {
    let words = match serde_json::from_str::<Value>(data) {
        Ok(error) => describe(&error),
        Err(_) => data.to_owned(),
    };
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// Whether the data of an event `failed` is what an engine can read.
///
/// # Errors
///
/// Why it is not.
pub fn check_action_error(data: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    enum ActionError {
        ActionFailed { source_error: IgnoredAny },
        DeserializeFailed { message: String },
        InjectedError,
        SerializeFailed { message: String },
        SubsagaCreateFailed { message: String },
    }
    serde_json::from_str::<ActionError>(data).map(drop).map_err(|error| error.to_string())
}

/// Whether the data of an event `undo_failed`, if there is any, is what an engine can read.
///
/// # Errors
///
/// Why it is not.
pub fn check_undo_error(data: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    enum UndoError {
        PermanentFailure { source_error: IgnoredAny },
    }
    serde_json::from_str::<UndoError>(data).map(drop).map_err(|error| error.to_string())
}

fn describe(error: &Value) -> String {
    let Some((kind, inner)) = single_entry(error) else {
        return match error {
            Value::String(word) if word == "InjectedError" => "injected error".to_owned(),
            other => text_within(other),
        };
    };
    match kind {
        "ActionFailed" | "PermanentFailure" => text_within(inner.get("source_error").unwrap_or(inner)),
        "DeserializeFailed" | "SerializeFailed" | "SubsagaCreateFailed" => {
            let what = match kind {
                "DeserializeFailed" => "cannot read what is stored",
                "SerializeFailed" => "cannot write the result down",
                _ => "cannot make the subsaga",
            };
            format!("{what}: {}", text_within(inner))
        }
        _ => text_within(error),
    }
}

/// The text that a person wrote, with the kind of error before it if that is named; else the JSON.
fn text_within(value: &Value) -> String {
    match value {
        Value::String(text) => return text.clone(),
        Value::Object(fields) => {
            for key in TELLING {
                match fields.get(key) {
                    Some(Value::String(text)) => return text.clone(),
                    Some(nested @ Value::Object(_)) => return text_within(nested),
                    _ => {}
                }
            }
            if let Some((kind, inner)) = single_entry(value)
                && matches!(inner, Value::Object(_) | Value::String(_))
            {
                let text = text_within(inner);
                if !text.starts_with('{') {
                    return format!("{kind}: {text}");
                }
                // Nobody wrote a text, but what happened to what may be all there is to say.
                if let Some(facts) = plain_facts(inner) {
                    return format!("{kind}: {facts}");
                }
            }
        }
        _ => {}
    }
    value.to_string()
}

/// `type_name project, object_name aa`, if there is nothing but words and numbers.
fn plain_facts(value: &Value) -> Option<String> {
    let fields = value.as_object().filter(|fields| !fields.is_empty())?;
    let facts = fields.iter().map(|(key, value)| match value {
        Value::String(text) => Some(format!("{key} {text}")),
        Value::Number(number) => Some(format!("{key} {number}")),
        _ => None,
    });
    facts.collect::<Option<Vec<_>>>().map(|facts| facts.join(", "))
}

fn single_entry(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.iter().next().map(|(key, value)| (key.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_wrote_is_found() {
        let table = [
            (r#""InjectedError""#, "injected error"),
            (r#"{"ActionFailed":{"source_error":"no room"}}"#, "no room"),
            (
                r#"{"ActionFailed":{"source_error":{"InternalError":{"internal_message":"disk gone"}}}}"#,
                "InternalError: disk gone",
            ),
            (
                r#"{"ActionFailed":{"source_error":{"InvalidRequest":{"message":{"external_message":"bad name","internal_context":""}}}}}"#,
                "InvalidRequest: bad name",
            ),
            (r#"{"ActionFailed":{"source_error":{"message":"quota","code":7}}}"#, "quota"),
            (r#"{"ActionFailed":{"source_error":{"code":7}}}"#, r#"{"code":7}"#),
            (
                r#"{"ActionFailed":{"source_error":{"ObjectNotFound":{"type_name":"vpc","lookup_type":{"ByName":"x"}}}}}"#,
                r#"{"ObjectNotFound":{"lookup_type":{"ByName":"x"},"type_name":"vpc"}}"#,
            ),
            (
                r#"{"ActionFailed":{"source_error":{"ObjectAlreadyExists":{"type_name":"project","object_name":"aa"}}}}"#,
                "ObjectAlreadyExists: object_name aa, type_name project",
            ),
            (
                r#"{"PermanentFailure":{"source_error":{"message":"undo action attempt 1: row is gone"}}}"#,
                "undo action attempt 1: row is gone",
            ),
            (r#"{"DeserializeFailed":{"message":"line 1"}}"#, "cannot read what is stored: line 1"),
            (r#"{"SubsagaCreateFailed":{"message":"cycle"}}"#, "cannot make the subsaga: cycle"),
            ("null", "null"),
            ("not JSON", "not JSON"),
        ];
        for (data, expected) in table {
            assert_eq!(in_words(data), expected, "{data}");
        }
    }

    #[test]
    fn endless_errors_end() {
        let words = in_words(&format!("\"{}\"", "ä".repeat(10_000)));
        assert_eq!(words.chars().count(), LONGEST + 1);
    }
}
