//! A load generator that knows afterwards what happened: it creates projects through the external API in a closed loop,
//! keeps books on every request, and is then able to say which of those that failed were done all the same.
//!
//! Workers run on one thread, each with a connection of its own ([`http`]). What they do is decided in [`schedule`], booked
//! in [`ledger`] and measured in [`stats`], all of it pure. Nothing here prints: a [`Blast`] can be asked at any time how
//! far it is, and ends with a [`Report`].

pub mod http;
pub mod ledger;
pub mod names;
pub mod records;
pub mod schedule;
pub mod stats;

use crate::reconcile::Reconciliation;
use crate::wire::external::{IDEMPOTENCY_KEY_HEADER, ProjectCreate};
use ::http::{Method, StatusCode, header};
use bytes::Bytes;
use http::{Answer, Connection, NoAnswer, Target};
use http_body_util::Full;
use ledger::{FirstFailure, Ledger, Totals};
use names::Names;
use schedule::{End, Limits, Stop};
use serde::{Deserialize, Serialize};
use stats::{ErrorClass, ErrorCount, LatencyMs, Stats};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a blast is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where requests go.
    pub target: Target,
    /// Workers, each with one request at a time.
    pub concurrency: usize,
    /// What ends it.
    pub limits: Limits,
    /// How long a worker waits between two requests.
    pub pause: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long requests in flight are waited for once it was stopped.
    pub grace: Duration,
    /// Names of what it makes.
    pub names: Names,
    /// Id of this run, as it stands in the names.
    pub run_id: String,
}

/// What came of a blast, before anybody asked for the records.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Id of the run, which is in every name.
    pub run_id: String,
    /// Which model of load ran.
    pub model: String,
    /// Requests begun. `started = done + failed + in_doubt`.
    pub started: u64,
    /// Acknowledged.
    pub done: u64,
    /// Told no, or never left.
    pub failed: u64,
    /// Sent, and no answer came.
    pub in_doubt: u64,
    /// From the first request to the end of the last.
    pub duration_secs: f64,
    /// Acknowledged requests per second.
    pub rate_per_sec: f64,
    /// Latencies of acknowledged requests; absent if there were none.
    pub latency_ms: Option<LatencyMs>,
    /// What went wrong, by class.
    pub errors: Vec<ErrorCount>,
    /// The first thing that went wrong.
    pub first_failure: Option<FirstFailure>,
    /// What the records say.
    pub reconciliation: Reconciliation,
}

/// How far a blast is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since the first request.
    pub elapsed: Duration,
    /// Totals so far.
    pub totals: Totals,
    /// Latencies so far.
    pub latency_ms: Option<LatencyMs>,
}

/// A blast, before, while and after it runs.
#[derive(Clone)]
pub struct Blast {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    started: Instant,
    ledger: Mutex<Ledger>,
    stop: watch::Sender<Stop>,
}

impl Blast {
    /// Makes one ready; its clock starts now.
    pub fn new(config: Config) -> Self {
        let ledger = Mutex::new(Ledger::new(config.names.clone(), config.concurrency));
        let shared = Shared { config, started: Instant::now(), ledger, stop: watch::Sender::new(Stop::No) };
        Self { shared: Arc::new(shared) }
    }

    /// Runs it to its end.
    pub async fn run(&self) {
        let workers: Vec<_> = (0..self.shared.config.concurrency)
            .map(|worker| {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move { shared.work(worker).await })
            })
            .collect();
        for worker in workers {
            if let Err(error) = worker.await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Starts no more requests and waits for those in flight, at most for the grace period.
    pub fn drain(&self) {
        self.raise(Stop::Drain);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(shared.config.grace).await;
            shared.stop.send_if_modified(|stop| std::mem::replace(stop, Stop::Now) < Stop::Now);
        });
    }

    /// Waits for nothing any more.
    pub fn stop_now(&self) {
        self.raise(Stop::Now);
    }

    fn raise(&self, to: Stop) {
        self.shared.stop.send_if_modified(|stop| {
            let raised = *stop < to;
            *stop = (*stop).max(to);
            raised
        });
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let ledger = self.shared.ledger();
        Progress {
            elapsed: self.shared.started.elapsed(),
            totals: ledger.totals(),
            latency_ms: ledger.stats().latency_ms(),
        }
    }

    /// What all names of this run begin with.
    pub fn stem(&self) -> String {
        self.shared.ledger().stem().to_owned()
    }

    /// Holds every request against the records.
    pub fn reconcile(&self, recorded: &std::collections::HashMap<String, u64>) -> Reconciliation {
        crate::reconcile::reconcile(self.shared.ledger().requests(), recorded)
    }

    /// The report; to be asked for after the end.
    pub fn report(&self, duration: Duration, reconciliation: Reconciliation) -> Report {
        let ledger = self.shared.ledger();
        let Totals { started, done, failed, in_doubt, in_flight } = ledger.totals();
        let stats: &Stats = ledger.stats();
        let duration_secs = duration.as_secs_f64();
        Report {
            run_id: self.shared.config.run_id.clone(),
            model: format!("closed loop, {} in flight", self.shared.config.concurrency),
            started,
            done,
            failed,
            // Nothing is in flight after the end, unless somebody asks too early.
            in_doubt: in_doubt + in_flight,
            duration_secs,
            rate_per_sec: if duration_secs > 0.0 { done as f64 / duration_secs } else { 0.0 },
            latency_ms: stats.latency_ms(),
            errors: stats.errors(),
            first_failure: ledger.first_failure().cloned(),
            reconciliation,
        }
    }
}

/// What a good answer must hold; everything else in it is not looked at.
#[derive(Deserialize)]
struct Made<'a> {
    #[serde(borrow)]
    id: &'a str,
    #[serde(borrow)]
    name: &'a str,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> Option<End> {
        let totals = self.ledger().totals();
        let bad = totals.failed + totals.in_doubt;
        self.config.limits.end(totals.started, bad, self.started.elapsed(), *self.stop.borrow())
    }

    async fn work(&self, worker: usize) {
        let mut connection = Connection::default();
        let mut stop = self.stop.subscribe();
        let mut refused_in_a_row = 0;
        while self.end().is_none() {
            let (ticket, name) = self.ledger().begin(worker);
            let started = Instant::now();
            let outcome = tokio::select! {
                outcome = self.create(&mut connection, &name) => outcome,
                _ = stop.wait_for(|stop| *stop == Stop::Now) => Err(NoAnswer {
                    class: ErrorClass::GivenUp,
                    text: "stopped before the answer".to_owned(),
                }),
            };
            let latency = started.elapsed();
            let mut wait = self.config.pause;
            match outcome {
                Ok(()) => {
                    refused_in_a_row = 0;
                    self.ledger().acknowledged(ticket, latency);
                }
                Err(NoAnswer { class, text }) => {
                    if class == ErrorClass::Refused {
                        refused_in_a_row += 1;
                        wait = wait.max(schedule::reconnect_delay(refused_in_a_row));
                    } else {
                        refused_in_a_row = 0;
                    }
                    self.ledger().failed(ticket, class, &text);
                }
            }
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = stop.wait_for(|stop| *stop > Stop::No) => {}
                }
            }
        }
    }

    async fn create(&self, connection: &mut Connection, name: &str) -> Result<(), NoAnswer> {
        let target = &self.config.target;
        let body = ProjectCreate {
            name: name.parse().expect("the beginning of names was checked"),
            description: "made by sagactl blast".to_owned(),
        };
        let body = serde_json::to_vec(&body).expect("text is JSON");
        let request = target
            .request()
            .method(Method::POST)
            .uri(format!("{}/v1/projects", target.path_prefix))
            .header(header::CONTENT_TYPE, "application/json")
            // A name is used once, so it serves as the key as well.
            .header(IDEMPOTENCY_KEY_HEADER, name)
            .body(Full::new(Bytes::from(body)))
            .expect("parts that were checked make a request");
        let answer = connection.send(target, request, self.config.request_timeout).await?;
        judge(&answer, name)
    }
}

fn judge(answer: &Answer, name: &str) -> Result<(), NoAnswer> {
    if answer.status != StatusCode::CREATED {
        let class = ErrorClass::Status(answer.status.as_u16());
        return Err(NoAnswer { class, text: format!("{}: {}", answer.status, said(&answer.body)) });
    }
    match serde_json::from_slice::<Made<'_>>(&answer.body) {
        Ok(made) if made.name == name && !made.id.is_empty() => Ok(()),
        Ok(_) => {
            Err(NoAnswer { class: ErrorClass::Body, text: "201 Created, but of something else".to_owned() })
        }
        Err(error) => {
            let text = format!("201 Created, but the body is no project ({error}): {}", said(&answer.body));
            Err(NoAnswer { class: ErrorClass::Body, text })
        }
    }
}

/// What a body says, in one short line.
fn said(body: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = match serde_json::from_slice::<crate::wire::error::ErrorBody>(body) {
        Ok(error) => error.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > LONGEST { text.chars().take(LONGEST).chain(['…']).collect() } else { text }
}
