//! What was told equals what happened, over random histories with cuts, restarts and kills in every gap.

use super::event::{Absence, Ending, Event, Source, Transition};
use super::memory::{Memory, OVERLAP};
use super::sighting::{ApiView, DatabaseView, Looked, PassView, SagaView, SecView, Sighting};
use super::state_file::Ledger;
use crate::observe::secs::FRESH;
use crate::wire::bgtasks::ActivationReason;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use chrono::TimeDelta;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Entries that a report keeps; few, so that it overflows.
const RING: usize = 3;
const SECS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    /// A saga is made; its row becomes visible now, though its time of creation is up to so many seconds ago.
    Create {
        late: u8,
    },
    Finish {
        which: u8,
        ending: u8,
    },
    Reassign {
        which: u8,
        to: u8,
    },
    /// A pass that recovers so many sagas.
    Recover {
        count: u8,
    },
    RestartCoordinator,
    RestartSec(u8),
    Silence(u8),
    Unsilence(u8),
    Expunge(u8),
    Cut {
        api: bool,
        database: bool,
    },
    Tick(u8),
}

/// When a watcher is killed during a look.
#[derive(Clone, Copy, Debug)]
enum Kill {
    BeforeTheSnapshot,
    /// After so many events were told, with the last one's mark unwritten, half written, or written.
    Telling {
        event: u8,
        marked: Marked,
    },
}

#[derive(Clone, Copy, Debug)]
enum Marked {
    No,
    Half,
    Yes,
}

#[derive(Clone, Debug)]
struct Look {
    /// What goes on between the reads of one look.
    between: [Vec<Op>; 3],
    kill: Option<Kill>,
}

#[derive(Clone, Debug)]
struct Saga {
    view: SagaView,
}

#[derive(Clone, Debug)]
struct Sec {
    view: SecView,
    is_silent: bool,
}

struct World {
    now: Time,
    sagas: Vec<Saga>,
    secs: Vec<Sec>,
    process_started: Time,
    iterations: u64,
    passes: Vec<PassView>,
    recoveries: Vec<(Time, SagaId, Option<String>)>,
    recovered_in_all: u64,
    cut: (bool, bool),
    restarts: u32,
}

fn at(millis: i64) -> Time {
    Time::from_timestamp_millis(1_800_000_000_000 + millis).expect("a time in range")
}

fn sec_id(index: usize) -> SecId {
    SecId::from_uuid(Uuid::from_u128(1 + index as u128))
}

impl World {
    fn new() -> Self {
        let sec = |index| Sec {
            view: SecView {
                sec_id: sec_id(index),
                is_expunged: false,
                time_started: Some(at(0)),
                time_heartbeat: Some(at(0)),
            },
            is_silent: false,
        };
        Self {
            now: at(0),
            sagas: Vec::new(),
            secs: (0..SECS).map(sec).collect(),
            process_started: at(0),
            iterations: 0,
            passes: Vec::new(),
            recoveries: Vec::new(),
            recovered_in_all: 0,
            cut: (false, false),
            restarts: 0,
        }
    }

    fn pass_time(&mut self, by: TimeDelta) {
        self.now += by;
        for sec in self.secs.iter_mut().filter(|sec| !sec.is_silent) {
            sec.view.time_heartbeat = Some(self.now);
        }
    }

    fn apply(&mut self, op: &Op) {
        // No two things happen at the very same moment.
        self.pass_time(TimeDelta::milliseconds(1));
        let now = self.now;
        match *op {
            Op::Create { late } => {
                let saga_id = SagaId::from_uuid(Uuid::from_u128(1000 + self.sagas.len() as u128));
                let late = TimeDelta::seconds(i64::from(late) % OVERLAP.num_seconds());
                let view = SagaView {
                    saga_id,
                    name: Some("demo".to_owned()),
                    current_sec: Some(sec_id(0)),
                    created: Some(now - late),
                    ending: None,
                    last_event: None,
                };
                self.sagas.push(Saga { view });
            }
            Op::Finish { which, ending } => {
                let endings =
                    [Ending::Succeeded, Ending::Failed, Ending::Stuck, Ending::Abandoned, Ending::Unknown];
                if let Some(saga) = self.live(which) {
                    saga.view.ending = Some(endings[usize::from(ending) % endings.len()]);
                    saga.view.last_event = Some(now);
                }
            }
            Op::Reassign { which, to } => {
                if let Some(saga) = self.live(which) {
                    saga.view.current_sec = Some(sec_id(usize::from(to) % SECS));
                }
            }
            Op::Recover { count } => {
                let count = u64::from(count % 5);
                for index in 0..count {
                    let saga_id = SagaId::from_uuid(Uuid::from_u128(1 << 64 | u128::from(index)));
                    self.recoveries.push((now, saga_id, None));
                }
                self.recovered_in_all += count;
                self.iterations += 1;
                self.passes.push(PassView {
                    iteration: self.iterations,
                    reason: ActivationReason::Signaled,
                    time_started: now,
                    completed: true,
                    found: Some(count),
                    recovered: Some(count),
                    failed: Some(0),
                    message: None,
                });
                let overflow = self.recoveries.len().saturating_sub(RING);
                self.recoveries.drain(..overflow);
                let overflow = self.passes.len().saturating_sub(RING);
                self.passes.drain(..overflow);
            }
            Op::RestartCoordinator => {
                self.process_started = now;
                self.iterations = 0;
                self.recovered_in_all = 0;
                self.passes.clear();
                self.recoveries.clear();
                self.restarts += 1;
            }
            Op::RestartSec(which) => {
                let sec = self.sec(which);
                sec.is_silent = false;
                sec.view.time_started = Some(now);
                sec.view.time_heartbeat = Some(now);
            }
            Op::Silence(which) => self.sec(which).is_silent = true,
            Op::Unsilence(which) => self.sec(which).is_silent = false,
            Op::Expunge(which) => self.sec(which).view.is_expunged = true,
            Op::Cut { api, database } => self.cut = (api, database),
            Op::Tick(secs) => self.pass_time(TimeDelta::seconds(i64::from(secs))),
        }
    }

    fn live(&mut self, which: u8) -> Option<&mut Saga> {
        let mut live: Vec<_> = self.sagas.iter_mut().filter(|saga| saga.view.ending.is_none()).collect();
        let count = live.len().max(1);
        (!live.is_empty()).then(|| live.swap_remove(usize::from(which) % count))
    }

    fn sec(&mut self, which: u8) -> &mut Sec {
        &mut self.secs[usize::from(which) % SECS]
    }

    /// A look as `look.rs` makes it: read by read, while the world goes on.
    fn look(&mut self, memory: &Memory, between: &[Vec<Op>; 3]) -> Sighting {
        let go_on = |world: &mut Self, ops: &[Op]| ops.iter().for_each(|op| world.apply(op));
        // A list tells only that a saga is done, not how.
        let row = |saga: &Saga| SagaView {
            ending: saga.view.ending.map(|ending| match ending {
                Ending::Abandoned => ending,
                _ => Ending::Unknown,
            }),
            last_event: None,
            ..saga.view.clone()
        };
        let secs = self.secs.iter().map(|sec| sec.view.clone()).collect();
        let since = match memory.knows_the_database() {
            true => memory.since(),
            false => {
                self.sagas.iter().filter_map(|saga| saga.view.created).max().map(|newest| newest - OVERLAP)
            }
        };
        let recent: Vec<SagaView> = self
            .sagas
            .iter()
            .filter(|saga| {
                since.is_none_or(|since| saga.view.created.is_some_and(|created| created >= since))
            })
            .map(row)
            .collect();
        go_on(self, &between[0]);
        let unfinished: Vec<SagaView> = self
            .sagas
            .iter()
            .map(row)
            .filter(|saga| saga.ending.is_none_or(|ending| ending == Ending::Abandoned))
            .collect();
        go_on(self, &between[1]);
        let wanted = memory.wanted(&recent, &unfinished);
        let settled: Vec<SagaView> = self
            .sagas
            .iter()
            .map(|saga| saga.view.clone())
            .filter(|saga| wanted.contains(&saga.saga_id))
            .collect();
        go_on(self, &between[2]);
        let api = ApiView {
            sec_id: Some(sec_id(0)),
            time_started: Some(self.process_started),
            passes: self.passes.clone(),
            recoveries: self.recoveries.clone(),
            failures: Vec::new(),
            recovered_in_all: Some(self.recovered_in_all),
        };
        let seen = |is_cut| if is_cut { Err("cut".to_owned()) } else { Ok(()) };
        let database = DatabaseView { recent, unfinished, settled, secs: Some(secs) };
        Sighting {
            time: self.now,
            api: Looked { url: "a".to_owned(), seen: seen(self.cut.0).map(|()| api) },
            database: Some(Looked { url: "d".to_owned(), seen: seen(self.cut.1).map(|()| database) }),
        }
    }
}

/// A watcher with a disk; a kill leaves it the disk.
struct Watcher {
    disk: Vec<u8>,
    told: Vec<Event>,
    kills: usize,
    passes_shown: BTreeSet<(Time, u64)>,
    recoveries_shown: BTreeSet<(Time, SagaId)>,
}

impl Watcher {
    fn ledger(&self) -> Ledger {
        match self.disk.is_empty() {
            true => Ledger::new(),
            false => Ledger::read(&self.disk).expect("its own file"),
        }
    }

    fn look(&mut self, world: &mut World, look: &Look) {
        self.tell(self.ledger(), None);
        let mut ledger = self.ledger();
        let sighting = world.look(&ledger.memory, &look.between);
        let mut memory = ledger.memory.clone();
        let events = memory.take(&sighting);
        if matches!(look.kill, Some(Kill::BeforeTheSnapshot)) {
            self.kills += 1;
            return;
        }
        if let Ok(view) = &sighting.api.seen {
            self.passes_shown.extend(view.passes.iter().map(|pass| (pass.time_started, pass.iteration)));
            self.recoveries_shown.extend(view.recoveries.iter().map(|(time, saga, _)| (*time, *saga)));
        }
        ledger.begin(memory, events);
        self.disk = ledger.snapshot();
        self.tell(ledger, look.kill);
    }

    fn tell(&mut self, mut ledger: Ledger, kill: Option<Kill>) {
        let mut count = 0;
        while let Some(event) = ledger.next() {
            self.told.push(event.clone());
            let mark = ledger.mark();
            let killed = match kill {
                Some(Kill::Telling { event, marked }) if event == count => Some(marked),
                _ => None,
            };
            match killed {
                None => self.disk.extend(mark),
                Some(marked) => {
                    let written = match marked {
                        Marked::No => 0,
                        Marked::Half => mark.len() / 2,
                        Marked::Yes => mark.len(),
                    };
                    self.disk.extend(&mark[..written]);
                    self.kills += 1;
                    // As `Record::open` does: a mark that was cut short makes no other unreadable.
                    let rest = self.ledger().resumed();
                    self.disk = rest.snapshot();
                    return;
                }
            }
            count += 1;
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<u8>().prop_map(|late| Op::Create { late }),
        6 => any::<(u8, u8)>().prop_map(|(which, ending)| Op::Finish { which, ending }),
        2 => any::<(u8, u8)>().prop_map(|(which, to)| Op::Reassign { which, to }),
        2 => any::<u8>().prop_map(|count| Op::Recover { count }),
        1 => Just(Op::RestartCoordinator),
        1 => any::<u8>().prop_map(Op::RestartSec),
        1 => any::<u8>().prop_map(Op::Silence),
        1 => any::<u8>().prop_map(Op::Unsilence),
        1 => (0_u8..3).prop_map(Op::Expunge),
        1 => any::<(bool, bool)>().prop_map(|(api, database)| Op::Cut { api, database }),
        2 => (0_u8..40).prop_map(Op::Tick),
    ]
}

fn kill() -> impl Strategy<Value = Option<Kill>> {
    let marked = prop_oneof![Just(Marked::No), Just(Marked::Half), Just(Marked::Yes)];
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Kill::BeforeTheSnapshot)),
        2 => (0_u8..4, marked).prop_map(|(event, marked)| Some(Kill::Telling { event, marked })),
    ]
}

fn look() -> impl Strategy<Value = Look> {
    let few = || prop::collection::vec(op(), 0..4);
    ([few(), few(), few()], kill()).prop_map(|(between, kill)| Look { between, kill })
}

const QUIET: Look = Look { between: [Vec::new(), Vec::new(), Vec::new()], kill: None };

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_told_is_what_happened(
        before in prop::collection::vec(op(), 0..12),
        history in prop::collection::vec((prop::collection::vec(op(), 0..12), look()), 0..12),
    ) {
        let mut world = World::new();
        before.iter().for_each(|op| world.apply(op));
        world.cut = (false, false);
        let mut watcher = Watcher {
            disk: Vec::new(),
            told: Vec::new(),
            kills: 0,
            passes_shown: BTreeSet::new(),
            recoveries_shown: BTreeSet::new(),
        };
        watcher.look(&mut world, &QUIET);
        prop_assert!(watcher.told.is_empty(), "what was before the first look is no news");
        let at_first = world.sagas.clone();
        let secs_at_first: Vec<_> =
            world.secs.iter().map(|sec| (sec.view.time_started, sec.view.absence(world.now, FRESH))).collect();
        let passes_at_first = watcher.passes_shown.clone();
        let recoveries_at_first = watcher.recoveries_shown.clone();
        let recovered_at_first = world.recovered_in_all;
        world.restarts = 0;
        for (ops, look) in &history {
            ops.iter().for_each(|op| world.apply(op));
            watcher.look(&mut world, look);
        }
        world.apply(&Op::Cut { api: false, database: false });
        watcher.look(&mut world, &QUIET);

        // Nothing but the last event before a kill is repeated, and it keeps its number.
        let mut by_seq: BTreeMap<u64, &Event> = BTreeMap::new();
        let mut last = 0;
        let mut repeated = 0;
        for event in &watcher.told {
            if let Some(known) = by_seq.insert(event.seq, event) {
                prop_assert_eq!(known, event);
                prop_assert_eq!(event.seq, last, "only the last one is repeated");
                repeated += 1;
            }
            last = event.seq;
        }
        prop_assert!(repeated <= watcher.kills);
        prop_assert!(by_seq.keys().copied().eq(1..=by_seq.len() as u64), "no number is left out");
        let told: Vec<&Transition> = by_seq.values().map(|event| &event.transition).collect();

        // Sagas: each began once, ended once as it did, and is whose the last word says.
        let known: BTreeSet<SagaId> = at_first.iter().map(|saga| saga.view.saga_id).collect();
        let mut started = Vec::new();
        let mut finished = Vec::new();
        let mut owner: BTreeMap<SagaId, Option<SecId>> =
            at_first.iter().map(|saga| (saga.view.saga_id, saga.view.current_sec)).collect();
        for transition in &told {
            match transition {
                Transition::SagaStarted { saga_id, current_sec, .. } => {
                    started.push(*saga_id);
                    owner.insert(*saga_id, *current_sec);
                }
                Transition::SagaReassigned { saga_id, from_sec, to_sec, .. } => {
                    prop_assert_eq!(owner.insert(*saga_id, *to_sec), Some(*from_sec));
                }
                Transition::SagaFinished { saga_id, outcome, .. } => {
                    prop_assert!(known.contains(saga_id) || started.contains(saga_id), "ends after it began");
                    finished.push((*saga_id, *outcome));
                }
                _ => {}
            }
        }
        let really_started: Vec<SagaId> =
            world.sagas[at_first.len()..].iter().map(|saga| saga.view.saga_id).collect();
        let was_running: BTreeMap<SagaId, bool> =
            at_first.iter().map(|saga| (saga.view.saga_id, saga.view.ending.is_none())).collect();
        let really_finished: Vec<(SagaId, Ending)> = world
            .sagas
            .iter()
            .filter(|saga| was_running.get(&saga.view.saga_id).copied().unwrap_or(true))
            .filter_map(|saga| Some((saga.view.saga_id, saga.view.ending?)))
            .collect();
        started.sort();
        finished.sort();
        prop_assert_eq!(started, really_started);
        prop_assert_eq!(finished, really_finished);
        for saga in &world.sagas {
            prop_assert_eq!(owner.get(&saga.view.saga_id), Some(&saga.view.current_sec));
        }

        // SECs: the last word on each is what it is.
        for (index, sec) in world.secs.iter().enumerate() {
            let mut state: (Option<Time>, Option<Absence>) = secs_at_first[index];
            for transition in &told {
                match transition {
                    Transition::SecStarted { sec_id, time_started } if *sec_id == sec.view.sec_id => {
                        state = (*time_started, None);
                    }
                    Transition::SecGone { sec_id, reason, .. } if *sec_id == sec.view.sec_id => {
                        prop_assert_ne!(state.1, Some(*reason), "gone twice");
                        state.1 = Some(*reason);
                    }
                    Transition::SecBack { sec_id } if *sec_id == sec.view.sec_id => {
                        prop_assert!(state.1.take().is_some(), "back without having been gone");
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(state, (sec.view.time_started, sec.view.absence(world.now, FRESH)));
        }

        // Reports: whatever was ever shown is told once; what was not is counted, as long as the process remembers it.
        let passes: Vec<(Time, u64)> = told
            .iter()
            .filter_map(|transition| match transition {
                Transition::PassCompleted { time_started, iteration, .. } => Some((*time_started, *iteration)),
                _ => None,
            })
            .collect();
        prop_assert_eq!(passes.len(), passes.iter().collect::<BTreeSet<_>>().len());
        let shown: BTreeSet<_> = watcher.passes_shown.difference(&passes_at_first).copied().collect();
        prop_assert_eq!(passes.into_iter().collect::<BTreeSet<_>>(), shown);
        let recoveries: Vec<(Time, SagaId)> = told
            .iter()
            .filter_map(|transition| match transition {
                Transition::SagaRecovered { saga_id, recovered, .. } => Some((*recovered, *saga_id)),
                _ => None,
            })
            .collect();
        let shown: BTreeSet<_> = watcher.recoveries_shown.difference(&recoveries_at_first).copied().collect();
        let count = recoveries.len() as u64;
        prop_assert_eq!(recoveries.len(), recoveries.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(recoveries.into_iter().collect::<BTreeSet<_>>(), shown);
        let unlisted: u64 = told
            .iter()
            .filter_map(|transition| match transition {
                Transition::PassCompleted { unlisted_recoveries, .. } => Some(*unlisted_recoveries),
                _ => None,
            })
            .sum();
        if world.restarts == 0 {
            prop_assert_eq!(count + unlisted, world.recovered_in_all - recovered_at_first);
        }

        // Connections are lost and regained in turns, and in the end both are there.
        for place in [Source::Api, Source::Database] {
            let mut is_lost = false;
            for transition in &told {
                match transition {
                    Transition::ConnectionLost { source, .. } if *source == place => {
                        prop_assert!(!std::mem::replace(&mut is_lost, true), "lost twice");
                    }
                    Transition::ConnectionRegained { source, .. } if *source == place => {
                        prop_assert!(std::mem::replace(&mut is_lost, false), "regained without a loss");
                    }
                    _ => {}
                }
            }
            prop_assert!(!is_lost);
        }

        // A world that stands still has nothing to tell.
        let count = watcher.told.len();
        watcher.look(&mut world, &QUIET);
        prop_assert_eq!(watcher.told.len(), count);
    }
}

#[test]
fn a_saga_dated_far_ahead_hides_nothing_that_comes_after_it() {
    let mut world = World::new();
    let mut memory = Memory::default();
    assert!(memory.take(&world.look(&Memory::default(), &QUIET.between)).is_empty());
    world.apply(&Op::Create { late: 0 });
    world.sagas[0].view.created = Some(at(1_000_000_000));
    let sighting = world.look(&memory, &QUIET.between);
    assert_eq!(memory.take(&sighting).len(), 1);
    world.apply(&Op::Tick(60));
    world.apply(&Op::Create { late: 0 });
    world.apply(&Op::Finish { which: 1, ending: 0 });
    let sighting = world.look(&memory, &QUIET.between);
    let words: Vec<_> = memory.take(&sighting).iter().map(|event| event.transition.word()).collect();
    assert_eq!(words, ["saga_started", "saga_finished"]);
}

#[test]
fn a_saga_whose_row_is_gone_has_vanished() {
    let mut world = World::new();
    world.apply(&Op::Create { late: 0 });
    let mut memory = Memory::default();
    let sighting = world.look(&memory, &QUIET.between);
    memory.take(&sighting);
    world.sagas.clear();
    let sighting = world.look(&memory, &QUIET.between);
    let events = memory.take(&sighting);
    let [Event { transition: Transition::SagaFinished { outcome, .. }, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(*outcome, Ending::Vanished);
}

#[test]
fn a_file_of_something_else_is_refused() {
    assert!(Ledger::read(b"{\"telling\": \"stories\"}").is_err());
    assert!(Ledger::read(b"").is_err());
    let mut of_the_future = serde_json::to_value(Ledger::new()).expect("JSON");
    of_the_future["version"] = 2.into();
    let error = Ledger::read(of_the_future.to_string().as_bytes()).expect_err("another format");
    assert_eq!(error, "it has format 2, and this version reads 1");
}

#[test]
fn fuzzed_state_files_are_read_or_refused() {
    let mut ledger = Ledger::new();
    let mut seed = ledger.snapshot();
    seed.extend_from_slice(b"1\n2\n");
    ledger.begin(Memory::default(), Vec::new());
    crate::fuzz::fuzz(&[seed, ledger.snapshot()], |bytes, _| {
        if let Ok(ledger) = Ledger::read(bytes) {
            let resumed = ledger.resumed();
            assert_eq!(Ledger::read(&resumed.snapshot()), Ok(resumed));
        }
    });
}
