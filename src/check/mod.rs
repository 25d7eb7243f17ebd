//! Does everything hold that ought to? Twelve invariants over what is stored, what coordinators have in memory, and what
//! their recovery reports.
//!
//! ```text
//!   database: rows, DAGs, logs, registry ──┐
//!   coordinators: sagas, recovery report ──┼──> look ──> one pure function ──> tally ──> Report
//!   a client's own record ─────────────────┘             per invariant
//!                                             ▲                                │
//!                                             └──── look again at what seems ──┘
//!                                                   wrong, and only at that
//! ```
//!
//! # Why nothing is told after one look
//!
//! The sources are read one after the other while everything moves. A saga that is created after the SEC's list was read
//! looks like one that its SEC has lost; one that ends before its row is read looks like one that the SEC runs for no
//! reason. No order of reading avoids both. But whatever is in motion moves on, and whatever is broken stays: so what
//! seems wrong is looked at again at once, which settles nearly everything, and what still seems wrong once more after
//! [`SETTLE`](look::SETTLE). Only what was found every time is told.
//!
//! # Why `n/a` is a verdict
//!
//! A source that is missing makes an invariant neither hold nor fail. Saying `ok` would be a lie that a monitoring system
//! believes, `fail` an alarm for nothing. What could not be told is counted beside what could.

mod effects;
pub mod history;
pub mod invariant;
mod logs;
pub mod look;
mod owners;
mod record;
mod recovery;
mod sources;
pub mod tally;
#[cfg(test)]
mod tests;

use crate::client::error::Unreadable;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use invariant::{Invariant, Section};
use serde::Serialize;
use std::time::Duration;

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which invariants.
    pub only: Vec<Invariant>,
    /// These sagas and no others.
    pub sagas: Vec<SagaId>,
    /// These too, whatever else is looked at.
    pub also: Vec<SagaId>,
    /// Longest time without an event that is no problem.
    pub max_idle: Duration,
    /// Whether every log is read, and not only those of unfinished and of the newest sagas.
    pub all: bool,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether everything holds that could be checked.
    pub verdict: Verdict,
    /// When.
    pub time: Time,
    /// Each invariant that was asked for.
    pub invariants: Vec<Judged>,
    /// What was looked at.
    pub looked_at: LookedAt,
    /// A recovery report in which something has the wrong type, which is worse than one that is missing.
    #[serde(skip)]
    pub malformed: Option<Unreadable>,
}

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Ok,
    /// It does not.
    Fail,
    /// What would tell is not there.
    Na,
}

/// One invariant, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Which.
    pub id: Invariant,
    /// What it says.
    pub title: &'static str,
    /// What it is about.
    pub section: Section,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Things that were checked: sagas, coordinators or requests.
    pub checked: Option<u64>,
    /// Things that could not be.
    pub not_checked: u64,
    /// Why something could not be checked; the first reason.
    pub reason: Option<String>,
    /// What is wrong, found by more than one look.
    pub evidence: Vec<Problem>,
    /// As much again seems to be wrong and is not listed.
    pub more: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The saga that it is about.
    pub saga_id: Option<SagaId>,
    /// The SEC that it is about.
    pub sec_id: Option<SecId>,
    /// What tells it apart from others of the same saga or SEC.
    #[serde(skip)]
    pub kind: &'static str,
    /// What it is. It may hold text from a database or a coordinator.
    pub text: String,
    /// What to run, or to do, next.
    pub next: String,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LookedAt {
    /// The database, in words; absent if there is none.
    pub database: Option<String>,
    /// Coordinators that answered, by URL.
    pub coordinators: Vec<String>,
    /// Unfinished sagas.
    pub unfinished: u64,
    /// Sagas at rest.
    pub at_rest: u64,
    /// Whether these are all the sagas there are.
    pub is_complete: bool,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Problem {
    /// A problem of a saga.
    pub fn of_saga(id: SagaId, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self { saga_id: Some(id), sec_id: None, kind: "", text: text.into(), next: next.into() }
    }

    /// A problem of a coordinator.
    pub fn of_sec(
        id: Option<SecId>,
        kind: &'static str,
        text: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { saga_id: None, sec_id: id, kind, text: text.into(), next: next.into() }
    }

    fn is_about_the_same_as(&self, other: &Self) -> bool {
        (self.saga_id, self.sec_id, self.kind) == (other.saga_id, other.sec_id, other.kind)
    }
}

impl Report {
    /// Puts a report together.
    pub fn new(time: Time, invariants: Vec<Judged>, looked_at: LookedAt) -> Self {
        let any = |verdict| invariants.iter().any(|judged| judged.verdict == verdict);
        let verdict = match (any(Verdict::Fail), any(Verdict::Ok)) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::Ok,
            (false, false) => Verdict::Na,
        };
        Self { verdict, time, invariants, looked_at, malformed: None }
    }
}
