//! A SEC without its process: the engine on a given store, and clients that create projects on it without HTTP.

use sagactl::coordinator::background::driver::Waker;
use sagactl::coordinator::recovery::{Announcer, Recovery};
use sagactl::coordinator::sagas::SagaRegistry;
use sagactl::coordinator::sagas::project_create::{Params, ProjectCreate};
use sagactl::coordinator::sec::{SagaOutcome, Sagas, SecConfig};
use sagactl::store::sqlite::{OpenOptions, SqliteStore};
use sagactl::store::{FatalHandler, SharedStore};
use sagactl::wire::ids::{SagaId, SecId};
use sagactl::wire::time::now;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clients at the same time, as the budgets have it.
pub(crate) const CLIENTS: usize = 64;

/// Ends the benchmark; there is nothing to go on with.
pub(crate) fn on_fatal() -> FatalHandler {
    Arc::new(|reason| panic!("{reason}"))
}

/// The real thing: SQLite with `synchronous=FULL`.
pub(crate) fn sqlite(path: &Path) -> SharedStore {
    Arc::new(SqliteStore::open(path, OpenOptions::new(on_fatal())).expect("a database"))
}

/// A SEC on a store; with recovery for whoever wants to run passes.
pub(crate) fn sec(store: &SharedStore, sec_id: SecId, always_strict: bool) -> (Sagas, Recovery) {
    let (announcer, recovery): (Announcer, Recovery) = Recovery::new();
    let sagas = Sagas::start(SecConfig {
        faults: None,
        sec_id,
        store: Arc::clone(store),
        registry: Arc::new(SagaRegistry::reference()),
        always_strict,
        announcer,
        recovery_waker: Waker::new(),
        services: Arc::new(()),
        on_fatal: on_fatal(),
        log: slog::Logger::root(slog::Discard, slog::o!()),
    })
    .expect("an engine");
    (sagas, recovery)
}

/// Has clients create projects in a closed loop for a while; answers sagas per second.
pub(crate) fn create_projects(sagas: &Sagas, lasts: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    runtime.block_on(async {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (sagas, done) = (sagas.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    while started.elapsed() < lasts {
                        let id = sagas.new_id();
                        let params = params_for(id);
                        let running = sagas
                            .create::<ProjectCreate>(id, &params, None)
                            .await
                            .expect("a saga is created");
                        let outcome = running.finished().await;
                        assert!(matches!(outcome, SagaOutcome::Succeeded { .. }), "{outcome:?}");
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("a client ends well");
        }
    });
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Parameters of a project whose name nobody else has.
pub(crate) fn params_for(id: SagaId) -> Params {
    let name = format!("p-{}", id.as_uuid().simple());
    Params { name: name.parse().expect("a good name"), description: String::new(), time_created: now() }
}

/// How often what is compared is measured in turns.
const ROUNDS: usize = 3;

/// Of each of several things that are measured in turns, the one in the middle.
pub(crate) fn medians<T: Copy, const N: usize>(
    measure: impl Fn() -> [T; N],
    figure: impl Fn(&T) -> f64,
) -> [T; N] {
    let rounds: Vec<[T; N]> = (0..ROUNDS).map(|_| measure()).collect();
    std::array::from_fn(|which| {
        let mut of_one: Vec<T> = rounds.iter().map(|round| round[which]).collect();
        of_one.sort_by(|one, other| figure(one).total_cmp(&figure(other)));
        of_one[ROUNDS / 2]
    })
}
