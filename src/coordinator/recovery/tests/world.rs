//! A coordinator in miniature: a database that lasts, and a process that a crash takes with all it knew.

use super::model::{
    Checked, Creation, Event, Health, Mutation, Owner, PendingInsert, Phase, Property, Row, Run, Violation,
    next_event,
};
use super::pass::Stage;
use crate::coordinator::recovery::{Announcer, CreationInFlight, Recovery};
use crate::wire::ids::SagaId;
use crate::wire::recovery::RecoveryReport;
use crate::wire::sagas::CachedState;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Something said to recovery.
#[derive(Clone, Copy, Debug)]
enum Word {
    Creating(SagaId),
    Created(SagaId),
    Dropped(SagaId),
    Relinquished(SagaId),
}

/// What a crash takes.
#[derive(Debug)]
pub(super) struct Process {
    announcer: Announcer,
    pub(super) recovery: Recovery,
    guards: BTreeMap<SagaId, CreationInFlight>,
    pub(super) creations: BTreeMap<SagaId, Creation>,
    pub(super) engine: BTreeMap<SagaId, Run>,
    pub(super) stage: Stage,
    /// What is held back by [`Mutation::DrainBeforeListing`].
    held_back: Option<Vec<Word>>,
    /// What the last pass could not recover for passing reasons.
    pub(super) failed_transiently: BTreeSet<SagaId>,
    pub(super) last_report: RecoveryReport,
    /// What ran or was being created at the last drain, or was recovered since.
    pub(super) must_be_known: BTreeSet<SagaId>,
}

impl Process {
    fn start() -> Self {
        let (announcer, recovery) = Recovery::new();
        Self {
            announcer,
            recovery,
            guards: BTreeMap::new(),
            creations: BTreeMap::new(),
            engine: BTreeMap::new(),
            stage: Stage::Idle,
            held_back: None,
            failed_transiently: BTreeSet::new(),
            last_report: RecoveryReport::new(),
            must_be_known: BTreeSet::new(),
        }
    }
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) rows: BTreeMap<SagaId, Row>,
    /// Inserts that were sent by creators who then gave up on them.
    pub(super) late_inserts: Vec<SagaId>,
    /// Sagas whose rows were changed by hand.
    pub(super) meddled_with: BTreeSet<SagaId>,
    pub(super) process: Process,
    pub(super) mutation: Option<Mutation>,
    /// Whether sagas that can never be recovered are given up.
    pub(super) abandons_unrecoverable: bool,
    only: Option<Property>,
    sagas_made: u128,
    pub(super) ticks: i64,
}

impl World {
    /// An empty database and a coordinator that has just started.
    pub(super) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            late_inserts: Vec::new(),
            meddled_with: BTreeSet::new(),
            process: Process::start(),
            mutation: None,
            abandons_unrecoverable: false,
            only: None,
            sagas_made: 0,
            ticks: 0,
        }
    }

    /// The same with a mistake in it, in which only one property is watched.
    pub(super) fn with_mutation(mutation: Mutation, only: Property) -> Self {
        Self { mutation: Some(mutation), only: Some(only), ..Self::new() }
    }

    pub(super) fn check(&self, holds: bool, property: Property, what: impl FnOnce() -> String) -> Checked {
        if holds || self.only.is_some_and(|only| only != property) {
            return Ok(());
        }
        Err(Violation { property, what: what() })
    }

    fn fresh_id(&mut self) -> SagaId {
        self.sagas_made += 1;
        // Scattered, so that later sagas come before earlier ones in a listing as well as after them.
        SagaId::from_uuid(Uuid::from_u128(
            self.sagas_made.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        ))
    }

    fn insert_row(&mut self, id: SagaId, owner: Owner, health: Health) {
        let nodes = 1 + u8::from(self.sagas_made.is_multiple_of(3));
        let row = Row {
            owner,
            generation: 1,
            state: CachedState::Running,
            abandoned_because: None,
            health,
            nodes,
            log: Vec::new(),
        };
        let previous = self.rows.insert(id, row);
        assert!(previous.is_none(), "the world inserted {id} twice");
    }

    /// A creator announces a saga and sends its insert.
    pub(super) fn begin_creation(&mut self) -> SagaId {
        let id = self.fresh_id();
        match self.mutation {
            Some(Mutation::AnnounceAfterInsert) => {}
            Some(Mutation::AnnounceOnce) => {
                self.say(Word::Creating(id));
                self.say(Word::Created(id));
            }
            _ => self.say(Word::Creating(id)),
        }
        self.process.creations.insert(id, Creation { inserted: false });
        id
    }

    /// The insert is applied; the creator has not heard of it.
    pub(super) fn insert(&mut self, id: SagaId) {
        self.process.creations.get_mut(&id).expect("it is being created").inserted = true;
        self.insert_row(id, Owner::Us, Health::Intact);
    }

    /// The creator hears that the insert is durable, starts the saga and confirms.
    pub(super) fn confirm(&mut self, id: SagaId) -> Checked {
        let creation = self.process.creations.remove(&id).expect("it is being created");
        assert!(creation.inserted, "the world confirmed an insert that was not applied");
        self.start_in_engine(id, self.rows[&id].generation, Vec::new())?;
        match self.mutation {
            Some(Mutation::AnnounceAfterInsert) => {
                self.say(Word::Creating(id));
                self.say(Word::Created(id));
            }
            Some(Mutation::AnnounceOnce) => {}
            _ => self.say(Word::Created(id)),
        }
        Ok(())
    }

    /// All of a creation without anything in between.
    pub(super) fn create(&mut self) -> Checked<SagaId> {
        let id = self.begin_creation();
        self.insert(id);
        self.confirm(id)?;
        Ok(id)
    }

    /// The creator gives up: the insert was refused, or nobody told it what became of it.
    pub(super) fn give_up_creation(&mut self, id: SagaId, insert: PendingInsert) {
        let creation = self.process.creations.remove(&id).expect("it is being created");
        if !creation.inserted && insert == PendingInsert::MayLand {
            self.late_inserts.push(id);
        }
        if !matches!(self.mutation, Some(Mutation::AnnounceAfterInsert | Mutation::AnnounceOnce)) {
            self.say(Word::Dropped(id));
        }
    }

    /// An insert is applied that its creator has given up on.
    pub(super) fn land_late_insert(&mut self, index: usize) {
        let id = self.late_inserts.remove(index);
        self.insert_row(id, Owner::Us, Health::Intact);
    }

    pub(super) fn start_in_engine(&mut self, id: SagaId, generation: u32, log: Vec<Event>) -> Checked {
        let run = Run { log, generation, phase: Phase::Running };
        let previous = self.process.engine.insert(id, run);
        self.check(previous.is_none(), Property::P2, || format!("{id} was started while it runs"))
    }

    /// A saga makes one step. If it is not ours any more, the process finds itself fenced and stops, as in a crash.
    pub(super) fn advance(&mut self, id: SagaId, fails: bool) -> Checked {
        let run = &self.process.engine[&id];
        let row = &self.rows[&id];
        let ours = row.owner == Owner::Us && row.generation == run.generation;
        match run.phase {
            Phase::Running => match next_event(&run.log, row.nodes, fails) {
                Some(_) if !ours => self.crash(),
                Some(event) => {
                    self.check(run.log == row.log, Property::P11, || {
                        format!("{id}: two runs write one log: {:?} beside {:?}", run.log, row.log)
                    })?;
                    self.rows.get_mut(&id).expect("looked at above").log.push(event);
                    self.process.engine.get_mut(&id).expect("looked at above").log.push(event);
                }
                None => self.enter(id, Phase::HandedOver),
            },
            Phase::HandedOver if !ours || row.state == CachedState::Abandoned => self.crash(),
            Phase::HandedOver => {
                self.rows.get_mut(&id).expect("looked at above").state = CachedState::Done;
                self.enter(id, Phase::Applied);
            }
            Phase::Applied => {
                self.enter(id, Phase::AtRest);
                if self.mutation == Some(Mutation::DropOnCompletion) {
                    self.say(Word::Relinquished(id));
                }
            }
            Phase::AtRest => {}
        }
        Ok(())
    }

    fn enter(&mut self, id: SagaId, phase: Phase) {
        self.process.engine.get_mut(&id).expect("a saga in the engine").phase = phase;
    }

    /// A saga runs to its end, and the engine hears that it is recorded.
    pub(super) fn finish(&mut self, id: SagaId) -> Checked {
        while self.process.engine.get(&id).is_some_and(|run| run.phase != Phase::AtRest) {
            self.advance(id, false)?;
        }
        Ok(())
    }

    /// A saga runs until it is `done` in the database; the engine has not heard of it.
    pub(super) fn finish_unheard(&mut self, id: SagaId) -> Checked {
        while self.process.engine[&id].phase != Phase::Applied {
            self.advance(id, false)?;
        }
        Ok(())
    }

    /// The engine throws a run away that counts for nothing.
    pub(super) fn relinquish(&mut self, id: SagaId) {
        self.process.engine.remove(&id);
        self.say(Word::Relinquished(id));
    }

    /// The sagas that run, or are not known yet to have come to rest.
    pub(super) fn live(&self) -> Vec<SagaId> {
        let live = self.process.engine.iter().filter(|(_, run)| run.phase != Phase::AtRest);
        live.map(|(id, _)| *id).collect()
    }

    /// The process is gone, and another has started.
    pub(super) fn crash(&mut self) {
        let sent = self.process.creations.iter().filter(|(_, creation)| !creation.inserted);
        self.late_inserts.extend(sent.map(|(id, _)| *id));
        self.process = Process::start();
    }

    /// An unfinished saga from an earlier life, or somebody else's.
    pub(super) fn leave_behind(&mut self, owner: Owner, health: Health) -> SagaId {
        let id = self.fresh_id();
        self.insert_row(id, owner, health);
        id
    }

    /// An operator assigns a saga to an owner.
    pub(super) fn reassign(&mut self, id: SagaId, owner: Owner) {
        self.meddled_with.insert(id);
        let row = self.rows.get_mut(&id).expect("a saga in the database");
        row.owner = owner;
        row.generation += 1;
    }

    /// An unfinished saga is given up.
    pub(super) fn abandon(&mut self, id: SagaId, because: &str) {
        self.meddled_with.insert(id);
        let row = self.rows.get_mut(&id).expect("a saga in the database");
        row.state = CachedState::Abandoned;
        row.abandoned_because = Some(because.to_owned());
    }

    pub(super) fn set_health(&mut self, id: SagaId, health: Health) {
        self.rows.get_mut(&id).expect("a saga in the database").health = health;
    }

    fn say(&mut self, word: Word) {
        match &mut self.process.held_back {
            Some(held_back) => held_back.push(word),
            None => self.utter(word),
        }
    }

    fn utter(&mut self, word: Word) {
        let Process { announcer, guards, .. } = &mut self.process;
        match word {
            Word::Creating(id) => {
                guards.insert(id, announcer.creating(id));
            }
            Word::Created(id) => guards.remove(&id).expect("announced before").created(),
            // Left to its destructor, as by a cancelled future.
            Word::Dropped(id) => drop(guards.remove(&id)),
            Word::Relinquished(id) => announcer.relinquish(id),
        }
    }

    pub(super) fn hold_back_announcements(&mut self) {
        self.process.held_back = Some(Vec::new());
    }

    pub(super) fn release_announcements(&mut self) {
        for word in self.process.held_back.take().unwrap_or_default() {
            self.utter(word);
        }
    }
}
