//! The load generator: it makes load through a coordinator's API, and knows afterwards what became of each request.
//!
//! # Parts
//!
//! ```text
//!   workload   what a unit of load does                                             pure
//!   schedule   when the next request may start, and when there is to be none        pure
//!   names      names of what is made, recognised again in records                   pure
//!   answer     what an answer means, or the lack of one                             pure
//!   ledger     what became of each request; accounting that always adds up          pure
//!   stats      latencies, troubles by class; `series` the same over time            pure
//!   rules      what makes a run a failure: `p99>2s`                                 pure
//!   http1      what bytes on a connection mean                                      pure
//!   workers    one connection each, over `connection` and `target`, woken by `pacer`
//!   journal    the run's own record of itself, in a file
//!   records    asks a database or a server afterwards what it has
//!   report     all of it as one value
//!   clean      deletes what runs have made
//! ```
//!
//! A [`Blast`] is a handle: it can be asked at any time how far it is, and be stopped. What the coordinator has of a run is
//! asked for apart ([`records`]), since a drill may want to restart a coordinator first, and both come together in a
//! [`Report`]. Nothing here prints.
//!
//! # Stopping
//!
//! A run ends by itself when it has made enough requests, when its time is over, or when more went wrong than is tolerated;
//! [`Blast::drain`] ends it from outside. Then nothing more is launched. After a planned end every request under way gets
//! all its time. When the run was interrupted or failed, they get [`Config::grace`], and what is still under way then is
//! *in doubt*. [`Blast::stop_now`] gives up at once.

pub mod answer;
pub mod clean;
mod connection;
mod http1;
pub mod journal;
pub mod ledger;
pub mod limits;
mod list;
pub mod login;
pub mod names;
mod pacer;
mod random;
pub mod records;
pub mod report;
pub mod rules;
pub mod schedule;
pub mod series;
pub mod sightings;
pub mod stats;
mod stream;
pub mod target;

mod workers;
pub mod workload;

use crate::client::base_url::BaseUrl;
use crate::client::tls::Trust;
use crate::reconcile::Reconciliation;
use crate::wire::time::{self, Time};
use answer::{Class, Outcome, Trouble};
use journal::{Entry, Footer, Header, RecordError, Recorder};
use ledger::{Ledger, Totals};
use names::Names;
use pacer::Pacer;
use records::Recorded;
pub use report::Report;
use schedule::{Limits, Pacing, Plan, Schedule};
use series::Series;
use stats::{LatencyMs, Meter, Stats};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use target::{Credential, Reach, Target, TargetError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use workers::{Books, Common, State, work};
use workload::Workload;

/// Time for requests under way after an unplanned end, unless somebody says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// How long one request may take, unless somebody says otherwise.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Most workers of one run.
pub const MOST_WORKERS: u32 = 10_000;

/// What a run is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// What each request does.
    pub workload: Workload,
    /// The API that the workload speaks to.
    pub target: BaseUrl,
    /// Which machines that may be on.
    pub reach: Reach,
    /// Who may say who an `https` server is.
    pub trust: Trust,
    /// How the run proves who it is, if it has to.
    pub credential: Option<Credential>,
    /// Names of what is made.
    pub names: Names,
    /// Workers, which is how many requests are under way at most.
    pub concurrency: u32,
    /// When requests start.
    pub pacing: Pacing,
    /// How long the load rises until it is whole.
    pub ramp: Duration,
    /// How long requests are not measured in the beginning.
    pub warm_up: Duration,
    /// When the run ends. The duration counts from the end of the warm-up.
    pub limits: Limits,
    /// How long requests under way are waited for after an unplanned end.
    pub grace: Duration,
    /// How long one request may take; after that it is in doubt.
    pub request_timeout: Duration,
    /// Decides everything that is random.
    pub seed: Option<u64>,
}

impl Config {
    /// Creates projects in a closed loop until somebody stops it.
    pub fn new(target: BaseUrl, names: Names, concurrency: u32) -> Self {
        Self {
            workload: Workload::ProjectCreate,
            target,
            reach: Reach::Loopback,
            trust: Trust::system(),
            credential: None,
            names,
            concurrency,
            pacing: Pacing::ClosedLoop { pause: Duration::ZERO },
            ramp: Duration::ZERO,
            warm_up: Duration::ZERO,
            limits: Limits::default(),
            grace: DEFAULT_GRACE,
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            seed: None,
        }
    }

    fn plan(&self) -> Plan {
        let Self { pacing, ramp, concurrency, warm_up, limits, .. } = *self;
        let duration = limits.duration.map(|duration| duration.saturating_add(warm_up));
        Plan { pacing, ramp, workers: concurrency, limits: Limits { duration, ..limits } }
    }

    /// How the load is made, in words.
    pub fn model(&self) -> String {
        let Self { pacing, concurrency, .. } = self;
        match pacing {
            Pacing::ClosedLoop { pause } if pause.is_zero() => {
                format!("closed loop, {concurrency} in flight")
            }
            Pacing::ClosedLoop { pause } => format!(
                "closed loop, {concurrency} in flight, {} pause after each",
                humantime::format_duration(*pause)
            ),
            Pacing::OpenLoop { rate } => {
                format!("open loop, {rate}, corrected, at most {concurrency} in flight")
            }
        }
    }
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nobody to make load on.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// What is to be read is no path.
    #[error("{path:?} is no path; one looks like /v1/ping")]
    Path {
        /// What was given.
        path: String,
    },
    /// The system gives no thread to keep time with.
    #[error("starting a thread")]
    Thread(#[source] std::io::Error),
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Since the first request.
    pub elapsed: Duration,
    /// Totals so far.
    pub totals: Totals,
    /// Done per second, over all that is measured.
    pub rate_per_sec: f64,
    /// Done per second, over the last moments.
    pub rate_now: f64,
    /// Latencies so far.
    pub latency_ms: Option<LatencyMs>,
}

/// What somebody outside wants of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    /// Go on.
    No,
    /// Start no more requests, and wait for those in flight.
    Drain,
    /// Wait for nothing.
    Now,
}

/// A run, before, while and after it goes on.
#[derive(Clone)]
pub struct Blast {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    time_started: Time,
    /// When the first request may start; set when the run begins.
    began: OnceLock<Instant>,
    /// How long it took; set when it is over.
    took: OnceLock<Duration>,
    books: Arc<Books>,
    meter: Mutex<Meter>,
    stop: watch::Sender<Stop>,
}

impl Blast {
    /// Makes one ready.
    pub fn new(config: Config) -> Self {
        let state = State {
            schedule: Schedule::new(config.plan()),
            ledger: Ledger::new(config.concurrency),
            stats: Stats::new(),
            series: Series::new(),
            sagas: Vec::new(),
            recorder: None,
        };
        let shared = Shared {
            config,
            time_started: time::now(),
            began: OnceLock::new(),
            took: OnceLock::new(),
            books: Arc::new(Books::new(state)),
            meter: Mutex::default(),
            stop: watch::Sender::new(Stop::No),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has the run write a record of itself.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn record_to(&self, path: &Path) -> Result<(), RecordError> {
        let Shared { config, time_started, .. } = &*self.shared;
        let header = Header::new(config, *time_started);
        let recorder = Recorder::create(path, &header, &config.names)?;
        self.shared.books.state().recorder = Some(recorder);
        Ok(())
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// When it could not begin. A server that is not there is no such reason: every request to it fails, and is counted.
    pub async fn run(&self) -> Result<(), StartError> {
        let Shared { config, books, .. } = &*self.shared;
        let Config { trust, credential, reach, .. } = config;
        let target = Target::resolve(&config.target, trust, credential.as_ref(), *reach).await?;
        let read = match &config.workload {
            Workload::Get { path } => {
                Some(target.read(path).ok_or_else(|| StartError::Path { path: path.clone() })?)
            }
            Workload::ProjectCreate | Workload::ProjectCycle | Workload::DemoSaga => None,
        };
        let began = *self.shared.began.get_or_init(Instant::now);
        let pacer = match config.pacing {
            Pacing::ClosedLoop { .. } => None,
            Pacing::OpenLoop { .. } => {
                Some(Pacer::start(config.plan(), began.into_std()).map_err(StartError::Thread)?)
            }
        };
        let common = Arc::new(Common {
            target,
            workload: config.workload.clone(),
            read,
            names: config.names.clone(),
            request_timeout: config.request_timeout,
            warm_up: config.warm_up,
            seed: config.seed,
            began,
            pacer: pacer.clone(),
            books: Arc::clone(books),
        });
        let mut workers = JoinSet::new();
        for worker in 0..config.concurrency {
            workers.spawn(work(Arc::clone(&common), worker));
        }
        drop(common);
        self.oversee(&mut workers, pacer.as_deref()).await;
        // Whatever is still under way is dropped here, and its connection with it.
        workers.shutdown().await;
        if let Some(pacer) = pacer {
            pacer.end();
        }
        let took = *self.shared.took.get_or_init(|| began.elapsed());
        self.give_up(took);
        Ok(())
    }

    /// Waits until all workers are done, or need not be waited for any more.
    async fn oversee(&self, workers: &mut JoinSet<()>, pacer: Option<&Pacer>) {
        let Shared { config, books, .. } = &*self.shared;
        let mut draining = books.draining.subscribe();
        let mut stop = self.shared.stop.subscribe();
        let mut give_up_at: Option<Instant> = None;
        loop {
            let given_up = async {
                match give_up_at {
                    Some(moment) => sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // The sender is in the handle, so it is still there.
                _ = stop.wait_for(|stop| *stop == Stop::Now) => return,
                Ok(_) = draining.wait_for(|draining| *draining), if give_up_at.is_none() => {
                    if let Some(pacer) = pacer {
                        pacer.end();
                    }
                    give_up_at = Some(after(Instant::now(), config.grace));
                }
                () = given_up => return,
                ended = workers.join_next() => match ended {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                },
            }
        }
    }

    /// What is still under way is in doubt from now on.
    fn give_up(&self, took: Duration) {
        let Shared { config, books, .. } = &*self.shared;
        let mut state = books.state();
        let state = &mut *state;
        let trouble = Trouble::new(Class::GivenUp, "still under way when the run was ended");
        for request in state.ledger.give_up() {
            state.stats.trouble(&trouble, || config.names.name(request));
            state.series.ended(took, Outcome::InDoubt, Duration::ZERO);
            if let Some(recorder) = &state.recorder {
                recorder.record(Entry::given_up(request, took, &trouble));
            }
        }
    }

    /// Ends the record, if there is one.
    ///
    /// # Errors
    ///
    /// When a part of it could not be written.
    pub fn finish_record(&self) -> Result<(), RecordError> {
        let (recorder, footer) = {
            let mut state = self.shared.books.state();
            let Totals { started, done, failed, in_doubt, in_flight } = state.ledger.totals();
            let ended = state.schedule.end_reason();
            (state.recorder.take(), Footer { ended, started, done, failed, in_doubt: in_doubt + in_flight })
        };
        recorder.map_or(Ok(()), |recorder| recorder.finish(footer))
    }

    /// Starts no more requests and waits for those in flight, at most for the grace period.
    pub fn drain(&self) {
        self.raise(Stop::Drain);
        self.shared.books.interrupt();
    }

    /// Waits for nothing any more.
    pub fn stop_now(&self) {
        self.shared.books.interrupt();
        self.raise(Stop::Now);
    }

    fn raise(&self, to: Stop) {
        self.shared.stop.send_if_modified(|stop| {
            let raised = *stop < to;
            *stop = (*stop).max(to);
            raised
        });
    }

    /// What it was made from.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// When it was made ready, by the wall clock.
    pub fn time_started(&self) -> Time {
        self.shared.time_started
    }

    /// Time since the first request, or how long it took in all.
    pub fn elapsed(&self) -> Duration {
        let Shared { began, took, .. } = &*self.shared;
        took.get().copied().or_else(|| began.get().map(Instant::elapsed)).unwrap_or_default()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let elapsed = self.elapsed();
        let state = self.shared.books.state();
        let totals = state.ledger.totals();
        let rate_now = self.shared.meter.lock().expect("readings cannot panic").rate(elapsed, totals.done);
        Progress {
            elapsed,
            totals,
            rate_per_sec: report::rate(&state.stats, elapsed, self.shared.config.warm_up),
            rate_now,
            latency_ms: state.stats.latency_ms(),
        }
    }

    /// What all names of this run begin with.
    pub fn stem(&self) -> String {
        self.shared.config.names.stem().to_owned()
    }

    /// Holds every request against the records.
    pub fn reconcile(&self, recorded: &Recorded) -> Reconciliation {
        let state = self.shared.books.state();
        recorded.reconcile(&self.shared.config.names, state.ledger.requests(), &state.sagas)
    }

    /// Ids of the sagas that it made, where answers told them.
    pub fn saga_ids(&self) -> Vec<crate::wire::ids::SagaId> {
        self.shared.books.state().sagas.iter().map(|(saga, _)| *saga).collect()
    }
}

/// A moment so much later. Durations come from people, who may mean "for ever" by more than a clock can count.
fn after(moment: Instant, duration: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    moment + duration.min(FOR_EVER)
}

#[cfg(test)]
mod tests;
