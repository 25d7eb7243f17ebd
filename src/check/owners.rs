//! Sagas and those who are to run them: I1 (known to the SEC), I2 (unfinished in the database), I4 (owner answers), I10
//! (actions known). Pure.

use super::Problem;
use super::logs::is_unfinished;
use super::tally::Finding;
use crate::observe::why::judge::standing_failure;
use crate::observe::why::remedy::is_about_unknown_action;
use crate::observe::why::{Contact, Liveness, Memory, OwnerFacts, Verdict, Why};
use crate::saga_log::Reading;
use crate::saga_log::record::SagaRecord;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::CachedState;
use crate::wire::time::{self, Time};
use std::time::Duration;

/// A saga waits for recovery at most so many periods; the pass that comes to it is due after one.
const GRACE_PERIODS: u32 = 2;

/// I1: the owner has it, or has not had the time to recover it.
pub(super) fn is_known(reading: &Reading<'_>, facts: &OwnerFacts, why: &Why, now: Time) -> Finding {
    if !is_unfinished(reading) {
        return Finding::Beside;
    }
    match why.owner.liveness {
        Liveness::Alive => {}
        // That is I4's matter: who is not there cannot be asked.
        Liveness::Dead | Liveness::Gone => {
            return Finding::CannotTell("its owner is not there to be asked (I4)".to_owned());
        }
        Liveness::Unknown | Liveness::NotAsked => return Finding::CannotTell(silence(facts)),
    }
    match &facts.memory {
        Memory::NotTold(reason) => return Finding::CannotTell(reason.clone()),
        // At rest in memory: only the last write, that of the state, is missing.
        Memory::Running | Memory::AtRest(_) => return Finding::Holds,
        Memory::Missing => {}
    }
    let id = reading.records.id;
    let owner = name_of(why.owner.sec_id);
    let broken = |text: String, next: &str| {
        Finding::Broken(Problem::of_saga(id, text, format!("sagactl why {id}; then {next}")))
    };
    if let Some(failure) = standing_failure(facts.recovery.as_ref()) {
        let text = format!("{owner} could not recover it: {}", failure.message);
        return broken(text, "remove what the error names");
    }
    match why.verdict {
        Verdict::Unrecoverable => broken(
            format!("{owner} does not have it, and its log or its DAG cannot be taken up"),
            "look at its log: `sagactl sagas show`",
        ),
        Verdict::Phantom => broken(
            format!("{owner} lives and does not have it, though a recovery pass has begun since it could"),
            "restart its owner, which recovers it at start",
        ),
        _ => waits(facts, reading, &owner, now, broken),
    }
}

/// The owner lives and does not have it, and nothing says that it has overlooked it: how long has that been so?
fn waits(
    facts: &OwnerFacts,
    reading: &Reading<'_>,
    owner: &str,
    now: Time,
    broken: impl Fn(String, &str) -> Finding,
) -> Finding {
    let Some(recovery) = &facts.recovery else {
        return Finding::CannotTell(format!("{owner} does not tell what its recovery does"));
    };
    let grace = recovery.period.saturating_mul(GRACE_PERIODS);
    let saga = reading.records.saga.as_ref();
    let came = saga.and_then(|saga| saga.time_created.value().max(saga.adopt_time.value()).copied());
    let process_started = match &facts.contact {
        Contact::Answers { process_started, .. } => *process_started,
        _ => None,
    };
    let Some(since) = came.max(process_started) else {
        return Finding::CannotTell("it does not say since when it has been its owner's".to_owned());
    };
    if now.signed_duration_since(since).to_std().unwrap_or_default() <= grace {
        return Finding::Holds;
    }
    let grace = humantime::format_duration(Duration::from_secs(grace.as_secs()));
    let since = time::to_stored(since);
    broken(
        format!("{owner} could have recovered it since {since} and does not have it (grace period {grace})"),
        "`sagactl activate recovery`",
    )
}

/// I4: the owner is there, in service, and answers.
pub(super) fn has_an_owner(reading: &Reading<'_>, facts: &OwnerFacts, why: &Why) -> Finding {
    if !is_unfinished(reading) {
        return Finding::Beside;
    }
    let id = reading.records.id;
    let owner = name_of(why.owner.sec_id);
    let reassign = format!("`sagactl sagas reassign --saga {id} --to SEC -w` gives it to a living SEC");
    let (text, next) = match why.owner.liveness {
        Liveness::Alive => return Finding::Holds,
        Liveness::Unknown | Liveness::NotAsked => return Finding::CannotTell(silence(facts)),
        Liveness::Gone if why.owner.sec_id.is_none() => ("it belongs to nobody".to_owned(), reassign),
        Liveness::Gone => (
            format!("its owner {owner} is out of service for good, or is no SEC that there is"),
            format!("if no other SEC adopts it, {reassign}"),
        ),
        Liveness::Dead => (
            format!("its owner {owner} does not answer: {}", silence(facts)),
            "start its owner again".to_owned(),
        ),
    };
    Finding::Broken(Problem::of_saga(id, text, format!("sagactl why {id}; then {next}")))
}

/// I10: its owner has taken it up, which proves that it knows the actions, or says which it does not know.
pub(super) fn actions_are_known(reading: &Reading<'_>, facts: &OwnerFacts, why: &Why) -> Finding {
    if !is_unfinished(reading) {
        return Finding::Beside;
    }
    if why.owner.liveness != Liveness::Alive {
        return Finding::CannotTell(silence(facts));
    }
    match &facts.memory {
        Memory::Running | Memory::AtRest(_) => return Finding::Holds,
        Memory::NotTold(reason) => return Finding::CannotTell(reason.clone()),
        Memory::Missing => {}
    }
    match standing_failure(facts.recovery.as_ref()) {
        Some(failure) if is_about_unknown_action(&failure.message) => {
            let id = reading.records.id;
            let text = format!("{}: {}", name_of(why.owner.sec_id), failure.message);
            Finding::Broken(Problem::of_saga(id, text, "run a version of the owner that knows the action"))
        }
        _ => Finding::CannotTell("its owner has not taken it up yet".to_owned()),
    }
}

/// I2: what a SEC says that it runs is unfinished in the database, and its own.
pub(super) fn is_its_to_run(id: SagaId, row: Option<&SagaRecord>, sec: Option<SecId>) -> Finding {
    let broken = |text: String| {
        let next = format!("sagactl why {id}; a SEC that runs what is not its to run is to be restarted");
        Finding::Broken(Problem { sec_id: sec, ..Problem::of_saga(id, text, next) })
    };
    let runs = format!("{} runs it", name_of(sec));
    let Some(row) = row else { return broken(format!("{runs}, but the database has no such saga")) };
    let Some(state) = row.state.value().and_then(|state| state.parse::<CachedState>().ok()) else {
        return Finding::CannotTell("the state in the database cannot be read".to_owned());
    };
    if matches!(state, CachedState::Done | CachedState::Abandoned) {
        return broken(format!("{runs}, but the database says that it is {state}"));
    }
    match (sec, row.current_sec.value()) {
        (Some(sec), Some(owner)) if sec != *owner => broken(format!("{runs}, but it belongs to SEC {owner}")),
        _ => Finding::Holds,
    }
}

fn name_of(sec: Option<SecId>) -> String {
    sec.map_or_else(|| "the coordinator".to_owned(), |sec| format!("SEC {sec}"))
}

/// Why it is not known, or only feared, how an owner is.
fn silence(facts: &OwnerFacts) -> String {
    match &facts.contact {
        Contact::NotAsked(reason) => format!("the owner was not asked: {reason}"),
        Contact::Answers { at, .. } => format!("{at} answers"),
        Contact::SomebodyElse { at, sec_id } => format!("SEC {sec_id} answers at {at}"),
        Contact::Silent { at, reason, .. } => format!("{at}: {reason}"),
    }
}
