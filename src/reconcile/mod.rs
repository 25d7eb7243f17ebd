//! What clients saw, held against what the records say: the arithmetic that tells a crash that lost nothing from one that
//! did.
//!
//! Pure: values in, verdict out. Whoever asks has to say what the client saw of each request and how often each of their
//! names is on record.

use serde::Serialize;
use std::collections::HashMap;

/// How many names of a bad class are worth listing; the count tells the rest.
const NAMES_LISTED: usize = 100;

/// What a client knows of one of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was told that it is done.
    Acknowledged,
    /// It was told no, or the request never left.
    Failed,
    /// It was sent, and no answer came.
    InDoubt,
}

/// Whether everything is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing acknowledged is missing and nothing is there twice.
    Consistent,
    /// Something is lost or duplicated.
    Inconsistent,
    /// Nobody could be asked.
    NotChecked,
}

/// The verdict with its numbers. Numbers are absent when nobody could be asked, and never 0 instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Whether everything is explained.
    pub verdict: Verdict,
    /// Why nobody could be asked.
    pub reason: Option<String>,
    /// Told done, and on record.
    pub acknowledged_recorded: Option<u64>,
    /// Told done, and not on record: lost.
    pub lost: Option<u64>,
    /// The first of these, by name.
    pub lost_names: Vec<String>,
    /// Told no, and not on record.
    pub failed_absent: Option<u64>,
    /// Told no or cut before an answer, and on record all the same.
    pub failed_recorded: Option<u64>,
    /// No answer, and not on record.
    pub in_doubt_absent: Option<u64>,
    /// No answer, and on record: completed while nobody listened, by recovery for example.
    pub in_doubt_recorded: Option<u64>,
    /// On record more than once.
    pub duplicates: Option<u64>,
    /// The first of these, by name.
    pub duplicate_names: Vec<String>,
}

impl Reconciliation {
    /// Nobody could be asked.
    pub fn not_checked(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::NotChecked,
            reason: Some(reason.into()),
            acknowledged_recorded: None,
            lost: None,
            lost_names: Vec::new(),
            failed_absent: None,
            failed_recorded: None,
            in_doubt_absent: None,
            in_doubt_recorded: None,
            duplicates: None,
            duplicate_names: Vec::new(),
        }
    }

    /// Whether something is lost or duplicated.
    pub fn is_inconsistent(&self) -> bool {
        self.verdict == Verdict::Inconsistent
    }
}

/// Holds what was seen of each request against how often its name is on record.
pub fn reconcile(
    requests: impl IntoIterator<Item = (String, Seen)>,
    recorded: &HashMap<String, u64>,
) -> Reconciliation {
    let (mut acknowledged, mut lost, mut duplicates) = (0, 0, 0);
    let (mut failed, mut in_doubt) = ([0, 0], [0, 0]);
    let (mut lost_names, mut duplicate_names) = (Vec::new(), Vec::new());
    let note = |names: &mut Vec<String>, name: &str| {
        if names.len() < NAMES_LISTED {
            names.push(name.to_owned());
        }
    };
    for (name, seen) in requests {
        let times = recorded.get(&name).copied().unwrap_or(0);
        if times > 1 {
            duplicates += 1;
            note(&mut duplicate_names, &name);
        }
        let there = usize::from(times > 0);
        match seen {
            Seen::Acknowledged if times > 0 => acknowledged += 1,
            Seen::Acknowledged => {
                lost += 1;
                note(&mut lost_names, &name);
            }
            Seen::Failed => failed[there] += 1,
            Seen::InDoubt => in_doubt[there] += 1,
        }
    }
    let good = lost == 0 && duplicates == 0;
    Reconciliation {
        verdict: if good { Verdict::Consistent } else { Verdict::Inconsistent },
        reason: None,
        acknowledged_recorded: Some(acknowledged),
        lost: Some(lost),
        lost_names,
        failed_absent: Some(failed[0]),
        failed_recorded: Some(failed[1]),
        in_doubt_absent: Some(in_doubt[0]),
        in_doubt_recorded: Some(in_doubt[1]),
        duplicates: Some(duplicates),
        duplicate_names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen() -> impl Strategy<Value = Seen> {
        prop_oneof![Just(Seen::Acknowledged), Just(Seen::Failed), Just(Seen::InDoubt)]
    }

    proptest! {
        #[test]
        fn every_request_is_in_exactly_one_class(requests in prop::collection::vec((seen(), 0_u64..3), 0..200)) {
            let named: Vec<_> =
                requests.iter().enumerate().map(|(index, (seen, _))| (format!("n-{index}"), *seen)).collect();
            let recorded =
                requests.iter().enumerate().map(|(index, (_, times))| (format!("n-{index}"), *times)).collect();
            let result = reconcile(named, &recorded);
            let classes = [
                result.acknowledged_recorded, result.lost, result.failed_absent, result.failed_recorded,
                result.in_doubt_absent, result.in_doubt_recorded,
            ];
            let sum: u64 = classes.iter().map(|class| class.expect("it was checked")).sum();
            prop_assert_eq!(sum, requests.len() as u64);
            let lost = requests.iter().filter(|(seen, times)| *seen == Seen::Acknowledged && *times == 0).count();
            let twice = requests.iter().filter(|(_, times)| *times > 1).count();
            prop_assert_eq!(result.lost, Some(lost as u64));
            prop_assert_eq!(result.duplicates, Some(twice as u64));
            prop_assert_eq!(result.is_inconsistent(), lost + twice > 0);
        }
    }

    #[test]
    fn what_is_lost_is_named() {
        let requests = [("a", Seen::Acknowledged), ("b", Seen::Acknowledged), ("c", Seen::InDoubt)];
        let recorded = HashMap::from([("a".to_owned(), 1), ("c".to_owned(), 2)]);
        let result = reconcile(requests.map(|(name, seen)| (name.to_owned(), seen)), &recorded);
        assert_eq!(result.lost_names, ["b"]);
        assert_eq!(result.duplicate_names, ["c"]);
        assert_eq!(result.verdict, Verdict::Inconsistent);
    }
}
