//! The books of a run: what became of each request, in a byte each, and totals that always add up.

use super::names::Names;
use super::stats::{ErrorClass, Stats};
use crate::reconcile::Seen;
use serde::Serialize;
use std::time::Duration;

/// What is known of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Done,
    Failed,
    InDoubt,
}

/// Totals. `started = done + failed + in doubt + in flight`, at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests begun.
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

/// A request that has begun: by whom, and which of theirs.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    worker: usize,
    number: usize,
}

/// The first thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstFailure {
    /// Name of what was to be made.
    pub name: String,
    /// What went wrong.
    pub error: String,
}

/// The books.
#[derive(Debug)]
pub struct Ledger {
    names: Names,
    workers: Vec<Vec<State>>,
    totals: Totals,
    stats: Stats,
    first_failure: Option<FirstFailure>,
}

impl Ledger {
    /// Empty books for so many workers.
    pub fn new(names: Names, workers: usize) -> Self {
        Self {
            names,
            workers: vec![Vec::new(); workers],
            totals: Totals::default(),
            stats: Stats::default(),
            first_failure: None,
        }
    }

    /// A worker begins a request; tells the name it is for.
    pub fn begin(&mut self, worker: usize) -> (Ticket, String) {
        let states = &mut self.workers[worker];
        let ticket = Ticket { worker, number: states.len() };
        states.push(State::InFlight);
        self.totals.started += 1;
        self.totals.in_flight += 1;
        (ticket, self.name(ticket))
    }

    fn name(&self, ticket: Ticket) -> String {
        self.names.name(ticket.worker, ticket.number)
    }

    fn end(&mut self, ticket: Ticket, state: State) {
        let slot = &mut self.workers[ticket.worker][ticket.number];
        assert!(*slot == State::InFlight, "a request ends once");
        *slot = state;
        self.totals.in_flight -= 1;
        match state {
            State::Done => self.totals.done += 1,
            State::Failed => self.totals.failed += 1,
            State::InDoubt => self.totals.in_doubt += 1,
            State::InFlight => unreachable!("an end is not in flight"),
        }
    }

    /// It was acknowledged.
    pub fn acknowledged(&mut self, ticket: Ticket, latency: Duration) {
        self.end(ticket, State::Done);
        self.stats.acknowledged(latency);
    }

    /// It went wrong.
    pub fn failed(&mut self, ticket: Ticket, class: ErrorClass, text: &str) {
        self.end(ticket, if class.leaves_doubt() { State::InDoubt } else { State::Failed });
        // Giving up is the blast's own doing, not something that went wrong.
        if class != ErrorClass::GivenUp && self.first_failure.is_none() {
            self.first_failure = Some(FirstFailure { name: self.name(ticket), error: text.to_owned() });
        }
        self.stats.failed(class, text);
    }

    /// Totals so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Latencies and errors so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The first thing that went wrong.
    pub fn first_failure(&self) -> Option<&FirstFailure> {
        self.first_failure.as_ref()
    }

    /// What all names of this run begin with.
    pub fn stem(&self) -> &str {
        self.names.stem()
    }

    /// Every request with what was seen of it.
    pub fn requests(&self) -> impl Iterator<Item = (String, Seen)> + '_ {
        self.workers.iter().enumerate().flat_map(move |(worker, states)| {
            states.iter().enumerate().map(move |(number, state)| {
                let seen = match state {
                    State::Done => Seen::Acknowledged,
                    State::Failed => Seen::Failed,
                    State::InFlight | State::InDoubt => Seen::InDoubt,
                };
                (self.names.name(worker, number), seen)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn totals_add_up_at_every_moment(ends in prop::collection::vec((0_usize..3, 0_u8..4), 0..100)) {
            let mut ledger = Ledger::new(Names::new("t-", "run").expect("good names"), 3);
            let mut open = Vec::new();
            for (worker, what) in ends {
                let (ticket, name) = ledger.begin(worker);
                prop_assert!(name.starts_with("t-run-"));
                match what {
                    0 => ledger.acknowledged(ticket, Duration::from_millis(1)),
                    1 => ledger.failed(ticket, ErrorClass::Status(400), "no"),
                    2 => ledger.failed(ticket, ErrorClass::Cut, "cut"),
                    _ => open.push(ticket),
                }
                let Totals { started, done, failed, in_doubt, in_flight } = ledger.totals();
                prop_assert_eq!(started, done + failed + in_doubt + in_flight);
                prop_assert_eq!(in_flight, open.len() as u64);
            }
            let seen: Vec<_> = ledger.requests().collect();
            let acknowledged = seen.iter().filter(|(_, seen)| *seen == Seen::Acknowledged).count() as u64;
            prop_assert_eq!(seen.len() as u64, ledger.totals().started);
            prop_assert_eq!(acknowledged, ledger.totals().done);
        }
    }
}
