//! What was told so far, and what a look adds to it. Pure.
//!
//! # How a saga is noticed however short it lives
//!
//! The index of unfinished sagas shows what is under way, but a saga may begin and end between two looks. It is found by its
//! time of creation: every look reads all sagas made since a little ([`OVERLAP`]) before the newest that is known. The little
//! is there because sagas do not become visible in the order in which they were made: the time is taken before the row is
//! written. Those that are known within it are kept by id ([`Sagas::recent`]), so the overlap repeats nothing.
//!
//! What can still be missed is a saga whose row becomes visible later than [`OVERLAP`] after younger ones, and which then
//! comes to rest before a look sees it unfinished. And where a database has no index by time of creation, whatever begins and
//! ends between two looks.
//!
//! # How an end is noticed
//!
//! A saga that was unfinished and is not among the unfinished any more is looked up by its id ([`Memory::wanted`]). Only
//! that decides: the list is read page by page while sagas change hands, so that one may slip through it unseen.

use super::event::{Absence, Event, Source, Transition};
use super::sighting::{ApiView, DatabaseView, SagaView, SecView, Sighting};
use crate::observe::secs::FRESH;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long before the newest known saga a look begins.
pub const OVERLAP: TimeDelta = TimeDelta::seconds(30);

/// Everything that was told, as far as it is needed to tell what is new.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Number of the last event.
    seq: u64,
    /// Places that do not answer, and since when.
    lost: BTreeMap<Source, Time>,
    /// Where the database was, for a start without a coordinator to say so.
    pub database_url: Option<String>,
    /// What the database showed; `None` before the first look at it.
    sagas: Option<Sagas>,
    /// SECs of the registry; `None` before the first look at it.
    secs: Option<BTreeMap<SecId, KnownSec>>,
    /// What the reports said; `None` before the first look at them.
    reports: Option<Reports>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sagas {
    /// Sagas whose end has not been told.
    unfinished: BTreeMap<SagaId, KnownSaga>,
    /// Sagas, finished or not, that a look finds again because it begins a little early.
    recent: BTreeMap<SagaId, Time>,
    /// When the newest known saga was made.
    newest: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KnownSaga {
    name: Option<String>,
    current_sec: Option<SecId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KnownSec {
    time_started: Option<Time>,
    absence: Option<Absence>,
}

/// Reports keep the last entries only, so what they keep is all that needs to be remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Reports {
    time_started: Option<Time>,
    passes: BTreeSet<(Time, u64)>,
    recoveries: BTreeSet<(Time, SagaId)>,
    failures: BTreeSet<(Time, SagaId)>,
    recovered_in_all: Option<u64>,
}

impl Memory {
    /// Sagas made since then are to be read; `None` for all of them. Not to be asked before the first look at the database.
    pub fn since(&self) -> Option<Time> {
        Some(self.sagas.as_ref()?.newest? - OVERLAP)
    }

    /// Whether the database was ever looked at.
    pub fn knows_the_database(&self) -> bool {
        self.sagas.is_some()
    }

    /// How many sagas have not come to rest, as far as is known.
    pub fn unfinished(&self) -> usize {
        self.sagas.as_ref().map_or(0, |sagas| sagas.unfinished.len())
    }

    /// Sagas that have to be looked up by id, because they are not among the unfinished, to know how they ended.
    pub fn wanted(&self, recent: &[SagaView], unfinished: &[SagaView]) -> Vec<SagaId> {
        let Some(sagas) = &self.sagas else { return Vec::new() };
        let live: BTreeSet<SagaId> = live(unfinished).map(|saga| saga.saga_id).collect();
        let ended = sagas.unfinished.keys().copied();
        let new = recent.iter().map(|saga| saga.saga_id).filter(|id| !sagas.knows(*id));
        let wanted: BTreeSet<SagaId> = ended.chain(new).filter(|id| !live.contains(id)).collect();
        wanted.into_iter().collect()
    }

    /// Takes a look in, and answers what is to be told of it, in a sensible order: places first, then SECs, then sagas in the
    /// order of what can happen to one.
    pub fn take(&mut self, sighting: &Sighting) -> Vec<Event> {
        let time = sighting.time;
        let mut told = Vec::new();
        let database = sighting.database.as_ref();
        if let Some(looked) = database {
            self.place(Source::Database, &looked.url, looked.seen.as_ref().err(), time, &mut told);
        }
        self.place(Source::Api, &sighting.api.url, sighting.api.seen.as_ref().err(), time, &mut told);
        let mut ends = Vec::new();
        if let Some(view) = database.and_then(|looked| looked.seen.as_ref().ok()) {
            if let Some(secs) = &view.secs {
                self.take_secs(secs, time, &mut told);
            }
            self.take_sagas(view, time, &mut told, &mut ends);
        }
        if let Ok(view) = &sighting.api.seen {
            self.take_reports(view, &mut told);
        }
        told.extend(ends);
        told.into_iter()
            .map(|transition| {
                self.seq += 1;
                Event { seq: self.seq, time, transition }
            })
            .collect()
    }

    fn place(
        &mut self,
        source: Source,
        url: &str,
        reason: Option<&String>,
        time: Time,
        told: &mut Vec<Transition>,
    ) {
        let url = url.to_owned();
        match (reason, self.lost.get(&source).copied()) {
            (Some(reason), None) => {
                self.lost.insert(source, time);
                told.push(Transition::ConnectionLost { source, url, reason: reason.clone() });
            }
            (None, Some(lost)) => {
                self.lost.remove(&source);
                told.push(Transition::ConnectionRegained { source, url, lost });
            }
            _ => {}
        }
    }

    fn take_secs(&mut self, seen: &[SecView], now: Time, told: &mut Vec<Transition>) {
        let known_before = self.secs.is_some();
        let known = self.secs.get_or_insert_default();
        let mut news = Vec::new();
        for sec in seen {
            let &SecView { sec_id, time_started, time_heartbeat, .. } = sec;
            let absence = sec.absence(now, FRESH);
            let before = known.insert(sec_id, KnownSec { time_started, absence });
            let has_started = before.as_ref().is_none_or(|before| before.time_started != time_started);
            if has_started {
                news.push(Transition::SecStarted { sec_id, time_started });
            }
            let before = before.and_then(|before| before.absence);
            match absence {
                Some(reason) if before != Some(reason) || has_started => {
                    news.push(Transition::SecGone { sec_id, reason, time_heartbeat });
                }
                None if before.is_some() && !has_started => news.push(Transition::SecBack { sec_id }),
                _ => {}
            }
        }
        let seen: BTreeSet<SecId> = seen.iter().map(|sec| sec.sec_id).collect();
        for (&sec_id, sec) in known.iter_mut().filter(|(id, _)| !seen.contains(id)) {
            let reason = Absence::Unregistered;
            if sec.absence.replace(reason) != Some(reason) {
                news.push(Transition::SecGone { sec_id, reason, time_heartbeat: None });
            }
        }
        // What there was before the first look is no news.
        if known_before {
            told.extend(news);
        }
    }

    fn take_sagas(
        &mut self,
        view: &DatabaseView,
        now: Time,
        told: &mut Vec<Transition>,
        ends: &mut Vec<Transition>,
    ) {
        let known_before = self.sagas.is_some();
        let sagas = self.sagas.get_or_insert_default();
        let newest = view.recent.iter().chain(&view.unfinished).filter_map(|saga| saga.created).max();
        // No later than now: one row with a time far ahead must not hide all that come after it.
        sagas.newest = sagas.newest.max(newest.map(|newest| newest.min(now)));
        if !known_before {
            for saga in &view.recent {
                sagas.recent.insert(saga.saga_id, saga.created.unwrap_or(now));
            }
            for saga in live(&view.unfinished) {
                sagas.begin(saga, now);
            }
            sagas.forget();
            return;
        }
        let mut live: BTreeMap<SagaId, &SagaView> =
            live(&view.unfinished).map(|saga| (saga.saga_id, saga)).collect();
        let mut settled: BTreeMap<SagaId, &SagaView> = BTreeMap::new();
        for saga in &view.settled {
            match saga.ending {
                // It slipped through the list of the unfinished.
                None => live.insert(saga.saga_id, saga),
                Some(_) => settled.insert(saga.saga_id, saga),
            };
        }
        let mut new: Vec<&SagaView> = live
            .values()
            .chain(settled.values())
            .copied()
            .filter(|saga| !sagas.knows(saga.saga_id))
            .collect();
        new.sort_by_key(|saga| (saga.created, saga.saga_id));
        for saga in new {
            sagas.begin(saga, now);
            told.push(Transition::SagaStarted {
                saga_id: saga.saga_id,
                name: saga.name.clone(),
                current_sec: saga.current_sec,
                created: saga.created,
            });
        }
        // Known by its time of creation, and at work: it is to be followed to its end.
        for saga in live.values() {
            sagas.begin(saga, now);
        }
        for (&saga_id, known) in &mut sagas.unfinished {
            let Some(saga) = live.get(&saga_id).or_else(|| settled.get(&saga_id)) else { continue };
            if saga.current_sec != known.current_sec {
                let from_sec = std::mem::replace(&mut known.current_sec, saga.current_sec);
                told.push(Transition::SagaReassigned {
                    saga_id,
                    name: known.name.clone(),
                    from_sec,
                    to_sec: saga.current_sec,
                });
            }
        }
        sagas.unfinished.retain(|&saga_id, known| {
            if live.contains_key(&saga_id) {
                return true;
            }
            let settled = settled.get(&saga_id);
            ends.push(Transition::SagaFinished {
                saga_id,
                name: known.name.clone(),
                current_sec: known.current_sec,
                outcome: settled.and_then(|saga| saga.ending).unwrap_or(super::event::Ending::Vanished),
                last_event: settled.and_then(|saga| saga.last_event),
            });
            false
        });
        sagas.forget();
    }

    fn take_reports(&mut self, view: &ApiView, told: &mut Vec<Transition>) {
        let ApiView { sec_id, time_started, passes, recoveries, failures, recovered_in_all } = view;
        let sec_id = *sec_id;
        let now = Reports {
            time_started: *time_started,
            passes: passes.iter().map(|pass| (pass.time_started, pass.iteration)).collect(),
            recoveries: recoveries.iter().map(|(time, saga_id, _)| (*time, *saga_id)).collect(),
            failures: failures.iter().map(|failure| (failure.time, failure.saga_id)).collect(),
            recovered_in_all: *recovered_in_all,
        };
        let Some(before) = self.reports.replace(now) else { return };
        let mut recoveries: Vec<_> = recoveries
            .iter()
            .filter(|(time, saga_id, _)| !before.recoveries.contains(&(*time, *saga_id)))
            .collect();
        recoveries.sort_by_key(|(time, saga_id, _)| (*time, *saga_id));
        // Counters begin anew with the process.
        let is_same_process = before.time_started == *time_started
            && before.recovered_in_all.unwrap_or(0) <= recovered_in_all.unwrap_or(u64::MAX);
        let counted_before = if is_same_process { before.recovered_in_all } else { Some(0) };
        let unlisted = match (recovered_in_all, counted_before) {
            (Some(now), Some(before)) => now.saturating_sub(before).saturating_sub(recoveries.len() as u64),
            _ => 0,
        };
        for (recovered, saga_id, name) in recoveries {
            let (saga_id, recovered, name) = (*saga_id, *recovered, name.clone());
            told.push(Transition::SagaRecovered { saga_id, name, sec_id, recovered });
        }
        let mut failures: Vec<_> = failures
            .iter()
            .filter(|failure| !before.failures.contains(&(failure.time, failure.saga_id)))
            .collect();
        failures.sort_by_key(|failure| (failure.time, failure.saga_id));
        for failure in failures {
            told.push(Transition::RecoveryFailed {
                saga_id: failure.saga_id,
                sec_id: failure.current_sec.or(sec_id),
                kind: failure.kind,
                message: failure.message.clone(),
                failed: failure.time,
            });
        }
        let mut passes: Vec<_> = passes
            .iter()
            .filter(|pass| !before.passes.contains(&(pass.time_started, pass.iteration)))
            .collect();
        passes.sort_by_key(|pass| (pass.time_started, pass.iteration));
        let count = passes.len();
        for (index, pass) in passes.into_iter().enumerate() {
            told.push(Transition::PassCompleted {
                sec_id,
                iteration: pass.iteration,
                reason: pass.reason,
                time_started: pass.time_started,
                completed: pass.completed,
                found: pass.found,
                recovered: pass.recovered,
                failed: pass.failed,
                message: pass.message.clone(),
                unlisted_recoveries: if index + 1 == count { unlisted } else { 0 },
            });
        }
    }
}

impl Sagas {
    fn knows(&self, id: SagaId) -> bool {
        self.recent.contains_key(&id) || self.unfinished.contains_key(&id)
    }

    /// Follows a saga from now on, unless it is followed already.
    fn begin(&mut self, saga: &SagaView, now: Time) {
        let SagaView { saga_id, name, current_sec, created, .. } = saga;
        self.recent.entry(*saga_id).or_insert(created.unwrap_or(now));
        self.unfinished
            .entry(*saga_id)
            .or_insert_with(|| KnownSaga { name: name.clone(), current_sec: *current_sec });
    }

    /// Drops what no look will find again.
    fn forget(&mut self) {
        if let Some(newest) = self.newest {
            self.recent.retain(|_, created| *created >= newest - OVERLAP);
        }
    }
}

/// Sagas that are at work; the index of unfinished sagas holds abandoned ones, too.
fn live(unfinished: &[SagaView]) -> impl Iterator<Item = &SagaView> {
    unfinished.iter().filter(|saga| saga.ending.is_none())
}
