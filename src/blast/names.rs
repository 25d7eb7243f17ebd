//! Names of what a blast makes: prefix, run, worker and number, so that runs never collide and any name says whose it is.

use crate::wire::name::{MAX_NAME_LEN, Name, NameError};

/// Longest `worker-number` part, in characters: four digits of workers, and more requests than anybody sends.
const LONGEST_TAIL: usize = 4 + 1 + 12;

/// The names of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    stem: String,
}

/// A prefix and a run id that make no good names together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// They break a rule of names.
    #[error("names would begin with {0:?}, and a {1}")]
    Rule(String, #[source] NameError),
    /// They leave no room.
    #[error("prefix and run id have {0} characters together; at most {most} leave room for the rest of a name", most = MAX_NAME_LEN - LONGEST_TAIL)]
    TooLong(usize),
}

impl Names {
    /// Names that begin with `prefix` and `run_id`.
    ///
    /// # Errors
    ///
    /// When no good names can begin so.
    pub fn new(prefix: &str, run_id: &str) -> Result<Self, NamesError> {
        let stem = format!("{prefix}{run_id}-");
        if stem.len() + LONGEST_TAIL > MAX_NAME_LEN {
            return Err(NamesError::TooLong(stem.len()));
        }
        format!("{stem}0").parse::<Name>().map_err(|error| NamesError::Rule(stem.clone(), error))?;
        Ok(Self { stem })
    }

    /// What all of them begin with.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// The name of a worker's request.
    pub fn name(&self, worker: usize, number: usize) -> String {
        format!("{}{worker}-{number}", self.stem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_keep_the_rules() {
        let names = Names::new("a-rather-long-prefix-of-28-ch-", "0123456789ab").expect("just fits");
        let name = names.name(9999, 999_999_999_999);
        assert!(name.parse::<Name>().is_ok(), "{name}");
    }

    #[test]
    fn bad_beginnings_are_refused_with_the_rule() {
        let error = |prefix, run| Names::new(prefix, run).expect_err("refused").to_string();
        assert!(error("Dummy-", "1").starts_with("names would begin with \"Dummy-1-\""));
        assert!(error("", "1").contains("names would begin with \"1-\""));
        assert!(error(&"a".repeat(60), "1").contains("62 characters together"));
    }
}
