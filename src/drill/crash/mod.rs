//! `drill crash`: kill a coordinator under load, again and again, and prove each time that nothing came of it.
//!
//! Each cycle makes load, kills the coordinator with SIGKILL at a random moment at which sagas are in flight, starts it
//! again on the same data, waits until everything that was in flight is at rest, and holds what clients were told against
//! what is on record. The load is projects, or sagas of a service that embeds the library. A share of the sagas is made to
//! fail at a random node, so that kills meet unwinding as well; and in every third cycle recovery itself is killed, up to
//! three times in a row. Kills come while the load is on, so requests are lost in all phases.

mod load;

use super::database::DrillDatabase;
use super::harness::{CoordinatorProcess, CoordinatorSpec, Scratch};
use super::lab::{ClientFor, DrillError, LogVerdicts, Made, Records, client};
use crate::observe::status::{self, Status};
use crate::reconcile::Verdict;
use crate::store::secs::count_unfinished;
use crate::wire::time::now;
use load::Workload;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Shortest and longest load between the first acknowledgement and the kill, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 60..400;

/// Longest wait for the first acknowledgement and for sagas in flight, and the time between two looks.
const LOAD_PATIENCE: Duration = Duration::from_secs(20);
const LOAD_POLL: Duration = Duration::from_millis(2);

/// Longest that recovery runs before it is killed, in milliseconds.
const RECOVERY_MS: std::ops::Range<u64> = 0..25;

/// Every so many cycles recovery is killed, too.
const RECOVERY_KILLED_EVERY: u32 = 3;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many times to kill.
    pub cycles: u32,
    /// Clients at the same time.
    pub concurrency: u32,
    /// Kinds of sagas to make load of. With none, projects, if the coordinator makes them, else all kinds that it has.
    pub sagas: Vec<String>,
    /// Share of sagas that fail at a random node.
    pub failing: f64,
    /// Decides everything that is random here.
    pub seed: u64,
    /// Which program runs the coordinator.
    pub program: Option<PathBuf>,
    /// The database, if it is not to be SQLite in the scratch directory. On a server, the drill has a schema of its own.
    pub db_url: Option<String>,
    /// Whether the scratch directory stays, and the schema.
    pub keep: bool,
}

/// One cycle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cycle {
    /// Its number, from 1.
    pub cycle: u32,
    /// Whether all sagas were run strictly.
    pub strict: bool,
    /// Requests that were begun.
    pub started: u64,
    /// Requests that were acknowledged.
    pub done: u64,
    /// Requests that were told no.
    pub failed: u64,
    /// Requests that had no answer when the coordinator was killed.
    pub in_doubt: u64,
    /// Of these, on record afterwards.
    pub in_doubt_recorded: u64,
    /// Times that the coordinator was killed.
    pub kills: u32,
    /// Sagas that recovery took up in the end.
    pub recovered: u64,
    /// From the start of the process to the last saga at rest, in milliseconds.
    pub recovered_in_ms: f64,
    /// Sagas that were made.
    pub sagas: u64,
    /// Of these, unwound.
    pub unwound: u64,
    /// Acknowledged and not on record.
    pub lost: u64,
    /// On record more than once, or on record without having been asked for.
    pub duplicated: u64,
    /// Logs that no run of their DAG could have written.
    pub illegal: u64,
    /// Sagas that did not come to rest, or are stuck.
    pub hanging: u64,
    /// Projects that lack a part.
    pub incomplete: u64,
    /// Attempts to recover a saga that failed.
    pub recovery_errors: u64,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// All cycles together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Kills.
    pub kills: u64,
    /// Sagas made.
    pub sagas: u64,
    /// Sagas unwound.
    pub unwound: u64,
    /// Requests acknowledged.
    pub done: u64,
    /// Requests without an answer.
    pub in_doubt: u64,
    /// Sagas recovered.
    pub recovered: u64,
    /// Acknowledged and not on record.
    pub lost: u64,
    /// On record more than once, or without having been asked for.
    pub duplicated: u64,
    /// Logs that no run of their DAG could have written.
    pub illegal: u64,
    /// Sagas that did not come to rest, or are stuck.
    pub hanging: u64,
    /// Projects that lack a part.
    pub incomplete: u64,
    /// Attempts to recover a saga that failed.
    pub recovery_errors: u64,
    /// Median time to recover, in milliseconds.
    pub median_recovered_in_ms: f64,
    /// Longest time to recover, in milliseconds.
    pub worst_recovered_in_ms: f64,
}

/// What the drill has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether nothing came of all the kills. `not_checked` if nothing was ever in flight, so that nothing was proved.
    pub verdict: Verdict,
    /// What repeats it.
    pub seed: u64,
    /// How long it took, in seconds.
    pub duration_secs: f64,
    /// All cycles together.
    pub totals: Totals,
    /// Each cycle.
    pub cycles: Vec<Cycle>,
    /// Where the data stays, if it is to be kept.
    pub kept: Option<PathBuf>,
    /// The schema on the server, if there was one and it is to be kept.
    pub kept_schema: Option<String>,
}

/// Runs the drill.
///
/// # Errors
///
/// See [`DrillError`]; whatever was started has ended. What kills bring about is no error but a part of the report.
pub async fn run(
    options: &Options,
    client_for: ClientFor<'_>,
    tell: &(dyn Fn(u32) + Sync),
) -> Result<Report, DrillError> {
    let began = Instant::now();
    let scratch = Scratch::new(options.keep)?;
    let database = DrillDatabase::prepare(options.db_url.as_deref()).await?;
    let mut random = StdRng::seed_from_u64(options.seed);
    let mut spec = CoordinatorSpec::new(&scratch.path().join("coordinator"))?;
    if let Some(program) = &options.program {
        spec.program.clone_from(program);
    }
    spec.arguments.push("--allow-faults".to_owned());
    spec.arguments.extend(database.arguments());
    let mut run = Run { options, client_for, spec, database: &database, workload: None, last_saga: None };
    let mut cycles = Vec::new();
    for number in 1..=options.cycles {
        cycles.push(run.cycle(number, &mut random).await?);
        tell(number);
    }
    let totals = totals(&cycles);
    Ok(Report {
        verdict: verdict(&totals),
        seed: options.seed,
        duration_secs: began.elapsed().as_secs_f64(),
        totals,
        cycles,
        kept: options.keep.then(|| scratch.path().to_owned()),
        kept_schema: database.finish(options.keep)?,
    })
}

struct Run<'a> {
    options: &'a Options,
    client_for: ClientFor<'a>,
    spec: CoordinatorSpec,
    database: &'a DrillDatabase,
    /// Known when a coordinator has said what it can do.
    workload: Option<Workload>,
    /// The newest saga that was judged.
    last_saga: Option<Made>,
}

impl Run<'_> {
    fn spec(&self, strict: bool) -> CoordinatorSpec {
        let mut spec = self.spec.clone();
        if strict {
            spec.arguments.push("--strict".to_owned());
        }
        spec
    }

    async fn cycle(&mut self, number: u32, random: &mut StdRng) -> Result<Cycle, DrillError> {
        // Both ways to write are drilled, in turns.
        let strict = number.is_multiple_of(2);
        let after = self.last_saga.unwrap_or_else(Made::until_now);
        let coordinator = CoordinatorProcess::start(self.spec(strict)).await?;
        let first = client(self.client_for, coordinator.ready())?;
        let workload = match &self.workload {
            Some(workload) => workload,
            None => {
                let chosen = Workload::choose(&first, &self.options.sagas).await?;
                self.workload.insert(chosen)
            }
        };
        first.with_fresh_budget().set_faults(&workload.faults(self.options.failing)).await?;
        let label = format!("{:06x}x{number}", self.options.seed & 0xff_ffff);
        let mut load = workload.start(coordinator.ready(), &first, &label, self.options.concurrency);
        // Not before the load is on, however slow the machine is: a kill that meets nothing proves nothing.
        let patience = Instant::now() + LOAD_PATIENCE;
        while !load.is_on() && Instant::now() < patience {
            tokio::time::sleep(LOAD_POLL).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(LOAD_MS))).await;
        self.kill_with_sagas_in_flight(coordinator, patience).await?;
        load.stop_now().await?;

        let mut kills = 1;
        if number.is_multiple_of(RECOVERY_KILLED_EVERY) {
            for _ in 0..random.random_range(1..=3) {
                let recovering = CoordinatorProcess::start(self.spec(strict)).await?;
                tokio::time::sleep(Duration::from_millis(random.random_range(RECOVERY_MS))).await;
                recovering.kill()?;
                kills += 1;
            }
        }
        let restarted = Instant::now();
        let coordinator = CoordinatorProcess::start(self.spec(strict)).await?;
        let client = client(self.client_for, coordinator.ready())?;
        let recovered_in = load.wait_until_recovered(&client, restarted).await?;
        let api = status::ask_api(&client.with_fresh_budget()).await?;
        let status = Status::new(client.base().to_string(), &api.task, &api.info, now());
        let counters = status.recovery.since_start;

        let records = Records::open(self.database.url(coordinator.ready())).await?;
        let (reconciliation, incomplete) = load.reconcile(&records).await?;
        let (logs, last) = records.judge_logs(after).await?;
        self.last_saga = Some(last);
        let totals = load.totals();
        let LogVerdicts { sagas, unwound, stuck, unfinished, illegal } = logs;
        let mut problems: Vec<String> = illegal.clone();
        problems.extend(reconciliation.lost_names.iter().map(|name| format!("{name} is lost")));
        problems.extend(reconciliation.duplicate_names.iter().map(|name| format!("{name} is there twice")));
        problems
            .extend(reconciliation.unexplained_names.iter().map(|name| format!("{name} was not asked for")));
        problems.extend(incomplete.iter().map(|name| format!("{name} lacks a part")));
        let length = |names: &[String]| u64::try_from(names.len()).unwrap_or(u64::MAX);
        Ok(Cycle {
            cycle: number,
            strict,
            started: totals.started,
            done: totals.done,
            failed: totals.failed,
            in_doubt: totals.in_doubt,
            in_doubt_recorded: reconciliation.in_doubt_recorded.unwrap_or_default(),
            kills,
            recovered: counters.as_ref().map_or(0, |counters| counters.recovered),
            recovered_in_ms: recovered_in.as_secs_f64() * 1000.0,
            sagas,
            unwound,
            lost: reconciliation.lost.unwrap_or_default(),
            duplicated: reconciliation.duplicates.unwrap_or_default()
                + reconciliation.unexplained.unwrap_or_default(),
            illegal: length(&illegal),
            hanging: unfinished + stuck,
            incomplete: length(&incomplete),
            recovery_errors: counters.as_ref().map_or(0, |counters| counters.recovery_errors),
            problems,
        })
    }

    /// Kills a coordinator while the database has sagas that are not at rest. Sagas come in waves, so a moment that is chosen
    /// by the clock alone may lie between two of them, and nothing is left to recover. One that is stopped in its tracks
    /// begins nothing between the look and the kill; only what was on its way to the disk may still arrive. When patience is
    /// over it is killed all the same.
    async fn kill_with_sagas_in_flight(
        &self,
        coordinator: CoordinatorProcess,
        patience: Instant,
    ) -> Result<(), DrillError> {
        let records = Records::open(self.database.url(coordinator.ready())).await?;
        loop {
            coordinator.freeze()?;
            // What was stopped may stand in the way of looking; then it is let go on, as if nothing had been found.
            let unfinished = count_unfinished(records.store()).await.unwrap_or_default();
            if !unfinished.is_empty() || Instant::now() > patience {
                coordinator.kill()?;
                return Ok(());
            }
            coordinator.thaw()?;
            tokio::time::sleep(LOAD_POLL).await;
        }
    }
}

fn totals(cycles: &[Cycle]) -> Totals {
    let mut times: Vec<f64> = cycles.iter().map(|cycle| cycle.recovered_in_ms).collect();
    times.sort_by(f64::total_cmp);
    let mut totals = Totals {
        median_recovered_in_ms: times.get(times.len() / 2).copied().unwrap_or_default(),
        worst_recovered_in_ms: times.last().copied().unwrap_or_default(),
        ..Totals::default()
    };
    for cycle in cycles {
        totals.kills += u64::from(cycle.kills);
        totals.sagas += cycle.sagas;
        totals.unwound += cycle.unwound;
        totals.done += cycle.done;
        totals.in_doubt += cycle.in_doubt;
        totals.recovered += cycle.recovered;
        totals.lost += cycle.lost;
        totals.duplicated += cycle.duplicated;
        totals.illegal += cycle.illegal;
        totals.hanging += cycle.hanging;
        totals.incomplete += cycle.incomplete;
        totals.recovery_errors += cycle.recovery_errors;
    }
    totals
}

fn verdict(totals: &Totals) -> Verdict {
    let Totals { lost, duplicated, illegal, hanging, incomplete, recovery_errors, recovered, .. } = totals;
    if lost + duplicated + illegal + hanging + incomplete + recovery_errors > 0 {
        Verdict::Inconsistent
    } else if *recovered == 0 {
        Verdict::NotChecked
    } else {
        Verdict::Consistent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(recovered_in_ms: f64) -> Cycle {
        Cycle {
            cycle: 1,
            strict: false,
            started: 10,
            done: 7,
            failed: 1,
            in_doubt: 2,
            in_doubt_recorded: 1,
            kills: 2,
            recovered: 3,
            recovered_in_ms,
            sagas: 9,
            unwound: 1,
            lost: 0,
            duplicated: 0,
            illegal: 0,
            hanging: 0,
            incomplete: 0,
            recovery_errors: 0,
            problems: Vec::new(),
        }
    }

    #[test]
    fn sums_and_the_middle_and_the_worst_time() {
        let sum = totals(&[cycle(30.0), cycle(10.0), cycle(20.0)]);
        assert_eq!((sum.kills, sum.sagas, sum.done, sum.in_doubt, sum.recovered), (6, 27, 21, 6, 9));
        assert_eq!((sum.median_recovered_in_ms, sum.worst_recovered_in_ms), (20.0, 30.0));
        assert_eq!(verdict(&sum), Verdict::Consistent);
    }

    #[test]
    fn each_kind_of_damage_alone_decides() {
        let damages: [fn(&mut Cycle); 6] = [
            |cycle| cycle.lost = 1,
            |cycle| cycle.duplicated = 1,
            |cycle| cycle.illegal = 1,
            |cycle| cycle.hanging = 1,
            |cycle| cycle.incomplete = 1,
            |cycle| cycle.recovery_errors = 1,
        ];
        for damage in damages {
            let mut cycle = cycle(1.0);
            damage(&mut cycle);
            assert_eq!(verdict(&totals(&[cycle])), Verdict::Inconsistent);
        }
    }

    #[test]
    fn kills_that_met_nothing_prove_nothing() {
        let idle = Cycle { recovered: 0, ..cycle(1.0) };
        assert_eq!(verdict(&totals(&[idle])), Verdict::NotChecked);
    }
}
