//! The values that lead from the start of a pass to its plan, each made from the one before.
//!
//! ```text
//!   PassBegun ──listed()──▶ Listing ──Recovery::drain()──▶ Drained ──Recovery::plan()──▶ Plan
//! ```
//!
//! That is how the order of the steps is enforced: there is no other way to any of them.

use super::announce::Mark;
use super::ids::SortedIds;
use crate::wire::ids::SagaId;

/// A pass that has begun and must now ask the database for candidates.
#[derive(Debug)]
#[must_use = "a pass that has begun is to be listed for, or recorded as failed"]
pub struct PassBegun {
    pub(super) pass: u64,
    pub(super) mark: Mark,
}

impl PassBegun {
    /// Takes what the database answered: the ids of all unfinished sagas assigned to this SEC, in any order.
    ///
    /// The question must have been asked after the pass began. It may have been asked in pages, at different moments:
    /// everything that is concluded from a listing is about single sagas, and each of them was, or would have been, on
    /// one page.
    pub fn listed(self, candidates: Vec<SagaId>) -> Listing {
        Listing { begun: self, candidates: SortedIds::from_vec(candidates) }
    }
}

/// The recovery candidates: the unfinished sagas that the database assigned to this SEC when it was asked.
#[derive(Debug)]
#[must_use = "a listing is to be drained for"]
pub struct Listing {
    pub(super) begun: PassBegun,
    pub(super) candidates: SortedIds,
}

impl Listing {
    /// The candidates, ascending.
    pub fn candidates(&self) -> &[SagaId] {
        &self.candidates
    }
}

/// A listing, and the knowledge that everything announced up to a later moment has been taken in.
#[derive(Debug)]
#[must_use = "what was drained is to be planned from"]
pub struct Drained {
    pub(super) pass: u64,
    pub(super) candidates: SortedIds,
    pub(super) ambiguous: SortedIds,
}

impl Drained {
    /// The candidates, ascending.
    pub fn candidates(&self) -> &[SagaId] {
        &self.candidates
    }

    /// The sagas, ascending, of which it cannot be said whether they have finished or only just started: they are not
    /// among the candidates, and their creation was confirmed after the pass had begun, so perhaps after the listing.
    ///
    /// To be settled by asking the database which of exactly these are unfinished and assigned to this SEC. Usually there
    /// is none, or a handful: those whose creation was confirmed during the few milliseconds of the listing.
    pub fn ambiguous(&self) -> &[SagaId] {
        &self.ambiguous
    }
}

/// What the database said of the ambiguous sagas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// These of them are unfinished and assigned to this SEC. The empty answer to the empty question need not be asked for.
    Known(Vec<SagaId>),
    /// It could not be asked. They stay for the next pass, whose listing will tell.
    Unknown,
}
