//! The facts behind a verdict, in the order in which one wants to know them. Pure.

use super::judge::{resumable, standing_failure, time_of};
use super::{
    About, Contact, EngineKind, Evidence, Liveness, Memory, OwnerFacts, RecoveryFacts, Verdict, Why,
};
use crate::saga_log::dag::Node;
use crate::saga_log::events::{EventType, NodeStatus};
use crate::saga_log::findings::FindingKind;
use crate::saga_log::legality::{Judgement, NodeRef};
use crate::saga_log::{Direction, Failure, Reading, Step};
use crate::store::inspect::saga::{SecLookup, SecTable};
use crate::wire::field::Field;
use crate::wire::recovery::RecoveryFailureKind;
use crate::wire::sagas::{CachedState, Outcome};
use crate::wire::time::Time;

/// Most nodes that are named in one line.
const MOST_NAMES: usize = 8;

/// Most oddities that are told; `sagas show` has all.
const MOST_ODDITIES: usize = 5;

struct Collected(Vec<Evidence>);

impl Collected {
    fn add(&mut self, about: About, text: impl Into<String>) {
        self.at(about, text, None);
    }

    fn at(&mut self, about: About, text: impl Into<String>, time: Option<Time>) {
        self.0.push(Evidence { about, text: text.into(), time });
    }
}

/// Everything that one should know besides the verdict.
pub(super) fn gather(reading: &Reading<'_>, facts: &OwnerFacts, why: &Why) -> Vec<Evidence> {
    let mut all = Collected(Vec::new());
    if why.owner.liveness != Liveness::NotAsked {
        tell_owner(reading, facts, why, &mut all);
        tell_memory(facts, why.owner.liveness, &mut all);
        tell_recovery(facts.recovery.as_ref(), why.verdict, &mut all);
    }
    tell_state(reading, &mut all);
    tell_failures(reading, &mut all);
    tell_log(reading, &mut all);
    tell_repeated(reading, facts, &mut all);
    tell_next(reading, why.verdict, &mut all);
    tell_left(reading, why.verdict, &mut all);
    tell_rules(reading, facts, why.verdict, &mut all);
    tell_oddities(reading, &mut all);
    all.0
}

fn tell_owner(reading: &Reading<'_>, facts: &OwnerFacts, why: &Why, all: &mut Collected) {
    let Some(sec_id) = why.owner.sec_id else {
        all.add(About::Owner, "nobody owns it: its row names no SEC");
        return;
    };
    match &facts.contact {
        Contact::Answers { at, is_sure: true, process_started } => all.at(
            About::Owner,
            format!("its owner, SEC {sec_id}, answers at {at}; its process started"),
            *process_started,
        ),
        Contact::Answers { at, is_sure: false, .. } => all.add(
            About::Owner,
            format!("a coordinator answers at {at}, and does not say whether it is the owner, SEC {sec_id}"),
        ),
        Contact::SomebodyElse { at, sec_id: other } => all
            .add(About::Owner, format!("its owner, SEC {sec_id}, is not there: SEC {other} answers at {at}")),
        Contact::Silent { at, reason, is_conclusive } => {
            let doubt = if *is_conclusive { "" } else { ", which may be for want of a way there" };
            all.add(
                About::Owner,
                format!("its owner, SEC {sec_id}, does not answer at {at}: {reason}{doubt}"),
            );
        }
        Contact::NotAsked(why_not) => {
            all.add(
                About::Owner,
                format!("its owner is SEC {sec_id}; whether it answers is not known: {why_not}"),
            );
        }
    }
    match &facts.registry {
        Some(SecLookup::NoTable) => {
            all.add(About::Owner, "the database keeps no list of SECs");
        }
        Some(SecLookup::NoRow(SecTable::Sec)) => {
            all.add(About::Owner, "the database's list of SECs does not have it");
        }
        Some(SecLookup::NoRow(SecTable::Nexus)) => {
            all.add(About::Owner, "the database's list of Nexuses does not have it, so it was expunged");
        }
        Some(SecLookup::Row(record)) => {
            if let Field::Value(state) = &record.state
                && state != "active"
            {
                all.add(About::Owner, format!("the database says that it is {state}"));
            }
            if let Field::Value(beat) = record.time_heartbeat {
                all.at(About::Owner, "its last heartbeat in the database", Some(beat));
            }
        }
        None => {}
    }
    let saga = reading.records.saga.as_ref();
    if let Some(generation) = why.owner.generation.filter(|generation| *generation > 1) {
        let adopted = saga.and_then(|saga| saga.adopt_time.value().copied());
        let creator = saga.and_then(|saga| saga.creator.value());
        let from = creator.filter(|creator| **creator != sec_id);
        let from = from.map_or(String::new(), |creator| format!(", once that of SEC {creator}"));
        all.at(About::Owner, format!("it is in its generation {generation}{from}; last adopted"), adopted);
    }
}

fn tell_memory(facts: &OwnerFacts, liveness: Liveness, all: &mut Collected) {
    match &facts.memory {
        Memory::Running => all.add(About::Memory, "its owner has it in memory and runs it"),
        Memory::Missing => all.add(About::Memory, "its owner does not have it in memory"),
        Memory::AtRest(how) => all.add(About::Memory, format!("its owner has seen it end: {how}")),
        Memory::NotTold(why) if liveness == Liveness::Alive => {
            all.add(About::Memory, format!("whether its owner has it in memory is not known: {why}"));
        }
        Memory::NotTold(_) => {}
    }
}

fn tell_recovery(recovery: Option<&RecoveryFacts>, verdict: Verdict, all: &mut Collected) {
    let Some(recovery) = recovery else { return };
    if let Some(recovered) = recovery.recovered {
        all.at(About::Recovery, "its owner recovered it", Some(recovered));
    }
    if let Some(failure) = standing_failure(Some(recovery)) {
        let kind = match failure.kind {
            Some(RecoveryFailureKind::Transient) => "it will be tried again",
            Some(RecoveryFailureKind::Permanent) => "trying again cannot help",
            None => "whether trying again helps is not told",
        };
        let times = match recovery.failures {
            0 | 1 => String::new(),
            times => format!(", {times} times so far"),
        };
        all.at(
            About::Recovery,
            format!("its owner could not recover it{times} ({kind}): {}", failure.message),
            Some(failure.time),
        );
    }
    if let Some(message) = &recovery.last_pass_failed {
        all.add(About::Recovery, format!("the owner's last recovery pass failed: {message}"));
    }
    let waits = matches!(verdict, Verdict::WaitingForRecovery | Verdict::Retrying | Verdict::Phantom);
    if !waits {
        return;
    }
    match recovery.last_success {
        Some(pass) => {
            all.at(About::Recovery, "the owner's last recovery pass that went through began", Some(pass))
        }
        None => all.add(About::Recovery, "no recovery pass of the owner's has gone through since it started"),
    }
    if let Some(since) = recovery.under_way {
        all.at(About::Recovery, "a recovery pass is under way", Some(since));
    } else if let Some(next) = recovery.next_pass {
        let period = humantime::format_duration(recovery.period);
        all.at(About::Recovery, format!("the next recovery pass is due, one every {period}"), Some(next));
    }
}

fn tell_state(reading: &Reading<'_>, all: &mut Collected) {
    let Some(saga) = &reading.records.saga else {
        all.add(About::State, "it has no row in table saga, only events");
        return;
    };
    let log = match reading.outcome {
        Some(Outcome::Succeeded) => "its log has come to its end, succeeded",
        Some(Outcome::Failed) => "its log has come to its end, unwound",
        Some(Outcome::Stuck) => "its log ends with an undo action that failed",
        Some(Outcome::Unknown) => "its log is empty",
        None if reading.direction == Direction::Unwinding => "its log is unwinding",
        None => "its log is going forward",
    };
    let state = match &saga.state {
        Field::Value(state) => format!("the stored state is {state}"),
        Field::Null => "the stored state is NULL".to_owned(),
        Field::NoColumn => "no state is stored".to_owned(),
        Field::Unreadable { raw, .. } => format!("the stored state cannot be read: {raw:?}"),
    };
    let lag = match (reading.state(), reading.direction) {
        (Some(CachedState::Running | CachedState::Unwinding), Direction::AtRest) => {
            "; the last write, that of the state, is outstanding"
        }
        (Some(CachedState::Running), Direction::Unwinding) => "; the state lags",
        (Some(CachedState::Done), Direction::Forward | Direction::Unwinding) => {
            "; nobody takes up a saga that is done, so it stays like this"
        }
        _ => "",
    };
    all.add(About::State, format!("{state}; {log}{lag}"));
    if reading.state() == Some(CachedState::Abandoned) {
        let reason = match &saga.abandon_reason {
            Field::Value(reason) => format!("for reason {reason:?}"),
            _ => "for a reason that is not recorded".to_owned(),
        };
        let comment = match &saga.abandon_comment {
            Field::Value(comment) => format!(": {comment}"),
            _ => String::new(),
        };
        let by = match saga.abandon_reason.value().map(String::as_str) {
            Some("omdb") => " by an operator",
            Some("unrecoverable") => " by the recovery of its owner",
            Some("orphaned") => " because its owner was gone",
            _ => "",
        };
        let time = saga.abandon_time.value().copied();
        all.at(About::State, format!("abandoned{by}, {reason}{comment}"), time);
    }
}

fn tell_failures(reading: &Reading<'_>, all: &mut Collected) {
    let mut tell = |what: &str, failure: &Failure<'_>, missing: &str| {
        let error = failure.error.as_deref().unwrap_or(missing);
        let time = time_of(Some(failure.event));
        all.at(About::Failure, format!("{what} of {} failed: {error}", failure.node), time);
    };
    for failure in reading.failures.iter().take(MOST_NAMES) {
        tell("the action", failure, "the error is not recorded");
    }
    for failure in reading.undo_failures.iter().take(MOST_NAMES) {
        tell("the undo action", failure, "the error is not recorded; a Nexus writes it to its log only");
    }
}

fn tell_log(reading: &Reading<'_>, all: &mut Collected) {
    // Where the last event is the beginning of what is open, it is told there.
    let is_told = |event: &crate::saga_log::record::EventRecord| {
        reading.open.len() == 1
            && reading.open[0].node == event.node_id
            && matches!(event.event_type.as_str(), "started" | "undo_started")
    };
    match reading.last_event {
        None => all.add(About::Log, "its log is empty"),
        Some(event) if is_told(event) => {}
        Some(event) => {
            let node = reading.node_ref(event.node_id);
            let text = format!("the last event is {:?} of {node}", event.event_type);
            all.at(About::Log, text, time_of(Some(event)));
        }
    }
    for step in reading.open.iter().take(MOST_NAMES) {
        let log = reading.log.node(step.node);
        let (begin, what) = match step.is_undo {
            false => (EventType::Started, "the action"),
            true => (EventType::UndoStarted, "the undo action"),
        };
        let label = match reading.node(step.node) {
            Some(Node::Action { label, .. }) => format!(" ({label})"),
            _ => String::new(),
        };
        let node = reading.node_ref(step.node);
        all.at(
            About::Log,
            format!("{what} of {node}{label} was begun and has not ended"),
            time_of(log.get(begin)),
        );
    }
    if reading.open.len() > MOST_NAMES {
        all.add(About::Log, format!("and {} more are open", reading.open.len() - MOST_NAMES));
    }
}

/// What ran more than once: an action that one SEC began and another ended, and one that is open and was begun by a
/// process that is no more. The log keeps only the first time.
fn tell_repeated(reading: &Reading<'_>, facts: &OwnerFacts, all: &mut Collected) {
    for (node, is_undo) in reading.ran_twice().take(MOST_NAMES) {
        let what = if is_undo { "the undo action" } else { "the action" };
        let node = reading.node_ref(node);
        all.add(
            About::Repeated,
            format!("{what} of {node} ran at least twice: one SEC began it and another ended it"),
        );
    }
    if let Some(recovered) = facts.recovery.as_ref().and_then(|recovery| recovery.recovered) {
        for step in &reading.open {
            let log = reading.log.node(step.node);
            let began =
                time_of(log.get(if step.is_undo { EventType::UndoStarted } else { EventType::Started }));
            if began.is_some_and(|began| began < recovered) {
                let node = reading.node_ref(step.node);
                let text = format!("{node} was begun before that and runs at least for the second time");
                all.at(About::Repeated, text, Some(recovered));
            }
        }
    }
    if reading.writers.len() > 1 {
        let writers: Vec<String> = reading
            .writers
            .iter()
            .take(MOST_NAMES)
            .map(|writer| format!("{} ({} events)", writer.sec, writer.events))
            .collect();
        all.add(
            About::Repeated,
            format!("{} SECs wrote its log: {}", reading.writers.len(), writers.join(", ")),
        );
    }
}

fn tell_next(reading: &Reading<'_>, verdict: Verdict, all: &mut Collected) {
    let is_over = matches!(
        verdict,
        Verdict::Stuck | Verdict::Failed | Verdict::Succeeded | Verdict::Abandoned | Verdict::Unrecoverable
    );
    if is_over || reading.next.is_empty() {
        return;
    }
    let again = !reading.open.is_empty()
        && matches!(
            verdict,
            Verdict::OwnerDead | Verdict::OwnerGone | Verdict::WaitingForRecovery | Verdict::Phantom
        );
    let name = |step: &Step| {
        let node = reading.node_ref(step.node);
        if step.is_undo { format!("undo of {node}") } else { node.to_string() }
    };
    let listed = |steps: &[Step]| listed(steps.iter().map(name), steps.len());
    let then = if reading.open.is_empty() { "" } else { "after that " };
    if again {
        all.add(About::Next, format!("whoever takes it up runs again {}", listed(&reading.open)));
    }
    all.add(About::Next, format!("{then}{}", listed(&reading.next)));
}

fn tell_left(reading: &Reading<'_>, verdict: Verdict, all: &mut Collected) {
    // The failed node is never undone: its action is trusted to have cleaned up after itself.
    if matches!(verdict, Verdict::Failed | Verdict::Stuck | Verdict::Abandoned) {
        let did_something = |failure: &&Failure<'_>| {
            matches!(reading.node(failure.node.node_id), Some(Node::Action { .. }) | None)
        };
        for failure in reading.failures.iter().filter(did_something).take(MOST_NAMES) {
            all.add(
                About::Left,
                format!(
                    "{} is never undone, since it did not succeed: what its action did before it failed may be left",
                    failure.node
                ),
            );
        }
    }
    if matches!(verdict, Verdict::Stuck | Verdict::Abandoned) {
        let left = reading.left_standing();
        if !left.is_empty() {
            all.add(About::Left, format!("not undone: {}", names(&left)));
        }
        let cut_off: Vec<NodeRef> = reading
            .open
            .iter()
            .filter(|step| reading.status(step.node) == NodeStatus::Running)
            .map(|step| reading.node_ref(step.node))
            .collect();
        if !cut_off.is_empty() {
            all.add(About::Left, format!("cut off in the middle: {}", names(&cut_off)));
        }
    }
}

fn tell_rules(reading: &Reading<'_>, facts: &OwnerFacts, verdict: Verdict, all: &mut Collected) {
    tell_violations("the log is not legal", &reading.legal, all);
    if matches!(verdict, Verdict::Succeeded | Verdict::Failed | Verdict::Stuck | Verdict::Abandoned) {
        return;
    }
    let engine = match facts.engine {
        EngineKind::Ours => "the coordinator",
        EngineKind::Nexus => "a Nexus",
    };
    let judgement = resumable(reading, facts);
    let is_news = judgement.is_no() && judgement.violations != reading.legal.violations;
    if is_news {
        tell_violations(&format!("{engine} would not take it up again"), judgement, all);
        if reading.legal.is_yes() && reading.resumable.is_yes() {
            all.add(
                About::Rule,
                "nothing is wrong with the log: its engine refuses what a crash in a healthy unwind leaves (steno#462); \
                 steno 0.5 takes it",
            );
        }
    } else if judgement.is_no() {
        all.add(About::Rule, format!("{engine} would not take it up again for the same reason"));
    }
}

fn tell_violations(what: &str, judgement: &Judgement, all: &mut Collected) {
    if !judgement.is_no() {
        return;
    }
    for violation in judgement.violations.iter().take(MOST_ODDITIES) {
        all.add(About::Rule, format!("{what} (rule {}): {violation}", violation.rule.as_str()));
    }
    let rest = judgement.violations.len().saturating_sub(MOST_ODDITIES) as u64 + judgement.more;
    if rest > 0 {
        all.add(About::Rule, format!("and {rest} more rules are broken"));
    }
}

/// Whatever is odd and was not said already.
fn tell_oddities(reading: &Reading<'_>, all: &mut Collected) {
    let is_news = |kind: FindingKind| match kind {
        FindingKind::RowValue
        | FindingKind::NameDiffers
        | FindingKind::ClocksDiffer
        | FindingKind::EventValue
        | FindingKind::UnknownEventType => true,
        FindingKind::DagUnusable => reading.resumable.is_yes(),
        FindingKind::RowMissing
        | FindingKind::DagDefect
        | FindingKind::LogEmpty
        | FindingKind::UnknownNode
        | FindingKind::DuplicateEvent
        | FindingKind::StateLags
        | FindingKind::StateAhead
        | FindingKind::StateUnknown
        | FindingKind::RanTwice => false,
    };
    let odd: Vec<_> = reading.findings.iter().filter(|finding| is_news(finding.kind)).collect();
    for finding in odd.iter().take(MOST_ODDITIES) {
        all.add(About::Oddity, finding.message.clone());
    }
    if odd.len() > MOST_ODDITIES {
        all.add(
            About::Oddity,
            format!("and {} more, which `sagactl sagas show` lists", odd.len() - MOST_ODDITIES),
        );
    }
}

fn names(nodes: &[NodeRef]) -> String {
    listed(nodes.iter().map(ToString::to_string), nodes.len())
}

fn listed(items: impl Iterator<Item = String>, count: usize) -> String {
    let mut shown: Vec<String> = items.take(MOST_NAMES).collect();
    if count > MOST_NAMES {
        shown.push(format!("and {} more", count - MOST_NAMES));
    }
    shown.join(", ")
}
