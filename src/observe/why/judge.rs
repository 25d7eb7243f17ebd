//! From what is known of a saga and its owner to a verdict. Pure.
//!
//! The order of the questions matters, and is this:
//!
//! 1. Was it given up? Then nothing else counts.
//! 2. Has its log come to an end? A failed undo is the end whatever the state says. A state of done ends it too; if the log
//!    does not bear that out, nobody will ever take it up again, and that is what must be said.
//! 3. Does a living owner run it? Then its log says what it is doing.
//! 4. Can it be taken up again at all? If not, it does not matter whose it is: no restart and no adoption helps.
//! 5. Is its owner gone, or dead?
//! 6. The owner lives and does not run it: has it tried and failed, has it had no chance yet, or does it overlook it?

use super::evidence;
use super::remedy;
use super::{
    Contact, EngineKind, FailedStep, Liveness, Memory, Owner, OwnerFacts, RecoveryFacts, Verdict, Why,
};
use crate::observe::secs::FRESH;
use crate::saga_log::events::EventType;
use crate::saga_log::legality::{Judgement, Rule};
use crate::saga_log::record::{EventRecord, SagaRecord};
use crate::saga_log::{Direction, Failure, Reading};
use crate::store::inspect::saga::{SecLookup, SecTable};
use crate::wire::field::Field;
use crate::wire::recovery::RecoveryFailureKind;
use crate::wire::sagas::{CachedState, Outcome};
use crate::wire::time::Time;

/// Judges a saga.
pub fn judge(reading: &Reading<'_>, facts: &OwnerFacts, now: Time) -> Why {
    let saga = reading.records.saga.as_ref();
    let liveness = liveness(reading, facts, now);
    let verdict = verdict(reading, facts, liveness);
    let node = node(reading, verdict, facts);
    let recovery = facts.recovery.as_ref();
    let (attempts, last_error) = retried(verdict, facts);
    let mut why = Why {
        saga_id: reading.records.id,
        name: saga.and_then(|saga| saga.name.value().cloned()),
        verdict,
        node: node.map(|id| reading.node_ref(id).name),
        node_id: node,
        since: since(reading, verdict, node),
        owner: Owner {
            sec_id: saga.and_then(|saga| saga.current_sec.value().copied()),
            liveness,
            address: match &facts.contact {
                Contact::Answers { at, .. }
                | Contact::SomebodyElse { at, .. }
                | Contact::Silent { at, .. } => Some(at.clone()),
                Contact::NotAsked(_) => facts.address().map(str::to_owned),
            },
            heartbeat: facts.heartbeat(),
            generation: saga.and_then(|saga| saga.adopt_generation.value().copied()),
        },
        state: saga.and_then(|saga| saga.state.value().cloned()),
        direction: reading.direction,
        outcome: reading.outcome,
        last_event: time_of(reading.last_event),
        attempts,
        last_error,
        failed: reading.failures.first().map(failed_step),
        undo_failed: reading.undo_failures.first().map(failed_step),
        next_pass: recovery.filter(|_| waits_for_pass(verdict)).and_then(|recovery| recovery.next_pass),
        legal: reading.legal.clone(),
        resumable: resumable(reading, facts).clone(),
        evidence: Vec::new(),
        next: Vec::new(),
    };
    why.evidence = evidence::gather(reading, facts, &why);
    why.next = remedy::suggest(reading, facts, &why);
    why
}

/// Whether the owner lives.
pub(super) fn liveness(reading: &Reading<'_>, facts: &OwnerFacts, now: Time) -> Liveness {
    if is_over(reading) {
        return Liveness::NotAsked;
    }
    let owner = reading.records.saga.as_ref().map(|saga| &saga.current_sec);
    if matches!(owner, Some(Field::Null | Field::Unreadable { .. })) {
        return Liveness::Gone;
    }
    match &facts.registry {
        Some(SecLookup::NoRow(_)) => return Liveness::Gone,
        Some(SecLookup::Row(record)) => {
            let state = record.state.value().map(String::as_str);
            // A Nexus that has quiesced has handed its work over for good.
            if matches!((record.table, state), (_, Some("expunged")) | (SecTable::Nexus, Some("quiesced"))) {
                return Liveness::Gone;
            }
        }
        Some(SecLookup::NoTable) | None => {}
    }
    let silence = facts.heartbeat().map(|beat| now.signed_duration_since(beat).to_std().unwrap_or_default());
    let beats = silence.is_some_and(|silence| silence <= FRESH);
    match &facts.contact {
        Contact::Answers { .. } => Liveness::Alive,
        Contact::SomebodyElse { .. } | Contact::Silent { is_conclusive: true, .. } => Liveness::Dead,
        Contact::Silent { .. } | Contact::NotAsked(_) if silence.is_some() && !beats => Liveness::Dead,
        Contact::NotAsked(_) if beats => Liveness::Alive,
        Contact::Silent { .. } | Contact::NotAsked(_) => Liveness::Unknown,
    }
}

/// Whether the row says that nobody will do anything about the saga any more.
fn is_over(reading: &Reading<'_>) -> bool {
    matches!(reading.state(), Some(CachedState::Done | CachedState::Abandoned))
        || reading.records.saga.is_none()
}

fn verdict(reading: &Reading<'_>, facts: &OwnerFacts, liveness: Liveness) -> Verdict {
    let Some(saga) = &reading.records.saga else { return Verdict::Unrecoverable };
    let state = reading.state();
    match (state, reading.outcome) {
        (Some(CachedState::Abandoned), _) => return Verdict::Abandoned,
        (_, Some(Outcome::Stuck)) => return Verdict::Stuck,
        (Some(CachedState::Done), Some(Outcome::Succeeded)) => return Verdict::Succeeded,
        (Some(CachedState::Done), Some(Outcome::Failed)) => return Verdict::Failed,
        (Some(CachedState::Done), Some(Outcome::Unknown) | None) => return Verdict::Unrecoverable,
        _ => {}
    }
    if liveness == Liveness::Alive && facts.memory == Memory::Running {
        return by_log(reading, facts);
    }
    if is_unrecoverable(reading, facts, liveness) {
        return Verdict::Unrecoverable;
    }
    match (liveness, &facts.memory) {
        (Liveness::Gone, _) => Verdict::OwnerGone,
        (Liveness::Dead, _) => Verdict::OwnerDead,
        (Liveness::Alive, Memory::AtRest(_)) if reading.outcome.is_some() => by_log(reading, facts),
        (Liveness::Alive, Memory::Missing | Memory::AtRest(_)) => not_in_memory(saga, facts),
        (Liveness::Alive | Liveness::Unknown | Liveness::NotAsked, _) => by_log(reading, facts),
    }
}

/// What the log says that it is doing, for want of anything that says otherwise.
fn by_log(reading: &Reading<'_>, facts: &OwnerFacts) -> Verdict {
    match (reading.outcome, reading.direction) {
        // Only the last write, that of the state, is missing.
        (Some(Outcome::Succeeded), _) => Verdict::Succeeded,
        (Some(Outcome::Failed), _) => Verdict::Failed,
        _ if facts.retry.is_some() => Verdict::Retrying,
        (_, Direction::Unwinding) => Verdict::Unwinding,
        _ if reading.open.is_empty() => Verdict::BetweenNodes,
        _ => Verdict::Running,
    }
}

/// The judgement of the engine that would have to take the saga up.
pub(super) fn resumable<'r>(reading: &'r Reading<'_>, facts: &OwnerFacts) -> &'r Judgement {
    match facts.engine {
        EngineKind::Ours => &reading.resumable,
        EngineKind::Nexus => &reading.resumable_by_nexus,
    }
}

fn is_unrecoverable(reading: &Reading<'_>, facts: &OwnerFacts, liveness: Liveness) -> bool {
    let permanent = standing_failure(facts.recovery.as_ref())
        .is_some_and(|failure| failure.kind == Some(RecoveryFailureKind::Permanent));
    let judgement = resumable(reading, facts);
    // A Nexus that may well be alive and at it passes through states in the middle of every healthy unwind that it would
    // refuse after a restart. As long as it runs, that is nobody's problem.
    let may_be_running = liveness != Liveness::Dead
        && liveness != Liveness::Gone
        && matches!(facts.memory, Memory::NotTold(_));
    let only_if_restarted =
        judgement.violations.iter().all(|violation| violation.rule == Rule::EdgeOfOldEngine);
    permanent || (judgement.is_no() && !(may_be_running && only_if_restarted))
}

/// The owner's last failure to recover the saga, unless it has recovered it since.
pub(crate) fn standing_failure(
    recovery: Option<&RecoveryFacts>,
) -> Option<&crate::wire::recovery::RecoveryFailure> {
    let recovery = recovery?;
    let failure = recovery.failure.as_ref()?;
    match recovery.recovered {
        Some(recovered) if recovered >= failure.time => None,
        _ => Some(failure),
    }
}

/// The owner lives and does not run it.
fn not_in_memory(saga: &SagaRecord, facts: &OwnerFacts) -> Verdict {
    let recovery = facts.recovery.as_ref();
    if standing_failure(recovery).is_some() {
        return Verdict::Retrying;
    }
    let Some(recovery) = recovery else { return Verdict::WaitingForRecovery };
    // A pass that began after the saga came to this owner has listed it.
    let came =
        [&saga.time_created, &saga.adopt_time].into_iter().filter_map(|time| time.value().copied()).max();
    let had_its_chance = matches!((recovery.last_success, came), (Some(pass), Some(came)) if pass > came);
    match had_its_chance && recovery.under_way.is_none() {
        true => Verdict::Phantom,
        false => Verdict::WaitingForRecovery,
    }
}

fn waits_for_pass(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::WaitingForRecovery | Verdict::Retrying | Verdict::Phantom)
}

/// What is retried: an action, if the owner tells, else the saga's recovery.
fn retried(verdict: Verdict, facts: &OwnerFacts) -> (Option<u64>, Option<String>) {
    if verdict != Verdict::Retrying {
        return (None, None);
    }
    match (&facts.retry, &facts.recovery) {
        (Some(retry), _) => (Some(retry.attempts), retry.last_error.clone()),
        (None, Some(recovery)) => {
            let error = recovery.failure.as_ref().map(|failure| failure.message.clone());
            (Some(recovery.failures), error)
        }
        (None, None) => (None, None),
    }
}

/// The node that the verdict is about.
fn node(reading: &Reading<'_>, verdict: Verdict, facts: &OwnerFacts) -> Option<i64> {
    let open = || {
        let began = |step: &&crate::saga_log::Step| {
            let log = reading.log.node(step.node);
            let began = log.get(if step.is_undo { EventType::UndoStarted } else { EventType::Started });
            (time_of(began).is_none(), time_of(began))
        };
        // Where it hangs is what began first.
        reading.open.iter().min_by_key(began).or(reading.next.first()).map(|step| step.node)
    };
    match verdict {
        Verdict::Stuck => reading.undo_failures.first().map(|failure| failure.node.node_id),
        Verdict::Failed => reading.failures.first().map(|failure| failure.node.node_id),
        Verdict::Succeeded => None,
        Verdict::Unrecoverable => {
            let broken = |judgement: &Judgement| {
                judgement.violations.iter().find_map(|found| found.node.as_ref()).map(|node| node.node_id)
            };
            broken(resumable(reading, facts)).or_else(|| broken(&reading.legal)).or_else(open)
        }
        _ => open(),
    }
}

fn since(reading: &Reading<'_>, verdict: Verdict, node: Option<i64>) -> Option<Time> {
    let last = time_of(reading.last_event);
    let created = reading.records.saga.as_ref().and_then(|saga| saga.time_created.value().copied());
    match verdict {
        Verdict::Abandoned => reading.records.saga.as_ref()?.abandon_time.value().copied().or(last),
        Verdict::Running | Verdict::Unwinding | Verdict::Retrying => {
            let log = reading.log.node(node?);
            let open = [EventType::UndoStarted, EventType::Started].into_iter().find_map(|begin| {
                let is_open = match begin {
                    EventType::UndoStarted => log.undo_end().is_none(),
                    _ => log.end().is_none(),
                };
                log.get(begin).filter(|_| is_open)
            });
            time_of(open).or(last)
        }
        _ => last.or(created),
    }
}

fn failed_step(failure: &Failure<'_>) -> FailedStep {
    FailedStep {
        node: failure.node.clone(),
        error: failure.error.clone(),
        time: failure.event.time.value().copied(),
    }
}

pub(super) fn time_of(event: Option<&EventRecord>) -> Option<Time> {
    event?.time.value().copied()
}
