//! Names of things in the external API, by Oxide's rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A name that keeps the rules: starts with a lower-case ASCII letter, holds lower-case letters, digits and `-`, does not
/// end with `-`, has at most 63 characters, and is not a uuid (so that a name and an id can never be mistaken).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Longest name that is accepted, in characters.
pub const MAX_NAME_LEN: usize = 63;

/// Which rule a name broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The empty string.
    #[error("name requires at least one character")]
    Empty,
    /// More than [`MAX_NAME_LEN`] characters.
    #[error("name may contain at most {MAX_NAME_LEN} characters")]
    TooLong,
    /// Starts with something else than a lower-case letter.
    #[error("name must begin with an ASCII lowercase character")]
    BadStart,
    /// Holds a character that is not allowed.
    #[error(
        "name contains invalid character: {0:?} (allowed characters are lowercase ASCII, digits, and \"-\")"
    )]
    BadCharacter(char),
    /// Ends with a hyphen.
    #[error("name cannot end with \"-\"")]
    TrailingHyphen,
    /// Would read as an id.
    #[error("name cannot be a UUID to avoid ambiguity with IDs")]
    IsUuid,
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if text.chars().count() > MAX_NAME_LEN {
            return Err(NameError::TooLong);
        }
        if Uuid::parse_str(text).is_ok() {
            return Err(NameError::IsUuid);
        }
        if !first.is_ascii_lowercase() {
            return Err(NameError::BadStart);
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            return Err(NameError::BadCharacter(bad));
        }
        if text.ends_with('-') {
            return Err(NameError::TrailingHyphen);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> String {
        "Name".to_owned()
    }

    fn json_schema(_: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
        schemars::schema::SchemaObject {
            metadata: Some(Box::new(schemars::schema::Metadata {
                description: Some(
                    "Begins with a lowercase letter; lowercase letters, digits and \"-\"; does not end with \"-\"; \
                     not a UUID."
                        .to_owned(),
                ),
                ..Default::default()
            })),
            instance_type: Some(schemars::schema::InstanceType::String.into()),
            string: Some(Box::new(schemars::schema::StringValidation {
                min_length: Some(1),
                max_length: Some(MAX_NAME_LEN as u32),
                pattern: Some("^[a-z]([a-z0-9-]*[a-z0-9])?$".to_owned()),
            })),
            ..Default::default()
        }
        .into()
    }
}

/// What a caller may put where an object is meant: its id or its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum NameOrId {
    /// An id.
    Id(Uuid),
    /// A name.
    Name(Name),
}

impl FromStr for NameOrId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match Uuid::parse_str(text) {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for NameOrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.hyphenated().fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for NameOrId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for NameOrId {
    fn schema_name() -> String {
        "NameOrId".to_owned()
    }

    fn json_schema(generator: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
        schemars::schema::SchemaObject {
            subschemas: Some(Box::new(schemars::schema::SubschemaValidation {
                one_of: Some(vec![generator.subschema_for::<Uuid>(), generator.subschema_for::<Name>()]),
                ..Default::default()
            })),
            ..Default::default()
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_rules() {
        for good in ["a", "dummy-0f3a-12-7", "x9", &"a".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good} should be a name");
        }
        let cases = [
            ("", NameError::Empty),
            ("Abc", NameError::BadStart),
            ("9a", NameError::BadStart),
            ("a_b", NameError::BadCharacter('_')),
            ("a\u{1b}[31m", NameError::BadCharacter('\u{1b}')),
            ("a-", NameError::TrailingHyphen),
            ("a5b61e7c-0a3b-4c6d-8e9f-001122334455", NameError::IsUuid),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        }
        assert_eq!("a".repeat(64).parse::<Name>(), Err(NameError::TooLong));
    }
}
