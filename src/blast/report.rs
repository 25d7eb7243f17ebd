//! All that is known of a run, as one value: what tables, JSON and the HTML page are made from, and what decides the exit
//! code.

use super::answer::Class;
use super::journal::Journal;
use super::ledger::Totals;
use super::records::{Recorded, SagaOutcomes};
use super::rules::{Judged, Measured, Rule};
use super::schedule::{End, Pacing};
use super::series::Moment;
use super::stats::{Band, ErrorCount, FirstFailure, LatencyMs, Stats, per_second};
use super::{Blast, Config, sightings};
use crate::reconcile::Reconciliation;
use crate::wire::time::Time;
use serde::Serialize;
use std::time::Duration;

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Id of the run, which is in every name.
    pub run_id: String,
    /// What every name begins with.
    pub prefix: String,
    /// What each request did: `project-create`, …
    pub workload: String,
    /// The API that was spoken to.
    pub url: String,
    /// Which model of load ran, in words.
    pub model: String,
    /// When the run began.
    pub time_started: Time,
    /// Why no more requests were made.
    pub ended: End,
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
    /// How much of that, from the beginning, is in no rate and no latency.
    pub warm_up_secs: f64,
    /// Acknowledged requests per second, without the warm-up.
    pub rate_per_sec: f64,
    /// Requests begun per second, with the warm-up.
    pub started_per_sec: f64,
    /// What an open loop was asked for.
    pub target_rate_per_sec: Option<f64>,
    /// Latencies of acknowledged requests; absent if there were none.
    pub latency_ms: Option<LatencyMs>,
    /// Their mean.
    pub mean_latency_ms: Option<f64>,
    /// What went wrong, by class.
    pub errors: Vec<ErrorCount>,
    /// The first thing that went wrong.
    pub first_failure: Option<FirstFailure>,
    /// The rules that were given, and whether they hold.
    pub rules: Vec<Judged>,
    /// What the records say.
    pub reconciliation: Reconciliation,
    /// What became of the sagas behind the requests; absent where nobody can tell.
    pub sagas: Option<SagaOutcomes>,
    /// What the coordinator went through meanwhile; absent if it was not seen.
    pub recovery: Option<sightings::Seen>,
    /// Not one request got as far as the server.
    #[serde(skip)]
    pub nothing_left: bool,
}

/// A run's own record, held against records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reconciled {
    /// The run.
    pub run_id: String,
    /// What each request did.
    pub workload: String,
    /// Where the load went.
    pub url: String,
    /// When the run began.
    pub time_started: Time,
    /// Whether the record has its end; that of a generator that was killed has not.
    pub is_whole: bool,
    /// Requests in the record. `started = done + failed + in_doubt`.
    pub started: u64,
    /// Of these, acknowledged.
    pub done: u64,
    /// Of these, told no, or never sent.
    pub failed: u64,
    /// Of these, sent, and no answer came.
    pub in_doubt: u64,
    /// Requests that are on record and have no line in the file, because the generator was killed before it wrote one.
    pub without_line: u64,
    /// What the records say.
    pub reconciliation: Reconciliation,
    /// What became of the sagas behind the requests; absent where nobody can tell.
    pub sagas: Option<SagaOutcomes>,
}

impl Reconciled {
    /// Holds a run's own record against what was found.
    pub fn new(journal: &Journal, recorded: &Recorded, sagas: Option<SagaOutcomes>) -> Self {
        let (requests, without_line) = match recorded {
            Recorded::Projects(recorded) => journal.requests(recorded),
            Recorded::Sagas(_) => journal.requests(&[]),
        };
        let seen: Vec<_> = journal.sagas.iter().map(|(saga, seen)| (*saga, *seen)).collect();
        let header = &journal.header;
        let Totals { started, done, failed, in_doubt, in_flight: _ } = journal.totals;
        Self {
            run_id: header.run_id.clone(),
            workload: header.workload.to_string(),
            url: header.url.clone(),
            time_started: header.time_started,
            is_whole: journal.is_whole,
            started,
            done,
            failed,
            in_doubt,
            without_line,
            reconciliation: recorded.reconcile(&journal.names, requests, &seen),
            sagas,
        }
    }
}

/// A run over time, for charts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// Slice after slice.
    pub series: Vec<Moment>,
    /// How often which latency was, without the warm-up.
    pub latency_distribution: Vec<Band>,
}

/// Everything: the report, and how it came about. What `--json-report` writes and the HTML page shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Full {
    /// What became of the run.
    #[serde(flatten)]
    pub report: Report,
    /// The run over time.
    #[serde(flatten)]
    pub course: Course,
    /// Starts of the coordinator while it was under load.
    pub restarts: Vec<sightings::Restart>,
    /// Its recovery passes meanwhile, oldest first; the last thousand.
    pub passes: Vec<sightings::PassSeen>,
}

impl Blast {
    /// All that is known of the run; to be asked for after its end.
    pub fn report(&self, reconciliation: Reconciliation) -> Report {
        let state = self.shared.books.state();
        let config: &Config = &self.shared.config;
        let elapsed = self.elapsed();
        let Totals { started, done, failed, in_doubt, in_flight } = state.ledger.totals();
        Report {
            run_id: config.names.run_id().to_owned(),
            prefix: config.names.prefix().to_owned(),
            workload: config.workload.to_string(),
            url: config.target.to_string(),
            model: config.model(),
            time_started: self.shared.time_started,
            ended: state.schedule.end_reason(),
            started,
            done,
            failed,
            // Nothing is in flight after the end, unless somebody asks too early.
            in_doubt: in_doubt + in_flight,
            duration_secs: elapsed.as_secs_f64(),
            warm_up_secs: config.warm_up.min(elapsed).as_secs_f64(),
            rate_per_sec: rate(&state.stats, elapsed, config.warm_up),
            started_per_sec: per_second(started, elapsed),
            target_rate_per_sec: match config.pacing {
                Pacing::OpenLoop { rate } => Some(rate.per_second()),
                Pacing::ClosedLoop { .. } => None,
            },
            latency_ms: state.stats.latency_ms(),
            mean_latency_ms: state.stats.mean().map(super::stats::in_ms),
            errors: state.stats.errors(),
            first_failure: state.stats.first_failure().cloned(),
            rules: Vec::new(),
            reconciliation,
            sagas: None,
            recovery: None,
            nothing_left: done == 0
                && state.stats.is_every_trouble(|class| matches!(class, Class::Refused | Class::Connect)),
        }
    }

    /// How it went over time.
    pub fn course(&self) -> Course {
        let state = self.shared.books.state();
        Course { series: state.series.moments(), latency_distribution: state.stats.distribution() }
    }

    /// Judges the run by these rules.
    pub fn judge(&self, rules: &[Rule]) -> Vec<Judged> {
        let state = self.shared.books.state();
        let Totals { started, done, failed, in_doubt, in_flight } = state.ledger.totals();
        let measured = Measured {
            quantile: &|share| state.stats.quantile(share),
            mean: state.stats.mean(),
            rate: rate(&state.stats, self.elapsed(), self.shared.config.warm_up),
            started,
            done,
            failed,
            in_doubt: in_doubt + in_flight,
        };
        rules.iter().map(|rule| rule.judge(&measured)).collect()
    }
}

/// Done per second, over what is measured.
pub(super) fn rate(stats: &Stats, elapsed: Duration, warm_up: Duration) -> f64 {
    per_second(stats.measured(), elapsed.saturating_sub(warm_up))
}
