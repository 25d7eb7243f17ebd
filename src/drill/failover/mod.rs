//! `drill failover`: lose a coordinator of several on one database, again and again, and prove that others take over and
//! that the lost one, should it come back, cannot do a thing.
//!
//! Each cycle makes load on all coordinators and loses one at a random moment: killed (SIGKILL), or stopped (SIGSTOP) in
//! the middle of whatever it does. It is expunged, as an operator would; the others adopt its sagas and bring them to
//! rest, under load all the while. Then one that was stopped is continued, with its clients still waiting. Its process must
//! end, and nothing of it may reach the database. Everything is held against the records afterwards: what all clients were
//! told, who took what from whom, every log, and every row that sagas leave. A new coordinator takes the lost one's place.

mod evidence;
mod fleet;
mod report;

pub use report::{Cycle, Flavour, Report, Totals};

use super::database::DrillDatabase;
use super::harness::{Ended, Scratch};
use super::lab::{ClientFor, DrillError, LogVerdicts, Made, Records, wait_until_recovered};
use crate::blast::Blast;
use crate::observe::activation::activate;
use crate::observe::recovery::Recovery;
use crate::observe::status::ask_api;
use crate::store::postgres::PostgresStore;
use crate::store::secs::{expunge, list_secs};
use crate::store::{FatalHandler, Store, Until};
use crate::wire::bgtasks::SEC_ADOPTION;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::now;
use evidence::{
    adopted_unfinished, adoptions, events_after, judge_adoptions, unbalanced, unfinished_of, written_by,
};
use fleet::{Load, Member};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shortest and longest load between the first acknowledgements and the loss, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 100..500;

/// Longest wait for the first acknowledgements.
const LOAD_PATIENCE: Duration = Duration::from_secs(20);

/// How long a lost coordinator is missed before it is expunged, in milliseconds.
const MISSED_MS: std::ops::Range<u64> = 0..100;

/// Longest wait for each of: all sagas adopted, all of them at rest, a zombie's end. Each takes a fraction of this even on
/// a slow machine, so what is not over then is a finding.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks.
const POLL: Duration = Duration::from_millis(5);

/// What a coordinator exits with that finds itself fenced.
const FENCED_EXIT: i32 = 3;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many coordinators to lose.
    pub cycles: u32,
    /// Coordinators at the same time, at least two.
    pub coordinators: u32,
    /// Clients at the same time, on all coordinators together.
    pub concurrency: u32,
    /// Share of sagas that fail at a random node.
    pub failing: f64,
    /// After this no more cycle is begun.
    pub max_time: Duration,
    /// Decides everything that is random here.
    pub seed: u64,
    /// Which program runs the coordinators.
    pub program: Option<PathBuf>,
    /// The database server and a database on it, in which the drill has a schema of its own.
    pub db_url: String,
    /// Whether the scratch directory and the schema stay.
    pub keep: bool,
}

/// Runs the drill.
///
/// # Errors
///
/// See [`DrillError`]; whatever was started has ended. What losses bring about is no error but a part of the report.
pub async fn run(
    options: &Options,
    client_for: ClientFor<'_>,
    tell: &(dyn Fn(u32) + Sync),
) -> Result<Report, DrillError> {
    let began = Instant::now();
    let scratch = Scratch::new(options.keep)?;
    let database = DrillDatabase::prepare(Some(&options.db_url)).await?;
    let mut cycles = Vec::new();
    {
        let mut drill = Drill::prepare(options, client_for, &scratch, &database).await?;
        for number in 1..=options.cycles {
            cycles.push(drill.cycle(number).await?);
            tell(number);
            if began.elapsed() > options.max_time {
                break;
            }
        }
        // All coordinators end here, before their schema goes.
    }
    let totals = report::totals(&cycles);
    Ok(Report {
        verdict: report::verdict(&totals),
        seed: options.seed,
        coordinators: options.coordinators,
        duration_secs: began.elapsed().as_secs_f64(),
        totals,
        cycles,
        kept: options.keep.then(|| scratch.path().to_owned()),
        kept_schema: database.finish(options.keep)?,
    })
}

struct Drill<'a> {
    options: &'a Options,
    client_for: ClientFor<'a>,
    scratch: &'a Scratch,
    database: &'a DrillDatabase,
    random: StdRng,
    members: Vec<Member>,
    /// Coordinators started so far.
    started: usize,
    /// The drill's own eyes on the database.
    records: Records,
    /// The operator's hand.
    operator: PostgresStore,
    /// The newest saga that was judged.
    last_saga: Made,
    /// Failed attempts to recover, of each that is or was there, as counted so far.
    recovery_errors: BTreeMap<SecId, u64>,
}

/// What is known of the victim after it has been expunged and, if it was a zombie, has come to its end.
struct Takeover {
    expunged_in: Duration,
    adopted_in: Option<Duration>,
    at_rest_in: Option<Duration>,
    adopted: Vec<SagaId>,
    adopted_by: usize,
    late_writes: u64,
    fenced_in: Option<Duration>,
    last_words: Option<String>,
    problems: Vec<String>,
}

impl<'a> Drill<'a> {
    async fn prepare(
        options: &'a Options,
        client_for: ClientFor<'a>,
        scratch: &'a Scratch,
        database: &'a DrillDatabase,
    ) -> Result<Self, DrillError> {
        let last_saga = Made::until_now();
        let first = Member::start(1, scratch.path(), database, options, client_for).await?;
        let url = database.url(first.process.ready());
        let records = Records::open(url).await?;
        let on_fatal: FatalHandler = Arc::new(|why| panic!("the database cannot be changed: {why}"));
        let operator = PostgresStore::open_for_changes(url, on_fatal)?;
        let random = StdRng::seed_from_u64(options.seed);
        let mut drill = Self {
            options,
            client_for,
            scratch,
            database,
            random,
            members: vec![first],
            started: 1,
            records,
            operator,
            last_saga,
            recovery_errors: BTreeMap::new(),
        };
        drill.fill_up().await?;
        Ok(drill)
    }

    /// Starts coordinators until there are as many as there are to be.
    async fn fill_up(&mut self) -> Result<(), DrillError> {
        while self.members.len() < usize::try_from(self.options.coordinators).unwrap_or(usize::MAX) {
            self.started += 1;
            let member = Member::start(
                self.started,
                self.scratch.path(),
                self.database,
                self.options,
                self.client_for,
            );
            self.members.push(member.await?);
        }
        Ok(())
    }

    async fn cycle(&mut self, number: u32) -> Result<Cycle, DrillError> {
        self.fill_up().await?;
        let flavour = if number.is_multiple_of(2) { Flavour::Zombie } else { Flavour::Crash };
        let clients = (self.options.concurrency / self.options.coordinators).max(1);
        let label = |at: usize| format!("{:06x}x{number}x{at}", self.options.seed & 0xff_ffff);
        let mut loads: Vec<Load> =
            self.members.iter().enumerate().map(|(at, member)| member.load(&label(at), clients)).collect();
        // Not before all have load, however slow the machine is: a loss that meets nothing proves nothing.
        let patience = Instant::now() + LOAD_PATIENCE;
        while !loads.iter().all(Load::is_on) && Instant::now() < patience {
            tokio::time::sleep(POLL).await;
        }
        tokio::time::sleep(Duration::from_millis(self.random.random_range(LOAD_MS))).await;

        let at = self.random.random_range(0..self.members.len());
        let (victim, load) = (self.members.remove(at), loads.remove(at));
        let sec = victim.sec();
        let (takeover, blast) = match flavour {
            Flavour::Crash => {
                victim.process.kill()?;
                let blast = load.cut().await?;
                (self.take_over(sec, None).await?, blast)
            }
            Flavour::Zombie => {
                victim.process.freeze()?;
                // Its clients wait, and will be there when it wakes up.
                let takeover = self.take_over(sec, Some(victim)).await?;
                (takeover, load.cut().await?)
            }
        };
        let mut blasts = vec![blast];
        for load in loads {
            blasts.push(load.drain().await?);
        }
        self.conclude(number, flavour, sec, takeover, &blasts).await
    }

    /// Expunges the victim and watches the others take over; then continues it, if it is a zombie.
    async fn take_over(&mut self, victim: SecId, zombie: Option<Member>) -> Result<Takeover, DrillError> {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(MISSED_MS))).await;
        let before = adoptions(&self.records).await?;
        let began = Instant::now();
        self.expunge(victim).await?;
        let (expunged, fence) = (Instant::now(), now());
        let written = written_by(&self.records, victim).await?;
        let names = BTreeSet::from([SEC_ADOPTION.to_owned()]);
        for heir in &self.members {
            // It would happen by itself within seconds; an operator who is waiting does this.
            activate(&heir.client.with_fresh_budget(), &names).await?;
        }
        let adopted_in =
            self.until(expunged, async || Ok(unfinished_of(&self.records, victim).await? == 0)).await?;
        let at_rest_in =
            self.until(expunged, async || Ok(adopted_unfinished(&self.records).await? == 0)).await?;
        let mut problems = Vec::new();
        if adopted_in.is_none() {
            problems.push(format!("not all sagas of SEC {victim} were adopted in time"));
        }

        let (mut fenced_in, mut last_words) = (None, None);
        if let Some(mut zombie) = zombie {
            let thawed = Instant::now();
            zombie.process.thaw()?;
            match self.wait_for_end(&mut zombie).await? {
                Some(Ended { status, log }) => {
                    let last = log.lines().last().unwrap_or_default().to_owned();
                    if status.code() == Some(FENCED_EXIT) && last.contains("has been expunged") {
                        fenced_in = Some(thawed.elapsed());
                    } else {
                        problems.push(format!("the zombie ended for another reason ({status}): {last}"));
                    }
                    last_words = Some(last);
                }
                None => problems.push(format!("the zombie, SEC {victim}, lives on")),
            }
        }
        let after = adoptions(&self.records).await?;
        let heirs: Vec<SecId> = self.members.iter().map(Member::sec).collect();
        let (adopted, wrong) = judge_adoptions(&before, &after, victim, &heirs);
        problems.extend(wrong);
        let by: BTreeSet<SecId> =
            adopted.iter().filter_map(|saga| after.get(saga).and_then(|owned| owned.owner)).collect();
        let more = written_by(&self.records, victim).await?;
        let grown = (more.sagas - written.sagas) + (more.events - written.events);
        let late_writes =
            u64::try_from(grown).unwrap_or_default().max(events_after(&self.records, victim, fence).await?);
        if late_writes > 0 {
            problems.push(format!("{late_writes} writes of SEC {victim} came after it had been expunged"));
        }
        Ok(Takeover {
            expunged_in: expunged - began,
            adopted_in,
            at_rest_in,
            adopted,
            adopted_by: by.len(),
            late_writes,
            fenced_in,
            last_words,
            problems,
        })
    }

    async fn expunge(&self, victim: SecId) -> Result<(), DrillError> {
        let secs = list_secs(self.records.store()).await?;
        let victim = secs.into_iter().find(|sec| sec.id == victim);
        let victim = victim.expect("a coordinator is registered before it is ready");
        self.operator.write(expunge(victim.id, victim.time_started), Until::Durable).await?;
        Ok(())
    }

    /// Waits until something holds; answers how long that was after `since`, or `None` if it took too long.
    async fn until(
        &self,
        since: Instant,
        holds: impl AsyncFn() -> Result<bool, DrillError>,
    ) -> Result<Option<Duration>, DrillError> {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await? {
            if Instant::now() > deadline {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Some(since.elapsed()))
    }

    async fn wait_for_end(&self, member: &mut Member) -> Result<Option<Ended>, DrillError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = member.process.has_ended()? {
                return Ok(Some(ended));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Holds everything against the records, when nothing is under way any more.
    async fn conclude(
        &mut self,
        number: u32,
        flavour: Flavour,
        victim: SecId,
        takeover: Takeover,
        blasts: &[Blast],
    ) -> Result<Cycle, DrillError> {
        let mut problems = takeover.problems;
        let mut recovery_errors = 0;
        for heir in &mut self.members {
            if let Some(Ended { status, log }) = heir.process.has_ended()? {
                problems.push(format!("a coordinator that nobody touched ended ({status}): {log}"));
                continue;
            }
            wait_until_recovered(&heir.client, Instant::now()).await?;
            let task = ask_api(&heir.client.with_fresh_budget()).await?.task;
            let errors = Recovery::new(&task).since_start.map_or(0, |counters| counters.recovery_errors);
            let known = self.recovery_errors.insert(heir.sec(), errors).unwrap_or_default();
            recovery_errors += errors - known;
        }
        self.members.retain_mut(|member| matches!(member.process.has_ended(), Ok(None)));

        let mut cycle = Cycle {
            cycle: number,
            flavour,
            victim,
            started: 0,
            done: 0,
            failed: 0,
            in_doubt: 0,
            in_doubt_recorded: 0,
            sagas: 0,
            unwound: 0,
            adopted: count(takeover.adopted.len()),
            adopted_by: count(takeover.adopted_by),
            expunged_in_ms: millis(takeover.expunged_in),
            adopted_in_ms: takeover.adopted_in.map(millis),
            at_rest_in_ms: takeover.at_rest_in.map(millis),
            fenced_in_ms: takeover.fenced_in.map(millis),
            last_words: takeover.last_words,
            late_writes: takeover.late_writes,
            lost: 0,
            duplicated: 0,
            illegal: 0,
            hanging: 0,
            incomplete: 0,
            recovery_errors,
            problems: Vec::new(),
        };
        for blast in blasts {
            problems.extend(self.reconcile(blast, &mut cycle).await?);
        }
        let (logs, last) = self.records.judge_logs(self.last_saga).await?;
        self.last_saga = last;
        let LogVerdicts { sagas, unwound, stuck, unfinished, illegal } = logs;
        (cycle.sagas, cycle.unwound, cycle.hanging) = (sagas, unwound, stuck + unfinished);
        cycle.illegal = count(illegal.len());
        problems.extend(illegal);
        // Effects count for one only when their sagas are over.
        if cycle.hanging == 0 {
            problems.extend(unbalanced(&self.records).await?);
        }
        Ok(Cycle { problems, ..cycle })
    }

    /// Adds what became of one coordinator's load; answers what is wrong with it.
    async fn reconcile(&self, blast: &Blast, cycle: &mut Cycle) -> Result<Vec<String>, DrillError> {
        let stem = blast.stem();
        let found = blast.reconcile(&self.records.recorded(&stem).await?);
        let incomplete = self.records.incomplete(&stem).await?;
        let totals = blast.progress().totals;
        cycle.started += totals.started;
        cycle.done += totals.done;
        cycle.failed += totals.failed;
        cycle.in_doubt += totals.in_doubt;
        cycle.in_doubt_recorded += found.in_doubt_recorded.unwrap_or_default();
        cycle.lost += found.lost.unwrap_or_default();
        cycle.duplicated += found.duplicates.unwrap_or_default() + found.unexplained.unwrap_or_default();
        cycle.incomplete += count(incomplete.len());
        let wrong = [
            (&found.lost_names, "is lost"),
            (&found.duplicate_names, "is there twice"),
            (&found.unexplained_names, "was not asked for"),
            (&incomplete, "lacks a part"),
        ];
        let told = |(names, what): (&Vec<String>, &'static str)| {
            names.iter().map(|name| format!("{name} {what}")).collect::<Vec<_>>()
        };
        Ok(wrong.into_iter().flat_map(told).collect())
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
