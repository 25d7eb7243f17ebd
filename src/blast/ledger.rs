//! What became of each request. Pure, and small: what a run remembers of a request is next to nothing.
//!
//! A worker has at most one request under way and numbers its requests one after the other, so what became of them is a
//! sequence, and it is kept as such with equal neighbours put together: a run in which everything went well is one entry
//! per worker however long it lasts, and one whose every second request fails takes a few bytes for each.
//!
//! The totals add up at every moment: `started = done + failed + in doubt + in flight`.

use super::answer::Outcome;
use super::names::RequestId;
use crate::reconcile::Seen;
use serde::Serialize;

/// How many requests there are of each kind. `started = done + failed + in doubt + in flight`, at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Launched at all.
    pub started: u64,
    /// Acknowledged.
    pub done: u64,
    /// Told no, or never left.
    pub failed: u64,
    /// Sent, and no answer came.
    pub in_doubt: u64,
    /// Not over yet.
    pub in_flight: u64,
}

impl Totals {
    /// Over, but not done.
    pub fn not_done(&self) -> u64 {
        self.failed + self.in_doubt
    }
}

/// What became of each request.
#[derive(Clone, Debug)]
pub struct Ledger {
    workers: Vec<Sequence>,
    totals: Totals,
}

/// The requests of one worker.
#[derive(Clone, Debug, Default)]
struct Sequence {
    started: u32,
    finished: u32,
    stretches: Vec<Stretch>,
}

/// Requests one after the other of which the same became.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    seen: Seen,
    length: u32,
}

impl Ledger {
    /// A ledger for so many workers.
    pub fn new(workers: u32) -> Self {
        Self { workers: vec![Sequence::default(); workers as usize], totals: Totals::default() }
    }

    /// A worker launches its next request. Workers are counted from 0.
    ///
    /// # Panics
    ///
    /// If the worker has one under way, or has had four thousand million.
    pub fn start(&mut self, worker: u32) -> RequestId {
        let sequence = &mut self.workers[worker as usize];
        assert_eq!(sequence.started, sequence.finished, "a worker has one request under way at most");
        let number = sequence.started;
        sequence.started = number.checked_add(1).expect("one worker makes no more than 2^32 requests");
        self.totals.started += 1;
        self.totals.in_flight += 1;
        RequestId { worker, number }
    }

    /// A request is over.
    ///
    /// # Panics
    ///
    /// If it is not the one that its worker has under way.
    pub fn finish(&mut self, request: RequestId, outcome: Outcome, seen: Seen) {
        let sequence = &mut self.workers[request.worker as usize];
        assert_eq!(request.number + 1, sequence.started, "only what is under way can end");
        sequence.finish(seen);
        self.totals.in_flight -= 1;
        *match outcome {
            Outcome::Done => &mut self.totals.done,
            Outcome::Failed => &mut self.totals.failed,
            Outcome::InDoubt => &mut self.totals.in_doubt,
        } += 1;
    }

    /// Puts everything that is under way in doubt, and tells what that was.
    pub fn give_up(&mut self) -> Vec<RequestId> {
        let under_way: Vec<_> = (0..)
            .zip(&self.workers)
            .filter(|(_, sequence)| sequence.finished < sequence.started)
            .map(|(worker, sequence)| RequestId { worker, number: sequence.finished })
            .collect();
        for request in &under_way {
            self.finish(*request, Outcome::InDoubt, Seen::InDoubt);
        }
        under_way
    }

    /// How many requests there are of each kind.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Every request, by worker and number. What is under way is in doubt as long as it is.
    pub fn requests(&self) -> impl Iterator<Item = (RequestId, Seen)> {
        (0..).zip(&self.workers).flat_map(|(worker, sequence)| {
            let under_way = (sequence.finished < sequence.started).then_some(Seen::InDoubt);
            let seen = sequence
                .stretches
                .iter()
                .flat_map(|stretch| std::iter::repeat_n(stretch.seen, stretch.length as usize))
                .chain(under_way);
            (0..).zip(seen).map(move |(number, seen)| (RequestId { worker, number }, seen))
        })
    }
}

impl Sequence {
    fn finish(&mut self, seen: Seen) {
        assert!(self.finished < self.started, "only what was started can end");
        self.finished += 1;
        match self.stretches.last_mut() {
            Some(stretch) if stretch.seen == seen => stretch.length += 1,
            _ => self.stretches.push(Stretch { seen, length: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_good_run_takes_no_memory_per_request() {
        let mut ledger = Ledger::new(2);
        for _ in 0..10_000 {
            let request = ledger.start(1);
            ledger.finish(request, Outcome::Done, Seen::Acknowledged);
        }
        assert_eq!(ledger.workers[1].stretches.len(), 1);
        assert_eq!(ledger.totals(), Totals { started: 10_000, done: 10_000, ..Totals::default() });
        assert_eq!(
            ledger.requests().last(),
            Some((RequestId { worker: 1, number: 9_999 }, Seen::Acknowledged))
        );
    }

    #[test]
    fn what_is_under_way_at_the_end_is_in_doubt() {
        let mut ledger = Ledger::new(3);
        let first = ledger.start(0);
        ledger.start(2);
        ledger.finish(first, Outcome::Failed, Seen::Unsent);
        assert_eq!(ledger.totals().in_flight, 1);
        assert_eq!(ledger.give_up(), [RequestId { worker: 2, number: 0 }]);
        assert_eq!(ledger.give_up(), []);
        assert_eq!(ledger.totals(), Totals { started: 2, done: 0, failed: 1, in_doubt: 1, in_flight: 0 });
    }

    proptest! {
        /// Against a plain map: the totals add up after every step, and every request is there once, in order.
        #[test]
        fn accounting_always_adds_up(steps in proptest::collection::vec((0u32..4, 0usize..4), 0..200)) {
            const ALL: [(Outcome, Seen); 4] = [
                (Outcome::Done, Seen::Acknowledged),
                (Outcome::Failed, Seen::Failed),
                (Outcome::Failed, Seen::Unsent),
                (Outcome::InDoubt, Seen::InDoubt),
            ];
            let mut ledger = Ledger::new(4);
            let mut under_way: BTreeMap<u32, RequestId> = BTreeMap::new();
            let mut model: BTreeMap<RequestId, Seen> = BTreeMap::new();
            for (worker, what) in steps {
                match under_way.remove(&worker) {
                    None => { under_way.insert(worker, ledger.start(worker)); }
                    Some(request) => {
                        let (outcome, seen) = ALL[what];
                        ledger.finish(request, outcome, seen);
                        model.insert(request, seen);
                    }
                }
                let Totals { started, done, failed, in_doubt, in_flight } = ledger.totals();
                prop_assert_eq!(in_flight, under_way.len() as u64);
                prop_assert_eq!(started, done + failed + in_doubt + in_flight);
                prop_assert_eq!(done + ledger.totals().not_done(), model.len() as u64);
            }
            let mut all = model.clone();
            all.extend(under_way.values().map(|request| (*request, Seen::InDoubt)));
            prop_assert!(ledger.requests().eq(all.clone()), "what is under way is in doubt");
            for request in ledger.give_up() {
                prop_assert_eq!(under_way.remove(&request.worker), Some(request));
            }
            prop_assert!(under_way.is_empty());
            prop_assert!(ledger.requests().eq(all));
        }
    }
}
