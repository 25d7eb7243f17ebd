//! Looks: at everything once, then again at what seems wrong.
//!
//! One look asks the coordinators first and reads the rows after that, a page at a time, so that memory does not grow with
//! the history. What is kept from one look to the next is the problems, which have an end
//! ([`MOST_PROBLEMS`](super::tally::MOST_PROBLEMS)).

use super::effects::{self, Made};
use super::invariant::Invariant;
use super::sources::Sources;
use super::tally::{Finding, Tallies};
use super::{LookedAt, Options, Problem, Report, logs, owners, record, recovery};
use crate::blast::report::Reconciled;
use crate::observe::sagas::FREE_SCAN;
use crate::observe::why::ask::Peers;
use crate::observe::why::judge::judge;
use crate::saga_log::Reading;
use crate::saga_log::record::{SagaRecord, SagaRecords};
use crate::store::inspect::Inspector;
use crate::store::inspect::effects::Objects;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::listing::{Cursor, Order, Span};
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::part::Part;
use crate::wire::time::{self, Time};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// How long what is in motion is given to move on before the last look.
pub const SETTLE: Duration = Duration::from_secs(1);

/// Newest sagas whose logs are read besides those of the unfinished ones.
pub const NEWEST: u64 = 1_000;

/// Sagas that are read at once, with DAGs and logs.
const PAGE: u32 = 50;

/// Failures that are gone through in search of stuck sagas, at most, and at once.
const MOST_FAILURES: u64 = 20_000;
const FAILURE_PAGE: u32 = 1_000;

/// What is looked at.
pub struct Look<'a> {
    /// The database, or why there is none.
    pub inspector: Part<Inspector>,
    /// Coordinators.
    pub peers: &'a Peers<'a>,
    /// A client's own record, held against what is on record; or why there is none.
    pub client: Part<Reconciled>,
    /// What is asked.
    pub options: &'a Options,
}

impl Look<'_> {
    /// Looks until everything that is told has been seen every time. `tell` hears how many sagas have been read.
    ///
    /// # Errors
    ///
    /// If the database cannot be read to the end. Coordinators that do not answer are no error.
    pub async fn check(&self, tell: &mut dyn FnMut(u64)) -> Result<Report, InspectError> {
        let began = time::now();
        let mut tallies = Tallies::new(&self.options.only);
        let mut pass = Pass::begin(self, &mut tallies).await?;
        pass.everything(tell).await?;
        let malformed = pass.sources.malformed();
        let looked_at = pass.finish();
        for wait in [Duration::ZERO, SETTLE] {
            let suspects = tallies.problems();
            if suspects.is_empty() {
                break;
            }
            tokio::time::sleep(wait).await;
            let mut again = Tallies::new(&self.options.only);
            let mut pass = Pass::begin(self, &mut again).await?;
            pass.only(&suspects).await?;
            pass.finish();
            tallies.keep_only(&again.problems());
        }
        Ok(Report { malformed, ..Report::new(began, tallies.judged(), looked_at) })
    }
}

/// One look under way.
struct Pass<'p> {
    look: &'p Look<'p>,
    inspector: Option<&'p Inspector>,
    sources: Sources<'p>,
    tallies: &'p mut Tallies,
    looked_at: LookedAt,
    now: Time,
    /// Sagas that have been read, where they may be met twice.
    met: HashSet<SagaId>,
    deletions: Option<(Option<Time>, Option<HashSet<Uuid>>)>,
}

impl<'p> Pass<'p> {
    async fn begin(look: &'p Look<'_>, tallies: &'p mut Tallies) -> Result<Self, InspectError> {
        let inspector = look.inspector.as_option();
        let sources = Sources::ask(inspector, look.peers).await?;
        let mut pass = Self {
            look,
            inspector,
            sources,
            tallies,
            looked_at: LookedAt::default(),
            now: time::now(),
            met: HashSet::new(),
            deletions: None,
        };
        pass.looked_at.database = inspector.map(|inspector| inspector.describe().to_string());
        pass.looked_at.coordinators = pass.sources.spoken().map(|spoken| spoken.at.clone()).collect();
        Ok(pass)
    }

    fn finish(mut self) -> LookedAt {
        // Owners are found out on the way, so who kept silent is known only now.
        self.looked_at.notes.extend(self.sources.silent());
        self.looked_at
    }

    async fn everything(&mut self, tell: &mut dyn FnMut(u64)) -> Result<(), InspectError> {
        self.coordinators();
        self.client();
        match (self.inspector, &self.look.inspector) {
            (Some(inspector), _) => self.database(inspector, tell).await?,
            (None, Part::Missing(reason)) => {
                for invariant in Invariant::ALL {
                    if invariant.is_about_sagas() || invariant == Invariant::I2 {
                        self.tallies.missing(invariant, reason);
                    }
                }
            }
            (None, Part::Present(_)) => unreachable!("the one is made from the other"),
        }
        Ok(())
    }

    /// Looks again, at these only.
    async fn only(&mut self, suspects: &[(Invariant, Problem)]) -> Result<(), InspectError> {
        self.coordinators();
        self.client();
        let Some(inspector) = self.inspector else { return Ok(()) };
        let ids: BTreeSet<SagaId> = suspects.iter().filter_map(|(_, problem)| problem.saga_id).collect();
        let ids: Vec<SagaId> = ids.into_iter().collect();
        for some in ids.chunks(PAGE as usize) {
            self.sagas_by_id(inspector, some).await?;
        }
        if suspects.iter().any(|(invariant, _)| matches!(invariant, Invariant::I2 | Invariant::I6)) {
            self.memories(inspector).await?;
        }
        Ok(())
    }

    fn coordinators(&mut self) {
        let mut is_any = false;
        for spoken in self.sources.spoken() {
            is_any = true;
            match spoken.coordinator() {
                Ok(coordinator) => {
                    for finding in recovery::counters_add_up(&coordinator) {
                        self.tallies.add(Invariant::I6, finding);
                    }
                    self.tallies.add(Invariant::I7, recovery::last_pass_is_good(&coordinator, self.now));
                }
                Err(reason) => {
                    self.tallies.add(Invariant::I6, Finding::CannotTell(reason.clone()));
                    self.tallies.add(Invariant::I7, Finding::CannotTell(reason));
                }
            }
        }
        if !is_any {
            let reason = self.sources.silent().into_iter().next();
            let reason = reason.unwrap_or_else(|| "no coordinator answers".to_owned());
            for invariant in [Invariant::I2, Invariant::I6, Invariant::I7] {
                self.tallies.missing(invariant, &reason);
            }
        }
    }

    fn client(&mut self) {
        match &self.look.client {
            Part::Missing(reason) => self.tallies.missing(Invariant::I12, reason),
            Part::Present(client) => {
                for finding in record::nothing_is_missing(client) {
                    self.tallies.add(Invariant::I12, finding);
                }
            }
        }
    }

    async fn database(
        &mut self,
        inspector: &Inspector,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), InspectError> {
        let options = self.look.options;
        if !options.sagas.is_empty() {
            return self.sagas_by_id(inspector, &options.sagas).await;
        }
        if self.tallies.wants(Invariant::I2) || self.tallies.wants(Invariant::I6) {
            self.memories(inspector).await?;
        }
        if !Invariant::ALL.iter().any(|it| it.is_about_sagas() && self.tallies.wants(*it)) {
            return Ok(());
        }
        let source = inspector.describe();
        let is_small = !inspector.has_more_than(u32::try_from(NEWEST).unwrap_or(u32::MAX)).await?;
        if options.all || is_small {
            self.looked_at.is_complete = true;
            self.walk(inspector, &Order::ById, None, tell).await?;
        } else {
            let is_scannable = || inspector.has_more_than(FREE_SCAN);
            if source.has_unfinished_index() {
                self.walk(inspector, &Order::UnfinishedByOwner, None, tell).await?;
            } else if is_scannable().await? {
                let reason = "there is no index of unfinished sagas; --all reads every saga";
                self.looked_at.notes.push(reason.to_owned());
                for invariant in [Invariant::I1, Invariant::I4, Invariant::I5, Invariant::I10] {
                    self.tallies.missing(invariant, reason);
                }
            } else {
                self.looked_at.is_complete = true;
                self.walk(inspector, &Order::ById, None, tell).await?;
            }
            if !self.looked_at.is_complete {
                match source.has_time_index() {
                    true => {
                        self.walk(inspector, &Order::NewestFirst, Some(NEWEST), tell).await?;
                        let text = format!(
                            "of sagas at rest only the newest {NEWEST} were read; --all reads every saga"
                        );
                        self.looked_at.notes.push(text);
                    }
                    false => self.looked_at.notes.push(
                        "no saga at rest was read, for there is no index of times; --all reads every saga"
                            .to_owned(),
                    ),
                }
            }
            if self.tallies.wants(Invariant::I8) && !self.looked_at.is_complete {
                self.stuck(inspector).await?;
            }
        }
        if self.looked_at.is_complete {
            return Ok(());
        }
        let also: Vec<SagaId> = options.also.iter().copied().filter(|id| !self.met.contains(id)).collect();
        for some in also.chunks(PAGE as usize) {
            self.sagas_by_id(inspector, some).await?;
        }
        Ok(())
    }

    async fn walk(
        &mut self,
        inspector: &Inspector,
        order: &Order,
        most: Option<u64>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), InspectError> {
        let mut after: Option<Cursor> = None;
        let mut scanned = 0;
        loop {
            let page = inspector.list_sagas(order, Span::default(), after.as_ref(), PAGE).await?;
            scanned += page.scanned;
            for raw in page.unreadable_ids {
                self.tallies
                    .add(Invariant::I3, Finding::CannotTell(format!("a saga's id cannot be read: {raw:?}")));
            }
            self.page(inspector, page.sagas).await?;
            tell(self.looked_at.unfinished + self.looked_at.at_rest);
            match page.next {
                Some(next) if most.is_none_or(|most| scanned < most) => after = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// Stuck sagas of any age, by the index of failures.
    async fn stuck(&mut self, inspector: &Inspector) -> Result<(), InspectError> {
        if !inspector.describe().has_failure_index() {
            let note =
                "stuck sagas were looked for among those that were read, for there is no index of failures";
            self.looked_at.notes.push(note.to_owned());
            return Ok(());
        }
        let mut after = None;
        let mut scanned = 0;
        loop {
            let page = inspector.list_failures(after.as_ref(), FAILURE_PAGE).await?;
            scanned += page.scanned;
            let undone: BTreeSet<SagaId> = page
                .failures
                .iter()
                .filter(|failure| failure.is_undo && !self.met.contains(&failure.saga_id))
                .map(|failure| failure.saga_id)
                .collect();
            let undone: Vec<SagaId> = undone.into_iter().collect();
            for some in undone.chunks(PAGE as usize) {
                self.sagas_by_id(inspector, some).await?;
            }
            match page.next {
                None => return Ok(()),
                Some(_) if scanned >= MOST_FAILURES => {
                    let note = format!("stuck sagas were looked for among the newest {scanned} failures");
                    self.looked_at.notes.push(note);
                    return Ok(());
                }
                next => after = next,
            }
        }
    }

    /// Every saga that a coordinator says it runs, against its row.
    async fn memories(&mut self, inspector: &Inspector) -> Result<(), InspectError> {
        let spoken: Vec<_> = self.sources.spoken().cloned().collect();
        for spoken in spoken {
            let running: Vec<SagaId> = match &spoken.memory {
                Ok(memory) => memory.iter().filter(|(_, end)| end.is_none()).map(|(id, _)| *id).collect(),
                Err(reason) => {
                    self.tallies.add(Invariant::I2, Finding::CannotTell(reason.clone()));
                    continue;
                }
            };
            let counted =
                spoken.coordinator().ok().and_then(|coordinator| recovery::last_count(&coordinator));
            let mut came_before = 0;
            for some in running.chunks(500) {
                let rows: HashMap<SagaId, SagaRecord> =
                    inspector.load_sagas(some).await?.into_iter().map(|row| (row.id, row)).collect();
                for id in some {
                    let finding = owners::is_its_to_run(*id, rows.get(id), spoken.sec);
                    let was_counted = counted.is_some_and(|pass| came_well_before(rows.get(id), pass));
                    came_before += u64::from(finding == Finding::Holds && was_counted);
                    self.tallies.add(Invariant::I2, finding);
                }
            }
            if let Ok(coordinator) = spoken.coordinator() {
                self.tallies.add(Invariant::I6, recovery::list_fits(&coordinator, came_before));
            }
        }
        Ok(())
    }

    /// Sagas whose rows, if they have one, have not been read.
    async fn sagas_by_id(&mut self, inspector: &Inspector, ids: &[SagaId]) -> Result<(), InspectError> {
        let rows = inspector.load_sagas(ids).await?;
        let with_rows: HashSet<SagaId> = rows.iter().map(|row| row.id).collect();
        self.page(inspector, rows).await?;
        for id in ids.iter().filter(|id| !with_rows.contains(id)) {
            if let Some(records) = inspector.load_saga(*id).await? {
                self.met.insert(*id);
                self.one(&records).await?;
            }
        }
        Ok(())
    }

    /// Sagas with their rows. DAGs and logs are read after the rows: a log may be ahead of the state, never behind it.
    async fn page(&mut self, inspector: &Inspector, mut rows: Vec<SagaRecord>) -> Result<(), InspectError> {
        // Going through everything meets each saga once; to remember all of them would cost memory for nothing.
        if !self.looked_at.is_complete {
            rows.retain(|row| !self.met.contains(&row.id));
            // A table without its key may hold two rows of one id; both are looked at.
            self.met.extend(rows.iter().map(|row| row.id));
        }
        let ids: Vec<SagaId> = rows.iter().map(|row| row.id).collect();
        let mut dags = inspector.load_dags(&ids).await?;
        let mut logs = inspector.load_logs(&ids).await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id;
            let records = SagaRecords {
                id,
                saga: Some(row),
                dag: dags.remove(&id).unwrap_or(Field::NoColumn),
                events: logs.remove(&id).unwrap_or_default(),
            };
            self.one(&records).await?;
            page.push(records);
        }
        self.effects(inspector, &page).await
    }

    /// One saga, by itself and with its owner.
    async fn one(&mut self, records: &SagaRecords) -> Result<(), InspectError> {
        let reading = Reading::of(records);
        let options = self.look.options;
        self.tallies.add(Invariant::I3, logs::legal(&reading, self.sources.engine()));
        self.tallies.add(Invariant::I5, logs::progresses(&reading, options.max_idle, self.now));
        self.tallies.add(Invariant::I8, logs::is_not_stuck(&reading));
        self.tallies.add(Invariant::I11, logs::one_owner_at_a_time(&reading));
        if !logs::is_unfinished(&reading) {
            self.looked_at.at_rest += 1;
            return Ok(());
        }
        self.looked_at.unfinished += 1;
        let owner = records.saga.as_ref().and_then(|saga| saga.current_sec.value().copied());
        if let Some(owner) = owner {
            self.sources.look_at(owner).await?;
        }
        let facts = self.sources.facts(owner, records.id);
        let why = judge(&reading, &facts, self.now);
        self.tallies.add(Invariant::I1, owners::is_known(&reading, &facts, &why, self.now));
        self.tallies.add(Invariant::I4, owners::has_an_owner(&reading, &facts, &why));
        self.tallies.add(Invariant::I10, owners::actions_are_known(&reading, &facts, &why));
        Ok(())
    }

    /// What sagas of a page made. Rows come first: what a saga that is done has made was there before its state was.
    async fn effects(&mut self, inspector: &Inspector, page: &[SagaRecords]) -> Result<(), InspectError> {
        if !self.tallies.wants(Invariant::I9) {
            return Ok(());
        }
        if !inspector.has_objects() {
            self.tallies
                .missing(Invariant::I9, "what its sagas make is known of our coordinator's database only");
            return Ok(());
        }
        let readings: Vec<Reading<'_>> = page.iter().map(Reading::of).filter(effects::is_judged).collect();
        let made: Vec<Made> = readings.iter().map(Made::of).collect();
        let projects: Vec<Uuid> = made.iter().filter_map(|made| made.project).collect();
        let vpcs: Vec<Uuid> = made.iter().filter_map(|made| made.vpc).collect();
        let mut objects = inspector.load_objects(&projects, &vpcs).await?;
        let is_there = |made: &Made| {
            made.project.is_none_or(|id| objects.projects.contains_key(&id))
                && made.vpc.is_none_or(|id| objects.vpcs.contains_key(&id))
        };
        // Who deleted something is looked up only where something is not there.
        let absent =
            readings.iter().zip(&made).filter(|(_, made)| !is_there(made)).map(|(reading, _)| reading);
        let since = absent.map(|reading| created(reading.records)).min();
        if let Some(since) = since
            && !self.find_deletions(inspector, since, &mut objects).await?
        {
            self.tallies.missing(Invariant::I9, "there are too many deletions to tell who deleted what");
            return Ok(());
        }
        for reading in &readings {
            self.tallies.add(Invariant::I9, effects::agree(reading, &objects));
        }
        Ok(())
    }

    /// Adds what was deleted since then; false if that is too much to be found out. `None` is the beginning of time.
    async fn find_deletions(
        &mut self,
        inspector: &Inspector,
        since: Option<Time>,
        objects: &mut Objects,
    ) -> Result<bool, InspectError> {
        let is_known = self.deletions.as_ref().is_some_and(|(known, _)| *known <= since);
        if !is_known {
            self.deletions = Some((since, inspector.list_deletions(since).await?));
        }
        let deleted = self.deletions.as_ref().and_then(|(_, deleted)| deleted.as_ref());
        if let Some(deleted) = deleted {
            objects.deleted = deleted
                .iter()
                .filter(|id| !objects.projects.contains_key(id) && !objects.vpcs.contains_key(id))
                .copied()
                .collect();
        }
        Ok(deleted.is_some())
    }
}

fn created(records: &SagaRecords) -> Option<Time> {
    records.saga.as_ref()?.time_created.value().copied()
}

/// Whether a saga had come to its owner so long before a pass that the pass has counted it.
fn came_well_before(row: Option<&SagaRecord>, pass: Time) -> bool {
    let Some(row) = row else { return false };
    let came = row.time_created.value().max(row.adopt_time.value());
    came.is_some_and(|came| {
        pass.signed_duration_since(*came).to_std().is_ok_and(|age| age > recovery::COUNTED_AFTER)
    })
}
