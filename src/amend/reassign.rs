//! Giving unfinished sagas another owner, whose next recovery pass takes them up. Pure.
//!
//! It is what a coordinator does by itself with the sagas of a SEC that has been expunged. By hand it is for owners that
//! nobody can expunge (they are in no registry), for sagas that belong to nobody, and for moving some and not others.

use super::{Refusal, SecCheck, owner};
use crate::observe::why::{EngineKind, Liveness, Owner};
use crate::saga_log::record::SagaRecord;
use crate::store::amend::{Capability, Reassignment};
use crate::store::inspect::saga::{SecLookup, SecTable};
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::CachedState;
use crate::wire::time::{Time, to_stored};
use serde::Serialize;
use std::time::Duration;

/// A heartbeat older than this is one of a SEC that may not be there.
const FRESH: Duration = Duration::from_secs(15);

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Whose sagas; of any owner if it is not said, then sagas are named.
    pub from: Option<SecId>,
    /// Who gets them.
    pub to: SecId,
    /// When.
    pub time: Time,
    /// Whether the present owners must be down.
    pub check: SecCheck,
}

/// What is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What the registry says of the new owner.
    pub target: SecLookup,
    /// The sagas that are meant.
    pub sagas: Vec<SagaRecord>,
    /// Their present owners.
    pub owners: Vec<Owner>,
    /// Which engine runs them.
    pub engine: EngineKind,
    /// Whether the database can keep it.
    pub capability: Capability,
}

/// What is going to be done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Who gets them.
    pub to: SecId,
    /// When.
    pub time: Time,
    /// Sagas that change hands.
    pub moves: Vec<Move>,
    /// Sagas that do not, and why.
    pub others: Vec<Moved>,
    /// Their owners until now.
    pub owners: Vec<Owner>,
    /// What one should know before one says yes.
    pub warnings: Vec<String>,
}

/// A saga that changes hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Which one.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Option<String>,
    /// Its stored state.
    pub state: String,
    /// Whose it is.
    pub from: Option<SecId>,
    /// In which generation.
    pub adopt_generation: i64,
}

/// What became, or is to become, of a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Which one.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Option<String>,
    /// In a word.
    pub fate: Fate,
    /// In more words, where one is not enough.
    pub message: Option<String>,
}

/// What becomes of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It will change hands.
    Planned,
    /// It has changed hands.
    Moved,
    /// It is where it should be, and was not moved.
    AlreadyThere,
    /// It has come to its end or was abandoned: nobody needs to run it.
    AtRest,
    /// It was not moved, since it is not as it was seen, or not as it was said.
    LeftAlone,
}

impl Plan {
    pub(super) fn reassignment(&self) -> Reassignment {
        let sagas =
            self.moves.iter().map(|planned| (planned.saga_id, planned.from, planned.adopt_generation));
        Reassignment { to: self.to, time: self.time, sagas: sagas.collect() }
    }
}

/// Decides.
///
/// # Errors
///
/// If none of it may be done.
pub fn plan(facts: Facts, request: &Request) -> Result<Plan, Refusal> {
    let Request { from, to, time, check } = request;
    if *from == Some(*to) {
        return Err(Refusal::new(format!("SEC {to} cannot take over from itself")));
    }
    if let Capability::None(reason) = facts.capability {
        return Err(Refusal::new(reason));
    }
    let mut warnings = check_target(&facts.target, *to, *time, *check)?;
    let (mut moves, mut others) = (Vec::new(), Vec::new());
    for saga in &facts.sagas {
        match sort(saga, *from, *to) {
            Ok(planned) => moves.push(planned),
            Err(other) => others.push(other),
        }
    }
    let owners: Vec<Owner> = facts
        .owners
        .into_iter()
        .filter(|owner| moves.iter().any(|planned| planned.from == owner.sec_id))
        .collect();
    for owner in &owners {
        warnings.extend(owner::check(owner, facts.engine, *check)?);
    }
    if owners.iter().any(|owner| owner.liveness == Liveness::Dead) {
        warnings.push(
            "an owner that is only down loses these sagas for good: when it comes back it runs the others"
                .to_owned(),
        );
    }
    Ok(Plan { to: *to, time: *time, moves, others, owners, warnings })
}

/// Whether a SEC can be given sagas.
fn check_target(target: &SecLookup, to: SecId, now: Time, check: SecCheck) -> Result<Vec<String>, Refusal> {
    let hint = "`sagactl secs list` lists those that there are";
    let record = match target {
        SecLookup::Row(record) => record,
        SecLookup::NoRow(_) => {
            return Err(Refusal::new(format!("unknown SEC {to}: it is in no registry")).hint(hint));
        }
        SecLookup::NoTable => {
            let unknown = format!("this database keeps no registry, so nobody knows whether SEC {to} exists");
            return match check {
                SecCheck::Required => {
                    Err(Refusal::new(unknown).hint("--bypass-sec-check goes on without knowing"))
                }
                SecCheck::Bypassed => Ok(vec![unknown]),
            };
        }
    };
    match record.state.value().map(String::as_str) {
        Some("active") => {}
        Some("expunged") => {
            return Err(
                Refusal::new(format!("SEC {to} has been expunged, so it runs nothing any more")).hint(hint)
            );
        }
        Some(state) => {
            return Err(
                Refusal::new(format!("SEC {to} is {state}, not active, so it would not run them")).hint(hint)
            );
        }
        None => return Err(Refusal::new(format!("the state of SEC {to} cannot be read"))),
    }
    let beat = record.time_heartbeat.value();
    let silence = beat.map(|beat| now.signed_duration_since(beat).to_std().unwrap_or_default());
    Ok(match (record.table, silence) {
        (SecTable::Sec, Some(silence)) if silence > FRESH => vec![format!(
            "SEC {to} has not been heard of for {}: the sagas wait until it is back",
            humantime::format_duration(Duration::from_secs(silence.as_secs()))
        )],
        _ => Vec::new(),
    })
}

/// Whether a saga is to change hands, and if not, what it is instead.
fn sort(saga: &SagaRecord, from: Option<SecId>, to: SecId) -> Result<Move, Moved> {
    let left = |fate, message: Option<String>| Moved {
        saga_id: saga.id,
        name: saga.name.value().cloned(),
        fate,
        message,
    };
    let current = match &saga.current_sec {
        Field::Value(owner) => Some(*owner),
        Field::Null => None,
        Field::NoColumn | Field::Unreadable { .. } => {
            return Err(left(Fate::LeftAlone, Some("its owner cannot be read".to_owned())));
        }
    };
    let state = saga.state.value().cloned().unwrap_or_default();
    match state.parse() {
        Ok(CachedState::Running | CachedState::Unwinding) => {}
        Ok(CachedState::Done | CachedState::Abandoned) => {
            return Err(left(Fate::AtRest, Some(format!("it is {state}"))));
        }
        Err(_) => return Err(left(Fate::LeftAlone, Some(format!("its state is {state:?}")))),
    }
    if current == Some(to) {
        return Err(left(Fate::AlreadyThere, Some(there_since(saga, to))));
    }
    if from.is_some() && current != from {
        let whose = current.map_or("nobody's".to_owned(), |owner| format!("that of SEC {owner}"));
        return Err(left(Fate::LeftAlone, Some(format!("it is {whose}"))));
    }
    let Field::Value(adopt_generation) = saga.adopt_generation else {
        return Err(left(Fate::LeftAlone, Some("its generation cannot be read".to_owned())));
    };
    Ok(Move { saga_id: saga.id, name: saga.name.value().cloned(), state, from: current, adopt_generation })
}

fn there_since(saga: &SagaRecord, to: SecId) -> String {
    match &saga.adopt_time {
        Field::Value(time) => format!("already with SEC {to} since {}", to_stored(*time)),
        _ => format!("already with SEC {to}"),
    }
}

/// What became of a saga that was to be moved.
pub(super) fn look(plan: &Plan, planned: &Move, now: Option<&SagaRecord>) -> Moved {
    let told = |fate, message| Moved { saga_id: planned.saga_id, name: planned.name.clone(), fate, message };
    let Some(now) = now else {
        return told(Fate::LeftAlone, Some("it is not in the database any more".to_owned()));
    };
    let is_ours = now.current_sec == Field::Value(plan.to) && now.adopt_time == Field::Value(plan.time);
    // It may have finished with its new owner before we looked.
    if is_ours && now.adopt_generation == Field::Value(planned.adopt_generation + 1) {
        return told(Fate::Moved, None);
    }
    match sort(now, planned.from, plan.to) {
        Err(other) => other,
        // Nothing but its new owner's being out of service by then stops the move of a saga that is as it was.
        Ok(same) if same.adopt_generation == planned.adopt_generation => {
            told(Fate::LeftAlone, Some(format!("SEC {} has been put out of service meanwhile", plan.to)))
        }
        Ok(_) => told(Fate::LeftAlone, Some("it has changed meanwhile".to_owned())),
    }
}
