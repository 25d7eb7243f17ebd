//! Sets of saga ids as sorted lists: what a pass compares are whole populations, and one walk along two sorted lists
//! is far cheaper than a million look-ups.

use crate::wire::ids::SagaId;
use std::ops::Deref;

/// Ids in ascending order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SortedIds(Vec<SagaId>);

impl SortedIds {
    /// Sorts what is not sorted yet and drops repetitions.
    pub(super) fn from_vec(mut ids: Vec<SagaId>) -> Self {
        // The database answers in this order already.
        if !ids.is_sorted_by(|a, b| a < b) {
            ids.sort_unstable();
            ids.dedup();
        }
        Self(ids)
    }

    pub(super) fn contains(&self, id: SagaId) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    pub(super) fn into_vec(self) -> Vec<SagaId> {
        self.0
    }
}

impl Deref for SortedIds {
    type Target = [SagaId];

    fn deref(&self) -> &[SagaId] {
        &self.0
    }
}
