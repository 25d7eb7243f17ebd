//! Names of what a blast makes: prefix, run, worker and number, as in `dummy-0f3a91c2-12-7`, so that runs never collide
//! and any name says whose it is.
//!
//! A name tells which request it belongs to, so that a ledger need not keep names, and records can be told from everything
//! else that is in a database.

use crate::wire::name::{MAX_NAME_LEN, Name, NameError};
use std::fmt;

/// What names begin with unless somebody says otherwise.
pub const DEFAULT_PREFIX: &str = "dummy-";

/// Longest `worker-number` part, in characters: five digits of workers and ten of requests.
const LONGEST_TAIL: usize = 5 + 1 + 10;

/// A run id: eight hexadecimal digits, random, or the same ones for the same seed.
pub fn run_id(seed: Option<u64>) -> String {
    match seed {
        None => format!("{:08x}", rand::random::<u32>()),
        // Half of what the generator makes of a seed: neighbouring seeds have nothing in common.
        Some(seed) => format!("{:08x}", super::random::mix(seed) >> 32),
    }
}

/// Which request of a run: the how-many-th of which worker, both counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The worker.
    pub worker: u32,
    /// The how-many-th of that worker.
    pub number: u32,
}

/// Makes the names of one run and recognises them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    run_id: String,
    stem: String,
}

/// A prefix and a run id that make no good names together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// Nothing to tell runs apart by.
    #[error("a run id has at least one character")]
    NoRunId,
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
        if run_id.is_empty() {
            return Err(NamesError::NoRunId);
        }
        let stem = format!("{prefix}{run_id}-");
        if stem.len() + LONGEST_TAIL > MAX_NAME_LEN {
            return Err(NamesError::TooLong(stem.len()));
        }
        format!("{stem}0").parse::<Name>().map_err(|error| NamesError::Rule(stem.clone(), error))?;
        Ok(Self { prefix: prefix.to_owned(), run_id: run_id.to_owned(), stem })
    }

    /// What names of every run begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// What all names of this run begin with.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// The name that belongs to a request.
    pub fn name(&self, request: RequestId) -> String {
        format!("{}{}", self.stem, Tail(request))
    }

    /// The request that a name belongs to, if it is one of this run's.
    pub fn request(&self, name: &str) -> Option<RequestId> {
        request_after(&self.stem, name)
    }
}

/// What a name ends with.
struct Tail(RequestId);

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.worker, self.0.number)
    }
}

/// The request that a name with this stem belongs to, if it is one that a blast makes.
pub fn request_after(stem: &str, name: &str) -> Option<RequestId> {
    let (worker, number) = name.strip_prefix(stem)?.split_once('-')?;
    Some(RequestId { worker: counted(worker)?, number: counted(number)? })
}

/// The run that a name with this prefix belongs to, if a blast could have made it.
pub fn run_of<'n>(prefix: &str, name: &'n str) -> Option<&'n str> {
    let (head, number) = name.strip_prefix(prefix)?.rsplit_once('-')?;
    let (run, worker) = head.rsplit_once('-')?;
    (!run.is_empty() && counted(number).is_some() && counted(worker).is_some()).then_some(run)
}

/// A number as names hold it: no sign, no zero in front. Anything else was not made here.
fn counted(text: &str) -> Option<u32> {
    let as_we_write_it =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| as_we_write_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_beginnings_are_refused_with_the_rule() {
        let error = |prefix: &str, run: &str| Names::new(prefix, run).expect_err("refused").to_string();
        assert!(error("Dummy-", "1").starts_with("names would begin with \"Dummy-1-\""));
        assert!(error("", "1").contains("names would begin with \"1-\""));
        assert!(error(&"a".repeat(60), "1").contains("62 characters together"));
        assert_eq!(error("dummy-", ""), "a run id has at least one character");
    }

    #[test]
    fn only_names_of_the_run_are_recognised() {
        let names = Names::new("dummy-", "0f3a").expect("good names");
        assert_eq!(names.request("dummy-0f3a-12-7"), Some(RequestId { worker: 12, number: 7 }));
        assert_eq!(names.request("dummy-0f3a-0-0"), Some(RequestId { worker: 0, number: 0 }));
        for other in [
            "dummy-0f3a-12",
            "dummy-0f3a-12-07",
            "dummy-0f3a-+1-7",
            "dummy-0f3a-00-7",
            "dummy-0f3a-12-7-1",
            "dummy-0f3a-12-4294967296",
            "dummy-0f3b-12-7",
            "dummy-0f3a--7",
            "default",
        ] {
            assert_eq!(names.request(other), None, "{other}");
        }
    }

    #[test]
    fn a_seed_makes_the_same_run_id_again_and_another_seed_another() {
        assert_eq!(run_id(Some(7)), run_id(Some(7)));
        assert_ne!(run_id(Some(7)), run_id(Some(8)));
        assert!(Names::new(DEFAULT_PREFIX, &run_id(None)).is_ok());
    }

    #[test]
    fn a_name_tells_its_run() {
        assert_eq!(run_of("dummy-", "dummy-0f3a-12-7"), Some("0f3a"));
        assert_eq!(run_of("dummy-", "dummy-my-run-0-0"), Some("my-run"));
        for other in ["dummy-0-0", "dummy-production", "dummy-a-b-1", "dummy-a-1-x", "other-a-1-1"] {
            assert_eq!(run_of("dummy-", other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_name_keeps_the_rules_and_is_recognised(
            prefix in "[a-z][a-z0-9-]{0,20}",
            run_id in "[a-z0-9-]{1,20}",
            worker in 0u32..10_000,
            number in 0u32..,
        ) {
            let names = Names::new(&prefix, &run_id).expect("good names");
            let request = RequestId { worker, number };
            let name = names.name(request);
            prop_assert!(name.parse::<Name>().is_ok(), "{}", name);
            prop_assert_eq!(names.request(&name), Some(request));
            prop_assert_eq!(run_of(&prefix, &name), Some(run_id.as_str()));
        }
    }
}
