//! Load made of any kinds of sagas that a coordinator can make by itself, in a closed loop, with books on each.
//!
//! `blast` knows the reference coordinator's objects. A service has sagas of its own, and says what they need
//! ([`DrilledKinds`](crate::coordinator::drilled::DrilledKinds)); so a drill asks for one saga after the other, each
//! with an id that it chooses, and finds them again by these ids. A request is done when the coordinator has said that the
//! saga is made, which is a promise to bring it to rest.

use super::lab::{self, DrillError, Records};
use crate::blast::ledger::Totals;
use crate::blast::records::{Recorded, sagas_from_database};
use crate::client::Client;
use crate::client::error::{CallError, Problem};
use crate::reconcile::{Reconciliation, Seen, reconcile};
use crate::wire::fault::{DrilledKind, DrilledSaga};
use crate::wire::ids::SagaId;
use crate::wire::sagas::SagaState;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Time between two looks at a saga.
const POLL: Duration = Duration::from_millis(3);

/// Pause after something did not go through, so that a coordinator that is gone is not asked without end.
const PAUSE: Duration = Duration::from_millis(20);

/// Which of `kinds` are meant by these names; all, if there are none.
///
/// # Errors
///
/// If one of them is not there, or there are none at all.
pub fn select(kinds: Vec<DrilledKind>, wanted: &[String]) -> Result<Vec<DrilledKind>, DrillError> {
    let is_known = |name: &&String| kinds.iter().any(|kind| kind.name == **name);
    let unknown = wanted.iter().find(|name| !is_known(name)).cloned();
    if unknown.is_some() || kinds.is_empty() {
        let known: Vec<_> = kinds.into_iter().map(|kind| kind.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(match unknown {
            Some(unknown) => DrillError::UnknownSaga { unknown, known },
            None => DrillError::NothingToDrill,
        });
    }
    Ok(kinds.into_iter().filter(|kind| wanted.is_empty() || wanted.contains(&kind.name)).collect())
}

/// Load that is on, or was.
pub struct SagaLoad {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

struct Shared {
    client: Client,
    kinds: Vec<DrilledKind>,
    is_over: AtomicBool,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    seen: BTreeMap<SagaId, Seen>,
    /// Sagas that wait for somebody outside and have not been seen at rest, with their kinds.
    waiting: BTreeMap<SagaId, (String, DrilledSaga)>,
}

impl SagaLoad {
    /// Starts so many clients, each of which makes sagas of all kinds in turn.
    pub fn start(client: &Client, kinds: &[DrilledKind], clients: u32) -> Self {
        let shared = Arc::new(Shared {
            client: client.clone(),
            kinds: kinds.to_vec(),
            is_over: AtomicBool::new(false),
            books: Mutex::default(),
        });
        let mut workers = JoinSet::new();
        for number in 0..clients {
            let shared = Arc::clone(&shared);
            let first = usize::try_from(number).expect("a small number");
            workers.spawn(async move { shared.work(first).await });
        }
        Self { shared, workers }
    }

    /// What became of all requests so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for seen in self.shared.books().seen.values() {
            totals.started += 1;
            match seen {
                Seen::Acknowledged => totals.done += 1,
                Seen::Failed | Seen::Unsent => totals.failed += 1,
                _ => totals.in_doubt += 1,
            }
        }
        totals
    }

    /// Gives up what is under way; it stays in doubt.
    pub async fn stop_now(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.workers.shutdown().await;
    }

    /// Waits until everything has been recovered and is at rest, and plays the part of those outside whom sagas wait for.
    ///
    /// # Errors
    ///
    /// If that takes too long.
    pub async fn wait_until_recovered(
        &self,
        client: &Client,
        since: Instant,
    ) -> Result<Duration, DrillError> {
        let nudge = async {
            loop {
                let waiting: Vec<_> = self.shared.books().waiting.values().cloned().collect();
                for (kind, saga) in waiting {
                    // One that is at rest by now, or was never made, takes no notice.
                    let _ = client.with_fresh_budget().nudge_drilled_saga(&kind, &saga).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            recovered = lab::wait_until_recovered(client, since) => recovered,
            () = nudge => unreachable!("it goes on until it is dropped"),
        }
    }

    /// Holds what was asked for against the database.
    ///
    /// # Errors
    ///
    /// If that cannot be read.
    pub async fn reconcile(&self, records: &Records) -> Result<Reconciliation, DrillError> {
        let seen = self.shared.books().seen.clone();
        let ids: Vec<SagaId> = seen.keys().copied().collect();
        let recorded = sagas_from_database(records.store(), &ids).await.map_err(DrillError::Records)?;
        let Recorded::Sagas(recorded) = recorded else { unreachable!("sagas were asked for") };
        Ok(reconcile(seen, recorded, SagaId::to_string))
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, first: usize) {
        for number in first.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let kind = &self.kinds[number % self.kinds.len()];
            if self.run_one(kind).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn run_one(&self, kind: &DrilledKind) -> Result<(), CallError> {
        let client = || self.client.with_fresh_budget();
        let prepared = client().prepare_drilled_saga(&kind.name).await?;
        let saga = DrilledSaga { saga_id: SagaId::random(), params: prepared.params };
        {
            let mut books = self.books();
            books.seen.insert(saga.saga_id, Seen::InDoubt);
            if kind.waits {
                books.waiting.insert(saga.saga_id, (kind.name.clone(), saga.clone()));
            }
        }
        let created = client().create_drilled_saga(&kind.name, &saga).await;
        self.books().seen.insert(saga.saga_id, seen(&created));
        created?;
        loop {
            if kind.waits {
                client().nudge_drilled_saga(&kind.name, &saga).await?;
            }
            match client().fetch_saga(saga.saga_id).await? {
                Some(saga) if saga.state == SagaState::Running => tokio::time::sleep(POLL).await,
                // At rest, and possibly forgotten since.
                _ => break,
            }
        }
        self.books().waiting.remove(&saga.saga_id);
        Ok(())
    }
}

/// What an answer to the creation of a saga proves.
fn seen(created: &Result<(), CallError>) -> Seen {
    match created.as_ref().map_err(|error| &error.problem) {
        Ok(()) => Seen::Acknowledged,
        Err(Problem::Status { status, .. }) if status.is_client_error() => Seen::Failed,
        Err(Problem::Unreachable { .. }) => Seen::Unsent,
        Err(_) => Seen::InDoubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> DrilledKind {
        DrilledKind { name: name.to_owned(), waits: false }
    }

    #[test]
    fn kinds_are_all_or_those_that_were_asked_for() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let selected = select(vec![kind("a"), kind("b")], &wanted);
            selected.map(|kinds| kinds.into_iter().map(|kind| kind.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all"), ["a", "b"]);
        assert_eq!(names(&["b"]).expect("one"), ["b"]);
        let error = names(&["b", "c"]).expect_err("no such saga").to_string();
        assert_eq!(error, "unknown saga \"c\"; sagas that this coordinator can drill: a, b");
        assert!(matches!(select(Vec::new(), &[]), Err(DrillError::NothingToDrill)));
    }
}
