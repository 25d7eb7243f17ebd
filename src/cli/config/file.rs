//! The config file, `$XDG_CONFIG_HOME/sagactl/config.toml`: one table `[contexts.NAME]` per place that somebody works
//! with, whose keys are the long flags' names.
//!
//! ```toml
//! [contexts.default]
//! url = "http://127.0.0.1:12221"
//!
//! [contexts.rack2]
//! url = "http://[fd00:1122:3344:101::2]:12232"
//! db-url = "postgresql://root@[fd00:1122:3344:103::3]:32221/omicron?sslmode=disable"
//! timeout = "5s"
//! ```

use super::{Environment, Failure, without_login};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use toml::Spanned;

/// The context that holds when none is named.
const DEFAULT_CONTEXT: &str = "default";

/// What a context may set: the long flags that stay the same from one command to the next.
const KEYS: [&str; 11] = [
    "url",
    "external-url",
    "db-url",
    "output",
    "color",
    "timeout",
    "no-retry",
    "retry",
    "token-file",
    "ca-file",
    "log",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    #[serde(default)]
    contexts: BTreeMap<String, BTreeMap<Spanned<String>, Spanned<toml::Value>>>,
}

/// One context of the config file.
#[derive(Debug)]
pub(super) struct ContextFile {
    path: PathBuf,
    context: String,
    /// Key to value and the line that it stands on.
    values: BTreeMap<String, (toml::Value, usize)>,
}

/// Reads the context that is asked for, or `default`. No file, or one without `default`, is nothing, unless a context was
/// named.
pub(super) fn load(
    environment: &Environment<'_>,
    context: Option<&str>,
) -> Result<Option<ContextFile>, Failure> {
    let Some(path) = path(environment) else {
        return match context {
            None => Ok(None),
            Some(name) => Err(Failure::unusable(format!(
                "context {name:?} cannot be looked up: neither XDG_CONFIG_HOME nor HOME is set"
            ))),
        };
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match context {
                None => Ok(None),
                Some(name) => Err(Failure::unusable(format!(
                    "unknown context {name:?}: there is no config file {}",
                    path.display()
                ))),
            };
        }
        Err(error) => {
            return Err(
                Failure::unusable(format!("reading config file {}", path.display())).caused_by(&error)
            );
        }
    };
    read(&text, path, context)
}

/// Reads the context that is asked for from the text of a config file.
pub(super) fn read(text: &str, path: PathBuf, context: Option<&str>) -> Result<Option<ContextFile>, Failure> {
    let Root { mut contexts } = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        Failure::unusable(format!("{}:{line}: {}", path.display(), error.message().replace('\n', "; ")))
    })?;
    let name = context.unwrap_or(DEFAULT_CONTEXT);
    let known = contexts.keys().cloned().collect::<Vec<_>>().join(", ");
    let Some(table) = contexts.remove(name) else {
        return match context {
            None => Ok(None),
            Some(_) => Err(Failure::unusable(format!(
                "unknown context {name:?} in {}; known contexts: {}",
                path.display(),
                if known.is_empty() { "none" } else { &known }
            ))),
        };
    };
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let line = line_of(text, key.span().start);
        let key = key.into_inner();
        if !KEYS.contains(&key.as_str()) {
            return Err(Failure::unusable(format!(
                "{}:{line}: unknown key {key:?}; known keys: {}",
                path.display(),
                KEYS.join(", ")
            )));
        }
        values.insert(key, (value.into_inner(), line));
    }
    Ok(Some(ContextFile { path, context: name.to_owned(), values }))
}

/// Where the file is, by the XDG rules: a relative XDG_CONFIG_HOME does not count.
fn path(environment: &Environment<'_>) -> Option<PathBuf> {
    let xdg = environment("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || environment("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let directory = xdg.or_else(|| home().map(|home| home.join(".config")))?;
    Some(directory.join("sagactl").join("config.toml"))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

impl ContextFile {
    /// The value of a key, parsed like the flag's.
    pub(super) fn parse<T>(&self, key: &str) -> Result<Option<T>, Failure>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some((value, line)) = self.values.get(key) else { return Ok(None) };
        let invalid = |reason: &dyn fmt::Display| {
            let value = value.to_string();
            let shown = without_login(&value);
            Failure::unusable(format!(
                "{}:{line}: invalid value {shown} of key {key:?}: {reason}",
                self.path.display()
            ))
        };
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Boolean(switch) => switch.to_string(),
            other => {
                return Err(invalid(&format_args!("a string is expected, not {}", other.type_str())));
            }
        };
        text.parse().map(Some).map_err(|error| invalid(&error))
    }
}

impl fmt::Display for ContextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "context {:?} of {}", self.context, self.path.display())
    }
}
