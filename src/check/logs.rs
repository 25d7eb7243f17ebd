//! What a saga's rows tell by themselves: I3 (legal), I5 (progress), I8 (stuck), I11 (owners). Pure.

use super::Problem;
use super::tally::Finding;
use crate::observe::why::EngineKind;
use crate::saga_log::legality::{Judgement, Rule};
use crate::saga_log::{Reading, events::EventType};
use crate::wire::field::Field;
use crate::wire::ids::SecId;
use crate::wire::sagas::{CachedState, Outcome};
use crate::wire::time::{self, Time};
use std::collections::BTreeSet;
use std::time::Duration;

/// Whether the saga is neither done nor abandoned, as far as its row can be read.
pub(super) fn is_unfinished(reading: &Reading<'_>) -> bool {
    matches!(reading.state(), Some(CachedState::Running | CachedState::Unwinding))
}

/// I3: the log is complete, and some run of the DAG could have written it; if the saga goes on, its engine takes it.
pub(super) fn legal(reading: &Reading<'_>, engine: EngineKind) -> Finding {
    let id = reading.records.id;
    let show = || format!("sagactl sagas show {id} --events");
    let Some(saga) = &reading.records.saga else {
        let text = format!("the saga has no row, but {} events", reading.records.events.len());
        return Finding::Broken(Problem::of_saga(id, text, show()));
    };
    if reading.legal.is_no() {
        return Finding::Broken(Problem::of_saga(id, told("the log is not legal", &reading.legal), show()));
    }
    match &reading.records.dag {
        Field::NoColumn => return Finding::CannotTell("the database has no column saga_dag".to_owned()),
        Field::Value(_) | Field::Null | Field::Unreadable { .. } => {
            let is_whole = reading.dag.as_ref().is_ok_and(|(dag, _)| dag.defects.is_empty());
            // A node of a kind that nobody knew yet is no damage, but that cannot be told from one that is.
            if !is_whole {
                let text = told("the DAG is broken", &reading.resumable);
                let next = format!("sagactl sagas show {id} --dag json");
                return Finding::Broken(Problem::of_saga(id, text, next));
            }
        }
    }
    if !reading.legal.is_yes() {
        let reason = reading.legal.reason.clone().unwrap_or_else(|| "the log cannot be judged".to_owned());
        return Finding::CannotTell(reason);
    }
    match &saga.state {
        Field::Null | Field::Unreadable { .. } => {
            return Finding::Broken(Problem::of_saga(id, "its state cannot be read", show()));
        }
        Field::NoColumn => return Finding::CannotTell("the database has no column saga_state".to_owned()),
        Field::Value(text) if reading.state().is_none() => {
            return Finding::CannotTell(format!("a state is {text:?}, which this version does not know"));
        }
        Field::Value(_) => {}
    }
    let resumable = match engine {
        EngineKind::Ours => &reading.resumable,
        EngineKind::Nexus => &reading.resumable_by_nexus,
    };
    // A healthy unwind of parallel nodes passes through states that an old engine would refuse after a restart. Whoever
    // runs it now does not mind; if nobody does, the owner's absence is the problem that is told.
    let is_real = resumable.violations.iter().any(|violation| violation.rule != Rule::EdgeOfOldEngine);
    if is_unfinished(reading) && resumable.is_no() && is_real {
        let text = told("it cannot be taken up again", resumable);
        return Finding::Broken(Problem::of_saga(id, text, format!("sagactl why {id}")));
    }
    Finding::Holds
}

fn told(what: &str, judgement: &Judgement) -> String {
    let count = judgement.violations.len() as u64 + judgement.more;
    // Rules of one node say more than those of edges, which break for every neighbour of a node that is wrong.
    let of_node = |rule| !matches!(rule, Rule::Edge | Rule::EdgeOfOldEngine);
    let first = judgement.violations.iter().find(|violation| of_node(violation.rule)).or(judgement.first());
    match first {
        None => what.to_owned(),
        Some(first) if count > 1 => {
            format!("{what} (rule {}): {first}; and {} more", first.rule.as_str(), count - 1)
        }
        Some(first) => format!("{what} (rule {}): {first}", first.rule.as_str()),
    }
}

/// I5: something was written of it within this time.
pub(super) fn progresses(reading: &Reading<'_>, max_idle: Duration, now: Time) -> Finding {
    if !is_unfinished(reading) {
        return Finding::Beside;
    }
    let created = reading.records.saga.as_ref().and_then(|saga| saga.time_created.value().copied());
    let last = reading.last_event.and_then(|event| event.time.value().copied());
    let Some(since) = created.max(last) else {
        return Finding::CannotTell(
            "neither its creation nor an event has a time that can be read".to_owned(),
        );
    };
    // A clock that is ahead of ours shows progress in the future, which is progress.
    if now.signed_duration_since(since).to_std().unwrap_or_default() <= max_idle {
        return Finding::Holds;
    }
    let what = if last.is_some() { "no event" } else { "not a single event" };
    let at = match reading.open.first() {
        Some(step) if step.is_undo => format!(", undoing {}", reading.node_ref(step.node)),
        Some(step) => format!(", at {}", reading.node_ref(step.node)),
        None => String::new(),
    };
    let limit = humantime::format_duration(max_idle);
    let text = format!("{what} since {}{at} (limit {limit})", time::to_stored(since));
    let id = reading.records.id;
    Finding::Broken(Problem::of_saga(id, text, format!("sagactl why {id}")))
}

/// I8: no undo action failed. One that was abandoned has been seen by a person.
pub(super) fn is_not_stuck(reading: &Reading<'_>) -> Finding {
    if reading.state() == Some(CachedState::Abandoned) {
        return Finding::Beside;
    }
    if reading.outcome != Some(Outcome::Stuck) {
        return Finding::Holds;
    }
    let id = reading.records.id;
    let mut text = "an undo action failed".to_owned();
    if let Some(failure) = reading.undo_failures.first() {
        let error = failure.error.as_deref().unwrap_or("the error is not recorded");
        text = format!("the undo of {} failed: {error}", failure.node);
    }
    if let Some(failure) = reading.failures.first() {
        let error = failure.error.as_deref().unwrap_or("the error is not recorded");
        text.push_str(&format!("; it began with {}: {error}", failure.node));
    }
    Finding::Broken(Problem::of_saga(
        id,
        text,
        format!("sagactl why {id}; then put right by hand what is left"),
    ))
}

/// I11: every node's events are of one owner after the other, and nothing that depends on a node had begun before it ended.
///
/// An event names its writer and not the generation. But a generation has one owner, so a log has no more writers than
/// its saga had generations, and the first and the last of them are known: the row's creator and its current owner.
pub(super) fn one_owner_at_a_time(reading: &Reading<'_>) -> Finding {
    let Some(saga) = &reading.records.saga else { return Finding::Beside };
    let writers: BTreeSet<SecId> = reading.writers.iter().map(|writer| writer.sec).collect();
    let Some(first_writer) = writers.first() else { return Finding::Beside };
    let (Field::Value(generation), Field::Value(creator)) = (&saga.adopt_generation, &saga.creator) else {
        return Finding::CannotTell("the row does not tell the generation or the creator".to_owned());
    };
    let id = reading.records.id;
    let broken = |text: String| {
        Finding::Broken(Problem::of_saga(id, text, format!("sagactl sagas show {id} --events")))
    };
    if *generation == 1 && writers.iter().any(|writer| writer != creator) {
        let stranger = writers.iter().find(|writer| *writer != creator).unwrap_or(first_writer);
        return broken(format!("SEC {stranger} wrote events, but the saga never left its creator {creator}"));
    }
    let count = writers.len() as u64;
    if u64::try_from(*generation).map_or(true, |generation| count > generation) {
        return broken(format!("{count} SECs wrote events in {generation} generations"));
    }
    // Who was first for certain: the creator, unless the saga may have come back to it.
    let may_have_returned = u64::try_from(*generation).map_or(true, |generation| {
        let owners = writers.iter().chain([creator]).chain(saga.current_sec.value()).collect::<BTreeSet<_>>();
        generation > owners.len() as u64
    });
    let Ok((dag, _)) = &reading.dag else { return Finding::Holds };
    if may_have_returned {
        return Finding::Holds;
    }
    let writer_of = |node: u32, event_type| {
        reading.log.node(i64::from(node)).get(event_type).and_then(|event| event.creator.value().copied())
    };
    for child in dag.ids() {
        if writer_of(child, EventType::Started) != Some(*creator) {
            continue;
        }
        for &parent in dag.parents(child) {
            let ended = writer_of(parent, EventType::Succeeded);
            if ended.is_some_and(|ended| ended != *creator) {
                let (parent, child) = (reading.node_ref(parent.into()), reading.node_ref(child.into()));
                return broken(format!(
                    "{parent} was ended by a later owner, though the creator had begun {child}, which depends on it"
                ));
            }
        }
    }
    Finding::Holds
}
