//! What is kept between passes: each saga that may run in this process, and how sure that is.

use super::announce::{Announcement, Heard};
use super::execution::{Execution, SecOpinion};
use super::ids::SortedIds;
use super::pass::{Drained, Settled};
use super::plan::{Bucket, Plan, PlanBuilder};
use crate::wire::ids::SagaId;
use std::mem;

/// How sure it is that a saga runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its creation was announced, and the insert's outcome has not been: it may be there, or come to be, at any time.
    InCreation,
    /// This process inserted it or resumed it.
    Confirmed,
    /// Confirmed once, and absent from the last listing. Kept because the question that would have settled it failed, or
    /// because the SEC does not call it finished yet.
    MaybeDone,
    /// The same, and the SEC runs it against all expectation, which has been counted as an alarm.
    BadState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: SagaId,
    standing: Standing,
}

/// The sagas that may run in this process.
///
/// One list, ascending by id, so that a pass is a walk along it and the listing side by side. At 17 bytes a saga, copying
/// it is cheaper than keeping a tree or a hash table of it up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestState {
    entries: Vec<Entry>,
}

/// What taking in announcements brought to light.
#[derive(Debug, Default)]
pub(super) struct TakenIn {
    /// Creations that were confirmed.
    pub(super) confirmed: u64,
    /// Confirmed sagas that somebody let go of.
    pub(super) relinquished: u64,
    /// Sagas whose creation was confirmed after the pass had begun, and that are still here.
    pub(super) confirmed_late: Vec<SagaId>,
}

/// What folding an execution in brought to light. Ascending.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    /// Sagas that were let go because they have finished.
    pub(super) removed: Vec<SagaId>,
    /// Of these, the ones that the SEC had never heard of.
    pub(super) missing: Vec<SagaId>,
    /// Sagas, not let go, that the SEC runs though the database says otherwise, and that were not counted before.
    pub(super) bad_state: Vec<SagaId>,
}

impl RestState {
    /// How many sagas may run here.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing may run here.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this saga may run here.
    pub fn contains(&self, id: SagaId) -> bool {
        self.entries.binary_search_by_key(&id, |entry| entry.id).is_ok()
    }

    /// All sagas that may run here, ascending.
    pub fn ids(&self) -> impl Iterator<Item = SagaId> + '_ {
        self.entries.iter().map(|entry| entry.id)
    }

    /// Those whose creation was announced and not confirmed, ascending.
    pub fn in_creation(&self) -> impl Iterator<Item = SagaId> + '_ {
        self.entries.iter().filter(|entry| entry.standing == Standing::InCreation).map(|entry| entry.id)
    }

    /// Those that may have finished, ascending.
    pub fn maybe_done(&self) -> impl Iterator<Item = SagaId> + '_ {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.standing, Standing::MaybeDone | Standing::BadState))
            .map(|entry| entry.id)
    }

    /// Takes in what was announced.
    ///
    /// # Panics
    ///
    /// If a saga is announced that is known already, or confirmed though it was never announced.
    pub(super) fn take_in(&mut self, heard: &Heard) -> TakenIn {
        let mut taken_in = TakenIn::default();
        if heard.announcements.is_empty() {
            return taken_in;
        }
        let mut news: Vec<(SagaId, usize)> =
            heard.announcements.iter().enumerate().map(|(at, news)| (news.saga_id(), at)).collect();
        // By saga, and for each in the order in which it was announced.
        news.sort_unstable();

        let old = mem::take(&mut self.entries);
        self.entries.reserve(old.len() + news.len());
        let mut old = old.into_iter().peekable();
        for of_one_saga in news.chunk_by(|(a, _), (b, _)| a == b) {
            let id = of_one_saga[0].0;
            while let Some(entry) = old.next_if(|entry| entry.id < id) {
                self.entries.push(entry);
            }
            let mut standing = old.next_if(|entry| entry.id == id).map(|entry| entry.standing);
            let mut late = false;
            for &(_, at) in of_one_saga {
                match heard.announcements[at] {
                    Announcement::Creating(_) => {
                        assert!(
                            standing.is_none(),
                            "the creation of saga {id} was announced, but the saga is known already"
                        );
                        standing = Some(Standing::InCreation);
                    }
                    Announcement::Created(_) => {
                        assert!(
                            standing == Some(Standing::InCreation),
                            "the creation of saga {id} was confirmed, but never announced"
                        );
                        standing = Some(Standing::Confirmed);
                        late = at >= heard.before_mark;
                        taken_in.confirmed += 1;
                    }
                    Announcement::Dropped(_) => {
                        if standing.is_some_and(|standing| standing != Standing::InCreation) {
                            taken_in.relinquished += 1;
                        }
                        standing = None;
                        late = false;
                    }
                }
            }
            if let Some(standing) = standing {
                self.entries.push(Entry { id, standing });
                if late {
                    taken_in.confirmed_late.push(id);
                }
            }
        }
        self.entries.extend(old);
        taken_in
    }

    /// Sorts every saga that is known, here or to the database, into its bucket.
    ///
    /// A saga that was confirmed before the listing was asked for and is absent from it is done: its row was there for the
    /// listing to see. One that was confirmed later is what the question was asked for.
    pub(super) fn plan(&mut self, drained: Drained, settled: Settled) -> Plan {
        let unfinished = match settled {
            Settled::Known(ids) => Some(SortedIds::from_vec(ids)),
            Settled::Unknown => None,
        };
        let mut builder = PlanBuilder::new(drained.pass, &drained.candidates);
        let mut candidates = drained.candidates.iter().copied().peekable();
        for entry in &mut self.entries {
            let id = entry.id;
            while let Some(candidate) = candidates.next_if(|candidate| *candidate < id) {
                builder.put(candidate, Bucket::Need);
            }
            let listed = candidates.next_if_eq(&id).is_some();
            let bucket = match entry.standing {
                // Also a saga in creation: its row is there, but only its creator can say who runs it.
                _ if listed => Bucket::Skipped,
                Standing::InCreation => Bucket::InCreation,
                _ if !drained.ambiguous.contains(id) => Bucket::Done,
                _ => match &unfinished {
                    Some(unfinished) if unfinished.contains(id) => Bucket::JustStarted,
                    Some(_) => Bucket::Done,
                    None => Bucket::MaybeDone,
                },
            };
            entry.standing = match (bucket, entry.standing) {
                (Bucket::Skipped | Bucket::JustStarted, Standing::MaybeDone | Standing::BadState) => {
                    Standing::Confirmed
                }
                // The done ones as well, until the SEC has been asked.
                (Bucket::Done | Bucket::MaybeDone, Standing::Confirmed) => Standing::MaybeDone,
                (_, unchanged) => unchanged,
            };
            builder.put(id, bucket);
        }
        for candidate in candidates {
            builder.put(candidate, Bucket::Need);
        }
        builder.build()
    }

    /// Adds what was recovered, lets go of what has finished.
    pub(super) fn finish(&mut self, execution: &Execution) -> Settlement {
        let mut settlement = Settlement::default();
        let mut opinions = execution.opinions.iter().copied().peekable();
        let recovered = execution.recovered_ids();
        if opinions.peek().is_none() && recovered.is_empty() {
            return settlement;
        }

        let old = mem::take(&mut self.entries);
        // Checked sagas are among the old ones, and normally all of them go.
        self.entries.reserve(old.len() + recovered.len() - execution.opinions.len());
        let mut recovered = recovered.into_vec().into_iter().peekable();
        for mut entry in old {
            let id = entry.id;
            while let Some(id) = recovered.next_if(|recovered| *recovered < id) {
                self.entries.push(Entry { id, standing: Standing::Confirmed });
            }
            match opinions.next_if(|(of, _)| *of == id).map(|(_, opinion)| opinion) {
                None | Some(SecOpinion::ComingToRest) => {}
                Some(SecOpinion::AtRest) => {
                    settlement.removed.push(id);
                    continue;
                }
                Some(SecOpinion::Missing) => {
                    settlement.removed.push(id);
                    settlement.missing.push(id);
                    continue;
                }
                Some(SecOpinion::Running) => {
                    if entry.standing != Standing::BadState {
                        entry.standing = Standing::BadState;
                        settlement.bad_state.push(id);
                    }
                }
            }
            self.entries.push(entry);
        }
        self.entries.extend(recovered.map(|id| Entry { id, standing: Standing::Confirmed }));
        settlement
    }
}
