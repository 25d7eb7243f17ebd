//! What this process knows of its sagas: those in flight, and a bounded number of those that have come to rest.
//!
//! It answers `/sagas`, tells waiters how their saga ended, and settles recovery's alarms. It is small (no DAGs, no
//! logs), so that a million finished sagas leave nothing behind.

use super::SagaOutcome;
use super::drain::{Adopted, Drain};
use crate::wire::ids::SagaId;
use crate::wire::quiesce::{PendingSaga, QuiesceStatus};
use crate::wire::sagas::{Saga, SagaState};
use crate::wire::time::{Time, now};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Sagas at rest that are remembered with their outcome. Enough to look at after the fact, small enough to forget.
const REMEMBERED: usize = 1024;

/// How a saga came to be in flight here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This process created it.
    Created,
    /// Recovery took it up.
    Recovered,
}

/// What this process knows of one saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Nothing.
    Missing,
    /// It is in flight.
    Running,
    /// Its end has been handed to the store, which has not answered yet.
    Ending,
    /// It has come to rest.
    Finished,
}

/// How many sagas are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RosterCounts {
    /// Created here.
    pub created: usize,
    /// Taken up by recovery.
    pub recovered: usize,
}

/// Tells the end of a saga.
pub(super) type Finished = watch::Receiver<Option<Arc<SagaOutcome>>>;

type Waiters = watch::Sender<Option<Arc<SagaOutcome>>>;

struct Entry {
    origin: Origin,
    name: Cow<'static, str>,
    since: Time,
    // Set before the end is handed to the store. From then on the database may already say that the saga is done, so
    // recovery may infer it a moment before this process hears of its own success.
    ending: bool,
    waiters: Waiters,
}

#[derive(Default)]
struct State {
    running: BTreeMap<SagaId, Entry>,
    finished: BTreeMap<SagaId, SagaState>,
    finished_order: VecDeque<SagaId>,
    // Finished here, and recovery has not settled it yet. Bounded by the same wake-up that bounds recovery's own list.
    unconfirmed: HashSet<SagaId>,
    counts: RosterCounts,
    drain: Drain,
}

#[derive(Default)]
pub(super) struct Roster {
    state: Mutex<State>,
}

impl Roster {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change below is complete before the lock is released, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a saga that is to be created, unless new ones are not taken any more.
    pub(super) fn admit(&self, id: SagaId, name: &'static str) -> Option<Finished> {
        let mut state = self.lock();
        let now = now();
        state.drain.admits(now).then(|| state.insert(id, Origin::Created, Cow::Borrowed(name), now))
    }

    /// Takes a saga that recovery has found.
    pub(super) fn insert_recovered(&self, id: SagaId, name: String) -> Finished {
        self.lock().insert(id, Origin::Recovered, Cow::Owned(name), now())
    }

    /// It is not in flight after all. Like all that follow, it answers whether the SEC has become drained by that.
    #[must_use = "whoever makes the SEC drained says so"]
    pub(super) fn remove(&self, id: SagaId) -> bool {
        let mut state = self.lock();
        if let Some(entry) = state.running.remove(&id) {
            *state.counts.of(entry.origin) -= 1;
        }
        state.update_drain()
    }

    /// From here on the database may say that the saga is done.
    pub(super) fn set_ending(&self, id: SagaId) {
        if let Some(entry) = self.lock().running.get_mut(&id) {
            entry.ending = true;
        }
    }

    /// It did not end after all.
    pub(super) fn clear_ending(&self, id: SagaId) {
        if let Some(entry) = self.lock().running.get_mut(&id) {
            entry.ending = false;
        }
    }

    #[must_use = "whoever makes the SEC drained says so"]
    pub(super) fn finish(&self, id: SagaId, outcome: SagaOutcome) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.running.remove(&id) else { return false };
        *state.counts.of(entry.origin) -= 1;
        if state.finished.insert(id, outcome.to_wire()).is_none() {
            state.finished_order.push_back(id);
        }
        if state.finished_order.len() > REMEMBERED
            && let Some(oldest) = state.finished_order.pop_front()
        {
            state.finished.remove(&oldest);
        }
        state.unconfirmed.insert(id);
        let is_drained = state.update_drain();
        drop(state);
        entry.waiters.send_replace(Some(Arc::new(outcome)));
        is_drained
    }

    /// Takes no new sagas from now on.
    #[must_use = "whoever makes the SEC drained says so"]
    pub(super) fn quiesce(&self) -> bool {
        let mut state = self.lock();
        state.drain.request(now());
        state.update_drain()
    }

    pub(super) fn is_accepting(&self) -> bool {
        self.lock().drain.is_accepting()
    }

    pub(super) fn recovery_began(&self) {
        self.lock().drain.recovery_began();
    }

    #[must_use = "whoever makes the SEC drained says so"]
    pub(super) fn recovery_ended(&self, is_successful: bool) -> bool {
        let mut state = self.lock();
        state.drain.recovery_ended(is_successful);
        state.update_drain()
    }

    pub(super) fn adoption_began(&self) -> bool {
        let mut state = self.lock();
        let pending = state.running.len();
        state.drain.adoption_began(pending)
    }

    #[must_use = "whoever makes the SEC drained says so"]
    pub(super) fn adoption_ended(&self, adopted: Adopted) -> bool {
        let mut state = self.lock();
        state.drain.adoption_ended(adopted);
        state.update_drain()
    }

    pub(super) fn quiesce_status(&self) -> QuiesceStatus {
        let state = self.lock();
        let pending = state.running.iter().map(|(id, entry)| PendingSaga {
            saga_id: *id,
            saga_name: entry.name.clone().into_owned(),
            time_pending: entry.since,
            recovered: entry.origin == Origin::Recovered,
        });
        QuiesceStatus {
            state: state.drain.state(),
            sagas: state.drain.sagas(pending.collect()),
            db_claims: Vec::new(),
        }
    }

    pub(super) fn watch(&self, id: SagaId) -> Option<Finished> {
        self.lock().running.get(&id).map(|entry| entry.waiters.subscribe())
    }

    pub(super) fn sighting(&self, id: SagaId) -> Sighting {
        let state = self.lock();
        match state.running.get(&id) {
            Some(entry) if entry.ending => Sighting::Ending,
            Some(_) => Sighting::Running,
            None if state.unconfirmed.contains(&id) => Sighting::Finished,
            None => Sighting::Missing,
        }
    }

    pub(super) fn forget_finished(&self, id: SagaId) {
        self.lock().unconfirmed.remove(&id);
    }

    pub(super) fn find(&self, id: SagaId) -> Option<Saga> {
        let state = self.lock();
        let found = if state.running.contains_key(&id) {
            SagaState::Running
        } else {
            state.finished.get(&id)?.clone()
        };
        Some(Saga { id, state: found })
    }

    pub(super) fn list(&self, after: Option<SagaId>, limit: usize) -> Vec<Saga> {
        let state = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut running = state.running.range((start, Bound::Unbounded)).peekable();
        let mut finished = state.finished.range((start, Bound::Unbounded)).peekable();
        let mut page = Vec::new();
        while page.len() < limit {
            let take_running = match (running.peek(), finished.peek()) {
                (Some((running, _)), Some((finished, _))) => running < finished,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if take_running {
                page.extend(running.next().map(|(id, _)| Saga { id: *id, state: SagaState::Running }));
            } else {
                page.extend(finished.next().map(|(id, state)| Saga { id: *id, state: state.clone() }));
            }
        }
        page
    }

    pub(super) fn counts(&self) -> RosterCounts {
        self.lock().counts
    }
}

impl State {
    fn insert(&mut self, id: SagaId, origin: Origin, name: Cow<'static, str>, since: Time) -> Finished {
        let (waiters, finished) = watch::channel(None);
        *self.counts.of(origin) += 1;
        if let Some(old) = self.running.insert(id, Entry { origin, name, since, ending: false, waiters }) {
            *self.counts.of(old.origin) -= 1;
        }
        // A saga that somebody assigned to this SEC by hand makes it one that has work to do again.
        self.drain.update(self.running.len(), since);
        finished
    }

    fn update_drain(&mut self) -> bool {
        // Nearly always nobody has asked for it, and the clock need not be read.
        !self.drain.is_accepting() && self.drain.update(self.running.len(), now())
    }
}

impl RosterCounts {
    fn of(&mut self, origin: Origin) -> &mut usize {
        match origin {
            Origin::Created => &mut self.created,
            Origin::Recovered => &mut self.recovered,
        }
    }

    /// All of them.
    pub fn total(self) -> usize {
        self.created + self.recovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn succeeded() -> SagaOutcome {
        SagaOutcome::Succeeded { output: serde_json::Value::Null }
    }

    #[test]
    fn pages_merge_running_and_finished_sagas_by_id() {
        let roster = Roster::default();
        let mut ids: Vec<_> = (0..9).map(|_| SagaId::random()).collect();
        ids.sort();
        for id in &ids {
            roster.admit(*id, "a").expect("new ones are taken");
        }
        for id in ids.iter().step_by(2) {
            assert!(!roster.finish(*id, succeeded()), "nobody asked for it");
        }
        let mut seen = Vec::new();
        while let page = roster.list(seen.last().copied(), 2)
            && !page.is_empty()
        {
            assert!(page.len() <= 2);
            seen.extend(page.iter().map(|saga| saga.id));
        }
        assert_eq!(seen, ids);
        assert_eq!(roster.counts(), RosterCounts { created: 4, recovered: 0 });
    }

    #[test]
    fn a_saga_that_is_writing_its_end_is_no_alarm() {
        let roster = Roster::default();
        let id = SagaId::random();
        roster.insert_recovered(id, String::new());
        assert_eq!(roster.sighting(id), Sighting::Running);
        roster.set_ending(id);
        assert_eq!(roster.sighting(id), Sighting::Ending);
        assert!(!roster.finish(id, succeeded()), "nobody asked for it");
        assert_eq!(roster.sighting(id), Sighting::Finished);
        roster.forget_finished(id);
        assert_eq!(roster.sighting(id), Sighting::Missing, "settled once and for all");
    }

    #[test]
    fn finished_sagas_are_forgotten_in_the_end() {
        let roster = Roster::default();
        for _ in 0..REMEMBERED + 10 {
            let id = SagaId::random();
            roster.admit(id, "a").expect("new ones are taken");
            assert!(!roster.finish(id, succeeded()), "nobody asked for it");
            roster.forget_finished(id);
        }
        assert_eq!(roster.list(None, usize::MAX).len(), REMEMBERED);
        assert_eq!(roster.counts().total(), 0);
        assert!(roster.lock().unconfirmed.is_empty());
    }

    #[tokio::test]
    async fn everybody_who_waits_is_told() {
        let roster = Roster::default();
        let id = SagaId::random();
        let mut first = roster.admit(id, "a").expect("new ones are taken");
        let mut second = roster.watch(id).expect("in flight");
        assert!(!roster.finish(id, succeeded()), "nobody asked for it");
        for waiter in [&mut first, &mut second] {
            let outcome = waiter.wait_for(Option::is_some).await.expect("told before dropped").clone();
            assert!(matches!(outcome.as_deref(), Some(SagaOutcome::Succeeded { .. })));
        }
        assert!(roster.watch(id).is_none());
    }

    #[test]
    fn whoever_ends_the_last_saga_says_so_once() {
        let roster = Roster::default();
        let [first, second, third] = [(); 3].map(|()| SagaId::random());
        roster.admit(first, "a").expect("new ones are taken");
        roster.insert_recovered(second, "b".to_owned());
        roster.recovery_began();
        assert!(!roster.recovery_ended(true) && !roster.quiesce());
        assert!(roster.admit(third, "a").is_none(), "not any more");
        let names: Vec<_> = roster.quiesce_status().sagas.sagas_pending;
        let names: Vec<_> = names.iter().map(|saga| (saga.saga_name.as_str(), saga.recovered)).collect();
        assert!(names.contains(&("a", false)) && names.contains(&("b", true)), "{names:?}");
        assert!(!roster.finish(first, succeeded()));
        assert!(roster.remove(second), "that was the last one");
        assert!(!roster.quiesce(), "it was said");
    }
}
