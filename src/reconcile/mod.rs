//! What clients saw, held against what the records say: was anything lost, done twice, or never asked for?
//!
//! A pure function of values, shared by everything that makes load and wants to know afterwards what became of it. Who
//! gathers the two sides, from a ledger in memory or from a file, from an API or from a database, is no concern of it.
//!
//! # What proves what
//!
//! Few things are wrong in themselves: an *acknowledged* request without a record (lost), more than one record of one
//! request (a duplicate), and something whose deletion was acknowledged and that is there all the same. A request that
//! failed, or whose answer never came, may have left a record or not; both are fine, since a coordinator that takes a
//! request up and then crashes finishes it by recovery. They are counted apart, for "failed, yet done" is exactly what a
//! client wants to know. A record that no request of the run explains makes the verdict "inconsistent" too: a number that
//! nobody can explain is never called consistent.
//!
//! The records have to be read after the last acknowledgement. Requests without one may still be on their way then, so
//! *absent* means absent at the time of reading.

use serde::{Deserialize, Serialize};
use std::iter::Peekable;

/// What the client knows of a request when all is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// An answer said that it was done.
    Acknowledged,
    /// It was made and deleted again, and answers said so.
    Deleted,
    /// It was made, an answer said so, and a later one said that there is no such thing: lost, whatever is on record now.
    Gone,
    /// An answer said no.
    Failed,
    /// It provably never left the client, so there must be no record of it.
    Unsent,
    /// It was sent, and no answer tells what became of it.
    InDoubt,
}

/// Whether everything is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every number is explained.
    Consistent,
    /// Something is lost or duplicated, or is not explained.
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
    /// Told no, and on record all the same: it was done after all.
    pub failed_recorded: Option<u64>,
    /// No answer, and not on record.
    pub in_doubt_absent: Option<u64>,
    /// No answer, and on record: completed while nobody listened, by recovery for example.
    pub in_doubt_recorded: Option<u64>,
    /// No answer, and nothing to look it up by. Absent where everything has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_doubt_unknown: Option<u64>,
    /// Made and deleted again, and gone. Absent where nothing is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_absent: Option<u64>,
    /// Deleted, by its answer, and there all the same. Absent where nothing is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_recorded: Option<u64>,
    /// The first of these, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted_recorded_names: Vec<String>,
    /// On record more than once.
    pub duplicates: Option<u64>,
    /// The first of these, by name.
    pub duplicate_names: Vec<String>,
    /// On record, and never requested, or requested by something that never left.
    pub unexplained: Option<u64>,
    /// The first of these, by name.
    pub unexplained_names: Vec<String>,
}

/// How many names of each kind are kept. A run that lost everything should not print a million of them; the counts are
/// whole all the same.
pub const MOST_NAMES: usize = 1000;

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
            in_doubt_unknown: None,
            deleted_absent: None,
            deleted_recorded: None,
            deleted_recorded_names: Vec::new(),
            duplicates: None,
            duplicate_names: Vec::new(),
            unexplained: None,
            unexplained_names: Vec::new(),
        }
    }

    /// Whether something is known to be wrong. Not having been checked is not wrong, only not known.
    pub fn is_inconsistent(&self) -> bool {
        self.verdict == Verdict::Inconsistent
    }
}

/// Holds the requests of a run against the keys that are on record of it, in any order; a key that is recorded twice
/// stands there twice. `name` tells how people call a key.
///
/// Memory beyond the arguments is bounded: the records are sorted in place and walked beside the requests.
///
/// # Panics
///
/// If `requests` are not in strictly ascending order of their keys; whoever keeps them made a mistake then.
pub fn reconcile<K: Ord>(
    requests: impl IntoIterator<Item = (K, Seen)>,
    mut recorded: Vec<K>,
    name: impl Fn(&K) -> String,
) -> Reconciliation {
    recorded.sort_unstable();
    let mut records = Repeated { keys: recorded.into_iter().peekable() }.peekable();
    let mut findings = Findings::new(name);
    let mut last: Option<K> = None;
    for (key, seen) in requests {
        assert!(last.as_ref().is_none_or(|last| *last < key), "requests come in ascending order, once each");
        while let Some((stranger, times)) = records.next_if(|(recorded, _)| *recorded < key) {
            findings.count_stranger(&stranger, times);
        }
        let times = records.next_if(|(recorded, _)| *recorded == key).map_or(0, |(_, times)| times);
        findings.count(&key, seen, times);
        last = Some(key);
    }
    for (stranger, times) in records {
        findings.count_stranger(&stranger, times);
    }
    findings.judged()
}

/// Counts what is bad, and keeps the first names of it.
#[derive(Default)]
struct Named {
    count: u64,
    names: Vec<String>,
}

impl Named {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < MOST_NAMES {
            self.names.push(name());
        }
    }
}

/// How the requests of a run fall into classes, and which are wrong.
struct Findings<N> {
    name: N,
    acknowledged_recorded: u64,
    lost: Named,
    failed: [u64; 2],
    in_doubt: [u64; 2],
    deleted_absent: u64,
    deleted_recorded: Named,
    duplicates: Named,
    unexplained: Named,
}

impl<N> Findings<N> {
    fn new(name: N) -> Self {
        Self {
            name,
            acknowledged_recorded: 0,
            lost: Named::default(),
            failed: [0; 2],
            in_doubt: [0; 2],
            deleted_absent: 0,
            deleted_recorded: Named::default(),
            duplicates: Named::default(),
            unexplained: Named::default(),
        }
    }

    fn count<K>(&mut self, key: &K, seen: Seen, times: u64)
    where
        N: Fn(&K) -> String,
    {
        let name = || (self.name)(key);
        let recorded = usize::from(times > 0);
        match (seen, times) {
            (Seen::Acknowledged, 0) | (Seen::Gone, _) => self.lost.add(name),
            (Seen::Acknowledged, _) => self.acknowledged_recorded += 1,
            (Seen::Deleted, 0) => self.deleted_absent += 1,
            (Seen::Deleted, _) => self.deleted_recorded.add(name),
            (Seen::Failed, _) => self.failed[recorded] += 1,
            (Seen::Unsent, _) => {
                self.failed[recorded] += 1;
                if times > 0 {
                    self.unexplained.add(name);
                }
            }
            (Seen::InDoubt, _) => self.in_doubt[recorded] += 1,
        }
        self.count_repetition(key, times);
    }

    fn count_stranger<K>(&mut self, key: &K, times: u64)
    where
        N: Fn(&K) -> String,
    {
        self.unexplained.add(|| (self.name)(key));
        self.count_repetition(key, times);
    }

    fn count_repetition<K>(&mut self, key: &K, times: u64)
    where
        N: Fn(&K) -> String,
    {
        if times > 1 {
            self.duplicates.add(|| (self.name)(key));
        }
    }

    fn judged(self) -> Reconciliation {
        let wrong = [&self.lost, &self.deleted_recorded, &self.duplicates, &self.unexplained];
        let good = wrong.iter().all(|named| named.count == 0);
        let deletes = self.deleted_absent + self.deleted_recorded.count > 0;
        Reconciliation {
            verdict: if good { Verdict::Consistent } else { Verdict::Inconsistent },
            reason: None,
            acknowledged_recorded: Some(self.acknowledged_recorded),
            lost: Some(self.lost.count),
            lost_names: self.lost.names,
            failed_absent: Some(self.failed[0]),
            failed_recorded: Some(self.failed[1]),
            in_doubt_absent: Some(self.in_doubt[0]),
            in_doubt_recorded: Some(self.in_doubt[1]),
            in_doubt_unknown: None,
            deleted_absent: deletes.then_some(self.deleted_absent),
            deleted_recorded: deletes.then_some(self.deleted_recorded.count),
            deleted_recorded_names: self.deleted_recorded.names,
            duplicates: Some(self.duplicates.count),
            duplicate_names: self.duplicates.names,
            unexplained: Some(self.unexplained.count),
            unexplained_names: self.unexplained.names,
        }
    }
}

/// Sorted keys, each once, with how often it stood there.
struct Repeated<I: Iterator> {
    keys: Peekable<I>,
}

impl<I> Iterator for Repeated<I>
where
    I: Iterator,
    I::Item: PartialEq,
{
    type Item = (I::Item, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.keys.next()?;
        let mut times = 1;
        while self.keys.next_if_eq(&key).is_some() {
            times += 1;
        }
        Some((key, times))
    }
}

#[cfg(test)]
mod tests;
