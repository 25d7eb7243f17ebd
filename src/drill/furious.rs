//! `drill furious`: run recovery without pause while a coordinator is under load, and prove that it never touches a saga
//! that runs.
//!
//! Recovery may be activated at any moment. The dangerous ones are those in which a saga is being created or has just
//! ended, when the database and the SEC know different things. So passes follow one another as fast as they can while
//! clients create projects. In the end nothing must have been recovered, nothing have failed, and four counts have to
//! agree: what clients were told, what recovery observed to start, what it inferred to have finished, and what is in the
//! database. A run in which no pass ever met a saga in the middle proves nothing, and says so.

use super::database::DrillDatabase;
use super::harness::{CoordinatorProcess, CoordinatorSpec, Scratch};
use super::lab::{ClientFor, DrillError, Made, Records, client, load, wait_until_recovered};
use crate::blast::Blast;
use crate::client::Client;
use crate::observe::activation::activate;
use crate::observe::recovery::{Recovery, SinceStart};
use crate::reconcile::{Reconciliation, Verdict};
use crate::wire::bgtasks::SAGA_RECOVERY;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to make load.
    pub duration: Duration,
    /// Clients at the same time.
    pub concurrency: u32,
    /// Which program runs the coordinator.
    pub program: Option<PathBuf>,
    /// The database, if it is not to be SQLite in the scratch directory. On a server, the drill has a schema of its own.
    pub db_url: Option<String>,
    /// Whether the scratch directory stays, and the schema.
    pub keep: bool,
}

/// What there is to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Passes that were waited for.
    pub passes: u64,
    /// Sagas that these passes met while they ran, each time counted.
    pub skipped: u64,
    /// Requests acknowledged.
    pub done: u64,
    /// Requests that were told no or had no answer.
    pub not_done: u64,
    /// Sagas in the database.
    pub sagas: u64,
    /// Sagas that recovery observed to start.
    pub observed_started: u64,
    /// Sagas that recovery inferred to have finished.
    pub inferred_finished: u64,
    /// Sagas recovered; has to be none.
    pub recovered: u64,
    /// Attempts to recover a saga that failed; has to be none.
    pub recovery_errors: u64,
    /// Acknowledged and not on record.
    pub lost: u64,
    /// On record more than once, or without having been asked for.
    pub duplicated: u64,
    /// Logs that no run of their DAG could have written.
    pub illegal: u64,
    /// Sagas that did not come to rest, or are stuck.
    pub hanging: u64,
}

/// What the drill has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether all counts agree. `not_checked` if no pass met a saga that ran.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub duration_secs: f64,
    /// The counts.
    pub totals: Totals,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Client against database.
    pub reconciliation: Reconciliation,
    /// Where the data stays, if it is to be kept.
    pub kept: Option<PathBuf>,
    /// The schema on the server, if there was one and it is to be kept.
    pub kept_schema: Option<String>,
}

/// Runs the drill.
///
/// # Errors
///
/// See [`DrillError`]; whatever was started has ended. Counts that do not agree are no error but a part of the report.
pub async fn run(
    options: &Options,
    client_for: ClientFor<'_>,
    tell: &(dyn Fn(Totals) + Sync),
) -> Result<Report, DrillError> {
    let began = Instant::now();
    let scratch = Scratch::new(options.keep)?;
    let database = DrillDatabase::prepare(options.db_url.as_deref()).await?;
    let mut spec = CoordinatorSpec::new(&scratch.path().join("coordinator"))?;
    if let Some(program) = &options.program {
        spec.program.clone_from(program);
    }
    spec.arguments.extend(database.arguments());
    let before = Made::until_now();
    let coordinator = CoordinatorProcess::start(spec).await?;
    let client = client(client_for, coordinator.ready())?;
    // What an earlier coordinator may have left on a database of the user's is none of this drill's business.
    wait_until_recovered(&client, began).await?;
    let at_first = since_start(&client).await?;

    let label = format!("{:06x}", rand::random::<u32>() & 0xff_ffff);
    let blast = Blast::new(load(coordinator.ready(), &label, options.concurrency));
    let running = tokio::spawn({
        let blast = blast.clone();
        async move { blast.run().await }
    });
    let mut totals = Totals::default();
    let until = Instant::now() + options.duration;
    while Instant::now() < until && !running.is_finished() {
        let recovery = pass(&client).await?;
        totals.passes += 1;
        totals.skipped += recovery.last_pass.and_then(|pass| pass.skipped).unwrap_or_default();
        tell(totals);
    }
    blast.drain();
    running.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    wait_until_recovered(&client, Instant::now()).await?;
    // The first of these may still find sagas that had just ended; the second finds that all is settled.
    pass(&client).await?;
    pass(&client).await?;

    let now = since_start(&client).await?;
    let records = Records::open(database.url(coordinator.ready())).await?;
    let reconciliation = blast.reconcile(&records.recorded(&blast.stem()).await?);
    let (logs, _) = records.judge_logs(before).await?;
    let client_totals = blast.progress().totals;
    let totals = Totals {
        done: client_totals.done,
        not_done: client_totals.failed + client_totals.in_doubt,
        sagas: logs.sagas,
        observed_started: now.observed_started - at_first.observed_started,
        inferred_finished: now.inferred_finished - at_first.inferred_finished,
        recovered: now.recovered - at_first.recovered,
        recovery_errors: now.recovery_errors - at_first.recovery_errors,
        lost: reconciliation.lost.unwrap_or_default(),
        duplicated: reconciliation.duplicates.unwrap_or_default()
            + reconciliation.unexplained.unwrap_or_default(),
        illegal: u64::try_from(logs.illegal.len()).unwrap_or(u64::MAX),
        hanging: logs.unfinished + logs.stuck,
        ..totals
    };
    let mut problems = problems(&totals);
    problems.extend(logs.illegal);
    drop((records, coordinator));
    Ok(Report {
        verdict: match (problems.is_empty(), totals.skipped) {
            (false, _) => Verdict::Inconsistent,
            (true, 0) => Verdict::NotChecked,
            (true, _) => Verdict::Consistent,
        },
        duration_secs: began.elapsed().as_secs_f64(),
        totals,
        problems,
        reconciliation,
        kept: options.keep.then(|| scratch.path().to_owned()),
        kept_schema: database.finish(options.keep)?,
    })
}

/// Has one pass run that begins from now on, and reads what it reports.
async fn pass(client: &Client) -> Result<Recovery, DrillError> {
    let client = client.with_fresh_budget();
    let names = BTreeSet::from([SAGA_RECOVERY.to_owned()]);
    for pending in activate(&client, &names).await?.pending {
        pending.wait(&client, |_| ()).await?;
    }
    recovery(&client).await
}

async fn recovery(client: &Client) -> Result<Recovery, DrillError> {
    Ok(Recovery::new(&crate::observe::status::ask_api(client).await?.task))
}

async fn since_start(client: &Client) -> Result<SinceStart, DrillError> {
    let counters = recovery(&client.with_fresh_budget()).await?.since_start;
    Ok(counters.expect("the reference coordinator reports counters"))
}

/// What does not agree, in words. Pure.
fn problems(totals: &Totals) -> Vec<String> {
    let Totals {
        passes: _,
        skipped: _,
        done,
        not_done,
        sagas,
        observed_started,
        inferred_finished,
        recovered,
        recovery_errors,
        lost,
        duplicated,
        illegal,
        hanging,
    } = *totals;
    let mut problems = Vec::new();
    let mut none_of = |count: u64, what: &str| {
        if count > 0 {
            problems.push(format!("{count} {what}"));
        }
    };
    none_of(recovered, "sagas were recovered although nothing had crashed");
    none_of(recovery_errors, "attempts to recover a saga failed");
    none_of(not_done, "requests were told no or had no answer");
    none_of(lost, "acknowledged requests are not on record");
    none_of(duplicated, "records are there twice or were not asked for");
    none_of(illegal, "logs are illegal");
    none_of(hanging, "sagas did not come to rest");
    for (count, what) in [
        (sagas, "sagas in the database"),
        (observed_started, "sagas observed to start"),
        (inferred_finished, "sagas inferred to have finished"),
    ] {
        if count != done + not_done {
            problems.push(format!("{count} {what}, but {} requests", done + not_done));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Totals {
        Totals {
            passes: 9,
            skipped: 40,
            done: 100,
            sagas: 100,
            observed_started: 100,
            inferred_finished: 100,
            ..Totals::default()
        }
    }

    #[test]
    fn counts_that_agree_are_no_problem() {
        assert_eq!(problems(&good()), Vec::<String>::new());
    }

    #[test]
    fn every_count_matters() {
        let damages: [fn(&mut Totals); 10] = [
            |totals| totals.recovered = 1,
            |totals| totals.recovery_errors = 1,
            |totals| totals.not_done = 1,
            |totals| totals.lost = 1,
            |totals| totals.duplicated = 1,
            |totals| totals.illegal = 1,
            |totals| totals.hanging = 1,
            |totals| totals.sagas += 1,
            |totals| totals.observed_started -= 1,
            |totals| totals.inferred_finished -= 1,
        ];
        for damage in damages {
            let mut totals = good();
            damage(&mut totals);
            assert_ne!(problems(&totals), Vec::<String>::new(), "{totals:?}");
        }
    }
}
