//! `drill crash-points`: crash a coordinator at every point of every saga, and see that it makes no difference.
//!
//! 1. For each kind, a database is prepared in which its saga can run (a template).
//! 2. The saga is run without a crash: once to success, and once with each of its nodes failing. This tells which nodes
//!    there are to crash in ([`points`]), and what is to be expected of a run with a crash ([`ending`]).
//! 3. For each point, a coordinator starts on a copy of the template ([`databases`]), runs the saga, kills itself exactly there with
//!    SIGKILL, is started again, and recovers the saga. How it comes to rest, and every row that it leaves, must be as
//!    without the crash.
//!
//! What it finds are actions that are not idempotent and undo actions that rely on what need not be. Nothing in a saga's
//! code knows of it.

mod bench;
mod databases;
pub mod ending;
pub mod points;

use super::harness::{CoordinatorSpec, HarnessError, Scratch};
use super::lab::ClientFor;
use crate::client::ClientError;
use crate::client::error::CallError;
use crate::store::error::StoreError;
use crate::wire::fault::{DrilledKind, DrilledNode};
pub use bench::RUN_DEADLINE;
use bench::{RunEnd, Template, list_kinds};
use databases::Databases;
use ending::{Ending, Outcome, RowsDiffer, Volatile, differences};
use futures::{StreamExt, TryStreamExt};
use points::{Point, failing_rule};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these kinds; all, if empty.
    pub sagas: Vec<String>,
    /// Which program runs the coordinator.
    pub program: Option<PathBuf>,
    /// How many coordinators at a time.
    pub jobs: usize,
    /// Whether writes are waited for.
    pub mode: Mode,
    /// The database server and a database on it, if the drill is to have schemas of its own there instead of SQLite files.
    pub db_url: Option<String>,
    /// Whether the scratch directory stays, and the templates' schemas on the server.
    pub keep: bool,
}

/// Whether the coordinators run all sagas strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As the saga's kind declares.
    Declared,
    /// Always.
    Strict,
    /// Every point in one of the two, in turns.
    Mixed,
    /// Every point in both.
    Both,
}

/// Why the drill could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CrashPointsError {
    /// A coordinator could not be started or killed.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// A coordinator did not answer as it should.
    #[error("asking the coordinator")]
    Call(#[from] CallError),
    /// No HTTP client could be made.
    #[error("setting up the HTTP client")]
    Client(#[source] ClientError),
    /// The database could not be read.
    #[error("reading the coordinator's database")]
    Store(#[from] StoreError),
    /// The drill could not have a schema of its own, or could not remove it.
    #[error("a schema for the drill")]
    Schema(#[source] StoreError),
    /// There is no such kind.
    #[error("unknown saga {unknown:?}; sagas that this coordinator can drill: {known}")]
    UnknownSaga {
        /// What was asked for.
        unknown: String,
        /// What there is.
        known: String,
    },
    /// A run without any crash did not end as it should.
    #[error("saga {saga} cannot be drilled: without any crash, {problem}")]
    Baseline {
        /// The kind.
        saga: String,
        /// What happened instead.
        problem: String,
    },
}

/// What came of one point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PointResult {
    /// Which.
    #[serde(flatten)]
    pub point: Point,
    /// Whether the saga was run strictly.
    pub strict: bool,
    /// What came of it.
    pub verdict: PointVerdict,
    /// What is wrong, in words; nothing if all is well.
    pub problems: Vec<String>,
    /// Rows that differ from those that a run without the crash leaves.
    pub rows: Vec<RowsDiffer>,
    /// From the start of the second process to the saga at rest, in milliseconds.
    pub recovered_in_ms: Option<f64>,
}

/// What came of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PointVerdict {
    /// The crash made no difference.
    Ok,
    /// It did.
    Fail,
    /// The process did not die, so nothing was proved.
    NotReached,
}

/// What all points come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Points tried.
    pub points: usize,
    /// Processes killed.
    pub crashes: usize,
    /// Points at which the crash made no difference.
    pub ok: usize,
    /// Points at which it did.
    pub failed: usize,
    /// Points that were not reached.
    pub not_reached: usize,
    /// Rows missing, and sagas that never came to rest.
    pub lost: usize,
    /// Rows too many.
    pub duplicated: usize,
    /// Sagas that came to rest otherwise than without the crash.
    pub illegal: usize,
}

/// One kind of saga, in sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindResult {
    /// Its name.
    pub saga: String,
    /// Its nodes, those of the engine included.
    pub nodes: usize,
    /// What its points come to.
    pub totals: Totals,
    /// What is wrong without any crash: rows that a failed saga leaves behind.
    pub problems: Vec<String>,
}

/// What the drill has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `ok`, or `fail` if a crash made a difference or a point was not reached.
    pub verdict: PointVerdict,
    /// Which writes were waited for.
    pub mode: Mode,
    /// How long it took, in seconds.
    pub duration_secs: f64,
    /// All points together.
    pub totals: Totals,
    /// Each kind.
    pub sagas: Vec<KindResult>,
    /// Each point.
    pub points: Vec<PointResult>,
    /// Where the data stays, if it is to be kept.
    pub kept: Option<PathBuf>,
    /// The schemas on the server that stay, one for each kind, if there were any and they are to be kept.
    pub kept_schemas: Vec<String>,
}

/// How far the drill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs made.
    pub done: usize,
    /// Runs to make, as far as is known.
    pub total: usize,
    /// Points that failed.
    pub failed: usize,
}

/// A kind with all that its points are held against.
struct Drilled {
    template: Template,
    volatile: Volatile,
    problems: Vec<String>,
    points: Vec<(Point, std::sync::Arc<Expected>)>,
}

/// What a run with a crash has to come to.
struct Expected {
    outcome: Outcome,
    ending: Ending,
}

/// Runs the drill.
///
/// # Errors
///
/// See [`CrashPointsError`]. A crash that makes a difference is no error but a part of the report.
pub async fn run(
    options: &Options,
    client_for: ClientFor<'_>,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Report, CrashPointsError> {
    let started = Instant::now();
    let scratch = if options.keep { Scratch::new(true)? } else { Scratch::in_memory()? };
    let databases = Databases::new(options.db_url.as_deref());
    let runner = Runner {
        options,
        client_for,
        scratch: scratch.path(),
        databases: &databases,
        runs: AtomicUsize::new(0),
    };
    let kinds = runner.kinds().await?;
    let drilled: Vec<Drilled> = futures::stream::iter(kinds)
        .map(|kind| runner.explore(kind))
        .buffered(options.jobs)
        .try_collect()
        .await?;

    let modes = |index: usize| match options.mode {
        Mode::Declared => vec![false],
        Mode::Strict => vec![true],
        Mode::Mixed => vec![index % 2 == 1],
        Mode::Both => vec![false, true],
    };
    let tasks: Vec<_> = drilled
        .iter()
        .flat_map(|kind| kind.points.iter().map(move |point| (kind, point)))
        .enumerate()
        .flat_map(|(index, (kind, point))| modes(index).into_iter().map(move |strict| (kind, point, strict)))
        .collect();
    let total = tasks.len();
    let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    tell(Progress { done: 0, total, failed: 0 });
    let points: Vec<PointResult> = futures::stream::iter(tasks)
        .map(async |(kind, (point, expected), strict)| {
            let result = runner.crash(kind, point, expected, strict).await?;
            failed.fetch_add(usize::from(result.verdict != PointVerdict::Ok), Ordering::Relaxed);
            tell(Progress {
                done: done.fetch_add(1, Ordering::Relaxed) + 1,
                total,
                failed: failed.load(Ordering::Relaxed),
            });
            Ok::<_, CrashPointsError>(result)
        })
        .buffered(options.jobs)
        .try_collect()
        .await?;
    let mut report = report(options.mode, started.elapsed(), &drilled, points);
    report.kept = options.keep.then(|| scratch.path().to_owned());
    databases.finish()?;
    for kind in drilled {
        report.kept_schemas.extend(kind.template.finish(options.keep)?);
    }
    Ok(report)
}

fn report(mode: Mode, took: Duration, drilled: &[Drilled], points: Vec<PointResult>) -> Report {
    let sagas: Vec<KindResult> = drilled
        .iter()
        .map(|kind| {
            let name = &kind.template.kind.name;
            KindResult {
                saga: name.clone(),
                nodes: kind.template.prepared.nodes.len(),
                totals: totals(points.iter().filter(|result| result.point.saga == *name)),
                problems: kind.problems.clone(),
            }
        })
        .collect();
    let totals = totals(points.iter());
    let good =
        totals.ok == totals.points && totals.points > 0 && sagas.iter().all(|saga| saga.problems.is_empty());
    Report {
        verdict: if good { PointVerdict::Ok } else { PointVerdict::Fail },
        mode,
        duration_secs: took.as_secs_f64(),
        totals,
        sagas,
        points,
        kept: None,
        kept_schemas: Vec::new(),
    }
}

fn totals<'a>(points: impl Iterator<Item = &'a PointResult>) -> Totals {
    points.fold(Totals::default(), |mut totals, result| {
        totals.points += 1;
        totals.crashes += usize::from(result.verdict != PointVerdict::NotReached);
        match result.verdict {
            PointVerdict::Ok => totals.ok += 1,
            PointVerdict::Fail => totals.failed += 1,
            PointVerdict::NotReached => totals.not_reached += 1,
        }
        totals.lost += result.rows.iter().map(|rows| rows.missing.len()).sum::<usize>();
        totals.duplicated += result.rows.iter().map(|rows| rows.extra.len()).sum::<usize>();
        totals.illegal += result.problems.len();
        totals
    })
}

struct Runner<'a> {
    options: &'a Options,
    client_for: ClientFor<'a>,
    scratch: &'a Path,
    databases: &'a Databases,
    runs: AtomicUsize,
}

impl Runner<'_> {
    fn spec(&self, dir: &str, strict: bool) -> Result<CoordinatorSpec, CrashPointsError> {
        let mut spec = CoordinatorSpec::new(&self.scratch.join(dir))?;
        if let Some(program) = &self.options.program {
            spec.program.clone_from(program);
        }
        spec.arguments.push("--allow-faults".to_owned());
        if strict {
            spec.arguments.push("--strict".to_owned());
        }
        Ok(spec)
    }

    /// A directory that no other run has.
    fn next_dir(&self) -> String {
        format!("run-{}", self.runs.fetch_add(1, Ordering::Relaxed))
    }

    async fn kinds(&self) -> Result<Vec<DrilledKind>, CrashPointsError> {
        let all = list_kinds(&self.spec("kinds", false)?, self.client_for).await?;
        let wanted = &self.options.sagas;
        let is_known = |name: &&String| all.iter().any(|kind| kind.name == **name);
        if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
            let known: Vec<_> = all.iter().map(|kind| kind.name.as_str()).collect();
            return Err(CrashPointsError::UnknownSaga {
                unknown: unknown.clone(),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            });
        }
        Ok(all.into_iter().filter(|kind| wanted.is_empty() || wanted.contains(&kind.name)).collect())
    }

    /// Runs a kind without crashes, to learn what is to be expected of runs with one.
    async fn explore(&self, kind: DrilledKind) -> Result<Drilled, CrashPointsError> {
        let spec = self.spec(&format!("template-{}", kind.name), false)?;
        let template = Template::prepare(kind, spec, self.databases, self.client_for).await?;
        let name = template.kind.name.clone();
        let nodes = template.prepared.nodes.clone();
        let before = template.contents().await?;
        let success = self.baseline(&template, None).await?;
        let again = self.baseline(&template, None).await?;
        let volatile = Volatile::between(&success.ending.contents, &again.ending.contents);
        let repeated = differences(&success.ending.contents, &again.ending.contents, &volatile);
        if let Some(differ) = repeated.first() {
            let problem = format!("it does not do the same twice: {differ}");
            return Err(CrashPointsError::Baseline { saga: name, problem });
        }
        let success = std::sync::Arc::new(success);
        let mut points: Vec<_> = points::forward(&name, &nodes, &success.ending)
            .into_iter()
            .map(|point| (point, std::sync::Arc::clone(&success)))
            .collect();
        let mut problems = Vec::new();
        for failing in nodes.iter().filter(|node| node.action.is_some()) {
            let failure = std::sync::Arc::new(self.baseline(&template, Some(failing)).await?);
            if failure.outcome == Outcome::Failed {
                for differ in differences(&before, &failure.ending.contents, &volatile) {
                    problems.push(format!("after node {} failed, unwinding leaves {differ}", failing.name));
                }
            } else {
                problems
                    .push(format!("when node {} fails, the saga ends as {}", failing.name, failure.outcome));
            }
            let unwinding = points::unwinding(&name, &nodes, failing, &failure.ending);
            points.extend(unwinding.into_iter().map(|point| (point, std::sync::Arc::clone(&failure))));
        }
        Ok(Drilled { template, volatile, problems, points })
    }

    async fn baseline(
        &self,
        template: &Template,
        failing: Option<&DrilledNode>,
    ) -> Result<Expected, CrashPointsError> {
        let saga = &template.kind.name;
        let rules = failing.map(|node| failing_rule(saga, node.node_id)).into_iter().collect();
        let spec = self.spec(&self.next_dir(), false)?;
        let problem = match template.run(rules, false, spec, self.databases, self.client_for).await? {
            RunEnd::AtRest { ending, .. } => {
                let outcome = ending.outcome();
                if failing.is_some() || outcome == Outcome::Succeeded {
                    return Ok(Expected { outcome, ending: *ending });
                }
                format!("it ends as {outcome}{}", why(&ending))
            }
            RunEnd::NeverAtRest => {
                format!("it is not at rest after {}", humantime::format_duration(RUN_DEADLINE))
            }
            RunEnd::Died(log) => format!("the coordinator ended; the end of its log: {log}"),
        };
        Err(CrashPointsError::Baseline { saga: saga.clone(), problem })
    }

    /// Tries one point.
    async fn crash(
        &self,
        kind: &Drilled,
        point: &Point,
        expected: &Expected,
        strict: bool,
    ) -> Result<PointResult, CrashPointsError> {
        let spec = self.spec(&self.next_dir(), strict)?;
        let mut result = PointResult {
            point: point.clone(),
            strict,
            verdict: PointVerdict::Fail,
            problems: Vec::new(),
            rows: Vec::new(),
            recovered_in_ms: None,
        };
        match kind.template.run(point.rules(), true, spec, self.databases, self.client_for).await? {
            RunEnd::AtRest { ending, crashed, recovered_in } => {
                let outcome = ending.outcome();
                if outcome != expected.outcome {
                    let why = why(&ending);
                    let expected = expected.outcome;
                    result
                        .problems
                        .push(format!("ends as {outcome}{why}, and as {expected} without the crash"));
                }
                result.rows = differences(&expected.ending.contents, &ending.contents, &kind.volatile);
                result.recovered_in_ms = recovered_in.map(|took| took.as_secs_f64() * 1000.0);
                result.verdict = if !crashed {
                    PointVerdict::NotReached
                } else if result.problems.is_empty() && result.rows.is_empty() {
                    PointVerdict::Ok
                } else {
                    PointVerdict::Fail
                };
            }
            RunEnd::NeverAtRest => result
                .problems
                .push(format!("is not at rest {} after the crash", humantime::format_duration(RUN_DEADLINE))),
            RunEnd::Died(log) => {
                result
                    .problems
                    .push(format!("the coordinator ended while it recovered; the end of its log: {log}"));
            }
        }
        Ok(result)
    }
}

/// What went wrong in a saga that did not succeed, from its log.
fn why(ending: &Ending) -> String {
    ["undo_failed", "failed"]
        .into_iter()
        .filter_map(|event_type| {
            let event = ending.first(event_type)?;
            let data = event.data.as_deref().unwrap_or("not recorded");
            Some(format!(", node {} {event_type}: {data}", event.node_id))
        })
        .collect()
}
