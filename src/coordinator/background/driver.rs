//! Runs background tasks: period, explicit activation, iteration counter, last result. Knows nothing of sagas.
//!
//! Each task is one loop, so two activations of one task never overlap. Signals while an activation runs coalesce into
//! one more activation after it: a signal means "an activation must *begin* after now", and one is enough for all who
//! asked. [`Driver::activate`] names the iteration that will be that one, so a caller can wait for it by number.

use crate::store::FatalHandler;
use crate::wire::bgtasks::{
    ActivationReason, BackgroundTask, CurrentStatus, CurrentStatusRunning, LastResult, LastResultCompleted,
};
use crate::wire::time::{Time, now};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Which run of a task this is. For its report only; what the task does must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Its number, from 1.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// When it began.
    pub start_time: Time,
}

/// Something to be done again and again.
pub trait Task: Send + 'static {
    /// Does it once and reports; the report's shape is the task's own.
    fn activate<'a>(&'a mut self, activation: &'a Activation) -> BoxFuture<'a, serde_json::Value>;
}

/// What there is to know of a task without running it.
#[derive(Clone, Copy, Debug)]
pub struct TaskInfo {
    /// Unique name.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// Time between the starts of two activations that nobody asked for.
    pub period: Duration,
}

/// A way to ask for an activation, for code that must not know the driver.
#[derive(Clone, Debug)]
pub struct Waker {
    signal: Arc<Signal>,
}

impl Waker {
    /// A waker for a task that is yet to be added.
    pub fn new() -> Self {
        Self { signal: Arc::new(Signal::default()) }
    }

    /// Asks for an activation, on behalf of another task or of the coordinator itself.
    pub fn wake(&self) {
        self.signal.request(ActivationReason::Dependency);
    }
}

impl Default for Waker {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<SignalState>,
    requested: Notify,
}

#[derive(Debug, Default)]
struct SignalState {
    /// Iterations begun so far.
    begun: u64,
    /// A request that the next iteration will answer.
    wanted: Option<ActivationReason>,
    current: Option<Activation>,
    last: Option<LastResultCompleted>,
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, SignalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The iteration that will begin after this request.
    fn request(&self, reason: ActivationReason) -> u64 {
        let mut state = self.lock();
        // Somebody's explicit wish is what the operator should see, whoever else asked as well.
        if state.wanted != Some(ActivationReason::Signaled) {
            state.wanted = Some(reason);
        }
        let iteration = state.begun + 1;
        drop(state);
        self.requested.notify_one();
        iteration
    }

    fn begin(&self) -> Activation {
        let mut state = self.lock();
        state.begun += 1;
        let activation = Activation {
            iteration: state.begun,
            reason: state.wanted.take().unwrap_or(ActivationReason::Timeout),
            start_time: now(),
        };
        state.current = Some(activation);
        activation
    }

    fn end(&self, activation: Activation, elapsed: Duration, details: serde_json::Value) {
        let mut state = self.lock();
        state.current = None;
        state.last = Some(LastResultCompleted {
            iteration: activation.iteration,
            start_time: activation.start_time,
            reason: activation.reason,
            elapsed: elapsed.into(),
            details,
        });
    }
}

/// All background tasks of a coordinator.
pub struct Driver {
    tasks: BTreeMap<&'static str, (TaskInfo, Arc<Signal>)>,
    on_fatal: FatalHandler,
}

/// Names that no task has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTasks(pub Vec<String>);

impl Driver {
    /// Without tasks. A task that panics has lost track of what it keeps between activations; `on_fatal` then ends the
    /// process, whose next start begins with a clean slate.
    pub fn new(on_fatal: FatalHandler) -> Self {
        Self { tasks: BTreeMap::new(), on_fatal }
    }

    /// Adds a task and starts it on the present runtime; its first activation comes at once. `waker` is the one through
    /// which others may wake it.
    ///
    /// # Panics
    ///
    /// If there is a task of this name already.
    pub fn start(&mut self, info: TaskInfo, waker: Waker, mut task: impl Task) {
        let signal = waker.signal;
        let previous = self.tasks.insert(info.name, (info, Arc::clone(&signal)));
        assert!(previous.is_none(), "two background tasks are called {:?}", info.name);
        let on_fatal = Arc::clone(&self.on_fatal);
        tokio::spawn(async move {
            loop {
                let activation = signal.begin();
                let started = Instant::now();
                let Ok(details) = AssertUnwindSafe(task.activate(&activation)).catch_unwind().await else {
                    match on_fatal(&format!(
                        "background task {:?} panicked; its log line says where",
                        info.name
                    )) {}
                };
                signal.end(activation, started.elapsed(), details);
                tokio::select! {
                    () = signal.requested.notified() => {}
                    () = tokio::time::sleep_until(started + info.period) => {}
                }
            }
        });
    }

    /// Every task, as the API shows it.
    pub fn list(&self) -> BTreeMap<String, BackgroundTask> {
        self.tasks.iter().map(|(name, (info, signal))| ((*name).to_owned(), view(info, signal))).collect()
    }

    /// One task, as the API shows it.
    pub fn find(&self, name: &str) -> Option<BackgroundTask> {
        self.tasks.get(name).map(|(info, signal)| view(info, signal))
    }

    /// Asks for an activation of each of these, or, if one of them is unknown, of none. Answers the iterations that will
    /// begin after this call.
    ///
    /// # Errors
    ///
    /// The unknown names.
    pub fn activate(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, u64>, UnknownTasks> {
        let unknown: Vec<_> =
            names.iter().filter(|name| !self.tasks.contains_key(name.as_str())).cloned().collect();
        if !unknown.is_empty() {
            return Err(UnknownTasks(unknown));
        }
        Ok(names
            .iter()
            .filter_map(|name| {
                let (_, signal) = self.tasks.get(name.as_str())?;
                Some((name.clone(), signal.request(ActivationReason::Signaled)))
            })
            .collect())
    }
}

fn view(info: &TaskInfo, signal: &Signal) -> BackgroundTask {
    let state = signal.lock();
    BackgroundTask {
        name: info.name.to_owned(),
        description: info.description.to_owned(),
        period: info.period.into(),
        current: match state.current {
            None => CurrentStatus::Idle,
            Some(Activation { iteration, reason, start_time }) => {
                CurrentStatus::Running(CurrentStatusRunning { start_time, reason, iteration })
            }
        },
        last: state.last.clone().map_or(LastResult::NeverCompleted, LastResult::Completed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    const INFO: TaskInfo =
        TaskInfo { name: "count", description: "counts", period: Duration::from_secs(3600) };

    /// A task that reports each start and then waits to be let go.
    struct Gated {
        started: mpsc::UnboundedSender<Activation>,
        gate: Arc<Notify>,
    }

    impl Task for Gated {
        fn activate<'a>(&'a mut self, activation: &'a Activation) -> BoxFuture<'a, serde_json::Value> {
            async move {
                self.started.send(*activation).expect("the test listens");
                self.gate.notified().await;
                serde_json::json!({ "ran": activation.iteration })
            }
            .boxed()
        }
    }

    fn gated(period: Duration) -> (Driver, mpsc::UnboundedReceiver<Activation>, Arc<Notify>) {
        let (started, starts) = mpsc::unbounded_channel();
        let gate = Arc::new(Notify::new());
        let mut driver = Driver::new(Arc::new(|reason| panic!("{reason}")));
        driver.start(TaskInfo { period, ..INFO }, Waker::new(), Gated { started, gate: Arc::clone(&gate) });
        (driver, starts, gate)
    }

    fn only_count() -> BTreeSet<String> {
        BTreeSet::from(["count".to_owned()])
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_activation_comes_at_once_and_the_period_brings_the_next() {
        let (driver, mut starts, gate) = gated(Duration::from_secs(600));
        let first = starts.recv().await.expect("a start");
        assert_eq!((first.iteration, first.reason), (1, ActivationReason::Timeout));
        assert!(matches!(driver.find("count").expect("known").current, CurrentStatus::Running(_)));
        gate.notify_one();
        let second = starts.recv().await.expect("a start");
        assert_eq!((second.iteration, second.reason), (2, ActivationReason::Timeout));
    }

    #[tokio::test(start_paused = true)]
    async fn signals_while_running_become_exactly_one_more_activation() {
        let (driver, mut starts, gate) = gated(Duration::from_secs(3600));
        starts.recv().await.expect("a start");
        for _ in 0..5 {
            let promised = driver.activate(&only_count()).expect("known");
            assert_eq!(promised["count"], 2, "the running one began before the request");
        }
        gate.notify_one();
        let second = starts.recv().await.expect("a start");
        assert_eq!((second.iteration, second.reason), (2, ActivationReason::Signaled));
        gate.notify_one();
        let third = starts.recv().await.expect("a start");
        assert_eq!(third.reason, ActivationReason::Timeout, "no signal is left over");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_name_activates_nothing() {
        let (driver, mut starts, _gate) = gated(Duration::from_secs(3600));
        starts.recv().await.expect("a start");
        let names = BTreeSet::from(["count".to_owned(), "nope".to_owned()]);
        assert_eq!(driver.activate(&names), Err(UnknownTasks(vec!["nope".to_owned()])));
        assert_eq!(driver.activate(&only_count()).expect("known")["count"], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_ends_the_process() {
        struct Panics;
        impl Task for Panics {
            fn activate<'a>(&'a mut self, _: &'a Activation) -> BoxFuture<'a, serde_json::Value> {
                async move { panic!("lost track") }.boxed()
            }
        }
        let (told, mut reasons) = mpsc::unbounded_channel();
        let mut driver = Driver::new(Arc::new(move |reason| {
            told.send(reason.to_owned()).expect("the test listens");
            panic!("the process would end here")
        }));
        driver.start(INFO, Waker::new(), Panics);
        let reason = reasons.recv().await.expect("told");
        assert!(reason.starts_with("background task \"count\" panicked"), "{reason}");
    }
}
